package sdk_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

var attributes = []sdk.Attribute{
	{Name: "program", Type: sdk.TypeListString, Required: true},
	{Name: "name", Type: sdk.TypeString},
	{Name: "count", Type: sdk.TypeNumber},
	{Name: "on", Type: sdk.TypeBool},
	{Name: "codes", Type: sdk.TypeListNumber},
	{Name: "env", Type: sdk.TypeMapString},
	{Name: "free", Type: sdk.TypeAny},
}

func TestAConfigBlockIsComparedWithTheManifest(t *testing.T) {
	for config, want := range map[string][]string{
		`{"program":["x"]}`: nil,
		`{"program":["x"],"name":"n","count":1.5,"on":true,"codes":[0,1],"env":{"A":"b"},"free":[{"x":1}]}`: nil,
		`{"program":["x"],"name":null}`: nil,
		``:                              {"config.program: required, but not set"},
		`null`:                          {"config.program: required, but not set"},
		`{"program":null}`:              {"config.program: required, but not set"},
		`{"program":"x"}`:               {"config.program: must be a list(string)"},
		`{"program":["x",null]}`:        {"config.program: must be a list(string)"},
		`{"program":[1]}`:               {"config.program: must be a list(string)"},
		`{"program":{"x":"y"}}`:         {"config.program: must be a list(string)"},
		`{"program":[],"progam":1}`:     {"config.progam: no such attribute"},
		`{"program":[],"codes":["0"],"count":"1"}`: {"config.codes: must be a list(number)", "config.count: must be a number"},
		`{"program":[],"env":{"A":null}}`:          {"config.env: must be a map(string)"},
		`{"program":[],"env":["A"]}`:               {"config.env: must be a map(string)"},
		`{"program":[],"on":"true","name":["n"]}`:  {"config.name: must be a string", "config.on: must be a bool"},
		`[]`:               {"config: not a JSON object"},
		`{"program":["x"]`: {"config: not a JSON object"},
		`{"z":1,"a":1}`:    {"config.a: no such attribute", "config.program: required, but not set", "config.z: no such attribute"},
	} {
		var got []string
		for _, e := range sdk.CheckConfig(attributes, json.RawMessage(config)) {
			got = append(got, e.Error())
		}
		if !slices.Equal(got, want) {
			t.Errorf("CheckConfig(%s)\n got %q\nwant %q", config, got, want)
		}
	}
}

func TestAnAttributeOfAnUnknownTypeAcceptsNothing(t *testing.T) {
	got := sdk.CheckConfig([]sdk.Attribute{{Name: "a", Type: "set(string)"}}, json.RawMessage(`{"a":[]}`))
	if len(got) != 1 {
		t.Errorf("CheckConfig = %v, want one problem", got)
	}
}

func FuzzCheckConfig(f *testing.F) {
	for _, seed := range []string{`{"program":["x"]}`, `{}`, `null`, `[`, `{"env":{"a":1}}`, `{"count":1e999}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		if len(sdk.CheckConfig(attributes, config)) > 0 {
			return
		}
		// What passes decodes into Go values of the declared types.
		var v struct {
			Program []string
			Name    string
			Count   float64
			On      bool
			Codes   []float64
			Env     map[string]string
		}
		var raw map[string]json.RawMessage
		if err := json.Unmarshal(config, &raw); err != nil {
			t.Fatalf("%q passed: %v", config, err)
		}
		for _, name := range []string{"program", "name", "count", "on", "codes", "env"} {
			if value, ok := raw[name]; ok {
				if err := json.Unmarshal([]byte(fmt.Sprintf(`{%q:%s}`, name, value)), &v); err != nil {
					t.Fatalf("%q passed: %v", config, err)
				}
			}
		}
	})
}

func TestEveryTypeButTheHostsOwnCanBeAnEvent(t *testing.T) {
	for _, kind := range sdk.EventTypes() {
		e := sdk.Event{Type: kind, Data: json.RawMessage(`{"text":"x","tool":"read"}`), ItemID: "i"}
		if kind == sdk.EventLog {
			e = sdk.Log("stdout", []byte("x"))
		}
		hosts := len(kind) > 5 && kind[:5] == "host."
		if err := e.Validate(); (err != nil) != hosts {
			t.Errorf("%s: Validate = %v", kind, err)
		}
	}
}

func TestQuestionsAndPermissionsSurviveTheirEvents(t *testing.T) {
	q := sdk.Question{ID: "q", Text: "<which & why>", Options: []string{"a"}}
	e, err := sdk.QuestionEvent(q)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sdk.QuestionOf(e); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("QuestionOf = %+v, %v, want %+v", got, err, q)
	}
	p := sdk.Permission{ID: "p", Tool: "execute", Title: "t", Input: json.RawMessage(`{"a":1}`)}
	e, err = sdk.PermissionEvent(p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sdk.PermissionOf(e); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("PermissionOf = %+v, %v, want %+v", got, err, p)
	}
}

func FuzzEventValidate(f *testing.F) {
	f.Add("message", "i", "", []byte(`{"text":"x"}`), "", []byte(nil))
	f.Add("log", "", "", []byte(nil), "stdout", []byte("x"))
	f.Add("host.sandbox.denied", "", "", []byte(`{}`), "", []byte(nil))
	f.Add("question.asked", "q", "p", []byte(`{"text":"?","options":["a"]}`), "", []byte(nil))
	f.Fuzz(func(t *testing.T, kind, item, parent string, data []byte, stream string, log []byte) {
		e := sdk.Event{Type: sdk.EventType(kind), ItemID: item, Parent: parent, Data: data, Stream: stream, Log: log}
		if e.Validate() != nil {
			return
		}
		if len(e.Data) > sdk.MaxData || len(e.Log) > sdk.MaxLog || !slices.Contains(sdk.EventTypes(), e.Type) {
			t.Fatalf("accepted %+v", e)
		}
		if e.Type != sdk.EventLog && !json.Valid(e.Data) {
			t.Fatalf("accepted %+v", e)
		}
	})
}
