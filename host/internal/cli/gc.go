package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) gcCommand() *cobra.Command {
	var dry, yes bool
	cmd := s.leaf(leaf{
		use: "gc", short: "Remove trees, bytes and caches that nothing refers to",
		long: `Removes working trees of ended attempts, stored bytes without a record and caches that no workspace
declares any more, unless an attempt of that workspace is live. Kept results (commits under
refs/drawspan/attempts), artifacts with a record and the log stay. Asks on a terminal; elsewhere it
needs --yes.`,
		example: "drawspan gc --dry-run",
		run: func(ctx context.Context, _ []string) error {
			if !dry {
				err := s.sure(ctx, yes, "Remove trees, bytes and caches that nothing refers to?", "kept results, recorded artifacts and the log stay.")
				if err != nil {
					return err
				}
			}
			r, err := ask[api.GCReport](ctx, s, api.OpGC, api.GCRequest{DryRun: dry})
			if err != nil {
				return err
			}
			return s.show(r, nil, func(p *page) {
				verb := "removed"
				if r.DryRun {
					verb = "would remove"
				}
				p.line(p.Mark(term.Good)+" "+verb, counted(r.Trees, "tree"), counted(r.Blobs, "stored file"), bytesOf(r.Bytes), counted(len(r.Caches), "cache"))
				kept := fmt.Sprintf("%s still in use", counted(r.KeptTrees, "tree"))
				if n := len(r.KeptCaches); n > 0 {
					kept = fmt.Sprintf("%s and %s still in use", counted(r.KeptTrees, "tree"), counted(n, "cache"))
				}
				for _, name := range r.Caches {
					p.line("  cache " + term.Line(name))
				}
				p.line("  kept: " + kept + ", every kept result, the log")
			})
		},
	})
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
