package cli

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// venom is text that would command a terminal or deceive its reader.
const venom = "a\x1b]0;pwn\x07\x1b[2J\x1b[44m\u202egpj.exe\u2066\u200b\r\x07\u009b2Kb\x7f\U000e0041"

// poison fills every string of a value with venom, and every raw JSON with an object of venom.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		poison(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(testTime))
			return
		}
		for i := range v.NumField() {
			poison(v.Field(i))
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes(poisonedJSON())
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.String:
		v.SetString(venom)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	}
}

// poisonedJSON is what the views decode out of raw JSON, all of it bad.
func poisonedJSON() []byte {
	file := map[string]any{"path": venom, "old_path": venom, "op": venom, "old_mode": venom, "new_mode": venom}
	b, err := json.Marshal(map[string]any{
		"name": venom, "version": venom, "digest": venom, "summary": venom, "error": venom, "error_class": venom, "signal": venom,
		"stop_reason": venom, "commit": venom, "ref": venom, "method": venom, "signals": []string{venom}, venom: venom,
		"diff": map[string]any{"files": []any{file}}, "refused": []any{map[string]any{"path": venom, "why": venom}},
	})
	if err != nil {
		panic(err)
	}
	return b
}

// poisoned is a daemon all of whose answers are venom, except what makes them be shown.
func poisoned(t *testing.T) *fakeDaemon {
	d := startFake(t)
	for _, row := range api.Operations() {
		if !row.Surfaces.Has(api.Local) || row.Stream != api.StreamNone {
			continue
		}
		v := reflect.New(reflect.TypeOf(row.Response))
		poison(v.Elem())
		if f := v.Elem().FieldByName("Next"); f.IsValid() {
			f.SetString("")
		}
		if gates, ok := v.Interface().(*api.List[api.GateState]); ok {
			gates.Items[0].Name = "tests"
		}
		if approvals, ok := v.Interface().(*api.List[api.Approval]); ok {
			approvals.Items[0].ID = aprID
		}
		d.gives(row.Name, v.Elem().Interface())
	}
	step := sampleStep("held")
	poison(reflect.ValueOf(&step).Elem())
	step.ID, step.State, step.AttemptID, step.Attempts = stepID, "held", attID, 1
	step.Attempt.ID, step.Attempt.StepID = attID, stepID
	d.gives(api.OpStepGet, step)
	list := api.List[api.Step]{Items: []api.Step{step}}
	d.gives(api.OpStepList, list)
	d.gives(api.OpArtifactRead, venom+"\n+"+venom+"\n")
	line, err := json.Marshal(map[string]any{"type": "message", "data": map[string]any{"text": venom + "\n" + venom, "title": venom}})
	if err != nil {
		t.Fatal(err)
	}
	d.streams[attID] = string(line) + "\n" + venom + "\n" + strings.ReplaceAll(string(line), `"message"`, `"tool.started"`) + "\n"
	return d
}

// drawing is what the live view itself sends to redraw in place, and the palette's colours.
var drawing = regexp.MustCompile(`\x1b\[(\d+A\r|2K|J|[012]m|3[1-6]m)`)

func assertHarmless(t *testing.T, what, out string) {
	t.Helper()
	for _, r := range drawing.ReplaceAllString(out, "") {
		if r == '\n' || r == '\t' {
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			t.Errorf("%s: %U reaches the terminal: %q", what, r, out)
			return
		}
	}
}

func TestNothingHostileReachesATerminal(t *testing.T) {
	d := poisoned(t)
	all := reads()
	for name, args := range writes() {
		all[name] = args
	}
	all["step_wait"] = []string{"step", "wait", stepID, "--timeout", "50ms"}
	all["do"] = []string{"do", "x", "-w", venom, "--with", venom, "--timeout", "50ms"}
	all["doctor"] = []string{"doctor"}
	all["usage"] = []string{"run", venom}
	all["unknown"] = []string{venom}
	for name, args := range all {
		for _, mode := range []string{"--no-color", "--json", "--no-color=false"} {
			e := newTerminal(t, d)
			e.env["DRAWSPAN_FORCE_TTY"], e.env["DRAWSPAN_PROMPT_DISABLED"] = "100", "1"
			e.run(t, append(append([]string{}, args...), mode)...)
			if e.out.String()+e.err.String() == "" && name != "step_logs_stderr" {
				t.Errorf("%s %s shows nothing", name, mode)
			}
			assertHarmless(t, name+" "+mode+" stdout", e.out.String())
			assertHarmless(t, name+" "+mode+" stderr", e.err.String())
		}
	}
}

func TestHostileErrorsAreHarmless(t *testing.T) {
	d := startFake(t)
	d.on(api.OpStepGet, func(any) (any, error) {
		return nil, fault.New(fault.Conflict, "%s", venom).At(venom).Fix("%s", venom)
	})
	for _, mode := range []string{"--no-color", "--json"} {
		e := newTerminal(t, d)
		e.run(t, "step", "show", stepID, mode)
		assertHarmless(t, mode, e.out.String())
		assertHarmless(t, mode, e.err.String())
	}
}

func TestJSONKeepsHostileTextAsItIs(t *testing.T) {
	in := map[string]string{"text": venom + "ümlaut 日本 \u2028"}
	doc, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]string
	if err := json.Unmarshal(escaped(doc), &out); err != nil {
		t.Fatal(err)
	}
	if out["text"] != in["text"] {
		t.Errorf("got %q, want %q", out["text"], in["text"])
	}
}

func TestAPipeGetsTheExactBytes(t *testing.T) {
	d := poisoned(t)
	e := newTerminal(t, d)
	if code := e.run(t, "artifact", "get", attID, "x"); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	if want := venom + "\n+" + venom + "\n"; e.out.String() != want {
		t.Errorf("got %q, want %q", e.out.String(), want)
	}
}

// FuzzActivity holds that no line of a stream can break the live view.
func FuzzActivity(f *testing.F) {
	f.Add([]byte(`{"type":"log","data":{"text":"one\ntwo\n"}}`))
	f.Add([]byte(`{"type":"tool.ended","data":{"title":"go vet","status":"ok"}}`))
	f.Add([]byte(`{"type":"message","data":"text alone"}`))
	f.Add([]byte(`{"type":"error","data":{"message":"\u001b[2J\u202e"}}`))
	f.Add([]byte("not json"))
	f.Fuzz(func(t *testing.T, line []byte) {
		a, ok := activityOf(line)
		if !ok {
			return
		}
		if strings.ContainsAny(a.Text, "\n\r\t") || a.Text == "" {
			t.Errorf("%q gives %q", line, a.Text)
		}
		assertHarmless(t, "activity", a.Text)
	})
}
