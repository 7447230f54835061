package store

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

const (
	maxBatch = 256              // requests of one transaction
	patience = 10 * time.Second // how long a caller that gave up waits for a write under way
)

// The states of a request.
const (
	waiting int32 = iota
	taken         // the writer has it: it will be answered
	left          // its caller went away before that
)

// request is one call of Apply, or of Checkpoint when it has no mutations.
type request struct {
	mutations []work.Mutation
	facts     []work.Fact // of the store's own kinds
	state     atomic.Int32
	events    []work.Event
	note      []byte
	answer    chan error
}

// submit queues a request and waits for its answer. Whoever finds nobody writing writes, for all that
// queue: a lone caller needs no other goroutine, and nobody waits for a timer.
func (s *Store) submit(ctx context.Context, r *request) error {
	w := s.w
	if w == nil {
		return fault.New(fault.NotSupported, "the record is open for reading only")
	}
	select {
	case w.queue <- r:
	case <-w.done:
		return errClosed()
	case <-ctx.Done():
		return fmt.Errorf("wait for the record: %w", context.Cause(ctx))
	}
	if w.mu.TryLock() {
		w.serve(context.WithoutCancel(ctx), w.gather())
		w.handOver()
	}
	return w.answerOf(ctx, r)
}

// handOver ends a turn. Whoever queued during it found the lock taken: they are seen here, after it.
func (w *writer) handOver() {
	more := w.untidy()
	w.mu.Unlock()
	if more || len(w.queue) > 0 {
		w.nudge()
	}
}

// answerOf waits for a request's answer. When ctx ends before the write begins, nothing is written.
func (w *writer) answerOf(ctx context.Context, r *request) error {
	select {
	case err := <-r.answer:
		return err
	case <-w.done:
		return lastAnswer(r)
	case <-ctx.Done():
	}
	if r.state.CompareAndSwap(waiting, left) {
		return fmt.Errorf("wait for the record: %w", context.Cause(ctx))
	}
	select {
	case err := <-r.answer:
		return err
	case <-w.done:
		return lastAnswer(r)
	case <-time.After(patience):
		return fault.New(fault.Unavailable, "the disk does not answer; the write is still under way").Fix("check the disk and its logs")
	}
}

// lastAnswer is the answer of a request that was served while the writer ended, or that never was.
func lastAnswer(r *request) error {
	select {
	case err := <-r.answer:
		return err
	default:
		return errClosed()
	}
}

func errClosed() error { return fault.New(fault.Unavailable, "the record is closed") }

// nudge wakes the attendant.
func (w *writer) nudge() {
	select {
	case w.poke <- struct{}{}:
	default: // it will look anyway
	}
}

// attend serves what was queued while others wrote, signs what has waited too long, tidies, and at the
// end drains the queue and signs.
func (w *writer) attend(ctx context.Context) {
	defer close(w.done)
	for {
		select {
		case <-w.poke:
			w.mu.Lock()
			w.drain(ctx)
			w.tidy(ctx)
			w.handOver()
		case <-w.timer.C:
			w.mu.Lock()
			w.armed = false
			w.serve(ctx, signature())
			w.tidy(ctx)
			w.handOver()
		case <-w.quit:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.drain(ctx)
			if w.signed < w.tree.Size() {
				w.serve(ctx, signature())
			}
			w.tidy(ctx)
			w.closed = true
			return
		}
	}
}

// signature is a request for a checkpoint that nobody waits for.
func signature() []*request { return []*request{{answer: make(chan error, 1)}} }

func (w *writer) drain(ctx context.Context) {
	for len(w.queue) > 0 {
		w.serve(ctx, w.gather())
	}
}

// gather takes what is queued. Nobody is waited for, but where there are several they get one chance to
// be more: those who were just answered may be on their way.
func (w *writer) gather() []*request {
	batch := w.take(nil)
	if len(batch) > 1 {
		runtime.Gosched()
		batch = w.take(batch)
	}
	return batch
}

func (w *writer) take(batch []*request) []*request {
	for len(batch) < maxBatch {
		select {
		case r := <-w.queue:
			if r.state.CompareAndSwap(waiting, taken) {
				batch = append(batch, r)
			}
		default:
			return batch
		}
	}
	return batch
}
