package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// standing launches once, and returns the launcher that stands ready then.
func (f *fixture) standing() int {
	f.t.Helper()
	f.runTrue()
	pid := f.box.StandingPID()
	if pid == 0 {
		f.t.Fatal("no launcher stands ready")
	}
	return pid
}

// ended runs something short and returns its launcher.
func (f *fixture) ended(r sandbox.Request) int {
	f.t.Helper()
	if r.Path == "" {
		r.Path = "/bin/true"
	}
	p := f.launch(r)
	if end := p.Exit(); end.Code != 0 || end.Lost != "" {
		f.t.Errorf("exit: %+v", end)
	}
	return p.PID()
}

// end returns a function that waits until a process, whoever its parent is then, has ended.
func end(t *testing.T, pid int) func() {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func() {
		t.Helper()
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
		for err == unix.EINTR {
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
		}
		if n != 1 || err != nil {
			t.Errorf("the process %d lives on: %v", pid, err)
		}
	}
}

func reaped(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("%d was not reaped: %v", pid, err)
	}
}

// namespaces names those of a process, which stay until the end of the test: their numbers are not used again.
func namespaces(t *testing.T, pid int) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, kind := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		held, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { held.Close() })
		if all[kind], err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", held.Fd())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestNoLauncherStandsReadyBeforeTheFirstLaunch(t *testing.T) {
	f := newFixture(t)
	if pid := f.box.StandingPID(); pid != 0 {
		t.Errorf("%d waits for what may never come", pid)
	}
}

func TestALauncherThatStandsReadyServesOneLaunch(t *testing.T) {
	f := newFixture(t)
	seen := map[string]string{}
	for kind, name := range namespaces(t, os.Getpid()) {
		seen[name] = "the daemon's " + kind
	}
	for range 3 {
		pid := f.standing()
		for kind, name := range namespaces(t, pid) {
			if seen[name] != "" {
				t.Errorf("the %s namespace was %s before", kind, seen[name])
			}
			seen[name] = "another launch's " + kind
		}
		p := f.launch(sandbox.Request{Tree: f.writable(), Path: "/bin/sleep", Argv: []string{"sleep", "1000"}})
		if p.PID() != pid {
			t.Errorf("launched by %d, and %d stood ready", p.PID(), pid)
		}
		if next := f.box.StandingPID(); next == pid || next == 0 {
			t.Errorf("after %d comes %d", pid, next)
		}
		if d, err := p.Kill(deadline(t)); err != nil || !d.Proved {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

func TestALauncherThatStandsReadyHoldsAndKnowsNothing(t *testing.T) {
	leak, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	f := newFixture(t)
	dir := fmt.Sprintf("/proc/%d/", f.standing())
	var open []string
	for until := time.Now().Add(limit); time.Now().Before(until); runtime.Gosched() {
		entries, err := os.ReadDir(dir + "fd")
		if err != nil {
			t.Fatal(err)
		}
		open = nil
		for _, e := range entries {
			to, err := os.Readlink(dir + "fd/" + e.Name())
			if err == nil && !strings.HasPrefix(to, "anon_inode:[event") { // the runtime's own
				open = append(open, e.Name())
			}
		}
		if len(open) == 4 {
			break
		}
	}
	if strings.Join(open, " ") != "0 1 2 3" {
		t.Errorf("it holds %v", open)
	}
	if env := strings.Split(strings.TrimSuffix(read(t, dir+"environ"), "\x00"), "\x00"); strings.Join(env, " ") != strings.Join(spec.LauncherEnv(), " ") {
		t.Errorf("its environment is %q", env)
	}
	if args := read(t, dir+"cmdline"); args != "drawspan-sandbox\x00" {
		t.Errorf("its arguments are %q", args)
	}
}

func TestALauncherThatStoodReadyAndIsDeadIsDoneWithout(t *testing.T) {
	f := newFixture(t)
	pid := f.standing()
	ended := end(t, pid)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended()
	if got := f.ended(sandbox.Request{}); got == pid {
		t.Error("the dead one was used")
	}
	if next := f.box.StandingPID(); next == 0 || next == pid {
		t.Errorf("after it %d stands ready", next)
	}
	reaped(t, pid)
}

func TestALauncherThatDiesWhenItIsAskedIsDoneWithout(t *testing.T) {
	f := newFixture(t)
	pid := f.standing()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	killed := make(chan error, 1)
	go func() {
		for !f.box.StandingTaken() {
			runtime.Gosched()
		}
		killed <- unix.Kill(pid, unix.SIGKILL)
	}()
	if text, end := f.script(sandbox.Request{}, "echo fresh"); text != "fresh\n" || end.Code != 0 {
		t.Errorf("%q, %+v", text, end)
	}
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	reaped(t, pid)
}

func TestALauncherThatDoesNotAnswerIsDoneWithout(t *testing.T) {
	f := newFixture(t)
	pid := f.standing()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if got := f.ended(sandbox.Request{}); got == pid {
		t.Error("it was used")
	}
	reaped(t, pid)
}

func TestALaunchThatIsGivenUpIsNotTriedAgain(t *testing.T) {
	f := newFixture(t)
	pid := f.standing()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(deadline(t))
	stopped := errors.New("the daemon stops")
	time.AfterFunc(50*time.Millisecond, func() { cancel(stopped) })
	if _, err := f.box.Launch(ctx, sandbox.Request{Policy: isolated(), Path: "/bin/true"}); !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
	reaped(t, pid)
}

func TestARefusedSourceIsToldByAFreshLauncher(t *testing.T) {
	f := newFixture(t)
	pid := f.standing()
	tree := f.writable()
	tree.Dev, tree.Ino = 1, 1
	if _, err := f.box.Launch(deadline(t), sandbox.Request{Policy: isolated(), Path: "/bin/true", Tree: tree}); !fault.Is(err, fault.TreeRefused) {
		t.Errorf("got %v", err)
	}
	reaped(t, pid)
	f.ended(sandbox.Request{Tree: f.writable()})
}

func TestOtherNamespacesAreMadeForTheLaunch(t *testing.T) {
	f := newFixture(t)
	pid := f.standing()
	open := isolated()
	open.Level, open.Network.Mode = spec.LevelGuarded, spec.NetworkHost
	landlock := isolated()
	landlock.Level, landlock.Backend = spec.LevelGuarded, spec.Landlock
	for _, r := range []sandbox.Request{{Policy: open}, {Policy: landlock}} {
		if got := f.ended(r); got == pid {
			t.Errorf("%s %s: it was used", r.Policy.Backend, r.Policy.Network.Mode)
		}
	}
	f.box.Try(deadline(t)) // what stands ready says nothing of what the machine allows now
	if got := f.box.StandingPID(); got != pid {
		t.Errorf("%d stands ready, and it was %d", got, pid)
	}
}

func TestNothingStandsReadyWhileAPayloadIsNotConfined(t *testing.T) {
	f := newFixture(t)
	pid := f.standing()
	p := f.launch(sandbox.Request{Policy: off(), Path: "/bin/sleep", Argv: []string{"sleep", "1000"}})
	reaped(t, pid)
	f.runTrue()
	if got := f.box.StandingPID(); got != 0 {
		t.Errorf("%d stands ready beside it", got)
	}
	if _, err := p.Kill(deadline(t)); err != nil {
		t.Error(err)
	}
	if _, err := f.box.Launch(deadline(t), sandbox.Request{Policy: off(), Path: "/does/not/exist"}); !fault.Is(err, fault.PluginStart) {
		t.Errorf("got %v", err)
	}
	for until := time.Now().Add(limit); f.box.StandingPID() == 0 && time.Now().Before(until); {
		f.runTrue()
	}
	if f.box.StandingPID() == 0 {
		t.Error("nothing stands ready after it")
	}
}

func TestOfManyLaunchesAtOnceOneTakesWhatStandsReady(t *testing.T) {
	f := newFixture(t)
	pid := f.standing()
	const n = 50
	var wait sync.WaitGroup
	pids := make(chan int, n)
	for range n {
		wait.Go(func() {
			p, err := f.box.Launch(deadline(t), sandbox.Request{Policy: isolated(), Path: "/bin/true"})
			if err != nil {
				t.Errorf("launch: %v", err)
				return
			}
			if end := p.Exit(); end.Code != 0 || end.Lost != "" {
				t.Errorf("exit: %+v", end)
			}
			pids <- p.PID()
		})
	}
	wait.Wait()
	close(pids)
	taken := 0
	for got := range pids {
		if got == pid {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("%d launches had it", taken)
	}
	next := f.box.StandingPID()
	if next == 0 || next == pid {
		t.Errorf("after it %d stands ready", next)
	}
	want := map[string]bool{strconv.Itoa(next): true, strconv.Itoa(f.box.SpawnerPID()): true}
	for _, child := range children(t) {
		if !want[child] {
			t.Errorf("%s is left", child)
		}
	}
}

func TestLimitsAndMaskAreThoseOfAnyLaunch(t *testing.T) {
	f := newFixture(t)
	const told = "umask; cat /proc/self/limits; grep -E '^(Groups|NoNewPrivs|Cap|Sig)' /proc/self/status; nice"
	fresh, _ := f.script(sandbox.Request{}, told)
	f.standing()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_SIGPENDING, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_SIGPENDING, &unix.Rlimit{Cur: was.Cur - 1, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_SIGPENDING, &was)
	defer unix.Umask(unix.Umask(0o077))
	if stood, _ := f.script(sandbox.Request{}, told); stood != fresh || !strings.Contains(stood, "Max open files") {
		t.Errorf("a launcher that stood ready gave\n%s\nand one before\n%s", stood, fresh)
	}
	f.box.StandingPID()
	if err := unix.Kill(f.box.StandingPID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if later, _ := f.script(sandbox.Request{}, told); later != fresh {
		t.Errorf("a fresh launcher gave\n%s\nand one before\n%s", later, fresh)
	}
}

func TestNothingStandsReadyAfterTheSandbox(t *testing.T) {
	needSandbox(t)
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 3 {
		box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: realTemp(t), Home: realTemp(t)})
		if err != nil {
			t.Fatal(err)
		}
		pid := 0
		for range 3 {
			p, err := box.Launch(deadline(t), sandbox.Request{Policy: isolated(), Path: "/bin/true"})
			if err != nil {
				t.Fatal(err)
			}
			p.Exit()
			pid = box.StandingPID()
		}
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil { // which must not hold up the end
			t.Fatal(err)
		}
		if err := box.Close(); err != nil {
			t.Error(err)
		}
		reaped(t, pid)
	}
	for until := time.Now().Add(limit); runtime.NumGoroutine() > goroutines && time.Now().Before(until); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, and %d before", n, goroutines)
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d descriptors, and %d before", n, files)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") { // the runtime's
			n++
		}
	}
	return n
}

func TestALauncherThatStandsReadyEndsWithAKilledDaemon(t *testing.T) {
	needSandbox(t)
	out, write := pipe(t)
	daemon := outside(t, "standing", realTemp(t), realTemp(t))
	daemon.Stdout = write
	daemon.Env = []string{launcherVariable + "=" + os.Getenv(launcherVariable)}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	pid, err := strconv.Atoi(readLines(t, out, 1)[0])
	if err != nil || pid == 0 {
		t.Fatalf("%d stands ready: %v", pid, err)
	}
	ended := end(t, pid)
	if err := daemon.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Process.Wait(); err != nil {
		t.Fatal(err)
	}
	ended()
}

// runStanding is a daemon that tells of the launcher that stands ready, and waits to be killed.
func runStanding(args []string) int {
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: args[0], Home: args[1]})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := box.Launch(context.Background(), sandbox.Request{Policy: isolated(), Path: "/bin/true"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p.Exit()
	fmt.Println(box.StandingPID())
	select {}
}

func TestWhatIsMountedLaterIsSeen(t *testing.T) {
	needSandbox(t)
	for _, how := range []string{"noticed", "below", "unnoticed"} {
		t.Run(how, func(t *testing.T) {
			tree := realTemp(t)
			if err := os.Mkdir(filepath.Join(tree, "below"), 0o755); err != nil {
				t.Fatal(err)
			}
			daemon := outside(t, "mounting", realTemp(t), realTemp(t), tree, how)
			daemon.Env = []string{launcherVariable + "=" + os.Getenv(launcherVariable)}
			daemon.SysProcAttr = spec.Namespaces(unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
			daemon.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
			daemon.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
			out, err := daemon.Output()
			if err != nil || string(out) != "seen\n" {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// runMounting is a daemon that mounts something over its tree, or in it, while a launcher stands ready. How
// says whether the sandbox may notice.
func runMounting(args []string) int {
	tree, how := args[2], args[3]
	if err := mountLater(args[0], args[1], tree, how); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func mountLater(state, home, tree, how string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: state, Home: home})
	if err != nil {
		return err
	}
	defer box.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	request := sandbox.Request{
		Policy: isolated(), Path: "/bin/sh", Argv: []string{"sh", "-c", "find . -name new | grep -q . && echo seen"},
		Tree: sandbox.Tree{Path: tree, Mode: sandbox.TreeWritable}, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	p, err := box.Launch(ctx, request)
	if err != nil {
		return err
	}
	p.Exit()
	ready := box.StandingPID()
	at := tree
	if how == "below" {
		at = filepath.Join(tree, "below")
	}
	if err := unix.Mount("later", at, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := os.WriteFile(filepath.Join(at, "new"), nil, 0o644); err != nil {
		return err
	}
	if how == "unnoticed" {
		if err := box.ForgetMounts(); err != nil {
			return err
		}
	}
	if p, err = box.Launch(ctx, request); err != nil {
		return err
	}
	if end := p.Exit(); end.Code != 0 || p.PID() == ready || ready == 0 {
		return fmt.Errorf("launched by %d, and %d stood ready: %+v", p.PID(), ready, end)
	}
	return nil
}

func TestALauncherTakesExactlyTheDescriptorsOfItsSpecification(t *testing.T) {
	f := newFixture(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, program := range []bool{false, true} {
		sp := spec.Spec{Program: program, Path: "/bin/true", Argv: []string{"true"}}
		for n := range 8 {
			if n == sp.Descriptors() {
				continue
			}
			files := make([]*os.File, n)
			for i := range files {
				files[i] = null
			}
			words, err := f.box.LastWords(sp.Append(nil), files)
			if err != nil || !strings.Contains(words, "not the descriptors that belong to the specification") {
				t.Errorf("program %v, %d descriptors: %q, %v", program, n, words, err)
			}
		}
	}
}
