package dispatch_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// failing lets the named gate's validator say fail, and all others pass.
func failing(name string) script {
	return script{check: func(c sdk.Check) (sdk.Verdict, error) {
		if c.Gate == name {
			return sdk.Verdict{Outcome: sdk.Fail, Message: "no"}, nil
		}
		return sdk.Verdict{Outcome: sdk.Pass}, nil
	}}
}

// held dispatches a step and waits until it is held by the one hold.
func (f *fixture) held() (work.Step, work.Approval) {
	f.t.Helper()
	id := f.dispatch(f.run(), "x").ID
	step := f.await(id, "held", func(s work.Step) bool { return s.State == work.StepHeld })
	return step, f.approval(id)
}

// reasons are those of an ended step's gates, by name; every one of them must have ended.
func (f *fixture) reasons(step work.Step) map[string]string {
	f.t.Helper()
	gates, err := f.store.Gates(f.t.Context(), step.AttemptID)
	if err != nil {
		f.t.Fatal(err)
	}
	out := map[string]string{}
	for _, g := range gates {
		if g.Verdict != work.VerdictPass && g.Verdict != work.VerdictFail || g.DecidedBy == "" {
			f.t.Errorf("step %s: gate %s is %s (%q)", step.State, g.Name, g.Verdict, g.DecidedBy)
		}
		out[g.Name] = string(g.Verdict) + ": " + g.Reason
	}
	open, err := f.store.Approvals(f.t.Context(), store.ApprovalFilter{State: work.ApprovalOpen})
	if err != nil || len(open.Items) != 0 {
		f.t.Errorf("step %s: a person is still asked: %+v, %v", step.State, open.Items, err)
	}
	return out
}

func wantReasons(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("gates are\n%v\nwant\n%v", got, want)
	}
}

// When a step has ended, none of its gates waits for anything, and nobody is asked: each says what it came to.
func TestF15_NoGateOfAnEndedStepIsLeftOpen(t *testing.T) {
	t.Run("behind a hold that was denied", func(t *testing.T) {
		f := newFixture(t, script{}, hold("review"), commandGate("deploy", "review"), commandGate("last", "deploy"))
		_, ap := f.held()
		if err := f.decide(ap.ID, "deny", ""); err != nil {
			t.Fatal(err)
		}
		step := f.settled(ap.StepID)
		why := `fail: not evaluated: the step was rejected: gate "review": denied by operator`
		wantReasons(t, f.reasons(step), map[string]string{"review": "fail: denied by operator", "deploy": why, "last": why})
		if step.State != work.StepRejected || step.Reason != `gate "review": denied by operator` {
			t.Errorf("step %s (%s)", step.State, step.Reason)
		}
	})
	t.Run("beside a gate that failed", func(t *testing.T) {
		f := newFixture(t, failing("tests"), hold("review"), commandGate("tests"), commandGate("deploy", "review"))
		step := f.settled(f.dispatch(f.run(), "x").ID)
		why := `the step was rejected: gate "tests": fail: no`
		wantReasons(t, f.reasons(step), map[string]string{"tests": "fail: fail: no", "review": "fail: not decided: " + why, "deploy": "fail: not evaluated: " + why})
		body, err := f.store.Artifact(t.Context(), step.AttemptID, "result.json")
		var said work.ResultSpec
		if err != nil || json.Unmarshal(body.Inline, &said) != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(said.Gates, func(g work.SpecGate) bool { return g.Verdict != work.VerdictFail || g.Reason == "" }); len(said.Gates) != 3 || i >= 0 {
			t.Errorf("result.json has %+v", said.Gates)
		}
	})
	t.Run("of a held step that was cancelled", func(t *testing.T) {
		f := newFixture(t, script{}, hold("review"), commandGate("deploy", "review"))
		step, _ := f.held()
		got, err := f.d.CancelStep(t.Context(), operator, step.ID, "never mind")
		if err != nil {
			t.Fatal(err)
		}
		wantReasons(t, f.reasons(got), map[string]string{"review": "fail: not decided: the step was cancelled", "deploy": "fail: not evaluated: the step was cancelled"})
	})
	t.Run("of a held step whose workspace is gone", func(t *testing.T) {
		f := newFixture(t, script{}, hold("review"), commandGate("deploy", "review"))
		_, ap := f.held()
		f.d.SetPolicy(&work.Policy{Digest: "sha256:q", MaxParallel: 4})
		if err := f.decide(ap.ID, "allow", ""); err != nil {
			t.Fatal(err)
		}
		step := f.settled(ap.StepID)
		if got := f.reasons(step)["deploy"]; step.State != work.StepFailed || !strings.Contains(got, "no longer declared") {
			t.Errorf("step %s (%s), deploy %q", step.State, step.Reason, got)
		}
	})
	t.Run("of an attempt that was cancelled while it was judged", func(t *testing.T) {
		asked := make(chan struct{})
		f := newFixture(t, script{}, hold("review"), commandGate("tests"))
		f.close()
		f.plugins.script = script{check: func(sdk.Check) (sdk.Verdict, error) {
			<-asked
			return sdk.Verdict{Outcome: sdk.Pass}, nil
		}}
		f.open(policyOf(hold("review"), commandGate("tests")))
		step := f.dispatch(f.run(), "x")
		f.approval(step.ID)
		if _, err := f.d.CancelStep(t.Context(), operator, step.ID, "never mind"); err != nil {
			t.Fatal(err)
		}
		close(asked)
		got := f.settled(step.ID)
		why := "the attempt ended as cancelled"
		wantReasons(t, f.reasons(got), map[string]string{"review": "fail: not decided: " + why, "tests": "fail: not evaluated: " + why})
	})
}

// Somebody may decide a hold in the moment in which its step ends without it. The decision stands, and the step
// ends all the same.
func TestF15_ADecisionInTheMomentOfTheEndStands(t *testing.T) {
	f := newFixture(t, script{})
	f.close()
	var once atomic.Bool
	f.looked = func(ap work.Approval) {
		if once.CompareAndSwap(false, true) {
			if err := f.decide(ap.ID, "allow", ""); err != nil {
				t.Error(err)
			}
		}
	}
	f.plugins.script = failing("tests")
	f.open(policyOf(hold("review"), commandGate("tests")))
	step := f.settled(f.dispatch(f.run(), "x").ID)
	if step.State != work.StepRejected || f.attempt(step).State != work.AttemptEnded {
		t.Errorf("step %s (%s)", step.State, step.Reason)
	}
	wantReasons(t, f.reasons(step), map[string]string{"review": "pass: allowed by operator", "tests": "fail: fail: no"})
}

// A held step is judged by the rules that it was judged by before, or not at all: neither a reload nor a restart
// puts others in their place, and a gate that came or went does not matter silently.
func TestAHeldStepIsNotJudgedByOtherRules(t *testing.T) {
	begun := func() []work.GateRule { return []work.GateRule{hold("review"), commandGate("deploy", "review")} }
	another := "fail: not evaluated: the configuration changed while the step was held: this gate, what it rests on or what it is shown is another"
	for what, c := range map[string]struct {
		change func(p *work.Policy, ws *work.Workspace)
		deploy string
	}{
		"nothing":       {func(*work.Policy, *work.Workspace) {}, "pass: pass"},
		"another block": {func(p *work.Policy, ws *work.Workspace) { ws.Gates[1].Declared, p.MaxParallel = "x.hcl:99", 9 }, "pass: pass"},
		"a gate came":   {func(_ *work.Policy, ws *work.Workspace) { ws.Gates = append(ws.Gates, commandGate("license")) }, "pass: pass"},
		"the gate went": {func(_ *work.Policy, ws *work.Workspace) { ws.Gates = ws.Gates[:1] }, "fail: not evaluated: the configuration changed while the step was held: this gate is gone"},
		"its keys":      {func(_ *work.Policy, ws *work.Workspace) { ws.Gates[1].Config = json.RawMessage(`{"run":["true"]}`) }, another},
		"its sandbox": {func(_ *work.Policy, ws *work.Workspace) {
			ws.Gates[1].Sandbox = &work.SandboxPolicy{Name: "box", Level: "off"}
		}, another},
		"its program":     {func(_ *work.Policy, ws *work.Workspace) { ws.Gates[1].Digest = "sha256:22" }, another},
		"paths":           {func(_ *work.Policy, ws *work.Workspace) { ws.Paths.Forbid = []string{"x"} }, another},
		"the preparation": {func(_ *work.Policy, ws *work.Workspace) { ws.Provision.Copy = []string{".env"} }, another},
	} {
		next := policyOf(begun()...)
		c.change(next, next.Workspaces["api"])
		for how, swap := range map[string]func(f *fixture){
			"reload":  func(f *fixture) { f.d.SetPolicy(next) },
			"restart": func(f *fixture) { f.close(); f.open(next) },
		} {
			t.Run(what+", "+how, func(t *testing.T) {
				f := newFixture(t, script{}, begun()...)
				step, ap := f.held()
				swap(f)
				if err := f.decide(ap.ID, "allow", ""); err != nil {
					t.Fatal(err)
				}
				got := f.settled(step.ID)
				wantReasons(t, f.reasons(got), map[string]string{"review": "pass: allowed by operator", "deploy": c.deploy})
				if passes := strings.HasPrefix(c.deploy, "pass"); passes != (got.State == work.StepPassed) || !passes && got.State != work.StepRejected {
					t.Errorf("step %s (%s)", got.State, got.Reason)
				}
			})
		}
	}
}

// A gate that could be closed by changing the rules is closed: on_fail = "warn" does not let the step pass then.
func TestF10_AChangedRuleIsNoWayAroundItsGate(t *testing.T) {
	lenient := func(config string) []work.GateRule {
		after := commandGate("deploy", "review")
		after.OnFail, after.OnError, after.Config = "warn", "warn", json.RawMessage(config)
		return []work.GateRule{hold("review"), after}
	}
	f := newFixture(t, script{}, lenient(`{}`)...)
	step, ap := f.held()
	f.d.SetPolicy(policyOf(lenient(`{"run":["true"]}`)...))
	if err := f.decide(ap.ID, "allow", ""); err != nil {
		t.Fatal(err)
	}
	if got := f.settled(step.ID); got.State != work.StepRejected || !strings.Contains(got.Reason, "the configuration changed") {
		t.Errorf("step %s (%s)", got.State, got.Reason)
	}
}

// The lock file may change while an attempt is on its way: what was locked then is not there any more.
func TestF10_AnotherProgramThanTheLockedOneDoesNotJudge(t *testing.T) {
	gates := []work.GateRule{commandGate("tests")}
	gates[0].Digest = "sha256:00"
	f := newFixture(t, script{execute: func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
		return sdk.Result{}, nil
	}}, gates...)
	if step := f.settled(f.dispatch(f.run(), "x").ID); step.State != work.StepPassed {
		t.Errorf("step %s (%s)", step.State, step.Reason)
	}
	f.close()
	f.plugins.digest = "sha256:11"
	f.open(policyOf(gates...))
	if step := f.settled(f.dispatch(f.run(), "x").ID); step.State != work.StepRejected || !strings.Contains(step.Reason, "another program") {
		t.Errorf("step %s (%s)", step.State, step.Reason)
	}
}
