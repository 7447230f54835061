package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// Plugin is what an author made: a description and one or both faces.
type Plugin struct {
	Manifest  sdk.Manifest
	Executor  sdk.Executor
	Validator sdk.Validator
	impl      any
}

// NewPlugin looks at what impl can do.
func NewPlugin(m sdk.Manifest, impl any) (Plugin, error) {
	p := Plugin{Manifest: m, impl: impl}
	p.Manifest.Kinds = nil
	if e, ok := impl.(sdk.Executor); ok {
		p.Executor = e
		p.Manifest.Kinds = append(p.Manifest.Kinds, "executor")
	}
	if v, ok := impl.(sdk.Validator); ok {
		p.Validator = v
		p.Manifest.Kinds = append(p.Manifest.Kinds, "validator")
	}
	if len(p.Manifest.Kinds) == 0 {
		return Plugin{}, fmt.Errorf("%T is neither an sdk.Executor nor an sdk.Validator", impl)
	}
	if _, err := manifestFromProto(manifestToProto(p.Manifest)); err != nil {
		return Plugin{}, fmt.Errorf("check the manifest of %q: %w", m.Name, err)
	}
	return p, nil
}

// Hooks tell the program around a Server what happens. All are optional.
type Hooks struct {
	// Greeted is called for every Hello, with the log level that the host wishes.
	Greeted func(logLevel string)
	// Crash is called with a panic of the author's code. Where it returns, or is nil, the attempt or
	// check ends as failed.
	Crash func(doing string, value any, stack []byte)
}

// SDKName is what a plugin of this SDK calls it in Hello.
const SDKName = "drawspan-go/0.1.0"

// Server serves one plugin to one host. One attempt per Server; checks at will.
type Server struct {
	plugin Plugin
	hooks  Hooks

	mu         sync.Mutex
	configured bool
	config     json.RawMessage
	attempt    *attempt
	stopping   bool
	stop       func()
}

// NewServer makes the server of a plugin.
func NewServer(p Plugin, h Hooks) *Server { return &Server{plugin: p, hooks: h} }

// Register puts the services of the plugin's kinds onto a gRPC server.
func (s *Server) Register(g grpc.ServiceRegistrar) {
	pb.RegisterBaseServer(g, baseFace{s: s})
	if s.plugin.Executor != nil {
		pb.RegisterExecutorServer(g, executorFace{s: s})
	}
	if s.plugin.Validator != nil {
		pb.RegisterValidatorServer(g, validatorFace{s: s})
	}
}

// attachStop lets Shutdown end the gRPC server: gracefully where its streams allow it.
func (s *Server) attachStop(g *grpc.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = func() {
		hard := time.AfterFunc(stopPatience, g.Stop)
		defer hard.Stop()
		g.GracefulStop()
	}
}

// stopPatience is how long open streams may delay the end of a server.
const stopPatience = 2 * time.Second

// state is what a call needs to know before it does anything.
func (s *Server) ready() (json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return nil, refuse(codes.FailedPrecondition, CodeShuttingDown, "the plugin is shutting down")
	case !s.configured:
		return nil, refuse(codes.FailedPrecondition, CodeNotConfigured, "Configure has to come first")
	}
	return s.config, nil
}

// guard runs author's code and turns a panic into a crash report, and into an error where the report
// does not end the process. A goroutine that the code ends with runtime.Goexit returns no error
// either; missing tells then.
func (s *Server) guard(doing string, code func() error) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		v := recover()
		if v != nil && s.hooks.Crash != nil {
			s.hooks.Crash(doing, v, debug.Stack())
		}
		err = &sdk.Failure{Class: "crash", Message: fmt.Sprintf("%s: panic: %v", doing, v)}
	}()
	err = code()
	returned = true
	return err
}

type baseFace struct {
	pb.UnimplementedBaseServer
	s *Server
}

func (b baseFace) Hello(_ context.Context, r *pb.HelloRequest) (*pb.HelloReply, error) {
	if b.s.hooks.Greeted != nil {
		b.s.hooks.Greeted(r.GetLogLevel())
	}
	return &pb.HelloReply{Sdk: SDKName}, nil
}

func (b baseFace) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeReply, error) {
	return &pb.DescribeReply{Manifest: manifestToProto(b.s.plugin.Manifest)}, nil
}

func (b baseFace) Configure(ctx context.Context, r *pb.ConfigureRequest) (*pb.ConfigureReply, error) {
	config := json.RawMessage(r.GetConfig())
	if wrong := sdk.CheckConfig(b.s.plugin.Manifest.Config, config); len(wrong) > 0 {
		return nil, refuseConfig(wrong)
	}
	if c, ok := b.s.plugin.impl.(sdk.Configurer); ok {
		err := b.s.guard("configuring "+b.s.plugin.Manifest.Name, func() error { return c.Configure(ctx, config) })
		var wrong *sdk.ConfigError
		switch {
		case errors.As(err, &wrong):
			return nil, refuseConfig([]*sdk.ConfigError{wrong})
		case err != nil:
			return nil, refuseConfig([]*sdk.ConfigError{{Message: err.Error()}})
		}
	}
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.config, b.s.configured = config, true
	return &pb.ConfigureReply{}, nil
}

func refuseConfig(wrong []*sdk.ConfigError) error {
	var diagnostics []*pb.Diagnostic
	for _, w := range wrong {
		diagnostics = append(diagnostics, &pb.Diagnostic{
			Attribute: clip(w.Attribute, sdk.MaxName),
			Message:   clip(w.Message, maxFindingText),
		})
	}
	return refuse(codes.InvalidArgument, CodeConfig, clip(wrong[0].Error(), maxFindingText), diagnostics...)
}

var errShutdown = errors.New("the host ends the plugin")

func (b baseFace) Shutdown(context.Context, *pb.ShutdownRequest) (*pb.ShutdownReply, error) {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if b.s.attempt != nil {
		b.s.attempt.cancel(errShutdown)
	}
	if !b.s.stopping && b.s.stop != nil {
		go b.s.stop()
	}
	b.s.stopping = true
	return &pb.ShutdownReply{}, nil
}
