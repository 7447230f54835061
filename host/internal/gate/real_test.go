package gate

import (
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
)

func TestASimulatorNeverPassesAGateThatAsksForARealExecutor(t *testing.T) {
	rule := work.GateRule{Name: "real", Validator: RealValidator, Builtin: true, OnFail: "fail"}
	for simulated, want := range map[bool]work.Verdict{true: work.VerdictFail, false: work.VerdictPass} {
		result, message := Real(simulated, "script")
		if got := Judge(rule, work.Validation{Result: result, Message: message}); got.Verdict != want || message == "" {
			t.Errorf("simulated %v: %s (%s)", simulated, got.Verdict, got.Reason)
		}
	}
	if result, _ := Real(false, ""); result != work.ResultSkip {
		t.Errorf("nobody at work: %s", result)
	}
	if action, _ := Next(rule, work.Facts{}, nil); action != Validate {
		t.Errorf("it is not evaluated: %v", action)
	}
}
