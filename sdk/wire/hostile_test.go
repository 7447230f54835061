package wire_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/wire"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

func goexit() { runtime.Goexit() }

// hostile is a plugin without the SDK: it sends what it likes.
type hostile struct {
	pb.UnimplementedBaseServer
	pb.UnimplementedExecutorServer
	pb.UnimplementedValidatorServer
	attach func(grpc.ServerStreamingServer[pb.AttachReply]) error
	check  func(grpc.ServerStreamingServer[pb.CheckReply]) error
	hello  *pb.HelloReply
	tells  *pb.DescribeReply
	probe  *pb.ProbeReply
}

func (h hostile) Hello(context.Context, *pb.HelloRequest) (*pb.HelloReply, error) {
	return h.hello, nil
}

func (h hostile) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeReply, error) {
	return h.tells, nil
}

func (h hostile) Start(context.Context, *pb.StartRequest) (*pb.StartReply, error) {
	return &pb.StartReply{}, nil
}

func (h hostile) Probe(context.Context, *pb.ProbeRequest) (*pb.ProbeReply, error) {
	return h.probe, nil
}

func (h hostile) Attach(_ *pb.AttachRequest, s grpc.ServerStreamingServer[pb.AttachReply]) error {
	return h.attach(s)
}

func (h hostile) Check(_ *pb.CheckRequest, s grpc.ServerStreamingServer[pb.CheckReply]) error {
	return h.check(s)
}

func (h hostile) serve(t *testing.T, o wire.ClientOptions) *wire.Client {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxSendMsgSize(1 << 30))
	pb.RegisterBaseServer(server, h)
	pb.RegisterExecutorServer(server, h)
	pb.RegisterValidatorServer(server, h)
	go server.Serve(listener) //nolint:errcheck // ends with Stop
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///x", append(wire.NewSecret().DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return wire.NewClient(conn, o)
}

func event(seq uint64, e *pb.Event) *pb.AttachReply {
	return &pb.AttachReply{Seq: seq, Body: &pb.AttachReply_Event{Event: e}}
}

func result(seq uint64, r *pb.Result) *pb.AttachReply {
	return &pb.AttachReply{Seq: seq, Body: &pb.AttachReply_Result{Result: r}}
}

func message(text string) *pb.Event { return &pb.Event{Type: "message", Data: []byte(text)} }

var done = &pb.Result{StopReason: "end_turn"}

func TestAStreamThatBreaksTheProtocolIsAViolation(t *testing.T) {
	ok := message(`{"text":"x"}`)
	for name, replies := range map[string][]*pb.AttachReply{
		"a gap":                         {event(1, ok), event(3, ok), result(4, done)},
		"a number twice":                {event(1, ok), event(1, ok), result(2, done)},
		"numbers from 0":                {event(0, ok), result(1, done)},
		"no result":                     {event(1, ok)},
		"nothing at all":                {},
		"two results":                   {result(1, done), result(2, done)},
		"an event after the result":     {result(1, done), event(2, ok)},
		"a host's own event":            {event(1, &pb.Event{Type: "host.sandbox.denied", Data: []byte("{}")}), result(2, done)},
		"an unknown event":              {event(1, &pb.Event{Type: "message.deltas", Data: []byte("{}")}), result(2, done)},
		"data that is no object":        {event(1, message(`["x"]`)), result(2, done)},
		"data that is no JSON":          {event(1, message(`{"x":`)), result(2, done)},
		"data that is no UTF-8":         {event(1, message("{\"x\":\"\xff\"}")), result(2, done)},
		"no data":                       {event(1, message("")), result(2, done)},
		"data beyond the bound":         {event(1, message(`{"x":"`+strings.Repeat("y", sdk.MaxData)+`"}`)), result(2, done)},
		"a log beyond the bound":        {event(1, &pb.Event{Type: "log", Stream: "stdout", Log: make([]byte, sdk.MaxLog+1)}), result(2, done)},
		"a log of another stream":       {event(1, &pb.Event{Type: "log", Stream: "stdin", Log: []byte("x")}), result(2, done)},
		"log bytes on a message":        {event(1, &pb.Event{Type: "message", Data: []byte("{}"), Log: []byte("x")}), result(2, done)},
		"a long item id":                {event(1, &pb.Event{Type: "message", Data: []byte("{}"), ItemId: strings.Repeat("i", sdk.MaxName+1)}), result(2, done)},
		"a question without text":       {event(1, &pb.Event{Type: "question.asked", Data: []byte("{}"), ItemId: "q"}), result(2, done)},
		"a question without an id":      {event(1, &pb.Event{Type: "question.asked", Data: []byte(`{"text":"?"}`)}), result(2, done)},
		"a permission without a tool":   {event(1, &pb.Event{Type: "permission.requested", Data: []byte("{}"), ItemId: "p"}), result(2, done)},
		"an unknown stop reason":        {result(1, &pb.Result{StopReason: "bored"})},
		"a failure without a class":     {result(1, &pb.Result{StopReason: "error", Failed: true})},
		"a class without a failure":     {result(1, &pb.Result{StopReason: "end_turn", ErrorClass: "auth"})},
		"an unknown class":              {result(1, &pb.Result{StopReason: "error", Failed: true, ErrorClass: "mood"})},
		"a summary beyond the bound":    {result(1, &pb.Result{StopReason: "end_turn", Summary: strings.Repeat("x", sdk.MaxSummary+1)})},
		"a message without a body":      {{Seq: 1}},
		"an empty event":                {event(1, nil), result(2, done)},
		"an event of 9 MiB":             {event(1, message(`{"x":"`+strings.Repeat("y", 9<<20)+`"}`)), result(2, done)},
		"heartbeats behind the result":  {result(1, done), {Body: &pb.AttachReply_Heartbeat{Heartbeat: &pb.Heartbeat{}}}},
		"a result with the wrong place": {result(7, done)},
	} {
		t.Run(name, func(t *testing.T) {
			c := hostile{attach: func(s grpc.ServerStreamingServer[pb.AttachReply]) error {
				for _, r := range replies {
					if err := s.Send(r); err != nil {
						return err
					}
				}
				return nil
			}}.serve(t, wire.ClientOptions{})
			_, err := c.Execute(t.Context(), sdk.Attempt{ID: "a"}, (&sdktest.Recorder{}).Take)
			var v *wire.Violation
			if !errors.As(err, &v) {
				t.Errorf("Execute = %v, want a violation", err)
			}
		})
	}
}

func TestAVerdictThatBreaksTheProtocolIsAViolation(t *testing.T) {
	verdict := func(seq uint64, v *pb.Verdict) *pb.CheckReply {
		return &pb.CheckReply{Seq: seq, Body: &pb.CheckReply_Verdict{Verdict: v}}
	}
	output := func(seq uint64, stream string, n int) *pb.CheckReply {
		return &pb.CheckReply{Seq: seq, Body: &pb.CheckReply_Output{Output: &pb.Output{Stream: stream, Data: make([]byte, n)}}}
	}
	pass := &pb.Verdict{Outcome: "pass"}
	for name, replies := range map[string][]*pb.CheckReply{
		"no verdict":               {},
		"two verdicts":             {verdict(1, pass), verdict(2, pass)},
		"an unknown outcome":       {verdict(1, &pb.Verdict{Outcome: "PASS"})},
		"no outcome":               {verdict(1, &pb.Verdict{})},
		"nil":                      {verdict(1, nil)},
		"too many findings":        {verdict(1, &pb.Verdict{Outcome: "fail", Findings: make([]*pb.Finding, sdk.MaxFindings+1)})},
		"an unknown severity":      {verdict(1, &pb.Verdict{Outcome: "fail", Findings: []*pb.Finding{{Severity: "bad"}}})},
		"a negative line":          {verdict(1, &pb.Verdict{Outcome: "fail", Findings: []*pb.Finding{{Severity: "note", Line: -1}}})},
		"output beyond the bound":  {output(1, "stdout", sdk.MaxLog+1), verdict(2, pass)},
		"output of another stream": {output(1, "", 1), verdict(2, pass)},
		"a gap":                    {output(1, "stdout", 1), verdict(3, pass)},
	} {
		t.Run(name, func(t *testing.T) {
			c := hostile{check: func(s grpc.ServerStreamingServer[pb.CheckReply]) error {
				for _, r := range replies {
					if err := s.Send(r); err != nil {
						return err
					}
				}
				return nil
			}}.serve(t, wire.ClientOptions{})
			_, err := c.Check(t.Context(), sdk.Check{}, func(string, []byte) error { return nil })
			var v *wire.Violation
			if !errors.As(err, &v) {
				t.Errorf("Check = %v, want a violation", err)
			}
		})
	}
}

func TestAPluginThatSendsNothingIsSilent(t *testing.T) {
	c := hostile{attach: func(s grpc.ServerStreamingServer[pb.AttachReply]) error {
		<-s.Context().Done()
		return nil
	}}.serve(t, wire.ClientOptions{Heartbeat: 10 * time.Millisecond, Silence: 100 * time.Millisecond})
	_, err := c.Execute(t.Context(), sdk.Attempt{ID: "a"}, (&sdktest.Recorder{}).Take)
	if !errors.Is(err, wire.ErrSilent) {
		t.Errorf("Execute = %v, want ErrSilent", err)
	}
}

func TestHeartbeatsKeepAQuietPluginAlive(t *testing.T) {
	p, err := wire.NewPlugin(manifest, plugin{run: func(ctx context.Context, _ *sdk.Attempt) (sdk.Result, error) {
		select {
		case <-time.After(600 * time.Millisecond):
		case <-ctx.Done():
		}
		return sdk.Result{}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := wire.NewLocal(wire.NewServer(p, wire.Hooks{}), wire.ClientOptions{Heartbeat: 20 * time.Millisecond, Silence: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Client.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Client.Execute(t.Context(), sdk.Attempt{ID: "a"}, (&sdktest.Recorder{}).Take); err != nil {
		t.Errorf("Execute = %v", err)
	}
}

func TestASlowSinkIsNotThePluginsSilence(t *testing.T) {
	c := hostile{attach: func(s grpc.ServerStreamingServer[pb.AttachReply]) error {
		if err := s.Send(event(1, message("{}"))); err != nil {
			return err
		}
		return s.Send(result(2, done))
	}}.serve(t, wire.ClientOptions{Silence: 50 * time.Millisecond})
	_, err := c.Execute(t.Context(), sdk.Attempt{ID: "a"}, func(ctx context.Context, _ sdk.Event) error {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	if err != nil {
		t.Errorf("Execute = %v", err)
	}
}

func TestTheCausesOfAContextComeBack(t *testing.T) {
	why := errors.New("wall time")
	ctx, cancel := context.WithCancelCause(t.Context())
	c := hostile{attach: func(s grpc.ServerStreamingServer[pb.AttachReply]) error {
		cancel(why)
		<-s.Context().Done()
		return nil
	}}.serve(t, wire.ClientOptions{})
	if _, err := c.Execute(ctx, sdk.Attempt{ID: "a"}, nil); !errors.Is(err, why) {
		t.Errorf("Execute = %v, want the cause", err)
	}
}

func TestAManifestIsJudged(t *testing.T) {
	for name, m := range map[string]*pb.Manifest{
		"none":            nil,
		"no name":         {Version: "1", Kinds: []string{"executor"}},
		"no version":      {Name: "x", Kinds: []string{"executor"}},
		"no kind":         {Name: "x", Version: "1"},
		"an unknown type": {Name: "x", Version: "1", Kinds: []string{"executor"}, Config: []*pb.Attribute{{Name: "a", Type: "set"}}},
	} {
		c := hostile{tells: &pb.DescribeReply{Manifest: m}}.serve(t, wire.ClientOptions{})
		var v *wire.Violation
		if got, err := c.Describe(t.Context()); !errors.As(err, &v) {
			t.Errorf("%s: Describe = %+v, %v, want a violation", name, got, err)
		}
	}
}

func TestAServiceThatIsNotServedIsAViolation(t *testing.T) {
	h := sdktest.Serve(t, manifest, onlyValidator{})
	h.Configure(t, nil)
	_, err := h.Execute(t, sdk.Attempt{ID: "a"})
	var v *wire.Violation
	if !errors.As(err, &v) {
		t.Errorf("Execute = %v, want a violation", err)
	}
}

type onlyValidator struct{}

func (onlyValidator) Check(context.Context, *sdk.Check) (sdk.Verdict, error) {
	return sdk.Verdict{Outcome: sdk.Pass}, nil
}
