package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (s *shell) completionCommand() *cobra.Command {
	cmd := s.leaf(leaf{
		use: "completion", args: []string{"SHELL"}, short: "Print the completion script for bash, zsh, fish or powershell",
		long:    "Prints a script that teaches a shell to complete drawspan's commands and flags.",
		example: "drawspan completion bash > ~/.local/share/bash-completion/completions/drawspan",
		run: func(_ context.Context, args []string) error {
			var err error
			switch args[0] {
			case "bash":
				err = s.root.GenBashCompletionV2(s.io.Out, true)
			case "zsh":
				err = s.root.GenZshCompletion(s.io.Out)
			case "fish":
				err = s.root.GenFishCompletion(s.io.Out, true)
			case "powershell":
				err = s.root.GenPowerShellCompletionWithDesc(s.io.Out)
			default:
				return usage("no completion for %q; there is one for bash, zsh, fish and powershell", args[0])
			}
			return written(err)
		},
	})
	cmd.ValidArgs = []string{"bash", "zsh", "fish", "powershell"}
	return cmd
}
