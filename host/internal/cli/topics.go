package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// topics are help pages that are no commands.
func topics() []*cobra.Command {
	var exits strings.Builder
	exits.WriteString("What the exit code of drawspan means. For commands that follow a step it says how the step stands.\n\n")
	for _, r := range exitTable {
		fmt.Fprintf(&exits, "%5d  %s\n", r.code, r.meaning)
	}
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes mean", Long: strings.TrimRight(exits.String(), "\n"),
			Example: indent(`drawspan step wait step_01JD0Q8Z3V; echo $?`)},
		{Use: "environment", Short: "Which variables drawspan reads", Long: environmentText(),
			Example: indent("DRAWSPAN_SOCKET=/run/user/1000/drawspan.sock drawspan run ls")},
	}
}

func environmentText() string {
	var b strings.Builder
	b.WriteString(`Each global flag has a twin. A flag wins over the variable, that over the configuration file, that over
the default.

`)
	for _, g := range globalFlags {
		fmt.Fprintf(&b, "  %-25s --%s\n", g.env, g.name)
	}
	b.WriteString(`
  DRAWSPAN_LIBEXEC          where the launcher and the plugins are, instead of lib/drawspan beside bin
  DRAWSPAN_TOKEN            the token for --address
  DRAWSPAN_FORCE_TTY        treat outputs as a terminal, of so many columns if it is a number
  DRAWSPAN_PROMPT_DISABLED  never ask
  CLICOLOR=0                no colour
  CLICOLOR_FORCE            colour, terminal or not
  TERM=dumb                 no colour, no redrawing, ASCII only

DRAWSPAN_CONFIG, DRAWSPAN_VAR_FILE and DRAWSPAN_LIBEXEC take several paths, separated as in PATH.`)
	return b.String()
}

// helpCommand is `drawspan help`.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command or topic",
		Long: "Shows the help of a command or of a topic, such as exit-codes.", Example: indent("drawspan help step apply"),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || found == nil || len(rest) > 0 {
				return usage("there is no help for %q", strings.Join(args, " ")).Fix("drawspan help")
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}
