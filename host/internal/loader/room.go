package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/sdk/wire"
)

// insideDir is where a plugin sees its socket directory.
const insideDir = "/run/plugin"

// room is the private directory of one instance, 0700: the plugin's socket is in it. go-plugin makes it.
type room struct {
	path   string
	inside string // where the plugin sees it
	secret wire.Secret

	mu      sync.Mutex
	sockets *os.File // the directory, held open since before the plugin could touch it
	socket  *os.File // the plugin's socket: the inode that was checked
}

// furnish puts the session secret there for the plugin to take.
func (r *room) furnish() error {
	fd, err := unix.Open(r.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the plugin's directory: %w", os.NewSyscallError("open", err))
	}
	r.mu.Lock()
	r.sockets = os.NewFile(uintptr(fd), r.path)
	r.mu.Unlock()
	if err := os.WriteFile(filepath.Join(r.path, wire.SecretFile), r.secret.Text(), 0o600); err != nil {
		return fmt.Errorf("hand over the session secret: %w", err)
	}
	return nil
}

var errNotItsSocket = errors.New("the address is not a socket of the plugin's own directory")

// resolve checks the address that the plugin named in its handshake and turns it into one that leads
// to exactly the inode that was checked.
func (r *room) resolve(network, address string) (string, error) {
	dir, name := path.Split(address)
	if network != "unix" || path.Clean(dir) != r.inside || name == "" || name == "." || name == ".." {
		return "", errNotItsSocket
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sockets == nil {
		return "", errNotItsSocket
	}
	fd, err := unix.Openat(int(r.sockets.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", errNotItsSocket
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK || r.socket != nil {
		closeAll(f)
		return "", errNotItsSocket
	}
	r.socket = f
	return descriptorPath(f), nil
}

func descriptorPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// address is what resolve has returned.
func (r *room) address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.socket == nil {
		return ""
	}
	return descriptorPath(r.socket)
}

// vacate takes the directory away while the plugin lives: the connection stands, and in a directory
// that is gone nobody can make anything any more. What the plugin starts finds it empty, and nothing of
// an attempt can fill the disk through it.
func (r *room) vacate() error {
	if err := removeAll(r.path); err != nil {
		return &wire.Violation{What: "it keeps writing to its socket directory"}
	}
	return nil
}

// remove takes the directory away at the end, whatever the plugin made of it.
func (r *room) remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	closeAll(r.sockets, r.socket)
	r.sockets, r.socket = nil, nil
	if r.path == "" {
		return nil
	}
	return removeAll(r.path)
}

// removeAll removes a tree even where its owner took the permissions away.
func removeAll(root string) error {
	if os.RemoveAll(root) == nil {
		return nil
	}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the plugin's directory: %w", err)
	}
	if err := os.RemoveAll(root); err != nil {
		return fmt.Errorf("remove the plugin's directory: %w", err)
	}
	return nil
}

// payloadEnv is what of go-plugin's variables a plugin gets, with the socket directory as it sees it.
func payloadEnv(proposed []string, inside string) []string {
	var env []string
	for _, pair := range proposed {
		switch key, _, _ := strings.Cut(pair, "="); key {
		case wire.CookieKey, wire.VersionsKey:
			env = append(env, pair)
		}
	}
	return append(env, wire.SocketDirKey+"="+inside)
}
