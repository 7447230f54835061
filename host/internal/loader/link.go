package loader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/drawspan/drawspan/sdk/wire"
)

// link is the one connection to a plugin. It is prepared while the plugin starts, and made as soon as
// the plugin has named its socket.
type link struct {
	target  chan target
	foreign atomic.Bool // somebody else listens on the socket
}

// target is a checked socket and the launch that it must belong to.
type target struct {
	path   string
	leader int // the host's number of the launch's first process
}

func newLink() *link { return &link{target: make(chan target, 1)} }

// found tells where the plugin listens; it is called once.
func (l *link) found(path string, leader int) {
	l.target <- target{path, leader}
	close(l.target)
}

// connect prepares the connection.
func (l *link) connect(secret wire.Secret) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///plugin", append(secret.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the socket is the plugin's own, checked
		grpc.WithContextDialer(l.dial))...)
	if err != nil {
		return nil, fmt.Errorf("prepare the connection to the plugin: %w", err)
	}
	conn.Connect()
	return conn, nil
}

// dial makes the connection, once: a plugin that drops it does not get another.
func (l *link) dial(ctx context.Context, _ string) (net.Conn, error) {
	var t target
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case first, ok := <-l.target:
		if !ok {
			return nil, wire.ErrBroken
		}
		t = first
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", t.path)
	if err != nil {
		return nil, fmt.Errorf("connect to plugin: %w", err)
	}
	if err := checkPeer(conn, t.leader); err != nil {
		l.foreign.Store(true)
		conn.Close() //nolint:errcheck // nothing was sent
		return nil, err
	}
	return conn, nil
}

// errForeignPeer is the error of a socket that a process outside the launch listens on.
var errForeignPeer = errors.New("the socket is not the plugin's: its peer is outside the launch")

// checkPeer refuses a connection whose other end listens outside the launch. leader is the host's
// number of the launch's first process.
func checkPeer(conn net.Conn, leader int) error {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return errForeignPeer
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return fmt.Errorf("look at the peer: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return fmt.Errorf("look at the peer: %w", err)
	}
	if !descends(int(cred.Pid), leader) {
		return errForeignPeer
	}
	return nil
}

// descends tells whether a process is of the launch: the launch's first process is its ancestor, and
// adopts its orphans. Everybody may read who is whose parent, whatever else a process hides.
func descends(pid, leader int) bool {
	for range maxAncestors {
		switch {
		case pid == leader:
			return true
		case pid <= 1:
			return false
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false
		}
		// The fields follow the name, which is in parentheses and may hold anything: state, parent.
		_, err = fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " %c %d", new(rune), &pid)
		if err != nil {
			return false
		}
	}
	return false
}

// maxAncestors bounds the walk; a plugin listens itself, or a child of it does.
const maxAncestors = 32
