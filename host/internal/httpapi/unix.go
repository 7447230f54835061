package httpapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/drawspan/drawspan/host/fault"
)

// maxSocketPath is what fits into a socket's address on Linux, less the NUL.
const maxSocketPath = 107

// Listener is a way in, with the check of who may use it. It is made by Unix or Loopback only.
type Listener struct {
	net.Listener
	admit func(*caller) gate
	close func() error
}

// Close stops the listener and removes what it made.
func (l *Listener) Close() error { return errors.Join(l.Listener.Close(), l.close()) }

// caller is a connection and the gate that its requests pass.
type caller struct {
	net.Conn
	gate gate
}

// Accept waits for the next connection. What it proves about the other end is read here, once.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err // the server of net/http asks for its exact kind
	}
	k := &caller{Conn: c}
	k.gate = l.admit(k)
	return k, nil
}

// Unix opens the daemon's socket: mode 0600 in a directory of mode 0700, for processes of this user
// only. A socket that nobody listens on is replaced; anything else at the path is left alone and
// refused.
func (s *Server) Unix(path string) (*Listener, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, fault.New(fault.ConfigInvalid, "the socket's path must be absolute and clean").At(path)
	}
	if len(path) > maxSocketPath {
		return nil, fault.New(fault.ConfigInvalid, "the socket's path has %d bytes; the system takes at most %d", len(path), maxSocketPath).
			At(path).Fix("choose a shorter state_dir")
	}
	if err := ownDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	unlock, err := lockSocket(path)
	if err != nil {
		return nil, err
	}
	ln, err := bindSocket(path)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	uid := os.Geteuid()
	return &Listener{
		Listener: ln,
		admit:    func(c *caller) gate { return socketGate(c.Conn, uid) },
		close:    unlock,
	}, nil
}

// ownDirectory makes the directory, or checks that it is this user's alone.
func ownDirectory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(err, fault.ConfigInvalid, "the socket's directory cannot be made").At(dir)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fault.Wrap(err, fault.ConfigInvalid, "the socket's directory cannot be read").At(dir)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() {
		return fault.New(fault.ConfigInvalid, "the socket's directory belongs to another user").At(dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fault.New(fault.ConfigInvalid, "the socket's directory is open to others (mode %04o)", info.Mode().Perm()).
			At(dir).Fix("run: chmod 700 %s", dir)
	}
	return nil
}

// lockSocket keeps two daemons that start at once from replacing each other's socket. The lock ends with
// the process; its file stays, because removing it would race with the next to take it.
func lockSocket(path string) (func() error, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the socket's lock cannot be opened").At(path)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(taken(path), f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock socket %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}

func taken(path string) error {
	return fault.New(fault.StateLocked, "another daemon listens on the socket").At(path).Fix("run: drawspan doctor")
}

// bindSocket listens on the path. The directory is private, so that the moment before the mode is set
// is nobody's.
func bindSocket(path string) (net.Listener, error) {
	if err := clearStale(path); err != nil {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fault.Wrap(err, fault.ConfigInvalid, "the socket cannot be opened").At(path)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("set mode of socket: %w", err), ln.Close())
	}
	return ln, nil
}

// clearStale removes a socket that nobody listens on.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a stale socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fault.New(fault.ConfigInvalid, "something that is not a socket is in the socket's place").At(path).
			Fix("move it away; drawspan removes only its own stale socket")
	}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		return errors.Join(taken(path), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fault.Wrap(err, fault.ConfigInvalid, "the old socket cannot be tried").At(path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}
