package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// starter starts the launcher's process with these descriptors, from 0 on.
type starter func(files []*os.File) (*os.Process, error)

// spawn starts the launcher in its new namespaces. It waits for its specification.
func (s *Sandbox) spawn(pl *plan, r Request) (*Process, error) {
	if pl.group == nil && pl.spec.Backend == spec.Native && pl.spec.Network != spec.NetworkHost && s.without == 0 {
		p, err := s.spawnBy(s.spawner.start, pl, r)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, errNoSpawner) {
			s.log.Warn("launches are slower from now on", "error", err)
		}
	}
	return s.spawnBy(s.starter(pl), pl, r)
}

// starter starts a launcher without a spawner.
func (s *Sandbox) starter(pl *plan) starter {
	return func(files []*os.File) (*os.Process, error) {
		process, err := pl.group.startIn(s.launcher.path(), []string{"drawspan-sandbox"}, &os.ProcAttr{
			Dir: "/", Env: spec.LauncherEnv(), Files: files, Sys: attributes(pl, s.without),
		})
		if err != nil {
			return nil, namespacesRefused(err)
		}
		return process, nil
	}
}

// spawnBy starts the launcher in one of the two ways. Each has a control socket of its own: a launcher that
// a failed spawner has started after all finds its socket closed, and ends.
func (s *Sandbox) spawnBy(start starter, pl *plan, r Request) (*Process, error) {
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
	process, err := start(files)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), last.Close())
	}
	return &Process{
		os: process, control: ours, lastWords: last, onViolation: r.OnViolation, onExceeded: r.OnExceeded, onListener: r.OnListener,
		done: make(chan struct{}), onHost: onHost(pl.spec.Backend), tidy: pl.tidy, group: pl.group,
	}, nil
}

func orNull(f, null *os.File) *os.File {
	if f == nil {
		return null
	}
	return f
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
