package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// launcherEnv keeps PID 1 small and steady: no collection while the payload may hold every thread that
// the limit allows.
func launcherEnv() []string {
	return []string{"GOGC=off", "GOMEMLIMIT=64MiB", "GOMAXPROCS=2", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}
}

// spawn starts the launcher in its new namespaces. It waits for its specification.
func (s *Sandbox) spawn(pl *plan, r Request) (*Process, error) {
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	last, err := memoryFile("launcher's last words")
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), last.Close())
	}
	defer null.Close()
	files := []*os.File{null, null, last, theirs, orNull(r.Stdin, null), orNull(r.Stdout, null), orNull(r.Stderr, null)}
	if r.Program != nil {
		files = append(files, r.Program)
	}
	if pl.spec.Backend == spec.Bwrap {
		return s.spawnWrapped(pl, r, &Process{control: ours, lastWords: last}, files)
	}
	proc, err := os.StartProcess(s.launcher.path(), []string{"drawspan-sandbox"}, &os.ProcAttr{
		Dir: "/", Env: launcherEnv(), Files: files, Sys: attributes(pl, s.without),
	})
	if err != nil {
		return nil, errors.Join(namespacesRefused(err), ours.Close(), last.Close())
	}
	p := &Process{
		os: proc, control: ours, lastWords: last, onViolation: r.OnViolation, onListener: r.OnListener, done: make(chan struct{}),
		onHost: onHost(pl.spec.Backend), tidy: pl.tidy,
	}
	return p, nil
}

func orNull(f, null *os.File) *os.File {
	if f == nil {
		return null
	}
	return f
}

// namespaces are all new. A process group of its own keeps the launcher from a Ctrl-C at the daemon's
// terminal; it leaves the terminal by itself. It does not get a session: on machines with automatic group
// scheduling each session is a group of its own, and a launch would wait for its first turn. The ambient capabilities hold in the new user namespace only, and over files of
// the daemon's own user only; without them the launcher, which is not uid 0 there, would lose them when it
// is executed. DAC_OVERRIDE is for overlayfs, whose work directory has mode 0. The launcher maps the
// daemon's user by itself: the daemon could not do it for a child once it protects its own memory from
// other processes.
func namespaces(without uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Setpgid: true,
		Cloneflags: (unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
			unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP) &^ without,
		AmbientCaps: []uintptr{
			unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_SYS_RESOURCE, unix.CAP_DAC_OVERRIDE,
		},
	}
}

// controlPair is the control socket: packets, and a close that either side sees.
func controlPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 2*spec.MaxSpec); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("size the control socket: %w", err), unix.Close(fds[0]), unix.Close(fds[1]))
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("set up the control socket: %w", err), unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "launcher's control"), nil
}

// memoryFile takes what the launcher's runtime says if it dies.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a memory file: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// namespacesRefused tells an operator what stands in the way, when the kernel would not make the
// namespaces.
func namespacesRefused(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("start the sandbox launcher: %w", err)
	}
	return unavailable("this machine refuses unprivileged user namespaces: %v", err).Fix("%s", namespaceRemedy(hostFacts()))
}
