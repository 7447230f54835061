package policy

import (
	"slices"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
)

// gate carries every key of a gate over. What the lock file knows of its plugin is filled in by the caller.
func (c *compiler) gate(g *config.Gate) work.GateRule {
	return work.GateRule{
		Name: g.Name, Validator: g.Validator, Builtin: g.Validator != "" && g.Plugin() == "", Config: slices.Clone(g.Config), Sandbox: c.of(g.Sandbox),
		Needs: slices.Clone(g.Needs), OnFail: g.OnFail, OnError: g.OnError, Optional: g.Optional, Paths: slices.Clone(g.Paths),
		When: condition(g.When), After: slices.Clone(g.After()), Hold: g.Hold, Deadline: g.Deadline, Default: g.Default,
		Timeout: g.Timeout, Retries: int(g.Retries), Declared: g.Declared(),
	}
}

// condition lets a config.Condition judge the facts that gates have.
func condition(c *config.Condition) *work.Condition {
	if c == nil {
		return nil
	}
	eval := c.Eval
	return &work.Condition{Text: c.Text, Meaning: c.Meaning(), Eval: func(f work.Facts) (bool, error) { return eval(gate.Facts(f), gate.Paths(f.Diff)) }}
}
