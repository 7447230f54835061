package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// permitted plays an executor that asks leave for several things, one after the other, and then ends.
func permitted(requests ...sdk.Permission) func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
	return func(ctx context.Context, _ *scriptedPlugin, _ sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		for _, r := range requests {
			e, err := sdk.PermissionEvent(r)
			if err == nil {
				err = sink(ctx, e)
			}
			if err != nil {
				return sdk.Result{}, err
			}
		}
		return sdk.Result{StopReason: "end_turn"}, nil
	}
}

func rules() []work.PermissionRule {
	return []work.PermissionRule{
		{Name: "reads", Decision: "allow", Kinds: []string{"read"}, Declared: "drawspan.hcl:7"},
		{Name: "no-push", Decision: "deny", Kinds: []string{"execute"}, Commands: []string{"git push *"}, Declared: "drawspan.hcl:12"},
	}
}

// ruled is a policy whose executor has the rules, and asks a person for so long.
func ruled(deadline time.Duration, list ...work.PermissionRule) *work.Policy {
	p := policyOf()
	p.Executors["coder"].Permissions, p.Executors["coder"].Question.Deadline = list, deadline
	return p
}

// decisions are the permission.resolved events of an attempt.
func (f *fixture) decisions(attemptID string) []map[string]string {
	f.t.Helper()
	f.journals.mu.Lock()
	defer f.journals.mu.Unlock()
	var out []map[string]string
	for _, e := range f.journals.events[attemptID] {
		if e.Type != sdk.EventPermissionSolved {
			continue
		}
		var d map[string]string
		if err := json.Unmarshal(e.Data, &d); err != nil {
			f.t.Fatal(err)
		}
		d["item"] = e.ItemID
		out = append(out, d)
	}
	return out
}

func TestRulesDecideBeforeAnybodyIsAsked(t *testing.T) {
	f := newFixture(t, script{execute: permitted(
		sdk.Permission{ID: "p1", Tool: "read", Title: "read a.go"},
		sdk.Permission{ID: "p2", Tool: "execute", Title: "push", Command: "git push origin main"},
		sdk.Permission{ID: "p3", Tool: "teleport", Title: "somewhere"},
	)})
	f.d.SetPolicy(ruled(20*time.Millisecond, append(rules(), work.PermissionRule{Name: "strange", Decision: "deny", Kinds: []string{"other"}, Declared: "drawspan.hcl:20"})...))
	step := f.settled(f.dispatch(f.run(), "x").ID)
	want := []string{
		`p1 answered=false text="" allowed=true`, `p2 answered=false text="" allowed=false`, `p3 answered=false text="" allowed=false`,
	}
	if !slices.Equal(f.plugins.inputs, want) {
		t.Errorf("got %q, want %q", f.plugins.inputs, want)
	}
	got := f.decisions(step.AttemptID)
	if len(got) != 3 || got[0]["decision"] != "allow" || got[0]["decided_by"] != "policy" || got[0]["rule"] != "reads" || got[0]["declared"] != "drawspan.hcl:7" ||
		got[1]["decision"] != "deny" || got[1]["rule"] != "no-push" || got[2]["tool"] != "other" || got[2]["rule"] != "strange" {
		t.Errorf("got %v", got)
	}
	if p := f.attempt(step).Evidence.Permissions; p != (work.Permissions{Requested: 3, Allowed: 1, Denied: 2, ByRule: 3}) {
		t.Errorf("counted %+v", p)
	}
	kinds := f.kinds(step.RunID)
	if slices.Contains(kinds, "approval.opened") || len(slices.DeleteFunc(kinds, func(k string) bool { return k != "permission.denied" })) != 2 {
		t.Errorf("the log has %v", f.kinds(step.RunID))
	}
}

func TestADeniedRequestOfAnUnchangedTreeIsDenied(t *testing.T) {
	for name, row := range map[string]struct {
		unchanged bool
		want      work.Outcome
	}{"unchanged": {true, work.Denied}, "changed": {false, work.Succeeded}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, script{unchanged: row.unchanged, execute: permitted(sdk.Permission{ID: "p", Tool: "execute", Command: "git push"})})
			f.d.SetPolicy(ruled(time.Minute, rules()...))
			if at := f.attempt(f.settled(f.dispatch(f.run(), "x").ID)); at.Outcome != row.want {
				t.Errorf("got %s, want %s", at.Outcome, row.want)
			}
		})
	}
}

func TestAPersonDecidesWhatNoRuleDoesAndSeesWhatItIs(t *testing.T) {
	for decision, want := range map[string]work.Permissions{"allow": {Requested: 1, Allowed: 1}, "deny": {Requested: 1, Denied: 1}} {
		t.Run(decision, func(t *testing.T) {
			asked := sdk.Permission{ID: "p", Tool: "execute", Title: "run it", Command: "make deploy", Paths: []string{"Makefile"}}
			f := newFixture(t, script{execute: func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
				if r, err := permitted(asked)(ctx, p, a, sink); err != nil {
					return r, err
				}
				return untilCancelled(ctx, p, a, sink)
			}})
			f.d.SetPolicy(ruled(time.Minute, rules()...))
			step := f.dispatch(f.run(), "x")
			ap := f.approval(step.ID)
			if ap.Kind != work.ApprovalPermission || ap.Default != "deny" || ap.Prompt != "execute: run it\ncommand: make deploy\npath: Makefile" {
				t.Errorf("got %+v", ap)
			}
			if err := f.decide(ap.ID, decision, ""); err != nil {
				t.Fatal(err)
			}
			step = f.settled(step.ID)
			got := f.decisions(step.AttemptID)
			if len(got) != 1 || got[0]["decision"] != decision || got[0]["decided_by"] != "operator" || got[0]["approval_id"] != ap.ID {
				t.Errorf("got %v", got)
			}
			if p := f.attempt(step).Evidence.Permissions; p != want {
				t.Errorf("counted %+v, want %+v", p, want)
			}
		})
	}
}

func TestS80_APermissionNobodyDecidesExpires(t *testing.T) {
	for fallback, want := range map[string]work.Permissions{"deny": {Requested: 1, Expired: 1}, "allow": {Requested: 1, Allowed: 1}} {
		t.Run(fallback, func(t *testing.T) {
			f := newFixture(t, script{execute: asks(sdk.EventPermissionAsked, `{"tool":"execute","title":"x"}`)})
			policy := ruled(20 * time.Millisecond)
			policy.Executors["coder"].Question.Default = fallback
			f.d.SetPolicy(policy)
			step := f.settled(f.dispatch(f.run(), "x").ID)
			if p := f.attempt(step).Evidence.Permissions; p != want {
				t.Errorf("counted %+v, want %+v", p, want)
			}
			if got := f.decisions(step.AttemptID); len(got) != 1 || got[0]["decided_by"] != "deadline" {
				t.Errorf("got %v", got)
			}
			f.nothingOpen()
		})
	}
}

// nothingOpen fails when anybody is still asked anything.
func (f *fixture) nothingOpen() {
	f.t.Helper()
	page, err := f.store.Approvals(f.t.Context(), store.ApprovalFilter{State: work.ApprovalOpen})
	if err != nil || len(page.Items) != 0 {
		f.t.Errorf("still open: %+v, %v", page.Items, err)
	}
}

// flood asks n things at once, of a kind, without waiting for an answer.
func flood(n int, kind sdk.EventType) func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
	return func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		for i := range n {
			e := sdk.Event{Type: kind, ItemID: fmt.Sprint("q", i), Data: json.RawMessage(`{"text":"?","tool":"execute","title":"x"}`)}
			if err := sink(ctx, e); err != nil {
				return sdk.Result{}, err
			}
		}
		return untilCancelled(ctx, p, a, sink)
	}
}

func TestS80_AFloodOfQuestionsEndsTheAttempt(t *testing.T) {
	for _, kind := range []sdk.EventType{sdk.EventQuestionAsked, sdk.EventPermissionAsked} {
		t.Run(string(kind), func(t *testing.T) {
			f := newFixture(t, script{execute: flood(1000, kind)})
			step := f.settled(f.dispatch(f.run(), "x").ID)
			at := f.attempt(step)
			if at.Outcome != work.ExecutorError || at.Reason != "plugin_protocol" || !strings.Contains(at.Message, "open questions") || !at.Death.Proved {
				t.Errorf("got %s (%s): %s", at.Outcome, at.Reason, at.Message)
			}
			page, err := f.store.Approvals(t.Context(), store.ApprovalFilter{StepID: step.ID, Limit: 500})
			if err != nil || len(page.Items) != 16 {
				t.Errorf("%d approvals were opened, %v", len(page.Items), err)
			}
			f.nothingOpen()
		})
	}
}

func TestS80_AFloodOfRequestsThatRulesDecideLeavesABoundedLog(t *testing.T) {
	var requests []sdk.Permission
	for i := range 300 {
		requests = append(requests, sdk.Permission{ID: fmt.Sprint("p", i), Tool: "execute", Command: "git push"})
	}
	f := newFixture(t, script{execute: permitted(requests...)})
	f.d.SetPolicy(ruled(time.Minute, rules()...))
	step := f.settled(f.dispatch(f.run(), "x").ID)
	if p := f.attempt(step).Evidence.Permissions; p.Denied != 300 {
		t.Errorf("counted %+v", p)
	}
	facts := slices.DeleteFunc(f.kinds(step.RunID), func(k string) bool { return k != "permission.denied" })
	if len(facts) != 100 {
		t.Errorf("%d facts", len(facts))
	}
}

// After a cancel nobody is asked and nothing is allowed, whatever the rules say.
func TestS80_AnExecutorThatAsksAfterACancelIsRefusedAtOnce(t *testing.T) {
	started, asked := make(chan struct{}), make(chan struct{})
	f := newFixture(t, script{execute: func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		close(started)
		<-p.cancelled
		defer close(asked)
		if err := sink(ctx, sdk.Event{Type: sdk.EventQuestionAsked, ItemID: "late", Data: json.RawMessage(`{"text":"?"}`)}); err != nil {
			return sdk.Result{}, err
		}
		r, err := permitted(sdk.Permission{ID: "leave", Tool: "read"})(ctx, p, a, sink)
		r.StopReason = "cancelled"
		return r, err
	}})
	f.d.SetPolicy(ruled(time.Hour, rules()...))
	step := f.dispatch(f.run(), "x")
	<-started
	if _, err := f.d.CancelStep(t.Context(), operator, step.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	<-asked
	step = f.settled(step.ID)
	if step.State != work.StepCancelled || slices.Contains(f.kinds(step.RunID), "approval.opened") {
		t.Errorf("step %s, log %v", step.State, f.kinds(step.RunID))
	}
	want := []string{`late answered=false text="" allowed=false`, `leave answered=false text="" allowed=false`}
	if !slices.Equal(f.plugins.inputs, want) {
		t.Errorf("got %q, want %q", f.plugins.inputs, want)
	}
	if p := f.attempt(step).Evidence.Permissions; p != (work.Permissions{Requested: 1, Expired: 1}) {
		t.Errorf("counted %+v", p)
	}
}

// A question that is open when the attempt is cancelled is closed then, not when the process is dead: leave
// that comes too late goes nowhere.
func TestS80_ACancelClosesWhatIsOpenBeforeTheLadderIsClimbed(t *testing.T) {
	f := newFixture(t, script{deaf: true, execute: func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		if r, err := permitted(sdk.Permission{ID: "p", Tool: "execute", Command: "x"})(ctx, p, a, sink); err != nil {
			return r, err
		}
		<-p.dead
		return sdk.Result{}, errBoom
	}})
	f.d.SetPolicy(ruled(time.Hour))
	step := f.dispatch(f.run(), "x")
	ap := f.approval(step.ID)
	if _, err := f.d.CancelStep(t.Context(), operator, step.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	step = f.settled(step.ID)
	got, err := f.store.Approval(t.Context(), ap.ID)
	if err != nil || got.State != work.ApprovalDenied || got.DecidedBy != "cancel" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := f.decide(ap.ID, "allow", ""); err == nil {
		t.Error("a dead attempt's request was allowed")
	}
	if len(f.plugins.inputs) > 1 || len(f.plugins.inputs) == 1 && !strings.Contains(f.plugins.inputs[0], "allowed=false") {
		t.Errorf("the executor was told %q", f.plugins.inputs)
	}
	f.nothingOpen()
}

func TestS80_AnExecutorThatDiesWhileAskingLeavesNothingOpen(t *testing.T) {
	f := newFixture(t, script{execute: func(ctx context.Context, _ *scriptedPlugin, _ sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		for _, kind := range []sdk.EventType{sdk.EventQuestionAsked, sdk.EventPermissionAsked} {
			if err := sink(ctx, sdk.Event{Type: kind, ItemID: string(kind), Data: json.RawMessage(`{"text":"?","tool":"read"}`)}); err != nil {
				return sdk.Result{}, err
			}
		}
		return sdk.Result{}, errBoom
	}})
	f.d.SetPolicy(ruled(time.Hour))
	at := f.attempt(f.settled(f.dispatch(f.run(), "x").ID))
	if at.Outcome != work.ExecutorError || at.Evidence.Permissions != (work.Permissions{Requested: 1, Expired: 1}) {
		t.Errorf("got %s, %+v", at.Outcome, at.Evidence.Permissions)
	}
	f.nothingOpen()
}
