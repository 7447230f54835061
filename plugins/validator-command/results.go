package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"

	"github.com/drawspan/drawspan/sdk"
)

// The bounds of what is read of reports.
const (
	maxTests = 200_000 // of all reports together
	maxName  = 4 << 10 // bytes of one name
	maxSaid  = 2 << 10 // bytes that are kept of what a failed test said
	maxWords = 8 << 10 // and of what was said at the end of all
)

// errReport is in the chain of every error of a report that is not there or not one.
var errReport = errors.New("the report cannot be judged")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errReport, fmt.Sprintf(format, args...))
}

// failed is one test that failed.
type failed struct {
	group, name string // of a suite or package, and in it
	said        string
	path        string // in the tree; "" where the report does not say
	line        int
}

// results are what reports say together.
type results struct {
	tests, skipped, failed int
	failures               []failed // at most as many as a verdict has findings
	unrun                  []failed // packages that ended well before their first test; counted as skipped
}

func (r *results) fail(f failed) {
	r.failed++
	if len(r.failures) < sdk.MaxFindings {
		r.failures = append(r.failures, f)
	}
}

// room refuses more tests than are counted.
func (r *results) room() error {
	if r.tests > maxTests {
		return broken("it tells of more than %d tests", maxTests)
	}
	return nil
}

func (r *results) metrics() map[string]float64 {
	return map[string]float64{"tests": float64(r.tests), "failed": float64(r.failed), "skipped": float64(r.skipped)}
}

// judge is what reports say for a program whose exit code passed.
func (r *results) judge(s settings) (sdk.Outcome, string) {
	ran := r.tests - r.skipped
	switch {
	case r.failed > 0:
		return sdk.Fail, fmt.Sprintf("%s, although the program ended well", r.summary())
	case ran < s.minTests():
		return sdk.Fail, fmt.Sprintf("%d tests ran (and %d were skipped); at least %d must", ran, r.skipped, s.minTests())
	case s.AllowSkipped != nil && r.skipped > *s.AllowSkipped:
		return sdk.Fail, fmt.Sprintf("%d tests were skipped; %d may be", r.skipped, *s.AllowSkipped)
	case len(r.unrun) > 0:
		return sdk.Warn, fmt.Sprintf("%s ended before its first test: nothing of it was tested", r.unrun[0].title())
	}
	return sdk.Pass, ""
}

// summary tells of failures, the first by its name.
func (r *results) summary() string {
	text := fmt.Sprintf("%d failures in a report of %d tests", r.failed, r.tests)
	if len(r.failures) > 0 {
		text += ": " + r.failures[0].title()
	}
	return text
}

// findings are the failed tests, and the packages that ended before their tests.
func (r *results) findings() []sdk.Finding {
	var all []sdk.Finding
	for _, f := range r.failures {
		all = append(all, f.finding("command/test-failed", "error"))
	}
	for _, f := range r.unrun[:min(len(r.unrun), sdk.MaxFindings-len(all))] {
		all = append(all, f.finding("command/no-test-ran", "warning"))
	}
	return all
}

func (f failed) finding(rule, severity string) sdk.Finding {
	sum := sha256.Sum256([]byte(rule + "\x00" + f.group + "\x00" + f.name))
	return sdk.Finding{
		Rule: rule, Severity: severity, Path: f.path, Line: f.line, EndLine: f.line,
		Message: strings.TrimSpace(f.title() + "\n" + strings.TrimSpace(f.said)), Fingerprint: hex.EncodeToString(sum[:16]),
	}
}

// title names a test in one line.
func (f failed) title() string {
	const most = 200
	name := strings.TrimSpace(clean(f.group, most) + " " + clean(f.name, most))
	if name == "" {
		return "a test without a name"
	}
	return strings.ReplaceAll(name, "\n", " ")
}

// clean is the beginning of a text, as UTF-8 and without what steers a terminal.
func clean(text string, most int) string {
	cut := len(text) > most
	if cut {
		text = text[:most]
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !strings.ContainsRune("\n\t", r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if cut {
		text += "..."
	}
	return text
}

// inTree is a path of a report as one of the tree, "" for any that is not.
func inTree(name, tree, dir string) string {
	name = strings.ReplaceAll(name, "\\", "/")
	if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(tree, "/")+"/"); ok {
		name, dir = rest, ""
	}
	if path.IsAbs(name) || name == "" || len(name) > maxName || strings.ContainsRune(name, 0) {
		return ""
	}
	name = path.Join(dir, name)
	if name == ".." || strings.HasPrefix(name, "../") || name == "." {
		return ""
	}
	return name
}
