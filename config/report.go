package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

const (
	maxProblems = 200
	maxSnippet  = 160 // bytes of a line that are shown
)

// problem is a Diagnostic before it has a place.
type problem struct {
	code, summary, detail, hint string
	element                     int // of a list, counted from 1; 0 for the whole value
}

// reporter collects problems. A second problem at the same place is a consequence of the first one and
// is dropped.
type reporter struct {
	files   map[string]*hcl.File
	order   map[string]int
	diags   Diagnostics
	seen    map[string]bool
	dropped int
}

func newReporter() *reporter {
	return &reporter{files: map[string]*hcl.File{}, order: map[string]int{}, seen: map[string]bool{}}
}

// add keeps a loaded file for snippets and for the order of diagnostics.
func (r *reporter) add(name string, f *hcl.File) {
	r.order[name] = len(r.order)
	r.files[name] = f
}

// at reports a problem with a value or a name.
func (r *reporter) at(where Range, p problem) {
	r.put("error", where, fmt.Sprintf("%s:%d-%d", where.Filename, where.Start.Byte, where.End.Byte), p)
}

// header reports a problem with a whole block; several may share the header's place.
func (r *reporter) header(where Range, p problem) {
	r.put("error", where, fmt.Sprintf("%s:%d %s", where.Filename, where.Start.Byte, p.summary), p)
}

// warn reports something that is allowed but probably not meant.
func (r *reporter) warn(where Range, p problem) {
	r.put("warning", where, fmt.Sprintf("warn %s:%d %s", where.Filename, where.Start.Byte, p.summary), p)
}

func (r *reporter) put(severity string, where Range, once string, p problem) {
	if r.seen[once] {
		return
	}
	r.seen[once] = true
	if len(r.diags) >= maxProblems {
		r.dropped++
		return
	}
	d := Diagnostic{Severity: severity, Code: p.code, Summary: clean(p.summary), Detail: clean(p.detail), Hint: clean(p.hint)}
	if where.Filename != "" {
		d.Range = &where
		d.Snippet = r.snippet(where)
	}
	r.diags = append(r.diags, d)
}

// done is everything reported, in the order of files and places.
func (r *reporter) done() Diagnostics {
	slices.SortStableFunc(r.diags, func(a, b Diagnostic) int {
		if a.Range == nil || b.Range == nil {
			return cmp.Compare(present(a.Range), present(b.Range))
		}
		return cmp.Or(
			cmp.Compare(r.order[a.Range.Filename], r.order[b.Range.Filename]),
			cmp.Compare(a.Range.Filename, b.Range.Filename),
			cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte),
		)
	})
	if r.dropped > 0 {
		r.diags = append(r.diags, Diagnostic{Severity: "error", Code: codeTooMany,
			Summary: fmt.Sprintf("%d more problems are not listed", r.dropped), Hint: "fix these first"})
	}
	return r.diags
}

func present(r *Range) int {
	if r == nil {
		return 0
	}
	return 1
}

// snippet is the line at a place, cut around it where the line is long.
func (r *reporter) snippet(where Range) *Snippet {
	f := r.files[where.Filename]
	if f == nil || where.Start.Line == 0 || where.Start.Byte > len(f.Bytes) {
		return nil
	}
	src := f.Bytes
	from := bytes.LastIndexByte(src[:where.Start.Byte], '\n') + 1
	to := len(src)
	if n := bytes.IndexByte(src[from:], '\n'); n >= 0 {
		to = from + n
	}
	end := min(max(where.End.Byte, where.Start.Byte), to)
	if to-from > maxSnippet {
		from, to = max(from, where.Start.Byte-maxSnippet/2), min(to, where.Start.Byte+maxSnippet/2)
		end = min(end, to)
	}
	head := clean(string(src[from:where.Start.Byte]))
	mark := clean(string(src[where.Start.Byte:max(end, where.Start.Byte)]))
	tail := clean(strings.TrimRight(string(src[max(end, where.Start.Byte):max(to, where.Start.Byte)]), "\r"))
	s := &Snippet{Code: head + mark + tail, StartLine: where.Start.Line, Start: len(head), End: len(head) + len(mark), Values: []string{}}
	if nav, ok := f.Nav.(interface{ ContextString(int) string }); ok {
		s.Context = clean(nav.ContextString(where.Start.Byte))
	}
	return s
}

// clean makes text from a file safe to show on a terminal: one printable character for each.
func clean(s string) string {
	if !strings.ContainsFunc(s, unprintable) && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\t' || c == '\n':
			return ' '
		case unprintable(c):
			return utf8.RuneError
		}
		return c
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

func unprintable(c rune) bool { return c != ' ' && !unicode.IsPrint(c) }

// from turns a place of hcl into ours.
func from(r hcl.Range) Range {
	return Range{Filename: r.Filename, Start: Pos(hclPos(r.Start)), End: Pos(hclPos(r.End))}
}

func hclPos(p hcl.Pos) Pos { return Pos{Line: p.Line, Column: p.Column, Byte: p.Byte} }

// word is the text at a place: the name that hcl complains about.
func (r *reporter) word(where Range) string {
	f := r.files[where.Filename]
	if f == nil || where.Start.Byte >= where.End.Byte || where.End.Byte > len(f.Bytes) {
		return ""
	}
	return strings.Trim(string(f.Bytes[where.Start.Byte:where.End.Byte]), `"`)
}
