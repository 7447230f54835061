package launcher

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// errDescriptors means that the specification came with other descriptors than it says.
var errDescriptors = errors.New("not the descriptors that belong to the specification")

// receiveSpec closes what was inherited beyond the control socket, unless told to keep it, and takes the first
// packet. That may be long in coming: a launcher that stands ready knows nothing until then.
func receiveSpec(keep bool) (*spec.Spec, error) {
	if !keep {
		if err := unix.CloseRange(spec.ControlFD+1, ^uint(0), 0); err != nil {
			return nil, fmt.Errorf("close inherited descriptors: %w", err)
		}
	}
	packet := make([]byte, spec.MaxSpec)
	rights := make([]byte, unix.CmsgSpace(4*(spec.ProgramFD-spec.StdioFD+1)))
	n, oob, flags, err := receiveRights(packet, rights)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the control socket: %w", err)
	case n == 0:
		return nil, errOrphaned
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		return nil, errDescriptors
	}
	var sp spec.Spec
	if err := sp.Decode(packet[:n]); err != nil {
		return nil, err
	}
	return &sp, placeDescriptors(rights[:oob], sp.Descriptors())
}

func receiveRights(packet, rights []byte) (n, oob, flags int, err error) {
	for {
		n, oob, flags, _, err = unix.Recvmsg(spec.ControlFD, packet, rights, 0)
		if err != unix.EINTR {
			return n, oob, flags, err
		}
	}
}

// placeDescriptors puts what came to its numbers, from StdioFD on. The kernel gave the lowest free ones in
// ascending order, so nothing that is still to be moved is replaced.
func placeDescriptors(rights []byte, want int) error {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return errors.Join(err, errDescriptors)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != want {
		return errors.Join(err, errDescriptors)
	}
	for i, fd := range fds {
		switch to := spec.StdioFD + i; {
		case fd == to:
		case fd < to || i > 0 && fd <= fds[i-1]:
			return errDescriptors
		default:
			if err := errors.Join(unix.Dup3(fd, to, 0), unix.Close(fd)); err != nil {
				return fmt.Errorf("place a descriptor: %w", err)
			}
		}
	}
	return nil
}
