package launcher

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// listenForProxy opens the proxy's place inside the network namespace before any payload can. The daemon
// accepts on it, so it knows who is calling without being told.
func (b *box) listenForProxy() error {
	if b.spec.Network != spec.NetworkProxy {
		return nil
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	at := &unix.SockaddrInet4{Port: spec.ProxyPort, Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(s, at); err != nil {
		return errors.Join(fmt.Errorf("bind: %w", err), unix.Close(s))
	}
	if err := unix.Listen(s, 128); err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), unix.Close(s))
	}
	b.proxy = s
	return nil
}

// sendReport hands the report to the daemon, and with it the listener, which this process then gives up.
func (b *box) sendReport() error {
	packet := (&spec.Message{Report: &b.report}).Append(nil)
	if b.proxy < 0 || b.report.Err != "" {
		return sendPacket(packet, 0)
	}
	err := unix.Sendmsg(spec.ControlFD, packet, unix.UnixRights(b.proxy), nil, unix.MSG_NOSIGNAL)
	return errors.Join(err, unix.Close(b.proxy))
}
