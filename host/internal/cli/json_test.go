package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
)

func TestJSONIsExactlyOneDocument(t *testing.T) {
	w := newWorld(t)
	w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"), "pass")
	cases := map[string]struct {
		args []string
		code int
	}{
		"a step":          {[]string{"step", "wait", stepID, "--json"}, 0},
		"a failure":       {[]string{"step", "show", "step_Z", "--json"}, 5},
		"wrong usage":     {[]string{"step", "show", "--json"}, 2},
		"an unknown flag": {[]string{"run", "ls", "--json", "--bogus"}, 2},
		"an unknown verb": {[]string{"run", "opne", "--json"}, 2},
		"do":              {[]string{"do", "x", "-w", "api", "--json"}, 0},
		"a list":          {[]string{"workspace", "ls", "--json"}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := newTerminal(t, w.fakeDaemon)
			if code := e.run(t, c.args...); code != c.code {
				t.Errorf("exit %d, want %d: %s", code, c.code, e.err.String())
			}
			dec := json.NewDecoder(strings.NewReader(e.out.String()))
			var doc map[string]any
			if err := dec.Decode(&doc); err != nil {
				t.Fatalf("%v in %q", err, e.out.String())
			}
			if dec.More() {
				t.Errorf("more than one document: %q", e.out.String())
			}
			if inner, ok := doc["error"].(map[string]any); (c.code != 0) != (ok && inner["code"] != "" && inner["hint"] != "") {
				t.Errorf("exit %d with %v", c.code, doc)
			}
		})
	}
}

func TestJSONLinesAreTheEventsOfTheLog(t *testing.T) {
	w := newWorld(t)
	w.moves("attempt.running", "active", sampleAttempt("running", ""))
	e := newTerminal(t, w.fakeDaemon)
	w.plays(t, func() {
		until(t, "following", func() bool { return w.called(api.OpEventsSubscribe) == 1 })
		w.moves("attempt.ended", "active", sampleAttempt("ended", "succeeded"))
		w.moves("step.passed", "passed", sampleAttempt("ended", "succeeded"))
	})
	if code := e.run(t, "step", "wait", stepID, "--jsonl"); code != 0 {
		t.Fatalf("exit %d: %s", code, e.err.String())
	}
	var kinds []string
	for line := range strings.Lines(e.out.String()) {
		var ev api.Event
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		kinds = append(kinds, ev.Pos+" "+ev.Kind)
	}
	if got := strings.Join(kinds, ", "); got != "1.2 attempt.ended, 1.3 step.passed" {
		t.Errorf("got %s", got)
	}
}
