package event

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
)

// record is a log that publishes what it appends, as the store does.
type record struct {
	bus *Bus

	mu     sync.Mutex
	events []work.Event
	reads  int
}

func (r *record) append(n int) {
	for range n {
		r.mu.Lock()
		e := work.Event{Epoch: 1, Seq: int64(len(r.events)), Kind: "test"}
		r.events = append(r.events, e)
		r.mu.Unlock()
		r.bus.Publish(e)
	}
}

func (r *record) read(_ context.Context, after Position, limit int) ([]work.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	i := 0
	for i < len(r.events) && !after.Before(Of(r.events[i])) {
		i++
	}
	return slices.Clone(r.events[i:min(i+limit, len(r.events))]), nil
}

func checkDense(t *testing.T, got []int64, from, n int64) {
	t.Helper()
	if int64(len(got)) != n {
		t.Errorf("got %d events, want %d", len(got), n)
		return
	}
	for i, seq := range got {
		if seq != from+int64(i) {
			t.Errorf("event %d has seq %d, want %d", i, seq, from+int64(i))
			return
		}
	}
}

func TestASubscriptionSeesEventsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := New(10)
		rec := &record{bus: bus}
		s := bus.Subscribe(t.Context())
		defer s.Close()
		go rec.append(10)
		var got []int64
		for range 10 {
			e, err := s.Next(t.Context())
			if err != nil {
				t.Fatalf("Next: %v", err)
			}
			got = append(got, e.Seq)
		}
		checkDense(t, got, 0, 10)
	})
}

func TestASlowSubscriptionLagsAndThePublisherDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := New(4)
		rec := &record{bus: bus}
		s := bus.Subscribe(t.Context())
		defer s.Close()
		rec.append(2)
		for range 2 {
			if _, err := s.Next(t.Context()); err != nil {
				t.Fatalf("Next: %v", err)
			}
		}
		rec.append(1000)
		var lag *Lagged
		if _, err := s.Next(t.Context()); !errors.As(err, &lag) || lag.After != (Position{1, 1}) {
			t.Fatalf("got %v, want lagged after 1.1", err)
		}
		if got := cap(s.queue); got > 8 {
			t.Errorf("a lagging subscription holds %d events", got)
		}
		s.Seek(Position{1, 1001})
		rec.append(1)
		if e, err := s.Next(t.Context()); err != nil || e.Seq != 1002 {
			t.Errorf("after the lag: got %d, %v, want 1002", e.Seq, err)
		}
	})
}

func TestFollowDeliversEveryEventOnceHoweverSlowItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 3000
		bus := New(8)
		rec := &record{bus: bus}
		rec.append(700)
		go func() {
			for range 100 {
				rec.append(23)
				<-time.After(time.Millisecond)
			}
		}()
		var got []int64
		done := errors.New("seen all")
		err := bus.Follow(t.Context(), Position{1, 9}, rec.read, func(e work.Event) error {
			got = append(got, e.Seq)
			if len(got)%100 == 0 {
				<-time.After(7 * time.Millisecond)
			}
			if len(got) == total-10 {
				return done
			}
			return nil
		})
		if !errors.Is(err, done) {
			t.Fatalf("Follow: %v", err)
		}
		checkDense(t, got, 10, total-10)
		if rec.reads < 5 {
			t.Errorf("the record was read %d times: the follower never lagged", rec.reads)
		}
	})
}

func TestFollowFromTheBeginningSeesTheFirstEvent(t *testing.T) {
	rec := &record{bus: New(4)}
	rec.append(1)
	first := errors.New("first")
	err := rec.bus.Follow(t.Context(), Beginning(), rec.read, func(e work.Event) error {
		if e.Seq != 0 {
			t.Errorf("got %d, want 0", e.Seq)
		}
		return first
	})
	if !errors.Is(err, first) {
		t.Errorf("Follow: %v", err)
	}
}

func TestFollowEndsWithItsContextAndLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := New(4)
		rec := &record{bus: bus}
		why := errors.New("client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error)
		go func() {
			ended <- bus.Follow(ctx, Beginning(), rec.read, func(work.Event) error { return nil })
		}()
		synctest.Wait()
		cancel(why)
		if err := <-ended; !errors.Is(err, why) {
			t.Errorf("Follow: got %v, want %v", err, why)
		}
		synctest.Wait()
		if n := len(bus.subs); n != 0 {
			t.Errorf("%d subscriptions left", n)
		}
	})
}

func TestFollowPassesOnTheErrorOfTheRecord(t *testing.T) {
	broken := errors.New("disk")
	err := New(1).Follow(t.Context(), Beginning(), func(context.Context, Position, int) ([]work.Event, error) {
		return nil, broken
	}, func(work.Event) error { return nil })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func TestAClosedSubscriptionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := New(4)
		s := bus.Subscribe(t.Context())
		ended := make(chan error)
		go func() { _, err := s.Next(t.Context()); ended <- err }()
		synctest.Wait()
		s.Close()
		s.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		bus.Publish(work.Event{})
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

func TestAWakeBetweenWaitAndSelectIsNotLost(t *testing.T) {
	bus := New(1)
	woken := bus.Wait(t.Context(), "step_1")
	other := bus.Wait(t.Context(), "step_2")
	bus.Wake("step_1")
	select {
	case <-woken:
	default:
		t.Error("the wake-up was lost")
	}
	select {
	case <-other:
		t.Error("another key was woken")
	default:
	}
}

func TestOneWakeWakesEveryWaiterOfTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := New(1)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { <-bus.Wait(t.Context(), "k") })
		}
		synctest.Wait()
		bus.Wake("k")
		wg.Wait()
		if n := len(bus.keys); n != 0 {
			t.Errorf("%d keys left", n)
		}
	})
}

func TestAWaitIsForgottenWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := New(1)
		short, cancel := context.WithCancel(t.Context())
		bus.Wait(short, "k")
		kept := bus.Wait(t.Context(), "k")
		cancel()
		synctest.Wait()
		if n := len(bus.keys); n != 1 {
			t.Fatalf("%d keys, want the one that is still waited for", n)
		}
		bus.Wake("k")
		<-kept
		alone, cancel := context.WithCancel(t.Context())
		bus.Wait(alone, "k")
		cancel()
		synctest.Wait()
		if n := len(bus.keys); n != 0 {
			t.Errorf("%d keys left", n)
		}
	})
}

func TestManyPublishersWakersAndSubscribersAgree(t *testing.T) {
	bus := New(64)
	rec := &record{bus: bus}
	const total, followers = 2000, 8
	all := errors.New("seen all")
	var wg sync.WaitGroup
	for range followers {
		wg.Go(func() {
			var got []int64
			err := bus.Follow(t.Context(), Beginning(), rec.read, func(e work.Event) error {
				if got = append(got, e.Seq); len(got) == total {
					return all
				}
				return nil
			})
			if !errors.Is(err, all) {
				t.Errorf("Follow: %v", err)
			}
			checkDense(t, got, 0, total)
		})
	}
	wg.Go(func() { rec.append(total) })
	wg.Go(func() {
		for range total {
			woken := bus.Wait(t.Context(), "k")
			bus.Wake("k")
			<-woken
		}
	})
	wg.Wait()
}
