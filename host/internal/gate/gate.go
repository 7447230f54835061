// Package gate decides: from a rule, the recorded validation, the diff's facts and the verdicts of the
// gates that it needs, to a verdict with its reason.
//
// It guarantees that the same rows give the same verdict, on the desk and in CI; that a validator which
// erred, crashed or was skipped for want of a predecessor never yields a pass; and that a verdict always
// has a reason. It must not know processes, files, the clock or where rows are kept.
package gate

import (
	"fmt"

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

// Decision is a verdict with its reason.
type Decision struct {
	Verdict work.Verdict
	Reason  string
}

// Next says what to do with a pending gate. The decision counts only when the action is Settle. verdicts
// holds those of the attempt's other gates by name.
func Next(rule work.GateRule, facts work.Facts, verdicts map[string]work.Verdict) (Action, Decision) {
	for _, need := range rule.Needs {
		switch verdicts[need] {
		case work.VerdictPass:
		case work.VerdictFail:
			return Settle, Decision{work.VerdictFail, fmt.Sprintf("not evaluated: gate %q, which it needs, failed", need)}
		default:
			return Wait, Decision{}
		}
	}
	if rule.When != nil {
		met, err := rule.When.Eval(facts)
		if err != nil {
			return Settle, fallen(rule, "not evaluated: when: "+err.Error())
		}
		if !met {
			return Settle, Decision{work.VerdictPass, "does not apply: " + rule.When.Text + " is false"}
		}
	}
	if rule.Validator != "" || rule.Builtin {
		return Validate, Decision{}
	}
	return Settle, Decision{work.VerdictHold, rule.Hold}
}

// Judge decides a gate from its recorded validation.
func Judge(rule work.GateRule, v work.Validation) Decision {
	switch v.Result {
	case work.ResultPass, work.ResultWarn:
		if rule.Hold != "" {
			return Decision{work.VerdictHold, rule.Hold}
		}
		return Decision{work.VerdictPass, reason(string(v.Result), v.Message)}
	case work.ResultSkip:
		return Decision{work.VerdictPass, reason("does not apply", v.Message)}
	case work.ResultFail:
		return fallen(rule, reason("fail", v.Message))
	default:
		return fallen(rule, reason("not evaluated", v.Message))
	}
}

// fallen is the decision for a rule that was not met: what on_fail declares.
func fallen(rule work.GateRule, why string) Decision {
	if rule.OnFail == "hold" {
		return Decision{work.VerdictHold, why}
	}
	return Decision{work.VerdictFail, why}
}

func reason(what, message string) string {
	if message == "" {
		return what
	}
	return what + ": " + message
}

// Required reports whether a failing verdict of the rule rejects the step.
func Required(rule work.GateRule) bool { return rule.OnFail != "warn" }

// Answered is the decision of a person, or of the deadline, on a gate that holds.
func Answered(allow bool, by, note string) Decision {
	if allow {
		return Decision{work.VerdictPass, reason("allowed by "+by, note)}
	}
	return Decision{work.VerdictFail, reason("denied by "+by, note)}
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
		case work.VerdictPending:
			pending = g.Name
		case work.VerdictPass:
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
