package gaterun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/report"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Floored lets a rule's sandbox fall to the floor where it asks for more than that.
func Floored(rules []work.GateRule, floor string) []work.GateRule {
	out := slices.Clone(rules)
	for i, r := range out {
		if r.Sandbox == nil || floor == "" || spec.AtLeast(floor, r.Sandbox.Level) {
			continue
		}
		box := *r.Sandbox
		if box.OnShortfall != "degrade" || !spec.AtLeast(floor, box.Floor) {
			box.OnShortfall, box.Floor = "degrade", floor
		}
		out[i].Sandbox = &box
	}
	return out
}

// advising starts validators, and says of a sandbox that a runner cannot give how to accept less.
type advising struct{ panel.Plugins }

// Advise adds to a refusal what only a run without a daemon knows: that a floor can be declared.
func Advise(p panel.Plugins) panel.Plugins { return advising{p} }

// Start starts a validator.
func (a advising) Start(ctx context.Context, l panel.Launch) (panel.Plugin, error) {
	p, err := a.Plugins.Start(ctx, l)
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != fault.SandboxUnavailable || l.Policy == nil || l.Policy.OnShortfall == "degrade" && l.Policy.Floor == spec.LevelGuarded {
		return p, err
	}
	said := *f
	said.Err = err
	return nil, said.Fix("%s", strings.TrimPrefix(f.Hint+`, or accept less: ci { floor = "guarded" }`, ", "))
}

// levelsOf are the levels in the launcher's vector, with what was missing and accepted; nil where nothing was
// launched.
func levelsOf(enforced json.RawMessage) *report.Levels {
	var vector spec.Enforced
	if len(enforced) == 0 || json.Unmarshal(enforced, &vector) != nil || vector.Enforced == "" {
		return nil
	}
	l := &report.Levels{Required: vector.Required, Enforced: vector.Enforced, Missing: vector.Lacks()}
	if l.Enforced != l.Required && vector.FS.Tree == "read-only" {
		l.Missing = append(l.Missing, "a layer for writes to the tree") // a command that writes there fails for that alone
	}
	return l
}

// below says which gates ran in less than their sandboxes ask for; those that lacked the same, in one note.
func below(gates []report.Gate) []report.Note {
	var order []string
	names := map[string][]string{}
	for _, g := range gates {
		l := g.Sandbox
		if l == nil || l.Enforced == l.Required && len(l.Missing) == 0 {
			continue
		}
		short := fmt.Sprintf("ran without %s, which is asked for", strings.Join(l.Missing, ", "))
		if l.Enforced != l.Required {
			short = fmt.Sprintf("ran at level %s instead of %s", l.Enforced, l.Required)
			if len(l.Missing) > 0 {
				short += ", without: " + strings.Join(l.Missing, ", ")
			}
		}
		if names[short] == nil {
			order = append(order, short)
		}
		names[short] = append(names[short], g.Name)
	}
	var notes []report.Note
	for _, short := range order {
		who := "gate " + names[short][0]
		if len(names[short]) > 1 {
			who = "gates " + strings.Join(names[short], ", ")
		}
		notes = append(notes, report.Note{Code: "below-its-level", Level: "warning", Text: who + " " + short})
	}
	return notes
}
