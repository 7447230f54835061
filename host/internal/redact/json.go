package redact

import (
	"bytes"
	"encoding/json"
)

// nested is how many times a text in a string in a text is read.
const nested = 8

// JSON is a JSON text with every secret in its strings masked, keys included. A string is read first, and
// the strings that are quoted in it, so that a form is found however often it was escaped on its way into
// the text; then the whole is masked as bytes. Any other text may be given, as the line of a log: what
// stands in double quotes is read in the same way, if it can be.
func (r *Redactor) JSON(p []byte) []byte { return r.json(p, nested) }

func (r *Redactor) json(p []byte, depth int) []byte {
	out := make([]byte, 0, len(p))
	for rest := p; ; {
		from := bytes.IndexByte(rest, '"')
		if from < 0 || depth == 0 {
			return r.Mask(append(out, rest...))
		}
		length := literal(rest[from:])
		out = append(out, rest[:from]...)
		out = append(out, r.literal(rest[from:from+length], depth-1)...)
		rest = rest[from+length:]
	}
}

// literal is how long the string literal at the start of p is; one without an end reaches as far as p.
func literal(p []byte) int {
	for i := 1; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(p)
}

// literal masks one string literal; without a secret in it, it stays byte for byte. One that was cut is read
// as far as it goes.
func (r *Redactor) literal(p []byte, depth int) []byte {
	if bytes.IndexByte(p, '\\') < 0 {
		return p // it reads as it is written: Mask sees it
	}
	text, whole, ok := read(p)
	if !ok {
		return p
	}
	masked := string(r.json([]byte(text), depth))
	if masked == text {
		return p
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(masked) != nil {
		return p // a string always encodes
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if !whole {
		out = out[:len(out)-1]
	}
	return out
}

// longestEscape is what of a cut literal may have to go before it can be read: \u and its digits.
const longestEscape = 5

// read decodes a literal, or what a cut has left of one.
func read(p []byte) (text string, whole, ok bool) {
	if json.Unmarshal(p, &text) == nil {
		return text, true, true
	}
	for less := 0; less <= longestEscape && less < len(p); less++ {
		closed := append(bytes.Clone(p[:len(p)-less]), '"')
		if json.Unmarshal(closed, &text) == nil {
			return text, false, true
		}
	}
	return "", false, false
}
