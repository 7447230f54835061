package main

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/patch"
)

// sections are the paths of a patch with the lines that were added.
func sections(t *testing.T, text string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := scan([]byte(text), func(path string) { all[path] += "" }, func(l line) {
		if l.sign == '+' {
			all[l.path] += l.text + "\n"
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAPatchOfGitIsReadWhole(t *testing.T) {
	c := changed(t,
		files{"gone": "a\nb\n", "sp ace": "1\n", "mode": "x\n", "type": "x\n", "b b/b b": "x\n", "end": "no newline", "bin": "\x00\x01", "empty gone": ""},
		files{"sp ace": "2\n", "mode": "exec:x\n", "type": "link:gone", "b b/b b": "exec:x\n", "end": "no newline\nmore", "bin": strings.Repeat("\x00\x02", 500), "empty new": "",
			"q\"uo\\te\t\n": "@@ -1 +1 @@\n", "\xff\xfe": "--- a\n+++ b\n", "new": "diff --git a/x b/x\n", "é": "\n"})
	want := map[string]string{
		"gone": "", "sp ace": "2\n", "mode": "", "type": "gone\n", "b b/b b": "", "end": "no newline\nmore\n", "bin": "", "empty new": "", "empty gone": "",
		"q\"uo\\te\t\n": "@@ -1 +1 @@\n", "\xff\xfe": "--- a\n+++ b\n", "new": "diff --git a/x b/x\n", "é": "\n",
	}
	got := sections(t, string(c.Patch))
	if len(got) != len(want) || len(c.Changes) != len(want) {
		t.Errorf("%d sections and %d changes, want %d", len(got), len(c.Changes), len(want))
	}
	for path, text := range want {
		if have, ok := got[path]; !ok || have != text {
			t.Errorf("%q: %q, want %q", path, have, text)
		}
	}
}

// F15: what a file holds does not steer how its patch is read.
func TestF15_APatchThatIsNotGitsIsRefused(t *testing.T) {
	head := "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n"
	for name, text := range map[string]string{
		"no head":               "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
		"words":                 "hello\n",
		"two names":             "diff --git a/x b/y\n",
		"a rename":              "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n",
		"no plus":               "diff --git a/x b/x\n--- a/x\n@@ -1 +1 @@\n",
		"no prefix":             "diff --git a/x b/x\n--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n",
		"a quote without end":   "diff --git a/x b/x\n--- a/x\n+++ \"b/x\n@@ -1 +1 @@\n-a\n+b\n",
		"a wrong escape":        "diff --git a/x b/x\n--- a/x\n+++ \"b/\\999\"\n",
		"an escape at the end":  "diff --git a/x b/x\n--- a/x\n+++ \"b/\\",
		"too few lines":         head + "@@ -1,2 +1,2 @@\n-a\n",
		"too many lines":        head + "@@ -1 +1 @@\n-a\n+b\n+c\n",
		"more old than said":    head + "@@ -1 +1,2 @@\n-a\n-b\n+c\n+d\n",
		"no numbers":            head + "@@ -a +b @@\n",
		"huge numbers":          head + "@@ -1,99999999999999999999 +1 @@\n",
		"a sign that is none":   head + "@@ -1 +1 @@\n*a\n",
		"half a head":           head + "@@ -1 @@\n",
		"an unknown header":     "diff --git a/x b/x\ncolour red\n",
		"no name":               "diff --git a/ b/\nnew file mode 100644\n",
		"a tail":                head + "@@ -1 +1 @@\n-a\n+b\n\n",
		"quoted, then nothing":  "diff --git \"a/x\"\n",
		"quoted, then no blank": "diff --git \"a/x\"\"b/x\"\n",
	} {
		err := scan([]byte(text), func(string) {}, func(line) {})
		if !errors.Is(err, patch.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLinesHaveTheirNumbersAfterTheChange(t *testing.T) {
	c := changed(t, files{"a": "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n"}, files{"a": "1\nx\n3\n4\n5\n6\n7\n8\n9\n10\ny\n11\n12\nz\n"})
	got := map[string]int{}
	if err := scan(c.Patch, func(string) {}, func(l line) {
		if l.sign == '+' {
			got[l.text] = l.number
		}
	}); err != nil {
		t.Fatal(err)
	}
	if got["x"] != 2 || got["y"] != 11 || got["z"] != 14 {
		t.Errorf("%v", got)
	}
}

func FuzzPatch(f *testing.F) {
	f.Add("diff --git a/a_test.go b/a_test.go\n--- a/a_test.go\n+++ b/a_test.go\n@@ -1,2 +1 @@\n-func TestA(t *testing.T) {\n+\tt.Skip(\n-}\n")
	f.Add("diff --git \"a/\\303\\251.rs\" \"b/\\303\\251.rs\"\nnew file mode 100644\n--- /dev/null\n+++ \"b/\\303\\251.rs\"\n@@ -0,0 +1,2 @@\n+#[test]\n+fn x() {}\n\\ No newline at end of file\n")
	f.Add("diff --git a/b b/b\nindex 1..2\nGIT binary patch\nliteral 1\nabc\n\nliteral 0\nabc\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		seen := map[string]bool{}
		lines := 0
		err := scan([]byte(text), func(path string) {
			seen[path] = true
			if path == "" {
				t.Error("a section without a path")
			}
		}, func(line) { lines++ })
		if lines > strings.Count(text, "\n")+1 {
			t.Errorf("%d lines of %q", lines, text)
		}
		var all []sdk.Change
		for path := range seen {
			all = append(all, sdk.Change{Path: path, Op: "modify", OldMode: modeFile, NewMode: modeFile, Added: 1})
		}
		v, judgeErr := diff{}.Check(t.Context(), &sdk.Check{Changes: all, Patch: []byte(text)})
		if judgeErr != nil || err != nil && v.Outcome == sdk.Pass {
			t.Errorf("%q: %+v, %v, although %v", text, v, judgeErr, err)
		}
	})
}

// The largest patch that a gate is given is judged in a moment, whatever it consists of.
func BenchmarkLargestPatch(b *testing.B) {
	for name, text := range map[string]string{"short lines": "x\n", "tests": "func TestA(t *testing.T) { t.Skip() }\n", "hidden": "\u202e\n", "emoji": "👩\u200d💻\n"} {
		n := sdk.MaxPatch / (len(text) + 1)
		var whole strings.Builder
		whole.WriteString("diff --git a/a_test.go b/a_test.go\n--- a/a_test.go\n+++ b/a_test.go\n@@ -0,0 +1," + strconv.Itoa(n) + " @@\n")
		whole.WriteString(strings.Repeat("+"+text, n))
		check := &sdk.Check{Patch: []byte(whole.String()), Changes: []sdk.Change{{Path: "a_test.go", Op: "modify", OldMode: modeFile, NewMode: modeFile, Added: n}}}
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v, err := (diff{}).Check(b.Context(), check); err != nil || v.Outcome == sdk.Error {
					b.Fatal(v, err)
				}
			}
		})
	}
}
