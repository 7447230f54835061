package agent_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/drawspan/drawspan/sdk/agent"
)

func TestMembersAreReadWhateverTheirOrder(t *testing.T) {
	names := []string{"type", "n", "yes", "list", "none"}
	got := make([][]byte, len(names))
	for _, object := range []string{
		`{"type":"a\"\\","n":12,"yes":true,"list":[1,{"type":"}"},"]"]}`,
		` { "list" : [1,{"type":"}"},"]"] , "other":{"n":3,"type":"x"},"yes":true,"n":12,"type":"wrong","t\u0079pe":"a\"\\" } ` + "\r",
	} {
		if !agent.Pick([]byte(object), names, got) {
			t.Fatalf("%s is no object", object)
		}
		if agent.Text(got[0]) != `a"\` || agent.Int(got[1]) != 12 || !agent.Bool(got[2]) || string(got[3]) != `[1,{"type":"}"},"]"]` || got[4] != nil {
			t.Errorf("%s: got %q", object, got)
		}
	}
	var elements []string
	if !agent.Each(got[3], func(e []byte) { elements = append(elements, string(e)) }) || !reflect.DeepEqual(elements, []string{"1", `{"type":"}"}`, `"]"`}) {
		t.Errorf("elements = %q", elements)
	}
}

func TestWhatIsCutShortIsNoObject(t *testing.T) {
	whole := `{"type":"a","list":[{"x":1}]}`
	into := make([][]byte, 1)
	for n := range len(whole) {
		if agent.Pick([]byte(whole[:n]), []string{"type"}, into) {
			t.Errorf("%s is taken for an object", whole[:n])
		}
	}
	for _, no := range []string{"", "1", "[]", "null", `{"a":1} {"b":2}`, `{"a":1}x`, `{1:2}`, `{"a" 1}`, `{"a":1 "b":2}`, `{,}`} {
		if agent.Pick([]byte(no), []string{"type"}, into) {
			t.Errorf("%s is taken for an object", no)
		}
	}
}

// FuzzPick compares with the standard library: what that reads is read alike.
func FuzzPick(f *testing.F) {
	for _, s := range []string{`{"a":"x","b":[1,2.5e3],"a":{"b":null}}`, `{"a":"\ud83d\ude00\\"}`, `{}`, `[1,[2],"]"]`, "{\"a\":\"\xff\"}", `{"a":-1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		into := make([][]byte, 2)
		ok := agent.Pick(line, []string{"a", "b"}, into)
		n := 0
		isArray := agent.Each(line, func([]byte) { n++ })
		for _, raw := range into {
			agent.Text(raw)
			agent.Int(raw)
		}
		var list []json.RawMessage
		if json.Unmarshal(line, &list) == nil && list != nil && (!isArray || n != len(list)) {
			t.Errorf("%d elements of %d", n, len(list))
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(line, &members) != nil || members == nil {
			return
		}
		if !ok {
			t.Fatal("not taken for an object")
		}
		for i, name := range []string{"a", "b"} {
			if want := members[name]; !bytes.Equal(into[i], want) {
				t.Errorf("%s = %q, want %q", name, into[i], want)
			}
			var text string
			if len(members[name]) > 0 && json.Unmarshal(members[name], &text) == nil && members[name][0] == '"' && agent.Text(into[i]) != text {
				t.Errorf("text of %q = %q, want %q", into[i], agent.Text(into[i]), text)
			}
		}
	})
}
