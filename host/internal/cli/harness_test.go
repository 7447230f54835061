package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testTime is when everything in the tests begins.
var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	runID  = "run_01JD0Q8Z3V6W4T5N2M1K0HGFED"
	stepID = "step_01JD0Q8Z3V6W4T5N2M1K0HGFEE"
	attID  = "att_01JD0Q8Z3V6W4T5N2M1K0HGFEF"
	aprID  = "apr_01JD0Q8Z3V6W4T5N2M1K0HGFEG"
)

// buffer is what a command writes; tests read it while it does.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// terminal is one invocation's outside.
type terminal struct {
	app      App
	in       string
	env      map[string]string
	home     string
	dir      string
	sig      chan os.Signal
	beat     time.Duration
	out, err buffer
}

func newTerminal(t *testing.T, d *fakeDaemon) *terminal {
	t.Helper()
	e := &terminal{env: map[string]string{"DRAWSPAN_PROMPT_DISABLED": ""}, home: t.TempDir(), dir: t.TempDir(), sig: make(chan os.Signal)}
	if d != nil {
		e.env["DRAWSPAN_SOCKET"] = d.socket
	}
	return e
}

// run does one invocation and answers with its exit code.
func (e *terminal) run(t *testing.T, args ...string) int {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	return e.app.Run(t.Context(), Streams{
		In: strings.NewReader(e.in), Out: &e.out, Err: &e.err, OutFD: null.Fd(), ErrFD: null.Fd(),
		Env: func(k string) string { return e.env[k] }, Dir: e.dir, Home: e.home, Interrupts: e.sig, UID: 1000, Heartbeat: e.beat, Patience: 50 * time.Millisecond, Began: testTime.Add(90 * time.Second),
	}, args)
}

// golden compares with a golden file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update if it is meant)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("did not happen: %s", what)
		}
	}
}

func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func at(seconds int) *time.Time {
	x := testTime.Add(time.Duration(seconds) * time.Second)
	return &x
}

// sampleRun, sampleStep and the rest are what the fake daemon talks about.
func sampleRun() api.Run {
	return api.Run{ID: runID, Workspace: "api", Title: "tidy the imports", Base: "main", BaseCommit: "3fa9c1d0aa11223344556677889900aabbccddee",
		State: "open", Version: 1, Actor: api.Actor{Kind: "operator", ID: "uid:1000"}, OpenedAt: testTime, Steps: 1, PolicySum: "sha256:aa"}
}

func sampleStep(state string) api.Step {
	s := api.Step{ID: stepID, RunID: runID, Workspace: "api", Ix: 1, Text: "tidy the imports\nof every file", Executor: "gofmt", State: state,
		Version: 2, Actor: api.Actor{Kind: "operator", ID: "uid:1000"}, AttemptID: attID, Attempts: 1, Dispatched: testTime}
	if settled(state) {
		s.EndedAt = at(12)
	}
	return s
}

func sampleAttempt(state, outcome string) *api.Attempt {
	a := &api.Attempt{ID: attID, StepID: stepID, RunID: runID, N: 1, Executor: "gofmt", State: state, Outcome: outcome, Level: "isolated",
		Base: "3fa9c1d0aa11223344556677889900aabbccddee", CreatedAt: testTime, StartedAt: at(1)}
	if state == stateEnded {
		a.EndedAt = at(9)
		a.Plugin = raw(map[string]any{"name": "command", "kind": "executor", "version": "0.1.0", "digest": "sha256:" + strings.Repeat("ab", 32)})
		a.Claim = raw(map[string]any{"summary": "done, I think", "stop_reason": "end_turn", "exit_code": 0})
		a.Death = raw(map[string]any{"method": "pid namespace", "proved": true, "took": 12_000_000})
		a.Enforced = raw(map[string]any{"level": "isolated", "network": "none"})
		a.Evidence = raw(map[string]any{
			"commit": "77aa00bb11223344556677889900aabbccddeeff", "ref": "refs/drawspan/attempts/" + attID, "output_bytes": 2048,
			"diff": map[string]any{"insertions": 5, "deletions": 2, "files": []map[string]any{
				{"path": "main.go", "op": "modify", "added": 3, "deleted": 2, "old_mode": "100644", "new_mode": "100644"},
				{"path": "tools/run.sh", "op": "add", "added": 2, "deleted": 0, "old_mode": "000000", "new_mode": "100755"},
			}},
		})
	}
	return a
}

func sampleGates(verdicts ...string) []api.GateState {
	names := []string{"paths", "tests", "review"}
	var gates []api.GateState
	for i, v := range verdicts {
		gates = append(gates, api.GateState{ID: "gate_" + names[i], AttemptID: attID, Name: names[i], Required: i < 2, Verdict: v,
			Reason: map[string]string{"pass": "pass", "fail": "fail: exit code 1", "hold": "A person looks at it.", "pending": ""}[v],
			Rule:   raw(map[string]any{"name": names[i], "validator": "command"}), RuleSum: "sha256:cc", At: *at(11)})
	}
	return gates
}

func sampleApproval() api.Approval {
	return api.Approval{ID: aprID, RunID: runID, StepID: stepID, AttemptID: attID, Workspace: "api", Kind: "hold", Gate: "review",
		Prompt: "A person looks at large diffs.", Deadline: *at(86400), Default: "fail", State: "open", OpenedAt: *at(10)}
}
