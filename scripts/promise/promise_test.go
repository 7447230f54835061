package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fake is a small project: its promises are the real ones, its tests are not.
func fake(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files["go.mod"] = "module example.org/fake\n\ngo 1.26\n"
	for name, text := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOWORK", "off")
	return root
}

const testFile = `package a

import "testing"

func TestS1_ItHolds(t *testing.T)                {}
func TestS2_ItHoldsToo(t *testing.T)             {}
func TestS2_ItDoesNot(t *testing.T)              { t.Error("broken promise") }
func TestS3_S4_TwoAtOnce(t *testing.T)           {}
func TestS4_NotHere(t *testing.T)                { t.Skip("needs a moon") }
func TestS5_EveryPartIsSkipped(t *testing.T)     { t.Run("part", func(t *testing.T) { t.Skip("no part") }) }
func TestS6_OnePartIsSkipped(t *testing.T) {
	t.Run("one", func(t *testing.T) { t.Skip("not this one") })
	t.Run("two", func(t *testing.T) {})
}
func TestS7_Panics(t *testing.T) { panic("no") }
func TestSomethingElse(t *testing.T) { t.Error("is never run") }
`

const player = `package testscript

import ("os"; "path/filepath"; "strings"; "testing")

func Run(t *testing.T, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.txtar"))
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			text, _ := os.ReadFile(f)
			if strings.Contains(string(text), "fail") { t.Error("script failed") }
			if strings.Contains(string(text), "skip") { t.Skip("script skipped") }
		})
	}
}
`

func project() map[string]string {
	return map[string]string{
		"a/a_test.go":              testFile,
		"testscript/testscript.go": player,
		"e2e/e2e_test.go": "package e2e\n\nimport (\n\t\"testing\"\n\t\"example.org/fake/testscript\"\n)\n\n" +
			"func TestScripts(t *testing.T) { testscript.Run(t, \"testdata/script\") }\n\n" +
			"func TestOthers(t *testing.T) { testscript.Run(t, \"testdata/other\") }\n",
		"e2e/testdata/script/s8-good.txtar":      "exec x\n",
		"e2e/testdata/script/s9-s10-bad.txtar":   "fail\n",
		"e2e/testdata/script/s11-skipped.txtar":  "skip\n",
		"e2e/testdata/script/unnumbered.txtar":   "fail\n",
		"e2e/testdata/script/s3tables-are.txtar": "fail\n",
		"nested/go.mod":                          "module example.org/nested\n\ngo 1.26\n",
		"nested/in/n_test.go":                    "package in\n\nimport \"testing\"\n\nfunc TestS12_Nested(t *testing.T) {}\n",
		"broken/b_test.go":                       "package broken\n\nimport \"testing\"\n\nfunc TestS13_DoesNotBuild(t *testing.T) { undefined() }\n",
	}
}

// judged runs the program over a project and returns its JSON lines by number.
func judged(t *testing.T, root string, args ...string) (map[string]line, string, int) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.json")
	var stdout, stderr bytes.Buffer
	code := run(append([]string{"--root", root, "--json", out}, args...), &stdout, &stderr)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	lines := map[string]line{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	for dec.More() {
		var l line
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines[l.ID] = l
	}
	return lines, stdout.String() + stderr.String(), code
}

func TestAPromiseIsHeldOnlyByATestThatRanAndPassed(t *testing.T) {
	lines, text, code := judged(t, fake(t, project()))
	if code != 1 {
		t.Errorf("got exit %d, want 1, since some failed", code)
	}
	if len(lines) != 84 {
		t.Errorf("got %d lines, want one for each of 84 promises", len(lines))
	}
	want := map[string]string{"S1": held, "S2": failed, "S3": held, "S4": unprovable, "S5": unprovable, "S6": held,
		"S7": failed, "S8": held, "S9": failed, "S10": failed, "S11": unprovable, "S12": held, "S13": failed, "S14": open}
	for id, state := range want {
		if lines[id].State != state {
			t.Errorf("%s: got %s, want %s (%s)", id, lines[id].State, state, lines[id].Test)
		}
	}
	if got, want := lines["S2"].Test, "a.TestS2_ItDoesNot a.TestS2_ItHoldsToo"; got != want {
		t.Errorf("S2: got tests %q, want %q", got, want)
	}
	if got, want := lines["S8"].Test, "e2e.TestScripts/s8-good"; got != want {
		t.Errorf("S8: got test %q, want %q", got, want)
	}
	if got, want := lines["S12"].Test, "nested/in.TestS12_Nested"; got != want {
		t.Errorf("S12: got test %q, want %q", got, want)
	}
	for _, part := range []string{"(needs a moon)", "(script skipped)", "broken promise", "[gates]"} {
		if !strings.Contains(text, part) {
			t.Errorf("the output does not say %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "is never run") {
		t.Error("a test without a number was run")
	}
}

func TestOneNumberRunsItsOwnTestsOnly(t *testing.T) {
	lines, text, code := judged(t, fake(t, project()), "s1", "S8")
	if code != 0 || len(lines) != 2 || lines["S1"].State != held || lines["S8"].State != held {
		t.Errorf("got exit %d and %v\n%s", code, lines, text)
	}
}

func TestListingRunsNothingAndHoldsNothing(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"--root", fake(t, project()), "--list"}, &stdout, &stderr); code != 0 {
		t.Fatalf("got exit %d: %s", code, stderr.String())
	}
	text := stdout.String()
	if !strings.Contains(text, "84 promises: 13 listed 71 open\n") || strings.Contains(text, held) {
		t.Errorf("got\n%s", text)
	}
}

func TestANumberThatNoPromiseHasIsRefused(t *testing.T) {
	var stdout, stderr bytes.Buffer
	root := fake(t, project())
	if code := run([]string{"--root", root, "S99"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "no promise S99") {
		t.Errorf("got exit %d: %s", code, stderr.String())
	}
}

func TestATestWithANumberThatNoPromiseHasIsRefused(t *testing.T) {
	var stdout, stderr bytes.Buffer
	root := fake(t, map[string]string{"a/a_test.go": "package a\n\nimport \"testing\"\n\nfunc TestS85_X(t *testing.T) {}\n"})
	if code := run([]string{"--root", root, "--list"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "S85, which is no promise") {
		t.Errorf("got exit %d: %s", code, stderr.String())
	}
}

func TestAScriptThatNobodyPlaysIsRefused(t *testing.T) {
	var stdout, stderr bytes.Buffer
	root := fake(t, map[string]string{"a/testdata/s1-x.txtar": "", "a/a_test.go": "package a\n"})
	if code := run([]string{"--root", root, "--list"}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), "no test above it plays scripts") {
		t.Errorf("got exit %d: %s", code, stderr.String())
	}
}

func TestAListHasNoStatesToWrite(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"--list", "--json", "x"}, &stdout, &stderr); code != 2 {
		t.Errorf("got exit %d, want 2", code)
	}
}

func TestTheTableIsWholeAndInOrder(t *testing.T) {
	all, err := promises(promiseTable)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 84 {
		t.Errorf("got %d promises, want 84", len(all))
	}
	for _, bad := range []string{"S1\tx", "S2\ta\tb", "S1\ta\tb\nS3\ta\tb"} {
		if _, err := promises(bad); err == nil {
			t.Errorf("the table %q was accepted", bad)
		}
	}
}

func TestNumbersAreReadFromNames(t *testing.T) {
	for name, want := range map[string][]string{
		"TestS41_TheLogIsAppendOnly": {"S41"}, "TestS41": {"S41"}, "TestS3_S4_Both": {"S3", "S4"},
		"TestS3Bucket": nil, "TestSecond": nil, "TestF13_S5": nil,
	} {
		var got []string
		if m := goTest.FindStringSubmatch(name); m != nil {
			got = numbers(m[1])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
