package audit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

func TestCanonicalSortsKeysAndKeepsNumbersExact(t *testing.T) {
	for name, row := range map[string]struct {
		in   any
		want string
	}{
		"keys":                 {map[string]any{"b": 1, "a": []int{2, 1}, "": nil}, `{"":null,"a":[2,1],"b":1}`},
		"keys by UTF-16":       {map[string]any{"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3, "\r": 4, "1": 5}, "{\"\\r\":4,\"1\":5,\"\u20ac\":3,\"\U0001f600\":2,\"\ufb33\":1}"},
		"prefix first":         {map[string]any{"ab": 1, "a": 2}, `{"a":2,"ab":1}`},
		"fewest escapes":       {"<\u20ac$\x0f\nA'\"\\/&\u2028\x7f>", "\"<\u20ac$\\u000f\\nA'\\\"\\\\/&\u2028\x7f>\""},
		"short escapes":        {"\b\t\n\f\r\x00\x1f", `"\b\t\n\f\r\u0000\u001f"`},
		"not UTF-8":            {"a\xffb", "\"a\ufffdb\""},
		"largest exact":        {int64(1) << 53, "9007199254740992"},
		"beyond exact":         {int64(1)<<53 + 1, `"9007199254740993"`},
		"beyond exact below":   {-(int64(1)<<53 + 1), `"-9007199254740993"`},
		"beyond 64 bits":       {json.RawMessage("123456789012345678901234567890"), `"123456789012345678901234567890"`},
		"no floats":            {0.1, `"0.1"`},
		"no exponents":         {json.RawMessage("1e3"), `"1e3"`},
		"one zero":             {json.RawMessage("-0"), "0"},
		"nested raw, repeated": {json.RawMessage(` { "z" : [ true , false ] , "a" : {"y":1,"x":2} } `), `{"a":{"x":2,"y":1},"z":[true,false]}`},
	} {
		got, err := Canonical(row.in)
		if err != nil || string(got) != row.want {
			t.Errorf("%s: got %q %v, want %q", name, got, err, row.want)
		}
	}
	if _, err := Canonical(func() {}); err == nil {
		t.Error("a function was encoded")
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{`{"b":[1,2.5,"x\u2028"],"a":{"\ud83d\ude00":null}}`, `"\u0000"`, `-0`, `[[[]]]`, `9007199254740993`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
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
		if !floats(v) && !reflect.DeepEqual(v, back) {
			t.Fatalf("%q became %q", in, once)
		}
	})
}

// floats reports whether v holds a number that canonical form writes differently.
func floats(v any) bool {
	switch v := v.(type) {
	case float64:
		return v != float64(int64(v)) || v > maxExact || v < -maxExact || v == 0 || v >= 1e6 || v <= -1e6
	case []any:
		for _, e := range v {
			if floats(e) {
				return true
			}
		}
	case map[string]any:
		for _, e := range v {
			if floats(e) {
				return true
			}
		}
	}
	return false
}
