package audit

import (
	"bytes"
	"encoding/json"
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
	dec := json.NewDecoder(&raw)
	dec.UseNumber()
	var tree any
	size := raw.Len()
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read body back: %w", err)
	}
	return appendValue(make([]byte, 0, size), tree), nil
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		return appendObject(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, e)
		}
		return append(b, ']')
	case string:
		return appendString(b, v)
	case json.Number:
		return appendNumber(b, string(v))
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

func appendObject(b []byte, m map[string]any) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareUTF16)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = appendValue(b, m[k])
	}
	return append(b, '}')
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
		s = strings.ToValidUTF8(s, "\ufffd")
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
