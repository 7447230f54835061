package wire

import (
	"context"
	"errors"
	"time"
)

// The errors of telling something that nobody takes any more.
var (
	errOver     = errors.New("the attempt has ended")
	errHostGone = errors.New("the host has left the attempt")
)

// feed carries what a running piece of the author's code tells, in order, to the stream that the host
// reads. Nothing waits in it: what was put is on its way when put returns, so that a crash takes little
// with it. Its last message is put by finish.
type feed[M any] struct {
	out  chan M
	over chan struct{}   // closed when the author's code has returned
	gone <-chan struct{} // closed when the host has left the stream
}

func newFeed[M any](gone <-chan struct{}) *feed[M] {
	return &feed[M]{out: make(chan M), over: make(chan struct{}), gone: gone}
}

// put hands over one message; it blocks while the host is behind.
func (f *feed[M]) put(ctx context.Context, m M) error {
	select {
	case <-f.over:
		return errOver
	default:
	}
	select {
	case f.out <- m:
		return nil
	case <-f.over:
		return errOver
	case <-f.gone:
		return errHostGone
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish hands over the last message. Until the host has taken it, it blocks.
func (f *feed[M]) finish(last M) {
	close(f.over)
	select {
	case f.out <- last:
	case <-f.gone:
	}
}

// pump sends the feed until the message for which last is true, with heartbeats in the silences.
func (f *feed[M]) pump(ctx context.Context, every time.Duration, beat M, send func(M) error, last func(M) bool) error {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		m := beat
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m = <-f.out:
		case <-timer.C:
		}
		if err := send(m); err != nil {
			return err
		}
		if last(m) {
			return nil
		}
		timer.Reset(every)
	}
}

// interval is the cadence of heartbeats that the host asked for, within reason.
func interval(ms uint32) time.Duration {
	d := time.Duration(ms) * time.Millisecond
	return min(max(d, minHeartbeat), maxHeartbeat)
}

const (
	minHeartbeat     = 10 * time.Millisecond
	maxHeartbeat     = time.Minute
	defaultHeartbeat = 5 * time.Second
)
