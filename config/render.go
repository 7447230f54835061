package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text writes the diagnostics for people, wrapped at width (0: never), with colour when asked.
func (ds Diagnostics) Text(w io.Writer, width int, color bool) error {
	p := painter{width: width, color: color}
	for i, d := range ds {
		if i > 0 {
			p.b.WriteByte('\n')
		}
		p.diagnostic(d)
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

type painter struct {
	b     strings.Builder
	width int
	color bool
}

const (
	red    = "31"
	yellow = "33"
	cyan   = "36"
	bold   = "1"
	under  = "4"
)

func (p *painter) paint(style, s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

func (p *painter) diagnostic(d Diagnostic) {
	style := red
	if d.Severity != "error" {
		style = yellow
	}
	head := fmt.Sprintf("%s[%s]: ", d.Severity, d.Code)
	p.wrapped(head, "  ", d.Summary, func(s string) string {
		if rest, ok := strings.CutPrefix(s, head); ok {
			return p.paint(bold+";"+style, strings.TrimSuffix(head, " ")) + " " + p.paint(bold, rest)
		}
		return p.paint(bold, s)
	})
	if d.Range != nil {
		where := d.Range.Filename
		if d.Range.Start.Line > 0 {
			where = fmt.Sprintf("%s:%d:%d", where, d.Range.Start.Line, d.Range.Start.Column)
		}
		p.b.WriteString("  " + p.paint(cyan, "-->") + " " + clean(where) + "\n")
	}
	if s := d.Snippet; s != nil {
		n := strconv.Itoa(s.StartLine)
		p.b.WriteString("   " + p.paint(cyan, n) + " | " + s.Code[:s.Start] + p.paint(under, s.Code[s.Start:s.End]) + s.Code[s.End:] + "\n")
	}
	if d.Detail != "" {
		p.wrapped("  ", "  ", d.Detail, func(s string) string { return s })
	}
	if d.Hint != "" {
		p.wrapped("  fix: ", "       ", d.Hint, func(s string) string {
			if rest, ok := strings.CutPrefix(s, "  fix: "); ok {
				return "  " + p.paint(bold, "fix:") + " " + rest
			}
			return s
		})
	}
}

// wrapped writes words after a first indent, broken at the width.
func (p *painter) wrapped(first, next, text string, style func(string) string) {
	line, indent := first, utf8.RuneCountInString(first)
	used := indent
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if p.width > 0 && used > indent && used+1+n > p.width {
			p.b.WriteString(style(line) + "\n")
			line, used, indent = next, utf8.RuneCountInString(next), utf8.RuneCountInString(next)
		} else if i > 0 && used > indent {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	p.b.WriteString(style(line) + "\n")
}

type document struct {
	FormatVersion string       `json:"format_version"`
	Valid         bool         `json:"valid"`
	ErrorCount    int          `json:"error_count"`
	WarningCount  int          `json:"warning_count"`
	Diagnostics   []Diagnostic `json:"diagnostics"`
}

// JSON writes one document in the shape of `terraform validate -json`, with code and hint added.
func (ds Diagnostics) JSON(w io.Writer) error {
	doc := document{
		FormatVersion: "1.0", Valid: !ds.HasErrors(),
		ErrorCount: ds.count("error"), WarningCount: ds.count("warning"), Diagnostics: ds,
	}
	if doc.Diagnostics == nil {
		doc.Diagnostics = Diagnostics{}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}
