package agent

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
)

// versionTime is how long a program has to say its version.
const versionTime = 20 * time.Second

// ErrNoProgram is the failure of an attempt whose program the host did not find.
func ErrNoProgram(p sdk.Program) error {
	message := p.Name + " is not installed"
	if p.Install != "" {
		message += ": install it with \"" + p.Install + "\""
	}
	return &sdk.Failure{Class: "policy", Message: message + "; drawspan doctor shows where it is looked for"}
}

// Argv is the command line of a program: by its interpreter where it has one.
func Argv(p sdk.Installed, args ...string) []string {
	if p.Interpreter != "" {
		return append([]string{p.Interpreter, p.Path}, args...)
	}
	return append([]string{p.Path}, args...)
}

// ProgramVersion asks a program for its version. It runs it with an environment and nothing to read.
func ProgramVersion(ctx context.Context, p sdk.Installed, env []string, args ...string) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	argv := Argv(p, args...)
	r, err := tool.Run(bounded, tool.Command{Argv: argv, Env: env, Grace: defaultGrace})
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", p.Name, err)
	}
	version := Version(r.Tail)
	switch {
	case r.Stopped:
		return "", fmt.Errorf("%s did not say its version within %s", p.Name, versionTime)
	case r.ExitCode != 0 || version == "":
		return "", fmt.Errorf("%s says no version (exit code %d): %s", strings.Join(argv, " "), r.ExitCode, tool.LastLines(r.Tail, 3))
	}
	return version, nil
}

var versionForm = regexp.MustCompile(`\b\d{1,9}(?:\.\d{1,9}){1,3}(?:-[0-9A-Za-z.-]{1,64})?\b`)

// Version is the first version in a text, "2.1.197" of "2.1.197 (Claude Code)", or "".
func Version(text string) string { return versionForm.FindString(text) }

var comparison = regexp.MustCompile(`^(>=|<=|>|<|=)(\d{1,9}(?:\.\d{1,9}){0,3}(?:-[0-9A-Za-z.-]{1,64})?)$`)

// InRange says that a version satisfies every comparison of a range: ">=2.1.190 <2.2.0". A version or a
// range that cannot be read does not.
func InRange(version, tested string) bool {
	all := strings.Fields(tested)
	if len(all) == 0 || Version(version) != version || version == "" {
		return false
	}
	for _, one := range all {
		parts := comparison.FindStringSubmatch(one)
		if parts == nil || !holds(parts[1], compare(version, parts[2])) {
			return false
		}
	}
	return true
}

func holds(operator string, order int) bool {
	switch operator {
	case ">=":
		return order >= 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case "<":
		return order < 0
	default:
		return order == 0
	}
}

// compare orders two versions; a pre-release comes before its release.
func compare(a, b string) int {
	a, aPre, _ := strings.Cut(a, "-")
	b, bPre, _ := strings.Cut(b, "-")
	x, y := numbers(a), numbers(b)
	if order := slices.Compare(x[:], y[:]); order != 0 {
		return order
	}
	if (aPre == "") != (bPre == "") {
		return cmp.Compare(len(bPre), len(aPre))
	}
	return strings.Compare(aPre, bPre)
}

func numbers(version string) (all [4]int) {
	for i, part := range strings.SplitN(version, ".", len(all)) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return all // the forms above let only digits through
		}
		all[i] = n
	}
	return all
}

// vendors are the beginnings of the variables that steer agents and carry their credentials.
var vendors = []string{
	"CLAUDE", "ANTHROPIC_", "CODEX_", "OPENAI_", "GEMINI_", "GOOGLE_", "QWEN_", "DASHSCOPE_", "OPENCODE_",
	"COPILOT_", "GITHUB_COPILOT_", "CLINE_", "MCP_",
}

// Environ is an agent's environment: base without the variables of the plugin protocol and of other
// vendors' agents, and what is set in addition. Own lists the beginnings of the vendor variables that the
// agent may have: "ANTHROPIC_", "CLAUDE".
func Environ(base, own []string, set map[string]string) []string {
	var kept []string
	for _, pair := range base {
		key, _, _ := strings.Cut(pair, "=")
		if _, ours := set[key]; !ours && (!begins(key, vendors) || begins(key, own)) {
			kept = append(kept, pair)
		}
	}
	return tool.Environ(kept, set)
}

func begins(key string, with []string) bool {
	return slices.ContainsFunc(with, func(w string) bool { return strings.HasPrefix(strings.ToUpper(key), w) })
}
