package dispatch_test

import (
	"testing"

	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
)

func sensitive(mode string) *work.Policy {
	p := policyOf()
	p.Executors["coder"].Sandbox = &work.SandboxPolicy{Name: "box", Level: "strict", Sensitive: mode, Declared: "x.hcl:3"}
	return p
}

// judged runs one step that changes path under a policy for sensitive paths.
func judged(t *testing.T, mode, path string) (*fixture, work.Step, []work.GateRecord) {
	t.Helper()
	f := newFixture(t, script{path: path})
	f.d.SetPolicy(sensitive(mode))
	step := f.dispatch(f.run(), "text")
	step = f.await(step.ID, "settled or held", func(s work.Step) bool { return s.State.Settled() || s.State == work.StepHeld })
	gates, err := f.store.Gates(t.Context(), step.AttemptID)
	if err != nil {
		t.Fatal(err)
	}
	return f, step, gates
}

func TestS84_AChangeThatToolsExecuteIsFlaggedHeldOrDenied(t *testing.T) {
	for _, row := range []struct {
		mode, path string
		step       work.StepState
		verdict    work.Verdict // "" is no gate at all
	}{
		{"flag", "a.go", work.StepPassed, ""},
		{"flag", ".envrc", work.StepPassed, work.VerdictPass},
		{"", ".vscode/tasks.json", work.StepPassed, work.VerdictPass},
		{"deny", "a.go", work.StepPassed, work.VerdictPass},
		{"deny", ".envrc", work.StepRejected, work.VerdictFail},
		{"hold", ".envrc", work.StepHeld, work.VerdictHold},
	} {
		t.Run(row.mode+" "+row.path, func(t *testing.T) {
			f, step, gates := judged(t, row.mode, row.path)
			if step.State != row.step {
				t.Errorf("the step is %s (%s)", step.State, step.Reason)
			}
			if row.verdict == "" {
				if len(gates) != 0 {
					t.Errorf("gates %+v", gates)
				}
				return
			}
			if len(gates) != 1 || gates[0].Name != gate.SensitiveName || gates[0].Verdict != row.verdict || gates[0].Reason == "" {
				t.Fatalf("gates %+v", gates)
			}
			validations, err := recordPort{Store: f.store}.Validations(t.Context(), step.AttemptID)
			if err != nil || len(validations) != 1 || validations[0].Plugin.Kind != "built-in" {
				t.Fatalf("validations %+v, %v", validations, err)
			}
			if touched := row.path != "a.go"; touched != (len(validations[0].Findings) == 1) {
				t.Errorf("findings %v", validations[0].Findings)
			}
		})
	}
}

func TestAHeldSensitiveChangeWaitsForAPerson(t *testing.T) {
	f, step, gates := judged(t, "hold", ".claude/settings.json")
	if len(gates) != 1 || gates[0].ApprovalID == "" {
		t.Fatalf("gates %+v", gates)
	}
	if err := f.decide(gates[0].ApprovalID, "allow", ""); err != nil {
		t.Fatal(err)
	}
	f.await(step.ID, "passed", func(s work.Step) bool { return s.State == work.StepPassed })
}
