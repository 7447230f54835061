package dispatch_test

import (
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
)

func TestASimulatedAttemptNeverPassesAGateThatAsksForARealExecutor(t *testing.T) {
	for simulated, want := range map[bool]work.StepState{true: work.StepRejected, false: work.StepPassed} {
		f := newFixture(t, script{simulated: simulated}, work.GateRule{Name: "real", Validator: "real-executor", Builtin: true, OnFail: "fail"})
		step := f.settled(f.dispatch(f.run(), "x").ID)
		if step.State != want || simulated != strings.Contains(step.Reason, "simulated") {
			t.Errorf("simulated %v: step %s (%s)", simulated, step.State, step.Reason)
		}
		if len(f.plugins.started) != 1 {
			t.Errorf("%d plugins were started", len(f.plugins.started))
		}
		spec := f.spec(step)
		if spec.Simulated != simulated || simulated != (len(spec.Warnings) > 0) || spec.Executor.Plugin.Simulated != simulated {
			t.Errorf("the result says %v, %q", spec.Simulated, spec.Warnings)
		}
	}
}
