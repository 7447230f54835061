package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxExact is the largest integer that every JSON reader keeps exactly (2^53).
const maxExact = 1 << 53

// Canonical encodes v as canonical JSON: what encoding/json makes of it, without white space, keys
// sorted by UTF-16 code units and the fewest escapes, as RFC 8785 has them. Numbers are integers up to
// 2^53 in size; any other number becomes a string of its digits, so that no reader rounds it.
func Canonical(v any) ([]byte, error) {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	in := raw.Bytes()
	if !utf8.Valid(in) { // only json.RawMessage lets such bytes through
		in = []byte(string([]rune(string(in))))
	}
	c := canonizer{in: in, out: make([]byte, 0, len(in))}
	if err := c.value(); err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	return c.out, nil
}

// canonizer rewrites JSON that encoding/json has made, so it is valid.
type canonizer struct {
	in    []byte
	out   []byte
	depth int
}

// maxNesting bounds what a canonizer recurses into.
const maxNesting = 1000

var errNesting = errors.New("the JSON is nested too deeply")

func (c *canonizer) value() error {
	switch b := c.in[0]; b {
	case '{':
		return c.nested(c.object)
	case '[':
		return c.nested(c.array)
	case '"':
		raw := c.str()
		if bytes.IndexByte(raw, '\\') < 0 {
			c.out = append(c.out, raw...)
			return nil
		}
		s, err := unquote(raw)
		c.out = appendString(c.out, s)
		return err
	default:
		end := bytes.IndexAny(c.in, ",]}\n")
		word := c.in[:end]
		c.in = c.in[end:]
		if b == '-' || (b >= '0' && b <= '9') {
			c.out = appendNumber(c.out, string(word))
		} else {
			c.out = append(c.out, word...) // true, false, null
		}
		return nil
	}
}

func (c *canonizer) nested(inside func() error) error {
	if c.depth++; c.depth > maxNesting {
		return errNesting
	}
	defer func() { c.depth-- }()
	return inside()
}

// str takes a string with its quotes off the input.
func (c *canonizer) str() []byte {
	for i := 1; ; i++ {
		switch c.in[i] {
		case '\\':
			i++
		case '"':
			raw := c.in[:i+1]
			c.in = c.in[i+1:]
			return raw
		}
	}
}

func unquote(raw []byte) (s string, err error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	err = json.Unmarshal(raw, &s)
	return s, err
}

func (c *canonizer) array() error {
	c.out = append(c.out, '[')
	c.in = c.in[1:]
	for c.in[0] != ']' {
		if c.in[0] == ',' {
			c.in = c.in[1:]
			c.out = append(c.out, ',')
		}
		if err := c.value(); err != nil {
			return err
		}
	}
	c.in = c.in[1:]
	c.out = append(c.out, ']')
	return nil
}

// member is one key of an object and where its canonical text, key included, is in the output.
type member struct {
	key        string
	start, end int
}

func (c *canonizer) object() error {
	start := len(c.out)
	var members []member
	sorted := true
	for c.in = c.in[1:]; c.in[0] != '}'; {
		if c.in[0] == ',' {
			c.in = c.in[1:]
		}
		key, err := unquote(c.str())
		if err != nil {
			return err
		}
		m := member{key: key, start: len(c.out) + 1}
		c.out = append(c.out, ',') // the first becomes the brace
		c.out = append(appendString(c.out, key), ':')
		c.in = c.in[1:] // the colon
		if err := c.value(); err != nil {
			return err
		}
		m.end = len(c.out)
		sorted = sorted && (len(members) == 0 || compareUTF16(members[len(members)-1].key, key) < 0)
		members = append(members, m)
	}
	c.in = c.in[1:]
	if !sorted {
		c.reorder(start, members)
	}
	if len(members) == 0 {
		c.out = append(c.out, '{', '}')
		return nil
	}
	c.out[start] = '{'
	c.out = append(c.out, '}')
	return nil
}

// reorder sorts the members of an object where they stand. Of equal keys the last counts, as for every
// reader.
func (c *canonizer) reorder(start int, members []member) {
	text := bytes.Clone(c.out[start:])
	c.out = c.out[:start]
	slices.SortStableFunc(members, func(a, b member) int { return compareUTF16(a.key, b.key) })
	for i, m := range members {
		if i+1 < len(members) && members[i+1].key == m.key {
			continue
		}
		c.out = append(append(c.out, ','), text[m.start-start:m.end-start]...)
	}
}

// compareUTF16 orders by UTF-16 code units. It differs from the order of bytes only between the
// characters beyond the basic plane, whose surrogates begin at D800, and those from E000 up.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		ra, na := utf8.DecodeRuneInString(a)
		rb, nb := utf8.DecodeRuneInString(b)
		if ra != rb {
			if (ra > 0xffff) != (rb > 0xffff) {
				ra, rb = firstUnit(ra), firstUnit(rb)
			}
			return int(ra) - int(rb)
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}

func firstUnit(r rune) rune {
	if r > 0xffff {
		return 0xd800 + (r-0x10000)>>10
	}
	return r
}

func appendNumber(b []byte, digits string) []byte {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return appendString(b, digits)
	}
	return appendInt(b, n)
}

// appendInt writes n as a number, or as a string where a reader might round it.
func appendInt(b []byte, n int64) []byte {
	if n > maxExact || n < -maxExact {
		b = append(b, '"')
		b = strconv.AppendInt(b, n, 10)
		return append(b, '"')
	}
	return strconv.AppendInt(b, n, 10)
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string with no escape that is not needed. Bytes that are not UTF-8 become
// U+FFFD, as encoding/json has it.
func appendString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		b = appendEscape(b, c)
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	if i := strings.IndexByte("\"\\\b\f\n\r\t", c); i >= 0 {
		return append(b, '\\', `"\bfnrt`[i])
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
