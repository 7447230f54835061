package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// leaf is one value of a JSON or TOML file that holds no others, with the keys that lead to it. The elements of
// arrays have their number for a key. A key that stands twice yields both.
type leaf struct {
	path  []string
	value string // a string's text, or the source text of another value
	line  int
}

// The bounds of a structured file. No file that is meant to be read comes near.
const (
	maxDepth  = 100
	maxLeaves = 1 << 19
)

var (
	errDeep = fmt.Errorf("values are nested more than %d deep", maxDepth)
	errMany = fmt.Errorf("there are more than %d values", maxLeaves)
)

// lines counts lines along a text.
type lines struct {
	data []byte
	at   int
	line int
}

// of is the line of an offset; offsets must not fall.
func (l *lines) of(offset int) int {
	if offset < l.at {
		l.at, l.line = 0, 0
	}
	l.line += bytes.Count(l.data[l.at:offset], []byte("\n"))
	l.at = offset
	return l.line + 1
}

// jsonLevel is an object or array that is being read.
type jsonLevel struct {
	array bool
	next  int    // of an array: the number of the next element
	key   string // of an object: the key that was read, while its value is awaited
	keyed bool
}

// jsonReader walks the tokens of a JSON file.
type jsonReader struct {
	levels []jsonLevel
	lines  lines
	found  []leaf
}

// jsonLeaves reads a JSON file.
func jsonLeaves(data []byte) ([]leaf, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	r := jsonReader{lines: lines{data: data}}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(r.levels) == 0 {
			return r.found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: not JSON: %w", r.lines.of(min(int(d.InputOffset()), len(data))), err)
		}
		if err := r.take(token, int(d.InputOffset())); err != nil {
			return nil, err
		}
	}
}

func (r *jsonReader) take(token json.Token, offset int) error {
	if delim, ok := token.(json.Delim); ok {
		return r.delimiter(delim)
	}
	if n := len(r.levels); n > 0 && !r.levels[n-1].array && !r.levels[n-1].keyed {
		r.levels[n-1].key, r.levels[n-1].keyed = fmt.Sprint(token), true
		return nil
	}
	if len(r.found) >= maxLeaves {
		return errMany
	}
	r.found = append(r.found, leaf{r.path(), fmt.Sprint(token), r.lines.of(offset)})
	r.done()
	return nil
}

func (r *jsonReader) delimiter(delim json.Delim) error {
	if delim == ']' || delim == '}' {
		r.levels = r.levels[:len(r.levels)-1]
		r.done()
		return nil
	}
	if len(r.levels) >= maxDepth {
		return errDeep
	}
	r.levels = append(r.levels, jsonLevel{array: delim == '['})
	return nil
}

// done notes that a value is complete.
func (r *jsonReader) done() {
	if n := len(r.levels); n > 0 {
		r.levels[n-1].next++
		r.levels[n-1].keyed = false
	}
}

func (r *jsonReader) path() []string {
	path := make([]string, len(r.levels))
	for i, l := range r.levels {
		path[i] = l.key
		if l.array {
			path[i] = strconv.Itoa(l.next)
		}
	}
	return path
}

// tomlReader walks the expressions of a TOML file.
type tomlReader struct {
	parser unstable.Parser
	lines  lines
	table  []string
	arrays map[string]int // how many tables of an array there were, by its path
	found  []leaf
}

// tomlLeaves reads a TOML file.
func tomlLeaves(data []byte) ([]leaf, error) {
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, _ := at.Position()
			return nil, fmt.Errorf("line %d: not TOML: %w", line, err)
		}
		return nil, fmt.Errorf("not TOML: %w", err)
	}
	r := tomlReader{lines: lines{data: data}, arrays: map[string]int{}}
	r.parser.Reset(data)
	for r.parser.NextExpression() {
		if err := r.expression(r.parser.Expression()); err != nil {
			return nil, err
		}
	}
	if err := r.parser.Error(); err != nil {
		return nil, fmt.Errorf("not TOML: %w", err)
	}
	return r.found, nil
}

func (r *tomlReader) expression(n *unstable.Node) error {
	switch n.Kind {
	case unstable.Table, unstable.ArrayTable:
		keys, _ := r.keys(n)
		if len(keys) > maxDepth {
			return errDeep
		}
		r.table = r.inArrays(keys, n.Kind == unstable.ArrayTable)
	case unstable.KeyValue:
		return r.pair(r.table, n)
	}
	return nil
}

// inArrays puts the number of the last table of an array behind each key that is one.
func (r *tomlReader) inArrays(keys []string, next bool) []string {
	var path []string
	for i, key := range keys {
		path = append(path, key)
		at := fmt.Sprintf("%q", path)
		if i == len(keys)-1 && next {
			r.arrays[at]++
		}
		if n := r.arrays[at]; n > 0 {
			path = append(path, strconv.Itoa(n-1))
		}
	}
	return path
}

// keys are the parts of a dotted key, and the line of the first.
func (r *tomlReader) keys(n *unstable.Node) (keys []string, line int) {
	for it := n.Key(); it.Next(); {
		if line == 0 {
			line = r.lines.of(int(it.Node().Raw.Offset))
		}
		keys = append(keys, string(it.Node().Data))
	}
	return keys, line
}

func (r *tomlReader) pair(prefix []string, n *unstable.Node) error {
	keys, line := r.keys(n)
	return r.value(join(prefix, keys...), n.Value(), line)
}

func (r *tomlReader) value(path []string, n *unstable.Node, line int) error {
	if len(path) > maxDepth {
		return errDeep
	}
	switch {
	case n.Kind == unstable.InlineTable:
		return each(n, func(_ int, child *unstable.Node) error { return r.pair(path, child) })
	case n.Kind == unstable.Array:
		return each(n, func(i int, child *unstable.Node) error { return r.value(join(path, strconv.Itoa(i)), child, line) })
	case len(r.found) >= maxLeaves:
		return errMany
	}
	if n.Raw.Length > 0 {
		line = r.lines.of(int(n.Raw.Offset))
	}
	r.found = append(r.found, leaf{path, string(n.Data), line})
	return nil
}

// each visits what a node holds, but for comments.
func each(n *unstable.Node, visit func(i int, child *unstable.Node) error) error {
	i := 0
	for it := n.Children(); it.Next(); {
		if it.Node().Kind == unstable.Comment {
			continue
		}
		if err := visit(i, it.Node()); err != nil {
			return err
		}
		i++
	}
	return nil
}

// join is a path with more keys, in memory of its own.
func join(path []string, keys ...string) []string {
	return append(append(make([]string, 0, len(path)+len(keys)), path...), keys...)
}
