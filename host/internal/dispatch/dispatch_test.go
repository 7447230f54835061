package dispatch_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

type sinkFunc = func(context.Context, sdk.Event) error

// untilCancelled plays an executor that works until it is told to stop.
func untilCancelled(_ context.Context, p *scriptedPlugin, _ sdk.Attempt, _ sinkFunc) (sdk.Result, error) {
	select {
	case <-p.answered:
		return sdk.Result{StopReason: "end_turn"}, nil
	case <-p.cancelled:
		return sdk.Result{StopReason: "cancelled"}, nil
	case <-p.dead:
		return sdk.Result{}, fault.New(fault.PluginCrashed, "killed")
	}
}

func commandGate(name string, needs ...string) work.GateRule {
	return work.GateRule{Name: name, Validator: "command", Needs: needs, OnFail: "fail"}
}

func TestAStepPassesWhenItsGatesPass(t *testing.T) {
	f := newFixture(t, script{}, commandGate("tests"))
	run := f.run()
	step := f.settled(f.dispatch(run, "do it").ID)
	at := f.attempt(step)
	if step.State != work.StepPassed || at.Outcome != work.Succeeded || at.State != work.AttemptEnded {
		t.Fatalf("step %s (%s), attempt %s %s", step.State, step.Reason, at.State, at.Outcome)
	}
	var states []string
	for _, k := range f.kinds(run.ID) {
		if s, ok := strings.CutPrefix(k, "attempt."); ok {
			states = append(states, s)
		}
	}
	want := []string{"queued", "preparing", "running", "collecting", "validating", "ended"}
	if !slices.Equal(states, want) {
		t.Errorf("attempt went %v, want %v", states, want)
	}
	if at.Death == nil || !at.Death.Proved || at.Plugin == nil || at.Level != "isolated" {
		t.Errorf("attempt has no proof of death or no plugin identity: %+v", at)
	}
}

func TestS8_APassedStepHasResultDiffAndValidationsOnRecord(t *testing.T) {
	f := newFixture(t, script{}, commandGate("tests"))
	step := f.settled(f.dispatch(f.run(), "do it").ID)
	rows, err := f.store.Artifacts(t.Context(), step.AttemptID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	for _, want := range []string{"diff.patch", "result.json", "events.jsonl", "validation/tests/stdout.log"} {
		if !slices.Contains(names, want) {
			t.Errorf("no artifact %s among %v", want, names)
		}
	}
	gates, err := f.store.Gates(t.Context(), step.AttemptID)
	if err != nil || len(gates) != 1 || gates[0].Validation == "" || gates[0].Verdict != work.VerdictPass {
		t.Errorf("gates %+v, %v", gates, err)
	}
}

func TestAnUnchangedTreeIsNoSuccessUnlessNoneWasExpected(t *testing.T) {
	f := newFixture(t, script{unchanged: true})
	run := f.run()
	if step := f.settled(f.dispatch(run, "do nothing").ID); step.State != work.StepFailed || f.attempt(step).Outcome != work.NoChange {
		t.Errorf("got %s, %s", step.State, f.attempt(step).Outcome)
	}
	step, err := f.d.DispatchStep(t.Context(), operator, dispatch.StepRequest{RunID: run.ID, Text: "look", Executor: "coder", Expect: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.settled(step.ID); got.State != work.StepPassed {
		t.Errorf("expect none: got %s (%s)", got.State, got.Reason)
	}
}

func TestWhatAnExecutorSaysIsAClaim(t *testing.T) {
	cases := []struct {
		name    string
		result  sdk.Result
		err     error
		outcome work.Outcome
	}{
		{"failed by its own word", sdk.Result{Failed: true, Class: "rate_limit"}, nil, work.Failed},
		{"ended by a signal", sdk.Result{Signal: "SIGSEGV"}, nil, work.Failed},
		{"crashed", sdk.Result{}, fault.New(fault.PluginCrashed, "gone"), work.ExecutorError},
		{"broke the protocol", sdk.Result{}, fault.New(fault.PluginProtocol, "two results"), work.ExecutorError},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, script{execute: func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
				return c.result, c.err
			}}, commandGate("tests"))
			step := f.settled(f.dispatch(f.run(), "x").ID)
			at := f.attempt(step)
			if at.Outcome != c.outcome || step.State != work.StepFailed {
				t.Errorf("got %s, step %s", at.Outcome, step.State)
			}
			if gates, err := f.store.Gates(t.Context(), at.ID); err != nil || len(gates) != 0 {
				t.Errorf("gates were evaluated: %+v %v", gates, err)
			}
			if at.Evidence == nil || at.Evidence.Commit == "" {
				t.Error("the tree was not kept")
			}
		})
	}
}

func TestTheStrongerFactDecidesTheOutcome(t *testing.T) {
	zero, three := 0, 3
	for name, row := range map[string]struct {
		unchanged bool
		result    sdk.Result
		outcome   work.Outcome
		reason    string
	}{
		"an ordinary end":                       {false, sdk.Result{StopReason: "end_turn", ExitCode: &zero}, work.Succeeded, ""},
		"exit 0 and nothing changed":            {true, sdk.Result{StopReason: "end_turn", ExitCode: &zero, Summary: "I did it all"}, work.NoChange, ""},
		"a code that the plugin takes":          {false, sdk.Result{StopReason: "end_turn", ExitCode: &three}, work.Succeeded, ""},
		"a denial and nothing changed":          {true, sdk.Result{Denied: true}, work.Denied, "denied"},
		"a denial and a change":                 {false, sdk.Result{Denied: true}, work.Succeeded, ""},
		"a failure for a denial":                {true, sdk.Result{Denied: true, Failed: true, Class: "policy"}, work.Denied, "denied"},
		"another failure beside a denial":       {true, sdk.Result{Denied: true, Failed: true, Class: "rate_limit", Retryable: true}, work.Failed, "rate_limit"},
		"a failure without a class":             {false, sdk.Result{Failed: true}, work.Failed, "unknown"},
		"an error before a signal":              {false, sdk.Result{Failed: true, Class: "auth", Signal: "SIGTERM"}, work.Failed, "auth"},
		"a signal before a stop reason":         {false, sdk.Result{Signal: "SIGKILL", StopReason: "end_turn", ExitCode: &zero}, work.Failed, "signal"},
		"a cancel that nobody asked for":        {false, sdk.Result{StopReason: "cancelled"}, work.Failed, "cancel_claimed"},
		"no turns left":                         {false, sdk.Result{StopReason: "max_turns"}, work.Failed, "max_turns"},
		"a refusal by the model":                {true, sdk.Result{StopReason: "refusal"}, work.Failed, "refusal"},
		"a stop reason that nobody knows":       {false, sdk.Result{StopReason: "enough"}, work.Succeeded, ""},
		"a claim of failure against the change": {false, sdk.Result{Failed: true, Class: "crash", Message: "x"}, work.Failed, "crash"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, script{unchanged: row.unchanged, execute: func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
				return row.result, nil
			}})
			at := f.attempt(f.settled(f.dispatch(f.run(), "x").ID))
			if at.Outcome != row.outcome || at.Reason != row.reason {
				t.Errorf("got %s (%s), want %s (%s)", at.Outcome, at.Reason, row.outcome, row.reason)
			}
		})
	}
}

// F56: an executor whose program is ended by a signal, and which reports code 0, has not succeeded.
// A program that is another one at the end may have been anything in between: what it left is kept, and no
// gate is asked.
func TestAProgramThatChangedInTheMeantimeIsNotBelieved(t *testing.T) {
	unlike := fault.New(fault.ProgramChanged, "program agent changed: it has the digest b instead of a")
	f := newFixture(t, script{unlike: unlike}, commandGate("tests"))
	run := f.run()
	step := f.settled(f.dispatch(run, "x").ID)
	at := f.attempt(step)
	if step.State != work.StepFailed || at.Outcome != work.ExecutorError || at.Reason != string(fault.ProgramChanged) || !strings.Contains(at.Message, "digest b") {
		t.Errorf("%s: %s %s %s", step.State, at.Outcome, at.Reason, at.Message)
	}
	if at.Evidence.Program == "" || at.Evidence.Commit == "" || len(at.Evidence.Diff.Files) == 0 {
		t.Errorf("what it left is not kept: %+v", at.Evidence)
	}
	if slices.Contains(f.kinds(run.ID), "attempt.validating") {
		t.Error("it was judged")
	}
}

func TestF56_AnEndBySignalIsNoSuccessWhateverCodeIsReported(t *testing.T) {
	zero := 0
	f := newFixture(t, script{execute: func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
		return sdk.Result{StopReason: "end_turn", Signal: "SIGKILL", ExitCode: &zero, Summary: "all done"}, nil
	}}, commandGate("tests"))
	step := f.settled(f.dispatch(f.run(), "x").ID)
	if at := f.attempt(step); step.State != work.StepFailed || at.Outcome != work.Failed || at.Reason != "signal" {
		t.Errorf("step %s, attempt %s (%s)", step.State, at.Outcome, at.Reason)
	}
	if spec := f.spec(step); len(spec.Warnings) != 1 || !strings.Contains(spec.Warnings[0], "SIGKILL") {
		t.Errorf("got %q", spec.Warnings)
	}
}

func TestARefusedStartIsAnInfrastructureError(t *testing.T) {
	f := newFixture(t, script{startErr: fault.New(fault.SandboxUnavailable, "no user namespaces")})
	step := f.settled(f.dispatch(f.run(), "x").ID)
	at := f.attempt(step)
	if at.Outcome != work.InfraError || at.Reason != string(fault.SandboxUnavailable) || at.Enforced != nil {
		t.Errorf("got %+v", at)
	}
}

func TestS10_AStepGoesToTheNamedExecutorOrFails(t *testing.T) {
	f := newFixture(t, script{})
	run := f.run()
	for _, name := range []string{"other", "nobody", "../coder", ""} {
		_, err := f.d.DispatchStep(t.Context(), operator, dispatch.StepRequest{RunID: run.ID, Text: "x", Executor: name})
		wantCode(t, err, fault.NotAllowed)
	}
	step := f.settled(f.dispatch(run, "x").ID)
	if at := f.attempt(step); at.Executor != "coder" {
		t.Errorf("ran on %s", at.Executor)
	}
}

func TestF6_AFailingExecutorIsNotReplacedByAnother(t *testing.T) {
	f := newFixture(t, script{startErr: fault.New(fault.PluginStart, "broken")})
	step := f.settled(f.dispatch(f.run(), "x").ID)
	if step.State != work.StepFailed || step.Attempts != 1 || len(f.plugins.started) != 1 {
		t.Errorf("step %s after %d attempts and %d starts", step.State, step.Attempts, len(f.plugins.started))
	}
}

func TestADispatchCanOnlyNarrow(t *testing.T) {
	f := newFixture(t, script{}, commandGate("tests"), work.GateRule{Name: "slow", Validator: "command", Optional: true},
		work.GateRule{Name: "slower", Validator: "command", Optional: true, Needs: []string{"slow"}},
		work.GateRule{Name: "curious", Validator: "command", Optional: true, After: []string{"slow"}},
		work.GateRule{Name: "some", Validator: "paths", Paths: []string{"docs/**"}, OnFail: "fail"})
	run := f.run()
	cases := []struct {
		name string
		r    dispatch.StepRequest
		code fault.Code
	}{
		{"more time", dispatch.StepRequest{Wall: 2 * time.Hour}, fault.NotAllowed},
		{"negative time", dispatch.StepRequest{Wall: -1}, fault.NotAllowed},
		{"paths that no gate judges", dispatch.StepRequest{Paths: &work.PathRules{Write: []string{"a/**"}}}, fault.NotAllowed},
		{"an unknown gate", dispatch.StepRequest{Gates: []string{"nope"}}, fault.InvalidRequest},
		{"a gate without the one that it needs", dispatch.StepRequest{Gates: []string{"slower"}}, fault.InvalidRequest},
		{"a gate without the one that it asks about", dispatch.StepRequest{Gates: []string{"curious"}}, fault.InvalidRequest},
		{"an unknown expectation", dispatch.StepRequest{Expect: "everything"}, fault.InvalidRequest},
	}
	for _, c := range cases {
		c.r.RunID, c.r.Text, c.r.Executor = run.ID, "x", "coder"
		if _, err := f.d.DispatchStep(t.Context(), operator, c.r); !fault.Is(err, c.code) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.code)
		}
	}
	step, err := f.d.DispatchStep(t.Context(), operator, dispatch.StepRequest{RunID: run.ID, Text: "x", Executor: "coder", Gates: []string{"slow"}})
	if err != nil {
		t.Fatal(err)
	}
	f.settled(step.ID)
	if gates, err := f.store.Gates(t.Context(), f.settled(step.ID).AttemptID); err != nil || len(gates) != 3 {
		t.Errorf("an added gate was not evaluated: %+v %v", gates, err)
	}
}

func TestABaseMustBeAmongTheWorkspacesBases(t *testing.T) {
	f := newFixture(t, script{})
	for _, base := range []string{"secret", "feature/a/b", "-x", "main~1"} {
		_, err := f.d.OpenRun(t.Context(), operator, dispatch.RunRequest{Workspace: "api", Base: base})
		wantCode(t, err, fault.NotAllowed)
	}
	run, err := f.d.OpenRun(t.Context(), operator, dispatch.RunRequest{Workspace: "api", Base: "feature/a"})
	if err != nil || run.Base != "feature/a" || run.BaseCommit != "base" {
		t.Errorf("got %+v, %v", run, err)
	}
	_, err = f.d.OpenRun(t.Context(), operator, dispatch.RunRequest{Workspace: "nope"})
	wantCode(t, err, fault.NotFound)
}

func TestStepsOfARunAreTakenInOrderAndBuildOnThePassedOnes(t *testing.T) {
	f := newFixture(t, script{})
	run := f.run()
	first, second := f.dispatch(run, "one"), f.dispatch(run, "two")
	f.settled(second.ID)
	one := f.settled(first.ID)
	two := f.settled(second.ID)
	if at := f.attempt(two); at.Base != "commit-"+one.AttemptID || at.Start != at.Base {
		t.Errorf("the second step began at %s", at.Base)
	}
	if one.Ix != 1 || two.Ix != 2 {
		t.Errorf("positions %d and %d", one.Ix, two.Ix)
	}
}

func TestF14_StepsOnUnknownClosedOrForeignRunsAreRefused(t *testing.T) {
	f := newFixture(t, script{})
	run := f.run()
	if _, err := f.d.CloseRun(t.Context(), operator, run.ID); err != nil {
		t.Fatal(err)
	}
	cases := map[string]fault.Code{
		run.ID: fault.RunNotOpen, "run_00000000000000000000000000": fault.NotFound, "../../etc": fault.InvalidRequest, "": fault.InvalidRequest,
	}
	for id, code := range cases {
		_, err := f.d.DispatchStep(t.Context(), operator, dispatch.StepRequest{RunID: id, Text: "x", Executor: "coder"})
		wantCode(t, err, code)
	}
}

func TestTheSameKeyMakesOneStep(t *testing.T) {
	f := newFixture(t, script{})
	run := f.run()
	r := dispatch.StepRequest{RunID: run.ID, Text: "x", Executor: "coder", Key: "k1"}
	first, err := f.d.DispatchStep(t.Context(), operator, r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.d.DispatchStep(t.Context(), operator, r)
	if err != nil || again.ID != first.ID {
		t.Errorf("got %s, %v, want %s", again.ID, err, first.ID)
	}
	r.Text = "y"
	_, err = f.d.DispatchStep(t.Context(), operator, r)
	wantCode(t, err, fault.IdempotencyConflict)
}

func TestS32_FiftyStepsOverTenRunsAllCountWithinTheLimit(t *testing.T) {
	f := newFixture(t, script{}, commandGate("tests"))
	var steps []work.Step
	for range 10 {
		run := f.run()
		for range 5 {
			steps = append(steps, f.dispatch(run, "x"))
		}
	}
	for _, s := range steps {
		if got := f.settled(s.ID); got.State != work.StepPassed {
			t.Errorf("step %s: %s (%s)", s.ID, got.State, got.Reason)
		}
	}
	if f.plugins.most > 4 {
		t.Errorf("%d attempts lived at once, 4 are allowed", f.plugins.most)
	}
}

func TestARetryIsANewAttemptFromTheBase(t *testing.T) {
	f := newFixture(t, script{unchanged: true})
	step := f.settled(f.dispatch(f.run(), "x").ID)
	if _, err := f.d.Retry(t.Context(), operator, step.ID, ""); err != nil {
		t.Fatal(err)
	}
	again := f.await(step.ID, "tried again", func(s work.Step) bool { return s.State.Settled() && s.Attempts == 2 })
	if again.AttemptID == step.AttemptID || f.attempt(again).N != 2 {
		t.Errorf("got %+v", again)
	}
}

func TestAFollowupStartsFromTheKeptTreeAndIsJudgedAgainstTheBase(t *testing.T) {
	f := newFixture(t, script{})
	step := f.settled(f.dispatch(f.run(), "x").ID)
	if _, err := f.d.Retry(t.Context(), operator, step.ID, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("a passed step was retried: %v", err)
	}
	if _, err := f.d.Followup(t.Context(), operator, step.ID, "and now this", ""); err != nil {
		t.Fatal(err)
	}
	again := f.await(step.ID, "followed up", func(s work.Step) bool { return s.State.Settled() && s.Attempts == 2 })
	at := f.attempt(again)
	if at.Start != "commit-"+step.AttemptID || at.Base != "base" || at.Text != "and now this" {
		t.Errorf("got start %s, base %s, text %q", at.Start, at.Base, at.Text)
	}
}

func TestAPolicyThatNoLongerAllowsTheExecutorFailsTheQueuedStep(t *testing.T) {
	hold := make(chan struct{})
	f := newFixture(t, script{execute: func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
		<-hold
		return sdk.Result{}, nil
	}})
	run := f.run()
	first, second := f.dispatch(run, "one"), f.dispatch(run, "two")
	f.await(first.ID, "active", func(s work.Step) bool { return s.State == work.StepActive })
	narrower := policyOf()
	narrower.Workspaces["api"].Executors = nil
	f.d.SetPolicy(narrower)
	close(hold)
	if got := f.settled(first.ID); got.State != work.StepPassed {
		t.Errorf("the live step ended as %s (%s)", got.State, got.Reason)
	}
	if got := f.settled(second.ID); got.State != work.StepFailed || !strings.Contains(got.Reason, "not_allowed") {
		t.Errorf("the queued step ended as %s (%s)", got.State, got.Reason)
	}
}

func TestACommitThatIsKeptButNotPublishedIsJudgedAndSaysSo(t *testing.T) {
	f := newFixture(t, script{unpublished: true}, commandGate("tests"))
	step := f.settled(f.dispatch(f.run(), "x").ID)
	at := f.attempt(step)
	if step.State != work.StepPassed || at.Evidence.Commit == "" || !strings.Contains(at.Evidence.Unpublished, "gone") {
		t.Errorf("step %s, evidence %+v", step.State, at.Evidence)
	}
}
