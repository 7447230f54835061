package launcher

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// listenForDaemon opens the places of the proxy and of the gateway inside the network namespace before any
// payload can. The daemon accepts on them, so it knows who is calling without being told.
func (b *box) listenForDaemon() error {
	for _, port := range b.spec.Listeners() {
		s, err := listenOn(port)
		if err != nil {
			return fmt.Errorf("port %d: %w", port, err)
		}
		b.places = append(b.places, s)
	}
	return nil
}

func listenOn(port int) (int, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	if err := unix.Bind(s, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return -1, errors.Join(fmt.Errorf("bind: %w", err), unix.Close(s))
	}
	if err := unix.Listen(s, 128); err != nil {
		return -1, errors.Join(fmt.Errorf("listen: %w", err), unix.Close(s))
	}
	return s, nil
}

// sendReport hands the report to the daemon, and with it the listeners, which this process then gives up.
func (b *box) sendReport() error {
	packet := (&spec.Message{Report: &b.report}).Append(nil)
	if len(b.places) == 0 || b.report.Err != "" {
		return sendPacket(packet, 0)
	}
	err := unix.Sendmsg(spec.ControlFD, packet, unix.UnixRights(b.places...), nil, unix.MSG_NOSIGNAL)
	for _, s := range b.places {
		err = errors.Join(err, unix.Close(s))
	}
	return err
}
