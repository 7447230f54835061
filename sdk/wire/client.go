package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// ClientOptions are the times of a Client; zero values mean the defaults.
type ClientOptions struct {
	Heartbeat time.Duration // how often a plugin says that it is alive; 5 s
	Silence   time.Duration // how long it may say nothing; three heartbeats
}

// Client calls one plugin.
type Client struct {
	base      pb.BaseClient
	executor  pb.ExecutorClient
	validator pb.ValidatorClient
	opts      ClientOptions
}

// NewClient makes the caller of a plugin over a connection that carries its session secret.
func NewClient(conn grpc.ClientConnInterface, o ClientOptions) *Client {
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultHeartbeat
	}
	if o.Silence == 0 {
		o.Silence = 3 * o.Heartbeat
	}
	return &Client{
		base: pb.NewBaseClient(conn), executor: pb.NewExecutorClient(conn), validator: pb.NewValidatorClient(conn), opts: o,
	}
}

// Greeting is what the host says of itself in Hello.
type Greeting struct {
	HostVersion string
	InstanceID  string
	LogLevel    string
}

// Hello is the first call. It waits for the connection.
func (c *Client) Hello(ctx context.Context, g Greeting) (sdkName string, err error) {
	r, err := c.base.Hello(ctx, &pb.HelloRequest{
		HostVersion: g.HostVersion, InstanceId: g.InstanceID, LogLevel: g.LogLevel, MaxMessage: MaxMessage,
	})
	if err != nil {
		return "", callError(ctx, "Hello", err)
	}
	return clip(r.GetSdk(), sdk.MaxName), nil
}

// Describe is the plugin's manifest.
func (c *Client) Describe(ctx context.Context) (sdk.Manifest, error) {
	r, err := c.base.Describe(ctx, &pb.DescribeRequest{})
	if err != nil {
		return sdk.Manifest{}, callError(ctx, "Describe", err)
	}
	return manifestFromProto(r.GetManifest())
}

// Configure hands over the config block. A *Refusal with CodeConfig names what is wrong in it.
func (c *Client) Configure(ctx context.Context, config json.RawMessage) error {
	_, err := c.base.Configure(ctx, &pb.ConfigureRequest{Config: config})
	return callError(ctx, "Configure", err)
}

// Shutdown asks the plugin to end its process.
func (c *Client) Shutdown(ctx context.Context, reason string) error {
	_, err := c.base.Shutdown(ctx, &pb.ShutdownRequest{Reason: reason})
	return callError(ctx, "Shutdown", err)
}

// Input answers an open question (by answer) or permission request (by decision).
func (c *Client) Input(ctx context.Context, attemptID, itemID string, a sdk.Answer, d sdk.Decision) error {
	_, err := c.executor.Input(ctx, &pb.InputRequest{
		AttemptId: attemptID, ItemId: itemID,
		Answer:   &pb.Answer{Text: a.Text, Answered: a.Answered},
		Decision: &pb.Decision{Allowed: d.Allowed, Rule: d.Rule},
	})
	return callError(ctx, "Input", err)
}

// Probe has the plugin look at the program that it drives. A *Refusal with CodeUnsupported says that it
// drives none.
func (c *Client) Probe(ctx context.Context, r sdk.ProbeRequest) (sdk.Probe, error) {
	p, err := c.executor.Probe(ctx, &pb.ProbeRequest{Program: installedToProto(r.Program), Gateway: gatewayToProto(r.Gateway)})
	if err != nil {
		return sdk.Probe{}, callError(ctx, "Probe", err)
	}
	return probeFromProto(p)
}

// Cancel asks the attempt to stop.
func (c *Client) Cancel(ctx context.Context, attemptID, reason string) error {
	_, err := c.executor.Cancel(ctx, &pb.CancelRequest{AttemptId: attemptID, Reason: reason})
	return callError(ctx, "Cancel", err)
}

// TooMuchError is the error of a request that does not fit into one message.
type TooMuchError struct {
	Call string
	Size int
}

// Error is the call and the size.
func (e *TooMuchError) Error() string {
	return fmt.Sprintf("the request of %s has %d bytes, more than %d", e.Call, e.Size, MaxMessage)
}

// fits refuses what gRPC could not send, so that the plugin is not blamed for it.
func fits(call string, m proto.Message) error {
	raw, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the request of %s: %w", call, err)
	}
	if len(raw) > MaxMessage {
		return &TooMuchError{call, len(raw)}
	}
	return nil
}

// Execute performs an attempt: it starts it, hands every event to sink in order and returns the one
// result. An error of sink ends it and is returned as it is. While sink works, the plugin waits.
func (c *Client) Execute(ctx context.Context, a sdk.Attempt, sink func(context.Context, sdk.Event) error) (sdk.Result, error) {
	request := attemptToProto(a)
	if err := fits("Start", request); err != nil {
		return sdk.Result{}, err
	}
	if _, err := c.executor.Start(ctx, request); err != nil {
		return sdk.Result{}, callError(ctx, "Start", err)
	}
	open := func(ctx context.Context) (grpc.ServerStreamingClient[pb.AttachReply], error) {
		return c.executor.Attach(ctx, &pb.AttachRequest{AttemptId: a.ID, HeartbeatMs: millis(c.opts.Heartbeat)})
	}
	var result sdk.Result
	take := func(ctx context.Context, m *pb.AttachReply) (last bool, err error) {
		switch body := m.GetBody().(type) {
		case *pb.AttachReply_Event:
			e := eventFromProto(body.Event)
			if err := e.Validate(); err != nil {
				return false, violated("%v", err)
			}
			return false, sink(ctx, e)
		case *pb.AttachReply_Result:
			result, err = resultFromProto(body.Result)
			return true, err
		default:
			return false, violated("a message of Attach has no body")
		}
	}
	err := follow(ctx, c.opts.Silence, "Attach", open, take)
	return result, err
}

// Check has a tree judged: it hands every piece of output to output in order and returns the one
// verdict. An error of output ends it and is returned as it is.
func (c *Client) Check(ctx context.Context, check sdk.Check, output func(stream string, p []byte) error) (sdk.Verdict, error) {
	request := checkToProto(check, c.opts.Heartbeat)
	if err := fits("Check", request); err != nil {
		return sdk.Verdict{}, err
	}
	open := func(ctx context.Context) (grpc.ServerStreamingClient[pb.CheckReply], error) {
		return c.validator.Check(ctx, request)
	}
	var verdict sdk.Verdict
	take := func(_ context.Context, m *pb.CheckReply) (last bool, err error) {
		switch body := m.GetBody().(type) {
		case *pb.CheckReply_Output:
			stream, data := body.Output.GetStream(), body.Output.GetData()
			if !slices.Contains([]string{"stdout", "stderr"}, stream) || len(data) > sdk.MaxLog {
				return false, violated("a piece of output of %d bytes on stream %q", len(data), clip(stream, 80))
			}
			return false, output(stream, data)
		case *pb.CheckReply_Verdict:
			verdict, err = verdictFromProto(body.Verdict)
			return true, err
		default:
			return false, violated("a message of Check has no body")
		}
	}
	err := follow(ctx, c.opts.Silence, "Check", open, take)
	return verdict, err
}
