package report

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"strings"
)

type junitSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Suite    junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
	Out      string      `xml:"system-out,omitempty"` // the notes of the run
}

type junitCase struct {
	Class   string    `xml:"classname,attr"`
	Name    string    `xml:"name,attr"`
	File    string    `xml:"file,attr,omitempty"`
	Time    string    `xml:"time,attr"`
	Failure *junitWhy `xml:"failure,omitempty"`
	Error   *junitWhy `xml:"error,omitempty"`
	Skipped *junitWhy `xml:"skipped,omitempty"`
	Out     string    `xml:"system-out,omitempty"`
}

type junitWhy struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit is one test case for every gate, as declared. A gate that waits for a person is a failure of type
// hold: it did not pass. One that only warns never fails its case.
func JUnit(d *Document) ([]byte, error) {
	took := map[string]int64{}
	for _, t := range d.Timing.Gates {
		took[t.Name] = t.Millis
	}
	s := junitSuite{Name: "drawspan gates of " + line(d.Workspace, 100), Time: seconds(d.Timing.Millis), Tests: len(d.Gates)}
	for _, g := range d.Gates {
		c := junitCase{Class: "drawspan." + line(d.Workspace, 100), Name: line(g.Name, 100), File: line(g.Declared, maxPath), Time: seconds(took[g.Name])}
		stands := cmp.Or(said(g), word(g.Verdict))
		why := &junitWhy{Type: word(g.Verdict), Message: line(stands, maxReason), Text: further(stands) + listing(g)}
		switch {
		case g.Verdict == pass && (g.Result == "" || g.Result == "skip"):
			c.Skipped = &junitWhy{Type: saying[skipped], Message: why.Message}
		case g.Verdict == pass || !g.Required:
			c.Out = strings.TrimSpace(line(sentence(g), maxReason)+" "+leveled(g)) + "\n" + why.Text
		case g.Result == errored:
			c.Error = why
			s.Errors++
		default:
			c.Failure = why
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	for _, n := range d.Notes {
		s.Out += severity(n.Level) + ": " + line(n.Text, maxMessage) + "\n"
	}
	all := junitSuites{Name: "drawspan", Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Suite: s}
	body, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode JUnit report: %w", err)
	}
	body = bytes.ReplaceAll(body, []byte("##"), []byte("#&#35;")) // see spoken; only texts have one
	return append([]byte(xml.Header), append(body, '\n')...), nil
}

// further are the lines of a text that has more than one: as an attribute they run together.
func further(s string) string {
	lines := linesOf(s)
	if len(lines) < 2 {
		return ""
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(line(l, maxReason) + "\n")
	}
	return b.String()
}

// maxListing is how many findings a test case lists.
const maxListing = 200

func listing(g Gate) string {
	var b strings.Builder
	n := 0
	for _, f := range g.Findings {
		if f.Known {
			continue
		}
		if n++; n <= maxListing {
			b.WriteString(found(f) + "\n")
		}
	}
	if n > maxListing {
		fmt.Fprintf(&b, "... and %s more\n", counted(n-maxListing, "finding"))
	}
	return b.String()
}

func seconds(millis int64) string { return fmt.Sprintf("%d.%03d", millis/1000, millis%1000) }
