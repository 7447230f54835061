package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// leaf is one command as data.
type leaf struct {
	use, short, long, example string
	args                      []string // names of the arguments: "STEP", "[STEP]" optional, "FILE..." any number
	aliases                   []string
	run                       func(ctx context.Context, args []string) error
}

func (s *shell) leaf(l leaf) *cobra.Command {
	use := l.use
	if len(l.args) > 0 {
		use += " " + strings.Join(l.args, " ")
	}
	return &cobra.Command{
		Use: use, Short: l.short, Long: l.long, Example: indent(l.example), Aliases: l.aliases,
		Args: takes(l.args), RunE: s.do(l.run), DisableFlagsInUseLine: false,
	}
}

// group is a noun with its verbs.
func (s *shell) group(use, short, long string, verbs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Long: long, Example: verbs[0].Example}
	g.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		f := usage("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			f = usage("unknown command %q for %q; did you mean %s?", args[0], cmd.CommandPath(), strings.Join(near, " or "))
		}
		return f.Fix("%s --help", cmd.CommandPath())
	}
	g.SuggestionsMinimumDistance = 2
	g.AddCommand(verbs...)
	return g
}

func indent(example string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(example), "\n", "\n  ")
}

// takes checks the number of arguments and names what is missing.
func takes(names []string) cobra.PositionalArgs {
	least, most := 0, len(names)
	for _, n := range names {
		if strings.HasSuffix(n, "...") || strings.HasSuffix(n, "...]") {
			most = 1 << 16
		}
		if !strings.HasPrefix(n, "[") {
			least++
		}
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage("%s: %s is missing", cmd.CommandPath(), names[len(args)]).Fix("%s --help", cmd.CommandPath())
		case len(args) > most:
			return usage("%s: %q is one argument too many", cmd.CommandPath(), args[most]).Fix("%s --help", cmd.CommandPath())
		}
		return nil
	}
}

// The groups of the help page.
const (
	groupWork   = "work"
	groupPeople = "people"
	groupTrust  = "trust"
	groupConfig = "config"
	groupCare   = "care"
)

const rootLong = `Drawspan runs steps of work by executor plugins on your own repositories: each attempt in its own
worktree and sandbox, judged by gates that you declare, recorded in a log that can be verified.

The daemon (drawspan serve) does the work; every other command talks to it over its socket.
Exit codes: drawspan help exit-codes. Variables: drawspan help environment.`

// usageTemplate is cobra's, without the global flags on every page.
const usageTemplate = `Usage:{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{else if .Runnable}}
  {{.UseLine}}{{end}}{{if .Aliases}}

Aliases:
  {{.NameAndAliases}}{{end}}{{if .HasExample}}

Example:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{if eq (len .Groups) 0}}

Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) .IsAvailableCommand)}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasHelpSubCommands}}

Topics:{{range .Commands}}{{if .IsAdditionalHelpTopicCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}

Help on one of them: drawspan help COMMAND{{else if .HasAvailableInheritedFlags}}

Global flags: drawspan --help{{end}}
`

// tree makes the command tree of this invocation.
func (s *shell) tree() *cobra.Command {
	root := &cobra.Command{
		Use: "drawspan", Short: "Run and judge steps of work on your own repositories", Long: rootLong,
		Example:      indent(`drawspan do "fix the flaky test" --with claude --workspace api`),
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetUsageTemplate(usageTemplate)
	root.AddGroup(
		&cobra.Group{ID: groupWork, Title: "Work:"},
		&cobra.Group{ID: groupPeople, Title: "People:"},
		&cobra.Group{ID: groupTrust, Title: "Trust:"},
		&cobra.Group{ID: groupConfig, Title: "Configuration:"},
		&cobra.Group{ID: groupCare, Title: "Care:"},
	)
	s.globalFlagsOn(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%s", firstSentence(err.Error())).Fix("%s --help", cmd.CommandPath())
	})
	in := func(id string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	in(groupWork, s.doCommand(), s.runCommand(), s.stepCommand(), s.attemptCommand(), s.artifactCommand(), s.demoCommand())
	in(groupPeople, s.approvalCommand(), s.gateCommand(), s.whyCommand())
	in(groupTrust, s.auditCommand(), s.pluginCommand())
	in(groupConfig, s.validateCommand(), s.fmtCommand(), s.configCommand(), s.workspaceCommand(), s.executorCommand(),
		s.explainCommand())
	in(groupCare, s.serveCommand(), s.doctorCommand(), s.gcCommand(), s.backupCommand(), s.versionCommand(),
		s.completionCommand())
	root.AddCommand(topics()...)
	root.SetHelpCommand(helpCommand())
	return root
}

func (s *shell) globalFlagsOn(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringArrayVar(&s.g.config, "config", nil, "configuration `FILE` or directory; repeatable (default ./drawspan.hcl, then ~/.config/drawspan/drawspan.hcl)")
	f.StringArrayVar(&s.g.vars, "var", nil, "value of a configuration variable, `NAME=VALUE`; repeatable")
	f.StringArrayVar(&s.g.varFiles, "var-file", nil, "`FILE` of configuration variables; repeatable")
	f.StringVar(&s.g.socket, "socket", "", "the daemon's socket `PATH` (default run/drawspan.sock in the state directory)")
	f.StringVar(&s.g.address, "address", "", "reach the daemon at its loopback `HOST:PORT` instead of the socket")
	f.StringVar(&s.g.tokenFile, "token-file", "", "`FILE` with the token for --address")
	f.BoolVar(&s.g.json, "json", false, "print exactly one JSON document")
	f.BoolVar(&s.g.jsonl, "jsonl", false, "print JSON lines where a command streams")
	f.BoolVarP(&s.g.quiet, "quiet", "q", false, "print ids only")
	f.BoolVar(&s.g.noColor, "no-color", false, "no colour")
}

// hashicorpFlags accepts the single dash that users of HCL tools type before long flags, for the two
// commands where those tools have them.
func hashicorpFlags(args []string) []string {
	if len(args) == 0 || (args[0] != "validate" && args[0] != "fmt") {
		return args
	}
	out := slices.Clone(args)
	for i, a := range out {
		name, _, _ := strings.Cut(strings.TrimPrefix(a, "-"), "=")
		if strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") &&
			slices.Contains([]string{"json", "check", "diff", "recursive", "config", "var", "var-file", "no-color", "write"}, name) {
			out[i] = "-" + a
		}
	}
	return out
}

// paging is how a list is asked for in parts.
type paging struct {
	limit  int
	cursor string
}

func (p *paging) flags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&p.limit, "limit", 50, "at most so many, up to 500")
	cmd.Flags().StringVar(&p.cursor, "cursor", "", "go on after an earlier part, with what it named")
}

// more tells how to get the next part.
func (s *shell) more(next string) {
	if next != "" && !s.g.json {
		s.say(s.talk.faint("there is more: add --cursor " + next))
	}
}
