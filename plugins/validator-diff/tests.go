package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
)

// testCase is one test as one side of the diff shows it.
type testCase struct {
	name string
	line int
}

// testDiff is what the patch shows of the tests of one file.
type testDiff struct {
	path           string
	language       *language
	before, after  []testCase // those of hunks, each side as it reads
	skips          []testCase // lines that were added because of which a test does not run
	gone           map[string]int
	swallowed      []testCase // lines that were there and are in a comment now
	wholly, binary bool       // the file itself is new or is gone
	received       bool       // tests of other files came here

	hunk    int
	marked  [2]bool // a marker was seen on the old side, and on the new
	comment bool    // an added line opened a comment
}

// testSet are the tests of a diff.
type testSet struct {
	files []*testDiff
	at    map[string]*testDiff
}

// see takes one line of the patch.
func (s *testSet) see(l line) {
	d := s.at[l.path]
	if d == nil {
		return
	}
	if d.hunk != l.hunk {
		d.hunk, d.marked, d.comment = l.hunk, [2]bool{}, false
	}
	if l.sign != '+' {
		d.side(0, l)
	}
	if l.sign != '-' {
		d.side(1, l)
		d.comments(l)
	}
	d.skipping(l)
}

// side reads a line as it stands before the change (0) or after it (1).
func (d *testDiff) side(of int, l line) {
	cases := &d.before
	if of == 1 {
		cases = &d.after
	}
	text := strings.TrimSuffix(l.text, "\r")
	if name := d.language.caseIn(text); name != "" {
		*cases = append(*cases, testCase{strings.Clone(name), l.number})
		return
	}
	if d.language.marker != nil && d.language.marker.MatchString(text) {
		d.marked[of] = true
	}
	if !d.marked[of] {
		return
	}
	if name := nameIn(d.language.function, text); name != "" {
		d.marked[of] = false
		*cases = append(*cases, testCase{strings.Clone(name), l.number})
	}
}

// comments finds lines that were there before and are in a comment now because of an added line.
func (d *testDiff) comments(l line) {
	text := strings.TrimSpace(l.text)
	switch {
	case !d.comment:
		d.comment = l.sign == '+' && opens(d.language, text)
	case strings.Contains(text, d.language.end):
		d.comment = false
	case l.sign == ' ' && text != "":
		d.swallowed = append(d.swallowed, testCase{text, l.number})
		d.comment = false
	}
}

// opens tells of a line that opens a comment and does not close it. Quotes that open a text of Python stand alone:
// behind other words they are as likely its end.
func opens(l *language, text string) bool {
	if l.open == l.end {
		return text == l.open
	}
	return strings.HasPrefix(text, l.open) && !strings.Contains(text, l.end)
}

func (d *testDiff) skipping(l line) {
	if l.sign == ' ' || !d.language.skips.MatchString(l.text) {
		return
	}
	text := strings.TrimSpace(l.text)
	if l.sign == '-' {
		d.gone[text]++
		return
	}
	d.skips = append(d.skips, testCase{strings.Clone(text), l.number})
}

// tests is what is looked at of a diff: the files in which tests are, in the diff's order.
func (j *judge) tests() *testSet {
	s := &testSet{at: map[string]*testDiff{}}
	for _, c := range j.changes {
		l := languageOf(c.Path)
		if l == nil || j.off(ruleTest, c.Path) || s.at[c.Path] != nil {
			continue
		}
		d := &testDiff{path: c.Path, language: l, gone: map[string]int{}, wholly: c.Op == "add" || c.Op == "delete", binary: c.Binary}
		s.at[c.Path] = d
		s.files = append(s.files, d)
	}
	return s
}

// missing are the tests of each file that are nowhere any more. A test that moves is not missing: it is found in
// another file whose tests run no less than before.
func (s *testSet) missing() map[*testDiff][]testCase {
	type key struct{ language, name string }
	elsewhere := map[key][]*testDiff{}
	missing := map[*testDiff][]testCase{}
	for _, d := range s.files {
		lost, more := d.compare()
		missing[d] = lost
		for _, name := range more {
			k := key{d.language.name, name}
			elsewhere[k] = append(elsewhere[k], d)
		}
	}
	for _, d := range s.files {
		missing[d] = slices.DeleteFunc(missing[d], func(c testCase) bool {
			k := key{d.language.name, c.name}
			to := takes(elsewhere[k], d)
			if to >= 0 {
				elsewhere[k][to].received = true
				elsewhere[k] = slices.Delete(elsewhere[k], to, to+1)
			}
			return to >= 0
		})
	}
	return missing
}

// compare tells what one side of a file's diff has and the other does not: the tests that are lost, and the names of
// those that are new.
func (d *testDiff) compare() (lost []testCase, more []string) {
	here := map[string]int{}
	for _, c := range d.after {
		here[c.name]++
	}
	for _, c := range d.before {
		if here[c.name]--; here[c.name] < 0 {
			lost = append(lost, c)
		}
	}
	for _, c := range d.after {
		if here[c.name] > 0 {
			here[c.name]--
			more = append(more, c.name)
		}
	}
	return lost, more
}

// takes is the place of the first file that a test may have moved to, -1 for none.
func takes(files []*testDiff, from *testDiff) int {
	for i, to := range files {
		if narrowed.MatchString(from.path) || !narrowed.MatchString(to.path) {
			return i
		}
	}
	return -1
}

// deletedTests judges what the patch showed.
func (j *judge) deletedTests(s *testSet) {
	missing := s.missing()
	for _, d := range s.files {
		switch own := testFile(d.path); {
		case own && gone(j.byPath[d.path]):
			j.deletedFile(d, missing[d])
		case own && d.binary:
			j.deleted(1, place{path: d.path, content: "binary"}, "is a file of tests and binary: its tests cannot be seen")
		default:
			j.changedFile(d, missing[d])
		}
	}
}

// changedFile judges a file that is still there.
func (j *judge) changedFile(d *testDiff, missing []testCase) {
	for _, m := range missing {
		j.deleted(1, place{d.path, m.line, m.name}, "the test %q is deleted", short(m.name))
	}
	for _, m := range d.swallowed {
		j.deleted(1, place{d.path, m.line, m.name}, "a comment is put around lines that were there")
	}
	if d.wholly && !d.received {
		return // what is new may run where it likes
	}
	for _, m := range d.skips {
		if d.gone[m.name]--; d.gone[m.name] < 0 {
			j.deleted(1, place{d.path, m.line, m.name}, "an added line keeps a test from running: %s", short(m.name))
		}
	}
}

// gone tells of a path at which no file is any more.
func gone(c *sdk.Change) bool {
	return c.Op == "delete" || c.Op == "type" && c.NewMode != modeFile && c.NewMode != modeExec
}

// deletedFile judges a file of tests that is gone: nothing is said when all of them have moved.
func (j *judge) deletedFile(d *testDiff, missing []testCase) {
	switch {
	case len(missing) > 0:
		names := make([]string, 0, mostNamed)
		for _, m := range missing[:min(len(missing), mostNamed)] {
			names = append(names, short(m.name))
		}
		more := ""
		if len(missing) > mostNamed {
			more = fmt.Sprintf(" and %d others", len(missing)-mostNamed)
		}
		j.deleted(len(missing), place{path: d.path, content: "file"}, "a file of tests is deleted, with %s%s", strings.Join(names, ", "), more)
	case len(d.before) == 0 && !j.movedWhole(d.path):
		j.deleted(1, place{path: d.path, content: "file"}, "a file of tests is deleted")
	}
}

// movedWhole tells whether a file of the same name was added elsewhere.
func (j *judge) movedWhole(from string) bool {
	for _, c := range j.changes {
		if c.Op == "add" && c.Path != from && path.Base(c.Path) == path.Base(from) && testFile(c.Path) {
			return true
		}
	}
	return false
}

func (j *judge) deleted(tests int, at place, format string, args ...any) {
	if j.add(ruleTest, at, format, args...) {
		j.metrics["deleted_tests"] += float64(tests)
	}
}

// short bounds a name that is shown, and shows no character that hides.
func short(name string) string {
	const most = 80
	name = strings.Map(func(r rune) rune {
		if suspicious(r) != "" {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if runes := []rune(name); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return name
}
