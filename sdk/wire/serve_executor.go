package wire

import (
	"context"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

type executorFace struct {
	pb.UnimplementedExecutorServer
	s *Server
}

func (x executorFace) Start(ctx context.Context, r *pb.StartRequest) (*pb.StartReply, error) {
	config, err := x.s.ready()
	if err != nil {
		return nil, err
	}
	if r.GetAttemptId() == "" {
		return nil, refuse(codes.InvalidArgument, CodeUnknownAttempt, "an attempt needs an id")
	}
	// The attempt outlives this call.
	running, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	a := newAttempt(r.GetAttemptId(), cancel)
	if !x.s.begin(a) {
		cancel(nil)
		return nil, refuse(codes.FailedPrecondition, CodeBusy, "one process performs one attempt")
	}
	work := attemptFromProto(r, config)
	work.Host = a
	go x.s.run(running, a, work)
	return &pb.StartReply{}, nil
}

// Probe looks at the program that the plugin drives.
func (x executorFace) Probe(ctx context.Context, r *pb.ProbeRequest) (*pb.ProbeReply, error) {
	config, err := x.s.ready()
	if err != nil {
		return nil, err
	}
	prober, ok := x.s.plugin.impl.(sdk.Prober)
	if !ok {
		return nil, refuse(codes.Unimplemented, CodeUnsupported, "the plugin drives no program")
	}
	var found sdk.Probe
	err = x.s.guard("looking at its program", func() (err error) {
		found, err = prober.Probe(ctx, sdk.ProbeRequest{
			Config: config, Program: installedFromProto(r.GetProgram()), Gateway: gatewayFromProto(r.GetGateway()),
		})
		return err
	})
	if err != nil {
		found = sdk.Probe{Login: "unknown", Notes: []string{err.Error()}}
	}
	return probeToProto(found), nil
}

func (s *Server) begin(a *attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempt != nil || s.stopping {
		return false
	}
	s.attempt = a
	return true
}

// run performs the attempt and always puts one result.
func (s *Server) run(ctx context.Context, a *attempt, work *sdk.Attempt) {
	result := sdk.ResultOf(sdk.Result{}, &sdk.Failure{Class: "crash", Message: "the executor ended without a result"})
	defer func() {
		a.feed.finish(resultReply(result))
	}()
	var got sdk.Result
	err := s.guard("performing attempt "+work.ID, func() (err error) {
		got, err = s.plugin.Executor.Run(ctx, work)
		return err
	})
	if ctx.Err() != nil && (got.StopReason == "" || got.StopReason == "end_turn") {
		got.StopReason = "cancelled"
	}
	result = sdk.ResultOf(got, err)
}

func (s *Server) find(id string) (*attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempt == nil || s.attempt.id != id {
		return nil, refuse(codes.NotFound, CodeUnknownAttempt, "no such attempt")
	}
	return s.attempt, nil
}

func (x executorFace) Attach(r *pb.AttachRequest, stream grpc.ServerStreamingServer[pb.AttachReply]) error {
	a, err := x.s.find(r.GetAttemptId())
	if err != nil {
		return err
	}
	if !a.attach() {
		return refuse(codes.FailedPrecondition, CodeAttached, "the attempt's stream is attached already")
	}
	defer a.leave()
	seq := uint64(0)
	send := func(m *pb.AttachReply) error {
		if m.GetHeartbeat() == nil {
			seq++
			m.Seq = seq
		}
		return stream.Send(m)
	}
	beat := &pb.AttachReply{Body: &pb.AttachReply_Heartbeat{Heartbeat: &pb.Heartbeat{}}}
	last := func(m *pb.AttachReply) bool { return m.GetResult() != nil }
	return a.feed.pump(stream.Context(), interval(r.GetHeartbeatMs()), beat, send, last)
}

func (x executorFace) Input(_ context.Context, r *pb.InputRequest) (*pb.InputReply, error) {
	a, err := x.s.find(r.GetAttemptId())
	if err != nil {
		return nil, err
	}
	if !a.deliver(r) {
		return nil, refuse(codes.NotFound, CodeUnknownItem, "no open question or request of that id")
	}
	return &pb.InputReply{}, nil
}

// CancelledError is the cause of a context that ended because the host asked the attempt to stop.
type CancelledError struct{ Reason string }

// Error is the host's reason.
func (c *CancelledError) Error() string { return "the host asked to stop: " + c.Reason }

func (x executorFace) Cancel(_ context.Context, r *pb.CancelRequest) (*pb.CancelReply, error) {
	a, err := x.s.find(r.GetAttemptId())
	if err != nil {
		return nil, err
	}
	a.cancel(&CancelledError{clip(r.GetReason(), sdk.MaxName)})
	return &pb.CancelReply{}, nil
}
