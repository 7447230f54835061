package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/artifact"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

func (f *fixture) running(stepID string) work.Step {
	f.t.Helper()
	return f.await(stepID, "running", func(s work.Step) bool {
		return s.State == work.StepActive && s.AttemptID != "" && f.attempt(s).State == work.AttemptRunning
	})
}

func TestS35_CancelledIsWrittenOnlyWithAProofOfDeath(t *testing.T) {
	f := newFixture(t, script{execute: untilCancelled, deaf: true, unprovable: 1})
	step := f.dispatch(f.run(), "x")
	f.running(step.ID)
	if _, err := f.d.CancelStep(t.Context(), operator, step.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	stuck := f.await(step.ID, "stopping", func(s work.Step) bool { return f.attempt(s).State == work.AttemptStopping })
	if stuck.State != work.StepActive {
		t.Errorf("the step is %s while its death is not proved", stuck.State)
	}
	got := f.settled(step.ID)
	at := f.attempt(got)
	if got.State != work.StepCancelled || at.Outcome != work.Cancelled || at.Death == nil || !at.Death.Proved {
		t.Fatalf("step %s, attempt %s, death %+v", got.State, at.Outcome, at.Death)
	}
	if !slices.Contains(f.kinds(got.RunID), "attempt.stuck") {
		t.Error("the unproved death was not recorded")
	}
	if at.Cause != "cancel" || !slices.Equal(at.Death.Signals, []string{"cancel", "SIGINT", "SIGTERM", "SIGKILL"}) {
		t.Errorf("cause %q, signals %v", at.Cause, at.Death.Signals)
	}
	if at.Death.Kill != killTook || at.Death.Took <= at.Death.Kill {
		t.Errorf("from the kill to the proof %v, in all %v", at.Death.Kill, at.Death.Took)
	}
}

func TestACancelledExecutorThatStopsByItselfIsNotKilledHarder(t *testing.T) {
	f := newFixture(t, script{execute: untilCancelled})
	step := f.dispatch(f.run(), "x")
	f.running(step.ID)
	if _, err := f.d.CancelStep(t.Context(), operator, step.ID, ""); err != nil {
		t.Fatal(err)
	}
	at := f.attempt(f.settled(step.ID))
	if at.Outcome != work.Cancelled || slices.Contains(at.Death.Signals, "SIGTERM") {
		t.Errorf("outcome %s, signals %v", at.Outcome, at.Death.Signals)
	}
	if at.Evidence == nil || at.Evidence.Commit == "" {
		t.Error("what the cancelled attempt left was not kept")
	}
}

func TestAQueuedStepIsCancelledAtOnce(t *testing.T) {
	f := newFixture(t, script{execute: untilCancelled})
	run := f.run()
	first, second := f.dispatch(run, "one"), f.dispatch(run, "two")
	f.running(first.ID)
	got, err := f.d.CancelStep(t.Context(), operator, second.ID, "")
	if err != nil || got.State != work.StepCancelled || got.Attempts != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if again, err := f.d.CancelStep(t.Context(), operator, second.ID, ""); err != nil || again.State != work.StepCancelled {
		t.Errorf("cancelling again: %+v, %v", again, err)
	}
}

func TestF3_CancellingARunCancelsItsStepsAndThenTheRun(t *testing.T) {
	f := newFixture(t, script{execute: untilCancelled})
	run := f.run()
	first, second := f.dispatch(run, "one"), f.dispatch(run, "two")
	f.running(first.ID)
	if _, err := f.d.CancelRun(t.Context(), operator, run.ID, "stop it all"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first.ID, second.ID} {
		if got := f.settled(id); got.State != work.StepCancelled {
			t.Errorf("%s is %s", id, got.State)
		}
	}
	f.close() // the run is moved by the driver of its last step, which has ended now
	events := f.kindsAfterClose(run.ID)
	if !slices.Contains(events, "run.cancelled") || slices.Index(events, "run.cancelled") < slices.Index(events, "attempt.ended") {
		t.Errorf("got %v", events)
	}
}

// kindsAfterClose opens the record once more to look at it.
func (f *fixture) kindsAfterClose(runID string) []string {
	f.t.Helper()
	f.open(policyOf())
	return f.kinds(runID)
}

func TestTheWallEndsAnAttemptThatNeverEnds(t *testing.T) {
	f := newFixture(t, script{execute: untilCancelled})
	policy := policyOf()
	policy.Workspaces["api"].Wall = 50 * time.Millisecond
	f.d.SetPolicy(policy)
	step := f.settled(f.dispatch(f.run(), "x").ID)
	at := f.attempt(step)
	if at.Outcome != work.TimedOut || at.Reason != "wall" || step.State != work.StepFailed {
		t.Errorf("outcome %s (%s), step %s", at.Outcome, at.Reason, step.State)
	}
	if !slices.Contains(f.journals.types(at.ID), sdk.EventBudgetExceeded) {
		t.Error("the stream does not say which limit it was")
	}
}

func TestTheOutputCapEndsAnAttemptAndKeepsWhatCameBefore(t *testing.T) {
	f := newFixture(t, script{execute: func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		for {
			if err := sink(ctx, sdk.Event{Type: sdk.EventLog, Stream: "stdout", Log: make([]byte, 64<<10)}); err != nil {
				return sdk.Result{}, err
			}
			select {
			case <-p.dead:
				return sdk.Result{}, fault.New(fault.PluginCrashed, "killed")
			default:
			}
		}
	}})
	step := f.settled(f.dispatch(f.run(), "x").ID)
	at := f.attempt(step)
	if at.Outcome != work.BudgetExceeded || at.Reason != "output" || !at.Evidence.Truncated {
		t.Errorf("outcome %s (%s), evidence %+v", at.Outcome, at.Reason, at.Evidence)
	}
}

func TestAStoppingDaemonCancelsWhatLivesAndProvesIt(t *testing.T) {
	f := newFixture(t, script{execute: untilCancelled})
	step := f.dispatch(f.run(), "x")
	f.running(step.ID)
	f.close()
	f.open(policyOf())
	got := f.settled(step.ID)
	if at := f.attempt(got); got.State != work.StepCancelled || at.Reason != "shutdown" || !at.Death.Proved {
		t.Errorf("step %s, attempt %s (%s)", got.State, at.Outcome, at.Reason)
	}
}

// The grace is for those who can end by themselves. Who asks a person gets no answer any more.
func TestAStoppingDaemonWaitsForNoAnswerThatCannotCome(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("asks while it stops: ", late), func(t *testing.T) {
			f := newFixture(t, script{})
			f.close()
			ask := make(chan struct{})
			f.plugins.script = script{execute: func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
				<-ask
				r, err := permitted(sdk.Permission{ID: "p", Tool: "execute", Command: "x"})(ctx, p, a, sink)
				<-p.cancelled
				r.StopReason = "cancelled"
				return r, err
			}}
			f.grace = time.Hour
			f.open(ruled(time.Hour))
			step := f.dispatch(f.run(), "x")
			f.running(step.ID)
			if !late {
				close(ask)
				f.approval(step.ID)
			}
			f.stop()
			if late {
				close(ask)
			}
			f.close()
			f.open(policyOf())
			got := f.settled(step.ID)
			if at := f.attempt(got); got.State != work.StepCancelled || at.Cause != "shutdown" || !at.Death.Proved || at.Death.Signals[0] != "cancel" {
				t.Errorf("step %s, attempt %s (%s), death %+v", got.State, at.Outcome, at.Cause, at.Death)
			}
			f.nothingOpen()
		})
	}
}

func TestQueuedStepsSurviveARestart(t *testing.T) {
	f := newFixture(t, script{execute: untilCancelled})
	run := f.run()
	first, second := f.dispatch(run, "one"), f.dispatch(run, "two")
	f.running(first.ID)
	f.close()
	f.plugins.script = script{}
	f.open(policyOf())
	if got := f.settled(second.ID); got.State != work.StepPassed {
		t.Errorf("the queued step ended as %s (%s)", got.State, got.Reason)
	}
}

func TestADeadDaemonsAttemptsAreLostAndNotRunAgain(t *testing.T) {
	f := newFixture(t, script{})
	run := f.run()
	f.close()
	// What a killed daemon leaves: an active step with a running attempt that nobody drives.
	f.open(policyOf())
	ctx, now := t.Context(), time.Now()
	step := work.Step{ID: "step_01J00000000000000000000000", RunID: run.ID, Workspace: "api", State: work.StepQueued, Actor: operator, Dispatched: now, Spec: work.StepSpec{Text: "x", Executor: "coder"}}
	at := work.Attempt{ID: "att_01J00000000000000000000000", StepID: step.ID, RunID: run.ID, Workspace: "api", Executor: "coder", State: work.AttemptQueued, CreatedAt: now}
	daemon := work.Actor{Kind: "daemon", ID: "drawspan"}
	_, err := f.store.Apply(ctx, work.DispatchStep{Step: step}, work.CreateAttempt{Attempt: at},
		work.MoveStep{ID: step.ID, Version: 1, To: work.StepActive, Actor: daemon, At: now},
		work.MoveAttempt{ID: at.ID, Version: 1, To: work.AttemptPreparing, Base: "base", Start: "base", Actor: daemon, At: now},
		work.MoveAttempt{ID: at.ID, Version: 2, To: work.AttemptRunning, Actor: daemon, At: now},
		work.MoveAttempt{ID: at.ID, Version: 3, To: work.AttemptCollecting, Actor: daemon, At: now},
		work.KeepArtifact{Artifact: work.Artifact{
			AttemptID: at.ID, StepID: step.ID, RunID: run.ID, Name: "diff.patch", Kind: "diff", Media: "text/x-diff", Inline: []byte("d"),
			Size: 1, Digest: artifact.Digest([]byte("d")), At: now,
		}})
	if err != nil {
		t.Fatal(err)
	}
	started := len(f.plugins.started)
	f.close()
	f.open(policyOf())
	got := f.settled(step.ID)
	lost := f.attempt(got)
	if got.State != work.StepFailed || lost.Outcome != work.Lost || lost.Retryable || len(f.plugins.started) != started {
		t.Errorf("step %s, attempt %s, retryable %v, %d starts", got.State, lost.Outcome, lost.Retryable, len(f.plugins.started)-started)
	}
	if lost.Evidence == nil || lost.Evidence.Commit == "" {
		t.Error("the lost attempt's tree was not kept")
	}
}
