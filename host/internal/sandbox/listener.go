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

// maxListeners is how many a launch can have: the proxy's and the gateway's.
const maxListeners = 2

// receiveReport takes the first message, and the listeners that come with it. More descriptors than those,
// or some that nobody asked for, cannot come: the launcher sends before any payload exists, and what does
// not fit is closed by the kernel.
func (p *Process) receiveReport(buf []byte) (spec.Message, []*os.File, error) {
	var m spec.Message
	raw, err := p.control.SyscallConn()
	if err != nil {
		return m, nil, err
	}
	oob := make([]byte, unix.CmsgSpace(4*maxListeners))
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
	listeners, err := descriptors(oob[:oobn])
	if err != nil {
		return m, nil, err
	}
	return m, listeners, m.Decode(buf[:n])
}

// descriptors are those that a message carries.
func descriptors(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("read the launcher's descriptors: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, fmt.Errorf("read the launcher's descriptors: %w", err)
	}
	var files []*os.File
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "listener"))
	}
	return files, nil
}

// handOn gives each listener to whoever serves it, in the order in which the specification asks for them.
func (p *Process) handOn(pl *plan, files []*os.File) error {
	ports := pl.spec.Listeners()
	if len(files) != len(ports) {
		return errors.Join(unavailable("the launcher opened %d places for the daemon, not %d", len(files), len(ports)), closeAll(files))
	}
	for i, port := range ports {
		l, err := net.FileListener(files[i])
		if err := errors.Join(err, files[i].Close()); err != nil {
			return errors.Join(fmt.Errorf("take the listener on port %d: %w", port, err), closeAll(files[i+1:]))
		}
		serve := p.onListener
		if port == spec.GatewayPort {
			serve = p.onGateway
		}
		if serve == nil {
			return errors.Join(fault.New(fault.InvalidRequest, "a launch with a proxy that nobody serves"), l.Close(), closeAll(files[i+1:]))
		}
		serve(l)
	}
	return nil
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// checkGateway wants a network of the launch's own: on the machine's loopback every program of the machine
// could call the gateway.
func (p *planner) checkGateway(r Request) error {
	if r.OnGateway == nil {
		return nil
	}
	if onHost(p.spec.Backend) || p.spec.Network == spec.NetworkHost {
		return unavailable("a gateway needs a network of the launch's own, which back-end %s with network %q does not give", p.spec.Backend, p.spec.Network).
			At(p.policy.Declared).Fix(`say level = "strict", or leave the executor's gateway out`)
	}
	p.spec.Gateway = true
	return nil
}
