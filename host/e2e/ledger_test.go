package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// successors are the transitions that the documented state machines allow, by kind of object. What is not
// here has no successor.
var successors = map[string]map[string][]string{
	"run": {"opened": {"closed", "cancelled"}},
	"step": {
		"dispatched": {"active", "cancelled", "failed"},
		"queued":     {"active", "cancelled", "failed"},
		"active":     {"held", "passed", "rejected", "failed", "cancelled"},
		"held":       {"active", "passed", "rejected", "failed", "cancelled"},
		"passed":     {"queued"}, "rejected": {"queued"}, "failed": {"queued"}, "cancelled": {"queued"},
	},
	"attempt": {
		"queued":     {"preparing", "stopping", "ended"},
		"preparing":  {"running", "stopping", "ended"},
		"running":    {"waiting", "collecting", "stopping", "ended"},
		"waiting":    {"running", "collecting", "stopping", "ended"},
		"collecting": {"validating", "stopping", "ended"},
		"validating": {"stopping", "ended"},
		"stopping":   {"collecting", "ended"},
	},
	"gate":     {"opened": {"pass", "fail", "hold"}, "hold": {"pass", "fail"}},
	"approval": {"opened": {"allowed", "denied", "answered"}},
}

// moved is what the body of a transition says.
type moved struct {
	ID      string `json:"id"`
	To      string `json:"to"`
	Version int    `json:"version"`
}

// cmdLedger is: ledger RUN. Every object of the run has exactly the events that its transitions have
// made: their versions count up by one from its first, each follows from the one before, and the last is
// the state and the version that the object has now.
func cmdLedger(ts *testscript.TestScript, _ bool, args []string) {
	paths := map[string][]moved{} // by "kind id"
	for _, e := range events(ts, args[0]) {
		kind, what, _ := strings.Cut(e.Kind, ".")
		var m moved
		ts.Check(json.Unmarshal(e.Body, &m))
		if successors[kind] == nil || m.Version == 0 {
			continue // a fact, or a row that never changes
		}
		id := map[string]string{"run": e.RunID, "step": e.StepID, "attempt": e.AttemptID}[kind]
		if id == "" {
			id = m.ID
		}
		if kind != "gate" && kind != "approval" || m.To == "" {
			m.To = what
		}
		paths[kind+" "+id] = append(paths[kind+" "+id], m)
	}
	for object, path := range paths {
		kind, id, _ := strings.Cut(object, " ")
		for i, m := range path {
			if m.Version != i+1 {
				ts.Fatalf("%s: event %d has version %d: %v", object, i+1, m.Version, path)
			}
			if i > 0 && !slices.Contains(successors[kind][path[i-1].To], m.To) {
				ts.Fatalf("%s: %s after %s", object, m.To, path[i-1].To)
			}
		}
		compare(ts, kind, id, path[len(path)-1])
	}
	for _, kind := range []string{"run", "step", "attempt"} {
		if !slices.ContainsFunc(keys(paths), func(k string) bool { return strings.HasPrefix(k, kind+" ") }) {
			ts.Fatalf("the log of %s has no transition of a %s", args[0], kind)
		}
	}
}

func keys[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}

// compare holds the last event of an object to the object.
func compare(ts *testscript.TestScript, kind, id string, last moved) {
	if kind != "run" && kind != "step" && kind != "attempt" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	body := open(ctx, ts, "/"+kind+"s/"+id, nil)
	var now struct {
		State   string `json:"state"`
		Version int    `json:"version"`
	}
	err := json.NewDecoder(body).Decode(&now)
	ts.Check(errors.Join(err, body.Close()))
	state := map[string]string{"opened": "open", "dispatched": "queued"}[last.To]
	if state == "" {
		state = last.To
	}
	if now.State != state || now.Version != last.Version {
		ts.Fatalf("%s %s is %s in version %d; its last event says %s in %d", kind, id, now.State, now.Version, state, last.Version)
	}
}
