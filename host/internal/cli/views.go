package cli

import (
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

// view shows a board while it changes.
type view interface {
	pace() time.Duration
	events(b *board, batch []api.Event, now time.Time) error
	moved(b *board, now time.Time) error // an activity
	tick(b *board, now time.Time) error
	finish(b *board, now time.Time) error
}

// newView is a live tree on a terminal, lines elsewhere, nothing with -q or --jsonl.
func (s *shell) newView(b *board) view {
	now := time.Now()
	switch {
	case s.g.quiet || s.g.jsonl:
		return silent{}
	case s.talk.profile.Redraws(s.io.Env):
		v := &liveView{look: s.talk, live: term.NewLive(s.io.Err, s.talk.profile)}
		_ = v.draw(b, now) // the next drawing fails the same way and is heard
		return v
	}
	pace := s.io.Heartbeat
	if pace == 0 {
		pace = heartbeat
	}
	v := &lineView{s: s, t: newTeller(s.talk), every: pace, last: now}
	s.say(v.t.begin(b, now)...)
	return v
}

type silent struct{}

func (silent) pace() time.Duration                         { return time.Hour }
func (silent) events(*board, []api.Event, time.Time) error { return nil }
func (silent) moved(*board, time.Time) error               { return nil }
func (silent) tick(*board, time.Time) error                { return nil }
func (silent) finish(*board, time.Time) error              { return nil }

// liveView is the tree that redraws in place.
type liveView struct {
	look
	live  *term.Live
	drawn time.Time
}

func (v *liveView) draw(b *board, now time.Time) error {
	v.drawn = now
	return v.live.Draw(v.lines(b, now))
}

func (v *liveView) lines(b *board, now time.Time) []string {
	lines := b.tree(v.look, now).Lines(v.profile)
	for i, line := range lines {
		lines[i] = v.gate(line)
	}
	return lines
}

func (v *liveView) pace() time.Duration { return secondHand }

func (v *liveView) events(b *board, _ []api.Event, now time.Time) error { return v.draw(b, now) }

// moved draws unless it did so just now: a chatty attempt must not cost a terminal's time.
func (v *liveView) moved(b *board, now time.Time) error {
	if now.Sub(v.drawn) < frame {
		return nil
	}
	return v.draw(b, now)
}

func (v *liveView) tick(b *board, now time.Time) error { return v.draw(b, now) }

func (v *liveView) finish(b *board, now time.Time) error {
	return v.live.Finish(v.lines(b, now))
}

// lineView is one line per change, and a heartbeat.
type lineView struct {
	s     *shell
	t     *teller
	every time.Duration
	last  time.Time // of the last line
}

func (v *lineView) say(lines []string, now time.Time) error {
	if len(lines) > 0 {
		v.last = now
		v.s.say(lines...)
	}
	return nil
}

// pace is finer than the heartbeat, which counts from the last line.
func (v *lineView) pace() time.Duration { return max(v.every/6, time.Millisecond) }

func (v *lineView) events(b *board, batch []api.Event, now time.Time) error {
	return v.say(v.t.events(b, batch), now)
}

func (v *lineView) moved(*board, time.Time) error { return nil }

func (v *lineView) tick(b *board, now time.Time) error {
	if now.Sub(v.last) < v.every-v.pace() {
		return nil
	}
	return v.say([]string{v.t.heartbeat(b, now)}, now)
}

func (v *lineView) finish(b *board, now time.Time) error {
	return v.say(v.t.begin(b, now), now)
}
