package dispatch_test

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// spec is the result.json of a step's newest attempt.
func (f *fixture) spec(step work.Step) work.ResultSpec {
	f.t.Helper()
	row, err := f.store.Artifact(f.t.Context(), step.AttemptID, "result.json")
	if err != nil {
		f.t.Fatal(err)
	}
	body := row.Inline
	if body == nil {
		file, err := f.cas.Verified(f.t.Context(), row.Digest, row.Size)
		if err != nil {
			f.t.Fatal(err)
		}
		defer file.Close()
		if body, err = io.ReadAll(file); err != nil {
			f.t.Fatal(err)
		}
	}
	var spec work.ResultSpec
	if err := json.Unmarshal(body, &spec); err != nil {
		f.t.Fatal(err)
	}
	return spec
}

func TestTheResultHasEverythingAboutAnAttempt(t *testing.T) {
	code := 0
	f := newFixture(t, script{execute: func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
		if r, err := permitted(sdk.Permission{ID: "p1", Tool: "read"}, sdk.Permission{ID: "p2", Tool: "execute", Command: "git push"})(ctx, p, a, sink); err != nil {
			return r, err
		}
		return sdk.Result{
			StopReason: "end_turn", ExitCode: &code, Summary: "done", Session: "s-1", Version: "2.1.197", RetryAfter: time.Minute,
			Usage: &sdk.Usage{Input: 10, Output: 3, Cost: 0.0125, Currency: "USD", Basis: "reported", Scope: "session"},
		}, nil
	}}, commandGate("tests"))
	policy := ruled(time.Minute, rules()...)
	policy.Workspaces["api"].Gates = policyOf(commandGate("tests")).Workspaces["api"].Gates
	f.d.SetPolicy(policy)
	step := f.settled(f.dispatch(f.run(), "x").ID)
	s, at := f.spec(step), f.attempt(step)
	switch {
	case s.Schema != work.ResultSchema || s.RunID != step.RunID || s.StepID != step.ID || s.AttemptID != at.ID || s.N != 1 || s.Supersedes != "":
		t.Errorf("identity: %+v", s)
	case s.Executor.Name != "coder" || s.Executor.Plugin.Digest != "sha256:00" || s.Executor.Protocol != "v1alpha" || s.Executor.Version != "2.1.197":
		t.Errorf("executor: %+v", s.Executor)
	case s.Session == nil || s.Session.NativeID != "s-1" || s.Session.Resumable:
		t.Errorf("session: %+v", s.Session)
	case s.Outcome != work.Succeeded || s.Claim.Summary != "done" || s.Evidence.TreeAfter == "" || s.RetryAfter != 0:
		t.Errorf("outcome: %s, %+v, %+v", s.Outcome, s.Claim, s.Evidence)
	case s.Usage.Reported == nil || s.Usage.Reported.Input != 10 || s.Usage.Reported.CostMicros != 12500 || s.Usage.Gateway != nil:
		t.Errorf("usage: %+v", s.Usage)
	case s.Permission != (work.Permissions{Requested: 2, Allowed: 1, Denied: 1, ByRule: 2}):
		t.Errorf("permissions: %+v", s.Permission)
	case s.Timing.Queued.IsZero() || s.Timing.Started.Before(s.Timing.Queued) || s.Timing.FirstEvent.Before(s.Timing.Started) || s.Timing.Ended.Before(s.Timing.FirstEvent):
		t.Errorf("timing: %+v", s.Timing)
	case s.Limits.Wall != "1h0m0s" || s.Limits.Output == 0:
		t.Errorf("limits: %+v", s.Limits)
	case len(s.Gates) != 1 || s.Gates[0].Verdict != work.VerdictPass || s.Gates[0].Ref == "":
		t.Errorf("gates: %+v", s.Gates)
	case len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "1 of 2 permission requests were refused"):
		t.Errorf("warnings: %q", s.Warnings)
	}
	var names []string
	for _, k := range s.Artifacts {
		names = append(names, k.Name)
	}
	for _, want := range []string{"diff.patch", "events.jsonl", "validation/tests/stdout.log"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among the artifacts %v", want, names)
		}
	}
	if at.Claim.Usage == nil || at.Claim.Usage.CostMicros != 12500 || at.Claim.Session != "s-1" || at.Claim.Version != "2.1.197" {
		t.Errorf("the record has %+v", at.Claim)
	}
}

func TestASecondAttemptSupersedesTheFirst(t *testing.T) {
	f := newFixture(t, script{execute: func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
		return sdk.Result{Failed: true, Class: "overloaded", Retryable: true, RetryAfter: 90 * time.Second}, nil
	}})
	first := f.settled(f.dispatch(f.run(), "x").ID)
	if s := f.spec(first); s.RetryAfter != 90000 || !s.Retryable || s.Reason != "overloaded" {
		t.Errorf("got %+v", s)
	}
	if _, err := f.d.Retry(t.Context(), operator, first.ID, ""); err != nil {
		t.Fatal(err)
	}
	second := f.await(first.ID, "tried again", func(s work.Step) bool { return s.State.Settled() && s.Attempts == 2 })
	if s := f.spec(second); s.Supersedes != first.AttemptID || s.N != 2 {
		t.Errorf("supersedes %q, n %d", s.Supersedes, s.N)
	}
}

func TestQuestionsAreInTheResult(t *testing.T) {
	f := newFixture(t, script{execute: asks(sdk.EventQuestionAsked, `{"text":"which one?"}`)})
	step := f.dispatch(f.run(), "x")
	ap := f.approval(step.ID)
	if err := f.decide(ap.ID, "answer", "b"); err != nil {
		t.Fatal(err)
	}
	want := work.SpecQuestion{ApprovalID: ap.ID, Kind: work.ApprovalQuestion, Prompt: "which one?", State: work.ApprovalAnswered, DecidedBy: "operator", Answer: "b"}
	if got := f.spec(f.settled(step.ID)).Questions; len(got) != 1 || got[0] != want {
		t.Errorf("got %+v", got)
	}
}

// What an executor counts is kept within what the record can hold; an absurd number ends no attempt.
func TestAbsurdUsageIsBounded(t *testing.T) {
	f := newFixture(t, script{execute: func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
		return sdk.Result{Usage: &sdk.Usage{Input: math.MaxInt64, Output: -5, Cost: math.Inf(1), Currency: strings.Repeat("X", 99), Basis: "reported"}}, nil
	}})
	u := f.spec(f.settled(f.dispatch(f.run(), "x").ID)).Usage.Reported
	if u == nil || u.Input != 1<<50 || u.Output != 0 || u.CostMicros != 0 || len(u.Currency) > 8 {
		t.Errorf("got %+v", u)
	}
}

func TestTheGatewaysCountStandsBesideTheExecutors(t *testing.T) {
	counted := &sdk.Usage{Input: 100, Output: 7, Calls: 1, Scope: "session", Basis: "gateway"}
	f := newFixture(t, script{models: counted, execute: func(context.Context, *scriptedPlugin, sdk.Attempt, sinkFunc) (sdk.Result, error) {
		return sdk.Result{Usage: &sdk.Usage{Input: 1, Basis: "reported"}}, nil
	}})
	policy := policyOf()
	policy.Executors["coder"].Gateway = &work.GatewayPolicy{Name: "g"}
	f.d.SetPolicy(policy)
	u := f.spec(f.settled(f.dispatch(f.run(), "x").ID)).Usage
	if u.Reported == nil || u.Reported.Input != 1 || u.Gateway == nil || u.Gateway.Input != 100 || u.Gateway.Basis != "gateway" || u.Gateway.Calls != 1 {
		t.Errorf("got %+v, %+v", u.Reported, u.Gateway)
	}
}
