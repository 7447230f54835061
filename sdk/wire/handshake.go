package wire

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
)

// What both ends agree on before the first call.
const (
	Protocol        = "v1alpha" // name of the wire contract
	CoreVersion     = 1         // of go-plugin's handshake,
	ProtocolVersion = 1         // and of the wire contract in it
	CookieKey       = "DRAWSPAN_PLUGIN"
	CookieValue     = "0b8d5c1f-drawspan-plugin-v1alpha" // no secret: it tells a program that a host started it
	SocketDirKey    = "PLUGIN_UNIX_SOCKET_DIR"           // the directory of the plugin's socket
	VersionsKey     = "PLUGIN_PROTOCOL_VERSIONS"         // the protocol numbers that the host speaks
	SecretFile      = "session"                          // in the socket directory: the session secret, hex
	MaxMessage      = 8 << 20                            // bytes of one message, either way

	socketName     = "plugin"
	windowSize     = 1 << 20  // flow control: what a peer may have sent and nobody read
	maxHeaderBytes = 64 << 10 // of the metadata of one call
)

// Announce listens in dir and says so in the one line of go-plugin's handshake. It speaks the line
// itself, because go-plugin's own Serve opens services that nobody here uses and costs a fifth of a
// plugin's start. The host connects at once; what it asks waits until Serve.
func Announce(dir string, handshake io.WriteCloser) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the host: %w", err)
	}
	_, err = fmt.Fprintf(handshake, "%d|%d|unix|%s|grpc\n", CoreVersion, ProtocolVersion, path)
	if closed := handshake.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("announce the plugin: %w", err)
	}
	return &oneConnection{Listener: listener, closed: make(chan struct{})}, nil
}

// Serve answers one host until it has asked for the end.
func Serve(s *Server, secret Secret, listener net.Listener) error {
	g := grpc.NewServer(secret.ServerOptions()...)
	s.attachStop(g)
	s.Register(g)
	if err := g.Serve(listener); err != nil {
		return fmt.Errorf("serve the host: %w", err)
	}
	return nil
}

// oneConnection takes one connection, the host's, and then takes the socket away: what the plugin
// starts later finds nothing to talk to.
type oneConnection struct {
	net.Listener
	taken  atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (l *oneConnection) Accept() (net.Conn, error) {
	if l.taken.Load() {
		<-l.closed
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.taken.Store(true)
	if err := l.Listener.Close(); err != nil { // removes the file, too
		conn.Close() //nolint:errcheck // the first error is told
		return nil, fmt.Errorf("take the socket away: %w", err)
	}
	return conn, nil
}

func (l *oneConnection) Close() error {
	l.once.Do(func() { close(l.closed) })
	if l.taken.Load() {
		return nil
	}
	return l.Listener.Close()
}
