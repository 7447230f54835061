package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// readLines takes n lines; the deadline of the pipe bounds it.
func readLines(t *testing.T, from *os.File, n int) []string {
	t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	lines := make([]string, 0, n)
	s := bufio.NewScanner(from)
	for len(lines) < n && s.Scan() {
		lines = append(lines, s.Text())
	}
	if len(lines) < n {
		t.Fatalf("%d of %d lines: %q, %v", len(lines), n, lines, s.Err())
	}
	return lines
}

// start runs a function of the test binary inside, and returns while it runs.
func (f *fixture) start(r sandbox.Request, name string, args ...string) (*sandbox.Process, *os.File) {
	f.t.Helper()
	r.Program = self(f.t)
	r.Argv = append([]string{"payload", payloadArg, name}, args...)
	return f.running(r)
}

func (f *fixture) running(r sandbox.Request) (*sandbox.Process, *os.File) {
	f.t.Helper()
	out, write := pipe(f.t)
	r.Stdout, r.Stderr = write, write
	p := f.launch(r)
	write.Close()
	return p, out
}

// orphans leaves n detached processes.
func (f *fixture) orphans(n int, stay string) (*sandbox.Process, *os.File) {
	f.t.Helper()
	return f.running(sandbox.Request{Path: "/bin/sh", Argv: []string{"sh", "-c", daemonise, "sh", strconv.Itoa(n), stay}})
}

func TestS35_KillReturnsWhenAHundredDetachedProcessesAreDead(t *testing.T) {
	f := newFixture(t)
	p, out := f.orphans(100, "stay")
	readLines(t, out, 100)
	d, err := p.Kill(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	// Every one of them held the pipe: its end, seen without waiting, is their death.
	if !drained(t, out) {
		t.Error("a process was alive when Kill returned")
	}
	if !d.Proved || d.Survivors != 0 || d.Method != "pid namespace" || len(d.Signals) != 1 || d.Signals[0] != "SIGKILL" {
		t.Errorf("death: %+v", d)
	}
	if d.Took <= 0 || d.Took > time.Minute {
		t.Errorf("it took %v", d.Took)
	}
	t.Logf("a hundred processes were dead after %v", d.Took)
	if end := p.Exit(); end.Lost != "killed" {
		t.Errorf("exit: %+v", end)
	}
	t.Run("and killing it again is the same answer", func(t *testing.T) {
		d, err := p.Kill(deadline(t))
		if err != nil || !d.Proved {
			t.Errorf("death: %+v, %v", d, err)
		}
	})
}

func TestWhatAPayloadLeavesBehindIsCountedAndDies(t *testing.T) {
	f := newFixture(t)
	p, out := f.orphans(5, "")
	end := p.Exit()
	if !drained(t, out) {
		t.Error("a process was alive when Done was closed")
	}
	if end.Leftovers != 5 || end.Code != 0 || end.Lost != "" {
		t.Errorf("exit: %+v", end)
	}
	d, err := p.Kill(deadline(t))
	if err != nil || !d.Proved || len(d.Signals) != 0 {
		t.Errorf("kill after a natural end: %+v, %v", d, err)
	}
}

func TestADaemonThatIsKilledLeavesNoProcess(t *testing.T) {
	needSandbox(t)
	assertNothingOutlivesADaemon(t)
}

// assertNothingOutlivesADaemon kills one that has fifty detached processes in a sandbox; with a back-end and a
// level these are used.
func assertNothingOutlivesADaemon(t *testing.T, policy ...string) {
	t.Helper()
	out, write := pipe(t)
	daemon := outside(t, "daemon", append([]string{realTemp(t), realTemp(t), realTemp(t), "50"}, policy...)...)
	daemon.Stdout = write
	daemon.Env = []string{launcherVariable + "=" + os.Getenv(launcherVariable)}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	readLines(t, out, 50)
	if err := daemon.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Process.Wait(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends when the last of the fifty, and PID 1, are dead.
	if err := out.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Errorf("a process outlived the daemon: %v", err)
	}
}

func TestTheExitIsThePayloadsOwn(t *testing.T) {
	f := newFixture(t)
	t.Run("a code", func(t *testing.T) {
		_, end := f.payload(sandbox.Request{}, "exit", "37")
		if end.Code != 37 || end.Signal != 0 || end.Leftovers != 0 || end.Lost != "" {
			t.Errorf("exit: %+v", end)
		}
		if end.MaxRSSKB <= 0 {
			t.Errorf("usage: %+v", end)
		}
	})
	t.Run("a signal", func(t *testing.T) {
		_, end := f.script(sandbox.Request{}, "kill -SEGV $$")
		if end.Signal != unix.SIGSEGV || end.Code != 0 {
			t.Errorf("exit: %+v", end)
		}
	})
	t.Run("killed from outside", func(t *testing.T) {
		p := f.launch(sandbox.Request{Path: "/bin/sleep", Argv: []string{"sleep", "1000"}})
		if err := unix.Kill(p.PID(), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if end := p.Exit(); !strings.Contains(end.Lost, "launcher ended by itself") {
			t.Errorf("exit: %+v", end)
		}
	})
}

func TestSignalsReachTheMainProcessOrAll(t *testing.T) {
	f := newFixture(t)
	p, out := f.start(sandbox.Request{}, "signals")
	readLines(t, out, 1)
	if err := p.Signal(unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if got := readLines(t, out, 1); got[0] != "user defined signal 1" {
		t.Errorf("first: %q", got)
	}
	// The child has no handler: it dies of the signal that goes to all, the main process tells of it.
	if err := p.SignalAll(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := readLines(t, out, 2); got[0] != "child terminated" || got[1] != "terminated" {
		t.Errorf("then: %q", got)
	}
	if end := p.Exit(); end.Code != 7 {
		t.Errorf("exit: %+v", end)
	}
	if err := p.Signal(unix.SIGTERM); err != nil {
		t.Errorf("signal after the end: %v", err)
	}
}

func TestAPayloadCannotEndPID1BySignals(t *testing.T) {
	f := newFixture(t)
	text, end := f.payload(sandbox.Request{}, "attack-init")
	if end.Code != 5 || end.Lost != "" || !strings.Contains(text, "survived") {
		t.Errorf("exit %+v: %s", end, text)
	}
	if strings.Contains(text, "sent") {
		t.Errorf("signals reached PID 1: %s", text)
	}
}

func TestS75_AForkBombIsBoundedAndEnded(t *testing.T) {
	f := newFixture(t)
	policy := isolated()
	policy.Processes = 64
	p, out := f.start(sandbox.Request{Policy: policy}, "fork-bomb")
	end := p.Exit()
	bound := int64(64 + 16)
	if os.Getuid() == 0 {
		bound += 300 // the process ids that the kernel does not reuse
	}
	if x := end.Exceeded; x == nil || x.Limit != spec.LimitProcesses || x.Cap != 64 || x.Used <= 64 || x.Used > bound {
		t.Errorf("exceeded: %+v, %+v", x, end)
	}
	if !drained(t, out) {
		t.Error("a process was alive after the end")
	}
}

func TestLaunchEndsWithItsContextAndLeavesNothing(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("the daemon stops")
	cancel(stopped)
	_, err := f.box.Launch(ctx, sandbox.Request{Policy: isolated(), Path: "/bin/true"})
	if !errors.Is(err, stopped) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	known := []string{strconv.Itoa(f.box.SpawnerPID()), strconv.Itoa(f.box.StandingPID())}
	for _, pid := range children(t) {
		if !slices.Contains(known, pid) {
			t.Errorf("%s is left; the spawner and what stands ready are %v", pid, known)
		}
	}
}

// children of this process, zombies included.
func children(t *testing.T) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children") // each thread has its own
	if err != nil || len(lists) == 0 {
		t.Skip("this kernel does not list children")
	}
	var all []string
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) { // a thread that has ended
			t.Fatal(err)
		}
		all = append(all, strings.Fields(string(text))...)
	}
	return all
}

func TestAProgramThatCannotBeStartedIsAClearError(t *testing.T) {
	f := newFixture(t)
	text := write(t, filepath.Join(f.tree, "text"), "not a program")
	for name, r := range map[string]sandbox.Request{
		"missing":        {Path: "/usr/bin/does-not-exist"},
		"not in PATH":    {Path: "does-not-exist"},
		"not executable": {Path: text, Tree: f.writable()},
		"hidden":         {Path: write(t, filepath.Join(f.home, "tool"), "#!/bin/sh\n")},
		"no directory":   {Path: "/bin/true", Dir: "/no/such/directory"},
	} {
		r.Policy = isolated()
		_, err := f.box.Launch(deadline(t), r)
		if !fault.Is(err, fault.PluginStart) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestKillWithoutTimeDoesNotClaimAProof(t *testing.T) {
	f := newFixture(t)
	p := f.launch(sandbox.Request{Path: "/bin/sleep", Argv: []string{"sleep", "1000"}})
	// A stopped watcher is not to be had from outside, so the time is: none.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, err := p.Kill(ctx)
	if d.Proved != (err == nil) {
		t.Errorf("proved %v with %v", d.Proved, err)
	}
	if d, err := p.Kill(deadline(t)); err != nil || !d.Proved {
		t.Errorf("then: %+v, %v", d, err)
	}
}

func TestSurvivorsAreCountedWithTheirDescendants(t *testing.T) {
	out, write := pipe(t)
	cmd := exec.CommandContext(deadline(t), "/bin/sh", "-c", "sleep 1000 & (sleep 1000 & echo ready; wait) & wait")
	cmd.Stdout = write
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	readLines(t, out, 1)
	if got := sandbox.CountSurvivors(cmd.Process.Pid); got < 3 || got > 4 {
		t.Errorf("%d alive, want the shell, its two sleeps and their shell", got)
	}
	if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	if got := sandbox.CountSurvivors(cmd.Process.Pid); got != 0 {
		t.Errorf("%d alive after the end", got)
	}
}

func TestADaemonThatProtectsItsMemoryCanLaunch(t *testing.T) {
	needSandbox(t)
	daemon := outside(t, "protected", realTemp(t), realTemp(t))
	assertEndsWith42(t, daemon)
}

func TestAPayloadHasNotTheDaemonsTerminal(t *testing.T) {
	needSandbox(t)
	daemon := outside(t, "terminal", realTemp(t), realTemp(t))
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	defer terminal.Close()
	daemon.Stdin = terminal
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	assertEndsWith42(t, daemon)
}

func assertEndsWith42(t *testing.T, daemon *exec.Cmd) {
	t.Helper()
	daemon.Env = []string{launcherVariable + "=" + os.Getenv(launcherVariable)}
	err := daemon.Run()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 42 {
		t.Errorf("got %v, want the payload's code 42", err)
	}
}

func TestManyLaunchesAtOnce(t *testing.T) {
	f := newFixture(t)
	const n = 24
	ctx := deadline(t)
	ends := make(chan error, n)
	for i := range n {
		go func() {
			p, err := f.box.Launch(ctx, sandbox.Request{
				Policy: isolated(), Tree: sandbox.Tree{Path: f.tree, Mode: sandbox.TreeOverlay},
				Path: "/bin/sh", Argv: []string{"sh", "-c", fmt.Sprintf(": >mine-%d; test $(ls | wc -l) = 1 || exit 99; exit %d", i, i)},
			})
			if err == nil {
				if end := p.Exit(); end.Code != i || end.Lost != "" {
					err = fmt.Errorf("launch %d ended with %+v", i, end)
				}
			}
			ends <- err
		}()
	}
	for range n {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
}

func TestANameThatThePayloadChoseIsPrintable(t *testing.T) {
	f := newFixture(t)
	var seen []string
	_, end := f.script(sandbox.Request{OnViolation: func(v sandbox.Violation) { seen = append(seen, v.Comm) }},
		`cp /bin/chmod "/tmp/a$(printf '\033[31m')b"; : >/tmp/x; /tmp/a*b u+s /tmp/x; exit 0`)
	if end.Code != 0 || len(seen) != 1 || seen[0] != "a?[31mb" {
		t.Errorf("exit %+v, names %q", end, seen)
	}
}

func TestARefusalBeforeTheWordOfTheStartIsNoFailure(t *testing.T) {
	f := newFixture(t)
	for range 40 {
		seen := 0
		p := f.launch(sandbox.Request{
			Path: "/bin/chmod", Argv: []string{"chmod", "u+s", "/tmp"},
			OnViolation: func(sandbox.Violation) { seen++ },
		})
		if end := p.Exit(); end.Code != 1 || seen != 1 || p.Violations() != 1 {
			t.Fatalf("exit %+v, %d refusals, %d counted", end, seen, p.Violations())
		}
	}
}
