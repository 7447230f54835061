package agent

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Pick reads the named members of a JSON object in one pass: into[i] becomes the raw value of names[i], or
// nil. The last of several counts. It says false for what is not one object from its first byte to its
// last. What is inside a value is not judged: whoever passes a value on as it is has to look at it.
func Pick(object []byte, names []string, into [][]byte) bool {
	clear(into)
	s := scan{text: object}
	if !s.next('{') {
		return false
	}
	for first := true; !s.next('}'); first = false {
		if !first && !s.next(',') {
			return false
		}
		key, ok := s.value()
		if !ok || key[0] != '"' || !s.next(':') {
			return false
		}
		value, ok := s.value()
		if !ok {
			return false
		}
		put(names, into, key, value)
	}
	return s.done()
}

func put(names []string, into [][]byte, key, value []byte) {
	inner := Word(key)
	for i, name := range names {
		if string(inner) == name {
			into[i] = value
			return
		}
	}
}

// Each takes the raw elements of a JSON array in order. It says false for what is no array.
func Each(array []byte, take func(element []byte)) bool {
	s := scan{text: array}
	if !s.next('[') {
		return false
	}
	for first := true; !s.next(']'); first = false {
		if !first && !s.next(',') {
			return false
		}
		value, ok := s.value()
		if !ok {
			return false
		}
		take(value)
	}
	return s.done()
}

// Text is a raw JSON string's text; "" for what is none.
func Text(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// Word is a raw JSON string's text, to be compared: it is part of raw where raw is plain. Nil for what is none.
func Word(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') >= 0 {
		return []byte(Text(raw))
	}
	return inner
}

// Int is a raw JSON number as a whole number; 0 for what is none.
func Int(raw []byte) int64 {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || f != f || f > 1<<53 || f < -1<<53 {
			return 0
		}
		return int64(f)
	}
	return n
}

// Bool is true for a raw true.
func Bool(raw []byte) bool { return string(raw) == "true" }

// scan walks JSON without judging what it passes over.
type scan struct {
	text []byte
	at   int
}

func (s *scan) blank() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// next passes c, if it is what comes.
func (s *scan) next(c byte) bool {
	s.blank()
	if s.at >= len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

func (s *scan) done() bool {
	s.blank()
	return s.at == len(s.text)
}

// value passes one value and returns it.
func (s *scan) value() ([]byte, bool) {
	s.blank()
	start := s.at
	if start >= len(s.text) {
		return nil, false
	}
	ok := false
	switch s.text[start] {
	case '"':
		ok = s.passText()
	case '{', '[':
		ok = s.passNested()
	default:
		ok = s.passWord()
	}
	return s.text[start:s.at], ok
}

func (s *scan) passText() bool {
	s.at++
	for {
		quote := bytes.IndexByte(s.text[s.at:], '"')
		if quote < 0 {
			return false
		}
		end := s.at + quote
		slashes := 0
		for end-slashes > s.at && s.text[end-slashes-1] == '\\' {
			slashes++
		}
		s.at = end + 1
		if slashes%2 == 0 {
			return true
		}
	}
}

func (s *scan) passNested() bool {
	depth := 0
	for s.at < len(s.text) {
		c := s.text[s.at]
		if c == '"' {
			if !s.passText() {
				return false
			}
			continue
		}
		s.at++
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return true
			}
		}
	}
	return false
}

// passWord passes a number, true, false or null.
func (s *scan) passWord() bool {
	start := s.at
	for s.at < len(s.text) && ofWord(s.text[s.at]) {
		s.at++
	}
	return s.at > start
}

func ofWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E'
}
