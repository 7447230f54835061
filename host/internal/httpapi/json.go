package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/drawspan/drawspan/host/fault"
)

// maxDepth bounds how deep objects and lists of a body may nest.
const maxDepth = 32

// object is a JSON object whose keys differ. Values are object, []any, string, json.Number, bool or nil.
type object map[string]any

// parseObject reads one JSON object, strictly: UTF-8 only, no key twice, no nesting beyond maxDepth,
// nothing after it.
func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, fault.New(fault.InvalidRequest, "the body is not UTF-8").At("body")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		var s *json.SyntaxError
		if errors.As(err, &s) {
			return nil, fault.Wrap(err, fault.InvalidRequest, "the body is not one JSON document").At("body, byte " + strconv.FormatInt(s.Offset, 10))
		}
		return nil, fault.Wrap(err, fault.InvalidRequest, "the body is not one JSON document").At("body")
	}
	if at := loneSurrogate(data); at >= 0 {
		return nil, fault.New(fault.InvalidRequest, "an escape is half a character").At("body, byte " + strconv.Itoa(at))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := readValue(dec, "", 0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, fault.New(fault.InvalidRequest, "the body must be a JSON object").At("body")
	}
	return o, nil
}

func readValue(dec *json.Decoder, path string, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, fault.Wrap(err, fault.InvalidRequest, "the body is not one JSON document").At("body")
	}
	d, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if depth++; depth > maxDepth {
		return nil, fault.New(fault.InvalidRequest, "the body nests deeper than %d", maxDepth).At("body")
	}
	if d == '[' {
		return readList(dec, path, depth)
	}
	return readObject(dec, path, depth)
}

func readObject(dec *json.Decoder, path string, depth int) (any, error) {
	o := object{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		key, _ := tok.(string) // a key is a string, or Token had failed
		at := join(path, key)
		if _, twice := o[key]; twice {
			return nil, fault.New(fault.InvalidRequest, "the field is given twice").At(shown(at))
		}
		if o[key], err = readValue(dec, at, depth); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token() // the closing brace
	return o, err
}

func readList(dec *json.Decoder, path string, depth int) (any, error) {
	list := []any{}
	for dec.More() {
		v, err := readValue(dec, path+"["+strconv.Itoa(len(list))+"]", depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.Token() // the closing bracket
	return list, err
}

// loneSurrogate is the place of an escape that is half a character, -1 where there is none. The decoder
// of the standard library would put U+FFFD in its place: another text than was sent. Data is valid JSON,
// so a backslash stands within a string and four digits follow a u.
func loneSurrogate(data []byte) int {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		i++
		if data[i] != 'u' {
			continue
		}
		switch r := hex4(data[i+1:]); {
		case r >= 0xDC00 && r <= 0xDFFF:
			return i - 1
		case r >= 0xD800 && r <= 0xDBFF:
			low := data[i+5:]
			if len(low) < 6 || low[0] != '\\' || low[1] != 'u' || hex4(low[2:]) < 0xDC00 || hex4(low[2:]) > 0xDFFF {
				return i - 1
			}
			i += 6
		}
		i += 4
	}
	return -1
}

func hex4(b []byte) uint64 {
	n, err := strconv.ParseUint(string(b[:min(4, len(b))]), 16, 32)
	if err != nil {
		return 0
	}
	return n
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// shown bounds and quotes a path whose parts the caller chose, so that it can stand in an answer and in
// a log line.
func shown(path string) string {
	const most = 80
	if path == "" {
		return `""` // a field without a name
	}
	if len(path) > most {
		path = path[:most] + "..."
	}
	q := strconv.QuoteToASCII(path)
	return q[1 : len(q)-1]
}
