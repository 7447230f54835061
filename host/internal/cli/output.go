package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/drawspan/drawspan/host/internal/term"
)

// page collects what a command shows to people.
type page struct {
	look
	lines []string
}

func (p *page) line(parts ...string) { p.lines = append(p.lines, join(parts...)) }

func (p *page) gap() { p.lines = append(p.lines, "") }

func (p *page) table(t term.Table) { p.lines = append(p.lines, t.Lines(p.profile)...) }

func (p *page) tree(n term.Node) { p.lines = append(p.lines, n.Lines(p.profile)...) }

// facts are label and value pairs; a pair without value is left out. Values are clean already.
type facts [][2]string

// facts shows pairs in two columns.
func (p *page) facts(f facts) {
	width := 0
	for _, kv := range f {
		if kv[1] != "" {
			width = max(width, len(kv[0]))
		}
	}
	for _, kv := range f {
		if kv[1] != "" {
			p.lines = append(p.lines, p.faint(term.Pad(kv[0], width))+"  "+kv[1])
		}
	}
}

// show prints the answer of a command: the one document with --json, ids with -q, else what draw makes.
func (s *shell) show(doc any, ids []string, draw func(p *page)) error {
	switch {
	case s.g.json || s.g.jsonl:
		return s.document(doc)
	case s.g.quiet:
		return s.print(ids)
	}
	p := &page{look: s.out}
	draw(p)
	return s.print(p.lines)
}

func (s *shell) print(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	_, err := io.WriteString(s.io.Out, s.out.paragraph(lines))
	return written(err)
}

// paragraph is lines as they go out, once more past the gate before a terminal.
func (l look) paragraph(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(l.gate(line))
		b.WriteByte('\n')
	}
	return b.String()
}

// gate lets colours pass where there are some to pass.
func (l look) gate(line string) string {
	if l.profile.Color {
		return term.Painted(line)
	}
	return term.Line(line)
}

// say is talk: to stderr, never with -q.
func (s *shell) say(lines ...string) {
	if s.g.quiet || len(lines) == 0 {
		return
	}
	// Talk that cannot be delivered must not stop the work.
	_, _ = io.WriteString(s.io.Err, s.talk.paragraph(lines)) // stderr is gone: nobody to tell
}

// document prints one JSON document.
func (s *shell) document(doc any) error {
	s.told = true
	return s.encode(doc, "  ")
}

// row prints one JSON line of a stream.
func (s *shell) row(doc any) error { return s.encode(doc, "") }

func (s *shell) encode(doc any, indent string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_, err := s.io.Out.Write(escaped(b.Bytes()))
	return written(err)
}

func written(err error) error {
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// escaped writes the characters that a terminal must not see as \u escapes: the same JSON, harmless.
func escaped(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	for i := 0; i < len(doc); {
		r, n := utf8.DecodeRune(doc[i:])
		switch {
		case r < 0x7f || (term.Safe(r) && r != utf8.RuneError):
			out = append(out, doc[i:i+n]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}

// pour copies bytes to stdout: as they are into a pipe or file, made safe for a terminal.
func (s *shell) pour(from io.Reader) error {
	if !s.out.profile.TTY {
		_, err := io.Copy(s.io.Out, from)
		return written(err)
	}
	c := term.NewCleaner(s.io.Out)
	if _, err := io.Copy(c, from); err != nil {
		return written(err)
	}
	return written(c.Flush())
}
