package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

const goodReport = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="3" failures="0"><testsuite name="a" tests="3"><properties><property name="x" value="y"/></properties>
<testcase classname="a" name="one" time="0.1"/><testcase classname="a" name="two"><system-out><![CDATA[<failure/>]]></system-out></testcase>
<testcase classname="a" name="three"><skipped message="later"/></testcase></testsuite></testsuites>`

const badReport = `<testsuite tests="2"><testcase classname="sum" name="adds" file="src/sum.js" line="7"><failure message="want 3">got 4
at sum.js</failure></testcase><testcase name="ok"/></testsuite>`

// reported is the verdict over a program that writes a report, or none, and exits with a code.
func reported(t *testing.T, config, report string, code int, before map[string]string) sdk.Verdict {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	for name, content := range before {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(tree, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "..", "report"), []byte(report), 0o644); err != nil {
		t.Fatal(err)
	}
	script := "echo told; exit " + strconv.Itoa(code)
	if report != "" {
		script = "cp ../report out/r.xml; " + script
	}
	v, _ := check(t, t.Context(), `{"run":["sh","-c",`+strconv.Quote(script)+`],"report":"junit","report_files":["out/*.xml"]`+config+`}`, tree)
	return v
}

func TestAJUnitReportDecidesBesideTheExitCode(t *testing.T) {
	for name, c := range map[string]struct {
		config, report string
		code           int
		want           sdk.Outcome
		message        string
		metrics        [3]float64 // tests, failed, skipped
	}{
		"all well":              {"", goodReport, 0, sdk.Pass, "", [3]float64{3, 0, 1}},
		"well but code 1":       {"", goodReport, 1, sdk.Fail, "told", [3]float64{3, 0, 1}},
		"failed and code 0":     {"", badReport, 0, sdk.Fail, "1 failures in a report of 2 tests: sum adds, although the program ended well", [3]float64{2, 1, 0}},
		"failed and code 1":     {"", badReport, 1, sdk.Fail, "1 failures in a report of 2 tests: sum adds\ntold", [3]float64{2, 1, 0}},
		"the code may be 1":     {`,"ok_codes":[0,1]`, badReport, 1, sdk.Fail, "sum adds", [3]float64{2, 1, 0}},
		"enough ran":            {`,"min_tests":2`, goodReport, 0, sdk.Pass, "", [3]float64{3, 0, 1}},
		"too few ran":           {`,"min_tests":3`, goodReport, 0, sdk.Fail, "2 tests ran (and 1 were skipped); at least 3 must", [3]float64{3, 0, 1}},
		"none ran":              {"", `<testsuites/>`, 0, sdk.Fail, "0 tests ran", [3]float64{}},
		"none has to":           {`,"min_tests":0`, `<testsuites/>`, 0, sdk.Pass, "", [3]float64{}},
		"too many skipped":      {`,"allow_skipped":0`, goodReport, 0, sdk.Fail, "1 tests were skipped; 0 may be", [3]float64{3, 0, 1}},
		"an error is a failure": {"", `<testsuite><testcase name="x"><error/></testcase></testsuite>`, 0, sdk.Fail, "x", [3]float64{1, 1, 0}},
		"skipped and failed":    {"", `<testsuite><testcase name="x"><skipped/><failure/></testcase></testsuite>`, 0, sdk.Fail, "x", [3]float64{1, 1, 0}},
		"a suite fails":         {"", `<testsuite><error message="setup"/><testcase name="x"/></testsuite>`, 0, sdk.Fail, "a suite", [3]float64{1, 1, 0}},
		"the root knows more":   {"", `<testsuite failures="2"><testcase name="x"/></testsuite>`, 0, sdk.Fail, "2 failures", [3]float64{1, 2, 0}},
		"a suite knows more":    {"", `<testsuites><testsuite errors="1"><testcase name="x"/></testsuite><testsuite failures="1"><testcase name="y"><failure/></testcase></testsuite></testsuites>`, 0, sdk.Fail, "2 failures", [3]float64{2, 2, 0}},
		"each is counted once":  {"", `<testsuites failures="3"><testsuite failures="2"><testsuite failures="1"><testcase name="x"><failure/></testcase></testsuite></testsuite></testsuites>`, 0, sdk.Fail, "3 failures", [3]float64{1, 3, 0}},
		"more than can be":      {"", `<testsuite failures="99999999999999999999"><testcase name="x"/></testsuite>`, 0, sdk.Fail, "200000 failures", [3]float64{1, 200000, 0}},
		"a line that cannot be": {"", strings.Replace(badReport, `line="7"`, `line="99999999999"`, 1), 0, sdk.Fail, "sum adds", [3]float64{2, 1, 0}},
		"flaky ones passed":     {"", `<testsuite><testcase name="x"><flakyFailure/><rerunFailure/></testcase></testsuite>`, 0, sdk.Pass, "", [3]float64{1, 0, 0}},
		"not run":               {`,"min_tests":0`, `<testsuite><testcase name="x" status="notrun"/></testsuite>`, 0, sdk.Pass, "", [3]float64{1, 0, 1}},
		"missing":               {"", "", 0, sdk.Error, "no file matches out/*.xml", [3]float64{}},
		"missing and code 2":    {"", "", 2, sdk.Fail, "told", [3]float64{}},
		"broken":                {"", goodReport[:300], 0, sdk.Error, "out/r.xml", [3]float64{}},
		"broken and code 2":     {"", goodReport[:300], 2, sdk.Fail, "told", [3]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := reported(t, c.config, c.report, c.code, nil)
			got := [3]float64{v.Metrics["tests"], v.Metrics["failed"], v.Metrics["skipped"]}
			if v.Outcome != c.want || !strings.Contains(v.Message, c.message) || got != c.metrics {
				t.Errorf("%s %q %v, want %s %q %v", v.Outcome, v.Message, got, c.want, c.message, c.metrics)
			}
		})
	}
}

func TestAFailedTestIsAFinding(t *testing.T) {
	v := reported(t, "", badReport, 0, nil)
	if len(v.Findings) != 1 {
		t.Fatalf("findings = %+v", v.Findings)
	}
	f := v.Findings[0]
	if f.Rule != "command/test-failed" || f.Severity != "error" || f.Path != "src/sum.js" || f.Line != 7 || f.Message != "sum adds\nwant 3\ngot 4\nat sum.js" || f.Fingerprint == "" {
		t.Errorf("finding = %+v", f)
	}
}

// F10: a report that somebody committed says nothing about this run.
func TestF10_AReportFromBeforeTheRunIsNone(t *testing.T) {
	stale := map[string]string{"out/old.xml": goodReport}
	if v := reported(t, "", "", 0, stale); v.Outcome != sdk.Error || !strings.Contains(v.Message, "they were there before it ran") {
		t.Errorf("verdict = %+v", v)
	}
	if v := reported(t, "", badReport, 0, stale); v.Outcome != sdk.Fail || v.Metrics["tests"] != 2 {
		t.Errorf("verdict = %+v", v)
	}
	if v := reported(t, "", goodReport, 0, map[string]string{"out/r.xml": badReport}); v.Outcome != sdk.Pass {
		t.Errorf("one that is written over: %+v", v)
	}
}

func TestF15_AReportIsReadFromTheTreeOnly(t *testing.T) {
	for name, script := range map[string]string{
		"a link":               "ln -s ../../r.xml out/r.xml",
		"a link to a dir":      "ln -s ../.. out/up",
		"a pipe":               "mkfifo out/p.xml",
		"a directory":          "mkdir out/d.xml",
		"a link to nothing":    "ln -s nothing out/n.xml",
		"too many":             "cd out && seq -f %g.xml 2100 | xargs touch",
		"an empty one":         "touch out/e.xml",
		"one that is no text":  "head -c 100 /dev/zero > out/z.xml",
		"one that is too long": "{ echo '<testsuite><testcase name=\"x\"/><system-out>'; head -c 34000000 /dev/zero | tr '\\0' x; echo '</system-out></testsuite>'; } > out/l.xml",
	} {
		tree := filepath.Join(t.TempDir(), "tree") // of its own: what is there before the run is looked at too
		if err := os.MkdirAll(filepath.Join(tree, "out"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, "..", "r.xml"), []byte(goodReport), 0o644); err != nil {
			t.Fatal(err)
		}
		v, _ := check(t, t.Context(), `{"run":["sh","-c",`+strconv.Quote(script)+`],"report":"junit","report_files":["out/**/*.xml"]}`, tree)
		if v.Outcome != sdk.Error || v.Message == "" || name == "one that is too long" && !strings.Contains(v.Message, "it has more than 33554432 bytes") {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestF15_AJUnitReportThatIsNoneIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"words":               "ok",
		"another root":        "<html/>",
		"two roots":           "<testsuite/><testsuite/>",
		"not closed":          "<testsuite><testcase>",
		"closed wrongly":      "<testsuite><testcase></testsuite></testcase>",
		"a test in a test":    `<testsuite><testcase><testcase/></testcase></testsuite>`,
		"a test in nothing":   `<testcase/>`,
		"a test in output":    `<testsuite><system-out><testcase/></system-out></testsuite>`,
		"text after":          "<testsuite/>done",
		"a document type":     `<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>`,
		"an entity":           `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite>&b;</testsuite>`,
		"an unknown entity":   `<testsuite>&b;</testsuite>`,
		"an instruction":      `<?xml-stylesheet href="x"?><testsuite/>`,
		"a charset":           `<?xml version="1.0" encoding="UTF-7"?><testsuite/>`,
		"no UTF-8":            "<testsuite>\xff</testsuite>",
		"depth":               strings.Repeat("<testsuite>", 40) + strings.Repeat("</testsuite>", 40),
		"great depth":         strings.Repeat("<testsuite>", 100000),
		"too many tests":      "<testsuite>" + strings.Repeat("<testcase/>", maxTests+1) + "</testsuite>",
		"an attribute open":   `<testsuite name="`,
		"attributes unquoted": `<testsuite name=x/>`,
	} {
		r := &results{}
		if err := r.junit(strings.NewReader(text), func(string) string { return "" }); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestPathsOfReportsStayInTheTree(t *testing.T) {
	for name, want := range map[string]string{
		"a.go": "sub/a.go", "./x/../a.go": "sub/a.go", "../a.go": "a.go", "../../a.go": "", "/etc/passwd": "", "/tree/a.go": "a.go", "/trees/a.go": "",
		"": "", "a\x00": "", `src\a.cs`: "sub/src/a.cs", "/tree/../x": "", strings.Repeat("a", maxName+1): "",
	} {
		if got := inTree(name, "/tree", "sub"); got != want {
			t.Errorf("%.20q: %q, want %q", name, got, want)
		}
	}
}

const goModule = "module example.org/m\n\ngo 1.24\n"

// goEvents is the verdict over a program that prints lines and exits with a code.
func goEvents(t *testing.T, code int, config string, lines ...string) sdk.Verdict {
	t.Helper()
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "go.mod"), []byte(goModule), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "lines"), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	v, _ := check(t, t.Context(), fmt.Sprintf(`{"run":["sh","-c","cat lines; echo noise >&2; exit %d"],"report":"go-test-json"%s}`, code, config), tree)
	return v
}

func event(action, test, output string) string {
	return fmt.Sprintf(`{"Time":"2026-01-02T03:04:05Z","Action":%q,"Package":"example.org/m/sub","Test":%q,"Output":%q}`, action, test, output)
}

func TestGoTestJSONDecidesBesideTheExitCode(t *testing.T) {
	ok := []string{event("start", "", ""), event("run", "TestA", ""), event("pass", "TestA", ""), event("run", "TestB", ""), event("skip", "TestB", "")}
	pass, fail := event("pass", "", ""), event("fail", "", "")
	bad := []string{event("run", "TestC", ""), event("run", "TestC/x", ""), event("output", "TestC/x", "    c_test.go:12: want 3\n"), event("fail", "TestC/x", ""), event("fail", "TestC", "")}
	for name, c := range map[string]struct {
		code    int
		config  string
		lines   []string
		want    sdk.Outcome
		message string
		metrics [3]float64
	}{
		"all well":            {0, "", append(slices.Clone(ok), pass), sdk.Pass, "", [3]float64{2, 0, 1}},
		"well but code 1":     {1, "", append(slices.Clone(ok), pass), sdk.Fail, "noise", [3]float64{2, 0, 1}},
		"failed and code 0":   {0, "", slices.Concat(ok, bad, []string{fail}), sdk.Fail, "2 failures in a report of 4 tests: example.org/m/sub TestC/x", [3]float64{4, 2, 1}},
		"failed and code 1":   {1, "", slices.Concat(ok, bad, []string{fail}), sdk.Fail, "TestC/x", [3]float64{4, 2, 1}},
		"a package fails":     {0, "", append(slices.Clone(ok), fail), sdk.Fail, "example.org/m/sub", [3]float64{2, 1, 1}},
		"it fails to build":   {0, "", []string{`{"ImportPath":"example.org/m/sub [x.test]","Action":"build-output","Output":"undefined: x\n"}`, `{"ImportPath":"example.org/m/sub [x.test]","Action":"build-fail"}`, event("start", "", ""), fail}, sdk.Fail, "2 failures", [3]float64{0, 2, 0}},
		"one does not end":    {0, "", append(slices.Clone(ok), event("run", "TestD", ""), pass), sdk.Fail, "TestD", [3]float64{3, 1, 1}},
		"the package neither": {0, "", slices.Concat(ok, []string{`{"Action":"pass","Package":"other"}`}), sdk.Fail, "example.org/m/sub", [3]float64{2, 1, 1}},
		"once failed":         {0, "", slices.Concat(bad, []string{event("run", "TestC/x", ""), event("pass", "TestC/x", ""), event("pass", "TestC", ""), pass}), sdk.Fail, "TestC/x", [3]float64{2, 2, 0}},
		"too few":             {0, `,"min_tests":2`, append(slices.Clone(ok), pass), sdk.Fail, "1 tests ran", [3]float64{2, 0, 1}},
		"none":                {0, "", []string{event("start", "", ""), event("skip", "", "")}, sdk.Fail, "0 tests ran", [3]float64{}},
		"skipped":             {0, `,"allow_skipped":0`, append(slices.Clone(ok), pass), sdk.Fail, "1 tests were skipped", [3]float64{2, 0, 1}},
		"nothing":             {0, "", nil, sdk.Error, "no package ended", [3]float64{}},
		"words":               {0, "", []string{"ok  example.org/m 0.1s"}, sdk.Error, "none of go test -json", [3]float64{}},
		"words between":       {0, "", append(slices.Clone(ok), "PASS", pass), sdk.Error, "line 6", [3]float64{}},
		"words and code 1":    {1, "", []string{"FAIL"}, sdk.Fail, "none of go test -json", [3]float64{}},
		"another document":    {0, "", []string{`{"outcome":"pass"}`}, sdk.Error, "none of go test -json", [3]float64{}},
		"cut off":             {0, "", []string{pass, `{"Action":"pa`}, sdk.Error, "line 2", [3]float64{}},
		"a long line":         {0, "", []string{pass, event("output", "", strings.Repeat("x", maxLine))}, sdk.Error, "longer", [3]float64{}},
		"a long name":         {0, "", []string{event("run", strings.Repeat("x", maxName+1), "")}, sdk.Error, "too long", [3]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := goEvents(t, c.code, c.config, c.lines...)
			got := [3]float64{v.Metrics["tests"], v.Metrics["failed"], v.Metrics["skipped"]}
			if v.Outcome != c.want || !strings.Contains(v.Message, c.message) || got != c.metrics {
				t.Errorf("%s %q %v, want %s %q %v", v.Outcome, v.Message, got, c.want, c.message, c.metrics)
			}
		})
	}
	v := goEvents(t, 1, "", slices.Concat(ok, bad, []string{fail})...)
	if !strings.Contains(v.Message, "c_test.go:12: want 3") || strings.Contains(v.Message, "{") {
		t.Errorf("the message quotes %q", v.Message)
	}
	if len(v.Findings) != 1 || v.Findings[0].Path != "sub/c_test.go" || v.Findings[0].Line != 12 || !strings.Contains(v.Findings[0].Message, "want 3") {
		t.Errorf("findings = %+v", v.Findings)
	}
}

func TestAMessageQuotesWhatGoTestSaidAndNotItsJSON(t *testing.T) {
	pass := event("pass", "", "")
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"a limit that is missed": {[]string{event("run", "TestA", ""), event("pass", "TestA", ""), event("output", "", "coverage: 10%\n"), pass}, "coverage: 10%\n"},
		"nothing but noise":      {[]string{event("run", "TestA", ""), event("pass", "TestA", ""), pass}, "noise"},
		"what is no JSON":        {[]string{"go: no such tool", ""}, "go: no such tool\n"},
		"a flood":                {[]string{event("output", "", strings.Repeat("x", maxLine-200)+"\n"), event("output", "", "the end\n"), pass}, "\nthe end\n"},
	} {
		if v := goEvents(t, 1, "", c.lines...); v.Outcome != sdk.Fail || !strings.Contains(v.Message+"\n", c.want) || strings.Contains(v.Message, "{") || len(v.Message) > 2*maxWords {
			t.Errorf("%s: %s with %q, want %q", name, v.Outcome, v.Message, c.want)
		}
	}
}

// The real tool's words are understood.
func TestARealRunOfGoTestIsRead(t *testing.T) {
	tree := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":         goModule,
		"a/a_test.go":    "package a\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) { t.Log(\"fine\") }\n\nfunc TestBad(t *testing.T) {\n\tt.Run(\"x\", func(t *testing.T) {\n\t\tt.Error(\"no\")\n\t})\n\tt.Run(\"y\", func(t *testing.T) { t.Skip() })\n}\n",
		"b/b_test.go":    "package b\n\nimport \"testing\"\n\nfunc TestPanics(t *testing.T) { panic(\"oh\") }\n",
		"c/c_test.go":    "package c\n\nfunc broken() { return 1 }\n",
		"none/n.go":      "package none\n",
		"good/g_test.go": "package good\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) {}\n",
	} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := fmt.Sprintf(`,"env":{"GOCACHE":%q,"GOFLAGS":"-vet=off","GOTOOLCHAIN":"local"}`, filepath.Join(t.TempDir(), "cache"))
	v, _ := check(t, t.Context(), `{"run":["go","test","-json","./..."],"report":"go-test-json"`+env+`}`, tree)
	var titles []string
	for _, f := range v.Findings {
		title, _, _ := strings.Cut(f.Message, "\n")
		titles = append(titles, fmt.Sprintf("%s %s:%d", title, f.Path, f.Line))
	}
	slices.Sort(titles)
	if v.Outcome != sdk.Fail || v.Metrics["tests"] != 6 || v.Metrics["skipped"] != 1 ||
		!slices.Contains(titles, "example.org/m/a TestBad/x a/a_test.go:9") || !slices.ContainsFunc(titles, func(s string) bool { return strings.HasPrefix(s, "example.org/m/b TestPanics") }) ||
		!slices.ContainsFunc(titles, func(s string) bool { return strings.HasPrefix(s, "example.org/m/c") }) {
		t.Errorf("%s %v\n%s\n%s", v.Outcome, v.Metrics, strings.Join(titles, "\n"), v.Message)
	}
	v, _ = check(t, t.Context(), `{"run":["go","test","-json","./good","./none"],"report":"go-test-json"`+env+`}`, tree)
	if v.Outcome != sdk.Pass || v.Metrics["tests"] != 1 {
		t.Errorf("verdict = %+v", v)
	}
}

// What ends a package's program before its tests ends it with 0, and go test calls it ok.
func TestF10_AnEndBeforeTheTestsIsNoTestThatPassed(t *testing.T) {
	tree := t.TempDir()
	const head = "\n\nimport (\n\t\"os\"\n\t\"syscall\"\n\t\"testing\"\n)\n\nvar _, _ = os.Exit, syscall.Exit\n\n"
	const bad = "func TestBad(t *testing.T) { t.Error(1) }\n"
	for name, text := range map[string]string{
		"good/a_test.go":    "package good" + head + "func TestGood(t *testing.T) {}\n",
		"wrapped/a_test.go": "package wrapped" + head + "func TestMain(m *testing.M) { print(\"words\"); os.Exit(m.Run()) }\n\nfunc TestGood(t *testing.T) { os.Stdout.WriteString(\"more\") }\n",
		"none/a_test.go":    "package none" + head + "func prepare(t *testing.T) {}\n",
		"early/a_test.go":   "package early" + head + "func TestMain(m *testing.M) { os.Exit(0) }\n\n" + bad,
		"begin/a_test.go":   "package begin" + head + "func init() { os.Exit(0) }\n\n" + bad,
		"swallow/a_test.go": "package swallow" + head + "func TestMain(m *testing.M) { m.Run(); os.Exit(0) }\n\n" + bad,
		"inside/a_test.go":  "package inside" + head + "func TestGood(t *testing.T) { os.Exit(0) }\n\n" + bad,
		"past/a_test.go":    "package past" + head + "func TestGood(t *testing.T) { syscall.Exit(0) }\n\n" + bad,
		"hidden/a_test.go":  "//go:build never\n\npackage hidden" + head + bad,
		"hidden/a.go":       "package hidden\n",
		"go.env":            "GOFLAGS=-run=^$\n",
		"go.mod":            goModule,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cache := filepath.Join(t.TempDir(), "cache")
	for _, c := range []struct {
		packages, more string
		want           sdk.Outcome
		told           string
		tests          float64
	}{
		{`"./good","./wrapped","./none","./hidden"`, ``, sdk.Pass, "", 2},
		{`"./good","./early","./begin"`, ``, sdk.Warn, " ended before its first test: nothing of it was tested", 3},
		{`"./good","./early"`, `,"min_tests":2`, sdk.Fail, "1 tests ran", 2},
		{`"./good","./early"`, `,"allow_skipped":0`, sdk.Fail, "1 tests were skipped", 2},
		{`"./early"`, ``, sdk.Fail, "0 tests ran", 1},
		{`"./good","./swallow"`, ``, sdk.Fail, "example.org/m/swallow TestBad", 2},
		{`"./good","./inside"`, ``, sdk.Fail, "example.org/m/inside TestGood", 2},
		{`"./good","./past"`, ``, sdk.Fail, "example.org/m/past", 2},
	} {
		env := fmt.Sprintf(`,"env":{"GOCACHE":%q,"GOFLAGS":"-vet=off","GOTOOLCHAIN":"local"}`, cache)
		v, _ := check(t, t.Context(), `{"run":["go","test","-json",`+c.packages+`],"report":"go-test-json"`+c.more+env+`}`, tree)
		if v.Outcome != c.want || !strings.Contains(v.Message+fmt.Sprint(v.Findings), c.told) || v.Metrics["tests"] != c.tests {
			t.Errorf("%s%s: %s %q %v, want %s %q %v", c.packages, c.more, v.Outcome, v.Message, v.Metrics, c.want, c.told, c.tests)
		}
	}
	end := event("output", "", "ok  \texample.org/m/sub\t0.01s\n")
	if v := goEvents(t, 0, "", event("run", "TestA", ""), event("pass", "TestA", ""), end, event("pass", "", "")); v.Outcome != sdk.Fail {
		t.Errorf("ended between two tests: %+v", v)
	}
}

func TestAReportThatIsNotDeclaredWellIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`"report":"tap"`:                               "report",
		`"report":"junit"`:                             "report_files",
		`"report":"junit","report_files":["../x"]`:     "report_files",
		`"report":"junit","report_files":["["]`:        "report_files",
		`"report":"junit","report_files":["a//b"]`:     "report_files",
		`"report":"go-test-json","report_files":["a"]`: "report_files",
		`"report_files":["a"]`:                         "report_files",
		`"min_tests":1`:                                "min_tests",
		`"allow_skipped":1`:                            "allow_skipped",
		`"report":"go-test-json","min_tests":-1`:       "min_tests",
		`"report":"go-test-json","allow_skipped":-1`:   "allow_skipped",
		`"report":"go-test-json","min_tests":1.5`:      "min_tests",
	} {
		sdktest.RefusedFor(t, manifest, command{}, `{"run":["a"],`+config+`}`, attribute)
	}
}

func FuzzJUnit(f *testing.F) {
	f.Add(goodReport)
	f.Add(badReport)
	f.Add(`<testsuite><testsuite><error/></testsuite></testsuite>`)
	f.Fuzz(func(t *testing.T, text string) {
		r := &results{}
		err := r.junit(strings.NewReader(text), func(file string) string { return inTree(file, "/tree", "") })
		if err != nil {
			return
		}
		// What the report calls a failure is one.
		if r.failed < 0 || r.skipped < 0 || r.tests < r.skipped || len(r.failures) > r.failed {
			t.Errorf("%q: %+v", text, r)
		}
		for _, finding := range r.findings() {
			if strings.HasPrefix(finding.Path, "..") || strings.HasPrefix(finding.Path, "/") {
				t.Errorf("%q: a path outside: %q", text, finding.Path)
			}
		}
	})
}

func FuzzGoTest(f *testing.F) {
	f.Add([]byte(event("run", "TestA", "")+"\n"+event("pass", "TestA", "")+"\n"+event("pass", "", "")), 7)
	f.Add([]byte(`{"Action":"build-fail","ImportPath":"x"}`), 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		read := func(n int) (*results, error) {
			g := newGoTest(func(string, string) string { return "" })
			for p := text; len(p) > 0; p = p[min(n, len(p)):] {
				g.take(p[:min(n, len(p))])
			}
			return g.finish()
		}
		whole, wholeErr := read(len(text) + 1)
		parts, partsErr := read(max(1, piece&63))
		// The pieces in which output arrives make no difference.
		if (wholeErr == nil) != (partsErr == nil) || wholeErr == nil && (whole.tests != parts.tests || whole.failed != parts.failed || whole.skipped != parts.skipped) {
			t.Errorf("%q: %+v, %v and in pieces %+v, %v", text, whole, wholeErr, parts, partsErr)
		}
	})
}
