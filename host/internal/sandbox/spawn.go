package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// starter starts the launcher's process with these descriptors, from 0 on.
type starter func(p *Process, files []*os.File) error

// spawn starts a launcher in its new namespaces. It waits for its specification.
func (s *Sandbox) spawn(pl *plan) (*Process, error) {
	if s.usual(pl) {
		if p, err := s.spawnUsual(); err == nil {
			return p, nil
		}
	}
	if pl.spec.Backend == spec.Bwrap {
		return spawnBy(s.wrapped(pl))
	}
	return spawnBy(s.direct(pl))
}

// usual reports a launch in every kind of namespace, without a cgroup of its own: the spawner starts no others.
func (s *Sandbox) usual(pl *plan) bool {
	return pl.group == nil && pl.spec.Backend == spec.Native && pl.spec.Network != spec.NetworkHost && s.without == 0
}

// spawnUsual has the spawner start a launcher.
func (s *Sandbox) spawnUsual() (*Process, error) {
	p, err := spawnBy(func(p *Process, files []*os.File) (err error) {
		p.os, err = s.spawner.start(files)
		return err
	})
	if err != nil && !errors.Is(err, errNoSpawner) {
		s.log.Warn("launches are slower from now on", "error", err)
	}
	return p, err
}

// direct starts a launcher without a spawner.
func (s *Sandbox) direct(pl *plan) starter {
	return func(p *Process, files []*os.File) (err error) {
		p.os, err = pl.group.startIn(s.launcher.path(), []string{"drawspan-sandbox"}, &os.ProcAttr{
			Dir: "/", Env: spec.LauncherEnv(), Files: files, Sys: attributes(pl, s.without),
		})
		if err != nil {
			return namespacesRefused(err)
		}
		return nil
	}
}

// spawnBy starts a launcher in one of the ways. Each has a control socket of its own: a launcher that a failed
// spawner has started after all finds its socket closed, and ends.
func spawnBy(start starter) (*Process, error) {
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	last, err := memoryFile("launcher's last words")
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	null, err := openNull()
	if err != nil {
		return nil, errors.Join(err, ours.Close(), last.Close())
	}
	defer null.Close()
	p := &Process{control: ours, lastWords: last, done: make(chan struct{})}
	if err := start(p, []*os.File{null, null, last, theirs}); err != nil {
		return nil, errors.Join(err, ours.Close(), last.Close())
	}
	return p, nil
}

func openNull() (*os.File, error) { return os.OpenFile(os.DevNull, os.O_RDWR, 0) }

// assign makes a launcher that one of a launch.
func (p *Process) assign(pl *plan, r Request) {
	p.onViolation, p.onExceeded, p.onListener, p.onGateway = r.OnViolation, r.OnExceeded, r.OnListener, r.OnGateway
	p.onHost, p.tidy, p.group = onHost(pl.spec.Backend), pl.tidy, pl.group
}

// propose sends the specification and the descriptors of the payload.
func (p *Process) propose(pl *plan, r Request) error {
	packet := pl.spec.Append(nil)
	if len(packet) > spec.MaxSpec {
		return fault.New(fault.TooLarge, "arguments, environment and paths of the launch exceed %d bytes", spec.MaxSpec)
	}
	null, err := openNull()
	if err != nil {
		return err
	}
	defer null.Close()
	files := []*os.File{cmp.Or(r.Stdin, null), cmp.Or(r.Stdout, null), cmp.Or(r.Stderr, null), r.Program}
	if err := sendFiles(p.control, packet, files[:pl.spec.Descriptors()]); err != nil {
		return &unfit{p.silence("the end of the specification", err)} // it died before it read
	}
	return nil
}

// sendFiles sends one packet with descriptors.
func sendFiles(to *os.File, packet []byte, files []*os.File) error {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	raw, err := to.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), packet, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return sent != unix.EAGAIN
	})
	runtime.KeepAlive(files)
	return errors.Join(err, sent)
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
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // its path is the number of a descriptor, another one each time
	}
	return unavailable("this machine refuses unprivileged user namespaces: %v", err).Fix("%s", namespaceRemedy(hostFacts()))
}
