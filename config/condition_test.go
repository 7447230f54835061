package config

import (
	"strings"
	"sync"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

func files(n int) sdk.Facts { return sdk.Facts{Diff: sdk.DiffFacts{Files: n}} }
func lines(n int) sdk.Facts { return sdk.Facts{Diff: sdk.DiffFacts{Lines: n}} }

// when loads a gate with the condition.
func (w *world) when(text string) *Condition {
	w.t.Helper()
	cfg := w.good(strings.Replace(minimal, `["go"]`, `["go"]
  gate "review" {
    hold = "look"
    when = `+text+`
  }`, 1))
	return cfg.Workspaces[0].Gates[0].When
}

func TestAConditionJudgesADiff(t *testing.T) {
	w := newWorld(t)
	facts := sdk.Facts{Diff: sdk.DiffFacts{Files: 3, Lines: 401, Insertions: 300, Deletions: 101, Binary: 1}}
	paths := []string{"go.mod", "cmd/a/main.go", "docs/übersicht.md"}
	for text, want := range map[string]bool{
		"diff.lines > 400": true,
		"diff.lines > 401": false,
		"diff.files == 3 && diff.insertions - 1 == 299":    true,
		"diff.deletions > 100 ? diff.binary == 1 : false":  true,
		"!(diff.binary > 0)":                               false,
		`touches(diff, "go.mod")`:                          true,
		`touches(diff, "*.go")`:                            false,
		`touches(diff, "*.rs", "**/*.go")`:                 true,
		`touches(diff, "docs/**")`:                         true,
		`touches(diff, "{cmd,pkg}/*/main.go")`:             true,
		`contains([1, 2, 3], diff.files)`:                  true,
		`diff.lines > max(100, 200) || touches(diff, "x")`: true,
	} {
		c := w.when(text)
		if got, err := c.Eval(facts, paths); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
		if c.Text != text {
			t.Errorf("text is %q, want %q", c.Text, text)
		}
	}
}

func TestAConditionThatFailsLaterSaysWhy(t *testing.T) {
	w := newWorld(t)
	c := w.when(`[true, false][diff.files > 5 ? (diff.files > 1000 ? 0 : 7) : 0]`)
	if ok, err := c.Eval(files(1), nil); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	if ok, err := c.Eval(files(8), nil); ok || err == nil || !strings.HasPrefix(err.Error(), "cannot be evaluated: ") {
		t.Errorf("got %v, %v, want an error", ok, err)
	}
}

func TestAConditionIsPureAndMayBeUsedAtOnce(t *testing.T) {
	w := newWorld(t)
	c := w.when(`diff.lines > 10 && touches(diff, "a/**")`)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 50 {
				paths := []string{"a/b"}
				if i%2 == 0 {
					paths = nil
				}
				if got, err := c.Eval(lines(n), paths); err != nil || got != (n > 10 && i%2 == 1) {
					t.Errorf("%d lines, %v: got %v, %v", n, paths, got, err)
				}
			}
		})
	}
	group.Wait()
}

func TestAConditionOverVariablesTellsTheirValues(t *testing.T) {
	w := newWorld(t)
	src := w.source()
	src.Vars = map[string]string{"n": "7"}
	text := "variable \"n\" {\n type = number\n}\n" + strings.Replace(minimal, `["go"]`, `["go"]
  gate "review" {
    hold = "look"
    when = diff.lines > var.n
  }`, 1)
	seven := w.mustLoad(text, src)
	if got, err := seven.Workspaces[0].Gates[0].When.Eval(lines(8), nil); !got || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	src.Vars["n"] = "9"
	nine := w.mustLoad(text, src)
	if got, err := nine.Workspaces[0].Gates[0].When.Eval(lines(8), nil); got || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if string(seven.Effective()) == string(nine.Effective()) {
		t.Error("the effective configuration does not tell the two apart")
	}
}

func TestGlobsAreRefusedForTheRightReason(t *testing.T) {
	for _, g := range []string{"**", "*", "a/**/b", "**/*.pem", "{a,b}/c", "[a-z]*", `\[x\]`, ".github/**", "ä/ö", "a b"} {
		if why := badGlob(g); why != "" {
			t.Errorf("%q is refused: %s", g, why)
		}
	}
	for _, g := range []string{
		"", "/a", "!a", "./a", "../a", "a/../b", "a//b", "a/", "[", "{a", "a\\", "a\x00", "a\nb", strings.Repeat("a", maxGlob+1), strings.Repeat("{a,b}", maxBraces+1),
	} {
		if badGlob(g) == "" {
			t.Errorf("%q is accepted", g)
		}
	}
}

func TestRefsFollowGitsRules(t *testing.T) {
	for _, r := range []string{"main", "HEAD", "refs/heads/main", "feature/x.y", "v1.2.3", "a-b_c", "deadbeef", "ünï"} {
		if why := badRef(r, false); why != "" {
			t.Errorf("%q is refused: %s", r, why)
		}
	}
	for _, r := range []string{"", "-x", "/a", "a/", "a//b", "a b", "a~1", "a^", "a:b", "a?b", "a*", "a[b", `a\b`, "a..b", "a@{1}", "a.", "@", ".a", "a/.b", "a.lock", "a.lock/b", "a\x7f", strings.Repeat("a", 256)} {
		if badRef(r, false) == "" {
			t.Errorf("%q is accepted", r)
		}
	}
	for _, r := range []string{"feature/*", "feature/*/*", "release-?", "*"} {
		if why := badRef(r, true); why != "" {
			t.Errorf("glob %q is refused: %s", r, why)
		}
	}
	for _, r := range []string{"[a]", "**", "feature/**"} {
		if badRef(r, true) == "" {
			t.Errorf("glob %q is accepted", r)
		}
	}
}
