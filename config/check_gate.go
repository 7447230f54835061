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
		d.checkGate(g)
		for i, need := range g.Needs {
			where, other := g.element("needs", i), byName[need]
			switch {
			case need == g.Name:
				d.rep.at(where, problem{code: codeNeedCycle, summary: fmt.Sprintf("gate %q needs itself", need), hint: "leave it out"})
			case other == nil:
				d.unknownName(where, "gate", need, slices.DeleteFunc(slices.Clone(known), func(n string) bool { return n == g.Name }))
			case other.Optional && !g.Optional:
				d.rep.at(where, problem{code: codeNeedsOptional, summary: fmt.Sprintf("gate %q is always evaluated, but needs %q, which is optional", g.Name, need),
					hint: fmt.Sprintf("make %q optional too, or %q not", g.Name, need)})
			}
		}
	}
	d.checkNeedCycles(w, byName)
}

// builtinGate is the daemon's own gate over what tools execute on opening.
const builtinGate = "sensitive-paths"

func (d *decoder) checkGate(g *Gate) {
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
	if holds && strings.TrimSpace(g.Hold) == "" {
		d.rep.at(g.At("hold"), problem{code: codeValue, summary: "hold must say what the person is asked"})
	}
	if !holds && g.OnFail != "hold" {
		d.ineffective(g, `hold or on_fail = "hold"`, "deadline", "default")
	}
	if !validates {
		d.ineffective(g, "validator", "sandbox", "on_fail", "wall", "config")
		return
	}
	if g.Validator == RealExecutor {
		d.checkReal(g)
		return
	}
	d.sandboxNamed(&g.Origin, g.Sandbox)
	if s := d.cfg.Sandbox(g.Sandbox); s != nil && g.Wall > s.Wall && s.Wall > 0 {
		d.rep.at(g.At("wall"), problem{code: codeNoEffect, summary: fmt.Sprintf("wall is above the %s of sandbox %q", durationText(s.Wall), s.Name), hint: "lower it, or raise limits.wall there"})
	}
}

// checkReal refuses what the built-in validator takes no notice of, and what would let a simulator pass.
func (d *decoder) checkReal(g *Gate) {
	for _, key := range []string{"sandbox", "wall", "config"} {
		if g.Has(key) {
			d.rep.at(g.At(key), problem{code: codeNoEffect, summary: fmt.Sprintf("%s has no effect: the daemon judges %q itself", key, RealExecutor), hint: "leave it out"})
		}
	}
	if g.OnFail != "fail" {
		d.rep.at(g.At("on_fail"), problem{code: codeValue, summary: fmt.Sprintf("on_fail must not be %s: what is simulated never passes %q", quoted(g.OnFail), RealExecutor), hint: "leave it out"})
	}
}

func (d *decoder) ineffective(g *Gate, without string, keys ...string) {
	for _, key := range keys {
		if g.Has(key) {
			d.rep.at(g.At(key), problem{code: codeNoEffect, summary: fmt.Sprintf("%s has no effect without %s", key, without), hint: "leave it out"})
		}
	}
}

// checkNeedCycles reports each circle once, at the need that closes it.
func (d *decoder) checkNeedCycles(w *Workspace, byName map[string]*Gate) {
	const open, done = 1, 2
	state := map[string]int{}
	var visit func(g *Gate, trail []string)
	visit = func(g *Gate, trail []string) {
		state[g.Name] = open
		trail = append(trail, g.Name)
		for i, need := range g.Needs {
			other := byName[need]
			switch {
			case other == nil || other == g || state[need] == done:
			case state[need] == open:
				circle := append(slices.Clone(trail[slices.Index(trail, need):]), need)
				d.rep.at(g.element("needs", i), problem{code: codeNeedCycle, summary: "gates need each other in a circle: " + strings.Join(circle, " > "), hint: "take one need out"})
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
