package store

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// eventually retries f for a while, where another goroutine is about to make it true.
func eventually(f func() error) error {
	deadline := time.After(20 * time.Second)
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return err
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// pages reads a list in parts of two and returns the ids.
func pages[T any](t *testing.T, id func(T) string, read func(cursor string) (Page[T], error)) []string {
	t.Helper()
	ids := []string{}
	for cursor := ""; ; {
		page, err := read(cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			ids = append(ids, id(item))
		}
		if len(page.Items) > 2 || (page.Next != "" && len(page.Items) != 2) {
			t.Fatalf("a page of two has %d", len(page.Items))
		}
		if cursor = page.Next; cursor == "" {
			return ids
		}
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestListsAreFilteredOrderedAndPaged(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	var runs, steps, attempts, vals, approvals []string
	for i := range 5 {
		r := work.Run{ID: newID("run"), Workspace: fmt.Sprint("w", i%2)}
		must(t, s, work.OpenRun{Run: r})
		runs = append(runs, r.ID)
	}
	must(t, s, work.MoveRun{ID: runs[0], Version: 1, To: work.RunClosed})
	for range 5 {
		st := dispatch(t, s, runs[1])
		a := begin(t, s, st)
		v := work.Validation{ID: newID("val"), AttemptID: a.ID, Gate: "g", Result: work.ResultPass}
		must(t, s, work.RecordValidation{Validation: v})
		steps, attempts, vals, approvals = append(steps, st.ID), append(attempts, a.ID), append(vals, v.ID), append(approvals, openApproval(t, s, a).ID)
	}
	must(t, s, work.MoveStep{ID: steps[2], Version: 1, To: work.StepFailed}, work.MoveAttempt{ID: attempts[2], Version: 1, To: work.AttemptEnded, Outcome: work.Failed},
		work.DecideApproval{ID: approvals[2], Version: 1, To: work.ApprovalDenied})

	newest := reversed(runs)
	runID, stepID, attID := func(r work.Run) string { return r.ID }, func(r work.Step) string { return r.ID }, func(r work.Attempt) string { return r.ID }
	valID, aprID := func(r work.Validation) string { return r.ID }, func(r work.Approval) string { return r.ID }
	readRuns := func(f RunFilter) []string {
		return pages(t, runID, func(c string) (Page[work.Run], error) { f.Cursor, f.Limit = c, 2; return s.Runs(ctx, f) })
	}
	same(t, "runs", readRuns(RunFilter{}), newest)
	same(t, "runs of w1", readRuns(RunFilter{Workspace: "w1"}), []string{runs[3], runs[1]})
	same(t, "open runs", readRuns(RunFilter{State: work.RunOpen}), newest[:4])
	readSteps := func(f StepFilter) []string {
		return pages(t, stepID, func(c string) (Page[work.Step], error) { f.Cursor, f.Limit = c, 2; return s.Steps(ctx, f) })
	}
	same(t, "steps", readSteps(StepFilter{}), steps)
	same(t, "steps, newest first", readSteps(StepFilter{Newest: true}), reversed(steps))
	same(t, "steps of a run", readSteps(StepFilter{RunID: runs[1]}), steps)
	same(t, "steps of another run", readSteps(StepFilter{RunID: runs[2]}), []string{})
	same(t, "failed steps", readSteps(StepFilter{State: work.StepFailed, Workspace: "w1"}), steps[2:3])
	readAttempts := func(f AttemptFilter) []string {
		return pages(t, attID, func(c string) (Page[work.Attempt], error) { f.Cursor, f.Limit = c, 2; return s.Attempts(ctx, f) })
	}
	same(t, "attempts", readAttempts(AttemptFilter{RunID: runs[1], Workspace: "w1"}), attempts)
	same(t, "attempts, newest first", readAttempts(AttemptFilter{Newest: true}), reversed(attempts))
	same(t, "attempts of a step", readAttempts(AttemptFilter{StepID: steps[1]}), attempts[1:2])
	same(t, "failed attempts", readAttempts(AttemptFilter{Outcome: work.Failed, State: work.AttemptEnded}), attempts[2:3])
	same(t, "validations", pages(t, valID, func(c string) (Page[work.Validation], error) {
		return s.Validations(ctx, ValidationFilter{RunID: runs[1], Cursor: c, Limit: 2})
	}), vals)
	same(t, "validations of a step", pages(t, valID, func(c string) (Page[work.Validation], error) {
		return s.Validations(ctx, ValidationFilter{StepID: steps[4], Cursor: c, Limit: 2})
	}), vals[4:])
	readApprovals := func(f ApprovalFilter) []string {
		return pages(t, aprID, func(c string) (Page[work.Approval], error) { f.Cursor, f.Limit = c, 2; return s.Approvals(ctx, f) })
	}
	same(t, "approvals", readApprovals(ApprovalFilter{RunID: runs[1], Workspace: "w1", Kind: work.ApprovalPermission}), approvals)
	same(t, "approvals, newest first", readApprovals(ApprovalFilter{Newest: true}), reversed(approvals))
	same(t, "open approvals", readApprovals(ApprovalFilter{State: work.ApprovalOpen}), append(slices.Clone(approvals[:2]), approvals[3:]...))
	same(t, "approvals of an attempt", readApprovals(ApprovalFilter{AttemptID: attempts[0], StepID: steps[0]}), approvals[:1])

	live, err := s.LiveAttempts(ctx)
	if err != nil || len(live) != 4 {
		t.Errorf("%d live attempts, %v", len(live), err)
	}
	unsettled, err := s.UnsettledSteps(ctx)
	if err != nil || len(unsettled) != 4 || unsettled[3].Ix != 5 || unsettled[0].Spec.Text != "make it so" || !reflect.DeepEqual(unsettled[0].Spec.Paths, &work.PathRules{Write: []string{"**"}}) {
		t.Errorf("unsettled %s, %v", asText(unsettled), err)
	}
	for what, err := range map[string]error{
		"runs": second(s.Runs(ctx, RunFilter{Cursor: "x"})), "steps": second(s.Steps(ctx, StepFilter{Cursor: runs[0]})),
		"attempts": second(s.Attempts(ctx, AttemptFilter{Cursor: "'"})), "validations": second(s.Validations(ctx, ValidationFilter{Cursor: "x"})),
		"approvals": second(s.Approvals(ctx, ApprovalFilter{Cursor: "x"})),
	} {
		if !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("a foreign cursor for %s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestEventsAreFilteredInBothDirections(t *testing.T) {
	clock := time.Unix(1_800_000_000, 0)
	s := reopen(t, Options{Dir: stateDir(t), Now: func() time.Time { clock = clock.Add(time.Second); return clock }})
	a := started(t, s)
	b := started(t, s)
	must(t, s, work.Fact{Kind: "config.loaded", Actor: operator}, work.Fact{Kind: "configured.too"})
	ctx := context.Background()
	seqs := func(f EventFilter) string {
		t.Helper()
		events, err := s.Events(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		list := []string{}
		for _, e := range events {
			list = append(list, fmt.Sprint(e.Seq))
		}
		return strings.Join(list, " ")
	}
	at, err := s.Events(ctx, EventFilter{Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		f    EventFilter
		want string
	}{
		{EventFilter{}, "0 1 2 3 4 5 6 7 8"},
		{EventFilter{Limit: 3}, "0 1 2"},
		{EventFilter{Limit: 3, Newest: true}, "8 7 6"},
		{EventFilter{After: Position{1, 0}, Limit: 2}, "1 2"},
		{EventFilter{After: Position{1, 6}, Limit: 2, Newest: true}, "5 4"},
		{EventFilter{After: Position{1, 8}}, ""},
		{EventFilter{RunID: a.RunID}, "1 2 3"},
		{EventFilter{StepID: b.StepID}, "5 6"},
		{EventFilter{StepID: "step_x"}, ""},
		{EventFilter{Kind: "run.opened"}, "1 4"},
		{EventFilter{Kind: "config.*"}, "7"},
		{EventFilter{Kind: "config*"}, "7 8"},
		{EventFilter{Kind: "%"}, ""},
		{EventFilter{Actor: "uid:1000"}, "1 2 4 5 7"},
		{EventFilter{Actor: "daemon", After: Position{1, 0}}, "3 6 8"},
		{EventFilter{Since: at[2].At, Until: at[4].At}, "2 3"},
		{EventFilter{Since: time.Time{}.AddDate(9000, 0, 0)}, ""},
		{EventFilter{Until: time.Unix(1, 0)}, ""},
	} {
		if got := seqs(row.f); got != row.want {
			t.Errorf("%+v: got %q, want %q", row.f, got, row.want)
		}
	}
	if _, err := s.Events(ctx, EventFilter{After: Position{2, 0}}); !fault.Is(err, fault.InvalidRequest) {
		t.Errorf("a position of another epoch: %v", err)
	}
	h := head(t, s)
	if h.String() != "1.8" || h.Size != 9 || h.At.IsZero() {
		t.Errorf("head %+v", h)
	}
}

func TestAnAnswerIsBoundedInRowsAndBytes(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	run := openRun(t, s)
	text := strings.Repeat("x", 3<<20)
	for range 4 {
		must(t, s, work.DispatchStep{Step: work.Step{ID: newID("step"), RunID: run.ID, Spec: work.StepSpec{Text: text}}})
	}
	page, err := s.Steps(ctx, StepFilter{RunID: run.ID})
	if err != nil || len(page.Items) != 3 || page.Next != page.Items[2].ID {
		t.Fatalf("%d steps, next %q, %v", len(page.Items), page.Next, err)
	}
	page, err = s.Steps(ctx, StepFilter{RunID: run.ID, Cursor: page.Next})
	if err != nil || len(page.Items) != 1 || page.Next != "" {
		t.Errorf("%d more steps, next %q, %v", len(page.Items), page.Next, err)
	}
	events, err := s.Events(ctx, EventFilter{})
	if err != nil || len(events) >= 6 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if got := limitOf(0); got != defaultLimit {
		t.Errorf("default limit %d", got)
	}
	if got := limitOf(1 << 40); got != maxLimit {
		t.Errorf("largest limit %d", got)
	}
	sound(t, s)
}

func TestAReadEndsWithItsContext(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Runs(ctx, RunFilter{}); err == nil {
		t.Error("runs were read")
	}
	if _, err := s.Verify(ctx, nil); err == nil {
		t.Error("the log was verified")
	}
	if _, err := s.Fold(ctx); err == nil {
		t.Error("the log was folded")
	}
}

func TestVerifyTellsItsProgress(t *testing.T) {
	s := newStore(t)
	many := make([]work.Mutation, 1500)
	for i := range many {
		many[i] = work.Fact{Kind: "a.b"}
	}
	must(t, s, many...)
	var told [][2]int64
	if _, err := s.Verify(context.Background(), func(done, total int64) { told = append(told, [2]int64{done, total}) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told, [][2]int64{{1024, 1501}}) {
		t.Errorf("told %v", told)
	}
}

func TestEveryViewColumnIsDocumented(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	documented := map[string][]string{}
	for _, c := range Views() {
		documented[c.View] = append(documented[c.View], c.Name)
		if len(c.Doc) < 5 || strings.HasSuffix(c.Doc, ".") {
			t.Errorf("%s.%s: %q", c.View, c.Name, c.Doc)
		}
	}
	rows, err := s.reads.QueryContext(ctx, "SELECT m.name, p.name FROM sqlite_schema m, pragma_table_info(m.name) p WHERE m.type = 'view' ORDER BY m.name, p.cid")
	if err == nil {
		t.Error("a reader may ask for any pragma")
		rows.Close()
	}
	names, err := query[[2]string]{"views", func(r scanner) (c [2]string, _ int, err error) {
		err = r.Scan(&c[0], &c[1])
		return c, 0, err
	}, "SELECT m.name, p.name FROM sqlite_schema m, pragma_table_info(m.name) p WHERE m.type = 'view' ORDER BY m.name, p.cid", nil}.all(ctx, rawPool(t, s.dir, mayBuild))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, n := range names {
		got[n[0]] = append(got[n[0]], n[1])
	}
	if !reflect.DeepEqual(got, documented) {
		t.Errorf("views have %v\ndocumented are %v", got, documented)
	}
}

func TestViewsSayWhatIsRecorded(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	a := walk(t, s, started(t, s), work.AttemptPreparing, work.AttemptRunning)
	must(t, s, work.MoveAttempt{
		ID: a.ID, Version: a.Version, To: work.AttemptCollecting, Death: proved, Plugin: &work.PluginIdentity{Name: "script", Digest: zeroDigest},
		Evidence: &work.Evidence{Commit: "c0", Ref: "r0", Diff: work.DiffFacts{Files: []work.Change{{Path: "a"}, {Path: "b"}}, Insertions: 7, Deletions: 2}},
		At:       time.Unix(1_800_000_000, 5),
	})
	openGate(t, s, a, "g")
	openApproval(t, s, a)
	var row struct {
		commit, ref, plugin, digest string
		files, ins, del, proved     int
		ended                       any
	}
	err := s.reads.QueryRowContext(ctx, `SELECT kept_commit, kept_ref, plugin, plugin_digest, files_changed, insertions, deletions, death_proved, ended_at
		FROM v_attempt WHERE id = ?`, a.ID).
		Scan(&row.commit, &row.ref, &row.plugin, &row.digest, &row.files, &row.ins, &row.del, &row.proved, &row.ended)
	if err != nil || fmt.Sprint(row) != "{c0 r0 script "+zeroDigest+" 2 7 2 1 <nil>}" {
		t.Errorf("v_attempt %v, %v", row, err)
	}
	var pos, at, kind, leaf, body string
	err = s.reads.QueryRowContext(ctx, "SELECT position, at, kind, leaf, body FROM v_event WHERE kind = 'attempt.collecting'").Scan(&pos, &at, &kind, &leaf, &body)
	if err != nil || pos != "1.6" || at != "2027-01-15T08:00:00.000000005Z" || len(leaf) != 64 || !strings.HasPrefix(body, `{"death"`) {
		t.Errorf("v_event %s %s %s %s %s, %v", pos, at, kind, leaf, body, err)
	}
	var executor, text string
	if err := s.reads.QueryRowContext(ctx, "SELECT executor, text FROM v_step").Scan(&executor, &text); err != nil || executor != "agent" || text != "make it so" {
		t.Errorf("v_step %s %s, %v", executor, text, err)
	}
	for _, view := range []string{"v_run", "v_gate", "v_approval", "v_validation"} {
		var n int
		if err := s.reads.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT * FROM "+view+")").Scan(&n); err != nil {
			t.Errorf("%s: %v", view, err)
		}
	}
}

func reversed(list []string) []string {
	turned := slices.Clone(list)
	slices.Reverse(turned)
	return turned
}
