package loader

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// launcherDir holds the launcher; TestMain removes it.
var launcherDir string

// buildLauncher builds the sandbox's launcher once for all tests.
var buildLauncher = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "launcher")
	if err != nil {
		return "", err
	}
	launcherDir = dir
	path := filepath.Join(dir, "drawspan-sandbox")
	cmd := exec.Command("go", "build", "-o", path, "github.com/drawspan/drawspan/host/cmd/drawspan-sandbox")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// sandboxedSetup is a loader over the real sandbox, with an attempt's tree.
type sandboxedSetup struct {
	*setup
	tree   string
	policy *work.SandboxPolicy
}

func newSandboxed(t testing.TB, programs ...string) *sandboxedSetup {
	t.Helper()
	launcher, err := buildLauncher()
	if err != nil {
		t.Fatalf("build the launcher: %v", err)
	}
	state := shortDir(t)
	box, err := sandbox.New(sandbox.Options{Launcher: launcher, StateDir: state, Home: t.TempDir(), Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &sandboxedSetup{setup: newSetup(t, programs...), tree: filepath.Join(state, "tree"),
		policy: &work.SandboxPolicy{Name: "test", Level: "isolated"}}
	s.loader.inside = insideDir
	s.loader.opts.Launch = Sandboxed(box)
	if err := os.Mkdir(s.tree, 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sandboxedSetup) start(program string) (*Instance, error) {
	kind, name, _ := strings.Cut(program, "-")
	return s.loader.Start(s.t.Context(), Launch{
		Kind: kind, Name: name, Policy: s.policy, AttemptID: "att_1",
		Tree: s.tree, Mode: sandbox.TreeWritable,
	})
}

func (s *sandboxedSetup) mustStart(program string) *Instance {
	s.t.Helper()
	i, err := s.start(program)
	if fault.Is(err, fault.SandboxUnavailable) {
		s.t.Skipf("no sandbox on this machine: %v", err)
	}
	if err != nil {
		s.t.Fatalf("Start(%s): %v", program, err)
	}
	return i
}

func (s *sandboxedSetup) run(i *Instance, text string) (sdk.Result, error) {
	s.t.Helper()
	return i.Execute(s.t.Context(), sdk.Attempt{ID: "att_1", Instruction: text, Tree: s.tree}, (&events{}).take)
}

func TestInTheSandbox_AnAttemptChangesItsTreeAndEndsWithAProof(t *testing.T) {
	s := newSandboxed(t, "executor-good")
	i := s.mustStart("executor-good")
	var vector map[string]any
	if err := json.Unmarshal(i.Enforced(), &vector); err != nil || len(vector) == 0 || i.Level() != "isolated" {
		t.Errorf("enforced = %s, %v, level %q", i.Enforced(), err, i.Level())
	}
	r, err := s.run(i, "edit")
	if err != nil || r.Failed || r.Summary != s.tree {
		t.Errorf("result = %+v, %v, want it to run in %s", r, err, s.tree)
	}
	if made, err := os.ReadFile(filepath.Join(s.tree, "made")); err != nil || string(made) != "by the plugin" {
		t.Errorf("made = %q, %v", made, err)
	}
	death, err := i.Stop(t.Context(), 5*time.Second)
	if err != nil || !death.Proved || death.Method != "pid namespace" {
		t.Errorf("Stop = %+v, %v", death, err)
	}
	if exit := i.Exit(); exit.Code != 0 || exit.Lost != "" {
		t.Errorf("exit after a shutdown = %+v", exit)
	}
}

// The handshake, the connection from outside and the end work where the plugin sees the host's paths and can
// connect to nothing.
func TestWithoutNamespaces_AnAttemptChangesItsTreeAndEnds(t *testing.T) {
	for level, backend := range map[string]string{"guarded": "landlock", "off": "auto"} {
		t.Run(level, func(t *testing.T) {
			s := newSandboxed(t, "executor-good")
			s.policy = &work.SandboxPolicy{Name: "test", Level: level, Backend: backend}
			i := s.mustStart("executor-good")
			if i.Level() != level {
				t.Errorf("level %q", i.Level())
			}
			if r, err := s.run(i, "edit"); err != nil || r.Failed || r.Summary != s.tree {
				t.Errorf("result = %+v, %v, want it to run in %s", r, err, s.tree)
			}
			if made, err := os.ReadFile(filepath.Join(s.tree, "made")); err != nil || string(made) != "by the plugin" {
				t.Errorf("made = %q, %v", made, err)
			}
			death, err := i.Stop(t.Context(), 5*time.Second)
			if err != nil || !death.Proved || death.Method == "pid namespace" {
				t.Errorf("Stop = %+v, %v", death, err)
			}
		})
	}
}

func TestF2_InTheSandboxAPluginHasOnlyWhatIsItsOwn(t *testing.T) {
	t.Setenv("DRAWSPAN_CANARY", "secret-canary")
	s := newSandboxed(t, "executor-good")
	if err := os.WriteFile(filepath.Join(s.tree, "..", "canary"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	i := s.mustStart("executor-good")
	r, err := s.run(i, "env")
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"DRAWSPAN_PLUGIN", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR", "HOME", "PATH", "TMPDIR", "GIT_CONFIG_NOSYSTEM"}
	for _, pair := range strings.Split(r.Summary, "\n") {
		if key, _, _ := strings.Cut(pair, "="); !slices.Contains(known, key) {
			t.Errorf("the plugin has %q", pair)
		}
	}
	i = s.mustStart("executor-good")
	if r, err := s.run(i, "read"); err != nil || !strings.Contains(r.Summary, "no such file") {
		t.Errorf("a file beside the tree: %q, %v", r.Summary, err)
	}
}

func TestInTheSandbox_NoProcessOutlivesAStop(t *testing.T) {
	s := newSandboxed(t, "executor-good")
	i := s.mustStart("executor-good")
	spawned := make(chan struct{})
	e := &events{on: func(sdk.Event) { close(spawned) }}
	ended := make(chan error, 1)
	go func() {
		_, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Instruction: "many", Tree: s.tree}, e.take)
		ended <- err
	}()
	<-spawned
	leader := i.process.PID()
	namespace := pidNamespace(t, leader)
	if n := count(t, namespace); n < 20 { // launcher and plugin may hide
		t.Errorf("%d processes in the launch, want 20 and more", n)
	}
	death, err := i.Stop(t.Context(), 200*time.Millisecond)
	if err != nil || !death.Proved || death.Survivors != 0 {
		t.Errorf("Stop = %+v, %v", death, err)
	}
	if err := <-ended; !fault.Is(err, fault.PluginCrashed) {
		t.Errorf("Execute = %v, want plugin_crashed", err)
	}
	if n := count(t, namespace); n != 0 {
		t.Errorf("%d processes outlived the stop", n)
	}
}

func pidNamespace(t *testing.T, pid int) string {
	t.Helper()
	name, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", "pid"))
	if err != nil {
		t.Skipf("this kernel does not show the namespace: %v", err)
	}
	return name
}

// count is how many processes are in a pid namespace.
func count(t *testing.T, namespace string) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && name == namespace {
			n++
		}
	}
	return n
}

func TestInTheSandbox_ADeathIsSeenAtOnceWhateverIsLeft(t *testing.T) {
	s := newSandboxed(t, "executor-good")
	i := s.mustStart("executor-good")
	started := time.Now()
	_, err := s.run(i, "leave")
	var crash *Crash
	if !errors.As(err, &crash) || crash.Exit.Code != 4 {
		t.Fatalf("Execute = %v, want a crash with code 4", err)
	}
	if crash.Exit.Leftovers != 1 {
		t.Errorf("leftovers = %d, want the grandchild", crash.Exit.Leftovers)
	}
	t.Logf("seen after %v", time.Since(started))
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("seen after %v", took)
	}
}

func TestInTheSandbox_TheStopOfAFrozenPluginIsBounded(t *testing.T) {
	s := newSandboxed(t, "executor-good")
	i := s.mustStart("executor-good")
	hanging := make(chan struct{})
	e := &events{on: func(sdk.Event) { close(hanging) }}
	go i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Instruction: "hang", Tree: s.tree}, e.take) //nolint:errcheck // Stop judges
	<-hanging
	if err := i.process.SignalAll(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	const grace = 200 * time.Millisecond
	started := time.Now()
	death, err := i.Stop(t.Context(), grace)
	took := time.Since(started)
	t.Logf("stopped after %v at a grace of %v", took, grace)
	if err != nil || !death.Proved || took > grace+2*time.Second { // the bar is grace + 100 ms
		t.Errorf("Stop = %+v, %v after %v", death, err, took)
	}
}

func TestInTheSandbox_SignalsReachThePlugin(t *testing.T) {
	s := newSandboxed(t, "executor-good")
	for signal, send := range map[unix.Signal]func(*Instance) error{
		unix.SIGTERM: func(i *Instance) error { return i.Terminate(t.Context()) },
		unix.SIGKILL: func(i *Instance) error { return i.process.Signal(unix.SIGKILL) },
	} {
		i := s.mustStart("executor-good")
		e := &events{on: func(sdk.Event) {
			if err := i.Interrupt(t.Context()); err != nil { // go-plugin ignores SIGINT; its tools would not
				t.Error(err)
			}
			if err := send(i); err != nil {
				t.Error(err)
			}
		}}
		_, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Instruction: "hang", Tree: s.tree}, e.take)
		var crash *Crash
		if !errors.As(err, &crash) || crash.Exit.Signal != signal {
			t.Errorf("Execute = %v, want a death by %v", err, signal)
		}
	}
}

func TestInTheSandbox_ASocketOfSomebodyElseIsRefused(t *testing.T) {
	s := newSandboxed(t, "executor-good", "executor-foreign")
	if _, err := s.mustStart("executor-good").Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	reached := make(chan struct{}, 1)
	go listenInside(t, s.loader.opts.RunDir, reached)
	_, err := s.start("executor-foreign")
	var e *StartError
	if !fault.Is(err, fault.PluginStart) || !errors.As(err, &e) || e.Reason != BadAddress {
		t.Errorf("Start = %v, want it refused for its address", err)
	}
	select {
	case <-reached:
		t.Error("the foreign socket got data of the daemon's")
	default:
	}
}

// listenInside opens a socket of this process in the directory of the next plugin.
func listenInside(t *testing.T, runDir string, reached chan<- struct{}) {
	var dirs []string
	for deadline := time.After(20 * time.Second); len(dirs) == 0; {
		select {
		case <-deadline:
			return
		case <-time.After(5 * time.Millisecond):
			dirs, _ = filepath.Glob(filepath.Join(runDir, runPrefix+"*"))
		}
	}
	listener, err := net.Listen("unix", filepath.Join(dirs[0], "theirs"))
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { listener.Close() }) //nolint:errcheck // its file is gone
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if n, _ := conn.Read(make([]byte, 1)); n > 0 {
		reached <- struct{}{}
	}
}

func TestInTheSandbox_EveryWayNotToStartIsTyped(t *testing.T) {
	s := newSandboxed(t, "executor-good", "executor-noise", "executor-quit", "executor-docker", "executor-symlink")
	if _, err := s.mustStart("executor-good").Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	for program, reason := range map[string]string{
		"noise": StdoutPolluted, "quit": Exited, "docker": BadAddress, "symlink": BadAddress,
	} {
		_, err := s.start("executor-" + program)
		var e *StartError
		if !errors.As(err, &e) || e.Reason != reason {
			t.Errorf("%s: Start = %v, want %s", program, err, reason)
		}
	}
}

func TestInTheSandbox_NothingCanBeMadeInTheSocketDirectory(t *testing.T) {
	s := newSandboxed(t, "executor-good", "executor-busy")
	for _, program := range []string{"executor-good", "executor-busy"} {
		i := s.mustStart(program)
		<-i.vacated
		if left, err := os.ReadDir(s.loader.opts.RunDir); err != nil || len(left) > 0 {
			t.Errorf("%s: while it runs there is %v, %v", program, left, err)
		}
		if r, err := s.run(i, "fill"); err != nil || !strings.Contains(r.Summary, "no such file or directory") {
			t.Errorf("%s: a file in the socket directory: %q, %v", program, r.Summary, err)
		}
		if _, err := i.Stop(t.Context(), time.Second); err != nil {
			t.Error(err)
		}
	}
}

func TestInTheSandbox_AManifestIsAskedWithNothingInside(t *testing.T) {
	s := newSandboxed(t, "executor-good")
	m, _, err := s.loader.Manifest(t.Context(), "executor", "good")
	if fault.Is(err, fault.SandboxUnavailable) {
		t.Skip(err)
	}
	if err != nil || m.Version != "1.0.0" {
		t.Errorf("Manifest = %+v, %v", m, err)
	}
}
