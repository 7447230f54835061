package wire

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"

	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

const (
	sessionKey  = "drawspan-session"
	secretBytes = 32
)

// Secret is the session secret of one plugin instance: 256 random bits that prove to the plugin that
// the caller is the host that started it. A tool that the plugin runs shares its user and its files,
// but not this.
type Secret struct{ text string }

// NewSecret makes a secret.
func NewSecret() Secret {
	raw := make([]byte, secretBytes)
	rand.Read(raw) // never fails
	return Secret{hex.EncodeToString(raw)}
}

// ParseSecret reads what Text wrote.
func ParseSecret(text []byte) (Secret, error) {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != secretBytes {
		return Secret{}, errors.New("the session secret is not 64 hexadecimal digits")
	}
	return Secret{string(text)}, nil
}

// Text is the secret as the session file holds it.
func (s Secret) Text() []byte { return []byte(s.text) }

// String never shows the secret.
func (s Secret) String() string { return "[session secret]" }

// GoString never shows the secret.
func (s Secret) GoString() string { return s.String() }

// DialOptions make every call of a connection carry the secret and keep the bounds of the protocol.
func (s Secret) DialOptions() []grpc.DialOption {
	with := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, sessionKey, s.text)
	}
	unary := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
		invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		return invoke(with(ctx), method, req, reply, cc, opts...)
	}
	stream := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
		open grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		return open(with(ctx), desc, cc, method, opts...)
	}
	return []grpc.DialOption{
		grpc.WithUnaryInterceptor(unary),
		grpc.WithStreamInterceptor(stream),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithInitialWindowSize(windowSize),
		grpc.WithInitialConnWindowSize(windowSize),
		grpc.WithIdleTimeout(0),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithAuthority("plugin"),
	}
}

// ServerOptions refuse every call, of every service of the server, that does not carry the secret.
func (s Secret) ServerOptions() []grpc.ServerOption {
	unary := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if err := s.check(ctx); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
	stream := func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		if err := s.check(ss.Context()); err != nil {
			return err
		}
		return next(srv, ss)
	}
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(unary),
		grpc.StreamInterceptor(stream),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.MaxHeaderListSize(maxHeaderBytes),
	}
}

func (s Secret) check(ctx context.Context) error {
	if s.text == "" {
		return refuse(codes.Unauthenticated, pb.ErrorCode_ERROR_CODE_SESSION, "this plugin has no session")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get(sessionKey)
	if len(values) != 1 || subtle.ConstantTimeCompare([]byte(values[0]), []byte(s.text)) != 1 {
		return refuse(codes.Unauthenticated, pb.ErrorCode_ERROR_CODE_SESSION, "wrong session secret")
	}
	return nil
}

var _ fmt.GoStringer = Secret{}
