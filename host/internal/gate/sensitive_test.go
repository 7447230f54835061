package gate

import (
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
)

func diffOf(paths ...string) work.DiffFacts {
	var d work.DiffFacts
	for _, p := range paths {
		d.Files = append(d.Files, work.Change{Path: p, Op: "add"})
	}
	return d
}

// Probe 35 of the escape catalogue: files that other tools execute on opening.
func TestS84_WhatToolsExecuteIsKnown(t *testing.T) {
	for name, want := range map[string]string{
		".claude/settings.json": onOpen, ".vscode/tasks.json": onOpen, ".envrc": onOpen, "sub/.envrc": onOpen, "venv/pyvenv.cfg": onOpen,
		".mcp.json": onOpen, ".husky/pre-commit": onOpen, ".githooks/post-checkout": onOpen, ".github/workflows/ci.yml": onOpen,
		".GitHub/Workflows/ci.yml": onOpen, ".VSCode/tasks.json": onOpen, "a/b/.idea/workspace.xml": onOpen, ".npmrc": onOpen, ".gitattributes": onOpen,
		".gitmodules": onOpen, ".git": onOpen, "sub/.git/config": onOpen, ".cargo/config.toml": onOpen, "x.code-workspace": onOpen,
		"lib/evil.pth": onOpen, ".vscode": onOpen, ".pre-commit-config.yaml": onOpen, ".codex/config.toml": onOpen, ".qwen/settings.json": onOpen,
		"Makefile": onUse, "web/package.json": onUse, "tests/conftest.py": onUse, "CLAUDE.md": onUse, "AGENTS.md": onUse,
		"main.go": "", "vscode/tasks.json": "", "github/workflows/ci.yml": "", "docs/envrc.md": "", ".github/CODEOWNERS": "", "a.pth.txt": "",
	} {
		if got, _ := classify(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestSensitivePathsAreFlaggedHeldOrDenied(t *testing.T) {
	opened, used, plain := diffOf("main.go", ".envrc"), diffOf("Makefile"), diffOf("main.go")
	for _, row := range []struct {
		mode    string
		diff    work.DiffFacts
		result  work.Result
		verdict work.Verdict
	}{
		{"", plain, work.ResultPass, work.VerdictPass},
		{"flag", opened, work.ResultWarn, work.VerdictPass},
		{"flag", used, work.ResultWarn, work.VerdictPass},
		{"hold", plain, work.ResultPass, work.VerdictPass},
		{"hold", opened, work.ResultFail, work.VerdictHold},
		{"hold", used, work.ResultWarn, work.VerdictPass},
		{"deny", opened, work.ResultFail, work.VerdictFail},
		{"deny", used, work.ResultWarn, work.VerdictPass},
	} {
		rule := SensitiveRule(row.mode, "x.hcl:1")
		result, message, findings := Sensitive(rule, row.diff)
		got := Judge(rule, work.Validation{Result: result, Message: message, Findings: findings})
		if result != row.result || got.Verdict != row.verdict {
			t.Errorf("%q, %v: %s, %s (%s)", row.mode, row.diff.Files, result, got.Verdict, got.Reason)
		}
		if touched := row.result != work.ResultPass; touched != (len(findings) == 1) {
			t.Errorf("%q: findings %v", row.mode, findings)
		}
	}
}

func TestARenameAwayFromASensitivePathIsSeen(t *testing.T) {
	d := work.DiffFacts{Files: []work.Change{{Path: "old/tasks.json", OldPath: ".vscode/tasks.json", Op: "rename"}}}
	if _, _, findings := Sensitive(SensitiveRule("deny", ""), d); len(findings) != 1 || findings[0].Path != ".vscode/tasks.json" {
		t.Errorf("got %v", findings)
	}
}
