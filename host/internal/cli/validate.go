package cli

import (
	"bytes"
	"context"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) validateCommand() *cobra.Command {
	var strict bool
	cmd := s.leaf(leaf{
		use: "validate", args: []string{"[FILE...]"}, short: "Check the configuration, all problems in one pass",
		long: `Checks the configuration files, and what only this machine can tell of them: paths, repositories,
toolchains. Needs no daemon and changes nothing. Each problem has a stable code: drawspan explain CODE.
With --json (or -json) it prints the document that editors know from terraform validate. Exit 3 on
errors; warnings never change the exit code unless --strict.`,
		example: "drawspan validate --config ./drawspan.hcl",
		run: func(_ context.Context, args []string) error {
			if len(args) > 0 {
				s.g.config = args
			}
			return s.validate(strict)
		},
	})
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings are errors")
	return cmd
}

func (s *shell) validate(strict bool) error {
	if len(s.configPaths()) == 0 {
		_, err := s.load()
		return err
	}
	cfg, diags, err := s.judged()
	if err != nil {
		return err
	}
	if s.g.json || s.g.jsonl {
		var doc bytes.Buffer
		if err := diags.JSON(&doc); err != nil {
			return err
		}
		s.told = true
		if _, err := s.io.Out.Write(escaped(doc.Bytes())); err != nil {
			return written(err)
		}
	} else if err := s.tellDiagnostics(cfg, diags); err != nil {
		return err
	}
	if diags.HasErrors() || (strict && len(diags) > 0) {
		return ended{fault.ExitConfig}
	}
	return nil
}

// tellDiagnostics shows problems on stderr and what is valid on stdout.
func (s *shell) tellDiagnostics(cfg *config.Config, diags config.Diagnostics) error {
	if len(diags) > 0 {
		if err := diags.Text(s.io.Err, s.talk.profile.Width, s.talk.profile.Color); err != nil {
			return written(err)
		}
	}
	if diags.HasErrors() || cfg == nil {
		return nil
	}
	return s.show(nil, nil, func(p *page) {
		p.line(p.Mark(term.Good)+" "+p.Paint(term.Good, "valid"), counted(len(cfg.Workspaces), "workspace"),
			counted(len(cfg.Executors), "executor"), counted(len(cfg.Sandboxes), "sandbox"), "in "+counted(len(cfg.Files), "file"))
	})
}
