package dispatch_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

func TestABudgetOfTheGatewayEndsAnAttemptByTheLadder(t *testing.T) {
	for limit, says := range map[string]string{
		"model_calls": "budget of 4 calls", "model_input_tokens": "budget of 4 input tokens", "model_output_tokens": "budget of 4 output tokens",
	} {
		t.Run(limit, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			f := newFixture(t, script{execute: func(_ context.Context, p *scriptedPlugin, _ sdk.Attempt, _ sinkFunc) (sdk.Result, error) {
				p.l.OnModelCall(dispatch.ModelCall{Usage: sdk.Usage{Input: 7, Calls: 1, Basis: "gateway", Scope: "call"}})
				p.l.OnModelCall(dispatch.ModelCall{Refused: "budget"})
				p.l.OnExceeded(dispatch.Excess{Limit: limit, Used: 5, Cap: 4})
				<-p.cancelled
				asked <- struct{}{}
				return sdk.Result{StopReason: "cancelled"}, nil
			}})
			at := f.attempt(f.settled(f.dispatch(f.run(), "x").ID))
			if at.Outcome != work.BudgetExceeded || at.Reason != limit || at.Retryable || !strings.Contains(at.Message, says) {
				t.Errorf("outcome %s (%s, retryable %v): %s", at.Outcome, at.Reason, at.Retryable, at.Message)
			}
			if len(asked) != 1 {
				t.Error("the executor was not asked to stop")
			}
			if at.Evidence == nil || at.Evidence.Commit == "" || at.Death == nil || !at.Death.Proved {
				t.Errorf("evidence %+v, death %+v", at.Evidence, at.Death)
			}
			types := f.journals.types(at.ID)
			for _, want := range []sdk.EventType{sdk.EventUsage, sdk.EventSandboxDenied, sdk.EventBudgetExceeded} {
				if !slices.Contains(types, want) {
					t.Errorf("no %s in %v", want, types)
				}
			}
		})
	}
}

func TestABudgetCountsThoughTheExecutorEndedBeforeItWasNoticed(t *testing.T) {
	f := newFixture(t, script{execute: func(_ context.Context, p *scriptedPlugin, _ sdk.Attempt, _ sinkFunc) (sdk.Result, error) {
		p.l.OnExceeded(dispatch.Excess{Limit: "model_calls", Used: 4, Cap: 4})
		return sdk.Result{StopReason: "end_turn"}, nil
	}})
	if at := f.attempt(f.settled(f.dispatch(f.run(), "x").ID)); at.Outcome != work.BudgetExceeded || at.Reason != "model_calls" {
		t.Errorf("outcome %s (%s)", at.Outcome, at.Reason)
	}
}
