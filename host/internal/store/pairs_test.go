package store

import (
	"context"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Ways from the first state to each.
var (
	attemptPaths = map[work.AttemptState][]work.AttemptState{
		work.AttemptQueued:     nil,
		work.AttemptPreparing:  {work.AttemptPreparing},
		work.AttemptRunning:    {work.AttemptPreparing, work.AttemptRunning},
		work.AttemptWaiting:    {work.AttemptPreparing, work.AttemptRunning, work.AttemptWaiting},
		work.AttemptCollecting: {work.AttemptPreparing, work.AttemptRunning, work.AttemptCollecting},
		work.AttemptValidating: {work.AttemptPreparing, work.AttemptRunning, work.AttemptCollecting, work.AttemptValidating},
		work.AttemptStopping:   {work.AttemptStopping},
		work.AttemptEnded:      {work.AttemptEnded},
	}
	stepPaths = map[work.StepState][]work.StepState{
		work.StepQueued:    nil,
		work.StepActive:    {work.StepActive},
		work.StepHeld:      {work.StepActive, work.StepHeld},
		work.StepPassed:    {work.StepActive, work.StepPassed},
		work.StepRejected:  {work.StepActive, work.StepRejected},
		work.StepFailed:    {work.StepFailed},
		work.StepCancelled: {work.StepCancelled},
	}
	runPaths     = map[work.RunState][]work.RunState{work.RunOpen: nil, work.RunClosed: {work.RunClosed}, work.RunCancelled: {work.RunCancelled}}
	verdictPaths = map[work.Verdict][]work.Verdict{
		work.VerdictPending: nil, work.VerdictPass: {work.VerdictPass}, work.VerdictFail: {work.VerdictFail}, work.VerdictHold: {work.VerdictHold},
	}
	approvalPaths = map[work.ApprovalState][]work.ApprovalState{
		work.ApprovalOpen: nil, work.ApprovalAllowed: {work.ApprovalAllowed}, work.ApprovalDenied: {work.ApprovalDenied}, work.ApprovalAnswered: {work.ApprovalAnswered},
	}
)

// mover makes the object of a new pair and the mutation that moves it.
type mover[S ~string] func(t *testing.T, s *Store) func(from S, version int64, to S) work.Mutation

// everyPair tries each pair of states, with the right version and with stale ones.
func everyPair[S ~string](t *testing.T, s *Store, paths map[S][]S, can func(from, to S) bool, make mover[S]) {
	t.Helper()
	var first S
	for st, path := range paths {
		if path == nil {
			first = st
		}
	}
	try := func(m work.Mutation, want fault.Code) {
		t.Helper()
		_, err := s.Apply(context.Background(), m)
		if (want == "") != (err == nil) || (err != nil && !fault.Is(err, want)) {
			t.Errorf("%s: got %v, want %q", asText(m), err, want)
		}
	}
	tried := 0
	for from, path := range paths {
		for to := range paths {
			move := make(t, s)
			at, version := first, int64(1)
			for _, st := range path {
				try(move(at, version, st), "")
				at, version = st, version+1
			}
			try(move(from, version-1, to), fault.Stale)
			try(move(from, version+1, to), fault.Stale)
			before := head(t, s).Size
			if can(from, to) {
				try(move(from, version, to), "")
			} else {
				try(move(from, version, to), fault.Conflict)
			}
			if wrote := head(t, s).Size - before; (wrote == 1) != can(from, to) || wrote > 1 {
				t.Errorf("%s to %s wrote %d events", from, to, wrote)
			}
			tried++
		}
	}
	if want := len(paths) * len(paths); tried != want {
		t.Errorf("%d pairs were tried of %d", tried, want)
	}
}

func TestF17_EveryPairOfStatesIsHeldAgainstItsTable(t *testing.T) {
	t.Run("attempt", func(t *testing.T) {
		s := newStore(t)
		run := openRun(t, s).ID
		everyPair(t, s, attemptPaths, work.AttemptState.CanBecome, func(t *testing.T, s *Store) func(work.AttemptState, int64, work.AttemptState) work.Mutation {
			id := begin(t, s, dispatch(t, s, run)).ID
			return func(from work.AttemptState, version int64, to work.AttemptState) work.Mutation {
				m := work.MoveAttempt{ID: id, Version: version, To: to, Actor: daemon}
				if to == work.AttemptEnded {
					m.Outcome = work.Lost
				}
				if from == work.AttemptStopping {
					m.Death = proved
				}
				return m
			}
		})
		sound(t, s)
	})
	t.Run("step", func(t *testing.T) {
		s := newStore(t)
		run := openRun(t, s).ID
		everyPair(t, s, stepPaths, work.StepState.CanBecome, func(t *testing.T, s *Store) func(work.StepState, int64, work.StepState) work.Mutation {
			a := work.Attempt{ID: newID("att"), StepID: dispatch(t, s, run).ID}
			must(t, s, work.CreateAttempt{Attempt: a}, result(a, "result.json", "{}"), result(a, "diff.patch", ""),
				work.MoveAttempt{ID: a.ID, Version: 1, To: work.AttemptEnded, Outcome: work.Succeeded})
			return func(_ work.StepState, version int64, to work.StepState) work.Mutation {
				return work.MoveStep{ID: a.StepID, Version: version, To: to, Reason: "why", Actor: daemon}
			}
		})
		sound(t, s)
	})
	t.Run("run", func(t *testing.T) {
		s := newStore(t)
		everyPair(t, s, runPaths, work.RunState.CanBecome, func(t *testing.T, s *Store) func(work.RunState, int64, work.RunState) work.Mutation {
			id := openRun(t, s).ID
			return func(_ work.RunState, version int64, to work.RunState) work.Mutation {
				return work.MoveRun{ID: id, Version: version, To: to, Actor: operator}
			}
		})
		sound(t, s)
	})
	t.Run("verdict", func(t *testing.T) {
		s := newStore(t)
		a := started(t, s)
		everyPair(t, s, verdictPaths, work.Verdict.CanBecome, func(t *testing.T, s *Store) func(work.Verdict, int64, work.Verdict) work.Mutation {
			id := openGate(t, s, a, newID("g")).ID
			return func(_ work.Verdict, version int64, to work.Verdict) work.Mutation {
				return work.DecideGate{ID: id, Version: version, To: to, Reason: "why", DecidedBy: "rule", Actor: daemon}
			}
		})
		sound(t, s)
	})
	t.Run("approval", func(t *testing.T) {
		s := newStore(t)
		a := started(t, s)
		everyPair(t, s, approvalPaths, work.ApprovalState.CanBecome, func(t *testing.T, s *Store) func(work.ApprovalState, int64, work.ApprovalState) work.Mutation {
			id := openApproval(t, s, a).ID
			return func(_ work.ApprovalState, version int64, to work.ApprovalState) work.Mutation {
				return work.DecideApproval{ID: id, Version: version, To: to, Answer: "a", Note: "n", DecidedBy: "operator", Actor: operator}
			}
		})
		sound(t, s)
	})
}

func TestAnUnknownStateIsNoState(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	refused(t, s, fault.Conflict, work.MoveAttempt{ID: a.ID, Version: 1, To: "flying"})
	refused(t, s, fault.Conflict, work.MoveStep{ID: a.StepID, Version: 1, To: ""})
}

func TestAnOutcomeComesExactlyWithTheEnd(t *testing.T) {
	s := newStore(t)
	for _, o := range work.Outcomes() {
		a := walk(t, s, started(t, s), work.AttemptPreparing)
		refused(t, s, fault.InvalidRequest, work.MoveAttempt{ID: a.ID, Version: 2, To: work.AttemptRunning, Outcome: o})
		m := work.MoveAttempt{ID: a.ID, Version: 2, To: work.AttemptEnded, Outcome: o, Retryable: true}
		if o == work.Cancelled {
			m.Death = proved
		}
		must(t, s, m)
		if got := attemptOf(t, s, a.ID); got.Outcome != o || !got.Retryable {
			t.Errorf("outcome %s retryable %v", got.Outcome, got.Retryable)
		}
	}
	a := started(t, s)
	refused(t, s, fault.InvalidRequest, work.MoveAttempt{ID: a.ID, Version: 1, To: work.AttemptEnded})
	refused(t, s, fault.InvalidRequest, work.MoveAttempt{ID: a.ID, Version: 1, To: work.AttemptEnded, Outcome: "splendid"})
	refused(t, s, fault.InvalidRequest, work.MoveAttempt{ID: a.ID, Version: 1, To: work.AttemptPreparing, Retryable: true})
	sound(t, s)
}

func TestS35_CancelledNeedsTheProofOfDeath(t *testing.T) {
	s := newStore(t)
	for name, row := range map[string]struct {
		death *work.Death
		ok    bool
	}{
		"none":      {nil, false},
		"unproved":  {&work.Death{Method: "pid namespace"}, false},
		"survivors": {&work.Death{Method: "pid namespace", Proved: true, Survivors: 1}, false},
		"proved":    {proved, true},
	} {
		a := walk(t, s, started(t, s), work.AttemptPreparing)
		direct := work.MoveAttempt{ID: a.ID, Version: 2, To: work.AttemptEnded, Outcome: work.Cancelled, Death: row.death}
		b := walk(t, s, started(t, s), work.AttemptPreparing, work.AttemptStopping)
		leave := work.MoveAttempt{ID: b.ID, Version: 3, To: work.AttemptCollecting, Death: row.death}
		end := work.MoveAttempt{ID: b.ID, Version: 3, To: work.AttemptEnded, Outcome: work.TimedOut, Death: row.death}
		if !row.ok {
			refused(t, s, fault.Conflict, direct)
			refused(t, s, fault.Conflict, leave)
			refused(t, s, fault.Conflict, end)
			continue
		}
		must(t, s, direct)
		must(t, s, leave) // the proof is on record now
		must(t, s, work.MoveAttempt{ID: b.ID, Version: 4, To: work.AttemptEnded, Outcome: work.Cancelled})
		if got := attemptOf(t, s, b.ID); got.Death == nil || !got.Death.Proved {
			t.Errorf("%s: death %+v", name, got.Death)
		}
	}
	// Who was lost cannot be proved dead, and says so.
	c := walk(t, s, started(t, s), work.AttemptStopping)
	must(t, s, work.MoveAttempt{ID: c.ID, Version: 2, To: work.AttemptEnded, Outcome: work.Lost})
	sound(t, s)
}

func TestAStepHasOneLiveAttempt(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	again := work.CreateAttempt{Attempt: work.Attempt{ID: newID("att"), StepID: a.StepID}}
	refused(t, s, fault.Conflict, again)
	walk(t, s, a, work.AttemptEnded)
	must(t, s, again)
	if got := attemptOf(t, s, again.Attempt.ID); got.N != 2 || got.Text != "make it so" {
		t.Errorf("second attempt: %s", asText(got))
	}
	if step := stepOf(t, s, a.StepID); step.Attempts != 2 || step.AttemptID != again.Attempt.ID || step.Version != 1 {
		t.Errorf("step: %s", asText(step))
	}
	walk(t, s, attemptOf(t, s, again.Attempt.ID), work.AttemptEnded)
	must(t, s, work.MoveStep{ID: a.StepID, Version: 1, To: work.StepFailed})
	refused(t, s, fault.Conflict, work.CreateAttempt{Attempt: work.Attempt{ID: newID("att"), StepID: a.StepID}})
	must(t, s, work.MoveStep{ID: a.StepID, Version: 2, To: work.StepQueued})
	follow := work.Attempt{ID: newID("att"), StepID: a.StepID, Text: "and now this"}
	must(t, s, work.CreateAttempt{Attempt: follow})
	if got := attemptOf(t, s, follow.ID); got.N != 3 || got.Text != "and now this" {
		t.Errorf("follow-up: %s", asText(got))
	}
	sound(t, s)
}

func TestRetriesAndAttemptsAreHeldAgainstTheirRun(t *testing.T) {
	s := newStore(t)
	run := openRun(t, s)
	settled, queued := dispatch(t, s, run.ID), dispatch(t, s, run.ID)
	must(t, s, work.MoveStep{ID: settled.ID, Version: 1, To: work.StepFailed}, work.MoveRun{ID: run.ID, Version: 1, To: work.RunClosed})
	refused(t, s, fault.RunNotOpen, work.MoveStep{ID: settled.ID, Version: 2, To: work.StepQueued})
	begin(t, s, queued) // a closed run waits for none, and what was dispatched goes on
	other := openRun(t, s)
	step := dispatch(t, s, other.ID)
	must(t, s, work.MoveRun{ID: other.ID, Version: 1, To: work.RunCancelled})
	refused(t, s, fault.RunNotOpen, work.CreateAttempt{Attempt: work.Attempt{ID: newID("att"), StepID: step.ID}})
	sound(t, s)
}

func TestUnknownObjectsAreNotFound(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	for _, m := range []work.Mutation{
		work.MoveRun{ID: "x", To: work.RunClosed}, work.MoveStep{ID: "x", To: work.StepActive}, work.MoveAttempt{ID: "x", To: work.AttemptEnded},
		work.CreateAttempt{Attempt: work.Attempt{ID: newID("att"), StepID: "x"}}, result(work.Attempt{ID: "x"}, "a", "b"),
		work.RecordValidation{Validation: work.Validation{ID: newID("val"), AttemptID: "x", Gate: "g", Result: work.ResultPass}},
		work.OpenGate{Gate: work.GateRecord{ID: newID("gate"), AttemptID: "x", Name: "g"}}, work.DecideGate{ID: "x", To: work.VerdictPass},
		work.OpenApproval{Approval: work.Approval{ID: newID("apr"), AttemptID: "x", Kind: work.ApprovalHold}},
		work.DecideApproval{ID: "x", To: work.ApprovalDenied}, work.Fact{Kind: "a.b", RunID: "x"}, work.Fact{Kind: "a.b", StepID: "x"},
		work.Fact{Kind: "a.b", AttemptID: "x"},
		work.DecideGate{ID: openGate(t, s, a, "g").ID, Version: 1, To: work.VerdictPass, Validation: "x"},
	} {
		refused(t, s, fault.NotFound, m)
	}
	ctx := context.Background()
	reads := map[string]error{}
	_, reads["run"] = s.Run(ctx, "x")
	_, reads["step"] = s.Step(ctx, "x")
	_, reads["attempt"] = s.Attempt(ctx, "x")
	_, reads["gate"] = s.Gate(ctx, "x")
	_, reads["approval"] = s.Approval(ctx, "x")
	_, reads["artifact"] = s.Artifact(ctx, a.ID, "x")
	for what, err := range reads {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
