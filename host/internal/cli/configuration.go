package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) configCommand() *cobra.Command {
	return s.group("config", "See, plan and reload the daemon's configuration",
		"The configuration files are the only allowlist: nothing that a caller sends can widen it.",
		s.configShow(), s.configPlan(), s.configReload())
}

func (s *shell) configShow() *cobra.Command {
	return s.leaf(leaf{
		use: "show", short: "Show the configuration that the daemon obeys now",
		long: "Shows the effective configuration, every default filled in, sensitive values masked.", example: "drawspan config show --json",
		run: func(ctx context.Context, _ []string) error {
			c, err := ask[api.ConfigShown](ctx, s, api.OpConfigShow, api.Empty{})
			if err != nil {
				return err
			}
			return s.show(c, []string{term.Line(c.PolicySum)}, func(p *page) {
				all := facts{{"files", term.Line(strings.Join(c.Files, ", "))}, {"policy", term.Line(c.PolicySum)}, {"loaded", p.when(c.LoadedAt, s.now)}}
				for _, name := range slices.Sorted(maps.Keys(c.GateFiles)) {
					all = append(all, [2]string{"gate file", term.Line(name + " " + c.GateFiles[name])})
				}
				p.facts(all)
				p.gap()
				p.lines = append(p.lines, jsonLines(c.Config, "")...)
			})
		},
	})
}

func (s *shell) configPlan() *cobra.Command {
	var detailed bool
	cmd := s.leaf(leaf{
		use: "plan", short: "Compare the running configuration with the files",
		long: `Shows what a reload would change, and marks what gives authority that was not there before. With
--detailed-exitcode: 0 nothing changes, 2 something does, 3 something widens authority or needs a
restart. Invalid files are exit 3, with every problem.`,
		example: "drawspan config plan --detailed-exitcode",
		run: func(ctx context.Context, _ []string) error {
			plan, err := ask[api.ConfigPlan](ctx, s, api.OpConfigPlan, api.Empty{})
			if err != nil {
				return err
			}
			if err := s.show(plan, idsOf(plan.Changes, func(c api.ConfigChange) string { return term.Line(c.Block) }), func(p *page) {
				p.plan(plan)
			}); err != nil {
				return err
			}
			return planExit(plan, detailed)
		},
	})
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit by what would change")
	return cmd
}

func planExit(plan api.ConfigPlan, detailed bool) error {
	if !plan.Valid {
		return ended{fault.ExitConfig}
	}
	if plan.Same || !detailed {
		return nil
	}
	for _, c := range plan.Changes {
		if c.Widens || c.Restart {
			return ended{3}
		}
	}
	return ended{2}
}

func (p *page) plan(plan api.ConfigPlan) {
	if !plan.Valid {
		p.line(p.Mark(term.Bad) + " " + p.Paint(term.Bad, "the files are invalid; the running configuration stays"))
		diags, _ := opened[config.Diagnostics](plan.Diagnostics)
		for _, d := range diags {
			where := ""
			if d.Range != nil {
				where = d.Range.String()
			}
			p.line("  "+p.word(d.Severity)+"["+term.Line(d.Code)+"]", term.Line(where), firstLine(d.Summary))
		}
		p.line("next: " + p.command("drawspan validate"))
		return
	}
	if plan.Same {
		p.line(p.Mark(term.Good) + " nothing changes")
		return
	}
	p.changes(plan.Changes)
	p.line("next: " + p.command("drawspan config reload"))
}

func (p *page) changes(changes []api.ConfigChange) {
	signs := map[string]string{"add": "+", "remove": "-", "change": "~"}
	for _, c := range changes {
		mark := ""
		if c.Widens {
			mark = p.Paint(term.Bad, "[widens authority]")
		}
		if c.Restart {
			mark = join(mark, p.Paint(term.Ask, "[needs a restart]"))
		}
		p.line("  "+firstOf(signs[c.Op], "?")+" "+p.strong(c.Block), firstLine(c.Detail), mark)
	}
}

func (s *shell) configReload() *cobra.Command {
	return s.leaf(leaf{
		use: "reload", short: "Load the configuration files again: all of it or nothing",
		long: `Has the daemon read its files again. Invalid files change nothing. Steps that are on their way keep
the configuration they began with. The daemon does the same on SIGHUP.`,
		example: "drawspan config plan && drawspan config reload",
		run: func(ctx context.Context, _ []string) error {
			r, err := ask[api.ConfigReloaded](ctx, s, api.OpConfigReload, api.Empty{})
			if err != nil {
				return err
			}
			return s.show(r, []string{term.Line(r.PolicySum)}, func(p *page) {
				p.line(p.Mark(term.Good)+" reloaded", counted(len(r.Changes), "change"), p.faint(r.PolicySum))
				p.changes(r.Changes)
				for _, w := range r.Pending {
					p.line("  waits for a restart: " + term.Line(w))
				}
			})
		},
	})
}
