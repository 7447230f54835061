package store

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

var (
	operator = work.Actor{Kind: "operator", ID: "uid:1000"}
	daemon   = work.Actor{Kind: "daemon", ID: "inst"}
)

const zeroDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// stateDir is a path for a state directory that does not exist yet.
func stateDir(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state")
}

// reopen opens the record of a directory and closes it with the test.
func reopen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func newStore(t testing.TB) *Store {
	t.Helper()
	return reopen(t, Options{Dir: stateDir(t)})
}

// must applies mutations that are right.
func must(t testing.TB, s *Store, m ...work.Mutation) []work.Event {
	t.Helper()
	events, err := s.Apply(context.Background(), m...)
	if err != nil {
		t.Fatalf("apply %T: %v", m[0], err)
	}
	return events
}

// refused applies mutations that are wrong and wants the code.
func refused(t testing.TB, s *Store, code fault.Code, m ...work.Mutation) {
	t.Helper()
	before := head(t, s)
	if _, err := s.Apply(context.Background(), m...); !fault.Is(err, code) {
		t.Errorf("apply %T: got %v, want %s", m[len(m)-1], err, code)
	}
	if after := head(t, s); after.Size != before.Size {
		t.Errorf("a refused change wrote %d events", after.Size-before.Size)
	}
}

func head(t testing.TB, s *Store) Head {
	t.Helper()
	h, err := s.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func openRun(t testing.TB, s *Store) work.Run {
	t.Helper()
	r := work.Run{ID: ident.New(ident.Run), Workspace: "ws", Title: "a run", Base: "main", BaseCommit: "c0ffee", Actor: operator, PolicySum: zeroDigest}
	must(t, s, work.OpenRun{Run: r})
	return runOf(t, s, r.ID)
}

func dispatch(t testing.TB, s *Store, runID string) work.Step {
	t.Helper()
	step := work.Step{
		ID: ident.New(ident.Step), RunID: runID, Actor: operator, SpecSum: zeroDigest,
		Spec: work.StepSpec{Text: "make it so", Executor: "agent", Paths: &work.PathRules{Write: []string{"**"}}, Wall: time.Minute, Gates: []string{"slow"}},
	}
	must(t, s, work.DispatchStep{Step: step})
	return stepOf(t, s, step.ID)
}

func begin(t testing.TB, s *Store, step work.Step) work.Attempt {
	t.Helper()
	a := work.Attempt{ID: ident.New(ident.Attempt), StepID: step.ID, Executor: "agent"}
	must(t, s, work.CreateAttempt{Attempt: a})
	return attemptOf(t, s, a.ID)
}

// started is an attempt of a new step of a new run.
func started(t testing.TB, s *Store) work.Attempt {
	t.Helper()
	return begin(t, s, dispatch(t, s, openRun(t, s).ID))
}

func runOf(t testing.TB, s *Store, id string) work.Run {
	t.Helper()
	r, err := s.Run(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func stepOf(t testing.TB, s *Store, id string) work.Step {
	t.Helper()
	r, err := s.Step(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func attemptOf(t testing.TB, s *Store, id string) work.Attempt {
	t.Helper()
	a, err := s.Attempt(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var proved = &work.Death{Method: "pid namespace", Proved: true, Signals: []string{"TERM"}, Took: time.Millisecond}

// walk moves an attempt through states to where it is wanted, and returns it.
func walk(t testing.TB, s *Store, a work.Attempt, states ...work.AttemptState) work.Attempt {
	t.Helper()
	for _, to := range states {
		m := work.MoveAttempt{ID: a.ID, Version: a.Version, To: to, Actor: daemon}
		switch {
		case to == work.AttemptEnded && a.State == work.AttemptStopping:
			m.Outcome, m.Death = work.Cancelled, proved
		case to == work.AttemptEnded:
			m.Outcome = work.Succeeded
		case a.State == work.AttemptStopping:
			m.Death = proved
		}
		must(t, s, m)
		a = attemptOf(t, s, a.ID)
	}
	return a
}

func result(a work.Attempt, name string, body string) work.KeepArtifact {
	return work.KeepArtifact{Artifact: work.Artifact{
		AttemptID: a.ID, Name: name, Kind: "result", Digest: digestOf([]byte(body)), Size: int64(len(body)), Media: "text/plain", Inline: []byte(body),
	}}
}

func openGate(t testing.TB, s *Store, a work.Attempt, name string) work.GateRecord {
	t.Helper()
	g := work.GateRecord{ID: ident.New(ident.Gate), AttemptID: a.ID, Name: name, Rule: `{"validator":"command"}`, RuleSum: zeroDigest, Required: true}
	must(t, s, work.OpenGate{Gate: g})
	g, err := s.Gate(context.Background(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func openApproval(t testing.TB, s *Store, a work.Attempt) work.Approval {
	t.Helper()
	p := work.Approval{
		ID: ident.New(ident.Approval), AttemptID: a.ID, Kind: work.ApprovalPermission, ItemID: "i1", Prompt: "may I?", Options: []string{"yes", "no"},
		Deadline: time.Now().Add(time.Hour), Default: "deny",
	}
	must(t, s, work.OpenApproval{Approval: p})
	p, err := s.Approval(context.Background(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sound wants the whole record to verify and the state to be what the log says.
func sound(t testing.TB, s *Store) {
	t.Helper()
	v, err := s.Verify(context.Background(), nil)
	if err != nil || !v.OK() {
		t.Fatalf("verify: %v, %+v", err, v.Problems)
	}
	problems, err := s.Fold(context.Background())
	if err != nil || len(problems) > 0 {
		t.Fatalf("fold: %v, %+v", err, problems)
	}
}

// asText is an object as JSON, for messages.
func asText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func newID(prefix ident.Prefix) string { return ident.New(prefix) }
