package panel

import (
	"slices"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Subject is one change that is judged.
type Subject struct {
	Workspace                string
	AttemptID, StepID, RunID string
	Rules                    []work.GateRule
	Base, Head               string // commits
	TreeSum                  string // git tree of the head
	Paths                    []sdk.Paths
	// Facts are all that is known of the change but its gates, which the panel adds. Where no executor was
	// at work its facts are zero.
	Facts work.Facts
	Trees Trees
	// Provision is what the head's tree holds more than its commit does, or shows more than it holds.
	Provision work.Provision

	OnHold    func(work.Approval) // an approval was opened; nil: nobody listens
	OnDecided func()              // a verdict was written; nil: nobody listens
}

// Rules are the workspace's gates that judge a change: all but the optional ones that nobody added.
func Rules(ws *work.Workspace, added []string) []work.GateRule {
	return slices.DeleteFunc(slices.Clone(ws.Gates), func(g work.GateRule) bool {
		return g.Optional && !slices.Contains(added, g.Name)
	})
}

// WithSensitive adds the built-in gate over sensitive paths, as the sandbox of who made the change asks
// for it. Where that one only flags, it is added when there is something to flag.
func WithSensitive(rules []work.GateRule, box *work.SandboxPolicy, diff work.DiffFacts) []work.GateRule {
	own := gate.SensitiveRule(box.Sensitive, box.Declared)
	if result, _, _ := gate.Sensitive(own, diff); result == work.ResultPass && !gate.Required(own) {
		return rules
	}
	return append([]work.GateRule{own}, rules...)
}

// shownTo is what of a diff a rule's validator is shown.
func shownTo(rule work.GateRule, d work.DiffFacts) (work.DiffFacts, error) {
	shown, err := gate.Shown(rule, d)
	if err != nil {
		return shown, fault.New(fault.ConfigInvalid, "paths: %v", err).At(rule.Declared)
	}
	return shown, nil
}

// changes are those of a diff, for a validator.
func changes(d work.DiffFacts) []sdk.Change {
	out := make([]sdk.Change, 0, len(d.Files))
	for _, c := range d.Files {
		out = append(out, sdk.Change(c))
	}
	return out
}
