package store

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

func TestS38_AValidationIsRecordedAsItWas(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	code := 2
	want := work.Validation{
		ID: newID("val"), AttemptID: a.ID, StepID: a.StepID, RunID: a.RunID, Gate: "tests",
		Plugin:  work.PluginIdentity{Name: "command", Kind: "validator", Version: "1.2", Digest: zeroDigest, Protocol: "v1alpha"},
		Command: []string{"go", "test", "./..."}, ExitCode: &code, Signal: "", Duration: 1234 * time.Millisecond, Stdout: zeroDigest, Stderr: digestOf(nil),
		Result: work.ResultFail, Message: "1 test failed", Findings: []work.Finding{{Rule: "r", Severity: "error", Message: "m"}},
		Enforced: json.RawMessage(`{"level":"isolated"}`), Tree: "7ree", At: time.Unix(1_800_000_000, 123456789).UTC(),
		Inputs: digestOf([]byte("all of it")), Reused: newID("val"), Metrics: map[string]int64{"coverage": 81_250_000, "tests": 0},
	}
	must(t, s, work.RecordValidation{Validation: want})
	want.N = 1
	page, err := s.Validations(context.Background(), ValidationFilter{AttemptID: a.ID})
	if err != nil || len(page.Items) != 1 || !reflect.DeepEqual(page.Items[0], want) {
		t.Fatalf("got %s\nwant %s (%v)", asText(page.Items), asText(want), err)
	}
	// A second evaluation is a second row, and only ever the next.
	again := want
	again.ID, again.N = newID("val"), 3
	refused(t, s, fault.Conflict, work.RecordValidation{Validation: again})
	again.N, again.Result, again.ExitCode = 0, work.ResultError, nil
	must(t, s, work.RecordValidation{Validation: again})
	again.ID, again.Result = newID("val"), "fine"
	refused(t, s, fault.InvalidRequest, work.RecordValidation{Validation: again})
	page, err = s.Validations(context.Background(), ValidationFilter{RunID: a.RunID, Gate: "tests", Result: work.ResultError})
	if err != nil || len(page.Items) != 1 || page.Items[0].N != 2 || page.Items[0].ExitCode != nil {
		t.Errorf("got %s, %v", asText(page.Items), err)
	}
	var row struct{ command, result, plugin, exit string }
	err = s.reads.QueryRowContext(context.Background(), "SELECT command, result, plugin, exit_code FROM v_validation WHERE n = 1").
		Scan(&row.command, &row.result, &row.plugin, &row.exit)
	if err != nil || row.command != `["go","test","./..."]` || row.result != "fail" || row.plugin != "command" || row.exit != "2" {
		t.Errorf("view: %+v, %v", row, err)
	}
	sound(t, s)
}

func TestAGateThatCouldNotBeEvaluatedBecomesRequired(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	g := work.GateRecord{ID: newID("gate"), AttemptID: a.ID, Name: "style", Rule: `{}`, RuleSum: zeroDigest}
	must(t, s, work.OpenGate{Gate: g})
	must(t, s, work.DecideGate{ID: g.ID, Version: 1, To: work.VerdictFail, Require: true, Reason: "crashed", DecidedBy: "rule", Actor: daemon})
	gates, err := s.Gates(context.Background(), a.ID)
	if err != nil || len(gates) != 1 || !gates[0].Required {
		t.Errorf("got %s, %v", asText(gates), err)
	}
	sound(t, s)
}

func TestS39_PassingGatesAreRecordedToo(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	v := work.Validation{ID: newID("val"), AttemptID: a.ID, Gate: "lint", Result: work.ResultPass}
	must(t, s, work.RecordValidation{Validation: v})
	g := openGate(t, s, a, "lint")
	if g.Verdict != work.VerdictPending || g.Version != 1 || g.Rule != `{"validator":"command"}` || !g.Required {
		t.Errorf("opened: %s", asText(g))
	}
	must(t, s, work.DecideGate{ID: g.ID, Version: 1, To: work.VerdictPass, Reason: "all clean", Validation: v.ID, DecidedBy: "rule", Actor: daemon})
	held := openGate(t, s, a, "review")
	p := openApproval(t, s, a)
	must(t, s, work.DecideGate{ID: held.ID, Version: 1, To: work.VerdictHold, ApprovalID: p.ID, DecidedBy: "rule", Actor: daemon})
	must(t, s, work.DecideApproval{ID: p.ID, Version: 1, To: work.ApprovalAllowed, Note: "go", DecidedBy: "operator", Actor: operator},
		work.DecideGate{ID: held.ID, Version: 2, To: work.VerdictPass, Reason: "allowed", DecidedBy: "operator", Actor: operator})
	gates, err := s.Gates(context.Background(), a.ID)
	if err != nil || len(gates) != 2 {
		t.Fatalf("got %s, %v", asText(gates), err)
	}
	if g := gates[0]; g.Name != "lint" || g.Verdict != work.VerdictPass || g.Validation != v.ID || g.DecidedBy != "rule" || g.Reason != "all clean" {
		t.Errorf("lint: %s", asText(g))
	}
	if g := gates[1]; g.Verdict != work.VerdictPass || g.ApprovalID != p.ID || g.DecidedBy != "operator" || g.Version != 3 {
		t.Errorf("review: %s", asText(g))
	}
	p, err = s.Approval(context.Background(), p.ID)
	if err != nil || p.State != work.ApprovalAllowed || p.Actor != operator || p.Note != "go" || p.DecidedAt.IsZero() || !reflect.DeepEqual(p.Options, []string{"yes", "no"}) {
		t.Errorf("approval: %s, %v", asText(p), err)
	}
	refused(t, s, fault.Conflict, work.OpenGate{Gate: work.GateRecord{ID: newID("gate"), AttemptID: a.ID, Name: "lint"}})
	other := started(t, s)
	refused(t, s, fault.InvalidRequest, work.DecideGate{ID: openGate(t, s, other, "x").ID, Version: 1, To: work.VerdictPass, Validation: v.ID})
	ended := walk(t, s, other, work.AttemptEnded)
	refused(t, s, fault.Conflict, work.OpenGate{Gate: work.GateRecord{ID: newID("gate"), AttemptID: ended.ID, Name: "late"}})
	sound(t, s)
}

func TestF20_EqualFilesOfThreeStepsAreAllListed(t *testing.T) {
	s := newStore(t)
	run := openRun(t, s)
	var attempts []work.Attempt
	for range 3 {
		a := begin(t, s, dispatch(t, s, run.ID))
		must(t, s, result(a, "result.json", "same"), result(a, "stdout.log", "same"))
		attempts = append(attempts, a)
	}
	for _, a := range attempts {
		rows, err := s.Artifacts(context.Background(), a.ID)
		if err != nil || len(rows) != 2 || rows[0].Digest != rows[1].Digest || rows[0].Name != "result.json" || rows[0].Inline != nil {
			t.Errorf("attempt %d lists %s, %v", a.N, asText(rows), err)
		}
		one, err := s.Artifact(context.Background(), a.ID, "result.json")
		if err != nil || string(one.Inline) != "same" || one.RunID != run.ID || one.StepID != a.StepID || one.At.IsZero() {
			t.Errorf("attempt %d has %s, %v", a.N, asText(one), err)
		}
		refused(t, s, fault.Conflict, result(a, "result.json", "other"))
	}
	sound(t, s)
}

func TestAnArtifactRowMustVerify(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	good := result(a, "x", "body").Artifact
	for name, change := range map[string]func(*work.Artifact){
		"digest form": func(r *work.Artifact) { r.Digest = strings.ToUpper(r.Digest) },
		"bytes":       func(r *work.Artifact) { r.Inline = []byte("bodx") },
		"size":        func(r *work.Artifact) { r.Size = 5 },
		"negative":    func(r *work.Artifact) { r.Size, r.Inline = -1, nil },
		"no kind":     func(r *work.Artifact) { r.Kind = "" },
		"other step":  func(r *work.Artifact) { r.StepID = newID("step") },
		"large inline": func(r *work.Artifact) {
			r.Inline = make([]byte, MaxInline+1)
			r.Size = MaxInline + 1
			r.Digest = digestOf(r.Inline)
		},
	} {
		bad := good
		change(&bad)
		t.Run(name, func(t *testing.T) { refused(t, s, fault.InvalidRequest, work.KeepArtifact{Artifact: bad}) })
	}
	empty, stored := result(a, "empty", ""), good
	stored.Name, stored.Inline, stored.Truncated = "validation/tests/out.log", nil, true
	must(t, s, empty, work.KeepArtifact{Artifact: stored})
	got, err := s.Artifact(context.Background(), a.ID, "empty")
	if err != nil || got.Inline == nil || len(got.Inline) != 0 {
		t.Errorf("empty: %v, %v", got.Inline, err)
	}
	got, err = s.Artifact(context.Background(), a.ID, stored.Name)
	if err != nil || got.Inline != nil || !got.Truncated {
		t.Errorf("stored: %s, %v", asText(got), err)
	}
	sound(t, s)
}

func TestS37_ATamperedInlineArtifactIsNeverServed(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	must(t, s, result(a, "x", "body"), result(a, "y", "body"))
	vandal(t, s.dir, "DROP TRIGGER artifact_body_no_update", "UPDATE artifact_body SET bytes = x'626f6478' WHERE name = 'x'", "DELETE FROM artifact_body WHERE name = 'y'")
	if got, err := s.Artifact(context.Background(), a.ID, "x"); !fault.Is(err, fault.ArtifactCorrupt) {
		t.Errorf("got %q, %v", got.Inline, err)
	}
	if _, err := s.Artifact(context.Background(), a.ID, "y"); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleted bytes: %v", err)
	}
}

func TestFactsAreLocatedAndKeepOffTheKindsOfObjects(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	e := must(t, s, work.Fact{Kind: "attempt.stuck", AttemptID: a.ID, Body: map[string]any{"pids": []int{3, 4}, "ratio": 0.5}, Actor: daemon})[0]
	if e.RunID != a.RunID || e.StepID != a.StepID || e.Workspace != "ws" || string(e.Body) != `{"pids":[3,4],"ratio":"0.5"}` || e.Actor != daemon {
		t.Errorf("got %s %s", asText(e), e.Body)
	}
	e = must(t, s, work.Fact{Kind: "host.started"})[0]
	if e.Actor != (work.Actor{Kind: "daemon", ID: s.InstanceID()}) || e.RunID != "" || string(e.Body) != "{}" || e.At.IsZero() {
		t.Errorf("got %s %s", asText(e), e.Body)
	}
	for _, kind := range append([]string{"", "x", "X.y", "a..b", ".a", "a.b ", "a.b\n", "a.b/c", strings.Repeat("a", 63) + ".b"}, ownKinds...) {
		refused(t, s, fault.InvalidRequest, work.Fact{Kind: kind})
	}
	refused(t, s, fault.InvalidRequest, work.Fact{Kind: "a.b", AttemptID: a.ID, RunID: newID("run")})
	refused(t, s, fault.InvalidRequest, work.Fact{Kind: "a.b", AttemptID: a.ID, StepID: newID("step")})
	refused(t, s, fault.InvalidRequest, work.Fact{Kind: "a.b", Body: func() {}})
	refused(t, s, fault.InvalidRequest, work.Fact{Kind: "a.b", At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)})
	sound(t, s)
}

func TestHostileValuesAreKeptOrRefusedButNeverBreakTheRecord(t *testing.T) {
	s := newStore(t)
	run := openRun(t, s)
	step := work.Step{ID: newID("step"), RunID: run.ID, Spec: work.StepSpec{Text: "nul \x00 and \xff and \u2028 and 😀 and 12345678901234567890", Executor: "e"}}
	must(t, s, work.DispatchStep{Step: step})
	got := stepOf(t, s, step.ID)
	if got.Spec.Text != "nul \x00 and \ufffd and \u2028 and 😀 and 12345678901234567890" {
		t.Errorf("text %q", got.Spec.Text)
	}
	a := begin(t, s, got)
	if a.Text != got.Spec.Text {
		t.Errorf("attempt's text %q", a.Text)
	}
	huge := 1 << 60
	refused(t, s, fault.InvalidRequest, work.MoveAttempt{ID: a.ID, Version: 1, To: work.AttemptPreparing, Claim: &work.Claim{ExitCode: &huge}})
	refused(t, s, fault.InvalidRequest, work.MoveAttempt{ID: a.ID, Version: 1, To: work.AttemptPreparing, Enforced: []byte("{")})
	must(t, s, work.MoveAttempt{ID: a.ID, Version: 1, To: work.AttemptPreparing, Message: "1234567890123456789", Cause: "\xff", Enforced: []byte(`[1.5, 1e3, 12345678901234567890]`)})
	got2 := attemptOf(t, s, a.ID)
	if got2.Message != "1234567890123456789" || got2.Cause != "\ufffd" || string(got2.Enforced) != `["1.5","1e3","12345678901234567890"]` {
		t.Errorf("attempt: %s", asText(got2))
	}
	sound(t, s)
}

func TestRepeatedEvidenceIsWrittenOnce(t *testing.T) {
	s := newStore(t)
	a := walk(t, s, started(t, s), work.AttemptPreparing, work.AttemptRunning)
	e := &work.Evidence{Commit: "c", Diff: work.DiffFacts{Files: []work.Change{{Path: "p"}}}}
	first := must(t, s, work.MoveAttempt{ID: a.ID, Version: a.Version, To: work.AttemptCollecting, Evidence: e, Death: proved})[0]
	second := must(t, s, work.MoveAttempt{ID: a.ID, Version: a.Version + 1, To: work.AttemptValidating, Evidence: e, Death: proved})[0]
	if !strings.Contains(string(first.Body), `"commit":"c"`) || strings.Contains(string(second.Body), "commit") || strings.Contains(string(second.Body), "proved") {
		t.Errorf("bodies %s and %s", first.Body, second.Body)
	}
	changed := *e
	changed.Leftovers = 3
	must(t, s, work.MoveAttempt{ID: a.ID, Version: a.Version + 2, To: work.AttemptEnded, Outcome: work.Succeeded, Evidence: &changed})
	if got := attemptOf(t, s, a.ID); got.Evidence.Leftovers != 3 || got.Evidence.Commit != "c" {
		t.Errorf("evidence %+v", got.Evidence)
	}
	sound(t, s)
}

func TestAPassingRecordIsAsSoundAsAnother(t *testing.T) {
	dir := stateDir(t)
	s, err := Open(context.Background(), Options{Dir: dir, Passing: true})
	if err != nil {
		t.Fatal(err)
	}
	started(t, s)
	sound(t, s)
	want := dump(t, s)
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, Options{Dir: dir, Inspect: true})
	if got := dump(t, again); got != want || got == "" {
		t.Error("another process reads something else")
	}
}
