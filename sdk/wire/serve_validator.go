package wire

import (
	"bytes"
	"context"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"google.golang.org/grpc"
)

type validatorFace struct {
	pb.UnimplementedValidatorServer
	s *Server
}

func (v validatorFace) Check(r *pb.CheckRequest, stream grpc.ServerStreamingServer[pb.CheckReply]) error {
	config, err := v.s.ready()
	if err != nil {
		return err
	}
	ctx := stream.Context()
	f := newFeed[*pb.CheckReply](ctx.Done())
	check := checkFromProto(r, config)
	check.Output = func(stream string, p []byte) error { return output(ctx, f, stream, p) }
	go v.s.judge(ctx, f, check)
	seq := uint64(0)
	send := func(m *pb.CheckReply) error {
		if m.GetHeartbeat() == nil {
			seq++
			m.Seq = seq
		}
		return stream.Send(m)
	}
	beat := &pb.CheckReply{Body: &pb.CheckReply_Heartbeat{Heartbeat: &pb.Heartbeat{}}}
	last := func(m *pb.CheckReply) bool { return m.GetVerdict() != nil }
	return f.pump(ctx, interval(r.GetHeartbeatMs()), beat, send, last)
}

// judge runs the check and always puts one verdict; an error is the outcome "error".
func (s *Server) judge(ctx context.Context, f *feed[*pb.CheckReply], check *sdk.Check) {
	verdict := sdk.Verdict{Outcome: sdk.Error, Message: "the validator ended without a verdict"}
	defer func() {
		f.finish(&pb.CheckReply{Body: &pb.CheckReply_Verdict{Verdict: verdictToProto(verdict)}})
	}()
	var got sdk.Verdict
	err := s.guard("checking gate "+check.Gate, func() (err error) {
		got, err = s.plugin.Validator.Check(ctx, check)
		return err
	})
	if err != nil {
		got.Outcome, got.Message = sdk.Error, err.Error()
	}
	verdict = got
}

func output(ctx context.Context, f *feed[*pb.CheckReply], stream string, p []byte) error {
	for len(p) > 0 {
		piece := bytes.Clone(p[:min(len(p), sdk.MaxLog)])
		p = p[len(piece):]
		reply := &pb.CheckReply{Body: &pb.CheckReply_Output{Output: &pb.Output{Stream: stream, Data: piece}}}
		if err := f.put(ctx, reply); err != nil {
			return err
		}
	}
	return nil
}
