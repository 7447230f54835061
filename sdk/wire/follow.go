package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
	"google.golang.org/grpc"
)

// message is what the two streams have in common.
type message interface {
	GetSeq() uint64
	GetHeartbeat() *pb.Heartbeat
}

// follow reads a stream to its end and holds the plugin to the rules of it: numbers gapless from 1,
// the last message once and nothing behind it, never silent for longer than silence. Time that take
// needs is not the plugin's.
func follow[M any, P interface {
	*M
	message
}](ctx context.Context, silence time.Duration, call string,
	open func(context.Context) (grpc.ServerStreamingClient[M], error),
	take func(context.Context, P) (last bool, err error),
) error {
	streamCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(ErrSilent) })
	defer watch.Stop()
	stream, err := open(streamCtx)
	if err != nil {
		return callError(streamCtx, call, err)
	}
	next := uint64(1)
	ended := false
	for {
		watch.Reset(silence)
		m, err := stream.Recv()
		watch.Stop()
		if err != nil {
			return streamEnd(streamCtx, call, ended, err)
		}
		p := P(m)
		switch {
		case p.GetHeartbeat() != nil && !ended:
			continue
		case ended:
			return violated("a message of %s follows its last", call)
		case p.GetSeq() != next:
			return violated("message %d of %s has number %d", next, call, p.GetSeq())
		}
		next++
		if ended, err = take(ctx, p); err != nil {
			return err
		}
	}
}

// streamEnd judges the error that ended a stream. A connection that breaks after the last message
// loses nothing.
func streamEnd(ctx context.Context, call string, ended bool, err error) error {
	err = recvError(ctx, call, err)
	switch {
	case errors.Is(err, io.EOF) && ended, errors.Is(err, ErrBroken) && ended:
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w without a last message", violated("%s ended", call))
	default:
		return err
	}
}
