package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/sdk"
)

// judgement compares figures with what the gate asks for.
type judgement struct {
	settings
	head      figures
	changed   share
	uncovered []spot
	missing   []string
	dropped   []drop
	text      map[string][][]byte
}

// spot is a range of lines that no test runs.
type spot struct {
	path      string
	line, end int
}

// drop is a file that is covered less than in the base.
type drop struct {
	path      string
	was, is   share
	forgotten bool // no profile speaks of it any more
}

// drops compares the changed files with the base. A file drops when its share falls and more of it is not run
// than before: to take away what was covered is no drop.
func (j *judgement) drops(changes []sdk.Change, base figures) {
	for _, c := range changes {
		old := c.Path
		if c.OldPath != "" {
			old = c.OldPath
		}
		before, measured := base.files[old]
		if c.Op == "delete" || !measured {
			continue
		}
		now, measured := j.head.files[c.Path]
		d := drop{path: c.Path, was: shareOf(before), is: shareOf(now), forgotten: !measured}
		if d.forgotten && d.was.all > 0 || d.is.percent() < d.was.percent() && d.is.all-d.is.run > d.was.all-d.was.run {
			j.dropped = append(j.dropped, d)
		}
	}
}

func (j *judgement) verdict() sdk.Verdict {
	total := j.head.total()
	v := sdk.Verdict{Outcome: sdk.Pass, Metrics: map[string]float64{
		"total": total.percent(), "changed": j.changed.percent(), "changed_lines": float64(j.changed.all),
		"uncovered_lines": float64(j.changed.all - j.changed.run), "files": float64(len(j.head.files)), "dropped": float64(len(j.dropped)),
	}}
	var why []string
	if j.Floor != nil && total.below(*j.Floor) {
		why = append(why, fmt.Sprintf("%s of the code is run, less than %s", percent(total.percent()), percent(*j.Floor)))
		v.Findings = append(v.Findings, sdk.Finding{Rule: "total-below-floor", Severity: "error", Message: why[0], Fingerprint: print("total-below-floor")})
	}
	severity := "note"
	if j.ChangedFloor != nil && j.changed.below(*j.ChangedFloor) {
		severity = "error"
		why = append(why, fmt.Sprintf("%s of %d changed lines are run, less than %s", percent(j.changed.percent()), j.changed.all, percent(*j.ChangedFloor)))
	}
	for _, d := range j.dropped {
		v.Findings = append(v.Findings, d.finding())
	}
	if len(j.dropped) > 0 {
		why = append(why, fmt.Sprintf("%d changed files are covered less than in the base, the first is %q", len(j.dropped), j.dropped[0].path))
	}
	v.Findings = append(v.Findings, j.lines(severity)...)
	if len(why) > 0 {
		v.Outcome, v.Message = sdk.Fail, strings.Join(why, "; ")
	}
	return v
}

// percent rounds down, so that what misses a floor is not shown as if it reached it.
func percent(p float64) string {
	text := strconv.FormatFloat(float64(int(p*100+1e-6))/100, 'f', -1, 64)
	return text + "%"
}

func (d drop) finding() sdk.Finding {
	message := fmt.Sprintf("%s of it is run, and %s in the base", percent(d.is.percent()), percent(d.was.percent()))
	if d.forgotten {
		message = fmt.Sprintf("no profile speaks of it any more, and %s of it is run in the base", percent(d.was.percent()))
	}
	return sdk.Finding{
		Rule: "coverage-dropped", Severity: "error", Path: d.path, Message: message, Fingerprint: print("coverage-dropped", d.path),
	}
}

// lines are the findings about lines that the change added.
func (j *judgement) lines(severity string) []sdk.Finding {
	var all []sdk.Finding
	for _, name := range j.missing {
		all = append(all, sdk.Finding{
			Rule: "not-measured", Severity: severity, Path: name, Message: "no profile speaks of this file, so that nothing of it counts as run",
			Fingerprint: print("not-measured", name),
		})
	}
	seen := map[string]int{}
	for _, s := range joined(j.uncovered) {
		message := "no test runs this line"
		if s.end > s.line {
			message = fmt.Sprintf("no test runs these %d lines", s.end-s.line+1)
		}
		content := ""
		if lines := j.text[s.path]; s.line <= len(lines) {
			content = strings.Join(strings.Fields(string(lines[s.line-1])), " ")
		}
		key := s.path + "\x00" + content
		all = append(all, sdk.Finding{
			Rule: "uncovered", Severity: severity, Path: s.path, Line: s.line, EndLine: s.end, Message: message,
			Fingerprint: print("uncovered", s.path, content, strconv.Itoa(seen[key])),
		})
		seen[key]++
	}
	return all
}

// joined puts lines that follow each other into one range.
func joined(spots []spot) []spot {
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.line, b.line)) })
	var out []spot
	for _, s := range spots {
		if last := len(out) - 1; last >= 0 && out[last].path == s.path && out[last].end+1 == s.line {
			out[last].end = s.end
			continue
		}
		out = append(out, s)
	}
	return out
}

// print is a fingerprint that stays when lines move.
func print(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
