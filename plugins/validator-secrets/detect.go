package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"
)

const (
	chunk   = 64 << 10 // bytes that are looked at in one go: gitleaks takes quadratic time in what it finds
	overlap = 16 << 10 // of two chunks: the longest secret that is found for sure
)

// leak is one secret at one place. It does not leave this program.
type leak struct {
	path      string
	rule      string
	about     string
	secret    string
	line, end int
}

// all looks at every text, until take wants no more.
func (d *detectors) all(ctx context.Context, texts []text, take func(leak) bool) error {
	for _, t := range texts {
		if more, err := d.text(ctx, t, take); err != nil || !more {
			return err
		}
	}
	return nil
}

// text looks at one text, chunk by chunk, and hands over each leak once.
func (d *detectors) text(ctx context.Context, t text, take func(leak) bool) (more bool, err error) {
	with := d.full
	if t.name || slices.ContainsFunc(d.passed, func(r *regexp.Regexp) bool { return r.MatchString(t.path) }) {
		with = d.specific
	}
	seen := map[leak]bool{}
	for from := 0; from < len(t.raw); {
		to, next := cut(t.raw, from)
		found, err := look(ctx, with, t, from, to)
		if err != nil {
			return false, err
		}
		var fresh []leak
		for _, f := range found {
			l, at := t.leak(f, from, to)
			// What reaches the end of a chunk may go on in the next one, which shows it whole.
			unfinished := to < len(t.raw) && at >= next && at+len(l.secret) == to
			if !seen[l] && !unfinished {
				seen[l] = true
				fresh = append(fresh, l)
			}
		}
		slices.SortFunc(fresh, func(a, b leak) int {
			return cmp.Or(a.line-b.line, strings.Compare(a.rule, b.rule), strings.Compare(a.secret, b.secret))
		})
		if slices.ContainsFunc(fresh, func(l leak) bool { return !take(l) }) {
			return false, nil
		}
		from = next
	}
	return true, nil
}

// cut says where the chunk ends that begins at from, and where the next one begins: at beginnings of lines
// where there are any.
func cut(raw string, from int) (to, next int) {
	if to = from + chunk; to >= len(raw) {
		return len(raw), len(raw)
	}
	if i := strings.LastIndexByte(raw[from:to], '\n'); i >= chunk/2 {
		to = from + i + 1
	}
	next = to - overlap
	if i := strings.IndexByte(raw[next:to], '\n'); i >= 0 && next+i+1 < to {
		next += i + 1
	}
	return to, next
}

// look runs a detector over one chunk.
func look(ctx context.Context, with *detect.Detector, t text, from, to int) (found []report.Finding, err error) {
	defer func() {
		if recover() != nil { // what it says of its panic may show what it was looking at
			found, err = nil, fmt.Errorf("gitleaks failed over %q: the change cannot be judged", t.path)
		}
	}()
	fragment := detect.Fragment{Raw: t.raw[from:to]}
	if !t.name {
		fragment.FilePath = t.path
	}
	found = with.DetectContext(ctx, fragment)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("not all of the change was looked at: %w", context.Cause(ctx))
	}
	return found, nil
}

// leak makes one of a finding in the chunk [from,to). Gitleaks counts lines from 0 and names that of the match,
// which can begin before the secret.
func (t text) leak(f report.Finding, from, to int) (leak, int) {
	l := leak{path: t.path, rule: f.RuleID, about: f.Description, secret: f.Secret}
	for _, tag := range f.Tags {
		if how, ok := strings.CutPrefix(tag, "decoded:"); ok {
			l.about += " It is encoded as " + how + "."
		}
	}
	if t.name {
		l.about += " It is in the name of the file."
	}
	if f.Secret == "" { // the path alone is the finding
		return l, from
	}
	first := sort.SearchInts(t.starts, from+1) - 1
	begin := func(line int) int {
		if i := first + line; line > 0 && i < len(t.starts) {
			return t.starts[i]
		}
		if line > 0 {
			return to
		}
		return from
	}
	at, end := min(begin(f.StartLine), to), min(begin(f.EndLine+1), to)
	if i := strings.Index(t.raw[at:max(at, end)], f.Secret); i >= 0 {
		at += i
		l.line, l.end = t.line(at), t.line(at+len(f.Secret)-1)
	} else {
		l.line, l.end = t.line(at), t.line(max(at, end-1))
	}
	return l, at
}
