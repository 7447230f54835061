// Package report turns the one document of a gate run into what people and CI systems read: text, GitHub
// annotations and outputs, GitLab code quality, SARIF 2.1.0, JUnit XML, Markdown and JSON; and it reads
// earlier documents and SARIF back as a baseline.
//
// It guarantees that the same document gives the same bytes; that whatever came from outside is escaped for
// the format that it lands in and can neither command a CI system nor leave its place; that the limits of
// the CI systems are respected, the worst first and the rest counted; and that fingerprints do not move with
// line numbers. It must not know files, the environment, the clock or how a verdict came about.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Schema names the version of the document.
const Schema = "drawspan.gate-run/1"

// Document is one gate run. Two runs over the same subject with the same rules differ in Timing only.
type Document struct {
	Schema    string    `json:"schema"`
	Verdict   string    `json:"verdict"` // pass, fail or hold
	Reason    string    `json:"reason"`
	Workspace string    `json:"workspace"`
	Subject   Subject   `json:"subject"`
	Rules     Rules     `json:"rules"`
	Notes     []Note    `json:"notes"`
	Gates     []Gate    `json:"gates"`   // as declared
	Omitted   []string  `json:"omitted"` // gates that were not asked for
	Baseline  *Compared `json:"baseline,omitempty"`
	Timing    Timing    `json:"timing"`
}

// Subject is what was judged.
type Subject struct {
	BaseRef    string `json:"base_ref"` // as asked
	HeadRef    string `json:"head_ref"`
	Asked      string `json:"base_asked"`  // the commit that BaseRef names
	Base       string `json:"base_commit"` // what the change is taken against: the merge base
	Head       string `json:"head_commit"`
	Tree       string `json:"tree"`
	Files      int    `json:"files"`
	Insertions int    `json:"insertions"`
	Deletions  int    `json:"deletions"`
	Binary     int    `json:"binary"`
}

// Where rules come from.
const (
	FromBase   = "base"   // the base revision of the repository
	FromRunner = "runner" // a file of the runner's own, outside of the repository
)

// Rules say by what was judged.
type Rules struct {
	From   string   `json:"from"`             // FromBase or FromRunner
	Commit string   `json:"commit,omitempty"` // with FromBase
	Files  []File   `json:"files"`            // configuration, gate files and lock
	Policy string   `json:"policy_digest"`
	Edited []string `json:"edited"` // those of Files that the change touches
	Floor  string   `json:"floor,omitempty"`
}

// File is a file by its content.
type File struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
}

// Note is something about the run itself.
type Note struct {
	Code  string `json:"code"`
	Level string `json:"level"` // error, warning, note
	Text  string `json:"text"`
	Path  string `json:"path,omitempty"`
}

// Gate is one gate with its verdict.
type Gate struct {
	Name     string           `json:"name"`
	Verdict  string           `json:"verdict"`          // pass, fail, hold or pending
	Result   string           `json:"result,omitempty"` // of its validation; "" where none ran
	Reason   string           `json:"reason"`
	Required bool             `json:"required"`
	Declared string           `json:"declared"` // file:line
	RuleSum  string           `json:"rule_digest"`
	Plugin   *Plugin          `json:"validator,omitempty"`
	Inputs   string           `json:"inputs_digest,omitempty"`
	Sandbox  *Levels          `json:"sandbox,omitempty"` // nil where no program ran
	Command  []string         `json:"command,omitempty"`
	ExitCode *int             `json:"exit_code,omitempty"`
	Metrics  map[string]int64 `json:"metrics_micros,omitempty"`
	Findings []Finding        `json:"findings"`
	Known    int              `json:"known"` // of the findings: those of the baseline
}

// Plugin is the program that judged.
type Plugin struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// Levels are the sandbox levels of a gate: what its sandbox asks for and what the machine gave.
type Levels struct {
	Required string   `json:"required"`
	Enforced string   `json:"enforced"`
	Missing  []string `json:"missing,omitempty"` // parts of the level and limits that were asked for and not had
}

// Finding is one thing that a validator found.
type Finding struct {
	Rule        string `json:"rule"`
	Severity    string `json:"severity"` // error, warning, note
	Path        string `json:"path,omitempty"`
	Line        int    `json:"line,omitempty"`
	EndLine     int    `json:"end_line,omitempty"`
	Message     string `json:"message"`
	Help        string `json:"help,omitempty"`
	Fingerprint string `json:"fingerprint"`
	Known       bool   `json:"known,omitempty"` // the baseline has it
}

// Compared says what a baseline did.
type Compared struct {
	Source   string   `json:"source"`
	Findings int      `json:"findings"` // that it holds
	Lifted   []string `json:"lifted"`   // gates that would have failed without it
}

// Timing is all that differs between two runs over the same.
type Timing struct {
	Began   time.Time    `json:"began"`
	Millis  int64        `json:"duration_ms"`
	Run     string       `json:"run_id,omitempty"`
	Attempt string       `json:"attempt_id,omitempty"`
	Record  string       `json:"record_digest,omitempty"`
	Gates   []GateTiming `json:"gates"`
}

// GateTiming is how long one gate took.
type GateTiming struct {
	Name        string `json:"name"`
	Millis      int64  `json:"duration_ms"`
	Evaluations int    `json:"evaluations"`
	Reused      bool   `json:"reused,omitempty"` // its result is one of an earlier run
}

// JSON is the document itself, indented, with whatever a terminal could take for a command as escapes.
func JSON(d *Document) ([]byte, error) { return encode(d) }

func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	return bytes.ReplaceAll(printable(buf.Bytes()), []byte("##"), []byte(`#\u0023`)), nil // see spoken; only texts have one
}

// printable writes what is neither printable nor white space of JSON as escapes.
func printable(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '\n' || r == ' ' || r != 0x7f && unicode.IsPrint(r):
			out = append(out, b[:n]...)
		case r > 0xffff:
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}
