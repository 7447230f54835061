package dispatch

import (
	"context"
	"sync"
)

// slots bounds how many attempts live at once, in all and per workspace. Limits are read at every try,
// so a reload takes effect at once.
type slots struct {
	mu      sync.Mutex
	all     int
	by      map[string]int
	changed chan struct{}
}

func newSlots() *slots { return &slots{by: map[string]int{}, changed: make(chan struct{})} }

// take waits for a slot; limits answers with the limits in force (0 = none). The release must be called
// once.
func (s *slots) take(ctx context.Context, workspace string, limits func() (all, each int)) (release func(), err error) {
	for {
		all, each := limits()
		s.mu.Lock()
		if (all <= 0 || s.all < all) && (each <= 0 || s.by[workspace] < each) {
			s.all++
			s.by[workspace]++
			s.mu.Unlock()
			return sync.OnceFunc(func() { s.release(workspace) }), nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *slots) release(workspace string) {
	s.mu.Lock()
	s.all--
	s.by[workspace]--
	s.mu.Unlock()
	s.wake()
}

func (s *slots) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}
