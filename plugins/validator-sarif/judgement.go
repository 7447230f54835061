package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/drawspan/drawspan/sdk"
)

// judgement decides what of the results counts.
type judgement struct {
	settings
	changed    changes
	items      []item
	suppressed int
}

// take keeps the results of the tree under judgement, but for those that somebody may suppress.
func (j *judgement) take(f findings) {
	for _, i := range f.items {
		if believed(i.suppressed, *j.Suppressions) {
			j.suppressed++
			continue
		}
		i.changed = j.changed.has(i)
		j.items = append(j.items, i)
	}
}

// worth tells whether a comparison with the base could change anything.
func (j *judgement) worth() bool {
	return slices.ContainsFunc(j.items, func(i item) bool { return rank(i.level) > 0 })
}

// known marks what the base has too. A result that is suppressed in the base is there as well.
func (j *judgement) known(base []item, renamed map[string]string) { match(j.items, base, renamed) }

// counts tells whether the change answers for a result.
func (j *judgement) counts(i item) bool {
	return !i.known && (!j.OnlyChanged || i.changed) && rank(i.level) > 0
}

func (j *judgement) verdict() sdk.Verdict {
	v := sdk.Verdict{Outcome: sdk.Pass, Metrics: map[string]float64{
		"results": float64(len(j.items)), "new": 0, "judged": 0, "errors": 0, "warnings": 0, "notes": 0, "suppressed": float64(j.suppressed),
	}}
	prints := fingerprints(j.items)
	for n, i := range j.items {
		if name, ok := map[string]string{levelError: "errors", levelWarning: "warnings", levelNote: "notes"}[i.level]; ok {
			v.Metrics[name]++
		}
		if !i.known {
			v.Metrics["new"]++
		}
		if !j.counts(i) {
			continue
		}
		if rank(i.level) >= rank(j.Level) {
			v.Metrics["judged"]++
		}
		v.Findings = append(v.Findings, finding(i, prints[n]))
	}
	slices.SortStableFunc(v.Findings, func(a, b sdk.Finding) int { return cmp.Compare(rank(b.Severity), rank(a.Severity)) })
	switch judged := int(v.Metrics["judged"]); {
	case judged > 0:
		v.Outcome = sdk.Fail
		v.Message = fmt.Sprintf("%d %s at level %s or above; the first: %s", judged, j.what(judged), j.Level, brief(v.Findings[0]))
	case len(v.Findings) > 0:
		v.Outcome = sdk.Warn
		v.Message = fmt.Sprintf("%d %s, all below level %s", len(v.Findings), j.what(len(v.Findings)), j.Level)
	}
	return v
}

func (j *judgement) what(n int) string {
	words := "result"
	if *j.NewOnly {
		words = "new result"
	}
	if n != 1 {
		words += "s"
	}
	if j.OnlyChanged {
		words += " on changed lines"
	}
	return words
}

func finding(i item, print string) sdk.Finding {
	message := printable(i.message)
	if message == "" {
		message = "the analyser gave no message"
	}
	if i.path == "" && i.uri != "" {
		message += " (in a place that is not in the tree)"
	}
	rule := printable(i.rule)
	if rule == "" {
		rule = "unnamed"
	}
	return sdk.Finding{
		Rule: rule, Severity: i.level, Path: i.path, Line: i.line, EndLine: i.end, Message: message, Fingerprint: print,
	}
}

// printable makes one paragraph of a text from outside: lines stay, other control characters go.
func printable(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return ' '
		}
		return r
	}, text))
}

func brief(f sdk.Finding) string {
	where := ""
	if f.Path != "" {
		where = fmt.Sprintf("%q: ", f.Path)
		if f.Line > 0 {
			where = fmt.Sprintf("%q line %d: ", f.Path, f.Line)
		}
	}
	message, _, _ := strings.Cut(f.Message, "\n")
	return fmt.Sprintf("%s%s (%s)", where, clip(message, maxShort), f.Rule)
}
