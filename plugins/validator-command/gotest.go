package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/sdk"
)

// maxLine bounds one line of go test -json.
const maxLine = 1 << 20

// goTest reads what go test -json prints, piece by piece.
type goTest struct {
	results
	// locate finds a file of a package in the tree, "" for none.
	locate   func(pkg, file string) string
	rest     []byte // a line that is not complete
	words    []byte // the end of what the tests and the tool said
	err      error
	lines    int
	cases    map[testKey]*goCase
	order    []testKey
	packages map[string]bool // those that ended, with whether they failed
}

type testKey struct{ pkg, name string }

// goCase is one test, or a package where it has no name.
type goCase struct {
	bad, skipped, done bool
	below              bool // one of its own tests failed, which says more
	said               string

	// Of a package: its program ended with 0, and it said before that its tests were through. What ends it before
	// that, in TestMain, an init or beside the tests, ends with 0 as well.
	ok, through bool
}

// goEvent is one line.
type goEvent struct {
	Action, Package, ImportPath, Test, Output string
}

func newGoTest(locate func(pkg, file string) string) *goTest {
	return &goTest{locate: locate, cases: map[testKey]*goCase{}, packages: map[string]bool{}}
}

// take reads a piece of output. What is wrong with it is told at the end.
func (g *goTest) take(p []byte) {
	for len(p) > 0 && g.err == nil {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		if len(g.rest)+len(line) > maxLine {
			g.err = broken("line %d is longer than %d bytes", g.lines+1, maxLine)
			return
		}
		if !whole {
			g.rest = append(g.rest, line...)
			return
		}
		g.line(append(g.rest, line...))
		g.rest, p = g.rest[:0], rest
	}
}

// hear reads the output on its way. What a message quotes is what was said, not the JSON around it.
func (g *goTest) hear(output func(string, []byte) error) heard {
	return heard{
		output: func(stream string, p []byte) error {
			if stream == "stdout" {
				g.take(p)
			} else {
				g.say(string(p))
			}
			if output == nil {
				return nil
			}
			return output(stream, p)
		},
		quote: func(tail string) string {
			if g.last(); g.err != nil {
				return tail
			}
			return strings.ToValidUTF8(string(g.words[max(0, len(g.words)-maxWords):]), "\uFFFD")
		},
	}
}

func (g *goTest) say(text string) {
	if g.words = append(g.words, text...); len(g.words) > 2*maxWords {
		g.words = append(g.words[:0], g.words[len(g.words)-maxWords:]...)
	}
}

func (g *goTest) line(text []byte) {
	g.lines++
	if len(bytes.TrimSpace(text)) == 0 {
		return
	}
	var e goEvent
	if err := json.Unmarshal(text, &e); err != nil || e.Action == "" {
		g.err = broken("line %d is none of go test -json: %.80q", g.lines, text)
		return
	}
	if len(e.Package) > maxName || len(e.Test) > maxName {
		g.err = broken("line %d has a name that is too long", g.lines)
		return
	}
	g.event(e)
}

func (g *goTest) event(e goEvent) {
	switch e.Action {
	case "build-fail":
		g.caseOf(testKey{e.ImportPath, ""}).bad = true
		g.packages[e.ImportPath] = true
		return
	case "build-output":
		e.Package, e.Action = e.ImportPath, "output"
	}
	if e.Package == "" {
		return
	}
	g.caseOf(testKey{e.Package, ""}) // it has to end as well
	c := g.caseOf(testKey{e.Package, e.Test})
	switch e.Action {
	case "run":
		c.done = false
	case "output":
		c.said = lastOf(c.said + e.Output)
		g.say(e.Output)
		whole := g.caseOf(testKey{e.Package, ""})
		whole.ok = whole.ok || strings.HasPrefix(e.Output, "ok  \t")
		whole.through = whole.through || strings.HasSuffix(strings.TrimRight(e.Output, "\n"), "PASS")
	case "pass", "skip", "fail":
		g.end(c, e)
	}
}

// end notes how a test ended. A test that failed once has failed.
func (g *goTest) end(c *goCase, e goEvent) {
	c.done = true
	c.bad = c.bad || e.Action == "fail"
	c.skipped = e.Action == "skip"
	if !c.bad {
		c.said = ""
	}
	if e.Test == "" {
		g.packages[e.Package] = g.packages[e.Package] || e.Action == "fail"
	}
}

// lastOf is the end of what a test said.
func lastOf(said string) string {
	if len(said) <= maxSaid {
		return said
	}
	return strings.Clone(said[len(said)-maxSaid:])
}

func (g *goTest) caseOf(k testKey) *goCase {
	if c := g.cases[k]; c != nil {
		return c
	}
	c := &goCase{}
	if len(g.order) > maxTests {
		if g.err == nil {
			g.err = broken("it tells of more than %d tests", maxTests)
		}
		return c
	}
	g.cases[k] = c
	g.order = append(g.order, k)
	return c
}

// last reads a last line that is not ended.
func (g *goTest) last() {
	if len(g.rest) > 0 && g.err == nil {
		g.line(g.rest)
	}
	g.rest = nil
}

// finish sums up. A test that began and did not end has failed, and so has a package that failed without a test.
func (g *goTest) finish() (*results, error) {
	g.last()
	switch {
	case g.err != nil:
		return nil, g.err
	case len(g.packages) == 0:
		return nil, broken("no package ended in what go test -json printed")
	}
	inTests := map[string]bool{}
	var packages []testKey
	for _, k := range g.order {
		if k.name == "" {
			packages = append(packages, k)
			continue
		}
		g.sum(k, inTests)
	}
	for _, k := range g.order {
		g.keep(k)
	}
	for _, k := range packages {
		failed, ended := g.packages[k.pkg]
		c := g.cases[k]
		switch {
		case inTests[k.pkg]:
		case c.bad || failed || !ended:
			g.fail(g.describe(k, c))
		case c.ok && !c.through:
			g.early(k, c)
		}
	}
	return &g.results, nil
}

// early counts a package whose program ended well before its tests were through. One that began none may have a
// reason, such as a service that is not there: it counts as skipped.
func (g *goTest) early(k testKey, c *goCase) {
	f := g.describe(k, c)
	f.said = strings.TrimSpace("it ended before its tests were through\n" + f.said)
	if began := slices.ContainsFunc(g.order, func(t testKey) bool { return t.pkg == k.pkg && t.name != "" }); began {
		g.fail(f)
		return
	}
	g.tests++
	g.skipped++
	if len(g.unrun) < sdk.MaxFindings {
		g.unrun = append(g.unrun, f)
	}
}

// keep keeps a failed test, unless one of its own says more.
func (g *goTest) keep(k testKey) {
	if c := g.cases[k]; k.name != "" && c.bad && !c.below && len(g.failures) < sdk.MaxFindings {
		g.failures = append(g.failures, g.describe(k, c))
	}
}

// sum counts one test.
func (g *goTest) sum(k testKey, inTests map[string]bool) {
	c := g.cases[k]
	g.tests++
	if !c.done {
		c.bad, c.said = true, c.said+"it did not end\n"
	}
	switch {
	case c.bad:
		g.failed++
		inTests[k.pkg] = true
		for at := strings.LastIndexByte(k.name, '/'); at > 0; at = strings.LastIndexByte(k.name[:at], '/') {
			if above := g.cases[testKey{k.pkg, k.name[:at]}]; above != nil && above.bad {
				above.below = true
			}
		}
	case c.skipped:
		g.skipped++
	}
}

// said is where a test says that something is wrong.
var said = regexp.MustCompile(`(?m)^\s*([\w.-]+\.go):(\d{1,9}):`)

func (g *goTest) describe(k testKey, c *goCase) failed {
	f := failed{group: k.pkg, name: k.name, said: clean(c.said, maxSaid)}
	if at := said.FindStringSubmatch(c.said); at != nil {
		if f.path = g.locate(k.pkg, at[1]); f.path != "" {
			f.line, _ = strconv.Atoi(at[2]) // nine digits are a number
		}
	}
	return f
}
