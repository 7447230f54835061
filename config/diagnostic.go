package config

import (
	"github.com/drawspan/drawspan/host/fault"
)

// Diagnostic is one problem in the files. Code is stable; scripts match on it, never on text.
type Diagnostic struct {
	Severity string   `json:"severity"` // error or warning
	Code     string   `json:"code"`
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail"`
	Range    *Range   `json:"range,omitempty"`
	Snippet  *Snippet `json:"snippet,omitempty"`
	Hint     string   `json:"hint,omitempty"` // what to do, as one sentence or command
}

// Snippet is the line a Diagnostic is about. Offsets are bytes into Code.
type Snippet struct {
	Context   string   `json:"context,omitempty"` // header of the block around it
	Code      string   `json:"code"`
	StartLine int      `json:"start_line"`
	Start     int      `json:"highlight_start_offset"`
	End       int      `json:"highlight_end_offset"`
	Values    []string `json:"values"` // always empty: values may be secret
}

// Diagnostics are all problems of a load, in the order of files and lines.
type Diagnostics []Diagnostic

// HasErrors reports whether any of them is an error; warnings never stop anything.
func (ds Diagnostics) HasErrors() bool { return ds.count("error") > 0 }

func (ds Diagnostics) count(severity string) int {
	n := 0
	for _, d := range ds {
		if d.Severity == severity {
			n++
		}
	}
	return n
}

// Err is nil without errors; otherwise one fault that stands for all of them, placed at the first.
func (ds Diagnostics) Err() error {
	for _, d := range ds {
		if d.Severity != "error" {
			continue
		}
		f := fault.New(fault.ConfigInvalid, "%s (%s)", d.Summary, d.Code)
		if n := ds.count("error"); n > 1 {
			f = fault.New(fault.ConfigInvalid, "%s (%s), and %d more", d.Summary, d.Code, n-1)
		}
		if d.Range != nil {
			f = f.At(d.Range.String())
		}
		return f.Fix("run: drawspan validate")
	}
	return nil
}
