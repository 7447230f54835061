package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

// teller tells a board's changes as lines, one per change, for outputs that cannot be redrawn.
type teller struct {
	look
	said map[string]string // what was last said of an object
}

func newTeller(l look) *teller { return &teller{look: l, said: map[string]string{}} }

// begin tells how things stand when following begins.
func (t *teller) begin(b *board, now time.Time) []string {
	var lines []string
	for _, s := range b.steps {
		lines = append(lines, t.step(b, s, now)...)
	}
	return lines
}

// events tells what happened. The board has taken the events and was refreshed after the last of them,
// so it is at least as new: states that it has skipped are told from the events, the rest from the board
// once the events have caught up.
func (t *teller) events(b *board, events []api.Event) []string {
	var lines []string
	last := map[string]time.Time{}
	for _, e := range events {
		s, ok := b.step(e.StepID)
		if !ok {
			lines = append(lines, t.runEvent(e)...)
			continue
		}
		last[s.ID] = e.At
		lines = append(lines, t.passing(s, e)...)
	}
	for _, s := range b.steps {
		if at, ok := last[s.ID]; ok && !b.ahead(s) {
			lines = append(lines, t.step(b, s, at)...)
		}
	}
	return lines
}

// passing tells a state that the step or its attempt entered, and perhaps left already.
func (t *teller) passing(s api.Step, e api.Event) []string {
	object, state, _ := strings.Cut(e.Kind, ".")
	mine := s.Attempt != nil && s.Attempt.ID == e.AttemptID
	switch {
	case e.Kind == "attempt.stuck":
		return t.change(e.At, e.AttemptID+" stuck", "stuck", join(fmtStep(s), "attempt: its end is not proved yet, processes may still run"))
	case object == "attempt" && mine && t.news(e.AttemptID, state):
		return t.change(e.At, e.AttemptID, state, t.attemptLine(s, *s.Attempt, state))
	case object == "step" && (state == stateActive || state == stateHeld) && !settled(t.said[s.ID]):
		return t.change(e.At, s.ID, state, join(fmtStep(s), t.state(state), term.Line(s.Executor), t.simulated(simulated(s))))
	}
	return nil
}

// ranks order an attempt's states, so that an event from before the first answer is not told after it.
var ranks = map[string]int{
	stateQueued: 1, "preparing": 2, "running": 3, stateWaiting: 3, stateStopping: 3, "collecting": 4, "validating": 5,
	stateEnded: 6,
}

// news reports whether a passing state of an attempt was not told, nor one that comes after it.
func (t *teller) news(id, state string) bool {
	if ranks[state] == 0 || state == stateEnded {
		return false
	}
	return ranks[state] >= ranks[t.said[id]] || state == stateStopping && t.said[id] != stateEnded
}

// runEvent tells what happened to the run itself.
func (t *teller) runEvent(e api.Event) []string {
	state, ok := strings.CutPrefix(e.Kind, "run.")
	if !ok || e.StepID != "" {
		return nil
	}
	return t.change(e.At, e.RunID, state, join("run", t.state(state)))
}

// change is a line for an object whose word is new, none otherwise.
func (t *teller) change(at time.Time, id, word, line string) []string {
	if t.said[id] == word {
		return nil
	}
	t.said[id] = word
	return []string{stamp(at) + "  " + line}
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// step tells what is new about a step: its gates and approvals, its attempt's end, its own state last
// when it has settled, first otherwise.
func (t *teller) step(b *board, s api.Step, at time.Time) []string {
	var own, inner []string
	own = t.change(at, s.ID, s.State, join(fmtStep(s), t.state(s.State),
		term.Line(s.Executor), t.simulated(simulated(s)), b.elapsed(s, at), firstLine(s.Reason)))
	if a := s.Attempt; a != nil {
		if a.State == stateEnded {
			inner = append(inner, t.change(at, a.ID, stateEnded, t.attemptLine(s, *a, a.Outcome))...)
		} else if t.said[a.ID] == "" {
			inner = append(inner, t.change(at, a.ID, a.State, t.attemptLine(s, *a, a.State))...)
		}
		inner = append(inner, t.preparation(s, *a, at)...)
	}
	for _, g := range s.GateStates {
		if g.Verdict == verdictPending {
			continue
		}
		inner = append(inner, t.change(at, g.ID, g.Verdict, fmt.Sprintf("step %d  ", s.Ix)+gateNode(t.look, g).Text)...)
	}
	for _, a := range s.Approvals {
		inner = append(inner, t.change(at, a.ID, a.State, join(fmtStep(s), approvalNode(t.look, a, at).Text,
			strings.Join(answerCommands(t.look, a), " | ")))...)
	}
	if settled(s.State) {
		return append(inner, own...)
	}
	return append(own, inner...)
}

func (t *teller) attemptLine(s api.Step, a api.Attempt, word string) string {
	detail := ""
	if word == a.Outcome && word != "succeeded" {
		detail = firstLine(firstOf(a.Message, a.Reason))
	}
	proof := ""
	if d, ok := deathOf(&a); ok && word == outcomeStopped && a.Outcome == word {
		proof = t.proof(d)
	}
	return join(fmtStep(s), fmt.Sprintf("attempt %d", a.N), t.state(word), t.simulated(a.Simulated || s.Simulated), detail, proof)
}

// preparation tells what the preparation of an attempt's tree is at, before its executor and before gates.
func (t *teller) preparation(s api.Step, a api.Attempt, at time.Time) []string {
	if a.Preparing == nil {
		return nil
	}
	what := preparation(*a.Preparing)
	return t.change(at, a.ID+" preparing", a.State+" "+what, join(fmtStep(s), fmt.Sprintf("attempt %d", a.N), what))
}

// heartbeat tells that nothing happened.
func (t *teller) heartbeat(b *board, now time.Time) string {
	line := "still following; last event " + clock(now.Sub(b.lastEvent)) + " ago"
	for _, s := range b.steps {
		if s.Attempt == nil || settled(s.State) {
			continue
		}
		line = join(line, fmtStep(s), t.state(s.Attempt.State))
		if act, ok := b.activity[s.Attempt.ID]; ok {
			line = join(line, "last activity: "+term.Cut(act.Text, 80))
		}
		if p := s.Attempt.Preparing; p != nil {
			line = join(line, preparation(*p))
		}
	}
	return stamp(now) + "  " + line
}
