package panel

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// ruled is a subject with a gate that rests on all that one can.
func ruled() *Subject {
	r := rule("g", "a")
	r.When, r.After = &work.Condition{Text: "diff.lines > var.most", Meaning: "diff.lines > var.most with var.most = 3"}, []string{"b"}
	r.Sandbox = &work.SandboxPolicy{Name: "box", Level: "strict", Credentials: []work.Credential{{Name: "key", Declared: "x.hcl:2"}}, Declared: "x.hcl:1"}
	return &Subject{
		Rules: []work.GateRule{r, rule("a"), rule("b")}, Paths: []sdk.Paths{{Forbid: []string{"x"}}},
		Provision: work.Provision{Runs: []work.ProvisionRun{{Name: "make", Argv: []string{"make"}, Sandbox: &work.SandboxPolicy{Name: "box"}, Declared: "x.hcl:3"}}},
	}
}

func TestARulesDigestIsOfAllThatItsVerdictRestsOn(t *testing.T) {
	was := ruled().binding(ruled().Rules[0])
	for what, change := range map[string]func(s *Subject, r *work.GateRule){
		"validator":         func(_ *Subject, r *work.GateRule) { r.Validator = "w" },
		"program":           func(_ *Subject, r *work.GateRule) { r.Digest = "sha256:11" },
		"config":            func(_ *Subject, r *work.GateRule) { r.Config = json.RawMessage(`{"max":2}`) },
		"sandbox":           func(_ *Subject, r *work.GateRule) { r.Sandbox.Level = "isolated" },
		"needs":             func(_ *Subject, r *work.GateRule) { r.Needs = nil },
		"on_fail":           func(_ *Subject, r *work.GateRule) { r.OnFail = "warn" },
		"on_error":          func(_ *Subject, r *work.GateRule) { r.OnError = "warn" },
		"paths":             func(_ *Subject, r *work.GateRule) { r.Paths = []string{"src/**"} },
		"when":              func(_ *Subject, r *work.GateRule) { r.When.Text = "true" },
		"a variable":        func(_ *Subject, r *work.GateRule) { r.When.Meaning = "diff.lines > var.most with var.most = 4" },
		"hold":              func(_ *Subject, r *work.GateRule) { r.Hold = "look" },
		"timeout":           func(_ *Subject, r *work.GateRule) { r.Timeout = time.Hour },
		"feeds":             func(_ *Subject, r *work.GateRule) { r.Feeds = []string{sdk.FeedPatch} },
		"pure":              func(_ *Subject, r *work.GateRule) { r.Pure = true },
		"resident":          func(_ *Subject, r *work.GateRule) { r.Resident = true },
		"needs of its need": func(s *Subject, _ *work.GateRule) { s.Rules[1].Needs = []string{"c"} },
		"path rules":        func(s *Subject, _ *work.GateRule) { s.Paths[0].Forbid = []string{"y"} },
		"preparation":       func(s *Subject, _ *work.GateRule) { s.Provision.Runs[0].Argv = []string{"make", "all"} },
		"where it prepares": func(s *Subject, _ *work.GateRule) { s.Provision.Runs[0].Sandbox.Level = "off" },
	} {
		s := ruled()
		change(s, &s.Rules[0])
		if s.binding(s.Rules[0]) == was {
			t.Errorf("with another %s the digest is the same", what)
		}
	}
	moved := ruled()
	moved.Rules[0].Declared, moved.Rules[0].Sandbox.Declared, moved.Rules[0].Sandbox.Credentials[0].Declared = "y.hcl:1", "y.hcl:2", "y.hcl:3"
	moved.Provision.Runs[0].Declared, moved.Provision.Runs[0].Sandbox.Declared = "y.hcl:4", "y.hcl:5"
	moved.Rules = append(moved.Rules, rule("other"))
	if moved.binding(moved.Rules[0]) != was || was == "" {
		t.Error("written elsewhere, and beside another gate, it has another digest")
	}
}

// What was decided stands; what waits is decided by its own rule or closed.
func TestF10_AGateIsDecidedByTheRuleThatItWasOpenedWithOrClosed(t *testing.T) {
	b := newBench(t)
	hold := work.GateRule{Name: "hold", Hold: "look"}
	s := b.subject(hold, rule("same", "hold"), rule("other", "hold"), rule("gone", "hold"), rule("behind", "gone"))
	b.judge(s)
	gates, _ := b.standing(s)
	g := gates["hold"]
	if err := b.record.decide(work.DecideGate{ID: g.ID, Version: g.Version, To: work.VerdictPass, Reason: "seen", DecidedBy: "operator", Actor: work.Actor{Kind: "operator"}}); err != nil {
		t.Fatal(err)
	}
	s.Rules[2].OnFail, s.Rules[2].OnError = "warn", "warn"
	s.Rules = append(s.Rules[:3:3], s.Rules[4])
	gates, stands := b.judge(s)
	for name, want := range map[string]work.Verdict{"hold": work.VerdictPass, "same": work.VerdictPass, "other": work.VerdictFail, "gone": work.VerdictFail, "behind": work.VerdictFail} {
		if g := gates[name]; g.Verdict != want || g.Verdict == work.VerdictFail && !g.Required {
			t.Errorf("gate %s is %s, required %v: %s", name, g.Verdict, g.Required, g.Reason)
		}
	}
	if stands != gate.Rejected || len(b.plugins.checks) != 1 {
		t.Errorf("stands %v after %d checks", stands, len(b.plugins.checks))
	}
}
