package event

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/drawspan/drawspan/host/internal/work"
)

// ErrClosed is the end of a subscription that was closed.
var ErrClosed = errors.New("subscription closed")

// Lagged is the error of a subscription that fell behind: what comes after After must be read from the
// record. The subscription goes on with what is published from then on.
type Lagged struct{ After Position }

// Error says where to read on.
func (l *Lagged) Error() string {
	return fmt.Sprintf("subscription fell behind after %d.%d", l.After.Epoch, l.After.Seq)
}

// Sub is a subscription. One goroutine reads it.
type Sub struct {
	bus   *Bus
	ready chan struct{} // holds a token when there is something to read
	done  chan struct{}

	mu     sync.Mutex
	queue  []work.Event
	last   Position // what the reader has seen
	lagged bool
	ended  bool
	unhook func() bool
}

// offer queues an event, or drops the queue if it is full.
func (s *Sub) offer(e work.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if len(s.queue) == s.bus.queue {
		s.queue, s.lagged = nil, true
	}
	if !s.lagged {
		s.queue = append(s.queue, e)
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Seek says that the reader has seen everything up to p elsewhere: events that are not after p are
// skipped.
func (s *Sub) Seek(p Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = p
}

// Next waits for the next event. Its error is *Lagged when the reader was too slow, the cause of ctx's
// end, or ErrClosed.
func (s *Sub) Next(ctx context.Context) (work.Event, error) {
	for {
		e, ok, err := s.take()
		if ok || err != nil {
			return e, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return work.Event{}, context.Cause(ctx)
		case <-s.done:
			return work.Event{}, ErrClosed
		}
	}
}

func (s *Sub) take() (work.Event, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lagged {
		s.lagged = false
		return work.Event{}, false, &Lagged{After: s.last}
	}
	for len(s.queue) > 0 {
		e := s.queue[0]
		s.queue[0] = work.Event{}
		s.queue = s.queue[1:]
		if s.last.Before(Of(e)) {
			s.last = Of(e)
			return e, true, nil
		}
	}
	return work.Event{}, false, nil
}

// Close ends the subscription.
func (s *Sub) Close() {
	s.mu.Lock()
	unhook := s.unhook
	s.mu.Unlock()
	if unhook != nil {
		unhook()
	}
	s.end()
}

func (s *Sub) end() {
	s.bus.mu.Lock()
	delete(s.bus.subs, s)
	s.bus.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.queue = true, nil
		close(s.done)
	}
}

// Reader reads up to limit events after a position from the record, in order.
type Reader func(ctx context.Context, after Position, limit int) ([]work.Event, error)

// page is how many events Follow asks a Reader for.
const page = 256

// Follow delivers every event after the cursor, once and in order: from the record until it has caught
// up, then live, and from the record again whenever it fell behind. It returns the error of read or
// deliver, or the cause of ctx's end.
func (b *Bus) Follow(ctx context.Context, after Position, read Reader, deliver func(work.Event) error) error {
	s := b.Subscribe(ctx)
	defer s.Close()
	if err := s.replay(ctx, after, read, deliver); err != nil {
		return err
	}
	for {
		e, err := s.Next(ctx)
		var lag *Lagged
		switch {
		case errors.As(err, &lag):
			err = s.replay(ctx, lag.After, read, deliver)
		case errors.Is(err, ErrClosed):
			return context.Cause(ctx)
		case err == nil:
			err = deliver(e)
		}
		if err != nil {
			return err
		}
	}
}

// replay delivers what the record holds after a position and moves the cursor to its end.
func (s *Sub) replay(ctx context.Context, after Position, read Reader, deliver func(work.Event) error) error {
	s.Seek(after)
	for {
		events, err := read(ctx, after, page)
		if err != nil {
			return fmt.Errorf("read events after %d.%d: %w", after.Epoch, after.Seq, err)
		}
		for _, e := range events {
			if err := deliver(e); err != nil {
				return err
			}
			after = Of(e)
			s.Seek(after)
		}
		if len(events) < page {
			return nil
		}
	}
}
