package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

// In these tests the analyser is `cat say`: the tree holds its report.
const say = `{"run":["cat","say"]}`

const clean = `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[]}]}`

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return sarif{} },
		Config: json.RawMessage(say), Files: with(at("R", "error", "a", "1", "x"), files{"a": "x"}), Want: sdk.Pass,
		Base: with(at("R", "error", "a", "2", "x"), files{"a": "\n x"}), Patch: "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1 @@\n-\n- x\n+x\n",
		Changes: []sdk.Change{{Path: "a", Op: "modify"}},
	})
}

type files map[string]string

// with is a tree whose report has these results.
func with(results string, more files) files {
	f := files{"say": `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x","rules":[{"id":"R"},{"id":"Q"}]}},"results":[` + results + `]}]}`}
	for name, content := range more {
		f[name] = content
	}
	return f
}

// at is a result.
func at(rule, level, uri, line, message string) string {
	return `{"ruleId":"` + rule + `","level":"` + level + `","message":{"text":"` + message + `"},"locations":[{"physicalLocation":{
		"artifactLocation":{"uri":"` + uri + `"},"region":{"startLine":` + line + `}}}]}`
}

func judged(t *testing.T, config string, c sdk.Check) sdk.Verdict {
	t.Helper()
	return sdktest.Judge(t, manifest, sarif{}, config, c)
}

func told(v sdk.Verdict) []string {
	var out []string
	for _, f := range v.Findings {
		out = append(out, f.Severity+" "+f.Rule+" "+f.Path+" "+f.Message)
	}
	return out
}

func TestOnlyWhatTheBaseDoesNotHaveCounts(t *testing.T) {
	base := with(at("R", "warning", "a.go", "1", "old")+","+at("R", "warning", "a.go", "2", "twin"), files{"a.go": "bad one\ntwin\n"})
	for name, c := range map[string]struct {
		head files
		want []string
	}{
		"the same":                {base, nil},
		"moved down and indented": {with(at("R", "warning", "a.go", "4", "old"), files{"a.go": "\n\n\n\t bad  one\n"}), nil},
		"another line":            {with(at("R", "warning", "a.go", "1", "x"), files{"a.go": "bad two\n"}), []string{"warning R a.go x"}},
		"another rule":            {with(at("Q", "warning", "a.go", "1", "x"), files{"a.go": "bad one\n"}), []string{"warning Q a.go x"}},
		"another file":            {with(at("R", "warning", "b.go", "1", "x"), files{"b.go": "bad one\n"}), []string{"warning R b.go x"}},
		"once more": {
			with(at("R", "warning", "a.go", "1", "x")+","+at("R", "warning", "a.go", "2", "y"), files{"a.go": "bad one\nbad one\n"}),
			[]string{"warning R a.go y"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := judged(t, say, sdk.Check{Tree: sdktest.Tree(t, c.head), BaseTree: sdktest.Tree(t, base)})
			want := sdk.Pass
			if c.want != nil {
				want = sdk.Fail
			}
			if v.Outcome != want || !slices.Equal(told(v), c.want) {
				t.Errorf("verdict = %+v, want %s with %q", v, want, c.want)
			}
			if v.Ran == nil || v.Ran.Argv[0] != "cat" || want == sdk.Fail && v.Message == "" {
				t.Errorf("verdict = %+v", v)
			}
		})
	}
	v := judged(t, `{"run":["cat","say"],"new_only":false}`, sdk.Check{Tree: sdktest.Tree(t, base)})
	if v.Outcome != sdk.Fail || len(v.Findings) != 2 {
		t.Errorf("with new_only = false: %+v", v)
	}
}

func TestAFileThatMovedKeepsItsResults(t *testing.T) {
	base := with(at("R", "warning", "a.go", "1", "old"), files{"a.go": "bad\n"})
	head := with(at("R", "warning", "b.go", "1", "old"), files{"b.go": "bad\n"})
	v := judged(t, say, sdk.Check{Tree: sdktest.Tree(t, head), BaseTree: sdktest.Tree(t, base), Changes: []sdk.Change{{Path: "b.go", OldPath: "a.go", Op: "modify"}}})
	if v.Outcome != sdk.Pass {
		t.Errorf("verdict = %+v", v)
	}
}

func TestTheLevelDecides(t *testing.T) {
	head := sdktest.Tree(t, with(at("R", "note", "a", "1", "n")+","+at("R", "warning", "a", "1", "w")+","+at("R", "none", "a", "1", "o"), files{"a": "x"}))
	base := sdktest.Tree(t, files{"say": clean})
	for config, want := range map[string]sdk.Outcome{
		say:                                     sdk.Fail,
		`{"run":["cat","say"],"level":"error"}`: sdk.Warn,
		`{"run":["cat","say"],"level":"warning"}`: sdk.Fail,
		`{"run":["cat","say"],"level":"note"}`:    sdk.Fail,
	} {
		v := judged(t, config, sdk.Check{Tree: head, BaseTree: base})
		if v.Outcome != want || !slices.Equal(told(v), []string{"warning R a w", "note R a n"}) {
			t.Errorf("%s: %+v, want %s", config, v, want)
		}
		if m := v.Metrics; m["results"] != 3 || m["new"] != 3 || m["warnings"] != 1 || m["notes"] != 1 || m["errors"] != 0 {
			t.Errorf("metrics = %v", m)
		}
	}
}

const twoLines = "diff --git a/a.go b/a.go\n--- a/a.go\n+++ b/a.go\n@@ -1,2 +1,3 @@\n one\n+two\n three\n"

func TestOnlyChangedLinesCountWhereThatIsAsked(t *testing.T) {
	results := at("R", "error", "a.go", "1", "one") + "," + at("R", "error", "a.go", "2", "two") + "," +
		at("R", "error", "a.go", "0", "file") + "," + at("R", "error", "b.go", "0", "other") + "," + at("R", "error", "", "0", "nowhere")
	c := sdk.Check{
		Tree: sdktest.Tree(t, with(results, files{"a.go": "one\ntwo\nthree\n", "b.go": "x\n"})), BaseTree: sdktest.Tree(t, files{"say": clean}),
		Patch: []byte(twoLines), Changes: []sdk.Change{{Path: "a.go", Op: "modify", Added: 1}},
	}
	v := judged(t, `{"run":["cat","say"],"only_changed":true}`, c)
	if got := told(v); !slices.Equal(got, []string{"error R  nowhere", "error R a.go file", "error R a.go two"}) {
		t.Errorf("findings = %q", got)
	}
	hidden := c
	hidden.Patch, hidden.Changes = []byte("diff --git a/a.go b/a.go\nBinary files a/a.go and b/a.go differ\n"), []sdk.Change{{Path: "a.go", Op: "modify", Binary: true}}
	v = judged(t, `{"run":["cat","say"],"only_changed":true}`, hidden)
	if got := told(v); !slices.Equal(got, []string{"error R  nowhere", "error R a.go file", "error R a.go one", "error R a.go two"}) {
		t.Errorf("where the patch does not show the lines: %q", got)
	}
	c.PatchCut = true
	if v := judged(t, `{"run":["cat","say"],"only_changed":true}`, c); v.Outcome != sdk.Error {
		t.Errorf("over a cut patch: %+v", v)
	}
	if v := judged(t, say, c); v.Outcome != sdk.Fail {
		t.Errorf("where lines do not matter: %+v", v)
	}
}

// F9: what cannot be read to its end, or was not written by this run, is no verdict.
func TestF9_ARunThatDidNotReportIsNotJudged(t *testing.T) {
	finding := at("R", "error", "a", "1", "x")
	whole := with(finding, nil)["say"]
	for name, c := range map[string]struct{ config, report string }{
		"nothing":                      {say, ""},
		"blank":                        {say, "  \n"},
		"not JSON":                     {say, "Segmentation fault"},
		"cut":                          {say, whole[:len(whole)-3]},
		"two reports":                  {say, clean + clean},
		"a word behind":                {say, clean + "\n1 issue\n"},
		"null":                         {say, "null"},
		"an array":                     {say, "[]"},
		"another version":              {say, strings.Replace(clean, "2.1.0", "2.0.0", 1)},
		"no version":                   {say, `{"runs":[]}`},
		"no runs":                      {say, `{"version":"2.1.0"}`},
		"runs null":                    {say, `{"version":"2.1.0","runs":null}`},
		"an empty list of runs":        {say, `{"version":"2.1.0","runs":[]}`},
		"no results":                   {say, `{"version":"2.1.0","runs":[{"tool":{}}]}`},
		"results null":                 {say, `{"version":"2.1.0","runs":[{"results":null}]}`},
		"results twice":                {say, `{"version":"2.1.0","runs":[{"results":[` + finding + `],"results":[]}]}`},
		"runs twice":                   {say, strings.Replace(whole, `"runs"`, `"runs":[{"results":[]}],"runs"`, 1)},
		"a kind of its own":            {say, strings.Replace(whole, `"level"`, `"kind":"harmless","level"`, 1)},
		"a level of its own":           {say, strings.Replace(whole, `"error"`, `"harmless"`, 1)},
		"a line that is a text":        {say, strings.Replace(whole, `"startLine":1`, `"startLine":"1"`, 1)},
		"a fraction of a line":         {say, strings.Replace(whole, `"startLine":1`, `"startLine":1.5`, 1)},
		"a failure that it tells":      {say, `{"version":"2.1.0","runs":[{"results":[],"invocations":[{"executionSuccessful":false}]}]}`},
		"an exit code":                 {`{"run":["sh","-c","cat say; exit 2"]}`, clean},
		"a signal":                     {`{"run":["sh","-c","cat say; kill -9 $$"]}`, clean},
		"no program":                   {`{"run":["/no/such/analyser"]}`, clean},
		"a file that it did not write": {`{"run":["true"],"file":"say"}`, clean},
		"a file that is a pipe":        {`{"run":["mkfifo","out"],"file":"out"}`, clean},
		"a file that is a link":        {`{"run":["ln","-s","say","out"],"file":"out"}`, clean},
		"a directory":                  {`{"run":["mkdir","out"],"file":"out"}`, clean},
	} {
		t.Run(name, func(t *testing.T) {
			v := judged(t, c.config, sdk.Check{Tree: sdktest.Tree(t, files{"say": c.report}), BaseTree: sdktest.Tree(t, files{"say": clean})})
			if v.Outcome != sdk.Error || v.Message == "" {
				t.Errorf("verdict = %+v, want an error that says why", v)
			}
		})
	}
}

func TestABaseThatCannotBeAnalysedIsNoVerdict(t *testing.T) {
	head := sdktest.Tree(t, with(at("R", "error", "a", "1", "x"), files{"a": "x"}))
	for name, base := range map[string]string{"a crash": sdktest.Tree(t, files{"other": ""}), "no tree": ""} {
		if v := judged(t, say, sdk.Check{Tree: head, BaseTree: base}); v.Outcome != sdk.Error || !strings.Contains(v.Message, "base") {
			t.Errorf("%s: %+v", name, v)
		}
	}
	// Where there is nothing at all in the base, everything is new.
	if v := judged(t, say, sdk.Check{Tree: head, BaseTree: t.TempDir()}); v.Outcome != sdk.Fail {
		t.Errorf("an empty base: %+v", v)
	}
	// And where nothing was found, the base does not matter.
	if v := judged(t, say, sdk.Check{Tree: sdktest.Tree(t, files{"say": clean})}); v.Outcome != sdk.Pass {
		t.Errorf("a clean tree: %+v", v)
	}
}

func TestAnAnalyserThatIsStoppedHasNotJudged(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	v, err := sarif{}.Check(ctx, &sdk.Check{
		Tree: t.TempDir(), Config: json.RawMessage(`{"run":["sh","-c","echo started >&2; sleep 60"]}`),
		Output: func(string, []byte) error { cancel(); return nil },
	})
	if err != nil || v.Outcome != sdk.Error {
		t.Errorf("verdict = %+v, %v", v, err)
	}
}

func TestTheReportComesFromAFileToo(t *testing.T) {
	results := at("R", "error", "a", "1", "x")
	head := sdktest.Tree(t, files{"sub/in": with(results, nil)["say"], "sub/a": "x", "sub/out": clean})
	base := sdktest.Tree(t, files{"sub/in": clean, "sub/a": "x"})
	if err := os.Chmod(filepath.Join(base, "sub"), 0o500); err != nil { // as the host shows it
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(base, "sub"), 0o700) })
	v := judged(t, `{"run":["sh","-c","echo talk; cp in out"],"dir":"sub","file":"out"}`, sdk.Check{Tree: head, BaseTree: base})
	if v.Outcome != sdk.Fail || !slices.Equal(told(v), []string{"error R sub/a x"}) {
		t.Errorf("verdict = %+v", v)
	}
	if _, err := os.Stat(filepath.Join(base, "sub", "out")); err == nil {
		t.Error("it wrote into the base")
	}
	// A base that does not have the directory yet has no results.
	v = judged(t, `{"run":["cp","in","out"],"dir":"sub","file":"out"}`, sdk.Check{Tree: head, BaseTree: sdktest.Tree(t, files{"x": ""})})
	if v.Outcome != sdk.Fail {
		t.Errorf("verdict = %+v", v)
	}
}

// F10: the change cannot silence what it adds with a comment of its own.
func TestF10_ASuppressionInTheSourceIsNotBelieved(t *testing.T) {
	result := func(suppression string) string {
		return strings.Replace(at("R", "error", "a", "1", "x"), `"level"`, `"suppressions":[`+suppression+`],"level"`, 1)
	}
	for suppression, want := range map[string]sdk.Outcome{
		``:                    sdk.Fail,
		`{"kind":"inSource"}`: sdk.Fail,
		`{"kind":"external"}`: sdk.Pass,
		`{"kind":"external","status":"rejected"}`: sdk.Fail,
		`{"kind":"external","status":"accepted"}`: sdk.Pass,
		`{"kind":"unheard"}`:                      sdk.Fail,
	} {
		c := sdk.Check{Tree: sdktest.Tree(t, with(result(suppression), files{"a": "x"})), BaseTree: sdktest.Tree(t, files{"say": clean})}
		if v := judged(t, say, c); v.Outcome != want || (want == sdk.Pass) != (v.Metrics["suppressed"] == 1) {
			t.Errorf("%s: %+v, want %s", suppression, v, want)
		}
	}
	c := sdk.Check{Tree: sdktest.Tree(t, with(result(`{"kind":"inSource"}`), files{"a": "x"})), BaseTree: sdktest.Tree(t, files{"say": clean})}
	if v := judged(t, `{"run":["cat","say"],"suppressions":["inSource"]}`, c); v.Outcome != sdk.Pass {
		t.Errorf("where it is allowed: %+v", v)
	}
}

func TestAConfigThatCannotJudgeIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"run":[]}`:                              "run",
		`{"run":["a"],"dir":"../x"}`:              "dir",
		`{"run":["a"],"file":"/x"}`:               "file",
		`{"run":["a"],"file":"."}`:                "file",
		`{"run":["a"],"env":{"A=":"x"}}`:          "env",
		`{"run":["a"],"ok_codes":[0.5]}`:          "ok_codes",
		`{"run":["a"],"level":"none"}`:            "level",
		`{"run":["a"],"level":"fatal"}`:           "level",
		`{"run":["a"],"suppressions":["nolint"]}`: "suppressions",
		`{"run":["a"],"baseline":"x"}`:            "baseline",
		"{\"run\":[\"a\\u0000\"]}":                "run",
	} {
		sdktest.RefusedFor(t, manifest, sarif{}, config, attribute)
	}
}
