package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/drawspan/drawspan/sdk"
)

// The bounds of a verdict.
const (
	maxVerdict = 4 << 20 // bytes of the document
	maxDepth   = 8       // of its values
	maxText    = 4 << 10 // bytes of a finding's message, help and path
)

// verdict is the document that the program prints.
type verdict struct {
	Schema   string             `json:"schema"`
	Outcome  *string            `json:"outcome"`
	Message  string             `json:"message"`
	Findings []finding          `json:"findings"`
	Metrics  map[string]float64 `json:"metrics"`
}

// finding is one thing that the program found.
type finding struct {
	Rule        string `json:"rule"`
	Severity    string `json:"severity"`
	Path        string `json:"path"`
	Line        int    `json:"line"`
	EndLine     int    `json:"end_line"`
	Message     string `json:"message"`
	Help        string `json:"help"`
	Fingerprint string `json:"fingerprint"`
}

// read reads exactly one verdict. It is strict: a program that is misunderstood must not pass a change.
func read(text []byte) (sdk.Verdict, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return sdk.Verdict{}, errors.New("it printed nothing")
	}
	if !utf8.Valid(text) {
		return sdk.Verdict{}, errors.New("what it printed is not UTF-8")
	}
	if err := plain(text); err != nil {
		return sdk.Verdict{}, err
	}
	var v verdict
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return sdk.Verdict{}, fmt.Errorf("what it printed is not a verdict: %w", err)
	}
	return v.check()
}

// plain refuses what encoding/json would read in a way of its own: more than one document, a key twice or in another
// case, null, and depth.
func plain(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := value(decoder, 0); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it printed more than one document")
	}
	return nil
}

// value reads one value.
func value(decoder *json.Decoder, depth int) error {
	token, err := decoder.Token()
	if err != nil {
		return fmt.Errorf("what it printed is not JSON: %w", err)
	}
	delim, nested := token.(json.Delim)
	switch {
	case token == nil:
		return errors.New("null stands for nothing in a verdict: leave the key out")
	case !nested && depth == 0:
		return errors.New("what it printed is not a JSON object")
	case !nested:
		return nil
	case depth == maxDepth:
		return fmt.Errorf("its values are nested deeper than %d", maxDepth)
	}
	if err := inside(decoder, delim == '{', depth); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("what it printed is not JSON: %w", err)
	}
	return nil
}

// inside reads what a list or an object holds.
func inside(decoder *json.Decoder, object bool, depth int) error {
	keys := map[string]bool{}
	for decoder.More() {
		if object {
			if err := key(decoder, keys, depth); err != nil {
				return err
			}
		}
		if err := value(decoder, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// known are the keys of a verdict and of a finding. encoding/json would take them in any case of letters.
var known = []string{"schema", "outcome", "message", "findings", "metrics", "rule", "severity", "path", "line", "end_line", "help", "fingerprint"}

// key reads the key of an object's next value. The keys of the second level are those of metrics or of a finding.
func key(decoder *json.Decoder, seen map[string]bool, depth int) error {
	token, err := decoder.Token()
	if err != nil {
		return fmt.Errorf("what it printed is not JSON: %w", err)
	}
	name, ok := token.(string)
	switch {
	case !ok:
		return errors.New("what it printed is not JSON")
	case seen[name]:
		return fmt.Errorf("it says %.80q twice", name)
	case depth != 1 && !slices.Contains(known, name):
		return fmt.Errorf("a verdict has no key %.80q", name)
	}
	seen[name] = true
	return nil
}

// check refuses what is no verdict by its content.
func (v verdict) check() (sdk.Verdict, error) {
	switch {
	case v.Schema != "" && v.Schema != verdictSchema:
		return sdk.Verdict{}, fmt.Errorf("schema %.80q is not %s", v.Schema, verdictSchema)
	case v.Outcome == nil:
		return sdk.Verdict{}, errors.New("the verdict has no outcome")
	case !slices.Contains(sdk.Outcomes(), sdk.Outcome(*v.Outcome)):
		return sdk.Verdict{}, fmt.Errorf("outcome %.80q is none of %q", *v.Outcome, sdk.Outcomes())
	}
	if err := errors.Join(v.fits(), v.agrees()); err != nil {
		return sdk.Verdict{}, err
	}
	is := sdk.Verdict{Outcome: sdk.Outcome(*v.Outcome), Message: v.Message, Metrics: v.Metrics}
	for i, f := range v.Findings {
		if wrong := f.wrong(); wrong != "" {
			return sdk.Verdict{}, fmt.Errorf("finding %d %s", i+1, wrong)
		}
		is.Findings = append(is.Findings, sdk.Finding(f))
	}
	return is, nil
}

// fits refuses what is larger than a verdict may be.
func (v verdict) fits() error {
	switch {
	case len(v.Message) > sdk.MaxSummary:
		return fmt.Errorf("the message is longer than %d bytes", sdk.MaxSummary)
	case len(v.Findings) > sdk.MaxFindings:
		return fmt.Errorf("%d findings are more than %d", len(v.Findings), sdk.MaxFindings)
	case len(v.Metrics) > sdk.MaxMetrics:
		return fmt.Errorf("%d metrics are more than %d", len(v.Metrics), sdk.MaxMetrics)
	}
	for name := range v.Metrics {
		if name == "" || len(name) > sdk.MaxName {
			return fmt.Errorf("metric %.80q has no name, or a longer one than %d bytes", name, sdk.MaxName)
		}
	}
	return nil
}

// agrees refuses a verdict that contradicts itself: a pass beside an error is more likely a fault of the program.
func (v verdict) agrees() error {
	worst := func(f finding) bool { return f.Severity == "error" }
	if outcome := sdk.Outcome(*v.Outcome); outcome == sdk.Pass && slices.ContainsFunc(v.Findings, worst) {
		return errors.New("the outcome is pass, but a finding is an error: call it fail, or the finding a warning")
	}
	return nil
}

// wrong says what is wrong with a finding, "" for nothing.
func (f finding) wrong() string {
	switch {
	case f.Rule == "" || len(f.Rule) > sdk.MaxName:
		return fmt.Sprintf("has no rule, or one longer than %d bytes", sdk.MaxName)
	case !slices.Contains([]string{"error", "warning", "note"}, f.Severity):
		return fmt.Sprintf("has the severity %.80q, which is neither error nor warning nor note", f.Severity)
	case f.Line < 0 || f.EndLine < 0 || max(f.Line, f.EndLine) > math.MaxInt32:
		return "has a line that there cannot be"
	case f.EndLine > 0 && f.EndLine < f.Line:
		return "ends before it begins"
	case max(len(f.Path), len(f.Message), len(f.Help)) > maxText || len(f.Fingerprint) > sdk.MaxName:
		return fmt.Sprintf("has a path, message or help longer than %d bytes, or a fingerprint longer than %d", maxText, sdk.MaxName)
	}
	return ""
}
