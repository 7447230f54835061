package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/drawspan/drawspan/sdk/tree"
)

// The bounds of a report. A report beyond them is not judged.
const (
	maxReport    = 64 << 20 // bytes
	maxDepth     = 64       // objects and arrays inside of each other
	maxRuns      = 64
	maxResults   = 50_000  // of all runs
	maxRules     = 50_000  // of a run
	maxArtifacts = 500_000 // of a run
	maxPrints    = 16      // fingerprints of a result
	maxText      = 4 << 10
	maxShort     = 512
)

var errTooMuch = fmt.Errorf("the report is %w", tree.ErrTooLarge)

// walker goes through JSON once, without keeping what nobody asks for.
type walker struct {
	dec   *json.Decoder
	depth int
}

func newWalker(r io.Reader) *walker {
	dec := json.NewDecoder(tree.AtMost(r, maxReport))
	dec.UseNumber()
	return &walker{dec: dec}
}

func (w *walker) wrong(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", w.dec.InputOffset(), fmt.Sprintf(format, args...))
}

func (w *walker) token() (json.Token, error) {
	tok, err := w.dec.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil, w.wrong("the report ends early")
	case err != nil:
		return nil, fmt.Errorf("at byte %d: %w", w.dec.InputOffset(), err)
	}
	switch tok {
	case json.Delim('{'), json.Delim('['):
		if w.depth++; w.depth > maxDepth {
			return nil, fmt.Errorf("nested deeper than %d: %w", maxDepth, errTooMuch)
		}
	case json.Delim('}'), json.Delim(']'):
		w.depth--
	}
	return tok, nil
}

// object calls field for every key, which must read or skip the value; null is an object without keys.
func (w *walker) object(field func(key string) error) error {
	tok, err := w.token()
	if err != nil || tok == nil {
		return err
	}
	if tok != json.Delim('{') {
		return w.wrong("an object was expected")
	}
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.token()
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok || seen[key] {
			return w.wrong("a key stands twice in one object")
		}
		seen[key] = true
		if err := field(key); err != nil {
			return err
		}
	}
	_, err = w.token()
	return err
}

// fields reads the keys of an object that somebody asks for, and passes over the others.
func (w *walker) fields(readers map[string]func() error) error {
	return w.object(func(key string) error {
		if read, ok := readers[key]; ok {
			return read()
		}
		return w.skip()
	})
}

// array calls element before every element; null is reported as no array.
func (w *walker) array(element func(i int) error) (there bool, err error) {
	tok, err := w.token()
	if err != nil || tok == nil {
		return false, err
	}
	if tok != json.Delim('[') {
		return false, w.wrong("an array was expected")
	}
	for i := 0; w.dec.More(); i++ {
		if err := element(i); err != nil {
			return true, err
		}
	}
	_, err = w.token()
	return true, err
}

// list is array for a caller that takes null for an empty one.
func (w *walker) list(limit int, what string, element func(i int) error) error {
	_, err := w.array(func(i int) error {
		if i == limit {
			return fmt.Errorf("more than %d %s: %w", limit, what, errTooMuch)
		}
		return element(i)
	})
	return err
}

// skip passes over one value.
func (w *walker) skip() error {
	start := w.depth
	for {
		if _, err := w.token(); err != nil {
			return err
		}
		if w.depth <= start {
			return nil
		}
	}
}

// text is a string, or "" for null, cut to a size.
func (w *walker) text(into *string, size int) error {
	tok, err := w.token()
	if err != nil {
		return err
	}
	s, ok := tok.(string)
	if tok != nil && !ok {
		return w.wrong("a string was expected")
	}
	*into = strings.Clone(clip(s, size)) // not to keep the whole of a long one
	return nil
}

// whole is a whole number; what does not fit is a large one.
func (w *walker) whole(into *int) error {
	tok, err := w.token()
	if err != nil {
		return err
	}
	n, ok := tok.(json.Number)
	if !ok {
		return w.wrong("a number was expected")
	}
	i, err := n.Int64()
	if err != nil {
		return w.wrong("a whole number was expected")
	}
	*into = int(max(-1, min(i, 1<<31-1)))
	return nil
}

// end holds that nothing follows.
func (w *walker) end() error {
	_, err := w.dec.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, tree.ErrTooLarge):
		return err
	}
	return w.wrong("something follows the report")
}

// clip cuts a text between two characters.
func clip(s string, size int) string {
	if len(s) <= size {
		return s
	}
	for size > 0 && !utf8.RuneStart(s[size]) {
		size--
	}
	return s[:size]
}
