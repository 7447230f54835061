package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdSnippet is: snippet CODE FILE PART [ARG...]. It runs the commands that a CI system would take from the
// file: of the first shell block or entry behind the line that holds PART. With "!" any other code is fine.
func cmdSnippet(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: snippet CODE FILE PART [ARG...]")
	}
	text, err := shellOf(ts.ReadFile(args[1]), args[2])
	ts.Check(err)
	if len(args) > 3 {
		text += ` "$@"`
	}
	if code := run(ts, append([]string{"sh", "-e", "-c", text, "sh"}, args[3:]...)); (strconv.Itoa(code) == args[0]) == neg {
		ts.Fatalf("the snippet ended with %d", code)
	}
}

// shellOf is the shell text behind the line of a YAML file that holds part, as its CI system hands it on.
func shellOf(file, part string) (string, error) {
	lines := strings.Split(file, "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, part) && !strings.HasPrefix(l, "#") })
	if at < 0 {
		return "", fmt.Errorf("there is no %q", part)
	}
	for i, line := range lines[at:] {
		if _, entry, ok := strings.Cut(line, "entry: "); ok {
			return entry, nil
		}
		if strings.HasSuffix(line, " |") {
			return strings.ReplaceAll(block(lines[at+i+1:]), "$$", "$"), nil
		}
	}
	return "", fmt.Errorf("there are no commands behind %q", part)
}

// block is a YAML block scalar: the lines that are indented as far as the first.
func block(lines []string) string {
	indent := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " "))]
	var out []string
	for _, line := range lines {
		if !strings.HasPrefix(line, indent) {
			break
		}
		out = append(out, strings.TrimPrefix(line, indent))
	}
	return strings.Join(out, "\n") + "\n"
}

func TestASnippetIsReadAsItsSystemReadsIt(t *testing.T) {
	const file = "# part\na:\n  part:\n    - |\n      one \"$${X}\"\n        two\n    b: c\n"
	if got, err := shellOf(file, "part"); err != nil || got != "one \"${X}\"\n  two\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
