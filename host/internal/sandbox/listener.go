package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// receiveReport takes the first message, and the listener that comes with it where the network is a
// proxy. More descriptors than that one, or one that nobody asked for, cannot come: the launcher sends
// before any payload exists, and what does not fit is closed by the kernel.
func (p *Process) receiveReport(buf []byte) (spec.Message, *os.File, error) {
	var m spec.Message
	raw, err := p.control.SyscallConn()
	if err != nil {
		return m, nil, err
	}
	oob := make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	var received error
	err = raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, received = unix.Recvmsg(int(fd), buf, oob, unix.MSG_CMSG_CLOEXEC)
		return received != unix.EAGAIN
	})
	if err := errors.Join(err, received); err != nil {
		return m, nil, err
	}
	if n == 0 {
		return m, nil, io.EOF
	}
	listener, err := descriptor(oob[:oobn])
	if err != nil {
		return m, nil, err
	}
	return m, listener, m.Decode(buf[:n])
}

// descriptor is the one that a message carries, nil where it carries none.
func descriptor(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("read the launcher's descriptor: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("read the launcher's descriptor: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "proxy"), nil
}

// handOn gives the listener to whoever serves the proxy.
func (p *Process) handOn(pl *plan, f *os.File) error {
	if pl.spec.Network != spec.NetworkProxy {
		return closeIf(f)
	}
	if f == nil {
		return unavailable("the launcher opened no place for the proxy")
	}
	l, err := net.FileListener(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("take the proxy's listener: %w", err)
	}
	if p.onListener == nil {
		return errors.Join(fault.New(fault.InvalidRequest, "a launch with a proxy that nobody serves"), l.Close())
	}
	p.onListener(l)
	return nil
}

func closeIf(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
