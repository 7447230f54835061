package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) workspaceCommand() *cobra.Command {
	return s.group("workspace", "See the declared workspaces",
		"A workspace is a repository root with its policy. Only the configuration can add or widen one.", s.workspaceLs())
}

func (s *shell) workspaceLs() *cobra.Command {
	return s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, short: "List the declared workspaces",
		long: "Lists workspaces with what they allow and the gates they require.", example: "drawspan workspace ls",
		run: func(ctx context.Context, _ []string) error {
			l, err := ask[api.List[api.Workspace]](ctx, s, api.OpWorkspaceList, api.Empty{})
			if err != nil {
				return err
			}
			return s.show(l, idsOf(l.Items, func(w api.Workspace) string { return w.Name }), func(p *page) {
				t := term.Table{Head: []string{"NAME", "ROOT", "BASE", "EXECUTORS", "GATES", "DECLARED"}, Flex: 4}
				for _, w := range l.Items {
					t.Rows = append(t.Rows, []string{p.strong(w.Name), term.Line(w.Root), term.Line(w.Base),
						term.Line(strings.Join(w.Executors, ", ")), gateNames(w.Gates), term.Line(w.Declared)})
				}
				p.table(t)
			})
		},
	})
}

// gateNames lists gates; optional ones in brackets.
func gateNames(gates []api.Gate) string {
	names := make([]string, len(gates))
	for i, g := range gates {
		names[i] = g.Name
		if g.Optional {
			names[i] = "[" + g.Name + "]"
		}
	}
	return term.Line(strings.Join(names, ", "))
}
