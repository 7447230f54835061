package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

func fixedLook(tty bool) look {
	return newLook(term.Profile{TTY: tty, Glyphs: true, Width: map[bool]int{true: 100}[tty], Height: 40})
}

// scene is one moment of a step's life.
type scene struct {
	name  string
	step  api.Step
	act   string
	stuck bool
}

func scenes() []scene {
	with := func(s api.Step, a *api.Attempt, gates []api.GateState, approvals ...api.Approval) api.Step {
		s.Attempt, s.GateStates, s.Approvals = a, gates, approvals
		return s
	}
	queued := sampleStep("queued")
	queued.AttemptID, queued.Attempts = "", 0
	failed := sampleAttempt("ended", "failed")
	failed.Reason, failed.Message = "crash", "exit code 2"
	stopped := sampleAttempt("ended", "cancelled")
	stopping := sampleAttempt("stopping", "")
	stopping.Cause = "cancel"
	simulated := with(sampleStep("active"), sampleAttempt("running", ""), nil)
	simulated.Simulated, simulated.Attempt.Simulated = true, true
	rejected := sampleStep("rejected")
	rejected.Reason = `gate "tests": fail: exit code 1`
	question := sampleApproval()
	question.Kind, question.Prompt, question.Options, question.Default = "question", "Which layout?", []string{"flat", "deep"}, ""
	deps, waits := sampleAttempt("preparing", ""), sampleAttempt("preparing", "")
	deps.Preparing, waits.Preparing = &api.Preparation{Run: "deps", Since: *at(2)}, &api.Preparation{Waits: true, Since: *at(7)}
	return []scene{
		{name: "queued", step: queued},
		{name: "running with its last activity", step: with(sampleStep("active"), sampleAttempt("running", ""), nil), act: "go vet ./..."},
		{name: "simulated", step: simulated},
		{name: "waiting for an answer", step: with(sampleStep("active"), sampleAttempt("waiting", ""), nil, question)},
		{name: "validating", step: with(sampleStep("active"), sampleAttempt("validating", ""), sampleGates("pass", "pending"))},
		{name: "held", step: with(sampleStep("held"), sampleAttempt("ended", "succeeded"), sampleGates("pass", "pass", "hold"), sampleApproval())},
		{name: "passed", step: with(sampleStep("passed"), sampleAttempt("ended", "succeeded"), sampleGates("pass", "pass"))},
		{name: "rejected", step: with(rejected, sampleAttempt("ended", "succeeded"), sampleGates("pass", "fail"))},
		{name: "failed", step: with(sampleStep("failed"), failed, nil)},
		{name: "stopping without proof", step: with(sampleStep("active"), stopping, nil), stuck: true},
		{name: "cancelled with proof", step: with(sampleStep("cancelled"), stopped, nil)},
		{name: "preparing with a command", step: with(sampleStep("active"), deps, nil)},
		{name: "preparing after another attempt", step: with(sampleStep("active"), waits, nil)},
	}
}

func (s scene) board() *board {
	run := sampleRun()
	b := newBoard(&run)
	b.put(s.step)
	if s.act != "" {
		b.note(attID, activity{At: *at(3), Text: s.act}, *at(3))
	}
	if s.stuck {
		b.event(api.Event{Kind: "attempt.stuck", StepID: stepID, AttemptID: attID, Pos: "1.9"}, *at(7))
	}
	return b
}

func TestTheTreeShowsEveryMomentOfAStep(t *testing.T) {
	var b strings.Builder
	for _, s := range scenes() {
		b.WriteString("== " + s.name + "\n")
		b.WriteString(strings.Join(s.board().tree(fixedLook(true), *at(8)).Lines(fixedLook(true).profile), "\n") + "\n")
	}
	golden(t, "tree", b.String())
}

func TestTheTreeSurvivesADumbTerminal(t *testing.T) {
	l := newLook(term.Profile{TTY: true, Width: 60, Height: 24})
	var b strings.Builder
	for _, s := range scenes() {
		for _, line := range s.board().tree(l, *at(8)).Lines(l.profile) {
			if term.Width(line) > 60 {
				t.Errorf("%s: %d columns: %s", s.name, term.Width(line), line)
			}
			b.WriteString(line + "\n")
		}
	}
	if got := strings.Trim(b.String(), "\n"); strings.Contains(got, "├") || strings.Contains(got, "\x1b") || strings.Contains(got, "✓") {
		t.Errorf("not plain:\n%s", got)
	}
}

func TestMeaningNeverHangsOnColourAlone(t *testing.T) {
	plain := fixedLook(true)
	colour := newLook(term.Profile{TTY: true, Glyphs: true, Color: true, Width: 100, Height: 40})
	for _, s := range scenes() {
		without := strings.Join(s.board().tree(plain, *at(8)).Lines(plain.profile), "\n")
		with := strings.Join(s.board().tree(colour, *at(8)).Lines(colour.profile), "\n")
		if term.Text(with) != without {
			t.Errorf("%s: with colour\n%s\nwithout\n%s", s.name, term.Text(with), without)
		}
		if !strings.Contains(without, s.step.State) {
			t.Errorf("%s: the word %q is missing", s.name, s.step.State)
		}
	}
}

// story is a step's life as events; each comes with the step as step.get answers after it.
func story() (events []api.Event, after []api.Step) {
	add := func(kind string, s api.Step) {
		i := len(events)
		s.Version = int64(i + 1)
		events = append(events, api.Event{Pos: "1." + string(rune('1'+i)), At: *at(i), Kind: kind, RunID: runID, StepID: stepID, AttemptID: attID})
		after = append(after, s)
	}
	moment := func(state, attempt, outcome string, gates ...string) api.Step {
		s := sampleStep(state)
		s.Attempt = sampleAttempt(attempt, outcome)
		s.GateStates = sampleGates(gates...)
		return s
	}
	add("step.active", moment("active", "queued", ""))
	add("attempt.preparing", moment("active", "preparing", ""))
	add("attempt.running", moment("active", "running", ""))
	add("attempt.collecting", moment("active", "collecting", ""))
	add("attempt.validating", moment("active", "validating", "", "pending", "pending"))
	add("gate.decided", moment("active", "validating", "", "pass", "pending"))
	add("gate.decided", moment("active", "validating", "", "pass", "fail"))
	add("attempt.ended", moment("active", "ended", "succeeded", "pass", "fail"))
	rejected := moment("rejected", "ended", "succeeded", "pass", "fail")
	rejected.Reason = `gate "tests": fail: exit code 1`
	add("step.rejected", rejected)
	return events, after
}

func TestLinesTellEachChangeOnce(t *testing.T) {
	events, after := story()
	l := fixedLook(false)
	oneByOne := func() []string {
		tell, b := newTeller(l), newBoard(nil)
		b.put(func() api.Step { s := sampleStep("queued"); s.Version, s.AttemptID, s.Attempts = 0, "", 0; return s }())
		lines := tell.begin(b, testTime)
		for i, e := range events {
			b.event(e, e.At)
			b.put(after[i])
			lines = append(lines, tell.events(b, []api.Event{e})...)
		}
		return append(lines, tell.begin(b, *at(20))...)
	}
	got := strings.Join(oneByOne(), "\n") + "\n"
	golden(t, "lines", got)

	// All events at once, behind an answer that is newer than each of them: the same states are told,
	// each once.
	tell, b := newTeller(l), newBoard(nil)
	b.put(after[len(after)-1])
	batch := strings.Join(tell.events(b, events), "\n")
	for _, want := range []string{"running", "validating", "rejected", "gate tests"} {
		if strings.Count(batch, want) == 0 {
			t.Errorf("a batch does not tell %q:\n%s", want, batch)
		}
	}
	if n := strings.Count(batch, "step 1  ✗ rejected"); n != 1 {
		t.Errorf("the end is told %d times:\n%s", n, batch)
	}
}

func TestAnEventFromBeforeTheFirstAnswerIsNotTold(t *testing.T) {
	tell, b := newTeller(fixedLook(false)), newBoard(nil)
	s := sampleStep("active")
	s.Attempt = sampleAttempt("running", "")
	b.put(s)
	tell.begin(b, testTime)
	stale := api.Event{Kind: "attempt.preparing", StepID: stepID, AttemptID: attID, At: testTime}
	if lines := tell.events(b, []api.Event{stale}); len(lines) != 0 {
		t.Errorf("told %q", lines)
	}
	for _, state := range []string{"waiting", "running", "stopping"} {
		e := api.Event{Kind: "attempt." + state, StepID: stepID, AttemptID: attID, At: testTime}
		if lines := tell.events(b, []api.Event{e}); len(lines) != 1 {
			t.Errorf("%s told %d lines", state, len(lines))
		}
	}
}

func TestAnOlderAnswerDoesNotUndoANewer(t *testing.T) {
	b := newBoard(nil)
	fresh, old := sampleStep("passed"), sampleStep("active")
	fresh.Version, old.Version = 5, 4
	b.put(fresh)
	b.put(old)
	if s, _ := b.step(stepID); s.State != "passed" {
		t.Errorf("state is %s", s.State)
	}
}

func TestLinesTellWhatPreparesATreeOnceForTheExecutorAndOnceForTheGates(t *testing.T) {
	tell, b := newTeller(fixedLook(false)), newBoard(nil)
	var lines []string
	for i, m := range []struct {
		state, kind string
		at          *api.Preparation
	}{
		{"preparing", "attempt.preparing", nil},
		{"preparing", "provision.waiting", &api.Preparation{Waits: true}},
		{"preparing", "provision.started", &api.Preparation{Run: "deps\x1b[2J", Since: *at(2)}},
		{"preparing", "cache.oversize", &api.Preparation{Run: "deps\x1b[2J", Since: *at(2)}},
		{"validating", "provision.started", &api.Preparation{Run: "deps", Since: *at(4)}},
	} {
		s := sampleStep("active")
		s.Version, s.Attempt = int64(i+1), sampleAttempt(m.state, "")
		s.Attempt.Preparing = m.at
		b.put(s)
		lines = append(lines, tell.events(b, []api.Event{{At: *at(i), Kind: m.kind, RunID: runID, StepID: stepID, AttemptID: attID}})...)
		if beat := tell.heartbeat(b, *at(9)); m.at != nil && !strings.HasSuffix(beat, preparation(*m.at)) {
			t.Errorf("the heartbeat is %q", beat)
		}
	}
	var told []string
	for _, line := range lines {
		if _, what, ok := strings.Cut(line, "attempt 1  "); ok {
			told = append(told, what)
		}
	}
	want := "● preparing|waits for another attempt of the workspace, which fills its caches|provision run deps\ufffd|provision run deps"
	if got := strings.Join(told, "|"); got != want {
		t.Errorf("told %q", got)
	}
}

func TestAHeartbeatNamesTheTimeSinceTheLastEvent(t *testing.T) {
	b := scenes()[1].board()
	got := newTeller(fixedLook(false)).heartbeat(b, at(3).Add(45*time.Second))
	for _, want := range []string{"last event 45s ago", "step 1", "running", "go vet ./..."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
}

func TestAStepThatChangedNothingSaysSoOnce(t *testing.T) {
	step := sampleStep("failed")
	step.Reason, step.Attempt = outcomeNoChange, sampleAttempt("ended", outcomeNoChange)
	step.Attempt.Message = ""
	p := page{look: newLook(term.Profile{})}
	p.verdict(step)
	if got := strings.Join(p.lines, "\n"); !strings.Contains(got, "changed nothing; where that is right, dispatch with --expect none") || strings.Contains(got, "attempt 1:") {
		t.Error(got)
	}
}
