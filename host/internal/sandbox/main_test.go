package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// The test binary is also the payload (sealed and executed inside) and the daemon (that is killed).
// DRAWSPAN_SANDBOX_LAUNCHER names a launcher that is built already.
const (
	launcherVariable = "DRAWSPAN_SANDBOX_LAUNCHER"
	missingVariable  = "DRAWSPAN_SANDBOX_MISSING" // set by TestMain: why there can be no sandbox here
	payloadArg       = "payload"
	outsideArg       = "outside"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case payloadArg:
			os.Exit(runPayload(os.Args[2], os.Args[3:]))
		case outsideArg:
			os.Exit(runOutside(os.Args[2], os.Args[3:]))
		}
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "launcher-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(buildLauncher(dir), tryOnce(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func buildLauncher(dir string) error {
	if os.Getenv(launcherVariable) != "" {
		return nil
	}
	program := filepath.Join(dir, "drawspan-sandbox")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "../../cmd/drawspan-sandbox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the launcher: %w\n%s", err, out)
	}
	return os.Setenv(launcherVariable, program)
}

// tryOnce finds out whether this machine can have a sandbox at all. Where it cannot, in a container that
// refuses user namespaces or inside of a sandbox, every test that needs one is skipped with the remedy.
func tryOnce(dir string) error {
	if os.Getenv(launcherVariable) == "" {
		return nil // not built, which is told already
	}
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: dir, Home: dir})
	if err != nil {
		return err
	}
	policy := isolated()
	policy.OnShortfall, policy.Floor = "degrade", "isolated"
	p, err := box.Launch(context.Background(), sandbox.Request{Policy: policy, Path: "/bin/true"})
	if fault.Is(err, fault.SandboxUnavailable) {
		why := fault.From(err)
		return errors.Join(os.Setenv(missingVariable, why.Error()+"; "+why.Hint), box.Close())
	}
	if err != nil {
		return errors.Join(err, box.Close())
	}
	p.Exit()
	return box.Close()
}

func needSandbox(t *testing.T) {
	t.Helper()
	if why := os.Getenv(missingVariable); why != "" {
		t.Skip(why)
	}
}

// fixture is one Sandbox with its directories.
type fixture struct {
	t     *testing.T
	box   *sandbox.Sandbox
	home  string
	state string
	tree  string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	needSandbox(t)
	f := &fixture{t: t, home: realTemp(t), state: realTemp(t), tree: realTemp(t)}
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: f.state, Home: f.home})
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	f.box = box
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f
}

// realTemp is a temporary directory without symbolic links in its path.
func realTemp(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func isolated() *work.SandboxPolicy {
	return &work.SandboxPolicy{Name: "test", Level: "isolated", Declared: "test.hcl:1"}
}

func (f *fixture) writable() sandbox.Tree {
	return sandbox.Tree{Path: f.tree, Mode: sandbox.TreeWritable}
}

// self is this test binary, sealed, as a plugin would be.
func self(t *testing.T) *os.File {
	t.Helper()
	sealed, err := sealSelf()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sealed.Close() })
	return sealed
}

func sealSelf() (*os.File, error) {
	source, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer source.Close()
	fd, err := unix.MemfdCreate("payload", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err != nil {
		return nil, err
	}
	memory := os.NewFile(uintptr(fd), "payload")
	defer memory.Close()
	if _, err := io.Copy(memory, source); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// limit is how long anything may take that should take milliseconds; the machine may be very busy.
const limit = 2 * time.Minute

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// launch starts and makes sure that nothing is left after the test.
func (f *fixture) launch(r sandbox.Request) *sandbox.Process {
	f.t.Helper()
	if r.Policy == nil {
		r.Policy = isolated()
	}
	p, err := f.box.Launch(deadline(f.t), r)
	if err != nil {
		f.t.Fatalf("launch: %v", err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.t.Context()), limit)
		defer cancel()
		if d, err := p.Kill(ctx); err != nil || !d.Proved {
			f.t.Errorf("clean up: %+v, %v", d, err)
		}
	})
	return p
}

// output runs to the end and returns what was written.
func (f *fixture) output(r sandbox.Request) (string, sandbox.Exit) {
	f.t.Helper()
	out, write := pipe(f.t)
	r.Stdout, r.Stderr = write, write
	p := f.launch(r)
	write.Close()
	text, err := io.ReadAll(out)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text), p.Exit()
}

// payload runs a function of the test binary inside.
func (f *fixture) payload(r sandbox.Request, name string, args ...string) (string, sandbox.Exit) {
	f.t.Helper()
	r.Program = self(f.t)
	r.Argv = append([]string{"payload", payloadArg, name}, args...)
	return f.output(r)
}

// script runs shell text inside.
func (f *fixture) script(r sandbox.Request, text string, args ...string) (string, sandbox.Exit) {
	f.t.Helper()
	r.Path = "/bin/sh"
	r.Argv = append([]string{"sh", "-c", text, "sh"}, args...)
	return f.output(r)
}

func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// vector reads the enforced vector back from the form in which it is recorded.
func vector(t *testing.T, p *sandbox.Process) spec.Enforced {
	t.Helper()
	text, err := json.Marshal(p.Enforced())
	if err != nil {
		t.Fatal(err)
	}
	var e spec.Enforced
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// drained reports whether every holder of the pipe's other end is gone: at once, without waiting.
func drained(t *testing.T, read *os.File) bool {
	t.Helper()
	if err := read.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	raw, err := read.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		var buf [64 << 10]byte
		for {
			n, err := unix.Read(int(fd), buf[:])
			if n > 0 || err == unix.EINTR {
				continue
			}
			ended = n == 0 && err == nil
			return
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// outside runs a function of the test binary as another process, not confined.
func outside(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(deadline(t), "/proc/self/exe", append([]string{outsideArg, name}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	t.Cleanup(func() {
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("%s said: %s", name, strings.TrimSpace(stderr.String()))
		}
	})
	return cmd
}
