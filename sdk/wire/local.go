package wire

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Local is a plugin served to its caller in the same process, through the same messages, bounds and
// interceptors as between processes. It is for tests.
type Local struct {
	Client   *Client // the host
	Stranger *Client // somebody who found the socket but does not know the secret

	server *grpc.Server
	conns  []*grpc.ClientConn
}

// NewLocal serves s.
func NewLocal(s *Server, o ClientOptions) (*Local, error) {
	secret := NewSecret()
	l := &Local{server: grpc.NewServer(secret.ServerOptions()...)}
	s.Register(l.server)
	s.attachStop(l.server)
	listener := bufconn.Listen(windowSize)
	go l.server.Serve(listener) //nolint:errcheck // ends with Close, and says so to nobody
	for _, known := range []Secret{secret, NewSecret()} {
		conn, err := grpc.NewClient("passthrough:///plugin", append(known.DialOptions(),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return listener.DialContext(ctx)
			}))...)
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("connect to the local plugin: %w", err)
		}
		l.conns = append(l.conns, conn)
	}
	l.Client, l.Stranger = NewClient(l.conns[0], o), NewClient(l.conns[1], o)
	return l, nil
}

// Close ends the connections and the server.
func (l *Local) Close() {
	for _, c := range l.conns {
		c.Close() //nolint:errcheck // it can only have been closed already
	}
	l.server.Stop()
}
