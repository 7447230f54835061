package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestCanonicalSortsKeysAndKeepsNumbersExact(t *testing.T) {
	for name, row := range map[string]struct {
		in   any
		want string
	}{
		"keys":               {map[string]any{"b": 1, "a": []int{2, 1}, "": nil}, `{"":null,"a":[2,1],"b":1}`},
		"keys by UTF-16":     {map[string]any{"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3, "\r": 4, "1": 5}, "{\"\\r\":4,\"1\":5,\"\u20ac\":3,\"\U0001f600\":2,\"\ufb33\":1}"},
		"prefix first":       {map[string]any{"ab": 1, "a": 2}, `{"a":2,"ab":1}`},
		"fewest escapes":     {"<\u20ac$\x0f\nA'\"\\/&\u2028\x7f>", "\"<\u20ac$\\u000f\\nA'\\\"\\\\/&\u2028\x7f>\""},
		"short escapes":      {"\b\t\n\f\r\x00\x1f", `"\b\t\n\f\r\u0000\u001f"`},
		"not UTF-8":          {"a\xffb", "\"a\ufffdb\""},
		"largest exact":      {int64(1) << 53, "9007199254740992"},
		"beyond exact":       {int64(1)<<53 + 1, `"9007199254740993"`},
		"beyond exact below": {-(int64(1)<<53 + 1), `"-9007199254740993"`},
		"beyond 64 bits":     {json.RawMessage("123456789012345678901234567890"), `"123456789012345678901234567890"`},
		"no floats":          {0.1, `"0.1"`},
		"no exponents":       {json.RawMessage("1e3"), `"1e3"`},
		"one zero":           {json.RawMessage("-0"), "0"},
		"empty":              {map[string]any{"a": map[string]any{}, "b": []any{}}, `{"a":{},"b":[]}`},
		"escaped key":        {json.RawMessage(`{"b\u0061":1,"\u0061":2}`), `{"a":2,"ba":1}`},
		"the last of equals": {json.RawMessage(`{"b":1,"a":2,"b":3}`), `{"a":2,"b":3}`},
		"raw, not UTF-8":     {json.RawMessage("[\"\xff\"]"), "[\"\ufffd\"]"},
		"nested raw":         {json.RawMessage(` { "z" : [ true , false ] , "a" : {"y":1,"x":2} } `), `{"a":{"x":2,"y":1},"z":[true,false]}`},
	} {
		got, err := Canonical(row.in)
		if err != nil || string(got) != row.want {
			t.Errorf("%s: got %q %v, want %q", name, got, err, row.want)
		}
	}
	if _, err := Canonical(func() {}); err == nil {
		t.Error("a function was encoded")
	}
	if _, err := Canonical(json.RawMessage(strings.Repeat("[", 2000) + strings.Repeat("]", 2000))); !errors.Is(err, errNesting) {
		t.Errorf("deep nesting: %v", err)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"b":[1,2.5,"x\u2028"],"a":{"\ud83d\ude00":null}}`, `"\u0000"`, `-0`, `[[[]]]`, `9007199254740993`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if bytes.Count(in, []byte("["))+bytes.Count(in, []byte("{")) > 500 {
			return
		}
		var v any
		if json.Unmarshal(in, &v) != nil {
			return
		}
		once, err := Canonical(json.RawMessage(in))
		if err != nil {
			t.Fatalf("valid JSON was refused: %v", err)
		}
		twice, err := Canonical(json.RawMessage(once))
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not a fixed point: %q, then %q %v", once, twice, err)
		}
		var back any
		if err := json.Unmarshal(once, &back); err != nil {
			t.Fatalf("not JSON: %q", once)
		}
		if !inexact.Match(in) && !reflect.DeepEqual(v, back) {
			t.Fatalf("%q became %q", in, once)
		}
	})
}

// inexact is what a number looks like that canonical form may write as a string.
var inexact = regexp.MustCompile(`[0-9][.eE]|[0-9]{16}|-0`)
