package wire

import (
	"context"
	"errors"
	"io"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// What both ends agree on before the first call.
const (
	Protocol        = "v1alpha" // name of the wire contract
	ProtocolVersion = 1         // its number in go-plugin's handshake
	CookieKey       = "DRAWSPAN_PLUGIN"
	CookieValue     = "0b8d5c1f-drawspan-plugin-v1alpha"
	SocketDirKey    = goplugin.EnvUnixSocketDir  // the directory of the plugin's socket
	VersionsKey     = "PLUGIN_PROTOCOL_VERSIONS" // the protocol numbers that the host speaks
	SecretFile      = "session"                  // in the socket directory: the session secret, hex
	MaxMessage      = 8 << 20                    // bytes of one message, either way

	windowSize     = 1 << 20  // flow control: what a peer may have sent and nobody read
	maxHeaderBytes = 64 << 10 // of the metadata of one call
)

// Handshake is go-plugin's handshake configuration. The cookie is no secret: it only tells a plugin
// that a host started it.
func Handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{
		ProtocolVersion:  ProtocolVersion,
		MagicCookieKey:   CookieKey,
		MagicCookieValue: CookieValue,
	}
}

// HostPlugins is the host's side of the handshake: which protocol numbers it speaks. The host makes
// its own connection, so nothing is ever dispensed from it.
func HostPlugins() map[int]goplugin.PluginSet {
	return map[int]goplugin.PluginSet{ProtocolVersion: {"drawspan": &registration{}}}
}

// Serve answers one host through go-plugin until the host has asked for the end.
// What go-plugin has to say goes to stderr as JSON lines.
func Serve(s *Server, secret Secret, stderr io.Writer) {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: map[int]goplugin.PluginSet{ProtocolVersion: {"drawspan": &registration{server: s}}},
		Logger: hclog.New(&hclog.LoggerOptions{
			Name: "go-plugin", Level: hclog.Warn, Output: stderr, JSONFormat: true,
		}),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			g := grpc.NewServer(append(opts, secret.ServerOptions()...)...)
			s.attachStop(g)
			return g
		},
	})
}

// registration puts a Server's services onto go-plugin's gRPC server.
type registration struct {
	goplugin.NetRPCUnsupportedPlugin
	server *Server
}

var errNotDispensed = errors.New("drawspan plugins are called through wire.Client, not dispensed")

func (r *registration) GRPCServer(_ *goplugin.GRPCBroker, g *grpc.Server) error {
	r.server.Register(g)
	return nil
}

func (r *registration) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errNotDispensed
}
