package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// Names below the delegated cgroup.
const (
	daemonGroup  = "drawspan-daemon" // where the daemon moves itself: only leaves may have processes
	launchPrefix = "launch-"
)

// cgroups is a part of the version 2 hierarchy that was delegated to the daemon: it has the memory
// controller, and nobody else's processes.
type cgroups struct {
	dir         string
	controllers []string // those that launches get
	made        atomic.Int64
	mkdir       func(string) error
	rmdir       func(string) error
}

// cgroup is the one of a launch.
type cgroup struct {
	dir    string
	memory int64
	rmdir  func(string) error
}

// ownCgroups takes the delegated cgroup over, or says why there is none. What a killed daemon left there is
// removed.
func ownCgroups(proc string) (*cgroups, error) {
	dir, err := cgroupDir(proc)
	if err != nil {
		return nil, err
	}
	if filepath.Base(dir) == daemonGroup {
		dir = filepath.Dir(dir)
	}
	c := newCgroups(dir)
	if err := c.takeOver(os.Getpid()); err != nil {
		return nil, err
	}
	c.sweep()
	return c, nil
}

func newCgroups(dir string) *cgroups {
	return &cgroups{dir: dir, mkdir: func(name string) error { return os.Mkdir(name, 0o755) }, rmdir: removeGroup}
}

// cgroupDir finds the directory of this process's cgroup.
func cgroupDir(proc string) (string, error) {
	own, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return "", err
	}
	_, group, ok := strings.Cut("\n"+string(own), "\n0::")
	if !ok {
		return "", errors.New("there is no cgroup of version 2")
	}
	group, _, _ = strings.Cut(group, "\n")
	mounts, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if !ok || !strings.HasPrefix(after, "cgroup2 ") || len(f) < 5 {
			continue
		}
		below, err := filepath.Rel(f[3], group)
		if err == nil && filepath.IsLocal(below) {
			return filepath.Join(f[4], below), nil
		}
	}
	return "", errors.New("the cgroup is not mounted")
}

// takeOver moves the daemon into a leaf and hands the controllers down. What fails is undone.
func (c *cgroups) takeOver(pid int) error {
	there, err := words(filepath.Join(c.dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if !slices.Contains(there, "memory") {
		return fmt.Errorf("%s has no memory controller", c.dir)
	}
	if err := unix.Access(c.dir, unix.W_OK); err != nil {
		return fmt.Errorf("%s is not delegated to the daemon: %w", c.dir, err)
	}
	for _, name := range []string{"memory", "pids", "cpu"} {
		if slices.Contains(there, name) {
			c.controllers = append(c.controllers, name)
		}
	}
	inside, err := words(filepath.Join(c.dir, "cgroup.procs"))
	if err != nil {
		return err
	}
	own := strconv.Itoa(pid)
	if slices.ContainsFunc(inside, func(p string) bool { return p != own }) {
		return fmt.Errorf("%s has processes of others", c.dir)
	}
	leaf := filepath.Join(c.dir, daemonGroup)
	if err := c.mkdir(leaf); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := put(filepath.Join(leaf, "cgroup.procs"), own); err != nil {
		return errors.Join(err, c.rmdir(leaf))
	}
	err = put(filepath.Join(c.dir, "cgroup.subtree_control"), "+"+strings.Join(c.controllers, " +"))
	if err != nil {
		return errors.Join(err, put(filepath.Join(c.dir, "cgroup.procs"), own), c.rmdir(leaf))
	}
	return nil
}

// sweep removes what daemons left that are not alive any more.
func (c *cgroups) sweep() {
	names, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, n := range names {
		rest, ok := strings.CutPrefix(n.Name(), launchPrefix)
		maker, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(maker)
		if !ok || err != nil || unix.Kill(pid, 0) == nil {
			continue
		}
		g := &cgroup{dir: filepath.Join(c.dir, n.Name()), rmdir: c.rmdir}
		if g.kill() == nil {
			_ = g.remove() // it is empty of processes; a later start tries again
		}
	}
}

// launch makes the cgroup of one launch.
func (c *cgroups) launch(l spec.Limits) (*cgroup, error) {
	g := &cgroup{
		dir:    filepath.Join(c.dir, fmt.Sprintf("%s%d-%d", launchPrefix, os.Getpid(), c.made.Add(1))),
		memory: l.Memory, rmdir: c.rmdir,
	}
	if err := c.mkdir(g.dir); err != nil {
		return nil, err
	}
	for _, s := range c.settings(l) {
		err := put(filepath.Join(g.dir, s.file), s.value)
		if err != nil && !(s.optional && errors.Is(err, fs.ErrNotExist)) {
			return nil, errors.Join(err, g.remove())
		}
	}
	return g, nil
}

type setting struct {
	file, value string
	optional    bool
}

func (c *cgroups) settings(l spec.Limits) []setting {
	var list []setting
	if l.Memory > 0 {
		list = append(list,
			setting{"memory.max", strconv.FormatInt(l.Memory, 10), false},
			setting{"memory.swap.max", "0", true}, // a kernel without swap has none
			setting{"memory.oom.group", "1", false})
	}
	const own = 16 // the launcher's threads
	if slices.Contains(c.controllers, "pids") {
		list = append(list, setting{"pids.max", strconv.Itoa(l.Processes + own), false})
	}
	if l.CPUs > 0 && slices.Contains(c.controllers, "cpu") {
		const period = 100000
		list = append(list, setting{"cpu.max", fmt.Sprintf("%d %d", l.CPUs*period, period), false})
	}
	return list
}

// group makes the launch's own cgroup, where limits ask for one and it can be had. What it holds needs no
// watching. Bubblewrap would start the launcher outside of it.
func (s *Sandbox) group(pl *plan) {
	l := &pl.spec.Limits
	if s.groups == nil || l.Memory == 0 && l.CPUs == 0 || pl.spec.Backend == spec.Bwrap {
		return
	}
	g, err := s.groups.launch(*l)
	if err != nil {
		s.log.Warn("a launch gets no cgroup, its memory is watched", "error", err)
		return
	}
	pl.group, l.Memory = g, 0
}

// startIn starts a process inside of the cgroup; without one it starts it where the daemon is.
func (g *cgroup) startIn(name string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	if g == nil {
		return os.StartProcess(name, argv, attr)
	}
	dir, err := os.OpenFile(g.dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(dir.Fd())
	return os.StartProcess(name, argv, attr)
}

// record adds to the vector what the cgroup holds.
func (g *cgroup) record(e *spec.Enforced) {
	if g == nil {
		return
	}
	e.Limits.Source = "rlimit+cgroup"
	if g.memory > 0 {
		e.Limits.Memory, e.Limits.MemoryBy = &g.memory, limitCgroup
	}
}

// exceeded tells, after the end, whether the kernel killed for want of memory.
func (g *cgroup) exceeded() *Exceeded {
	events, err := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(events)) {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == "oom_kill" && f[1] != "0" {
			return &Exceeded{Limit: spec.LimitMemory, Used: max(g.number("memory.peak"), g.memory), Cap: g.memory}
		}
	}
	return nil
}

func (g *cgroup) number(file string) int64 {
	w, err := words(filepath.Join(g.dir, file))
	if err != nil || len(w) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(w[0], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// kill ends everything in it at once.
func (g *cgroup) kill() error { return put(filepath.Join(g.dir, "cgroup.kill"), "1") }

func (g *cgroup) remove() error { return g.rmdir(g.dir) }

// removeGroup waits a moment for the kernel to let go of what has just died.
func removeGroup(dir string) error {
	for tries := 0; ; tries++ {
		err := unix.Rmdir(dir)
		if err != unix.EBUSY || tries == 100 {
			if err == nil || err == unix.ENOENT {
				return nil
			}
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// put writes a control file, which must be there.
func put(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func words(name string) ([]string, error) {
	text, err := os.ReadFile(name)
	return strings.Fields(string(text)), err
}
