package config

import (
	"fmt"
	"slices"
	"strings"
)

// checkGates looks at each gate and at what they need of each other.
func (d *decoder) checkGates(w *Workspace) {
	byName := map[string]*Gate{}
	for _, g := range w.Gates {
		byName[g.Name] = g
	}
	known := names(w.Gates, func(g *Gate) string { return g.Name })
	for _, g := range w.Gates {
		d.checkGate(g, known)
		for i, need := range g.Needs {
			where, other := g.element("needs", i), byName[need]
			switch {
			case need == g.Name:
				d.rep.at(where, problem{code: codeNeedCycle, summary: fmt.Sprintf("gate %q needs itself", need), hint: "leave it out"})
			case other == nil:
				d.unknownName(where, "gate", need, slices.DeleteFunc(slices.Clone(known), func(n string) bool { return n == g.Name }))
			default:
				d.checkOptional(g, other, "needs", where)
			}
		}
		for _, name := range g.After() {
			d.checkOptional(g, byName[name], "asks about", g.When.places[name])
		}
	}
	d.checkNeedCycles(w, byName)
}

// checkOptional reports a gate that rests on one which may not be evaluated.
func (d *decoder) checkOptional(g, other *Gate, rests string, where Range) {
	if !other.Optional || g.Optional {
		return
	}
	d.rep.at(where, problem{code: codeNeedsOptional, summary: fmt.Sprintf("gate %q is always evaluated, but %s %q, which is optional", g.Name, rests, other.Name),
		hint: fmt.Sprintf("make %q optional too, or %q not", g.Name, other.Name)})
}

// After are the gates that the gate's condition asks about.
func (g *Gate) After() []string {
	if g.When == nil {
		return nil
	}
	return g.When.Gates
}

// builtinGate is the daemon's own gate over what tools execute on opening.
const builtinGate = "sensitive-paths"

func (d *decoder) checkGate(g *Gate, among []string) {
	if g.Name == builtinGate {
		d.rep.header(g.at, problem{code: codeName, summary: fmt.Sprintf("%s is the name of the built-in gate", quoted(g.Name)), hint: "name it otherwise; a sandbox's filesystem { sensitive } says what the built-in one does"})
	}
	validates, holds := g.Has("validator"), g.Has("hold")
	if !validates && !holds {
		p := problem{code: codeGateEmpty, summary: fmt.Sprintf("%s neither validates nor holds", g.block), hint: `add: validator = "command", or: hold = "what a person is asked"`}
		if g.Has("when") {
			p.detail = "A condition alone decides nothing."
		}
		d.rep.header(g.at, p)
		return
	}
	d.checkApplies(g, among)
	d.checkOnError(g)
	d.checkHold(g)
	if !validates {
		d.ineffective(g, "validator", "sandbox", "on_fail", "timeout", "retries", "config")
		return
	}
	d.checkValidator(g)
}

func (d *decoder) checkHold(g *Gate) {
	holds := g.Has("hold")
	if holds && strings.TrimSpace(g.Hold) == "" {
		d.rep.at(g.At("hold"), problem{code: codeValue, summary: "hold must say what the person is asked"})
	}
	if !holds && g.OnFail != "hold" && g.OnError != "hold" {
		d.ineffective(g, `hold, on_fail = "hold" or on_error = "hold"`, "deadline", "default")
	}
}

func (d *decoder) checkValidator(g *Gate) {
	if g.Validator == realExecutor {
		d.checkReal(g)
		return
	}
	if p, unknown := d.unlocked("validator", g.Validator); unknown {
		d.rep.at(g.At("validator"), p)
	}
	d.sandboxNamed(&g.Origin, g.Sandbox)
	if s := d.cfg.Sandbox(g.Sandbox); s != nil && g.Timeout > s.Wall && s.Wall > 0 {
		d.rep.at(g.At("timeout"), problem{code: codeNoEffect, summary: fmt.Sprintf("timeout is above the %s of sandbox %q", durationText(s.Wall), s.Name), hint: "lower it, or raise limits.wall there"})
	}
}

// unlocked says that the lock file has entries, but none for this plugin.
func (d *decoder) unlocked(kind, name string) (problem, bool) {
	if d.src.Plugins == nil || name == "" {
		return problem{}, false
	}
	locked := d.src.Plugins(kind)
	if locked == nil || slices.Contains(locked, name) {
		return problem{}, false
	}
	p := problem{code: codePlugin, summary: fmt.Sprintf("%s %s is not in the lock file", kind, quoted(name)), hint: "if the name is right, run: drawspan plugin lock"}
	if n := nearest(name, locked); n != "" {
		p.hint = fmt.Sprintf("did you mean %q? If the name is right, run: drawspan plugin lock", n)
	}
	return p, true
}

// checkApplies looks at what says where a gate applies.
func (d *decoder) checkApplies(g *Gate, among []string) {
	if g.when != nil {
		g.When = d.condition(g, among)
	}
	for i, glob := range g.Paths {
		if why := badGlob(glob); why != "" {
			d.rep.at(g.element("paths", i), problem{code: codeGlob, summary: fmt.Sprintf("%s: %s", quoted(glob), why)})
		}
	}
	if g.Has("paths") && len(g.Paths) == 0 {
		d.rep.at(g.At("paths"), problem{code: codeValue, summary: "paths must not be empty", hint: "leave it out for all paths"})
	}
}

// checkOnError keeps a gate that could not be evaluated from counting for less than one that failed.
func (d *decoder) checkOnError(g *Gate) {
	if !g.Has("validator") && !g.Has("when") {
		d.ineffective(g, "validator or when", "on_error")
		return
	}
	if g.OnError == "warn" && g.OnFail != "warn" {
		d.rep.at(g.At("on_error"), problem{code: codeValue, summary: `on_error must not be "warn" where on_fail is not: what was not evaluated would count for less than what failed`,
			hint: `write "closed" or "hold", or on_fail = "warn" too`})
	}
}

// checkReal refuses what the built-in validator takes no notice of, and what would let a simulator pass.
func (d *decoder) checkReal(g *Gate) {
	for _, key := range []string{"sandbox", "timeout", "retries", "config"} {
		if g.Has(key) {
			d.rep.at(g.At(key), problem{code: codeNoEffect, summary: fmt.Sprintf("%s has no effect: the daemon judges %q itself", key, realExecutor), hint: "leave it out"})
		}
	}
	for key, value := range map[string]string{"on_fail": g.OnFail, "on_error": g.OnError} {
		if g.Has(key) && value != "fail" && value != "closed" {
			d.rep.at(g.At(key), problem{code: codeValue, summary: fmt.Sprintf("%s must not be %s: what is simulated never passes %q", key, quoted(value), realExecutor), hint: "leave it out"})
		}
	}
}

func (d *decoder) ineffective(g *Gate, without string, keys ...string) {
	for _, key := range keys {
		if g.Has(key) {
			d.rep.at(g.At(key), problem{code: codeNoEffect, summary: fmt.Sprintf("%s has no effect without %s", key, without), hint: "leave it out"})
		}
	}
}

// edge is a gate that another one waits for, and where that is written.
type edge struct {
	to string
	at Range
}

func (g *Gate) edges() []edge {
	var out []edge
	for i, need := range g.Needs {
		out = append(out, edge{need, g.element("needs", i)})
	}
	for _, name := range g.After() {
		out = append(out, edge{name, g.When.places[name]})
	}
	return out
}

// checkNeedCycles reports each circle once, at the need or the condition that closes it.
func (d *decoder) checkNeedCycles(w *Workspace, byName map[string]*Gate) {
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(g *Gate, trail []string)
	visit = func(g *Gate, trail []string) {
		state[g.Name] = open
		trail = append(trail, g.Name)
		for _, e := range g.edges() {
			other := byName[e.to]
			switch {
			case other == nil || other == g || state[e.to] == done:
			case state[e.to] == open:
				circle := append(slices.Clone(trail[slices.Index(trail, e.to):]), e.to)
				d.rep.at(e.at, problem{code: codeNeedCycle, summary: "gates wait for each other in a circle: " + strings.Join(circle, " > "), hint: "take one need or condition out"})
			default:
				visit(other, trail)
			}
		}
		state[g.Name] = done
	}
	for _, g := range w.Gates {
		if state[g.Name] == 0 {
			visit(g, nil)
		}
	}
}
