package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/spf13/cobra"
)

const referencePath = "../../docs/cli.md"

// everyCommand is the tree without what cobra adds by itself.
func everyCommand(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			all = append(all, everyCommand(sub)...)
		}
	}
	return all
}

func testTree(t *testing.T) *cobra.Command {
	t.Helper()
	s := &shell{io: Streams{Env: func(string) string { return "" }, Home: t.TempDir(), Dir: t.TempDir()}}
	s.root = s.tree()
	s.root.InitDefaultHelpCmd()
	return s.root
}

// reference is the command line as Markdown.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Command line\n\n<!-- Generated from the commands: scripts/gen -->\n\n")
	b.WriteString(strings.TrimSpace(root.Long) + "\n\n## Global flags\n\n")
	writeFlags(&b, root)
	for _, cmd := range everyCommand(root)[1:] {
		level := "##"
		if cmd.Parent() != root {
			level = "###"
		}
		fmt.Fprintf(&b, "%s %s\n\n%s.\n\n", level, cmd.CommandPath(), cmd.Short)
		if cmd.IsAdditionalHelpTopicCommand() {
			fmt.Fprintf(&b, "```text\n%s\n```\n\n", cmd.Long)
		} else {
			b.WriteString(cmd.Long + "\n\n")
		}
		if cmd.Runnable() && !cmd.HasSubCommands() {
			fmt.Fprintf(&b, "```text\n%s\n```\n\n", cmd.UseLine())
			writeFlags(&b, cmd)
		}
		fmt.Fprintf(&b, "```sh\n%s\n```\n\n", strings.TrimSpace(strings.ReplaceAll(cmd.Example, "\n  ", "\n")))
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func writeFlags(b *strings.Builder, cmd *cobra.Command) {
	if usages := strings.TrimRight(cmd.NonInheritedFlags().FlagUsages(), "\n"); usages != "" {
		fmt.Fprintf(b, "```text\n%s\n```\n\n", usages)
	}
}

func TestTheReferenceIsCurrent(t *testing.T) {
	got := reference(testTree(t))
	if *update {
		if err := os.WriteFile(referencePath, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the commands say: run scripts/gen", filepath.Clean(referencePath))
	}
}

func TestEveryCommandExplainsItselfWithAnExample(t *testing.T) {
	root := testTree(t)
	for _, cmd := range everyCommand(root) {
		path := cmd.CommandPath()
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks Short, Long or Example", path)
		}
		if strings.HasSuffix(cmd.Short, ".") || strings.ToUpper(cmd.Short[:1]) != cmd.Short[:1] {
			t.Errorf("%s: the short help is no title: %q", path, cmd.Short)
		}
		if cmd.HasSubCommands() || cmd.IsAdditionalHelpTopicCommand() || cmd.Name() == "help" {
			continue
		}
		if !strings.Contains(cmd.Example, path) {
			t.Errorf("the example of %s shows something else: %s", path, cmd.Example)
		}
		for _, line := range strings.Split(cmd.Long, "\n") {
			if len(line) > 110 {
				t.Errorf("%s: a line of the help has %d columns", path, len(line))
			}
		}
	}
}

// TestExamplesParse runs the flags and argument checks of every example, not the commands.
func TestExamplesParse(t *testing.T) {
	for _, cmd := range everyCommand(testTree(t)) {
		for line := range strings.Lines(cmd.Example) {
			for part := range strings.SplitSeq(line, "&&") {
				words := shellWords(part)
				if len(words) == 0 || words[0] != "drawspan" {
					continue
				}
				root := testTree(t)
				found, rest, err := root.Find(words[1:])
				if err == nil {
					err = found.ParseFlags(rest)
				}
				if err == nil {
					err = found.ValidateArgs(found.Flags().Args())
				}
				if err == nil {
					err = found.ValidateRequiredFlags()
				}
				if err != nil {
					t.Errorf("%s: example %q: %v", cmd.CommandPath(), strings.TrimSpace(part), err)
				}
			}
		}
	}
}

// shellWords splits a command at blanks, up to a pipe or redirection; quotes hold together.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	var quote rune
	started := false
	end := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	for _, r := range strings.TrimSpace(line) {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case r == ' ':
			end()
		case r == '|' || r == '>' || r == ';':
			end()
			return words
		default:
			word.WriteRune(r)
			started = true
		}
	}
	end()
	return words
}

func TestEveryGlobalFlagHasItsVariable(t *testing.T) {
	root := testTree(t)
	var names []string
	for _, g := range globalFlags {
		names = append(names, g.name)
		if root.PersistentFlags().Lookup(g.name) == nil {
			t.Errorf("--%s is in the table but is no flag", g.name)
		}
		if !strings.Contains(environmentText(), g.env) {
			t.Errorf("%s is not in the help of the environment", g.env)
		}
	}
	for line := range strings.Lines(root.PersistentFlags().FlagUsages()) {
		_, rest, _ := strings.Cut(line, "--")
		name, _, _ := strings.Cut(rest, " ")
		if !slices.Contains(names, strings.TrimSpace(name)) {
			t.Errorf("--%s has no variable", name)
		}
	}
}

func TestEveryCodeIsExplained(t *testing.T) {
	for _, code := range fault.Codes() {
		e, ok := explanations[code]
		if !ok || e.cause == "" || e.remedy == "" {
			t.Errorf("%s is not explained", code)
		}
		if words := shellWords(e.next); e.next != "" {
			if _, _, err := testTree(t).Find(words[1:]); err != nil || words[0] != "drawspan" {
				t.Errorf("%s: the next command %q does not exist", code, e.next)
			}
		}
	}
	for code := range explanations {
		if !code.Known() {
			t.Errorf("%s is explained but no code", code)
		}
	}
	for _, code := range config.Codes() {
		if found := explainCode(code); len(found) == 0 || found[len(found)-1].Kind != "configuration" || found[len(found)-1].Cause == "" {
			t.Errorf("the configuration code %s is not explained", code)
		}
	}
}

func TestExplainCoversEveryCode(t *testing.T) {
	for _, code := range append(config.Codes(), codeNames()...) {
		e := newTerminal(t, nil)
		if got := e.run(t, "explain", code); got != 0 || !strings.Contains(e.out.String(), code) {
			t.Errorf("explain %s: exit %d: %s", code, got, e.err.String())
		}
	}
	e := newTerminal(t, nil)
	if got := e.run(t, "explain", "bogus"); got != fault.ExitNotFound {
		t.Errorf("an unknown code: exit %d", got)
	}
	all := newTerminal(t, nil)
	if got := all.run(t, "explain"); got != 0 {
		t.Errorf("explain: exit %d", got)
	}
	for _, code := range append(config.Codes(), codeNames()...) {
		if !strings.Contains(all.out.String(), code) {
			t.Errorf("%s is not in the list", code)
		}
	}
}

func codeNames() []string {
	var names []string
	for _, c := range fault.Codes() {
		names = append(names, string(c))
	}
	return names
}

func TestHelpExitCodesIsTheTable(t *testing.T) {
	e := newTerminal(t, nil)
	if got := e.run(t, "help", "exit-codes"); got != 0 {
		t.Fatalf("exit %d", got)
	}
	golden(t, "exit_codes", e.out.String())
}

func TestHelpOfEveryCommandWorks(t *testing.T) {
	for _, cmd := range everyCommand(testTree(t)) {
		e := newTerminal(t, nil)
		words := strings.Fields(cmd.CommandPath())[1:]
		if got := e.run(t, append([]string{"help"}, words...)...); got != 0 || !strings.Contains(e.out.String(), strings.TrimSpace(strings.Split(cmd.Long, "\n")[0])) {
			t.Errorf("help %v: exit %d: %s%s", words, got, e.out.String(), e.err.String())
		}
	}
	if got := newTerminal(t, nil).run(t, "help", "bogus"); got != fault.ExitUsage {
		t.Errorf("help bogus: exit %d", got)
	}
}
