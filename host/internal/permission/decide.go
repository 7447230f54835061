package permission

import (
	"slices"

	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// The decisions of rules.
const (
	Allow = "allow"
	Ask   = "ask"
	Deny  = "deny"
)

// Other is what every kind of tool counts as that is not in sdk.ToolKinds.
const Other = "other"

// Ruling is a decision and the rule that made it.
type Ruling struct {
	Decision string // Allow, Ask or Deny
	Rule     string // "" where no rule applied
	Declared string // file:line of it
	Unsure   bool   // it denies, but whether it applies cannot be told from the request: hence Ask
}

// Kind is the kind that rules know a tool by.
func Kind(tool string) string {
	if slices.Contains(sdk.ToolKinds(), tool) {
		return tool
	}
	return Other
}

// Decide answers a request by the rules, in their order. tree is the absolute path of the worktree as the
// executor sees it.
func Decide(rules []work.PermissionRule, tree string, p sdk.Permission) Ruling {
	if len(rules) == 0 {
		return Ruling{Decision: Ask}
	}
	r := request{kind: Kind(p.Tool), paths: placed(tree, p.Paths), line: read(p.Command), command: p.Command != ""}
	for _, rule := range rules {
		switch r.against(rule) {
		case yes:
			return Ruling{Decision: rule.Decision, Rule: rule.Name, Declared: rule.Declared}
		case unsure:
			return Ruling{Decision: Ask, Rule: rule.Name, Declared: rule.Declared, Unsure: rule.Decision == Deny}
		case no:
		}
	}
	return Ruling{Decision: Ask}
}

// verdict says whether a rule applies.
type verdict int

const (
	no verdict = iota
	unsure
	yes
)

// request is what was asked for, taken apart once for all rules.
type request struct {
	kind    string
	paths   []place
	line    line
	command bool // there is a command line
}

func (r request) against(rule work.PermissionRule) verdict {
	switch {
	case len(rule.Kinds) > 0 && !slices.Contains(rule.Kinds, r.kind):
		return no
	case len(rule.Paths) == 0 && len(rule.Commands) == 0:
		return yes
	case rule.Decision != Allow:
		return max(r.touches(rule.Paths), r.runs(rule.Commands))
	}
	if len(rule.Paths) > 0 && !r.within(rule.Paths) || len(rule.Commands) > 0 && !r.line.covered(patterns(rule.Commands)) {
		return no
	}
	return yes
}

// within reports whether there are paths and every one is covered.
func (r request) within(globs []string) bool {
	return len(r.paths) > 0 && !slices.ContainsFunc(r.paths, func(p place) bool { return !p.inside || !p.matches(globs) })
}

// touches says whether any path is covered. A tool that works on files and names none could work on all.
func (r request) touches(globs []string) verdict {
	switch {
	case len(globs) == 0:
		return no
	case slices.ContainsFunc(r.paths, func(p place) bool { return p.matches(globs) }):
		return yes
	case slices.ContainsFunc(r.paths, func(p place) bool { return p.obscure || r.holds(p, globs) }):
		return unsure
	case len(r.paths) == 0 && slices.Contains([]string{"read", "edit", "delete", "move", "search", Other}, r.kind):
		return unsure
	}
	return no
}

// holds reports whether a path could be a directory that holds something covered, where the tool takes a
// directory with all that is in it.
func (r request) holds(p place, globs []string) bool {
	if !slices.Contains([]string{"search", "delete", "move", Other}, r.kind) {
		return false
	}
	return slices.ContainsFunc(globs, p.around)
}

// runs says whether any simple command is covered. A tool that runs something and does not say what could
// run anything.
func (r request) runs(globs []string) verdict {
	switch {
	case len(globs) == 0:
		return no
	case !r.command && (r.kind == "execute" || r.kind == Other):
		return unsure
	case !r.command:
		return no
	}
	return r.line.touched(patterns(globs))
}
