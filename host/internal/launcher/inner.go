package launcher

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// innerName is the argument of the launcher's second process. Where there is no process namespace the
// supervising launcher must share no Landlock domain with the payload, not even by one thread: signals are
// allowed inside of a domain. So another process enters the domain, and becomes the payload.
const innerName = "inner"

func isInner() bool { return len(os.Args) == 2 && os.Args[1] == innerName }

// inner is that process, seen from the supervisor.
type inner struct {
	pid     int
	control int
}

// startInner lets the second process put everything in force, and takes its report over.
func (b *box) startInner() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 2*spec.MaxSpec); err != nil {
		return fmt.Errorf("size the socket: %w", err)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"drawspan-sandbox", innerName}, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOGC=off", "GOMAXPROCS=2"}, Sys: &syscall.SysProcAttr{Setpgid: true},
		Files: []uintptr{0, 1, 2, uintptr(pair[1])},
	})
	if err := errors.Join(err, unix.Close(pair[1])); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	b.inner = &inner{pid: pid, control: pair[0]}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("become undumpable: %w", err)
	}
	files := []int{spec.StdioFD, spec.StdioFD + 1, spec.StdioFD + 2, spec.ProgramFD}[:b.spec.Descriptors()]
	if err := unix.Sendmsg(pair[0], b.spec.Append(nil), unix.UnixRights(files...), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("send the specification: %w", err)
	}
	return b.takeReport()
}

// takeReport supervises the filter as soon as the inner process hands it over, and merges its report.
func (b *box) takeReport() error {
	reaper := b.report.Features.Reaper
	for {
		m, listener, err := b.inner.receive()
		switch {
		case err != nil:
			return fmt.Errorf("wait for the inner process: %w", err)
		case listener >= 0:
			b.feed.emulator = newEmulator(b.spec)
			go b.feed.supervise(listener)
			continue
		case m.Report == nil:
			return errors.New("the inner process sent something else than a report")
		}
		b.report = *m.Report
		b.report.Features.Reaper = reaper
		if b.report.Features.Notify {
			b.tried("refusals_reported", b.off != nil || b.feed.seen.Load() > 0)
		}
		if b.report.Err != "" {
			return &stageError{b.report.Stage, errors.New(b.report.Err)}
		}
		return nil
	}
}

// receive takes one packet: a message, or the filter's listener.
func (in *inner) receive() (m spec.Message, listener int, err error) {
	packet, rights := make([]byte, 32<<10), make([]byte, unix.CmsgSpace(4))
	var n, oob int
	for {
		n, oob, _, _, err = unix.Recvmsg(in.control, packet, rights, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err == nil && n == 0 {
		err = errors.New("it ended")
	}
	if err != nil {
		return m, -1, err
	}
	if oob > 0 {
		listener, err = onlyDescriptor(rights[:oob])
		return m, listener, err
	}
	return m, -1, m.Decode(packet[:n])
}

func onlyDescriptor(rights []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(err, errors.New("a malformed control message"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(err, errors.New("a malformed control message"))
	}
	return fds[0], nil
}

// release lets the inner process become the payload. Its end of the socket is closed by that.
func (in *inner) release(program bool) error {
	defer unix.Close(in.control)
	if err := unix.Send(in.control, []byte{spec.CommandStart, 0}, unix.MSG_NOSIGNAL); err != nil {
		return errors.Join(err, letGo(program))
	}
	if err := letGo(program); err != nil {
		return err
	}
	var packet [4096]byte
	for {
		n, err := unix.Read(in.control, packet[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait for the payload: %w", err)
		case n == 0:
			return nil
		}
		var m spec.Message
		if err := m.Decode(packet[:n]); err != nil || m.Started == nil {
			return errors.Join(err, errors.New("the inner process sent something else than its end"))
		}
		return errors.New(m.Started.Err)
	}
}

// liveInner is the life of the inner process: up to the report it is the launcher's, then the payload's.
func liveInner(sp *spec.Spec, off map[string]bool) int {
	b := &box{spec: sp, off: off, feed: newFeed(programName(sp))}
	if err := b.pass(b.innerStages()); err != nil {
		b.report.Err = err.Error()
		var at *stageError
		if errors.As(err, &at) {
			b.report.Stage, b.report.Err = at.stage, at.err.Error()
		}
	}
	if err := send(spec.Message{Report: &b.report}); err != nil || b.report.Err != "" {
		return exitRefused
	}
	if err := awaitStart(); err != nil {
		return exitOrphaned
	}
	err := becomePayload(sp)
	if err := send(spec.Message{Started: &spec.Started{Err: err.Error()}}); err != nil {
		return exitOrphaned
	}
	return exitRefused
}

func (b *box) innerStages() []stage {
	return []stage{
		{"terminal", b.leaveTerminal},
		{"limits", b.limitShared},
		{"processors", b.limitProcessors},
		{"capabilities", b.dropHeld},
		{"no_new_privs", b.sealPrivileges},
		{"listeners", b.prepareTargets},
		{"landlock", b.restrictPaths},
		{"seccomp", b.filterSyscalls},
		{"verify", b.verifyHost},
	}
}

// becomePayload returns only with an error.
func becomePayload(sp *spec.Spec) error {
	name := "/proc/self/fd/" + strconv.Itoa(spec.ProgramFD)
	if !sp.Program {
		var err error
		if name, err = lookUp(sp.Path, sp.Env); err != nil {
			return err
		}
	}
	unix.CloseOnExec(spec.ControlFD) // its end tells the supervisor that the payload runs
	if err := unix.Chdir(sp.Dir); err != nil {
		return fmt.Errorf("enter %s: %w", sp.Dir, err)
	}
	for fd := range 3 {
		if err := unix.Dup3(spec.StdioFD+fd, fd, 0); err != nil {
			return fmt.Errorf("set descriptor %d: %w", fd, err)
		}
	}
	return syscall.Exec(name, sp.Argv, sp.Env)
}

// handOver gives the filter's listener to who answers for it.
func (b *box) handOver(listener int) error {
	if !isInner() {
		go b.feed.supervise(listener)
		return nil
	}
	err := unix.Sendmsg(spec.ControlFD, []byte{0}, unix.UnixRights(listener), nil, unix.MSG_NOSIGNAL)
	return errors.Join(err, unix.Close(listener))
}
