package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

func TestAStepLivesFromDispatchToPassed(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	a = walk(t, s, a, work.AttemptPreparing)
	must(t, s, work.MoveStep{ID: a.StepID, Version: 1, To: work.StepActive, Actor: daemon})
	must(t, s, work.MoveAttempt{
		ID: a.ID, Version: a.Version, To: work.AttemptRunning, Base: "b45e", Start: "57a7", Level: "isolated", Enforced: []byte(`{"z":1, "a":"<b>"}`),
		Plugin: &work.PluginIdentity{Name: "command", Kind: "executor", Version: "1", Digest: zeroDigest, Protocol: "v1alpha", Simulated: true}, Simulated: true,
	})
	a = walk(t, s, attemptOf(t, s, a.ID), work.AttemptWaiting, work.AttemptRunning)
	code := 3
	must(t, s, result(a, "diff.patch", "--- a"), work.MoveAttempt{
		ID: a.ID, Version: a.Version, To: work.AttemptCollecting, Claim: &work.Claim{StopReason: "end", ExitCode: &code}, Death: proved,
		Evidence: &work.Evidence{
			TreeBefore: "t0", TreeAfter: "t1", Commit: "c1", Ref: "refs/x", Output: 9,
			Diff:    work.DiffFacts{Files: []work.Change{{Path: "b\xffd", OldPath: "\xfe", Op: "modify", Added: 2}, {Path: "é"}}, Insertions: 2},
			Refused: []work.Refused{{Path: "x\xff/.git", Why: "nested_git"}},
		},
	})
	a = attemptOf(t, s, a.ID)
	g := openGate(t, s, a, "tests")
	a = walk(t, s, a, work.AttemptValidating)
	must(t, s, work.DecideGate{ID: g.ID, Version: 1, To: work.VerdictPass, DecidedBy: "rule", Actor: daemon})
	must(t, s, result(a, "result.json", "{}"),
		work.MoveAttempt{ID: a.ID, Version: a.Version, To: work.AttemptEnded, Outcome: work.Succeeded, Reason: "done", Message: "ok", Evidence: a.Evidence, Death: a.Death},
		work.MoveStep{ID: a.StepID, Version: 2, To: work.StepPassed, Actor: daemon})

	a = attemptOf(t, s, a.ID)
	if a.State != work.AttemptEnded || a.Outcome != work.Succeeded || a.Version != 8 || a.Base != "b45e" || a.Start != "57a7" || a.N != 1 || a.Text != "make it so" {
		t.Errorf("attempt: %s", asText(a))
	}
	if a.Evidence.Diff.Files[0].Path != "b\xffd" || a.Evidence.Diff.Files[0].OldPath != "\xfe" || a.Evidence.Refused[0].Path != "x\xff/.git" {
		t.Errorf("paths lost their bytes: %+v", a.Evidence)
	}
	if string(a.Enforced) != `{"a":"<b>","z":1}` || *a.Claim.ExitCode != 3 || !a.Death.Proved || a.Death.Took != time.Millisecond || !a.Plugin.Simulated {
		t.Errorf("parts: %s", asText(a))
	}
	if a.StartedAt.IsZero() || a.EndedAt.Before(a.StartedAt) || a.CreatedAt.After(a.StartedAt) {
		t.Errorf("times: %v %v %v", a.CreatedAt, a.StartedAt, a.EndedAt)
	}
	step := stepOf(t, s, a.StepID)
	if step.State != work.StepPassed || !step.Simulated || step.AttemptID != a.ID || step.Attempts != 1 || step.EndedAt.IsZero() || step.Ix != 1 {
		t.Errorf("step: %s", asText(step))
	}
	run := runOf(t, s, a.RunID)
	if run.Steps != 1 || run.Version != 1 || run.Actor != operator {
		t.Errorf("run: %s", asText(run))
	}
	sound(t, s)
}

func TestS8_AStepPassesOnlyOnWhatIsRecorded(t *testing.T) {
	s := newStore(t)
	a := walk(t, s, started(t, s), work.AttemptPreparing, work.AttemptRunning, work.AttemptCollecting)
	must(t, s, work.MoveStep{ID: a.StepID, Version: 1, To: work.StepActive})
	pass := work.MoveStep{ID: a.StepID, Version: 2, To: work.StepPassed}
	refused(t, s, fault.Conflict, pass) // the attempt lives
	g := openGate(t, s, a, "tests")
	a = walk(t, s, a, work.AttemptValidating, work.AttemptEnded)
	refused(t, s, fault.Conflict, pass) // the gate is pending
	must(t, s, work.DecideGate{ID: g.ID, Version: 1, To: work.VerdictPass})
	refused(t, s, fault.Conflict, pass) // nothing is kept
	must(t, s, result(a, "result.json", "{}"))
	refused(t, s, fault.Conflict, pass) // no diff
	must(t, s, result(a, "diff.patch", ""))
	must(t, s, pass)

	failed := walk(t, s, started(t, s), work.AttemptPreparing)
	must(t, s, work.MoveStep{ID: failed.StepID, Version: 1, To: work.StepActive}, result(failed, "result.json", "{}"), result(failed, "diff.patch", ""),
		work.MoveAttempt{ID: failed.ID, Version: 2, To: work.AttemptEnded, Outcome: work.InfraError})
	refused(t, s, fault.Conflict, work.MoveStep{ID: failed.StepID, Version: 2, To: work.StepPassed})
	sound(t, s)
}

func TestAllMutationsOfACallHappenOrNone(t *testing.T) {
	s := newStore(t)
	run := openRun(t, s)
	refused(t, s, fault.NotFound,
		work.DispatchStep{Step: work.Step{ID: ident.New(ident.Step), RunID: run.ID, Spec: work.StepSpec{Text: "x"}}},
		work.Fact{Kind: "some.thing"},
		work.MoveStep{ID: ident.New(ident.Step), Version: 1, To: work.StepActive})
	if got := runOf(t, s, run.ID); got.Steps != 0 {
		t.Errorf("the run counts %d steps", got.Steps)
	}
	dispatch(t, s, run.ID) // the chain goes on where it was
	sound(t, s)
}

func TestF14_StepsOfUnknownForeignAndEndedRunsAreRefused(t *testing.T) {
	s := newStore(t)
	fresh := func(runID, ws string) work.DispatchStep {
		return work.DispatchStep{Step: work.Step{ID: ident.New(ident.Step), RunID: runID, Workspace: ws, Spec: work.StepSpec{Text: "x"}}}
	}
	refused(t, s, fault.NotFound, fresh(ident.New(ident.Run), ""))
	refused(t, s, fault.NotFound, fresh("../../etc", ""))
	run, other := openRun(t, s), openRun(t, s)
	refused(t, s, fault.InvalidRequest, fresh(run.ID, "elsewhere"))
	step := dispatch(t, s, run.ID)
	again := fresh(other.ID, "")
	again.Step.ID = step.ID
	refused(t, s, fault.Conflict, again) // the id of a step of another run
	if got := stepOf(t, s, step.ID); got.RunID != run.ID || got.Version != 1 {
		t.Errorf("the first step was touched: %s", asText(got))
	}
	for to, r := range map[work.RunState]work.Run{work.RunClosed: run, work.RunCancelled: other} {
		must(t, s, work.MoveRun{ID: r.ID, Version: 1, To: to, Actor: operator})
		refused(t, s, fault.RunNotOpen, fresh(r.ID, ""))
	}
	refused(t, s, fault.InvalidRequest, work.CreateAttempt{Attempt: work.Attempt{ID: ident.New(ident.Attempt), StepID: step.ID, RunID: other.ID}})
	sound(t, s)
}

func TestF13_OnlyIdsOfTheHostAreRecorded(t *testing.T) {
	s := newStore(t)
	run := openRun(t, s)
	a := started(t, s)
	for _, id := range []string{"", "../../../x", "run_../../x", strings.ToLower(run.ID), run.ID + "\x00"} {
		refused(t, s, fault.InvalidRequest, work.OpenRun{Run: work.Run{ID: id, Workspace: "ws"}})
		refused(t, s, fault.InvalidRequest, work.DispatchStep{Step: work.Step{ID: id, RunID: run.ID}})
		refused(t, s, fault.InvalidRequest, work.CreateAttempt{Attempt: work.Attempt{ID: id, StepID: a.StepID}})
		refused(t, s, fault.InvalidRequest, work.OpenGate{Gate: work.GateRecord{ID: id, AttemptID: a.ID, Name: "g"}})
		refused(t, s, fault.InvalidRequest, work.OpenApproval{Approval: work.Approval{ID: id, AttemptID: a.ID, Kind: work.ApprovalHold}})
		refused(t, s, fault.InvalidRequest, work.RecordValidation{Validation: work.Validation{ID: id, AttemptID: a.ID, Gate: "g", Result: work.ResultPass}})
	}
	for _, name := range []string{"", "/etc/passwd", "../x", "a/../b", "a//b", ".", "a/", strings.Repeat("a", 300)} {
		refused(t, s, fault.InvalidRequest, result(a, name, "x"))
	}
}

func TestForeignKeysAreOn(t *testing.T) {
	s := newStore(t)
	conn := rawWriter(t, s)
	_, err := conn.ExecContext(context.Background(), `INSERT INTO attempt_part (attempt_id, part, body) VALUES ('att_nobody', 'text', 'x')`)
	if sqlCode(err) != 19 {
		t.Errorf("a part of no attempt was taken: %v", err)
	}
}

func TestAKeyAnswersTheSameRequestWithTheFirstObject(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	key := work.Key{Actor: "uid:1", Workspace: "ws", Value: "k1", Request: "d1"}
	first := work.Run{ID: ident.New(ident.Run), Workspace: "ws"}
	if known, err := s.Known(ctx, key); known || err != nil {
		t.Fatalf("known before its use: %v", err)
	}
	must(t, s, work.OpenRun{Run: first, Key: &key})
	before := head(t, s).Size
	_, err := s.Apply(ctx, work.Fact{Kind: "some.thing"}, work.OpenRun{Run: work.Run{ID: ident.New(ident.Run), Workspace: "ws"}, Key: &key})
	var replayed *work.Replayed
	if !errors.As(err, &replayed) || replayed.ID != first.ID {
		t.Errorf("got %v, want %s replayed", err, first.ID)
	}
	if head(t, s).Size != before {
		t.Error("a replay wrote events")
	}
	if known, err := s.Known(ctx, key); !known || err != nil {
		t.Errorf("known after its use: %v %v", known, err)
	}
	other := key
	other.Request = "d2"
	refused(t, s, fault.IdempotencyConflict, work.OpenRun{Run: work.Run{ID: ident.New(ident.Run), Workspace: "ws"}, Key: &other})
	if _, err := s.Known(ctx, other); !fault.Is(err, fault.IdempotencyConflict) {
		t.Errorf("known with another request: %v", err)
	}
	for _, elsewhere := range []work.Key{{Actor: "uid:2", Workspace: "ws", Value: "k1", Request: "d2"}, {Actor: "uid:1", Workspace: "w2", Value: "k1", Request: "d2"}} {
		must(t, s, work.OpenRun{Run: work.Run{ID: ident.New(ident.Run), Workspace: "ws"}, Key: &elsewhere})
	}
	for _, bad := range []work.Key{{Actor: "a", Request: "d"}, {Actor: "a", Request: "d", Value: strings.Repeat("k", 129)}, {Value: "k", Request: "d"}} {
		refused(t, s, fault.InvalidRequest, work.OpenRun{Run: work.Run{ID: ident.New(ident.Run), Workspace: "ws"}, Key: &bad})
	}
	// A dispatch that was answered stays answered when its run is closed.
	step := work.Step{ID: ident.New(ident.Step), RunID: first.ID, Spec: work.StepSpec{Text: "x"}}
	stepKey := work.Key{Actor: "uid:1", Workspace: "ws", Value: "s1", Request: "s"}
	must(t, s, work.DispatchStep{Step: step, Key: &stepKey}, work.MoveRun{ID: first.ID, Version: 1, To: work.RunClosed})
	_, err = s.Apply(ctx, work.DispatchStep{Step: work.Step{ID: ident.New(ident.Step), RunID: first.ID}, Key: &stepKey})
	if !errors.As(err, &replayed) || replayed.ID != step.ID {
		t.Errorf("got %v, want %s replayed", err, step.ID)
	}
}
