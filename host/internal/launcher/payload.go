package launcher

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// payload is the one process that is waited for.
type payload struct {
	alive chan struct{} // closed when it was started

	mu  sync.Mutex
	pid int // 0 when it is not alive
}

// signal reaches the main process only while it has not been reaped, so never another one.
func (p *payload) signal(sig unix.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid != 0 {
		_ = unix.Kill(p.pid, sig) // a process that is gone by itself needs no signal
	}
}

// prepare does what the payload's start would have to wait for, while the daemon judges the report. The
// lifeline gets its thread now: the payload may leave no room for another one.
func (b *box) prepare() *payload {
	p := &payload{alive: make(chan struct{})}
	for _, run := range b.watch {
		onThread(p, run)
	}
	if supervised(b.spec) {
		b.feed.begin()
		return p
	}
	go func() {
		<-p.alive
		serveDaemon(p)
	}()
	if !b.report.Features.Scopes {
		catchSignals()
	}
	b.feed.begin()
	return p
}

// runPayload starts the payload, serves the daemon while it runs, and reports its end. When the launcher
// returns, the kernel kills whatever is left in the namespace.
func (b *box) runPayload(p *payload) int {
	started := &spec.Started{}
	err := p.start(b.spec)
	if err != nil {
		started.Err = err.Error()
	}
	started.PID = p.pid
	if sendErr := send(spec.Message{Started: started}); sendErr != nil || err != nil {
		return exitRefused
	}
	close(p.alive)
	end, err := p.wait()
	if err != nil {
		return exitRefused
	}
	b.feed.flush(true)
	if err := send(spec.Message{Exit: end}); err != nil {
		return exitOrphaned
	}
	return exitReported
}

// catchSignals keeps the payload from ending PID 1 by a signal, on kernels whose Landlock does not. They
// are caught, not ignored: an ignored signal would be inherited as ignored by the payload.
func catchSignals() {
	caught := make(chan os.Signal, 1) // never read: what does not fit is dropped
	signal.Notify(caught, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGABRT, unix.SIGILL,
		unix.SIGTRAP, unix.SIGSYS, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGSTKFLT, unix.SIGXCPU,
		unix.SIGXFSZ, unix.SIGALRM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE)
}

// serveDaemon is the lifeline: it passes signals on, and ends the launcher, and with it the namespace,
// when the daemon's end is closed.
func serveDaemon(p *payload) {
	var packet [2]byte
	for {
		n, err := readControl(packet[:])
		if err != nil {
			os.Exit(exitOrphaned)
		}
		if n < 2 {
			continue
		}
		switch sig := unix.Signal(packet[1]); packet[0] {
		case spec.CommandSignal:
			p.signal(sig)
		case spec.CommandSignalAll:
			_ = unix.Kill(-1, sig) // nobody left to signal is no failure
		}
	}
}

// start forks the payload from this thread, so that it inherits the thread's restrictions.
func (p *payload) start(sp *spec.Spec) error {
	name := "/proc/self/fd/" + strconv.Itoa(spec.ProgramFD)
	if !sp.Program {
		var err error
		if name, err = lookUp(sp.Path, sp.Env); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	p.pid, err = syscall.ForkExec(name, sp.Argv, &syscall.ProcAttr{
		Dir:   sp.Dir,
		Env:   sp.Env,
		Files: []uintptr{spec.StdioFD, spec.StdioFD + 1, spec.StdioFD + 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true}, // a signal to its own group is not for PID 1
	})
	return errors.Join(err, letGo(sp.Program))
}

// letGo closes PID 1's copies of what the payload has: an end of a pipe that the payload closes is closed.
func letGo(program bool) error {
	last := uint(spec.StdioFD + 2)
	if program {
		last = spec.ProgramFD
	}
	return unix.CloseRange(spec.StdioFD, last, 0)
}

// lookUp finds a program by name in the payload's PATH, within the view.
func lookUp(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, entry := range env {
		dirs, ok := strings.CutPrefix(entry, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(dirs, ":") {
			candidate := path.Join(dir, name)
			var st unix.Stat_t
			if !path.IsAbs(dir) || unix.Stat(candidate, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
				continue
			}
			if unix.Access(candidate, unix.X_OK) == nil {
				return candidate, nil
			}
		}
	}
	return "", fmt.Errorf("%s: not found in the sandbox's PATH", name)
}

// wait reaps whatever dies until the main process does, and counts who is alive then.
func (p *payload) wait() (*spec.Exit, error) {
	for {
		if err := awaitChild(); err != nil {
			return nil, err
		}
		end, err := p.reap()
		if end != nil || err != nil {
			return end, err
		}
	}
}

// awaitChild blocks until a child can be reaped, and leaves it.
func awaitChild() error {
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// reap takes one dead child. The lock keeps a signal from reaching a reused process id.
func (p *payload) reap() (*spec.Exit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(leftovers)
}

// take reaps one child; others counts who is alive beside the main process when it ends.
func (p *payload) take(others func() (int, error)) (*spec.Exit, error) {
	var status unix.WaitStatus
	var usage unix.Rusage
	pid, err := unix.Wait4(-1, &status, unix.WNOHANG, &usage)
	if err == unix.EINTR || err == nil && pid != p.pid {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.pid = 0
	end := &spec.Exit{
		Code:     status.ExitStatus(),
		UserUS:   usage.Utime.Nano() / 1e3,
		SystemUS: usage.Stime.Nano() / 1e3,
		MaxRSSKB: usage.Maxrss,
	}
	if status.Signaled() {
		end.Code, end.Signal = 0, int(status.Signal())
	}
	end.Leftovers, err = others()
	return end, err
}

// leftovers counts the processes beside PID 1 that are alive: neither zombie nor dead.
func leftovers() (int, error) {
	if unix.Kill(-1, 0) == unix.ESRCH {
		return 0, nil // the usual case: there is nobody
	}
	pids, err := processes()
	if err != nil {
		return 0, err
	}
	others := 0
	for _, pid := range pids {
		if r, ok := look(pid); ok && pid != 1 && r.alive() {
			others++
		}
	}
	return others, nil
}

// processes lists the ids that /proc shows.
func processes() ([]int, error) {
	fd, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	defer unix.Close(fd)
	var pids []int
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, fmt.Errorf("read /proc: %w", err)
		}
		if n == 0 {
			return pids, nil
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				pids = append(pids, pid)
			}
		}
	}
}
