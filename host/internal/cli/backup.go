package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) backupCommand() *cobra.Command {
	return s.leaf(leaf{
		use: "backup", args: []string{"DIRECTORY"}, short: "Write a verified copy of the record to a new directory",
		long: `Copies the database and the stored bytes to a directory that must not exist, with a signed
checkpoint, and verifies the copy. The daemon goes on meanwhile.`,
		example: "drawspan backup /mnt/backup/drawspan-2026-01-02",
		run: func(ctx context.Context, args []string) error {
			r, err := ask[api.BackupReport](ctx, s, api.OpBackup, api.BackupRequest{Dir: s.absolute(args[0])})
			if err != nil {
				return err
			}
			return s.show(r, []string{term.Line(r.Dir)}, func(p *page) {
				p.line(p.Mark(term.Good)+" backed up to", p.strong(r.Dir))
				p.facts(facts{{"events", fmt.Sprint(r.Events)}, {"stored files", fmt.Sprint(r.Blobs)},
					{"size", bytesOf(r.Bytes)}, {"log head", term.Line(r.Head)}})
			})
		},
	})
}
