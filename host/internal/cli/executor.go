package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) executorCommand() *cobra.Command {
	return s.group("executor", "See the declared executors",
		"An executor is a plugin with its configuration and the sandbox it runs in.", s.executorLs())
}

func (s *shell) executorLs() *cobra.Command {
	return s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, short: "List the declared executors",
		long: "Lists executors with their plugin, sandbox, and whether the plugin's bytes are locked.", example: "drawspan executor ls",
		run: func(ctx context.Context, _ []string) error {
			l, err := ask[api.List[api.Executor]](ctx, s, api.OpExecutorList, api.Empty{})
			if err != nil {
				return err
			}
			return s.show(l, idsOf(l.Items, func(e api.Executor) string { return e.Name }), func(p *page) {
				t := term.Table{Head: []string{"NAME", "PLUGIN", "SANDBOX", "LEVEL", "LOCKED", "DECLARED"}, Flex: 5}
				for _, e := range l.Items {
					locked := p.Paint(term.Good, "yes")
					if !e.Locked {
						locked = p.Paint(term.Ask, "no")
					}
					t.Rows = append(t.Rows, []string{join(p.strong(e.Name), p.simulated(e.Simulated)), term.Line(e.Plugin),
						term.Line(e.Sandbox), term.Line(e.Level), locked, term.Line(e.Declared)})
				}
				p.table(t)
			})
		},
	})
}
