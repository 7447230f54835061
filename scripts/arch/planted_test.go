package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// planted writes a small project and parses it. Names are slash paths, a go.mod is added.
func planted(t *testing.T, files map[string]string) *tree {
	t.Helper()
	root := t.TempDir()
	files["go.mod"] = "module example.org/house\n\ngo 1.26\n"
	for name, text := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// wantOnly asserts that exactly the violations arrived which contain the given texts, in any order.
func wantOnly(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d violations, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	all := strings.Join(got, "\n")
	for _, w := range want {
		if !strings.Contains(all, w) {
			t.Errorf("no violation says %q:\n%s", w, all)
		}
	}
}

func TestAPlantedImportIsCaught(t *testing.T) {
	tr := planted(t, map[string]string{
		"gate/gate.go":      "package gate\n\nimport (\n\t\"errors\"\n\t\"example.org/house/client\"\n\t\"github.com/x/y\"\n\t\"os/exec\"\n)\n",
		"gate/gate_test.go": "package gate\n\nimport \"github.com/test/only\"\n",
		"client/client.go":  "package client\n",
		"attic/attic.go":    "package attic\n",
		"ex/one/main.go":    "package main\n\nimport \"example.org/house/client\"\n",
	})
	rules, bad := parseRules("client:\ngate: github.com/x # not exec\nghost:\nex/...: client\n")
	wantOnly(t, append(bad, checkImports(tr, rules)...),
		"gate/gate.go:5: gate imports client",
		"gate/gate.go:6: gate imports github.com/x/y",
		"gate/gate.go:7: gate imports os/exec",
		"attic: a package without a line",
		"deps.txt:3: ghost is a line without a package")
}

func TestAnAllowedImportPasses(t *testing.T) {
	tr := planted(t, map[string]string{
		"gate/gate.go":     "package gate\n\nimport (\n\t\"example.org/house/client\"\n\t\"github.com/x/y/z\"\n\t\"os/exec\"\n)\n",
		"client/client.go": "package client\n",
	})
	rules, bad := parseRules("client:\ngate: client github.com/x/... os/exec\n")
	wantOnly(t, append(bad, checkImports(tr, rules)...))
}

func TestALineThatReachesUpOrComesTwiceIsCaught(t *testing.T) {
	_, bad := parseRules("low: high\nhigh:\nlow:\nnonsense\n")
	wantOnly(t, bad, "deps.txt:1: low may not reach up to high", "deps.txt:3: low has a line already, 1",
		"deps.txt:4: want `room: imports`")
}

func TestTheClosureGoesThroughOurOwnRooms(t *testing.T) {
	tr := planted(t, map[string]string{
		"a/a.go": "package a\n\nimport \"example.org/house/b\"\n",
		"b/b.go": "package b\n\nimport \"net/http\"\n",
	})
	wantOnly(t, unreachable(tr, "a", "net/http"), "a reaches net/http through b")
	wantOnly(t, unreachable(tr, "a", "os/exec"))
}

func TestANestedModuleIsSeenUnderItsOwnPath(t *testing.T) {
	tr := planted(t, map[string]string{
		"ex/go.mod":  "module example.com/outsider\n",
		"ex/main.go": "package main\n\nimport \"example.com/outsider/inner\"\n",
	})
	if got := closure(tr, "ex"); got["ex/inner"] != "ex" {
		t.Errorf("got %v, want ex/inner", got)
	}
}

func TestAGodFileAndAGodFunctionAreCaught(t *testing.T) {
	var b strings.Builder
	b.WriteString("package big\n\nfunc big(a, b, c int, d, e, f string) {\n")
	for range 15 {
		b.WriteString("\tif a > 0 && b > 0 {\n\t\ta++\n\t}\n")
	}
	b.WriteString(strings.Repeat("\ta++\n", 40) + "}\n")
	for i := range 31 {
		b.WriteString("\ntype T" + strings.Repeat("x", i) + " struct{}\n")
	}
	b.WriteString(strings.Repeat("// filler\n", 500))
	tr := planted(t, map[string]string{"a/b/c/d/e/f/big/big.go": b.String()})
	wantOnly(t, checkSizes(measureAll(tr)), "lines of file, the bound is 600", "87 lines of function, the bound is 80",
		"31 branches of function", "6 parameters of function", "31 exported names", "7 depth of package")
}

func TestABlockOfConstantsIsOneName(t *testing.T) {
	tr := planted(t, map[string]string{"a/a.go": "package a\n\nconst (\n\tA = 1\n\tB = 2\n)\n\nvar C, d = 1, 2\n\nfunc E() {}\n"})
	if got := exportedNames(tr.rooms["a"]); got != 3 {
		t.Errorf("got %d names, want 3", got)
	}
}

func TestDrawersAndStutterAreCaught(t *testing.T) {
	tr := planted(t, map[string]string{
		"strutils/x.go": "package strutils\n",
		"util/x.go":     "package util\n",
		"gate/x.go":     "package gate\n\ntype GateKeeper struct{}\n\ntype Gate struct{}\n\ntype RunManager struct{}\n\ntype BaseRef struct{}\n\ntype StepBase struct{}\n\nfunc GateOpen() {}\n\nfunc (Gate) GateShut() {}\n",
	})
	wantOnly(t, checkNames(tr), "util: a package", "gate.GateKeeper stutters", "type RunManager", "type StepBase", "gate.GateOpen stutters")
}

func TestSilentRoomsAreCaught(t *testing.T) {
	comment := "// Package x " + strings.Repeat("says its job ", 6) + "\n"
	tr := planted(t, map[string]string{
		"quiet/x.go":       "package quiet\n",
		"sdk/x.go":         comment + "package sdk\n\n// A is.\nfunc A() {}\n\ntype B struct{}\n\nfunc (b B) C() {}\n",
		"loud/x.go":        comment + "package loud\n\n// Kinds.\nconst (\n\tA = 1\n\tB = 2\n)\n\ntype t struct{}\n\nfunc (t) X() {}\n",
		"e2e/only_test.go": comment + "package e2e\n",
	})
	wantOnly(t, checkDocs(tr), "quiet: no package comment", "sdk: 2 of 3 exported names")
}

func TestAStrayFileAtTheTopIsCaughtOnceItIsTracked(t *testing.T) {
	root := planted(t, map[string]string{
		"host/room/room.go": "package room\n", "README.md": "", ".ci/run": "", ".gitignore": "*.out\n",
		"bench": "\x7fELF\x02", "sdk": "\x7fELF\x02", "notes/a.txt": "", "notes/b.txt": "", "LICENSE/a.txt": "", "odd name\n": "", "cover.out": "",
	}).root
	if got := tracked(t, root); got != nil {
		t.Errorf("outside of a repository %q is tracked", got)
	}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = root, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + root}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	git("add", "host", "README.md", ".ci", ".gitignore", "go.mod")
	wantOnly(t, checkTop(tracked(t, root))) // what is only there is nobody's business
	git("add", "--all")
	wantOnly(t, checkTop(tracked(t, root)), "bench: not one of the files", "sdk: not one of the files", "notes/: not one of the directories",
		"LICENSE/: not one of the directories", "odd name\n: not one of the files")
}
