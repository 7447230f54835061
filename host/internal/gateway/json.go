package gateway

import (
	"bytes"
	"encoding/json"
)

// Bounds of what a walker looks at.
const (
	maxDepth  = 512 // containers in each other
	maxPath   = 200 // bytes of a path
	maxName   = 64  // bytes of a key that can be wanted, as written
	maxScalar = 300 // bytes of a wanted value, as written
)

// walker reads JSON as it comes, in whatever pieces, and tells the scalars at wanted paths. It holds one
// path and one short value, never the text. A path is the keys from the top, joined by dots, "[]" for the
// elements of a list; a list at the top is not part of it. Text that is no JSON tells nothing more.
type walker struct {
	want map[string]field
	tell func(f field, raw []byte) // raw: a scalar as written, strings with their quotes; valid during the call
	key  func(raw []byte)          // each key at the top, without quotes; nil: nobody asks

	state  walkState
	depth  int
	list   [maxDepth]bool // whether the container at each depth is a list
	marks  [maxDepth]int  // the length of the path of each container
	path   []byte
	text   []byte // the key or the wanted value being read
	isKey  bool   // text is a key
	wanted field  // of the value being read, 0 for none
	escape bool   // inside a string: the next byte is escaped
}

type walkState uint8

const (
	atValue walkState = iota
	atKey
	atColon
	inString
	inLiteral
	afterValue
	atEnd   // after the value at the top
	garbage // no JSON
)

// reset begins a new text.
func (w *walker) reset() {
	w.state, w.depth, w.path, w.escape = atValue, 0, w.path[:0], false
}

// broken reports text that is no JSON, or nested too deeply to be read.
func (w *walker) broken() bool { return w.state == garbage }

func (w *walker) feed(p []byte) {
	for i := 0; i < len(p); {
		switch w.state {
		case atEnd, garbage:
			return
		case inString:
			i += w.inside(p[i:])
		case inLiteral:
			i += w.literal(p[i:])
		default:
			w.between(p[i])
			i++
		}
	}
}

// inside reads a part of a string, up to and with its end.
func (w *walker) inside(p []byte) int {
	if w.escape {
		w.escape = false
		w.keep(p[:1])
		return 1
	}
	n := bytes.IndexByte(p, '"')
	if n < 0 {
		n = len(p)
	}
	if escaped := bytes.IndexByte(p[:n], '\\'); escaped >= 0 {
		n = escaped
	}
	if n == len(p) {
		w.keep(p)
		return n
	}
	w.keep(p[:n+1])
	if p[n] == '\\' {
		w.escape = true
	} else {
		w.closeString()
	}
	return n + 1
}

// keep adds to the key or wanted value, as long as it can be one.
func (w *walker) keep(p []byte) {
	if !w.isKey && w.wanted == 0 {
		return
	}
	limit := maxScalar
	if w.isKey {
		limit = maxName + 2
	}
	if room := limit + 1 - len(w.text); room > 0 { // one more shows that it is too long
		w.text = append(w.text, p[:min(len(p), room)]...)
	}
}

func (w *walker) closeString() {
	if !w.isKey {
		w.give()
		w.closeValue()
		return
	}
	w.state = atColon
	w.enter()
}

// give tells the wanted value.
func (w *walker) give() {
	if w.wanted != 0 && len(w.text) <= maxScalar {
		w.tell(w.wanted, w.text)
	}
	w.wanted = 0
}

// enter appends the key to the path of its object.
func (w *walker) enter() {
	name := []byte("?") // no wanted path has this
	if len(w.text) <= maxName+2 {
		name = plainKey(w.text)
	}
	if w.depth == w.top() && w.key != nil {
		w.key(name)
	}
	w.path = w.path[:w.marks[w.depth-1]]
	w.extend(name)
}

// top is the depth of the object whose keys begin a path.
func (w *walker) top() int {
	if w.list[0] {
		return 2
	}
	return 1
}

func (w *walker) extend(name []byte) {
	if len(w.path)+len(name)+1 > maxPath {
		name = []byte("?")
	}
	if len(w.path) > 0 && len(w.path) < maxPath {
		w.path = append(w.path, '.')
	}
	if len(w.path) < maxPath {
		w.path = append(w.path, name...)
	}
}

// plainKey is a key without quotes and escapes. One that could be taken for a path is none that is wanted.
func plainKey(raw []byte) []byte {
	name := raw[1 : len(raw)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return []byte("?")
		}
		name = []byte(s)
	}
	if bytes.ContainsAny(name, ".[") {
		return []byte("?")
	}
	return name
}

// literal reads a part of a number or a word.
func (w *walker) literal(p []byte) int {
	n := bytes.IndexAny(p, ",]} \t\r\n:\"{[")
	if n < 0 {
		w.keep(p)
		return len(p)
	}
	w.keep(p[:n])
	w.give()
	w.closeValue()
	return n
}

// between reads one byte outside of strings and literals.
func (w *walker) between(c byte) {
	if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
		return
	}
	switch w.state {
	case atValue:
		w.open(c)
	case atKey:
		w.openKey(c)
	case atColon:
		if w.state = atValue; c != ':' {
			w.state = garbage
		}
	default:
		w.separate(c)
	}
}

// open begins a value.
func (w *walker) open(c byte) {
	switch c {
	case '{', '[':
		w.push(c == '[')
	case ']': // of an empty list
		w.pop(true)
	case ',', '}', ':':
		w.state = garbage
	default:
		w.isKey, w.wanted, w.text = false, w.want[string(w.path)], w.text[:0]
		w.state = inLiteral
		if c == '"' {
			w.state = inString
		}
		w.keep([]byte{c})
	}
}

func (w *walker) openKey(c byte) {
	switch c {
	case '"':
		w.isKey, w.text, w.state = true, append(w.text[:0], c), inString
	case '}': // of an empty object
		w.pop(false)
	default:
		w.state = garbage
	}
}

func (w *walker) separate(c byte) {
	switch {
	case c == '}' || c == ']':
		w.pop(c == ']')
	case c != ',':
		w.state = garbage
	case w.list[w.depth-1]:
		w.state = atValue
	default:
		w.state = atKey
	}
}

func (w *walker) push(list bool) {
	if w.depth == maxDepth {
		w.state = garbage
		return
	}
	w.list[w.depth] = list
	if list && w.depth > 0 {
		w.extend([]byte("[]"))
	}
	w.marks[w.depth] = len(w.path)
	w.depth++
	if w.state = atKey; list {
		w.state = atValue
	}
}

func (w *walker) pop(list bool) {
	if w.depth == 0 || w.list[w.depth-1] != list {
		w.state = garbage
		return
	}
	w.depth--
	w.path = w.path[:w.marks[w.depth]]
	w.closeValue()
}

func (w *walker) closeValue() {
	switch {
	case w.depth == 0:
		w.state = atEnd
	default:
		w.state = afterValue
		w.path = w.path[:w.marks[w.depth-1]]
	}
}
