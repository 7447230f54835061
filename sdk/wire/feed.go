package wire

import (
	"context"
	"errors"
	"time"
)

// feedQueue is how many messages wait for the host before the author's code has to.
const feedQueue = 16

// errOver is the error of telling something after the end.
var errOver = errors.New("the attempt has ended")

// feed carries what a running piece of the author's code tells, in order, to the stream that the host
// reads. Its last message is put by finish.
type feed[M any] struct {
	out  chan M
	over chan struct{} // closed when the author's code has returned
}

func newFeed[M any]() *feed[M] {
	return &feed[M]{out: make(chan M, feedQueue), over: make(chan struct{})}
}

// put queues one message; it blocks while the host is behind.
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
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// finish queues the last message. Until the host has taken it, it blocks; gone unblocks it.
func (f *feed[M]) finish(gone <-chan struct{}, last M) {
	close(f.over)
	select {
	case f.out <- last:
	case <-gone:
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
