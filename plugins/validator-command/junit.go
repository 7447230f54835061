package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/sdk/tree"
)

// maxDepth bounds the nesting of a report's elements.
const maxDepth = 32

// junit adds a JUnit XML report to the results. It is strict: no document type, no entities of its own, one root, and
// no test outside of a suite. A failure counts wherever it stands, and a suite is believed where it tells of more than
// stand in it.
func (r *results) junit(report io.Reader, place func(file string) string) error {
	decoder := xml.NewDecoder(report)
	decoder.Strict = true
	j := &junit{results: r, place: place}
	for {
		token, err := decoder.RawToken()
		switch {
		case errors.Is(err, io.EOF) && len(j.open) == 0 && j.roots == 1:
			return nil
		case errors.Is(err, io.EOF):
			return broken("it ends before its root does")
		case errors.Is(err, tree.ErrTooLarge):
			return broken("it has %v", err)
		case err != nil:
			return broken("it is no XML: %.200v", err)
		}
		if err := j.token(token); err != nil {
			return err
		}
	}
}

// junit is a report while it is read.
type junit struct {
	*results
	place func(string) string
	open  []element
	roots int
	test  *testCase
	text  bool // what a failure says is being read
}

// element is one that is open, with its failures: by its attributes, and those that stand in it.
type element struct {
	name              string
	declared, counted int
}

// failedHere counts a failure for the element that is open.
func (j *junit) failedHere(n int) {
	if len(j.open) > 0 {
		j.open[len(j.open)-1].counted += n
	}
}

// testCase is one test while it is read.
type testCase struct {
	failed
	bad, skipped bool
}

func (j *junit) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return j.start(t)
	case xml.EndElement:
		return j.end(t)
	case xml.CharData:
		return j.characters(string(t))
	case xml.Directive:
		return broken("it declares a document type, which a report has no need of")
	case xml.ProcInst:
		if t.Target != "xml" || j.roots > 0 {
			return broken("it holds an instruction for another program")
		}
	}
	return nil
}

func (j *junit) characters(text string) error {
	if len(j.open) == 0 && strings.TrimSpace(text) != "" {
		return broken("text stands outside of its root")
	}
	if j.text && j.test != nil && len(j.test.said) < maxSaid {
		j.test.said += clean(text, maxSaid-len(j.test.said))
	}
	return nil
}

func (j *junit) start(e xml.StartElement) error {
	name := e.Name.Local
	if len(j.open) == maxDepth {
		return broken("its elements are nested deeper than %d", maxDepth)
	}
	above := ""
	if len(j.open) > 0 {
		above = j.open[len(j.open)-1].name
	} else if j.roots++; j.roots > 1 || !isSuite(name) {
		return broken("its root is %.40q, not one testsuites or testsuite", name)
	}
	j.open = append(j.open, element{name: name})
	switch name {
	case "testsuite", "testsuites":
		j.open[len(j.open)-1].declared = number(e, "failures") + number(e, "errors")
	case "testcase":
		return j.begin(e, above)
	case "failure", "error":
		j.bad(attribute(e, "message"))
	case "skipped":
		if j.test != nil {
			j.test.skipped = true
		}
	}
	return nil
}

func isSuite(name string) bool { return name == "testsuite" || name == "testsuites" }

func (j *junit) begin(e xml.StartElement, above string) error {
	if !isSuite(above) {
		return broken("a testcase stands in %.40q", above)
	}
	line, err := strconv.Atoi(attribute(e, "line"))
	file := j.place(attribute(e, "file"))
	if err != nil || line < 0 || line > math.MaxInt32 || file == "" {
		line = 0
	}
	j.test = &testCase{failed: failed{group: attribute(e, "classname"), name: attribute(e, "name"), path: file, line: line}}
	status := attribute(e, "status") + " " + attribute(e, "result")
	j.test.skipped = strings.Contains(status, "notrun") || strings.Contains(status, "suppressed") || strings.Contains(status, "disabled")
	j.tests++
	return j.room()
}

// bad notes a failure: of a test, or of a suite that could not be set up.
func (j *junit) bad(message string) {
	if j.test != nil {
		if !j.test.bad {
			j.test.said = clean(message, maxSaid) + "\n"
		}
		j.test.bad, j.text = true, true
		return
	}
	j.failedHere(1)
	j.fail(failed{name: "a suite, outside of its tests", said: clean(message, maxSaid)})
}

func (j *junit) end(e xml.EndElement) error {
	if len(j.open) == 0 || j.open[len(j.open)-1].name != e.Name.Local {
		return broken("its elements do not match")
	}
	closed := j.open[len(j.open)-1]
	j.open = j.open[:len(j.open)-1]
	untold := max(0, closed.declared-closed.counted)
	j.failed += untold
	j.failedHere(closed.counted + untold)
	switch {
	case e.Name.Local == "failure" || e.Name.Local == "error":
		j.text = false
	case e.Name.Local == "testcase" && j.test != nil:
		j.finish()
	}
	return nil
}

func (j *junit) finish() {
	switch {
	case j.test.bad:
		j.failedHere(1)
		j.fail(j.test.failed)
	case j.test.skipped:
		j.skipped++
	}
	j.test, j.text = nil, false
}

// attribute is one of an element's, cut off where it is too long.
func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return strings.Clone(a.Value[:min(len(a.Value), maxName)])
		}
	}
	return ""
}

// number is a count, at most as many as are counted; what is none is 0.
func number(e xml.StartElement, name string) int {
	n, err := strconv.Atoi(strings.TrimSpace(attribute(e, name)))
	if errors.Is(err, strconv.ErrSyntax) {
		return 0
	}
	return min(max(n, 0), maxTests) // beyond its range Atoi gives the nearest
}
