package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) executorCommand() *cobra.Command {
	return s.group("executor", "See the declared executors, and try what they drive",
		"An executor is a plugin with its configuration and the sandbox it runs in. Some plugins drive a program of\n"+
			"this machine, such as a coding agent.", s.executorLs(), s.executorProbe())
}

func (s *shell) executorLs() *cobra.Command {
	return s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, short: "List the declared executors",
		long: `Lists executors with their plugin, sandbox, whether the plugin's bytes are locked, and the program that
the plugin drives: where it was found, whether it is the locked one, and, once it was probed, its version
and whether it is logged in.`, example: "drawspan executor ls",
		run: func(ctx context.Context, _ []string) error {
			l, err := ask[api.List[api.Executor]](ctx, s, api.OpExecutorList, api.Empty{})
			if err != nil {
				return err
			}
			return s.show(l, idsOf(l.Items, func(e api.Executor) string { return e.Name }), func(p *page) { p.executors(l.Items) })
		},
	})
}

func (p *page) executors(all []api.Executor) {
	t := term.Table{Head: []string{"NAME", "PLUGIN", "SANDBOX", "LEVEL", "LOCKED", "DECLARED"}, Flex: 5}
	programs := term.Table{Head: []string{"EXECUTOR", "PROGRAM", "STATE", "VERSION", "LOGIN", "PATH"}, Flex: 5}
	var help []string
	for _, e := range all {
		locked := p.Paint(term.Good, "yes")
		if !e.Locked {
			locked = p.Paint(term.Ask, "no")
		}
		t.Rows = append(t.Rows, []string{join(p.strong(e.Name), p.simulated(e.Simulated)), term.Line(e.Plugin),
			term.Line(e.Sandbox), term.Line(e.Level), locked, term.Line(e.Declared)})
		x := e.Program
		if x == nil {
			continue
		}
		programs.Rows = append(programs.Rows, []string{p.strong(e.Name), term.Line(x.Name), p.state(x.State), p.versionOf(x),
			firstOf(term.Line(x.Login), "-"), firstOf(term.Line(x.Path), "-")})
		if x.Fix != "" {
			help = append(help, term.Line(e.Name)+": "+p.Paint(term.Good, "fix")+": "+term.Line(x.Fix))
		}
	}
	p.table(t)
	if len(programs.Rows) == 0 {
		return
	}
	p.gap()
	p.table(programs)
	for _, line := range help {
		p.line(line)
	}
}

// versionOf is what a probe was told, and whether the plugin was tested with it.
func (p *page) versionOf(x *api.Program) string {
	switch {
	case x.Version == "":
		return "-"
	case x.InRange || x.Tested == "":
		return term.Line(x.Version)
	}
	return term.Line(x.Version) + " " + p.Paint(term.Ask, "untested")
}

func (s *shell) executorProbe() *cobra.Command {
	c := s.leaf(leaf{
		use: "probe", args: []string{"[NAME...]"}, short: "Start executors in their sandboxes and ask about the programs they drive",
		long: `Starts the plugin of each named executor, or of all, in its sandbox, without a network, and asks it about
the program that it drives: which version, whether the plugin was tested with it, whether it is logged in.
A program that is not the locked one is not started. No model is asked anything. Exit 3 when something is
missing, with what to do about it.`,
		example: "drawspan executor probe claude",
		run:     s.probeAll,
	})
	c.ValidArgsFunction = func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		l, err := ask[api.List[api.Executor]](cmd.Context(), s, api.OpExecutorList, api.Empty{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return idsOf(l.Items, func(e api.Executor) string { return e.Name }), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// probeAll probes one executor after the other.
func (s *shell) probeAll(ctx context.Context, names []string) error {
	if len(names) == 0 {
		l, err := ask[api.List[api.Executor]](ctx, s, api.OpExecutorList, api.Empty{})
		if err != nil {
			return err
		}
		names = idsOf(l.Items, func(e api.Executor) string { return e.Name })
	}
	doc := api.List[api.ExecutorProbe]{Items: []api.ExecutorProbe{}}
	missing := false
	for _, name := range names {
		found, err := ask[api.ExecutorProbe](ctx, s, api.OpExecutorProbe, api.ExecutorRef{Executor: name})
		if err != nil {
			return err
		}
		missing = missing || !found.OK
		doc.Items = append(doc.Items, found)
	}
	if err := s.show(doc, names, func(p *page) { p.probes(doc.Items) }); err != nil {
		return err
	}
	if missing {
		return ended{fault.ExitConfig}
	}
	return nil
}

func (p *page) probes(all []api.ExecutorProbe) {
	for i, x := range all {
		if i > 0 {
			p.gap()
		}
		p.probe(x)
	}
}

func (p *page) probe(x api.ExecutorProbe) {
	state := "ok"
	if !x.OK {
		state = "fail"
	}
	plugin := "plugin " + term.Line(x.Plugin) + ", sandbox " + term.Line(x.Sandbox)
	if x.Level != "" {
		plugin += " at " + term.Line(x.Level)
	}
	p.line(p.state(state), p.strong(x.Executor), p.simulated(x.Simulated), p.Paint(term.Faint, plugin))
	row := func(name, value string) {
		if value != "" {
			p.line("  " + term.Pad(name, len("interpreter")) + "  " + value)
		}
	}
	if pr := x.Program; pr != nil {
		row("program", join(term.Line(pr.Name), p.state(pr.State)))
		row("path", term.Line(pr.Path))
		row("digest", shortDigest(pr.Digest))
		row("interpreter", term.Line(pr.Interpreter))
		if pr.Version != "" {
			row("version", p.versionOf(pr))
		}
		row("tested with", term.Line(pr.Tested))
		row("login", term.Line(pr.Login))
	} else if x.OK {
		row("program", "none: the plugin needs no program of this machine")
	}
	for _, n := range x.Notes {
		row("note", firstLine(n))
	}
	if x.Problem != "" {
		row("problem", firstLine(strings.TrimSpace(x.Problem)))
	}
	if x.Fix != "" {
		p.line(fmt.Sprintf("  %s: %s", p.Paint(term.Good, "fix"), term.Line(x.Fix)))
	}
}
