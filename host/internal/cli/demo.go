package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (s *shell) demoCommand() *cobra.Command {
	var o DemoOptions
	cmd := s.leaf(leaf{
		use: "demo", short: "Show real steps on a temporary repository, then clean up",
		long: `Starts a daemon of its own on a temporary repository and shows steps that pass, are stopped by a
gate, are refused by the kernel and are cancelled with proof; at the end the log is verified. Needs
no account and no network, and leaves nothing behind unless --keep.`,
		example: "drawspan demo",
		run: func(ctx context.Context, _ []string) error {
			if s.app.Demo == nil {
				return cannot("demo")
			}
			o.DaemonOptions, o.Out, o.OutFD = s.daemonOptions(), s.io.Out, s.io.OutFD
			if o.Repository != "" {
				o.Repository = s.absolute(o.Repository)
			}
			return s.app.Demo(ctx, o)
		},
	})
	cmd.Flags().StringVar(&o.Repository, "source", "", "clone this `REPOSITORY` for it")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the temporary directory")
	return cmd
}
