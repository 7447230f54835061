package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// The words of verdicts, results and severities.
const (
	pass    = "pass"
	fail    = "fail"
	hold    = "hold"
	errored = "error"
	warning = "warning"
	noted   = "note"
	warned  = "warn"
	skipped = "skip"
)

// Settle gives every finding of a gate a fingerprint of its own and sorts them, the worst first. It is done
// once, before anything is rendered or compared.
func Settle(gate string, findings []Finding) []Finding {
	out := slices.Clone(findings)
	for i := range out {
		out[i].Severity = severity(out[i].Severity)
		if out[i].Fingerprint == "" {
			out[i].Fingerprint = fingerprint(gate, out[i])
		}
	}
	slices.SortStableFunc(out, byWorst)
	seen := map[string]int{}
	for i := range out {
		f := &out[i].Fingerprint
		if seen[*f]++; seen[*f] > 1 {
			*f = fmt.Sprintf("%s#%d", *f, seen[*f])
		}
	}
	return out
}

func severity(s string) string {
	if s == warning || s == noted {
		return s
	}
	return errored
}

var rank = map[string]int{errored: 0, warning: 1, noted: 2}

func byWorst(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(rank[severity(a.Severity)], rank[severity(b.Severity)]), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Fingerprint, b.Fingerprint),
	)
}

// essence is a message without what changes when lines move: runs of digits are one zero, runs of white
// space one blank.
func essence(s string) string {
	var b strings.Builder
	var last rune
	for _, r := range s {
		switch {
		case unicode.IsDigit(r):
			r = '0'
		case unicode.IsSpace(r):
			r = ' '
		}
		if r != last || r != '0' && r != ' ' {
			b.WriteRune(r)
		}
		last = r
	}
	return strings.TrimSpace(b.String())
}

// fingerprint names a finding without its line.
func fingerprint(gate string, f Finding) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{gate, f.Rule, f.Path, essence(f.Message)}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// weight is how bad a gate stands; the worst is the least.
func weight(g Gate) int {
	switch {
	case g.Verdict == fail && g.Required:
		return 0
	case g.Verdict != fail && g.Verdict != pass: // a hold, or not decided
		return 1
	case g.Verdict == fail:
		return 2
	case fresh(g) > 0 || g.Result == warned:
		return 3
	}
	return 4
}

// fresh counts the findings that no baseline has.
func fresh(g Gate) int { return len(g.Findings) - g.Known }

// worstFirst is the gates for a view.
func worstFirst(d *Document) []Gate {
	gates := slices.Clone(d.Gates)
	slices.SortStableFunc(gates, func(a, b Gate) int { return cmp.Compare(weight(a), weight(b)) })
	return gates
}

// placed is a finding with its gate.
type placed struct {
	Finding
	gate Gate
}

// allNew is every finding that counts, the worst first.
func allNew(d *Document) []placed {
	var out []placed
	for _, g := range worstFirst(d) {
		for _, f := range g.Findings {
			if !f.Known {
				out = append(out, placed{f, g})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b placed) int {
		return cmp.Or(cmp.Compare(rank[effective(a)], rank[effective(b)]), cmp.Compare(weight(a.gate), weight(b.gate)))
	})
	return out
}

// effective is how bad a finding is for the run: an error of a gate that passed, or that only warns, does
// not fail it.
func effective(p placed) string {
	s := severity(p.Severity)
	if s == errored && (p.gate.Verdict == pass || p.gate.Verdict == fail && !p.gate.Required) {
		return warning
	}
	return s
}

// Count is how many new findings there are of each severity, and how many the baseline has.
func Count(d *Document) (errors, warnings, notes, known int) {
	for _, g := range d.Gates {
		for _, f := range g.Findings {
			switch {
			case f.Known:
				known++
			case f.Severity == warning:
				warnings++
			case f.Severity == noted:
				notes++
			default:
				errors++
			}
		}
	}
	return errors, warnings, notes, known
}

// place is "path:line" of a finding, "" for none.
func place(f Finding) string {
	if f.Path != "" && f.Line > 0 {
		return fmt.Sprintf("%s:%d", f.Path, f.Line)
	}
	return f.Path
}
