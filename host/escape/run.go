package main

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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// The policy's limits are small, so that probes reach them soon.
const (
	forks     = 160 // more than processes
	processes = 96
	openFiles = 1024
	tmpSize   = 48 << 20
	memoryCap = 96 << 20
	diskCap   = 64 << 20
	timeCap   = time.Second
	patience  = 60 * time.Second // for one probe; it takes milliseconds
)

// result is what one probe did in one place.
type result struct {
	outcome  catalogue.Outcome
	signal   unix.Signal      // that ended it
	reported map[string]int64 // by the kernel's feed
	changes  []string         // seen from outside
	loot     bool             // the secret was in what it read
}

// refused is the verdict: inside and outside must agree.
func (r *result) refused() bool {
	return r.outcome.Claim != catalogue.Broken && r.outcome.Claim != catalogue.Through && !r.loot && len(r.changes) == 0
}

func (r *result) open() bool { return !r.refused() && !r.broken() }

func (r *result) broken() bool {
	return r.outcome.Claim == catalogue.Broken && !r.loot && len(r.changes) == 0
}

func (r *result) detail() string {
	d := r.outcome.Detail
	switch {
	case r.loot:
		d += ": the secret"
	case len(r.changes) > 0:
		d += "; outside: " + strings.Join(r.changes[:min(len(r.changes), 3)], ", ")
	case r.outcome.Claim == catalogue.Attempted && r.outcome.Loot != "":
		d += ", not the secret"
	case r.outcome.Claim == catalogue.Attempted:
		d += ", and nothing came of it outside"
	}
	return d
}

// rig is what all runs need.
type rig struct {
	world    *world
	programs programs
	level    string
	backend  string
	boxes    map[string]*sandbox.Sandbox
}

// programs are those that scripts/escape builds.
type programs struct{ launcher, weakened, probe string }

func (g *rig) close() error {
	var all []error
	for _, b := range g.boxes {
		all = append(all, b.Close())
	}
	return errors.Join(append(all, g.world.close())...)
}

// box is the sandbox without the walls, which is the shipped launcher when there are none.
func (g *rig) box(walls []string) (*sandbox.Sandbox, error) {
	name := strings.Join(walls, ",")
	if b, ok := g.boxes[name]; ok {
		return b, nil
	}
	launcher := g.programs.launcher
	var flags uintptr
	if len(walls) > 0 {
		var err error
		if launcher, flags, err = g.weaken(walls); err != nil {
			return nil, err
		}
	}
	b, err := sandbox.New(sandbox.Options{Launcher: launcher, StateDir: g.world.target.State, Home: g.world.target.Home})
	if err != nil {
		return nil, err
	}
	sandbox.Weaken(b, flags)
	g.boxes[name] = b
	return b, nil
}

// weaken makes a launcher without these walls. The launcher reads them from behind its own end.
func (g *rig) weaken(walls []string) (string, uintptr, error) {
	layers := slices.Clone(walls)
	var flags uintptr
	for _, w := range walls {
		switch w {
		case catalogue.NetNS:
			flags |= unix.CLONE_NEWNET
			layers = append(layers, "network")
		case catalogue.PIDNS:
			flags |= unix.CLONE_NEWPID
		case catalogue.IPC:
			flags |= unix.CLONE_NEWIPC
		}
	}
	program, err := os.ReadFile(g.programs.weakened)
	if err != nil {
		return "", 0, err
	}
	program = append(program, "\nwithout: "+strings.Join(layers, ",")...)
	name := filepath.Join(filepath.Dir(g.programs.weakened), "without-"+strings.Join(walls, "-"))
	return name, flags, os.WriteFile(name, program, 0o755)
}

// policy is the one under trial. Layers can be left out of the native back-end alone: what a probe does
// without them is the same for all.
func (g *rig) policy(p *catalogue.Probe, walls []string) *work.SandboxPolicy {
	level, backend := g.level, g.backend
	if len(walls) > 0 {
		level, backend = "isolated", "native"
	}
	policy := &work.SandboxPolicy{
		Name: "escape", Level: level, Backend: backend, Declared: "scripts/escape",
		Processes: processes, OpenFiles: openFiles, FileSize: 1 << 30, Tmp: tmpSize,
	}
	if slices.Contains(walls, catalogue.Limits) {
		return policy
	}
	switch p.Ends {
	case spec.LimitMemory:
		policy.Memory = memoryCap
	case spec.LimitDisk:
		policy.Disk = diskCap
	case spec.LimitCPUTime:
		policy.CPUTime = timeCap
	}
	return policy
}

// launcherWalls are those that the launcher leaves out, not the host.
func launcherWalls(walls []string) []string {
	return slices.DeleteFunc(slices.Clone(walls), catalogue.OfHost)
}

// confined runs one probe in our sandbox, without the walls.
func (g *rig) confined(p *catalogue.Probe, walls []string) (*result, error) {
	if p.Under == catalogue.Handled || p.Under == catalogue.Spoilt {
		return g.handled(p, len(walls) > 0)
	}
	box, err := g.box(launcherWalls(walls))
	if err != nil {
		return nil, err
	}
	request, closeProgram, err := g.request(p, p.Ends != "" && len(walls) == 0, walls)
	if err != nil {
		return nil, err
	}
	defer closeProgram()
	r := &result{reported: make(map[string]int64)}
	request.OnViolation = func(v sandbox.Violation) { r.reported[v.Name] += v.Count }
	end, err := g.ways(p, &request, walls)
	if err != nil {
		return nil, err
	}
	defer end()
	text, exit, err := g.launch(box, request, g.reader(p, walls))
	if err != nil {
		return nil, fmt.Errorf("probe %s: %w", p.ID, err)
	}
	r.signal = exit.Signal
	r.read(text, exit.Lost)
	if p.Ends != "" && len(walls) == 0 {
		r.judgeEnd(p.Ends, exit.Exceeded)
	}
	return r, g.inspect(r)
}

// request is the launch of one probe in the world's own tree.
func (g *rig) request(p *catalogue.Probe, held bool, walls []string) (sandbox.Request, func() error, error) {
	argv, err := g.argv(p, held)
	if err != nil {
		return sandbox.Request{}, nil, err
	}
	program, err := g.sealed()
	if err != nil {
		return sandbox.Request{}, nil, err
	}
	return sandbox.Request{
		Policy: g.policy(p, walls), Tree: sandbox.Tree{Path: g.world.target.Tree, Mode: sandbox.TreeWritable}, Git: g.world.git,
		Program: program, Argv: argv,
	}, program.Close, nil
}

// launch runs a program in a sandbox to its end, and gives what its reader kept of what it wrote.
func (g *rig) launch(box *sandbox.Sandbox, request sandbox.Request, reader func(context.Context, *sandbox.Process, *os.File) ([]byte, error)) ([]byte, sandbox.Exit, error) {
	out, write, err := os.Pipe()
	if err != nil {
		return nil, sandbox.Exit{}, err
	}
	defer out.Close()
	request.Stdout, request.Stderr = write, write
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	process, err := box.Launch(ctx, request)
	write.Close()
	if err != nil {
		return nil, sandbox.Exit{}, err
	}
	text, err := reader(ctx, process, out)
	if err != nil {
		return nil, sandbox.Exit{}, err
	}
	return text, process.Exit(), nil
}

// judgeEnd is for a probe that must be ended: that it was refused something by itself is not enough.
func (r *result) judgeEnd(limit string, x *sandbox.Exceeded) {
	switch {
	case x != nil && x.Limit == limit:
		r.outcome = catalogue.Outcome{Claim: catalogue.Refused, Detail: fmt.Sprintf("ended: %s, %d of %d", x.Limit, x.Used, x.Cap)}
	case r.outcome.Claim != catalogue.Broken:
		r.outcome.Claim, r.outcome.Detail = catalogue.Through, r.outcome.Detail+", and the launch was not ended"
	}
}

// sealed is the probe as a plugin would be: a copy in memory that nobody can change.
func (g *rig) sealed() (*os.File, error) {
	text, err := os.ReadFile(g.programs.probe)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err != nil {
		return nil, err
	}
	memory := os.NewFile(uintptr(fd), "probe")
	defer memory.Close()
	if _, err := memory.Write(text); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, err
	}
	return os.Open("/proc/self/fd/" + strconv.Itoa(fd))
}

// collect reads the probe's report and waits for its end; a probe that does not end is killed.
func (g *rig) collect(ctx context.Context, process *sandbox.Process, out *os.File) ([]byte, error) {
	if err := out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = process.SignalAll(unix.SIGKILL) }) // it may just have ended
	defer stop()
	select {
	case <-process.Done():
	case <-ctx.Done():
		if _, err := process.Kill(context.Background()); err != nil {
			return nil, err
		}
	}
	// What outlived the launch would hold the pipe open: take what is there.
	if err := out.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(out, 1<<20))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, err
	}
	return text, nil
}

func (g *rig) argv(p *catalogue.Probe, held bool) ([]string, error) {
	t := g.world.target
	t.Held = held
	return arguments(p, t)
}

// argvAt is for a tree that the host made.
func (g *rig) argvAt(p *catalogue.Probe, h *handling) ([]string, error) {
	t := g.world.target
	t.Tree, t.Shadow = h.tree.Path(), h.shadow.Dir
	return arguments(p, t)
}

func arguments(p *catalogue.Probe, t catalogue.Target) ([]string, error) {
	target, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return []string{"probe", p.ID, string(target)}, nil
}

// plain runs one probe as this user, in front of it whatever another sandbox needs.
func (g *rig) plain(p *catalogue.Probe, wrap func(w *world, argv []string) *exec.Cmd) (*result, error) {
	argv, err := g.argv(p, false)
	if err != nil {
		return nil, err
	}
	argv[0] = g.programs.probe
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out bytes.Buffer
	cmd := wrap(g.world, argv)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 100 * time.Millisecond // survivors hold the pipe
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }) // it may just have ended
	err = cmd.Wait()
	stop()
	r := &result{}
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		r.signal = s.Signal()
	}
	lost := ""
	if err != nil {
		lost = err.Error()
	}
	r.read(out.Bytes(), lost)
	return r, g.inspect(r)
}

// read finds the report among what else was written. A probe that the kernel killed for its call has none.
func (r *result) read(text []byte, lost string) {
	for line := range bytes.Lines(text) {
		if err := json.Unmarshal(line, &r.outcome); err == nil && r.outcome.Claim != "" {
			return
		}
	}
	said := strings.TrimSpace(string(text[:min(len(text), 300)]))
	if r.signal == unix.SIGSYS || strings.Contains(said, "bad system call") || strings.Contains(lost, "bad system call") {
		r.outcome = catalogue.Outcome{Claim: catalogue.Refused, Detail: "killed by SIGSYS"}
		return
	}
	r.outcome = catalogue.Outcome{Claim: catalogue.Broken, Detail: strings.TrimSpace(fmt.Sprintf("no report (%v %s) %s", r.signal, lost, said))}
}

// inspect looks at everything outside, and puts right what is not as it was.
func (g *rig) inspect(r *result) error {
	w := g.world
	r.loot = strings.Contains(r.outcome.Loot, w.secret)
	now, err := w.look()
	if err != nil {
		return err
	}
	r.changes = append(append(r.changes, w.changes(now)...), append(w.visitors(), w.sites.taken()...)...)
	spoilt := false
	for _, o := range w.kernel {
		if err := o.intact(); err != nil {
			r.changes = append(r.changes, fmt.Sprintf("the %s of the host: %v", o.name, err))
			spoilt = true
		}
	}
	hurt := w.hurt()
	r.changes = append(r.changes, hurt...)
	survivors, err := w.survivors()
	if err != nil {
		return err
	}
	r.changes = append(r.changes, survivors...)
	if len(hurt) > 0 {
		if w.victim.Process != nil {
			_ = w.victim.Process.Kill() // it may have ended
			_ = w.victim.Wait()         // by a signal
		}
		err = w.startVictim("")
	}
	if spoilt {
		err = errors.Join(err, w.remake())
	}
	return errors.Join(err, w.restore(now))
}

// survivors finds and ends processes that a probe left: their arguments hold the mark.
func (w *world) survivors() ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || pid == w.target.Victim {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil || !bytes.Contains(text, []byte(w.target.Mark)) || !bytes.HasPrefix(text, []byte("probe\x00:")) {
			continue
		}
		list = append(list, "process "+e.Name()+" lives on")
		_ = unix.Kill(pid, unix.SIGKILL) // it is a probe's
	}
	return list, nil
}
