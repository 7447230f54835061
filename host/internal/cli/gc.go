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
		use: "gc", short: "Remove trees and bytes that nothing refers to",
		long: `Removes working trees of ended attempts and stored bytes without a record. Kept results (commits under
refs/drawspan/attempts), artifacts with a record and the log stay. Asks on a terminal; elsewhere it
needs --yes.`,
		example: "drawspan gc --dry-run",
		run: func(ctx context.Context, _ []string) error {
			if !dry {
				err := s.sure(ctx, yes, "Remove trees and bytes that nothing refers to?", "kept results, recorded artifacts and the log stay.")
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
				p.line(p.Mark(term.Good)+" "+verb, counted(r.Trees, "tree"), counted(r.Blobs, "stored file"), bytesOf(r.Bytes))
				p.line("  kept: " + fmt.Sprintf("%s still in use", counted(r.KeptTrees, "tree")) + ", every kept result, the log")
			})
		},
	})
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
