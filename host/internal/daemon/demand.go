package daemon

import (
	"context"
	"fmt"
	"strings"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gaterun"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// demand is a sandbox of the configuration with what runs in it.
type demand struct {
	policy *work.SandboxPolicy
	users  []string
	gates  int // of the users, those that a gate run may let fall to its floor
}

// demands are the sandboxes that anything runs in, by name.
func demands(p *work.Policy) map[string]*demand {
	all := map[string]*demand{}
	add := func(box *work.SandboxPolicy, user string) *demand {
		d := all[box.Name]
		if d == nil {
			d = &demand{policy: box}
			all[box.Name] = d
		}
		d.users = append(d.users, user)
		return d
	}
	for _, name := range sortedKeys(p.Executors) {
		add(p.Executors[name].Sandbox, "executor "+name)
	}
	for _, name := range sortedKeys(p.Workspaces) {
		for _, run := range p.Workspaces[name].Provision.Runs {
			add(run.Sandbox, "provision "+name+"/"+run.Name)
		}
		for _, g := range p.Workspaces[name].Gates {
			if g.Sandbox != nil && g.Validator != "" && !g.Builtin {
				add(g.Sandbox, "gate "+name+"/"+g.Name).gates++
			}
		}
	}
	return all
}

// demandChecks try whether this machine gives what the configuration's sandboxes ask for: what does not run
// here is said before somebody waits for it.
func demandChecks(ctx context.Context, box *sandbox.Sandbox, l *loaded) []api.Check {
	all := demands(l.policy)
	var checks []api.Check
	for _, name := range sortedKeys(all) {
		d := all[name]
		c := api.Check{Group: "sandbox", Name: fmt.Sprintf("sandbox %q", name), State: "ok"}
		level, err := box.Gives(ctx, d.policy)
		if err == nil {
			c.Detail = "asks for " + asked(d.policy) + ", gets " + level
			checks = append(checks, c)
			continue
		}
		f := fault.From(err)
		c.State, c.Detail, c.Fix = "fail", d.said("cannot run here", f), d.remedy(ctx, box, f)
		if d.gates == len(d.users) && l.cfg.CI.Floor != "" {
			floored := gaterun.Floored([]work.GateRule{{Sandbox: d.policy}}, l.cfg.CI.Floor)[0].Sandbox
			if level, err := box.Gives(ctx, floored); err == nil {
				c.State, c.Detail = "warn", d.said("run here in drawspan gate run alone, at level "+level+" by its floor", f)
			}
		}
		checks = append(checks, c)
	}
	return checks
}

// said is what becomes of those who run in it, and why.
func (d *demand) said(what string, f *fault.Fault) string {
	const most = 5
	users := strings.Join(d.users[:min(len(d.users), most)], ", ")
	if more := len(d.users) - most; more > 0 {
		users += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s %s: it asks for %s; %s", users, what, asked(d.policy), f.Message)
}

func asked(p *work.SandboxPolicy) string {
	if p.OnShortfall == "degrade" {
		return p.Level + ", or at least " + p.Floor
	}
	return p.Level
}

// remedy is how the machine gives more, and how less is accepted where it gives anything.
func (d *demand) remedy(ctx context.Context, box *sandbox.Sandbox, f *fault.Fault) string {
	var ways []string
	if f.Hint != "" && !strings.Contains(f.Hint, "drawspan doctor") { // which is what says this
		ways = append(ways, f.Hint)
	}
	levels := box.Levels(ctx)
	if best := levels[len(levels)-1]; best != spec.LevelOff && !spec.AtLeast(best, d.policy.Level) {
		ways = append(ways, fmt.Sprintf(`accept less in its block: on_shortfall = "degrade" and floor = %q`, best))
	}
	if len(ways) == 0 {
		return "see the other checks of this group"
	}
	return strings.Join(ways, ", or ")
}
