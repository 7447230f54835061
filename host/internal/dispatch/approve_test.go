package dispatch_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// asks plays an executor that asks once and goes on with the answer.
func asks(kind sdk.EventType, data string) func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
	return func(ctx context.Context, p *scriptedPlugin, _ sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		if err := sink(ctx, sdk.Event{Type: kind, ItemID: "q1", Data: json.RawMessage(data)}); err != nil {
			return sdk.Result{}, err
		}
		return untilCancelled(ctx, p, sdk.Attempt{}, sink)
	}
}

func (f *fixture) decide(id, decision, answer string) error {
	_, err := f.d.Decide(f.t.Context(), operator, dispatch.DecideRequest{ApprovalID: id, Decision: decision, Answer: answer})
	return err
}

func TestAQuestionIsAnsweredAndTheAttemptGoesOn(t *testing.T) {
	f := newFixture(t, script{execute: asks(sdk.EventQuestionAsked, `{"text":"which one?","options":["a","b"]}`)})
	step := f.dispatch(f.run(), "x")
	ap := f.approval(step.ID)
	if ap.Kind != work.ApprovalQuestion || ap.Prompt != "which one?" || len(ap.Options) != 2 || ap.Deadline.IsZero() {
		t.Errorf("got %+v", ap)
	}
	if at := f.attempt(f.await(step.ID, "waiting", func(s work.Step) bool { return f.attempt(s).State == work.AttemptWaiting })); at.State != work.AttemptWaiting {
		t.Errorf("attempt is %s", at.State)
	}
	if err := f.decide(ap.ID, "allow", ""); !fault.Is(err, fault.InvalidRequest) {
		t.Errorf("a question was allowed: %v", err)
	}
	if err := f.decide(ap.ID, "answer", "b"); err != nil {
		t.Fatal(err)
	}
	if err := f.decide(ap.ID, "answer", "a"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second answer was taken: %v", err)
	}
	if got := f.settled(step.ID); got.State != work.StepPassed {
		t.Errorf("step %s (%s)", got.State, got.Reason)
	}
	if want := []string{`q1 answered=true text="b" allowed=false`}; !slices.Equal(f.plugins.inputs, want) {
		t.Errorf("got %v, want %v", f.plugins.inputs, want)
	}
}

func TestS80_AQuestionNobodyAnswersGetsItsDefaultAtTheDeadline(t *testing.T) {
	f := newFixture(t, script{execute: asks(sdk.EventPermissionAsked, `{"tool":"execute","title":"rm -rf /"}`)})
	policy := policyOf()
	policy.Executors["coder"].Question.Deadline = 30 * time.Millisecond
	f.d.SetPolicy(policy)
	step := f.settled(f.dispatch(f.run(), "x").ID)
	if want := []string{`q1 answered=false text="" allowed=false`}; !slices.Equal(f.plugins.inputs, want) {
		t.Errorf("got %v, want %v", f.plugins.inputs, want)
	}
	if !slices.Contains(f.kinds(step.RunID), "approval.decided") {
		t.Error("the default was not recorded")
	}
}

func TestCancellingClosesOpenQuestions(t *testing.T) {
	f := newFixture(t, script{execute: asks(sdk.EventQuestionAsked, `{"text":"?"}`)})
	step := f.dispatch(f.run(), "x")
	ap := f.approval(step.ID)
	if _, err := f.d.CancelStep(t.Context(), operator, step.ID, ""); err != nil {
		t.Fatal(err)
	}
	f.settled(step.ID)
	got, err := f.store.Approval(t.Context(), ap.ID)
	if err != nil || got.State != work.ApprovalDenied || got.DecidedBy != "cancel" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAMalformedQuestionBreaksTheProtocol(t *testing.T) {
	f := newFixture(t, script{execute: asks(sdk.EventQuestionAsked, `[`)})
	if at := f.attempt(f.settled(f.dispatch(f.run(), "x").ID)); at.Outcome != work.ExecutorError {
		t.Errorf("got %s", at.Outcome)
	}
}

func holdGate(deadline time.Duration, fallback string) work.GateRule {
	return work.GateRule{Name: "review", Hold: "a person looks", Deadline: deadline, Default: fallback}
}

func TestF15_AHeldGateIsDecidedByAPersonAndTheStepFollows(t *testing.T) {
	for decision, want := range map[string]work.StepState{"allow": work.StepPassed, "deny": work.StepRejected} {
		t.Run(decision, func(t *testing.T) {
			f := newFixture(t, script{}, holdGate(time.Hour, "fail"), commandGate("after", "review"))
			step := f.dispatch(f.run(), "x")
			ap := f.approval(step.ID)
			held := f.await(step.ID, "held", func(s work.Step) bool { return s.State == work.StepHeld })
			if at := f.attempt(held); at.Outcome != work.Succeeded {
				t.Errorf("attempt %s", at.Outcome)
			}
			if err := f.decide(ap.ID, decision, ""); err != nil {
				t.Fatal(err)
			}
			got := f.settled(step.ID)
			if got.State != want {
				t.Errorf("step %s (%s), want %s", got.State, got.Reason, want)
			}
			gates, err := f.store.Gates(t.Context(), got.AttemptID)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range gates {
				if g.Verdict != work.VerdictPass && g.Verdict != work.VerdictFail {
					t.Errorf("gate %s is %s", g.Name, g.Verdict)
				}
			}
		})
	}
}

// Whoever decides is not told when an evaluation ends: the gates behind the hold are evaluated all the same.
func TestAHoldThatIsDecidedJustAfterTheEvaluationIsGoneOnWith(t *testing.T) {
	for decision, want := range map[string]work.StepState{"allow": work.StepPassed, "deny": work.StepRejected} {
		t.Run("as the attempt ends, "+decision, func(t *testing.T) {
			f := newFixture(t, script{})
			f.decidesAfterEvaluating("early", decision)
			f.open(policyOf(hold("early"), commandGate("after", "early")))
			f.settlesAs(f.dispatch(f.run(), "x").ID, want)
		})
		t.Run("as the held step is judged, "+decision, func(t *testing.T) {
			f := newFixture(t, script{})
			f.decidesAfterEvaluating("late", decision)
			f.open(policyOf(hold("early"), hold("late", "early"), commandGate("after", "late")))
			step := f.dispatch(f.run(), "x")
			f.await(step.ID, "held", func(s work.Step) bool { return s.State == work.StepHeld })
			if err := f.decide(f.approval(step.ID).ID, "allow", ""); err != nil {
				t.Fatal(err)
			}
			f.settlesAs(step.ID, want)
		})
	}
}

func hold(name string, needs ...string) work.GateRule {
	rule := holdGate(time.Hour, "fail")
	rule.Name, rule.Needs = name, needs
	return rule
}

// decidesAfterEvaluating closes the dispatcher and lets the next one's hold be decided between the last look
// of an evaluation at the gates and the look of who sums them up.
func (f *fixture) decidesAfterEvaluating(name, decision string) {
	f.close()
	var looks atomic.Int32
	f.reading = func(string) {
		page, err := f.store.Approvals(f.t.Context(), store.ApprovalFilter{State: work.ApprovalOpen})
		if err != nil || len(page.Items) == 0 || page.Items[0].Gate != name || looks.Add(1) != 2 {
			return
		}
		if err := f.decide(page.Items[0].ID, decision, ""); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *fixture) settlesAs(stepID string, want work.StepState) {
	f.t.Helper()
	got := f.settled(stepID)
	if got.State != want {
		f.t.Errorf("step %s (%s), want %s", got.State, got.Reason, want)
	}
	gates, err := f.store.Gates(f.t.Context(), got.AttemptID)
	if err != nil || slices.ContainsFunc(gates, func(g work.GateRecord) bool { return g.Verdict == work.VerdictPending || g.Verdict == work.VerdictHold }) {
		f.t.Errorf("gates %+v, %v", gates, err)
	}
}

func TestAHoldFallsToItsDefaultAlsoAfterARestart(t *testing.T) {
	f := newFixture(t, script{}, holdGate(300*time.Millisecond, "fail"))
	step := f.dispatch(f.run(), "x")
	f.approval(step.ID)
	f.await(step.ID, "held", func(s work.Step) bool { return s.State == work.StepHeld })
	f.close()
	f.open(policyOf(holdGate(time.Hour, "fail")))
	got := f.settled(step.ID)
	if got.State != work.StepRejected || !strings.Contains(got.Reason, "deadline") {
		t.Errorf("step %s (%s)", got.State, got.Reason)
	}
}

func TestAHeldStepCanBeCancelled(t *testing.T) {
	f := newFixture(t, script{}, holdGate(time.Hour, "fail"))
	step := f.dispatch(f.run(), "x")
	f.approval(step.ID)
	f.await(step.ID, "held", func(s work.Step) bool { return s.State == work.StepHeld })
	got, err := f.d.CancelStep(t.Context(), operator, step.ID, "never mind")
	if err != nil || got.State != work.StepCancelled {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAValidatorThatErrsOrDiesNeverPasses(t *testing.T) {
	cases := map[string]script{
		"errs":                   {check: func(sdk.Check) (sdk.Verdict, error) { return sdk.Verdict{}, fault.New(fault.PluginCrashed, "gone") }},
		"says error":             {check: func(sdk.Check) (sdk.Verdict, error) { return sdk.Verdict{Outcome: sdk.Error}, nil }},
		"says nothing":           {check: func(sdk.Check) (sdk.Verdict, error) { return sdk.Verdict{}, nil }},
		"says something unknown": {check: func(sdk.Check) (sdk.Verdict, error) { return sdk.Verdict{Outcome: "great"}, nil }},
		"breaks":                 {check: func(sdk.Check) (sdk.Verdict, error) { return sdk.Verdict{}, errBoom }},
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, s, commandGate("tests"))
			step := f.settled(f.dispatch(f.run(), "x").ID)
			if step.State != work.StepRejected {
				t.Errorf("step %s (%s)", step.State, step.Reason)
			}
			rows, err := recordPort{Store: f.store}.Validations(t.Context(), step.AttemptID)
			if err != nil || len(rows) != 1 || rows[0].Result != work.ResultError || rows[0].Message == "" && name != "says error" {
				t.Errorf("got %+v, %v", rows, err)
			}
		})
	}
}

func TestS78_AnExecutorNeverDecidesAndEveryDecisionIsAnEvent(t *testing.T) {
	review := work.GateRule{Name: "review", Hold: "look at it"}
	f := newFixture(t, script{}, review)
	run := f.run()
	step := f.dispatch(run, "x")
	ap := f.approval(step.ID)
	_, err := f.d.Decide(t.Context(), work.Actor{Kind: "executor", ID: step.AttemptID}, dispatch.DecideRequest{ApprovalID: ap.ID, Decision: "allow"})
	wantCode(t, err, fault.NotAllowed)
	_, err = f.d.Decide(t.Context(), operator, dispatch.DecideRequest{ApprovalID: ap.ID, Decision: "deny", Note: "not like this"})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.settled(step.ID); got.State != work.StepRejected || !strings.Contains(got.Reason, "not like this") {
		t.Errorf("step %s (%s)", got.State, got.Reason)
	}
	events, err := f.store.Events(t.Context(), store.EventFilter{RunID: run.ID, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	decided := 0
	for _, e := range events {
		if (e.Kind == "gate.decided" || e.Kind == "approval.decided") && e.Actor == operator && strings.Contains(string(e.Body), "not like this") {
			decided++
		}
	}
	if decided != 2 {
		t.Errorf("%d events tell who decided and why, want that of the approval and that of the gate", decided)
	}
}
