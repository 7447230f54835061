package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write host/docs/errors.md instead of comparing it")

// TestThePageOfErrorsIsCurrent holds host/docs/errors.md to what the program itself says. To write it:
// go test ./host/e2e -run TestThePageOfErrorsIsCurrent -write
func TestThePageOfErrorsIsCurrent(t *testing.T) {
	prefix, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	want := errorsPage(t, filepath.Join(prefix, "bin", "drawspan"))
	name := filepath.Join(root(), "host", "docs", "errors.md")
	if *write {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("host/docs/errors.md is not what the program says (%v): write it anew with -write", err)
	}
}

func errorsPage(t *testing.T, program string) string {
	t.Helper()
	say := func(args ...string) []byte {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = t.TempDir(), []string{"HOME=" + t.TempDir()}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("drawspan %s: %v", strings.Join(args, " "), err)
		}
		return out
	}
	var codes []struct {
		Code, Kind, Cause, Remedy, Next string
		Exit                            int `json:"exit_code"`
	}
	if err := json.Unmarshal(say("explain", "--json"), &codes); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(`# Errors and exit codes

<!-- Made from what the program says by: go test ./host/e2e -run TestThePageOfErrorsIsCurrent -write -->

A failure is ` + "`error[CODE]`" + `, what happened, where, and what to do next. Codes are stable, texts are not: scripts match on
codes. With ` + "`--json`" + ` the failure is the document. ` + "`drawspan explain CODE`" + ` says the same as this page; the codes of
configuration problems are in [config.md](config.md).

| code | what happened | what to do | exit |
| --- | --- | --- | --- |
`)
	for _, c := range codes {
		if c.Kind != "error" {
			continue
		}
		remedy := c.Remedy
		if c.Next != "" {
			remedy += " `" + c.Next + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %d |\n", c.Code, cell(c.Cause), cell(remedy), c.Exit)
	}
	b.WriteString("\n## Exit codes\n\nFor commands that follow a step the code says how the step stands.\n\n| code | meaning |\n| --- | --- |\n")
	for line := range strings.SplitSeq(string(say("help", "exit-codes")), "\n") {
		code, meaning, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if ok && strings.Trim(code, "0123456789") == "" {
			fmt.Fprintf(&b, "| %s | %s |\n", code, cell(meaning))
		}
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "|", "\\|") }
