// Package gate decides: from a rule, the recorded validation, the diff's facts and the verdicts of the
// gates that it needs, to a verdict with its reason.
//
// It guarantees that the same rows give the same verdict, on the desk and in CI; that a validator which
// erred, crashed or was skipped for want of a predecessor never yields a pass; and that a verdict always
// has a reason. It must not know processes, files, the clock or where rows are kept.
package gate

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Action is what has to happen next for a gate that is still pending.
type Action int

// The actions.
const (
	Wait     Action = iota // a gate that it needs has no final verdict yet
	Settle                 // the decision is made without running anything
	Validate               // run the validator, then Judge
)

// Decision is a verdict with its reason. Require says that a fail, now or after a hold, rejects the step
// whatever on_fail says.
type Decision struct {
	Verdict work.Verdict
	Reason  string
	Require bool
}

// Next says what to do with a pending gate. The decision counts only when the action is Settle. verdicts
// holds those of all the gates that judge the change, by name.
func Next(rule work.GateRule, facts work.Facts, verdicts map[string]work.Verdict) (Action, Decision) {
	if wait, settled := predecessors(rule, verdicts); wait || settled != nil {
		if wait {
			return Wait, Decision{}
		}
		return Settle, *settled
	}
	shown, err := Shown(rule, facts.Diff)
	switch {
	case err != nil:
		return Settle, Broken(rule, "not evaluated: paths: "+err.Error())
	case len(rule.Paths) > 0 && len(shown.Files) == 0:
		return Settle, Decision{Verdict: work.VerdictPass, Reason: "does not apply: no changed path matches " + strings.Join(rule.Paths, ", ")}
	}
	if rule.When != nil {
		met, err := rule.When.Eval(facts)
		if err != nil {
			return Settle, Broken(rule, "not evaluated: when: "+err.Error())
		}
		if !met {
			return Settle, Decision{Verdict: work.VerdictPass, Reason: "does not apply: " + rule.When.Text + " is false"}
		}
	}
	if rule.Validator != "" || rule.Builtin {
		return Validate, Decision{}
	}
	return Settle, Decision{Verdict: work.VerdictHold, Reason: rule.Hold}
}

// predecessors waits for the gates that come first. Those that are needed have to pass; of those that a
// condition asks about any verdict will do.
func predecessors(rule work.GateRule, verdicts map[string]work.Verdict) (wait bool, settled *Decision) {
	for _, need := range rule.Needs {
		switch verdict, judges := verdicts[need]; {
		case verdict == work.VerdictPass:
		case verdict == work.VerdictFail:
			return false, &Decision{Verdict: work.VerdictFail, Reason: fmt.Sprintf("not evaluated: gate %q, which it needs, failed", need)}
		case !judges:
			return false, &Decision{Verdict: work.VerdictFail, Reason: fmt.Sprintf("not evaluated: gate %q, which it needs, does not judge this change", need)}
		default:
			wait = true
		}
	}
	for _, name := range rule.After {
		switch verdict, judges := verdicts[name]; {
		case verdict == work.VerdictPass || verdict == work.VerdictFail:
		case !judges:
			d := Broken(rule, fmt.Sprintf("not evaluated: when: gate %q does not judge this change", name))
			return false, &d
		default:
			wait = true
		}
	}
	return wait, nil
}

// Shown is what of a diff a gate judges: all of it, or the changes of its paths.
func Shown(rule work.GateRule, d work.DiffFacts) (work.DiffFacts, error) {
	if len(rule.Paths) == 0 {
		return d, nil
	}
	out := work.DiffFacts{Files: []work.Change{}, PatchBytes: d.PatchBytes}
	for _, c := range d.Files {
		hit, err := touches(rule.Paths, c)
		if err != nil {
			return work.DiffFacts{}, err
		}
		if !hit {
			continue
		}
		out.Files = append(out.Files, c)
		out.Insertions += c.Added
		out.Deletions += c.Deleted
		if c.Binary {
			out.Binary++
		}
	}
	return out, nil
}

// touches reports whether a change is of a path that one of the globs names, before or after it.
func touches(globs []string, c work.Change) (bool, error) {
	for _, glob := range globs {
		for _, name := range []string{c.Path, c.OldPath} {
			if name == "" {
				continue
			}
			hit, err := doublestar.Match(glob, name)
			if err != nil {
				return false, fmt.Errorf("%q is no pattern", glob)
			}
			if hit {
				return true, nil
			}
		}
	}
	return false, nil
}

// Judge decides a gate from its recorded validation.
func Judge(rule work.GateRule, v work.Validation) Decision {
	switch v.Result {
	case work.ResultPass, work.ResultWarn, work.ResultSkip:
		switch {
		case rule.Hold != "":
			return Decision{Verdict: work.VerdictHold, Reason: rule.Hold}
		case v.Result == work.ResultSkip:
			return Decision{Verdict: work.VerdictPass, Reason: reason("does not apply", v.Message)}
		}
		return Decision{Verdict: work.VerdictPass, Reason: reason(string(v.Result), v.Message)}
	case work.ResultFail:
		if rule.OnFail == "hold" {
			return Decision{Verdict: work.VerdictHold, Reason: reason("fail", v.Message)}
		}
		return Decision{Verdict: work.VerdictFail, Reason: reason("fail", v.Message)}
	default:
		return Broken(rule, reason("not evaluated", v.Message))
	}
}

// Broken is the decision for a rule that could not be evaluated: what on_error declares. It warns only
// where a fail would do no more.
func Broken(rule work.GateRule, why string) Decision {
	switch {
	case rule.OnError == "hold":
		return Decision{Verdict: work.VerdictHold, Reason: why, Require: true}
	case rule.OnError == "warn" && rule.OnFail == "warn":
		return Decision{Verdict: work.VerdictFail, Reason: why}
	}
	return Decision{Verdict: work.VerdictFail, Reason: why, Require: true}
}

func reason(what, message string) string {
	if message == "" {
		return what
	}
	return what + ": " + message
}

// Required reports whether a failing verdict of the rule rejects the step, where it was evaluated.
func Required(rule work.GateRule) bool { return rule.OnFail != "warn" }

// Answered is the decision of a person, or of the deadline, on a gate that holds.
func Answered(allow bool, by, note string) Decision {
	if allow {
		return Decision{Verdict: work.VerdictPass, Reason: reason("allowed by "+by, note)}
	}
	return Decision{Verdict: work.VerdictFail, Reason: reason("denied by "+by, note)}
}

// Left is the decision on a gate that the end of its step leaves open, and whether this one is.
func Left(verdict work.Verdict, why string) (Decision, bool) {
	switch verdict {
	case work.VerdictPass, work.VerdictFail:
		return Decision{}, false
	case work.VerdictHold:
		return Decision{Verdict: work.VerdictFail, Reason: "not decided: " + why}, true
	}
	return Decision{Verdict: work.VerdictFail, Reason: "not evaluated: " + why}, true
}

// Standing is what a step is worth, from its attempt's outcome and its gates.
type Standing int

// The standings.
const (
	Unfinished Standing = iota // a gate is pending and can still be evaluated
	Held                       // a required gate waits for a person
	Passed
	Rejected // a required gate failed
	Failed   // no outcome that gates could judge
)

// Stand sums an attempt up. expect is the step's: "" (a change) or "none".
func Stand(outcome work.Outcome, expect string, gates []work.GateRecord) (Standing, string) {
	if !Judgeable(outcome, expect) {
		return Failed, string(outcome)
	}
	held, pending := "", ""
	for _, g := range gates {
		switch g.Verdict {
		case work.VerdictFail:
			if g.Required {
				return Rejected, fmt.Sprintf("gate %q: %s", g.Name, g.Reason)
			}
		case work.VerdictHold:
			held = g.Name
		case work.VerdictPass:
		default: // pending, or no verdict at all
			pending = g.Name
		}
	}
	switch {
	case held != "":
		return Held, fmt.Sprintf("gate %q waits for a decision", held)
	case pending != "":
		return Unfinished, fmt.Sprintf("gate %q is pending", pending)
	}
	return Passed, ""
}

// Judgeable reports whether gates are evaluated for an attempt with this outcome.
func Judgeable(outcome work.Outcome, expect string) bool {
	if expect == "none" {
		return outcome == work.NoChange || outcome == work.Succeeded
	}
	return outcome == work.Succeeded
}
