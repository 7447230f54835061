package panel

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// binding is the digest of all that a gate's verdict rests on beside the change and the verdicts of others:
// the rule, the program, the sandbox, what prepares the tree, and whom it may ask about. Where any of it is
// written is no part of it. A gate is decided by the rule that it was opened with, or not at all.
func (s *Subject) binding(r work.GateRule) string {
	rule := view(r)
	rule.Declared = ""
	asks := ""
	if r.When != nil {
		asks = r.When.Meaning
	}
	prepared := s.Provision
	prepared.Runs = slices.Clone(prepared.Runs)
	for i := range prepared.Runs {
		run := &prepared.Runs[i]
		run.Declared, run.Sandbox = "", placeless(run.Sandbox)
	}
	body, err := json.Marshal(struct {
		Rule      ruleView
		Asks      string
		Digest    string
		Feeds     []string
		Pure      bool
		Resident  bool
		Before    []string
		Box       *work.SandboxPolicy
		Paths     []sdk.Paths
		Provision work.Provision
	}{rule, asks, r.Digest, r.Feeds, r.Pure, r.Resident, before(s.Rules, r), placeless(r.Sandbox), s.Paths, prepared})
	if err != nil {
		return "" // which equals none
	}
	return digestOf(body)
}

// bindings are those of the subject's rules, by name.
func (s *Subject) bindings() map[string]string {
	out := make(map[string]string, len(s.Rules))
	for _, r := range s.Rules {
		out[r.Name] = s.binding(r)
	}
	return out
}

// before are the gates that a rule needs or asks about, and those that they do.
func before(rules []work.GateRule, rule work.GateRule) []string {
	var all []string
	pending := slices.Concat(rule.Needs, rule.After)
	for len(pending) > 0 {
		name := pending[0]
		pending = pending[1:]
		if slices.Contains(all, name) {
			continue
		}
		all = append(all, name)
		for _, r := range rules {
			if r.Name == name {
				pending = append(pending, slices.Concat(r.Needs, r.After)...)
			}
		}
	}
	return all
}

// unbound is the decision on a gate whose rule is not the one that it was opened with. It is closed: who
// holds a step open while the rules change gets neither the old ones nor the new ones for it.
func unbound(what string) gate.Decision {
	return gate.Decision{Verdict: work.VerdictFail, Reason: "not evaluated: the configuration changed while the step was held: " + what, Require: true}
}

// orphaned decides the gates that wait for an evaluation and have no rule any more; true when there were any.
func (t *sitting) orphaned(ctx context.Context) (bool, error) {
	found := false
	for _, g := range t.gates {
		if _, ruled := t.bindings[g.Name]; ruled || g.Verdict != work.VerdictPending {
			continue
		}
		found = true
		if err := t.decide(ctx, work.GateRule{Name: g.Name}, g, ruling{Decision: unbound("this gate is gone")}); err != nil {
			return false, err
		}
	}
	return found, nil
}
