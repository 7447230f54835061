package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// evil is what a validator, a path or a message may be made of.
var evil = []string{
	"::error file=x::owned", "\n::set-output name=a::b", "##[command]x", "##vso[task.setvariable]x", "###[x", "a\r\n::stop-commands::x", "%0A::add-mask::x",
	"x,line=1::y", "\x1b[2Jgone", "\x1b]0;title\a", "a\u202eb\u2066c", "</testsuite><script>", "]]>", "`code` ``` x", "| a | b |", "@everyone <img src=x onerror=y>",
	"[link](javascript:x)", "\xff\xfe\x00", "\u2028\u2029", strings.Repeat("x", 5000), "--- group", "+++ open", "https://evil.example", "\"'&<>", "\\|",
}

func finding(i int, s string) Finding {
	return Finding{Rule: s, Severity: []string{"error", "warning", "note", s}[i%4], Path: "dir/" + s, Line: i, EndLine: i + 1, Message: s, Help: s}
}

func hostile() *Document {
	d := &Document{Schema: Schema, Verdict: fail, Reason: evil[1], Workspace: evil[11], Notes: []Note{}, Omitted: []string{evil[0]},
		Subject: Subject{BaseRef: evil[0], HeadRef: evil[2], Base: strings.Repeat("a", 40), Head: strings.Repeat("b", 40)},
		Rules:   Rules{From: FromBase, Files: []File{{Path: evil[15], Digest: "sha256:x"}}, Edited: []string{evil[15]}}}
	for i, s := range evil {
		g := Gate{Name: s, Verdict: []string{pass, fail, hold, s}[i%4], Result: []string{pass, fail, errored}[i%3], Reason: s, Required: i%2 == 0, Declared: s,
			Plugin: &Plugin{Name: s, Version: s, Digest: s}, Sandbox: &Levels{Required: "strict", Enforced: "guarded" + s, Missing: []string{s}}}
		for j, t := range evil {
			g.Findings = append(g.Findings, finding(j, t))
		}
		g.Findings = Settle(g.Name, g.Findings)
		d.Gates = append(d.Gates, g)
		d.Notes = append(d.Notes, Note{Code: "x", Level: s, Text: s, Path: s})
	}
	return d
}

// all are every format of a document, by name.
func all(t testing.TB, d *Document) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"text": Text(d, nil), "github": GitHub(d), "outputs": Outputs(d), "summary": Markdown(d, SummarySize), "comment": Markdown(d, CommentSize)}
	for name, make := range map[string]func(*Document) ([]byte, error){"json": JSON, "gitlab": GitLab, "sarif": SARIF, "junit": JUnit} {
		body, err := make(d)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = body
	}
	return out
}

func TestNoFormatLetsTextFromOutsideCommandAnything(t *testing.T) {
	for name, body := range all(t, hostile()) {
		text := string(body)
		for _, r := range text {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029) {
				t.Errorf("%s: it holds %U", name, r)
				break
			}
		}
		// Any of them may be written to standard output, and that is a log.
		if at := strings.Index(text, "##["); at >= 0 || strings.Contains(text, "##vso[") {
			t.Errorf("%s: a CI system takes a part of it for a command: %q", name, text[max(at, 0):][:60])
		}
	}
}

// heard is what a CI system takes for a command, wherever a line stands in a log.
var heard = regexp.MustCompile(`(?m)##\[|##vso\[|^(---|\+\+\+|~~~)|^\s*::`)

func TestALogHoldsNoCommandsButOurOwn(t *testing.T) {
	d := hostile()
	if got := heard.FindAllString(string(Text(d, nil)), -1); got != nil {
		t.Errorf("text: %q", got)
	}
	own := regexp.MustCompile(`^::(error|warning|notice) ([a-zA-Z]+=[^,:]*)(,[a-zA-Z]+=[^,:]*)*::`)
	for _, l := range strings.Split(strings.TrimSpace(string(GitHub(d))), "\n") {
		if rest := own.ReplaceAllString(l, "own "); heard.MatchString(rest) {
			t.Errorf("github: %.200q", l)
		}
	}
}

func TestPropertiesOfAnAnnotationCannotEndEarly(t *testing.T) {
	got := properties{file: "a,line=9::x\r\n:%", line: 3, end: 5, title: "t:,"}.command(0, "100% ::x\nnext")
	want := `::error file=a%2Cline=9%3A%3Ax %3A%25,line=3,endLine=5,title=t%3A%2C::100%25 ::x next`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMarkdownHoldsOutsideTextInCodeSpansOnly(t *testing.T) {
	for _, s := range evil {
		got := span(s, 100)
		fence := got[:len(got)-len(strings.TrimLeft(got, "`"))]
		inner := strings.TrimSuffix(strings.TrimPrefix(got, fence), fence)
		if fence == "" || !strings.HasSuffix(got, fence) || slices.Contains(strings.FieldsFunc(inner, func(r rune) bool { return r != '`' }), fence) {
			t.Errorf("%q becomes %q", s, got)
		}
		if strings.Contains(cell(s), "|") {
			t.Errorf("a cell ends early: %q", cell(s))
		}
	}
}

func TestTheLimitsOfTheSystemsAreKeptAndTheRestIsCounted(t *testing.T) {
	d := &Document{Schema: Schema, Verdict: fail, Workspace: "w"}
	for i := range 30 {
		g := Gate{Name: fmt.Sprintf("g%d", i), Verdict: fail, Required: true, Result: fail, Reason: "fail"}
		for j := range 1000 {
			g.Findings = append(g.Findings, Finding{Rule: "r", Severity: []string{errored, warning, noted}[j%3], Path: fmt.Sprintf("p%d", j), Line: 1, Message: strings.Repeat("m", 300)})
		}
		g.Findings = Settle(g.Name, g.Findings)
		d.Gates = append(d.Gates, g)
	}
	out := all(t, d)
	for _, c := range commands {
		if n := strings.Count(string(out["github"]), "::"+c+" "); n != maxAnnotations {
			t.Errorf("github: %d of %s", n, c)
		}
	}
	if !strings.Contains(string(out["github"]), "and 30000 annotations more") {
		t.Errorf("github: the rest is not counted: %s", out["github"][len(out["github"])-200:])
	}
	if len(out["summary"]) > SummarySize || len(out["comment"]) > CommentSize || !strings.Contains(string(out["comment"]), "more are left out") {
		t.Errorf("markdown has %d and %d bytes", len(out["summary"]), len(out["comment"]))
	}
	bounded(t, out)
}

func bounded(t *testing.T, out map[string][]byte) {
	t.Helper()
	var log sarifLog
	if err := json.Unmarshal(out["sarif"], &log); err != nil {
		t.Fatal(err)
	}
	if len(log.Runs) != maxRuns || len(log.Runs[maxRuns-1].Results) > maxResults || len(log.Runs[maxRuns-1].Invocations[0].Notifications) == 0 {
		t.Errorf("sarif: %d runs, the last with %d results", len(log.Runs), len(log.Runs[maxRuns-1].Results))
	}
	var issues []issue
	if err := json.Unmarshal(out["gitlab"], &issues); err != nil || len(issues) != maxIssues {
		t.Errorf("gitlab: %d issues, %v", len(issues), err)
	}
	marks := map[string]bool{}
	for _, i := range issues {
		if marks[i.Fingerprint] {
			t.Fatalf("gitlab: fingerprint %s twice", i.Fingerprint)
		}
		marks[i.Fingerprint] = true
	}
	var suites junitSuites
	if err := xml.Unmarshal(out["junit"], &suites); err != nil || suites.Failures != 30 || len(suites.Suite.Cases) != 30 {
		t.Errorf("junit: %+v, %v", suites.Failures, err)
	}
}

func TestHostileDocumentsStayWellFormed(t *testing.T) {
	out := all(t, hostile())
	for _, name := range []string{"json", "gitlab", "sarif"} {
		if !json.Valid(out[name]) {
			t.Errorf("%s is not JSON", name)
		}
	}
	var suites junitSuites
	if err := xml.Unmarshal(out["junit"], &suites); err != nil || len(suites.Suite.Cases) != len(evil) {
		t.Errorf("junit: %v", err)
	}
	if n := strings.Count(string(out["outputs"]), "\n"); n != 6 {
		t.Errorf("outputs have %d lines: %s", n, out["outputs"])
	}
}

func TestWhatIsSaidOfTheRunStandsInEveryFormat(t *testing.T) {
	d := &Document{Schema: Schema, Verdict: pass, Workspace: "w", Notes: []Note{{Code: "edits-its-judge", Level: warning, Text: "this change edits its own judge"}},
		Gates: []Gate{{Name: "g", Verdict: pass, Required: true, Result: pass, Sandbox: &Levels{Required: "strict", Enforced: "strict", Missing: []string{"limits.memory"}}}}}
	for name, body := range all(t, d) {
		if name != "outputs" && !strings.Contains(string(body), "edits its own judge") {
			t.Errorf("%s does not say it: %s", name, body)
		}
	}
	if got := levelOf(d.Gates[0]); got != "strict without limits.memory" {
		t.Errorf("a limit that is not held is told as %q", got)
	}
}

func TestABaselineOfAnotherToolKnowsAFindingAsOftenAsItHasIt(t *testing.T) {
	result := `{"ruleId":"r","message":{"text":"x is 3"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a.go"}}}]}`
	again := []Finding{{Rule: "r", Path: "a.go", Line: 3, Message: "x is 3"}, {Rule: "r", Path: "a.go", Line: 9, Message: "x is 9"}}
	for results, want := range map[string]int{result: 1, result + "," + result: 2} {
		b, err := ReadBaseline([]byte(`{"version":"2.1.0","runs":[{"results":[` + results + `]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // each look counts anew
			if n := b.Mark("g", Settle("g", again)); n != want {
				t.Errorf("%d of two are known, want %d", n, want)
			}
		}
	}
}

func TestFingerprintsDoNotMoveWithLinesAndAreUniqueInAGate(t *testing.T) {
	a := Settle("g", []Finding{{Rule: "r", Path: "p", Line: 3, Message: "at line 3: x"}, {Rule: "r", Path: "p", Line: 9, Message: "at line 9: x"}})
	b := Settle("g", []Finding{{Rule: "r", Path: "p", Line: 40, Message: "at  line 40: x"}, {Rule: "r", Path: "p", Line: 13, Message: "at line 13: x"}})
	if a[0].Fingerprint != b[0].Fingerprint || a[1].Fingerprint != b[1].Fingerprint || a[0].Fingerprint == a[1].Fingerprint {
		t.Errorf("%v\n%v", a, b)
	}
	if other := Settle("h", a[:1]); other[0].Fingerprint != a[0].Fingerprint {
		t.Error("a validator's own fingerprint was replaced")
	}
}

func TestABaselineKnowsWhatAnEarlierRunFoundInBothOfItsForms(t *testing.T) {
	old := Settle("g", []Finding{{Rule: "r", Severity: errored, Path: "a b.go", Line: 3, Message: "x is 3"}})
	d := &Document{Schema: Schema, Verdict: fail, Workspace: "w", Gates: []Gate{{Name: "g", Verdict: fail, Required: true, Result: fail, Findings: old}}}
	out := all(t, d)
	for _, form := range []string{"json", "sarif"} {
		b, err := ReadBaseline(out[form])
		if err != nil || b.Len() != 1 {
			t.Fatalf("%s: %v", form, err)
		}
		now := Settle("g", []Finding{{Rule: "r", Severity: errored, Path: "a b.go", Line: 70, Message: "x is 70"}, {Rule: "r", Severity: errored, Path: "new.go", Message: "x is 3"}})
		if n := b.Mark("g", now); n != 1 || !now[0].Known || now[1].Known {
			t.Errorf("%s: %d known, %v", form, n, now)
		}
		if n := b.Mark("h", Settle("h", []Finding{{Rule: "r", Path: "a b.go", Message: "x is 3"}})); n != 0 {
			t.Errorf("%s: another gate's finding is known", form)
		}
	}
	b, err := ReadBaseline([]byte(`{"version":"2.1.0","runs":[{"results":[{"ruleId":"r","message":{"text":"x is 3"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a%20b.go"}}}]},
		{"ruleId":"","message":{"text":""}}, {"ruleId":"drawspan/verdict","message":{"text":"x"}}]}]}`))
	if err != nil || b.Len() != 1 || b.Mark("g", slices.Clone(old)) != 1 {
		t.Errorf("SARIF of another tool: %v, %v", b, err)
	}
}

func FuzzReadBaseline(f *testing.F) {
	f.Add([]byte(`{"schema":"drawspan.gate-run/1","gates":[{"name":"g","findings":[{"fingerprint":"x"}]}]}`))
	f.Add([]byte(`{"version":"2.1.0","runs":[{"results":[{"ruleId":"r","message":{"text":"x"},"locations":[{}]}]}]}`))
	f.Add([]byte(strings.Repeat("[", 100000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ReadBaseline(data)
		if err == nil && b.Mark("g", []Finding{{}}) != 0 && len(b.exact) == 0 {
			t.Error("an empty finding is known")
		}
	})
}

func FuzzFormats(f *testing.F) {
	for _, s := range evil {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := &Document{Schema: Schema, Verdict: s, Workspace: s, Gates: []Gate{{Name: s, Verdict: fail, Findings: Settle(s, []Finding{finding(0, s)})}}}
		for name, body := range all(t, d) {
			if strings.ContainsAny(string(body), "\x1b\x00\r") {
				t.Errorf("%s holds control characters", name)
			}
		}
	})
}

func TestTheRecordsDigestStandsInTheLog(t *testing.T) {
	d := hostile()
	if strings.Contains(string(Text(d, nil)), "\nrecord: ") {
		t.Error("a record that nobody asked for is named")
	}
	d.Timing.Record = "sha256:0123"
	if !strings.HasSuffix(string(Text(d, nil)), "\nrecord: sha256:0123\n") {
		t.Errorf("%s", Text(d, nil))
	}
}

// mixed is a run with every way in which a gate can stand.
func mixed() *Document {
	strict := &Levels{Required: "strict", Enforced: "strict"}
	one := Settle("paths", []Finding{{Rule: "paths/forbid", Severity: errored, Path: "secret/x", Message: "must not be changed"}})
	return &Document{Schema: Schema, Verdict: fail, Reason: `gate "tests": fail: --- FAIL`, Workspace: "w", Notes: []Note{{Code: "x", Level: warning, Text: "something"}},
		Subject: Subject{BaseRef: "main", HeadRef: "work", Asked: strings.Repeat("a", 40), Base: strings.Repeat("a", 40), Head: strings.Repeat("b", 40), Files: 1, Insertions: 2},
		Rules:   Rules{From: FromRunner, Files: []File{{Path: "/etc/ci/own.hcl"}}},
		Gates: []Gate{
			{Name: "good", Verdict: pass, Result: pass, Reason: "pass", Required: true, Sandbox: strict, Declared: "/etc/ci/own.hcl:3"},
			{Name: "deps", Verdict: pass, Result: "skip", Reason: "does not apply: no manifest has changed", Required: true, Sandbox: strict},
			{Name: "when", Verdict: pass, Reason: "does not apply: touches(diff, \"x\") is false", Required: true},
			{Name: "diff", Verdict: pass, Result: "warn", Reason: "warn: look at it", Required: true, Sandbox: strict},
			{Name: "tests", Verdict: fail, Result: fail, Reason: "fail: --- FAIL\n    x_test.go:3: boom\n\nFAIL", Required: true, Sandbox: strict, Declared: "gates.hcl:7"},
			{Name: "paths", Verdict: fail, Result: fail, Reason: "fail: \"secret/x\": must not be changed", Required: true, Sandbox: strict, Findings: one},
			{Name: "broken", Verdict: fail, Result: errored, Reason: "not evaluated: it ended", Required: true, Sandbox: strict},
			{Name: "style", Verdict: fail, Result: fail, Reason: "fail: fail: twice", Sandbox: strict},
			{Name: "person", Verdict: hold, Reason: "May this in?", Required: true},
		},
	}
}

func TestALogSaysOnceHowEachGateStandsAndWhatToDo(t *testing.T) {
	want := `gate run: fail: 3 failed, 1 waits for a person, 1 advisory failed, 1 passed with a warning, 1 passed, 2 do not apply
  workspace w, main (aaaaaaaaaaaa) .. work (bbbbbbbbbbbb): 1 file changed, +2 -0
  rules     the runner's own: /etc/ci/own.hcl
! something
FAIL tests   --- FAIL  [strict]
     |     x_test.go:3: boom
     | FAIL
FAIL paths   1 finding  [strict]
     error secret/x: must not be changed [paths/forbid]
FAIL broken  not evaluated: it ended  [strict]
HOLD person  May this in?
FAIL style   fail: twice  [strict]  (advisory)
WARN diff    look at it  [strict]
PASS good    [strict]
SKIP deps    no manifest has changed  [strict]
SKIP when    touches(diff, "x") is false
findings: 1 error, 0 warnings, 0 notes
next: one gate alone, with the flags of this run: drawspan gate run --base aaaaaaaaaaaa --head bbbbbbbbbbbb --only tests
`
	if got := string(Text(mixed(), nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	painted := string(Text(mixed(), func(word, shown string) string { return "<" + word + ">" + shown + "</>" }))
	if got := strings.NewReplacer("</>", "", "<fail>", "", "<hold>", "", "<warn>", "", "<pass>", "", "<skip>", "").Replace(painted); got != want {
		t.Errorf("colours change more than the colour:\n%s", painted)
	}
	held := mixed()
	held.Verdict, held.Gates = hold, held.Gates[8:]
	if got := string(Text(held, nil)); !strings.Contains(got, "\nnext: have somebody who may decide look at the change; in CI nobody is asked\n") {
		t.Errorf("a hold is told as\n%s", got)
	}
}

func TestNoFormatSaysAVerdictTwice(t *testing.T) {
	for name, body := range all(t, mixed()) {
		if twice := regexp.MustCompile(`fail: fail: [^t]|pass: pass|warn: warn|fail\*\*[^\n]*: .fail: [^t]`).FindString(string(body)); name != "json" && twice != "" {
			t.Errorf("%s says %q", name, twice)
		}
	}
}

func TestWhatTheRunnerReadIsNoPathOfTheRepository(t *testing.T) {
	out := all(t, mixed())
	for _, name := range []string{"sarif", "gitlab", "github"} {
		if strings.Contains(string(out[name]), "etc/ci") {
			t.Errorf("%s: %s", name, out[name])
		}
	}
	var issues []issue
	if err := json.Unmarshal(out["gitlab"], &issues); err != nil || issues[1].Location.Path != "gates.hcl" || issues[1].Location.Lines.Begin != 7 || issues[0].Location.Path != "own.hcl" {
		t.Errorf("%v %+v", err, issues)
	}
}
