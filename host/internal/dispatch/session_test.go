package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// sessions plays an executor that keeps a session, and remembers what it was given.
type sessions struct {
	mu    sync.Mutex
	given []*sdk.Resume
	end   sdk.Result
}

func (s *sessions) execute(_ context.Context, _ *scriptedPlugin, a sdk.Attempt, _ sinkFunc) (sdk.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = append(s.given, a.Resume)
	return s.end, nil
}

func kept(files ...sdk.StateFile) sdk.Result {
	return sdk.Result{StopReason: "end_turn", Session: "s-1", Summary: "half of it is done", State: files}
}

// followup takes a step through a follow-up.
func (f *fixture) followup(step work.Step) work.Step {
	f.t.Helper()
	if _, err := f.d.Followup(f.t.Context(), operator, step.ID, "and the rest", ""); err != nil {
		f.t.Fatal(err)
	}
	return f.await(step.ID, "followed up", func(s work.Step) bool { return s.State.Settled() && s.Attempts == step.Attempts+1 })
}

func TestAFollowUpGoesOnWithTheExecutorsOwnSession(t *testing.T) {
	for name, data := range map[string][]byte{"small": []byte("{}\n"), "large": bytes.Repeat([]byte{0, 0xff, 'x'}, 200_000)} {
		t.Run(name, func(t *testing.T) {
			s := &sessions{end: kept(sdk.StateFile{Path: "projects/a.jsonl", Data: data})}
			f := newFixture(t, script{execute: s.execute})
			first := f.settled(f.dispatch(f.run(), "x").ID)
			if spec := f.spec(first); spec.Session == nil || !spec.Session.Resumable || spec.Resumed != nil {
				t.Errorf("session %+v, resumed %+v", spec.Session, spec.Resumed)
			}
			rows, err := f.store.Artifacts(t.Context(), first.AttemptID)
			if err != nil || !slices.ContainsFunc(rows, func(a work.Artifact) bool { return a.Name == "session.json" && a.Kind == "session" && !a.Truncated }) {
				t.Errorf("got %+v, %v", rows, err)
			}
			second := f.followup(first)
			if len(s.given) != 2 || s.given[0] != nil || s.given[1] == nil {
				t.Fatalf("given %v", s.given)
			}
			got := s.given[1]
			if got.Session != "s-1" || got.Summary != "half of it is done" || len(got.State) != 1 || got.State[0].Path != "projects/a.jsonl" || !bytes.Equal(got.State[0].Data, data) {
				t.Errorf("given %q, %q, %d files", got.Session, got.Summary, len(got.State))
			}
			want := work.Resumed{From: first.AttemptID, Mode: work.ResumedNative, Why: "same executor, plugin and program"}
			if r := f.attempt(second).Evidence.Resumed; r == nil || *r != want {
				t.Errorf("recorded %+v", r)
			}
			if spec := f.spec(second); spec.Resumed == nil || *spec.Resumed != want {
				t.Errorf("the result has %+v", spec.Resumed)
			}
		})
	}
}

func TestAFollowUpWithoutASessionBeginsWithTheLastWords(t *testing.T) {
	file := sdk.StateFile{Path: "a", Data: []byte("x")}
	many := make([]sdk.StateFile, sdk.MaxStates+1)
	for i := range many {
		many[i] = sdk.StateFile{Path: fmt.Sprint(i), Data: []byte("x")}
	}
	for name, row := range map[string]struct {
		end    sdk.Result
		before func(f *fixture)
		why    string
	}{
		"no files":             {kept(), nil, "kept no session"},
		"no name":              {sdk.Result{Summary: "half of it is done", State: []sdk.StateFile{file}}, nil, "kept no session"},
		"too large":            {kept(sdk.StateFile{Path: "a", Data: make([]byte, sdk.MaxState+1)}), nil, "kept no session"},
		"too many":             {kept(many...), nil, "kept no session"},
		"another plugin":       {kept(file), func(f *fixture) { f.plugins.digest = "sha256:11" }, "the plugin has changed"},
		"another program":      {kept(file), func(f *fixture) { f.plugins.program = &work.ProgramIdentity{Digest: "sha256:22"} }, "the program has changed"},
		"a session file gone":  {kept(sdk.StateFile{Path: "a", Data: make([]byte, 1<<20)}), func(f *fixture) { f.loseArtifacts() }, "cannot be read"},
		"a session of nothing": {sdk.Result{Session: "s-1", Summary: "half of it is done"}, nil, "kept no session"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sessions{end: row.end}
			f := newFixture(t, script{execute: s.execute})
			first := f.settled(f.dispatch(f.run(), "x").ID)
			if row.before != nil {
				row.before(f)
			}
			second := f.followup(first)
			got := s.given[1]
			if got == nil || got.Session != "" || len(got.State) != 0 || got.Summary != "half of it is done" {
				t.Fatalf("given %+v", got)
			}
			r := f.attempt(second).Evidence.Resumed
			if r == nil || r.Mode != work.ResumedSummary || r.From != first.AttemptID || !strings.Contains(r.Why, row.why) {
				t.Errorf("recorded %+v, want why %q", r, row.why)
			}
		})
	}
}

func TestARetryIsNoFollowUp(t *testing.T) {
	s := &sessions{end: kept(sdk.StateFile{Path: "a", Data: []byte("x")})}
	s.end.Failed, s.end.Class = true, "overloaded"
	f := newFixture(t, script{execute: s.execute})
	first := f.settled(f.dispatch(f.run(), "x").ID)
	if _, err := f.d.Retry(t.Context(), operator, first.ID, ""); err != nil {
		t.Fatal(err)
	}
	second := f.await(first.ID, "tried again", func(s work.Step) bool { return s.State.Settled() && s.Attempts == 2 })
	if s.given[1] != nil || f.attempt(second).Evidence.Resumed != nil {
		t.Errorf("given %+v, recorded %+v", s.given[1], f.attempt(second).Evidence.Resumed)
	}
}

func TestASessionThatBecameAnotherIsSaid(t *testing.T) {
	s := &sessions{end: kept(sdk.StateFile{Path: "a", Data: []byte("x")})}
	f := newFixture(t, script{execute: s.execute})
	first := f.settled(f.dispatch(f.run(), "x").ID)
	s.end.Session = "s-2"
	if r := f.attempt(f.followup(first)).Evidence.Resumed; r == nil || r.Mode != work.ResumedNative || !strings.Contains(r.Why, "another session") {
		t.Errorf("recorded %+v", r)
	}
}
