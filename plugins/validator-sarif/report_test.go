package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/tree"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The module that staticcheck's recorded reports are about.
func sample(t *testing.T) files {
	t.Helper()
	f := files{}
	for _, one := range txtar.Parse(recorded(t, "staticcheck.txtar")).Files {
		f[one.Name] = string(one.Data)
	}
	return f
}

func TestARealReportIsRead(t *testing.T) {
	f := sample(t)
	f["say"] = string(recorded(t, "staticcheck.sarif"))
	head := sdktest.Tree(t, f)
	base := sample(t)
	base["say"] = clean
	v := judged(t, say, sdk.Check{Tree: head, BaseTree: sdktest.Tree(t, base)})
	want := []string{
		"error SA1000 sub/b.go error parsing regexp: missing closing ): `(`",
		"error SA5009 a.go Printf format %s reads arg #1, but call has only 0 args",
		"warning S1003 a.go should use strings.Contains(n, \"x\") instead",
		"warning SA4000 sub/b.go identical expressions on the left and right side of the '==' operator",
		"warning SA4018 a.go self-assignment of s to s",
		"warning U1000 a.go func unused is unused",
	}
	got := told(v)
	slices.Sort(got)
	if v.Outcome != sdk.Fail || !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if v.Findings[0].Line == 0 || len(v.Findings[0].Fingerprint) != 32 {
		t.Errorf("finding = %+v", v.Findings[0])
	}
}

// F10: staticcheck ends with code 0 over a package that does not compile, and leaves out what it could not
// look at. Its result about that names no rule that it describes, which makes it an error.
func TestF10_ATreeThatDoesNotCompileIsNotClean(t *testing.T) {
	f := sample(t)
	f["say"] = string(recorded(t, "staticcheck-broken.sarif"))
	base := sample(t)
	base["say"] = string(recorded(t, "staticcheck.sarif"))
	v := judged(t, `{"run":["cat","say"],"level":"error"}`, sdk.Check{Tree: sdktest.Tree(t, f), BaseTree: sdktest.Tree(t, base)})
	if v.Outcome != sdk.Fail || len(v.Findings) != 1 || v.Findings[0].Rule != "compile" || v.Findings[0].Severity != "error" {
		t.Errorf("verdict = %+v", v)
	}
}

// TestAnInstalledAnalyserIsJudged runs staticcheck itself where it is there.
func TestAnInstalledAnalyserIsJudged(t *testing.T) {
	if _, err := exec.LookPath("staticcheck"); err != nil {
		t.Skip("staticcheck is not installed")
	}
	base := sample(t)
	head := sample(t)
	head["a.go"] = "// Package sample moved.\n\n" + head["a.go"] + "\nfunc later(x int) {\n\tx = x\n}\n"
	v := judged(t, `{"run":["staticcheck","-f","sarif","./..."]}`, sdk.Check{Tree: sdktest.Tree(t, head), BaseTree: sdktest.Tree(t, base)})
	got := told(v)
	old := func(text string) bool { return strings.Contains(text, "S1003") || strings.Contains(text, "SA1000") }
	if v.Outcome != sdk.Fail || !slices.Contains(got, "warning SA4018 a.go self-assignment of x to x") || slices.ContainsFunc(got, old) {
		t.Errorf("%s\n%q", v.Message, got)
	}
}

func TestWhatAResultRefersToIsLookedUp(t *testing.T) {
	const text = `{"version":"2.1.0","runs":[{"results":[
		{"rule":{"index":0,"toolComponent":{"index":0}},"message":{"id":"m","arguments":["x","{0}"]},"locations":[
			{"physicalLocation":{"artifactLocation":{"index":0},"region":{"startLine":3,"endLine":4}}},{"physicalLocation":{}}]},
		{"ruleId":"D/1","message":{"markdown":"**m**"}},
		{"ruleId":"other","ruleIndex":0,"message":{"text":"t"}},
		{"ruleId":"D","kind":"pass","message":{"text":"no result"}},
		{"ruleId":"D","kind":"review","level":"none","message":{"text":"look"}},
		{"ruleId":"D","baselineState":"absent","message":{"text":"gone"}}
	],
	"artifacts":[{"location":{"uri":"a%20b.go","uriBaseId":"SUB"}}],
	"originalUriBaseIds":{"SUB":{"uri":"sub/","uriBaseId":"TOP"},"TOP":{"uri":"file:///t/"}},
	"tool":{"driver":{"name":"x","rules":[{"id":"D","defaultConfiguration":{"level":"note"}}]},
		"extensions":[{"name":"y","rules":[{"id":"E","messageStrings":{"m":{"text":"{0} and {1}"}},"defaultConfiguration":{}}]}]}
	}]}`
	r, err := read(strings.NewReader("\ufeff" + text))
	if err != nil {
		t.Fatal(err)
	}
	want := []result{
		{rule: "E", level: "warning", message: "x and {0}", uri: "file:///t/sub/a%20b.go", line: 3, end: 4},
		{rule: "D/1", level: "note", message: "**m**"},
		{rule: "other", level: "error", message: "t"},
		{rule: "D", level: "note", message: "look"},
	}
	if len(r.results) != len(want) {
		t.Fatalf("results = %+v", r.results)
	}
	for i, w := range want {
		g := r.results[i]
		if g.rule != w.rule || g.level != w.level || g.message != w.message || g.uri != w.uri || g.line != w.line || g.end != w.end {
			t.Errorf("result %d = %+v\nwant %+v", i, g, w)
		}
	}
}

// F9: a report cannot make the reader use more than its bounds.
func TestF9_AReportBeyondTheBoundsIsRefused(t *testing.T) {
	const head, tail = `{"version":"2.1.0","runs":[{"results":[`, `]}]}`
	for name, text := range map[string]io.Reader{
		"nested":         strings.NewReader(`{"x":` + strings.Repeat(`[`, 1_000_000)),
		"nested objects": strings.NewReader(head + strings.Repeat(`{"properties":`, 1_000_000)),
		"results":        strings.NewReader(head + strings.Repeat(`{},`, maxResults) + `{}` + tail),
		"runs":           strings.NewReader(`{"version":"2.1.0","runs":[` + strings.Repeat(`{"results":[]},`, maxRuns) + `{"results":[]}]}`),
		"bytes":          io.MultiReader(strings.NewReader(head), io.LimitReader(spaces{}, maxReport), strings.NewReader(tail)),
		"blanks behind":  io.MultiReader(strings.NewReader(clean), io.LimitReader(spaces{}, maxReport)),
	} {
		if _, err := read(text); !errors.Is(err, tree.ErrTooLarge) {
			t.Errorf("%s: %v, want that it is too much", name, err)
		}
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// F9: a report names no file outside of the tree.
func TestF9_PlacesAreConfinedToTheTree(t *testing.T) {
	dir := sdktest.Tree(t, files{"sub/a.go": "x", "a b.go": "x", "top.go": "x"})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(link)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for uri, want := range map[string]string{
		"a.go": "sub/a.go", "./a.go": "sub/a.go", "../top.go": "top.go", "top.go": "top.go", "gone.go": "sub/gone.go", "../a%20b.go": "a b.go",
		"file://" + dir + "/sub/a.go": "sub/a.go", "file://localhost" + link + "/x": "x", dir + "/sub/../y": "y", "file:" + dir + "/z": "z",
		"../../x": "", "../../../etc/passwd": "", "file:///etc/passwd": "", "/etc/passwd": "", "https://example.org/x": "", "file://host" + dir + "/x": "",
		"%2e%2e/%2e%2e/x": "", dir + "/../x": "", dir: "", "..": "", "": "", "a%00b": "", "a%0Ab": "", "%zz": "", "C:/x": "",
		"file://" + dir + "evil/x": "", strings.Repeat("a/", 3000): "",
	} {
		got, ok := newPlacer(root, "sub").place(uri)
		if got != want || ok != (want != "") {
			t.Errorf("%q is at %q, %t, want %q", uri, got, ok, want)
		}
	}
}

func TestBasesThatReferToEachOtherEnd(t *testing.T) {
	r := run{bases: map[string]location{"A": {uri: "a", base: "B"}, "B": {uri: "b", base: "A"}, "S": {uri: "s", base: "S"}}}
	for _, base := range []string{"A", "S"} {
		if got := r.where(location{uri: "x", base: base, index: -1}); got != "" {
			t.Errorf("%s leads to %q", base, got)
		}
	}
	if got := r.where(location{uri: "x", base: "%SRCROOT%", index: -1}); got != "x" {
		t.Errorf("an undeclared base leads to %q", got)
	}
}

func TestTheAnalysersFingerprintsDecideWhereBothHaveThem(t *testing.T) {
	one := func(path, content string, prints ...string) item {
		return item{result: result{rule: "R", prints: prints}, path: path, content: content}
	}
	for name, c := range map[string]struct {
		head, base item
		known      bool
	}{
		"equal, and another text":       {one("a", "x", "h\x001"), one("a", "y", "h\x001"), true},
		"another, and the same text":    {one("a", "x", "h\x001"), one("a", "x", "h\x002"), false},
		"only one has any":              {one("a", "x", "h\x001"), one("a", "x"), true},
		"of other names":                {one("a", "x", "h\x001"), one("a", "x", "i\x002"), true},
		"one of two equal":              {one("a", "x", "h\x001", "i\x001"), one("a", "x", "h\x001", "i\x002"), false},
		"equal, but in another file":    {one("a", "x", "h\x001"), one("b", "x", "h\x001"), false},
		"none, and the same text":       {one("a", "x"), one("a", "x"), true},
		"none, and the text of another": {one("a", "x"), one("a", "y"), false},
	} {
		head := []item{c.head}
		if match(head, []item{c.base}, nil); head[0].known != c.known {
			t.Errorf("%s: known = %t", name, head[0].known)
		}
	}
}

func TestOneResultOfTheBaseAccountsForOne(t *testing.T) {
	head := []item{{path: "a", content: "x", changed: true}, {path: "a", content: "x"}, {path: "a", content: "x", changed: true}}
	match(head, []item{{path: "a", content: "x"}, {path: "a", content: "x"}}, nil)
	if !head[1].known || !head[0].known || head[2].known {
		t.Errorf("head = %+v", head)
	}
	many := make([]item, 3*maxAlike)
	match(many, make([]item, 3*maxAlike), nil)
	if slices.ContainsFunc(many, func(i item) bool { return !i.known }) {
		t.Error("of many equal results some count as new")
	}
}

func TestFingerprintsStayWhenLinesMove(t *testing.T) {
	before := fingerprints([]item{{path: "a", content: "x"}, {path: "a", content: "x"}})
	after := fingerprints([]item{{path: "a", content: "x", result: result{line: 9}}})
	if before[0] != after[0] || before[0] == before[1] {
		t.Errorf("%q, then %q", before, after)
	}
}

func TestMessagesAreMadePrintable(t *testing.T) {
	f := finding(item{result: result{message: "a\x1b[31m\r\nb", level: levelError, uri: "file:///etc/passwd"}}, "")
	if f.Message != "a [31m \nb (in a place that is not in the tree)" || f.Rule != "unnamed" {
		t.Errorf("finding = %+v", f)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(recorded(f, "staticcheck.sarif"))
	f.Add([]byte(clean))
	f.Add([]byte(`{"version":"2.1.0","runs":[{"results":[{"ruleIndex":-7,"locations":[{"physicalLocation":{"region":{"startLine":-1}}}],"fingerprints":{"a":"b"}}]}]}`))
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("one\ntwo\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := read(bytes.NewReader(text))
		if err != nil {
			return
		}
		items := locate(r, newPlacer(root, ""))
		for _, i := range items {
			if i.path != "" && !filepath.IsLocal(i.path) || i.line < 0 || i.end < i.line || rank(i.level) < 0 {
				t.Errorf("item %+v", i)
			}
		}
		again := slices.Clone(items)
		if match(again, items, nil); slices.ContainsFunc(again, func(i item) bool { return !i.known }) {
			t.Error("a report has results that it does not have")
		}
	})
}
