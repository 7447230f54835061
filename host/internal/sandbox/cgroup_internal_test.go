package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// simulated is a directory with the files of a cgroup: what is written can be read back, and no kernel acts
// on it.
func simulated(t *testing.T, controllers string) *cgroups {
	t.Helper()
	populate := func(dir string) error {
		for _, f := range []string{
			"cgroup.procs", "cgroup.kill", "cgroup.subtree_control", "cgroup.controllers", "memory.max", "memory.swap.max", "memory.oom.group",
			"memory.events", "memory.peak", "pids.max", "cpu.max",
		} {
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	c := newCgroups(t.TempDir())
	c.mkdir = func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), populate(dir)) }
	c.rmdir = os.RemoveAll
	if err := populate(c.dir); err != nil {
		t.Fatal(err)
	}
	control(t, c.dir, "cgroup.controllers", controllers)
	return c
}

func control(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func said(t *testing.T, dir, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestASimulatedDelegatedCgroupIsTakenOver(t *testing.T) {
	c := simulated(t, "cpuset cpu io memory pids")
	control(t, c.dir, "cgroup.procs", "4711\n")
	if err := c.takeOver(4711); err != nil {
		t.Fatal(err)
	}
	if got := said(t, c.dir, "cgroup.subtree_control"); got != "+memory +pids +cpu" {
		t.Errorf("handed down: %q", got)
	}
	if got := said(t, filepath.Join(c.dir, daemonGroup), "cgroup.procs"); got != "4711" {
		t.Errorf("the daemon's leaf has %q", got)
	}
	t.Run("but not one with processes of others", func(t *testing.T) {
		c := simulated(t, "memory")
		control(t, c.dir, "cgroup.procs", "4711\n4712\n")
		if err := c.takeOver(4711); err == nil || !strings.Contains(err.Error(), "others") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nor one without the controller", func(t *testing.T) {
		if err := simulated(t, "cpu pids").takeOver(4711); err == nil || !strings.Contains(err.Error(), "memory controller") {
			t.Errorf("got %v", err)
		}
	})
}

func TestASimulatedCgroupOfALaunchHasItsLimitsAndTellsOfTheExcess(t *testing.T) {
	c := simulated(t, "")
	c.controllers = []string{"memory", "pids", "cpu"}
	g, err := c.launch(spec.Limits{Memory: 1 << 20, CPUs: 2, Processes: 100})
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"memory.max": "1048576", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "116", "cpu.max": "200000 100000",
	} {
		if got := said(t, g.dir, file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	control(t, g.dir, "memory.events", "low 0\nmax 7\noom 0\noom_kill 0\noom_group_kill 0\n")
	if x := g.exceeded(); x != nil {
		t.Errorf("reclaim is no excess: %+v", x)
	}
	control(t, g.dir, "memory.events", "max 7\noom 1\noom_kill 3\noom_group_kill 1\n")
	control(t, g.dir, "memory.peak", "1052672\n")
	if x := g.exceeded(); x == nil || *x != (Exceeded{Limit: spec.LimitMemory, Used: 1052672, Cap: 1 << 20}) {
		t.Errorf("exceeded: %+v", x)
	}
	var e spec.Enforced
	if g.record(&e); e.Limits.Memory == nil || *e.Limits.Memory != 1<<20 || e.Limits.MemoryBy != "cgroup" || e.Limits.Source != "rlimit+cgroup" {
		t.Errorf("recorded: %+v", e.Limits)
	}
	if err := g.remove(); err != nil {
		t.Error(err)
	}
}

func TestSimulatedCgroupsOfADeadDaemonAreRemoved(t *testing.T) {
	c := simulated(t, "memory")
	dead := exec.Command("/bin/true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(c.dir, fmt.Sprintf("%s%d-3", launchPrefix, dead.Process.Pid))
	ours := filepath.Join(c.dir, fmt.Sprintf("%s%d-1", launchPrefix, os.Getpid()))
	if err := errors.Join(c.mkdir(left), c.mkdir(ours)); err != nil {
		t.Fatal(err)
	}
	c.sweep()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead one's: %v", err)
	}
	if _, err := os.Stat(ours); err != nil {
		t.Errorf("the living one's: %v", err)
	}
}

func TestTheOwnCgroupIsFound(t *testing.T) {
	for _, c := range []struct{ cgroup, mountinfo, want string }{
		{"0::/user.slice/x.service\n", "31 24 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/user.slice/x.service"},
		{"4:memory:/a\n0::/a/b\n", "9 1 0:3 / / rw - ext4 x rw\n31 24 0:26 /a /mnt rw - cgroup2 cgroup2 rw\n", "/mnt/b"},
		{"0::/b\n", "31 24 0:26 /a /mnt rw - cgroup2 cgroup2 rw\n", ""},
		{"4:memory:/a\n", "31 24 0:26 / /mnt rw - cgroup2 cgroup2 rw\n", ""},
	} {
		proc := t.TempDir()
		control(t, proc, "cgroup", c.cgroup)
		control(t, proc, "mountinfo", c.mountinfo)
		got, err := cgroupDir(proc)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q in %q: %q, %v", c.cgroup, c.mountinfo, got, err)
		}
	}
}

// delegated is this process's own cgroup.
func delegated(t *testing.T) string {
	t.Helper()
	dir, err := cgroupDir("/proc/self")
	if err == nil {
		err = unix.Access(dir, unix.W_OK)
	}
	if err != nil {
		t.Skipf("no cgroup can be made here: it needs one of version 2 that is delegated to this user, as by systemd-run --user -p Delegate=yes: %v", err)
	}
	return dir
}

// A real cgroup, without controllers where the machine gives none to version 2: starting inside of it,
// killing and removing are the kernel's.
func TestAProcessIsStartedInItsCgroupAndDiesWithIt(t *testing.T) {
	dir := delegated(t)
	c := newCgroups(dir)
	g, err := c.launch(spec.Limits{Processes: 10})
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p, err := g.startIn("/bin/sh", []string{"sh", "-c", "grep ^0:: /proc/self/cgroup; setsid sleep 1000 & exec sleep 1000"}, &os.ProcAttr{
		Files: []*os.File{null, write, null}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	write.Close()
	text := bufio.NewReader(read)
	line, err := text.ReadString('\n')
	if err != nil || !strings.HasSuffix(strings.TrimSpace(line), filepath.Base(g.dir)) {
		t.Errorf("it is in %q, %v", line, err)
	}
	if err := g.kill(); err != nil {
		t.Error(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { _, err := text.ReadString('\n'); ended <- err }()
	select {
	case <-ended: // the pipe's last holder is gone
	case <-ctx.Done():
		t.Error("a process outlived its cgroup")
	}
	if err := g.remove(); err != nil {
		t.Error(err)
	}
}

// A launch in a real cgroup; what is simulated is that the kernel killed for want of memory.
func TestALaunchLivesInItsCgroupWhichIsRemoved(t *testing.T) {
	dir := delegated(t)
	state := t.TempDir()
	s, err := New(Options{Launcher: os.Getenv("DRAWSPAN_SANDBOX_LAUNCHER"), StateDir: state, Home: state})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.groups = newCgroups(dir)
	p, err := s.Launch(t.Context(), Request{
		Policy: &work.SandboxPolicy{Name: "test", Level: "isolated", CPUs: 1},
		Path:   "/bin/sleep", Argv: []string{"sleep", "1000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	group := p.group.dir
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID())); err != nil || !strings.Contains(string(text), "/"+filepath.Base(group)+"\n") {
		t.Errorf("it lives in %q, %v", text, err)
	}
	if p.Enforced().Limits.Source != "rlimit+cgroup" {
		t.Errorf("recorded: %+v", p.Enforced().Limits)
	}
	if err := p.group.kill(); err != nil {
		t.Error(err)
	}
	if end := p.Exit(); end.Lost == "" || end.Exceeded != nil {
		t.Errorf("exit: %+v", end)
	}
	if _, err := os.Stat(group); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cgroup is still there: %v", err)
	}
}

// Nothing can be started in a simulated cgroup. A launch that should live in one of its own has to fail, and
// not to be served by a launcher that was started elsewhere.
func TestALaunchWithACgroupOfItsOwnIsNotServedByWhatStandsReady(t *testing.T) {
	if why := os.Getenv("DRAWSPAN_SANDBOX_MISSING"); why != "" {
		t.Skip(why)
	}
	state := t.TempDir()
	s, err := New(Options{Launcher: os.Getenv("DRAWSPAN_SANDBOX_LAUNCHER"), StateDir: state, Home: state})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	policy := &work.SandboxPolicy{Name: "test", Level: "isolated"}
	first, err := s.Launch(t.Context(), Request{Policy: policy, Path: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	first.Exit()
	pid := s.StandingPID()
	if pid == 0 {
		t.Fatal("no launcher stands ready")
	}
	s.groups, policy.CPUs = simulated(t, "cpu"), 1
	if p, err := s.Launch(t.Context(), Request{Policy: policy, Path: "/bin/true"}); err == nil {
		t.Errorf("launched by %d, and %d stood ready: %+v", p.PID(), pid, p.Exit())
	}
	if s.groups.made.Load() != 1 {
		t.Error("the launch has no cgroup")
	}
	if got := s.StandingPID(); got != pid {
		t.Errorf("%d stands ready, and it was %d", got, pid)
	}
}
