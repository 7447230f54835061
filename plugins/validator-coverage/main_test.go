package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

// In most of these tests the program is `cp said out`: the tree holds what it measures.
const copied = `"run":["cp","said","out"],"profile":["out"],"format":"lcov"`

// The source that is measured, and a profile of it by the lines that were run.
const text = "package a\n\nfunc one() {\n\tif x {\n\t\ty()\n\t}\n}\n"

func lcov(hits map[int]int) string {
	var b strings.Builder
	b.WriteString("TN:\nSF:a.go\n")
	for line := range 20 {
		if n, ok := hits[line]; ok {
			b.WriteString("DA:" + strconv.Itoa(line) + "," + strconv.Itoa(n) + "\n")
		}
	}
	return b.String() + "end_of_record\n"
}

type files map[string]string

func judged(t *testing.T, config string, c sdk.Check) sdk.Verdict {
	t.Helper()
	return sdktest.Judge(t, manifest, coverage{}, config, c)
}

func told(v sdk.Verdict) []string {
	var out []string
	for _, f := range v.Findings {
		where := f.Path
		if f.Line > 0 {
			where += ":" + strconv.Itoa(f.Line) + "-" + strconv.Itoa(f.EndLine)
		}
		out = append(out, f.Severity+" "+f.Rule+" "+where)
	}
	return out
}

// adds is a patch that adds lines of a file of the base.
func adds(path string, at int, lines ...string) []byte {
	head := "diff --git a/" + path + " b/" + path + "\n--- a/" + path + "\n+++ b/" + path + "\n"
	hunk := "@@ -" + strconv.Itoa(at-1) + ",0 +" + strconv.Itoa(at) + "," + strconv.Itoa(len(lines)) + " @@\n"
	return []byte(head + hunk + "+" + strings.Join(lines, "\n+") + "\n")
}

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return coverage{} },
		Config: json.RawMessage(`{"run":["cp","said","out"],"profile":["out"],"format":"lcov","floor":50}`),
		// The profile stays in the tree here; the host's tree has a layer for it.
		Files: files{"a.go": text, "said": lcov(map[int]int{3: 1, 4: 1, 5: 0}), "out": lcov(map[int]int{3: 1, 4: 1, 5: 0})},
		Want:  sdk.Pass,
	})
}

func TestTheFloorIsForTheWhole(t *testing.T) {
	dir := sdktest.Tree(t, files{"a.go": text, "said": lcov(map[int]int{3: 1, 4: 7, 5: 0})})
	for floor, want := range map[string]sdk.Outcome{"0": sdk.Pass, "66.66": sdk.Pass, "66.7": sdk.Fail, "100": sdk.Fail} {
		v := judged(t, `{`+copied+`,"floor":`+floor+`}`, sdk.Check{Tree: dir})
		if v.Outcome != want || want == sdk.Fail && (v.Message == "" || !slices.Equal(told(v), []string{"error total-below-floor "})) {
			t.Errorf("floor %s: %+v, want %s", floor, v, want)
		}
		if v.Metrics["total"] < 66.66 || v.Metrics["total"] > 66.67 || v.Metrics["files"] != 1 || v.Metrics["changed"] != 100 {
			t.Errorf("metrics = %v", v.Metrics)
		}
		if v.Ran == nil || v.Ran.Argv[0] != "cp" {
			t.Errorf("ran = %+v", v.Ran)
		}
	}
	// A floor that is reached exactly is reached.
	if v := judged(t, `{`+copied+`,"floor":100}`, sdk.Check{Tree: sdktest.Tree(t, files{"a.go": text, "said": lcov(map[int]int{3: 1})})}); v.Outcome != sdk.Pass {
		t.Errorf("100 of 100: %+v", v)
	}
}

func TestTheChangedFloorIsForTheLinesThatWereAdded(t *testing.T) {
	dir := sdktest.Tree(t, files{"a.go": text, "said": lcov(map[int]int{3: 0, 4: 1, 5: 0, 6: 0})})
	c := sdk.Check{Tree: dir, Patch: adds("a.go", 4, "\tif x {", "\t\ty()", "\t}"), Changes: sdktest.Modified("a.go")}
	c.Changes[0].Added = 3
	v := judged(t, `{`+copied+`,"changed_floor":60}`, c)
	if v.Outcome != sdk.Fail || !slices.Equal(told(v), []string{"error uncovered a.go:5-5"}) {
		t.Errorf("verdict = %+v", v)
	}
	if m := v.Metrics; m["changed"] != 50 || m["changed_lines"] != 2 || m["uncovered_lines"] != 1 {
		t.Errorf("metrics = %v", m)
	}
	v = judged(t, `{`+copied+`,"changed_floor":50}`, c)
	if v.Outcome != sdk.Pass || !slices.Equal(told(v), []string{"note uncovered a.go:5-5"}) {
		t.Errorf("where it is reached: %+v", v)
	}
	c.PatchCut = true
	if v := judged(t, `{`+copied+`,"changed_floor":50}`, c); v.Outcome != sdk.Error {
		t.Errorf("over a cut patch: %+v", v)
	}
	hidden := sdk.Check{Tree: dir, Patch: []byte("diff --git a/a.go b/a.go\nBinary files a/a.go and b/a.go differ\n"), Changes: []sdk.Change{{Path: "a.go", Op: "modify", Binary: true}}}
	if v := judged(t, `{`+copied+`,"changed_floor":50}`, hidden); v.Outcome != sdk.Error || !strings.Contains(v.Message, `"a.go"`) {
		t.Errorf("over a patch that does not show a measured file: %+v", v)
	}
	if v := judged(t, `{`+copied+`}`, hidden); v.Outcome != sdk.Pass {
		t.Errorf("where lines do not matter: %+v", v)
	}
	c.PatchCut, c.Patch = false, []byte("nonsense\n")
	if v := judged(t, `{`+copied+`,"changed_floor":50}`, c); v.Outcome != sdk.Error {
		t.Errorf("over a broken patch: %+v", v)
	}
}

// F10: code in a file that no test ever loads is not in a profile either.
func TestF10_AChangedFileThatIsNotMeasuredCountsAsNotRun(t *testing.T) {
	dir := sdktest.Tree(t, files{"a.go": text, "b.go": text, "c.gen.go": text, "said": lcov(map[int]int{3: 1})})
	c := sdk.Check{Tree: dir, Patch: append(adds("b.go", 3, "func one() {", "\tif x {"), adds("c.gen.go", 3, "func one() {")...), Changes: sdktest.Modified("b.go", "c.gen.go")}
	if v := judged(t, `{`+copied+`,"changed_floor":50}`, c); v.Outcome != sdk.Pass {
		t.Errorf("where nothing is said about sources: %+v", v)
	}
	v := judged(t, `{`+copied+`,"changed_floor":50,"sources":["**/*.go"],"exclude":["**/*.gen.go"]}`, c)
	if v.Outcome != sdk.Fail || !slices.Equal(told(v), []string{"error not-measured b.go"}) || v.Metrics["changed_lines"] != 2 {
		t.Errorf("verdict = %+v", v)
	}
}

func TestNoChangedFileMayDrop(t *testing.T) {
	base := sdktest.Tree(t, files{"a.go": text, "said": lcov(map[int]int{3: 1, 4: 1, 5: 0})})
	for name, c := range map[string]struct {
		hits map[int]int
		want sdk.Outcome
	}{
		"the same":                         {map[int]int{3: 1, 4: 1, 5: 0}, sdk.Pass},
		"more":                             {map[int]int{3: 1, 4: 1, 5: 1}, sdk.Pass},
		"less":                             {map[int]int{3: 1, 4: 0, 5: 0}, sdk.Fail},
		"more lines, of which less is run": {map[int]int{3: 1, 4: 1, 5: 0, 6: 0}, sdk.Fail},
		"covered lines taken away":         {map[int]int{3: 1, 5: 0}, sdk.Pass},
	} {
		v := judged(t, `{`+copied+`,"no_drop":true}`, sdk.Check{Tree: sdktest.Tree(t, files{"a.go": text, "said": lcov(c.hits)}), BaseTree: base, Changes: sdktest.Modified("a.go")})
		if v.Outcome != c.want || c.want == sdk.Fail && !slices.Equal(told(v), []string{"error coverage-dropped a.go"}) {
			t.Errorf("%s: %+v, want %s", name, v, c.want)
		}
	}
	forgotten := sdktest.Tree(t, files{"a.go": text, "b.go": text, "said": strings.Replace(lcov(map[int]int{3: 1}), "a.go", "b.go", 1)})
	v := judged(t, `{`+copied+`,"no_drop":true}`, sdk.Check{Tree: forgotten, BaseTree: base, Changes: sdktest.Modified("a.go")})
	if v.Outcome != sdk.Fail || v.Metrics["dropped"] != 1 {
		t.Errorf("a file that is measured no more: %+v", v)
	}
	less := sdktest.Tree(t, files{"a.go": text, "said": lcov(map[int]int{3: 0})})
	if v := judged(t, `{`+copied+`,"no_drop":true}`, sdk.Check{Tree: less, BaseTree: base, Changes: sdktest.Modified("other")}); v.Outcome != sdk.Pass {
		t.Errorf("a file that was not changed: %+v", v)
	}
	if v := judged(t, `{`+copied+`,"no_drop":true}`, sdk.Check{Tree: less, BaseTree: base, Changes: []sdk.Change{{Path: "a.go", Op: "add"}}}); v.Outcome != sdk.Pass {
		t.Errorf("a file that is new: %+v", v)
	}
	for name, base := range map[string]string{"no tree": "", "a failure": t.TempDir()} {
		v := judged(t, `{`+copied+`,"no_drop":true}`, sdk.Check{Tree: less, BaseTree: base, Changes: sdktest.Modified("a.go")})
		if v.Outcome != sdk.Error || !strings.Contains(v.Message, "base") {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// F9: a run that left no whole profile of the tree has not measured.
func TestF9_ARunThatDidNotMeasureIsNoVerdict(t *testing.T) {
	whole := lcov(map[int]int{3: 1})
	with := func(run, profile string) string {
		return `{"run":` + run + `,"profile":["` + profile + `"],"format":"lcov"}`
	}
	for name, c := range map[string]struct {
		config, said string
		want         sdk.Outcome
	}{
		"no profile":               {with(`["true"]`, "out"), whole, sdk.Error},
		"one that was there":       {with(`["true"]`, "said"), whole, sdk.Error},
		"an empty one":             {with(`["cp","said","out"]`, "out"), "", sdk.Error},
		"one about other files":    {with(`["cp","said","out"]`, "out"), strings.Replace(whole, "a.go", "/etc/passwd", 1), sdk.Error},
		"one about nothing":        {with(`["cp","said","out"]`, "out"), "SF:a.go\nend_of_record\n", sdk.Error},
		"a cut one":                {with(`["cp","said","out"]`, "out"), strings.TrimSuffix(whole, "end_of_record\n"), sdk.Error},
		"one good and one bad":     {with(`["sh","-c","cp said out1; echo no >out2"]`, "out*"), whole, sdk.Error},
		"a pipe":                   {with(`["mkfifo","out"]`, "out"), whole, sdk.Error},
		"a link":                   {with(`["ln","-s","said","out"]`, "out"), whole, sdk.Error},
		"no program":               {with(`["/no/such/program"]`, "out"), whole, sdk.Error},
		"tests that fail":          {with(`["sh","-c","cp said out; exit 1"]`, "out"), whole, sdk.Fail},
		"tests that are killed":    {with(`["sh","-c","cp said out; kill -9 $$"]`, "out"), whole, sdk.Error},
		"more profiles than we do": {with(`["sh","-c","for i in $(seq 600); do cp said out$i; done"]`, "out*"), whole, sdk.Error},
	} {
		t.Run(name, func(t *testing.T) {
			v := judged(t, c.config, sdk.Check{Tree: sdktest.Tree(t, files{"a.go": text, "said": c.said})})
			if v.Outcome != c.want || v.Message == "" {
				t.Errorf("verdict = %+v, want %s and why", v, c.want)
			}
		})
	}
}

func TestAProgramThatIsStoppedHasNotMeasured(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	v, err := coverage{}.Check(ctx, &sdk.Check{
		Tree: t.TempDir(), Config: json.RawMessage(`{"run":["sh","-c","echo started; sleep 60"],"profile":["out"],"format":"go","floor":1}`),
		Output: func(string, []byte) error { cancel(); return nil },
	})
	if err != nil || v.Outcome != sdk.Error {
		t.Errorf("verdict = %+v, %v", v, err)
	}
}

// TestGoItselfIsMeasured runs the go command over modules that nobody prepared.
func TestGoItselfIsMeasured(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go here")
	}
	base := files{
		"svc/go.mod":         "module example.org/sample\n\ngo 1.26\n",
		"svc/sign/sign.go":   "package sign\n\n// Of is the sign of n.\nfunc Of(n int) int {\n\tif n < 0 {\n\t\treturn -1\n\t}\n\treturn 1\n}\n",
		"svc/sign/s_test.go": "package sign\n\nimport \"testing\"\n\nfunc TestOf(t *testing.T) {\n\tif Of(-3) != -1 || Of(3) != 1 {\n\t\tt.Fail()\n\t}\n}\n",
	}
	head := files{}
	for name, content := range base {
		head[name] = content
	}
	added := []string{"\tif n == 0 {", "\t\t// Nothing is its own sign.", "\t\treturn 0", "\t}"}
	head["svc/sign/sign.go"] = strings.Replace(base["svc/sign/sign.go"], "\treturn 1\n", strings.Join(added, "\n")+"\n\treturn 1\n", 1)
	c := sdk.Check{Tree: sdktest.Tree(t, head), BaseTree: sdktest.Tree(t, base), Patch: adds("svc/sign/sign.go", 8, added...), Changes: sdktest.Modified("svc/sign/sign.go")}
	c.Changes[0].Added = len(added)
	config := `{"run":["go","test","-coverprofile=cover.out","./..."],"profile":["cover.out"],"format":"go","dir":"svc","floor":80,"changed_floor":90,"no_drop":true,
		"env":{"GOFLAGS":"-mod=mod","GOWORK":"off"}}`
	v := judged(t, config, c)
	if v.Outcome != sdk.Fail || !slices.Equal(told(v), []string{"error coverage-dropped svc/sign/sign.go", "error uncovered svc/sign/sign.go:10-10"}) {
		t.Errorf("verdict = %+v", v)
	}
	if m := v.Metrics; m["total"] != 80 || m["changed"] != 50 || m["changed_lines"] != 2 {
		t.Errorf("metrics = %v", m)
	}
	if _, err := os.Stat(filepath.Join(c.BaseTree, "svc", "cover.out")); err == nil {
		t.Error("it wrote into the base")
	}
}

func TestAConfigThatCannotMeasureIsRefused(t *testing.T) {
	const rest = `,"profile":["out"],"format":"go"`
	for config, attribute := range map[string]string{
		`{"run":[]` + rest + `}`:                            "run",
		`{"run":["a\u0000"]` + rest + `}`:                   "run",
		`{"run":["a"],"dir":"../x"` + rest + `}`:            "dir",
		`{"run":["a"],"env":{"A=":"x"}` + rest + `}`:        "env",
		`{"run":["a"],"ok_codes":[0.5]` + rest + `}`:        "ok_codes",
		`{"run":["a"],"profile":["out"],"format":"jacoco"}`: "format",
		`{"run":["a"],"profile":[],"format":"go"}`:          "profile",
		`{"run":["a"],"profile":["../out"],"format":"go"}`:  "profile",
		`{"run":["a"],"profile":["/out"],"format":"go"}`:    "profile",
		`{"run":["a"],"profile":["["],"format":"go"}`:       "profile",
		`{"run":["a"],"exclude":["a//b"]` + rest + `}`:      "exclude",
		`{"run":["a"],"floor":101` + rest + `}`:             "floor",
		`{"run":["a"],"changed_floor":-1` + rest + `}`:      "changed_floor",
		`{"run":["a"],"floor":"80"` + rest + `}`:            "floor",
		`{"run":["a"],"sources":["**/*.go"]` + rest + `}`:   "sources",
		`{"run":["a"],"branches":true` + rest + `}`:         "branches",
	} {
		sdktest.RefusedFor(t, manifest, coverage{}, config, attribute)
	}
}
