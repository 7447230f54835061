package term

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mark stands where something was taken out that was not mere colour, so that tampering stays visible.
const Mark = '\uFFFD'

// newlineMark stands for a line break inside what must stay one line: a file name can hold one.
const newlineMark = '␊'

// Line makes s safe to print inside one line.
func Line(s string) string {
	if plain(s, false) {
		return s
	}
	var b strings.Builder
	f := filter{emit: func(r rune) {
		switch r {
		case '\n':
			r = newlineMark
		case '\t':
			r = ' '
		}
		b.WriteRune(r)
	}}
	f.text(s)
	f.end()
	return b.String()
}

// Painted is Line for text that a Palette painted: its colours stay. It is the last gate before a
// terminal; what others wrote must have been through Line or Text before it was painted.
func Painted(s string) string {
	if plain(s, false) {
		return s
	}
	var b strings.Builder
	f := filter{colors: true, emit: func(r rune) {
		if r == '\n' {
			r = newlineMark
		}
		b.WriteRune(r)
	}}
	f.text(s)
	f.end()
	return b.String()
}

// Text makes s safe to print over several lines: line breaks and tabs stay.
func Text(s string) string {
	if plain(s, true) {
		return s
	}
	var b strings.Builder
	f := filter{emit: func(r rune) { b.WriteRune(r) }}
	f.text(s)
	f.end()
	return b.String()
}

// plain reports whether s is printable ASCII, which needs no filter.
func plain(s string, lines bool) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 0x20 && (!lines || (c != '\n' && c != '\t'))) || c >= 0x7f {
			return false
		}
	}
	return true
}

// Cleaner is Text for a stream: it passes what is written to it on, made safe, and keeps sequences and
// characters together that were cut between two writes.
type Cleaner struct {
	dst    io.Writer
	filter filter
	tail   []byte // the beginning of a character
	out    []byte
}

// NewCleaner cleans what goes to dst. Call Flush at the end.
func NewCleaner(dst io.Writer) *Cleaner {
	c := &Cleaner{dst: dst}
	c.filter.emit = func(r rune) { c.out = utf8.AppendRune(c.out, r) }
	return c
}

// Write cleans p and writes it on.
func (c *Cleaner) Write(p []byte) (int, error) {
	buf := append(c.tail, p...)
	for len(buf) > 0 && (utf8.FullRune(buf) || len(buf) >= utf8.UTFMax) {
		r, n := utf8.DecodeRune(buf)
		c.filter.put(r)
		buf = buf[n:]
	}
	c.tail = append([]byte(nil), buf...)
	return len(p), c.drain()
}

// Flush writes what was held back for a possible continuation.
func (c *Cleaner) Flush() error {
	for range c.tail {
		c.filter.put(utf8.RuneError)
	}
	c.tail = nil
	c.filter.end()
	return c.drain()
}

func (c *Cleaner) drain() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.dst.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return fmt.Errorf("write cleaned text: %w", err)
	}
	return nil
}

// The filter's states: outside a sequence, after ESC, inside CSI, inside a string (OSC, DCS, APC, PM,
// SOS), after ESC inside a string, after a carriage return.
const (
	ground = iota
	escape
	control
	str
	strEscape
	returned
)

// filter drops colour sequences without a trace and puts Mark for every other control. A sequence ends
// at a line break at the latest, so an unfinished one cannot swallow what follows.
type filter struct {
	emit   func(rune)
	state  int
	colors bool   // colour sequences stay
	params []rune // of the control sequence so far
}

// maxParams is longer than any colour sequence of a Palette.
const maxParams = 8

func (f *filter) text(s string) {
	for _, r := range s {
		f.put(r)
	}
}

func (f *filter) end() {
	switch f.state {
	case returned:
		f.emit('\n')
	case ground:
	default:
		f.emit(Mark)
	}
	f.state = ground
}

func (f *filter) put(r rune) {
	switch f.state {
	case escape:
		f.afterEscape(r)
	case control:
		f.inControl(r)
	case str, strEscape:
		f.inString(r)
	case returned:
		f.state = ground
		f.emit('\n')
		if r != '\n' {
			f.outside(r)
		}
	default:
		f.outside(r)
	}
}

func (f *filter) outside(r rune) {
	switch {
	case r == 0x1b:
		f.state = escape
	case r == '\r':
		f.state = returned
	case r == 0x9b:
		f.state = control
	case r == 0x90 || r == 0x98 || r == 0x9d || r == 0x9e || r == 0x9f:
		f.state = str
	case r == '\n' || r == '\t' || Safe(r):
		f.emit(r)
	default:
		f.emit(Mark)
	}
}

func (f *filter) afterEscape(r rune) {
	switch r {
	case '[':
		f.state = control
	case ']', 'P', 'X', '^', '_':
		f.state = str
	case 0x1b:
		f.emit(Mark)
	default:
		f.state = ground
		f.emit(Mark)
		if r < 0x20 || r > 0x7e {
			f.outside(r)
		}
	}
}

func (f *filter) inControl(r rune) {
	if r >= 0x20 && r <= 0x3f {
		if len(f.params) <= maxParams {
			f.params = append(f.params, r)
		}
		return
	}
	f.state = ground
	params := f.params
	f.params = nil
	if r == 'm' {
		f.color(params)
		return
	}
	f.emit(Mark)
	if r < 0x40 || r > 0x7e {
		f.outside(r)
	}
}

// color lets a colour sequence pass where colours stay.
func (f *filter) color(params []rune) {
	if !f.colors || len(params) > maxParams {
		return
	}
	for _, r := range params {
		if (r < '0' || r > '9') && r != ';' {
			return
		}
	}
	for _, r := range "\x1b[" + string(params) + "m" {
		f.emit(r)
	}
}

func (f *filter) inString(r rune) {
	switch {
	case r == '\n' || r == '\r':
		f.state = ground
		f.emit(Mark)
		f.outside(r)
	case r == 0x07 || r == 0x9c || (f.state == strEscape && r == '\\'):
		f.state = ground
		f.emit(Mark)
	case r == 0x1b:
		f.state = strEscape
	default:
		f.state = str
	}
}

// Safe reports whether r may reach a terminal: a graphic character or a plain space, and no format
// character, which covers bidirectional overrides, zero-width characters and tags.
func Safe(r rune) bool {
	if r == ' ' {
		return true
	}
	if r == utf8.RuneError {
		return true
	}
	return unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r) && !unicode.Is(invisible, r)
}

// invisible are letters and spaces that draw nothing or break lines: fillers that make two names look
// the same.
var invisible = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x115f, Hi: 0x1160, Stride: 1},
		{Lo: 0x2028, Hi: 0x2029, Stride: 1},
		{Lo: 0x2800, Hi: 0x2800, Stride: 1},
		{Lo: 0x3164, Hi: 0x3164, Stride: 1},
		{Lo: 0xffa0, Hi: 0xffa0, Stride: 1},
	},
}
