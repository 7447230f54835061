// Command drawspan-validator-policy holds a change to rules in CEL, the Common Expression Language.
//
//	gate "policy" {
//		validator = "policy"
//		needs     = ["tests"]
//		config {
//			rules = {
//				small        = "diff.lines <= 400 || gates.tests.metrics.tests > 0"
//				no-binaries  = "!diff.changes.exists(c, c.binary && !c.path.glob('assets/**'))"
//				frugal       = "usage == null || usage.output < 200000"
//			}
//			messages = {
//				small = "A change of more than 400 lines needs tests."
//			}
//		}
//	}
//
// Every rule must be true. One that is false is a finding with its name. One that cannot be evaluated makes the
// verdict an error, which is never a pass: a gate that was not decided, a number that nobody measured, usage
// where nothing was used.
//
// It knows the facts that the host knows and nothing else: no tree, no clock, no network. What the executor said
// of itself is under claims, and nowhere else.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

const (
	maxRules   = 100
	maxMessage = 1 << 10
)

var manifest = sdk.Manifest{
	Name:     "policy",
	Version:  "0.1.0",
	Summary:  "holds a change to rules in CEL over its diff, its gates and its usage",
	Feeds:    []string{sdk.FeedFacts},
	Pure:     true,
	Resident: true,
	Config: []sdk.Attribute{
		{Name: "rules", Type: sdk.TypeMapString, Required: true, Doc: "by name, CEL expressions that must be true"},
		{Name: "messages", Type: sdk.TypeMapString, Doc: "by a rule's name, what its finding says (default the expression)"},
	},
}

func main() { plugin.Serve(manifest, &policy{}) }

// settings are the config block.
type settings struct {
	Rules    map[string]string `json:"rules"`
	Messages map[string]string `json:"messages"`
}

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9]*([-_][a-z0-9]+)*$`)

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Message: err.Error()}
		}
	}
	switch {
	case len(s.Rules) == 0:
		return settings{}, wrong("rules", "must hold a rule: without one everything would pass")
	case len(s.Rules) > maxRules:
		return settings{}, wrong("rules", "hold %d rules, more than %d", len(s.Rules), maxRules)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Rules)) {
		if !ruleName.MatchString(name) || len(name) > 64 {
			return settings{}, wrong("rules", "%q is no name of a rule: names are like no-binaries", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Messages)) {
		switch _, ok := s.Rules[name]; {
		case !ok:
			return settings{}, wrong("messages", "%q is no rule; there are %s", name, strings.Join(slices.Sorted(maps.Keys(s.Rules)), ", "))
		case len(s.Messages[name]) > maxMessage:
			return settings{}, wrong("messages", "%q is longer than %d bytes", name, maxMessage)
		}
	}
	return s, nil
}

func wrong(attribute, format string, args ...any) error {
	return &sdk.ConfigError{Attribute: attribute, Message: fmt.Sprintf(format, args...)}
}

// policy keeps the rules that it compiled last: a resident process is asked with the same ones again and again.
type policy struct {
	mu   sync.Mutex
	text string
	set  *ruleset
}

// Configure compiles the rules and refuses those that could not be evaluated.
func (p *policy) Configure(_ context.Context, config json.RawMessage) error {
	_, err := p.compiled(config)
	return err
}

func (p *policy) compiled(config json.RawMessage) (*ruleset, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set != nil && p.text == string(config) {
		return p.set, nil
	}
	s, err := parse(config)
	if err != nil {
		return nil, err
	}
	set, err := compile(s)
	if err != nil {
		return nil, err
	}
	p.text, p.set = string(config), &set
	return p.set, nil
}

// Check evaluates every rule, whatever the others say.
func (p *policy) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	set, err := p.compiled(c.Config)
	switch {
	case err != nil:
		return sdk.Verdict{}, err
	case c.Facts == nil:
		return sdk.Verdict{}, fmt.Errorf("the host told no facts: there is nothing to judge by")
	}
	facts := activation(c, set.adapter)
	v := sdk.Verdict{Outcome: sdk.Pass, Metrics: map[string]float64{"rules": float64(len(set.rules))}}
	var broken []string
	for _, r := range set.rules {
		holds, err := r.eval(ctx, facts)
		switch {
		case ctx.Err() != nil:
			return sdk.Verdict{}, fmt.Errorf("not all rules were evaluated: %w", context.Cause(ctx))
		case err != nil:
			broken = append(broken, fmt.Sprintf("rule %q cannot be evaluated: %v", r.name, err))
		case !holds:
			v.Findings = append(v.Findings, r.finding())
		}
	}
	v.Metrics["false"], v.Metrics["broken"] = float64(len(v.Findings)), float64(len(broken))
	switch {
	case len(broken) > 0:
		v.Outcome, v.Message = sdk.Error, strings.Join(broken, "\n")
	case len(v.Findings) > 0:
		v.Outcome, v.Message = sdk.Fail, v.Findings[0].Message
		if more := len(v.Findings) - 1; more > 0 {
			v.Message += fmt.Sprintf(", and %d more", more)
		}
	}
	return v, nil
}
