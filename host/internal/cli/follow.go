package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
)

// Pace of a followed view.
const (
	frame        = 80 * time.Millisecond  // between two drawings, at least
	catchUp      = 300 * time.Millisecond // when it is over, how long events that answers overtook are waited for
	secondHand   = time.Second            // between two drawings when nothing happens: clocks move on
	askAgain     = 250 * time.Millisecond // after a daemon did not answer
	heartbeat    = 30 * time.Second       // without a terminal, at most so long in silence
	maxFollowed  = 60                     // steps of a run that are shown
	maxLine      = 1 << 20                // bytes of a line of an attempt's stream
	cancelPrompt = 2 * time.Second        // after Ctrl-C, how long a second one is waited for
)

// followed says what to follow and when to stop.
type followed struct {
	runID   string // follow a whole run, or
	stepID  string // one step
	after   string // log position at which to begin; everything before is in the first answer
	timeout time.Duration
	// over reports whether there is nothing more to wait for. Nil never is.
	over func(b *board) bool
	// row, if set, gets every event instead of the view.
	row func(api.Event) error
}

// errDetached is how following ends on Ctrl-C.
var errDetached = errors.New("detached")

// follower follows work. It is used once, by one goroutine; pumps feed it.
type follower struct {
	s    *shell
	c    *client.Client
	f    followed
	b    *board
	view view

	events chan api.Event
	broken chan error
	acts   chan activityNote
	pumps  sync.WaitGroup
	pumped map[string]bool // attempts whose stream is read
	dirty  map[string]bool // steps to ask for anew
	stale  bool            // the run is to be asked for anew
	again  <-chan time.Time
	mute   time.Time // since when the daemon does not answer
}

type activityNote struct {
	attemptID string
	act       activity
}

// follow follows until over, the timeout, Ctrl-C or an error. The board is as the last answer left it.
func (s *shell) follow(ctx context.Context, c *client.Client, f followed) (*board, error) {
	ctx, stop := context.WithCancel(ctx)
	w := &follower{
		s: s, c: c, f: f, events: make(chan api.Event, 64), broken: make(chan error, 1),
		acts: make(chan activityNote, 1), pumped: map[string]bool{}, dirty: map[string]bool{},
	}
	defer w.pumps.Wait()
	defer stop()
	if f.after == "" {
		in, err := client.Call[api.Instance](ctx, c, api.OpInstanceDescribe, api.Empty{})
		if err != nil {
			return nil, err
		}
		w.f.after = in.Head
	}
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	w.view = s.newView(w.b)
	err := w.loop(ctx)
	return w.b, errors.Join(err, w.view.finish(w.b, time.Now()))
}

// begin asks for how things stand and starts to read the log from before that.
func (w *follower) begin(ctx context.Context) error {
	w.b = newBoard(nil)
	if w.f.runID != "" {
		run, err := client.Call[api.Run](ctx, w.c, api.OpRunGet, api.RunRef{RunID: w.f.runID})
		if err != nil {
			return err
		}
		w.b.run = &run
		req := api.StepListRequest{RunID: run.ID, Page: api.Page{Limit: maxFollowed}}
		steps, err := client.Call[api.List[api.Step]](ctx, w.c, api.OpStepList, req)
		if err != nil {
			return err
		}
		for _, s := range steps.Items {
			w.dirty[s.ID] = true
		}
	} else {
		w.dirty[w.f.stepID] = true
	}
	if err := w.refresh(ctx); err != nil {
		return err
	}
	w.b.lastEvent = time.Now()
	w.pumps.Go(func() { w.pumpEvents(ctx) })
	w.pumpStreams(ctx)
	return nil
}

// refresh asks for what changed.
func (w *follower) refresh(ctx context.Context) error {
	if w.stale {
		run, err := client.Call[api.Run](ctx, w.c, api.OpRunGet, api.RunRef{RunID: w.b.run.ID})
		if err != nil {
			return err
		}
		w.b.run, w.stale = &run, false
	}
	for id := range w.dirty {
		step, err := client.Call[api.Step](ctx, w.c, api.OpStepGet, api.StepRef{StepID: id})
		if err != nil {
			return err
		}
		w.b.put(step)
		delete(w.dirty, id)
	}
	return nil
}

// patience is how long a daemon that does not answer is waited for.
func (w *follower) patience() time.Duration { return cmp.Or(w.s.io.Patience, 30*time.Second) }

// renew refreshes. A daemon that does not answer just now may be starting anew: it is asked again for a
// while, as the stream of events tries to come back.
func (w *follower) renew(ctx context.Context) error {
	w.again = nil
	err := w.refresh(ctx)
	if !fault.Is(err, fault.Unavailable) || ctx.Err() != nil {
		w.mute = time.Time{}
		return err
	}
	now := time.Now()
	if w.mute.IsZero() {
		w.mute = now
	}
	if now.Sub(w.mute) > w.patience() {
		return err
	}
	w.again = time.After(askAgain)
	return nil
}

// pumpEvents reads the log into the loop. A stream comes back by itself once it was there; one whose first
// connection falls into a restart of the daemon, which answered just before, is begun anew.
func (w *follower) pumpEvents(ctx context.Context) {
	req := api.EventsRequest{After: w.f.after, RunID: w.f.runID, StepID: w.f.stepID}
	stream := w.c.Events(ctx, req)
	defer func() { stream.Close() }()
	heard := time.Now()
	for {
		e, err := stream.Next(ctx)
		if fault.Is(err, fault.Unavailable) && ctx.Err() == nil && time.Since(heard) < w.patience() {
			stream.Close()
			select {
			case <-time.After(askAgain):
			case <-ctx.Done():
			}
			req.After = stream.Position()
			stream = w.c.Events(ctx, req)
			continue
		}
		if err != nil {
			w.broken <- err
			return
		}
		heard = time.Now()
		select {
		case w.events <- e:
		case <-ctx.Done():
			return
		}
	}
}

// pumpStreams starts to read the stream of every live attempt that is not read yet.
func (w *follower) pumpStreams(ctx context.Context) {
	if w.f.row != nil {
		return
	}
	for _, s := range w.b.steps {
		a := s.Attempt
		if a == nil || a.StartedAt == nil || a.State == stateEnded || w.pumped[a.ID] {
			continue
		}
		w.pumped[a.ID] = true
		id := a.ID
		w.pumps.Go(func() { w.pumpStream(ctx, id) })
	}
}

// pumpStream reads what an attempt does; only the newest matters. Its end or failure ends nothing: the
// log says how the attempt stands.
func (w *follower) pumpStream(ctx context.Context, id string) {
	body, err := w.c.Stream(ctx, api.OpAttemptStream, api.StreamRequest{AttemptID: id, Follow: true})
	if err != nil {
		return
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		act, ok := activityOf(lines.Bytes())
		if !ok {
			continue
		}
		if act.At.IsZero() {
			act.At = time.Now()
		}
		note := activityNote{id, act}
		for sent := false; !sent; {
			select {
			case w.acts <- note:
				sent = true
			case <-ctx.Done():
				return
			default:
				// The loop is behind: the older note gives way.
				select {
				case <-w.acts:
				default:
				}
			}
		}
	}
}

// loop is the heart: it takes what comes, keeps the view current and decides when it is over.
func (w *follower) loop(ctx context.Context) error {
	timeout := make(<-chan time.Time)
	if w.f.timeout > 0 {
		timer := time.NewTimer(w.f.timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	tick := time.NewTicker(w.view.pace())
	defer tick.Stop()
	var late <-chan time.Time
	for {
		ended, wait := w.ending(late)
		if ended {
			return nil
		}
		late = wait
		var err error
		select {
		case <-late:
			return nil
		case e := <-w.events:
			err = w.take(ctx, e)
		case <-w.again:
			err = w.renew(ctx)
		case n := <-w.acts:
			w.b.note(n.attemptID, n.act, time.Now())
			err = w.view.moved(w.b, time.Now())
		case now := <-tick.C:
			err = w.view.tick(w.b, now)
		case err = <-w.broken:
			err = w.brokenBy(ctx, err)
		case <-w.s.io.Interrupts:
			err = errDetached
		case <-timeout:
			err = w.expired()
		case <-ctx.Done():
			err = errDetached
		}
		if err != nil {
			return err
		}
	}
}

// ending reports whether there is nothing more to wait for. While events are still to tell what answers
// said already, late is how long they are waited for.
func (w *follower) ending(late <-chan time.Time) (bool, <-chan time.Time) {
	switch {
	case w.f.over == nil || !w.f.over(w.b):
		return false, nil
	case w.b.caughtUp():
		return true, nil
	case late == nil:
		return false, time.After(catchUp)
	}
	return false, late
}

// take handles an event and all that are behind it in the queue with one refresh.
func (w *follower) take(ctx context.Context, first api.Event) error {
	batch := []api.Event{first}
	for more := true; more; {
		select {
		case e := <-w.events:
			batch = append(batch, e)
		default:
			more = false
		}
	}
	now := time.Now()
	for _, e := range batch {
		if w.f.row != nil {
			if err := w.f.row(e); err != nil {
				return err
			}
		}
		w.b.event(e, now)
		switch {
		case e.StepID != "":
			w.dirty[e.StepID] = true
		case w.b.run != nil && e.RunID == w.b.run.ID:
			w.stale = true
		}
	}
	if err := w.renew(ctx); err != nil {
		return err
	}
	w.pumpStreams(ctx)
	return w.view.events(w.b, batch, now)
}

func (w *follower) brokenBy(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errDetached
	}
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Unavailable, "the daemon stopped while the work was followed")
	}
	return err
}

func (w *follower) expired() error {
	id := firstOf(w.f.stepID, w.f.runID)
	state := "open"
	if s, ok := w.b.step(w.f.stepID); ok {
		state = s.State
	}
	noun := "step"
	if w.f.stepID == "" {
		noun = "run"
	}
	hint := "drawspan step wait " + id
	if noun == "run" {
		hint = "drawspan run watch " + id
	}
	return fault.New(fault.WaitExpired, "the %s is still %s after %s; the work goes on", noun, state, w.f.timeout).
		At(id).Fix("%s", hint)
}
