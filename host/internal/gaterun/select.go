package gaterun

import (
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Choose is the workspace that is meant: the named one, or the only one, or the one at the root.
func Choose(p *work.Policy, name, root string) (*work.Workspace, error) {
	names := make([]string, 0, len(p.Workspaces))
	var at *work.Workspace
	for n, w := range p.Workspaces {
		names = append(names, n)
		if root != "" && w.Root == root {
			at = w
		}
	}
	slices.Sort(names)
	if w := p.Workspaces[name]; w != nil {
		return w, nil
	}
	switch {
	case name != "":
		return nil, fault.New(fault.NotFound, "no workspace %q is declared; there are: %s", name, strings.Join(names, ", ")).Fix("name one of them: --workspace")
	case len(names) == 1:
		return p.Workspaces[names[0]], nil
	case at != nil:
		return at, nil
	}
	return nil, fault.New(fault.InvalidRequest, "which workspace is meant? There are: %s", strings.Join(names, ", ")).Fix("say it: drawspan gate run --workspace NAME")
}

// choose are the rules to evaluate, with what they need, and the names of the others.
func choose(ws *work.Workspace, executors map[string]*work.ExecutorDecl, only []string, diff work.DiffFacts) (rules []work.GateRule, omitted []string, err error) {
	all := panel.Rules(ws, only)
	if box := strictest(ws, executors); box != nil {
		all = panel.WithSensitive(all, box, diff)
	}
	if len(all) == 0 {
		return nil, nil, fault.New(fault.ConfigInvalid, "workspace %q has no gate that judges every change, and nothing judged is no pass", ws.Name).At(ws.Declared).
			Fix("declare a gate, or name optional ones: --only GATE")
	}
	if len(only) == 0 {
		return all, []string{}, nil
	}
	wanted := map[string]bool{}
	for _, name := range only {
		if err := want(all, name, wanted); err != nil {
			return nil, nil, err
		}
	}
	omitted = []string{}
	for _, r := range all {
		if wanted[r.Name] {
			rules = append(rules, r)
		} else {
			omitted = append(omitted, r.Name)
		}
	}
	return rules, omitted, nil
}

// want adds a gate and what must be decided before it.
func want(all []work.GateRule, name string, wanted map[string]bool) error {
	if wanted[name] {
		return nil
	}
	i := slices.IndexFunc(all, func(r work.GateRule) bool { return r.Name == name })
	if i < 0 {
		names := make([]string, 0, len(all))
		for _, r := range all {
			names = append(names, r.Name)
		}
		return fault.New(fault.NotFound, "there is no gate %q; there are: %s", name, strings.Join(names, ", ")).Fix("name one of them: --only")
	}
	wanted[name] = true
	for _, before := range slices.Concat(all[i].Needs, all[i].After) {
		if err := want(all, before, wanted); err != nil {
			return err
		}
	}
	return nil
}

var sensitiveRank = map[string]int{"deny": 2, "hold": 1}

// strictest is the sandbox, of the workspace's executors, that takes most care of sensitive paths: nobody
// knows which of them made the change.
func strictest(ws *work.Workspace, executors map[string]*work.ExecutorDecl) *work.SandboxPolicy {
	var box *work.SandboxPolicy
	for _, name := range ws.Executors {
		ex := executors[name]
		if ex == nil || ex.Sandbox == nil {
			continue
		}
		if box == nil || sensitiveRank[ex.Sandbox.Sensitive] > sensitiveRank[box.Sensitive] {
			box = ex.Sandbox
		}
	}
	return box
}
