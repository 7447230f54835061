package client

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/drawspan/drawspan/host/fault"
)

// sameUser refuses a socket on which another user listens: a step's text is not for a stranger who was
// quicker to bind the path.
func sameUser(c net.Conn, path string) (net.Conn, error) {
	uid, err := peerUID(c)
	if err == nil && uid != os.Geteuid() {
		err = fault.New(fault.Forbidden, "uid %d listens on the socket, not this user (uid %d)", uid, os.Geteuid()).At(path).
			Fix("run the command as the user that runs the daemon")
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func peerUID(c net.Conn) (int, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("read peer of %T", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("reach descriptor: %w", err)
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, fmt.Errorf("read peer credentials: %w", err)
	}
	return int(cred.Uid), nil
}
