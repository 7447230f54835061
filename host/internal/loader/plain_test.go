package loader

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// plain launches without any confinement: what the loader itself guarantees must hold over it too.
type plain struct {
	mu       sync.Mutex
	requests []sandbox.Request
	before   func(sandbox.Request) // called just before the exec
	foreign  bool                  // pretend that the launch is in a namespace of its own
	fail     error
}

func (p *plain) Launch(_ context.Context, r sandbox.Request) (Process, error) {
	p.mu.Lock()
	p.requests = append(p.requests, r)
	p.mu.Unlock()
	if p.fail != nil {
		return nil, p.fail
	}
	if p.before != nil {
		p.before(r)
	}
	cmd := &exec.Cmd{
		Path: fmt.Sprintf("/proc/self/fd/%d", r.Program.Fd()), Args: r.Argv, Env: append([]string{}, r.Env...), Dir: "/",
		Stdout: r.Stdout, Stderr: r.Stderr, SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	running := &plainProcess{cmd: cmd, done: make(chan struct{})}
	go func() {
		cmd.Wait() //nolint:errcheck // the state says it
		close(running.done)
	}()
	return running, nil
}

func (p *plain) last() sandbox.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[len(p.requests)-1]
}

type plainProcess struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (p *plainProcess) Enforced() json.RawMessage { return json.RawMessage(`{"level":"off"}`) }
func (p *plainProcess) Level() string             { return "off" }
func (p *plainProcess) PID() int                  { return p.cmd.Process.Pid }
func (p *plainProcess) Done() <-chan struct{}     { return p.done }
func (p *plainProcess) Violations() int64         { return 0 }

func (p *plainProcess) Exit() sandbox.Exit {
	<-p.done
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case !ok:
		return sandbox.Exit{Lost: "no status"}
	case status.Signaled():
		return sandbox.Exit{Signal: unix.Signal(status.Signal())}
	default:
		return sandbox.Exit{Code: status.ExitStatus()}
	}
}

func (p *plainProcess) Signal(s unix.Signal) error    { return unix.Kill(p.PID(), s) }
func (p *plainProcess) SignalAll(s unix.Signal) error { return unix.Kill(-p.PID(), s) }

func (p *plainProcess) Kill(ctx context.Context) (work.Death, error) {
	started := time.Now()
	if err := unix.Kill(-p.PID(), unix.SIGKILL); err != nil && err != unix.ESRCH {
		return work.Death{}, err
	}
	select {
	case <-p.done:
		return work.Death{Method: "plain", Proved: true, Took: time.Since(started)}, nil
	case <-ctx.Done():
		return work.Death{Method: "plain"}, context.Cause(ctx)
	}
}

// setup is one loader with programs installed under names that choose what they do.
type setup struct {
	t      testing.TB
	loader *Loader
	launch *plain
	dir    string
	log    *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newSetup(t testing.TB, programs ...string) *setup {
	t.Helper()
	s := &setup{t: t, launch: &plain{}, dir: t.TempDir(), log: &syncBuffer{}}
	for _, name := range programs {
		s.install(name)
	}
	loader, err := New(Options{
		Dirs: []string{s.dir}, RunDir: filepath.Join(shortDir(t), "run"), Launch: s.launch, Version: "test",
		Log:   hclog.New(&hclog.LoggerOptions{Output: s.log, Level: hclog.Debug}),
		Times: Times{Start: 10 * time.Second, Heartbeat: 200 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	loader.inside = ""
	s.loader = loader
	s.lock()
	t.Cleanup(func() {
		if err := loader.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if left, err := os.ReadDir(loader.opts.RunDir); err != nil || len(left) > 0 {
			t.Errorf("left in the run directory: %v, %v", left, err)
		}
	})
	return s
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "l")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// install installs a copy of this test's own program; main_test.go decides by the name what it plays.
func (s *setup) install(name string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, pluginlock.Prefix+name)
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	if os.Link(self, path) != nil {
		copyFile(s.t, self, path)
	}
	return path
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func (s *setup) lock() {
	s.t.Helper()
	s.lockAs("", pluginlock.Nature{})
}

// lockAs locks what is installed, and says of one program what it is.
func (s *setup) lockAs(program string, says pluginlock.Nature) {
	s.t.Helper()
	entries, err := pluginlock.Lock([]string{s.dir}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range entries {
		if entries[i].Name == program {
			entries[i].Nature = says
		}
	}
	f := &pluginlock.File{}
	f.Update(entries)
	s.loader.SetLock(f)
}

func (s *setup) start(program string) (*Instance, error) {
	kind, name, _ := strings.Cut(program, "-")
	return s.loader.Start(s.t.Context(), Launch{Kind: kind, Name: name, Policy: &work.SandboxPolicy{}, AttemptID: "att_1"})
}

func (s *setup) mustStart(program string) *Instance {
	s.t.Helper()
	i, err := s.start(program)
	if err != nil {
		s.t.Fatalf("Start(%s): %v", program, err)
	}
	return i
}

// events is a sink.
type events struct {
	mu  sync.Mutex
	all []sdk.Event
	on  func(sdk.Event)
}

func (e *events) take(_ context.Context, ev sdk.Event) error {
	e.mu.Lock()
	e.all = append(e.all, ev)
	e.mu.Unlock()
	if e.on != nil {
		e.on(ev)
	}
	return nil
}

func (e *events) text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, ev := range e.all {
		b.Write(ev.Log)
		b.Write(ev.Data)
	}
	return b.String()
}
