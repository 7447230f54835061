package dispatch_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

func TestS75_ALimitOfTheSandboxEndsAnAttemptAndKeepsWhatCameBefore(t *testing.T) {
	for _, c := range []struct {
		excess       dispatch.Excess
		reason, says string
	}{
		{dispatch.Excess{Limit: "memory", Used: 5 << 30, Cap: 4 << 30}, "limit_memory", "5.0 GiB used of 4.0 GiB"},
		{dispatch.Excess{Limit: "disk", Used: 1600 << 10, Cap: 1 << 20}, "limit_disk", "1.6 MiB used of 1.0 MiB"},
		{dispatch.Excess{Limit: "cpu_time", Used: 61500, Cap: 60000}, "limit_cpu_time", "1m1.5s used of 1m0s"},
		{dispatch.Excess{Limit: "processes", Used: 70, Cap: 64}, "limit_processes", "70 alive of 64"},
	} {
		t.Run(c.excess.Limit, func(t *testing.T) {
			f := newFixture(t, script{execute: func(ctx context.Context, p *scriptedPlugin, _ sdk.Attempt, sink sinkFunc) (sdk.Result, error) {
				if err := sink(ctx, sdk.Event{Type: sdk.EventLog, Stream: "stdout", Log: []byte("before")}); err != nil {
					return sdk.Result{}, err
				}
				p.l.OnExceeded(c.excess)
				return sdk.Result{}, fault.New(fault.PluginCrashed, "killed")
			}})
			step := f.settled(f.dispatch(f.run(), "x").ID)
			at := f.attempt(step)
			if at.Outcome != work.BudgetExceeded || at.Reason != c.reason || at.Retryable || !strings.Contains(at.Message, c.says) {
				t.Errorf("outcome %s (%s, retryable %v): %s", at.Outcome, at.Reason, at.Retryable, at.Message)
			}
			if at.Evidence == nil || at.Evidence.Commit == "" || at.Death == nil || !at.Death.Proved {
				t.Errorf("evidence %+v, death %+v", at.Evidence, at.Death)
			}
			if types := f.journals.types(at.ID); !slices.Contains(types, sdk.EventBudgetExceeded) || !slices.Contains(types, sdk.EventLog) {
				t.Errorf("the stream has %v", types)
			}
			if step.State != work.StepFailed {
				t.Errorf("step %s", step.State)
			}
		})
	}
}

func TestS75_AnExecutorThatWentOverALimitIsNotAskedToStop(t *testing.T) {
	asked := make(chan struct{}, 1)
	f := newFixture(t, script{execute: func(_ context.Context, p *scriptedPlugin, _ sdk.Attempt, _ sinkFunc) (sdk.Result, error) {
		p.l.OnExceeded(dispatch.Excess{Limit: "memory", Used: 2, Cap: 1})
		select {
		case <-p.cancelled:
			asked <- struct{}{}
		case <-p.dead:
		}
		return sdk.Result{}, fault.New(fault.PluginCrashed, "killed")
	}})
	f.settled(f.dispatch(f.run(), "x").ID)
	if len(asked) != 0 {
		t.Error("the ladder was climbed for a launch that is stopped")
	}
}

func TestS75_AValidatorOverItsLimitIsAnErrorAndNeverAPass(t *testing.T) {
	var f *fixture
	f = newFixture(t, script{check: func(sdk.Check) (sdk.Verdict, error) {
		launch := f.plugins.started[len(f.plugins.started)-1]
		launch.OnExceeded(dispatch.Excess{Limit: "disk", Used: 3 << 20, Cap: 2 << 20})
		return sdk.Verdict{Outcome: sdk.Pass}, nil // what it says after that counts for nothing
	}}, work.GateRule{Name: "tests", Validator: "command"})
	step := f.settled(f.dispatch(f.run(), "x").ID)
	validations, err := recordPort{Store: f.store}.Validations(t.Context(), step.AttemptID)
	if err != nil || len(validations) == 0 {
		t.Fatalf("%d validations, %v", len(validations), err)
	}
	v := validations[0]
	if v.Result != work.ResultError || !strings.Contains(v.Message, "limit_disk") || !strings.Contains(v.Message, "3.0 MiB used of 2.0 MiB") {
		t.Errorf("validation %s: %s", v.Result, v.Message)
	}
}
