package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// figure is one line of the result. What could not be measured is null, and so is ok then.
type figure struct {
	Name  string   `json:"name"`
	Ours  *float64 `json:"ours"`
	Floor *float64 `json:"floor"`
	Unit  string   `json:"unit"`
	Ratio *float64 `json:"ratio"`
	Bar   float64  `json:"bar"`
	OK    *bool    `json:"ok"`
	Note  string   `json:"note,omitempty"`

	rule rule
}

// rule says what of a figure is held against its bar, and from which side.
type rule int

const (
	ratioAtMost  rule = iota // ours / floor <= bar
	ratioAtLeast             // ours / floor >= bar
	oursAtMost               // ours <= bar, whatever the floor
	addsAtMost               // ours - floor <= bar
	oursAtLeast              // ours >= bar, whatever the floor
)

// bar is what a figure has to keep.
type bar struct {
	rule  rule
	value float64
}

// absent is a figure that this machine cannot give.
type absent struct{ why string }

// Error is the reason.
func (a *absent) Error() string { return "not measurable here: " + a.why }

func notHere(format string, args ...any) error { return &absent{fmt.Sprintf(format, args...)} }

// judged makes a figure of two numbers.
func judged(name, unit string, ours, floor float64, b bar) figure {
	f := figure{Name: name, Unit: unit, Bar: b.value, rule: b.rule, Ours: known(ours), Floor: known(floor)}
	if f.Ours != nil && f.Floor != nil && floor > 0 {
		f.Ratio = known(ours / floor)
	}
	held := f.Ratio
	switch {
	case b.rule == oursAtMost, b.rule == oursAtLeast:
		held = f.Ours
	case b.rule == addsAtMost && f.Ours != nil && f.Floor != nil:
		held = known(ours - floor)
	}
	if held == nil {
		return f
	}
	ok := *held <= b.value
	if b.rule == ratioAtLeast || b.rule == oursAtLeast {
		ok = *held >= b.value
	}
	f.OK = &ok
	return f
}

// compared makes a figure of the medians of two samples and notes their spread. The ratio of what one
// round in ten stays below is noted too: a busy machine disturbs it least.
func compared(name, unit string, ours, floor sample, b bar) figure {
	f := judged(name, unit, ours.median(), floor.median(), b)
	f.Note = fmt.Sprintf("p50 of %d; p10-p90 ours %s, floor %s; ratio of the p10s %s", len(ours), ours.spread(), floor.spread(),
		number(ours.quantile(0.1)/floor.quantile(0.1)))
	return f
}

// also adds to the note.
func (f figure) also(format string, args ...any) figure {
	if f.Note != "" {
		f.Note += "; "
	}
	f.Note += fmt.Sprintf(format, args...)
	return f
}

// failing is the figure with its bar not held, for a reason that its numbers do not show.
func (f figure) failing(format string, args ...any) figure {
	bad := false
	f.OK = &bad
	return f.also(format, args...)
}

// unmeasured is the figure of a measurement that gave no numbers: not held where it went wrong, open
// where the machine cannot give it.
func unmeasured(name string, err error) figure {
	var a *absent
	if errors.As(err, &a) {
		return figure{Name: name, Note: a.Error()}
	}
	return figure{Name: name}.failing("failed: %v", err)
}

func known(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// writeJSON writes one line for each figure.
func writeJSON(w io.Writer, figures []figure) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, f := range figures {
		if err := out.Encode(f); err != nil {
			return fmt.Errorf("encode figure %s: %w", f.Name, err)
		}
	}
	return nil
}

const row = "%-16s %10s %10s  %-9s %7s %9s  %s\n"

// heading is the head of the table.
func heading(w io.Writer) {
	fmt.Fprintf(w, row, "FIGURE", "OURS", "FLOOR", "UNIT", "RATIO", "BAR", "HELD")
}

// print writes the figure as a row of the table, its note below it.
func (f figure) print(w io.Writer) {
	verdict := "not measurable"
	if f.OK != nil {
		verdict = map[bool]string{true: "yes", false: "NO"}[*f.OK]
	}
	fmt.Fprintf(w, row, f.Name, value(f.Ours), value(f.Floor), f.Unit, value(f.Ratio), f.barText(), verdict)
	for _, line := range wrap(f.Note, 100) {
		fmt.Fprintf(w, "    %s\n", line)
	}
}

func (f figure) barText() string {
	switch {
	case f.Unit == "":
		return "-"
	case f.rule == ratioAtLeast:
		return ">= " + number(f.Bar) + "x"
	case f.rule == oursAtMost:
		return "<= " + number(f.Bar)
	case f.rule == oursAtLeast:
		return ">= " + number(f.Bar)
	case f.rule == addsAtMost:
		return "<= +" + number(f.Bar)
	default:
		return "<= " + number(f.Bar) + "x"
	}
}

func value(v *float64) string {
	if v == nil {
		return "-"
	}
	return number(*v)
}

// wrap breaks a note into lines of about the given length.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
