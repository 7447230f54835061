package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// history plays random changes, right and wrong ones, and counts what was accepted.
type history struct {
	t                                       *testing.T
	s                                       *Store
	rnd                                     *rand.Rand
	want                                    map[string]int // events by kind
	runs, steps, attempts, gates, approvals []string
}

func pick[T any](h *history, list []T) (v T, ok bool) {
	if len(list) == 0 {
		return v, false
	}
	return list[h.rnd.IntN(len(list))], true
}

func choose[T any](h *history, list ...T) T { return list[h.rnd.IntN(len(list))] }

// apply makes a change and notes it when it was accepted. Refusals must be faults.
func (h *history) apply(kind string, m ...work.Mutation) bool {
	_, err := h.s.Apply(context.Background(), m...)
	if err == nil {
		h.want[kind]++
		return true
	}
	if code := fault.CodeOf(err); code == fault.Internal {
		h.t.Fatalf("%s: %v", kind, err)
	}
	return false
}

func (h *history) version(v int64) int64 {
	if h.rnd.IntN(8) == 0 {
		return v + int64(h.rnd.IntN(3)) - 1
	}
	return v
}

func (h *history) text(word string) string {
	return choose(h, "", word, word+" \xff\x00 é😀 \u2028", strings.Repeat(word, 50))
}

func (h *history) play() {
	moves := []func(){h.open, h.dispatch, h.dispatch, h.attempt, h.attempt, h.moveStep, h.moveStep, h.moveAttempt, h.moveAttempt, h.moveAttempt,
		h.moveAttempt, h.keep, h.validate, h.gate, h.decideGate, h.ask, h.answer, h.fact}
	if h.rnd.IntN(30) == 0 {
		h.moveRun()
		return
	}
	moves[h.rnd.IntN(len(moves))]()
}

func (h *history) open() {
	if len(h.runs) > 5 {
		return
	}
	r := work.Run{ID: newID("run"), Workspace: choose(h, "w1", "w2"), Title: h.text("title"), Actor: choose(h, operator, work.Actor{})}
	if h.apply("run.opened", work.OpenRun{Run: r}) {
		h.runs = append(h.runs, r.ID)
	}
}

func (h *history) moveRun() {
	id, ok := pick(h, h.runs)
	if !ok {
		return
	}
	to := choose(h, work.RunClosed, work.RunCancelled, work.RunOpen)
	h.apply("run."+string(to), work.MoveRun{ID: id, Version: h.version(runOf(h.t, h.s, id).Version), To: to, Reason: h.text("over")})
}

func (h *history) dispatch() {
	id, ok := pick(h, h.runs)
	if !ok {
		return
	}
	st := work.Step{ID: newID("step"), RunID: id, Spec: work.StepSpec{Text: h.text("do"), Executor: "e", Expect: choose(h, "", "none")}, Actor: operator}
	if h.apply("step.dispatched", work.DispatchStep{Step: st}) {
		h.steps = append(h.steps, st.ID)
	}
}

func (h *history) moveStep() {
	id, ok := pick(h, h.steps)
	if !ok {
		return
	}
	to := choose(h, work.StepQueued, work.StepActive, work.StepHeld, work.StepPassed, work.StepRejected, work.StepFailed, work.StepCancelled)
	h.apply("step."+string(to), work.MoveStep{ID: id, Version: h.version(stepOf(h.t, h.s, id).Version), To: to, Reason: h.text("because")})
}

func (h *history) attempt() {
	id, ok := pick(h, h.steps)
	if !ok {
		return
	}
	a := work.Attempt{ID: newID("att"), StepID: id, Executor: "e", Text: h.text("again"), Simulated: h.rnd.IntN(2) == 0}
	if h.apply("attempt.queued", work.CreateAttempt{Attempt: a}) {
		h.attempts = append(h.attempts, a.ID)
	}
}

func (h *history) moveAttempt() {
	id, ok := pick(h, h.attempts)
	if !ok {
		return
	}
	to := choose(h, work.AttemptPreparing, work.AttemptRunning, work.AttemptWaiting, work.AttemptCollecting, work.AttemptValidating, work.AttemptStopping, work.AttemptEnded)
	code := h.rnd.IntN(256)
	m := work.MoveAttempt{
		ID: id, Version: h.version(attemptOf(h.t, h.s, id).Version), To: to, Cause: h.text("cause"), Base: h.text("base"), Start: h.text("start"),
		Level: h.text("level"), Reason: h.text("reason"), Message: h.text("message"), Simulated: h.rnd.IntN(4) == 0,
		Plugin:   choose(h, nil, &work.PluginIdentity{Name: "p", Digest: zeroDigest}),
		Enforced: choose(h, nil, []byte(`{"b":1,"a":[1.5,"x"]}`)),
		Claim:    choose(h, nil, &work.Claim{ExitCode: &code, Summary: h.text("sum")}),
		Evidence: choose(h, nil, &work.Evidence{Commit: "c", Diff: work.DiffFacts{Files: []work.Change{{Path: h.text("p")}}}, Refused: []work.Refused{{Path: h.text("q")}}}),
		Death:    choose(h, nil, proved, &work.Death{Survivors: 2}),
	}
	if to == work.AttemptEnded {
		m.Outcome, m.Retryable = choose(h, work.Outcomes()...), h.rnd.IntN(2) == 0
	}
	h.apply("attempt."+string(to), m)
}

func (h *history) keep() {
	if id, ok := pick(h, h.attempts); ok {
		k := result(work.Attempt{ID: id}, choose(h, "diff.patch", "result.json", "events.jsonl"), h.text("body"))
		if h.rnd.IntN(2) == 0 {
			k.Artifact.Inline = nil
		}
		h.apply("artifact.kept", k)
	}
}

func (h *history) validate() {
	if id, ok := pick(h, h.attempts); ok {
		h.apply("validation.recorded", work.RecordValidation{Validation: work.Validation{
			ID: newID("val"), AttemptID: id, Gate: choose(h, "g1", "g2"), Result: choose(h, work.ResultPass, work.ResultError), Message: h.text("m"),
			Command: choose(h, nil, []string{"a", h.text("b")}), Enforced: choose(h, nil, []byte(`{"z":0.5}`)),
		}})
	}
}

func (h *history) gate() {
	if id, ok := pick(h, h.attempts); ok {
		g := work.GateRecord{ID: newID("gate"), AttemptID: id, Name: choose(h, "g1", "g2"), Rule: "{}", Required: h.rnd.IntN(2) == 0}
		if h.apply("gate.opened", work.OpenGate{Gate: g}) {
			h.gates = append(h.gates, g.ID)
		}
	}
}

func (h *history) decideGate() {
	if id, ok := pick(h, h.gates); ok {
		g, err := h.s.Gate(context.Background(), id)
		if err != nil {
			h.t.Fatal(err)
		}
		to := choose(h, work.VerdictPass, work.VerdictFail, work.VerdictHold, work.VerdictPending)
		h.apply("gate.decided", work.DecideGate{ID: id, Version: h.version(g.Version), To: to, Reason: h.text("why"), DecidedBy: choose(h, "", "rule"), Require: choose(h, false, true)})
	}
}

func (h *history) ask() {
	if id, ok := pick(h, h.attempts); ok {
		p := work.Approval{ID: newID("apr"), AttemptID: id, Kind: choose(h, work.ApprovalHold, work.ApprovalQuestion), Prompt: h.text("?"), Options: choose(h, nil, []string{"a"})}
		if h.apply("approval.opened", work.OpenApproval{Approval: p}) {
			h.approvals = append(h.approvals, p.ID)
		}
	}
}

func (h *history) answer() {
	if id, ok := pick(h, h.approvals); ok {
		p, err := h.s.Approval(context.Background(), id)
		if err != nil {
			h.t.Fatal(err)
		}
		to := choose(h, work.ApprovalAllowed, work.ApprovalDenied, work.ApprovalAnswered, work.ApprovalOpen)
		h.apply("approval.decided", work.DecideApproval{ID: id, Version: h.version(p.Version), To: to, Answer: h.text("a"), Actor: choose(h, operator, work.Actor{})})
	}
}

func (h *history) fact() {
	m := work.Fact{Kind: "some.fact", Body: map[string]string{"text": h.text("t")}}
	if id, ok := pick(h, h.attempts); ok && h.rnd.IntN(2) == 0 {
		m.AttemptID = id
	}
	h.apply("some.fact", m)
}

func TestS36_EveryTransitionIsOneEventAndTheStateIsTheirFold(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			dir := stateDir(t)
			s := reopen(t, Options{Dir: dir})
			h := &history{t: t, s: s, rnd: rand.New(rand.NewPCG(seed, 36)), want: map[string]int{"log.created": 1}}
			for range 500 {
				h.play()
			}
			if err := s.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			s = reopen(t, Options{Dir: dir})
			sound(t, s)
			got, total := map[string]int{}, 0
			events, err := s.Events(context.Background(), EventFilter{Limit: maxLimit})
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range events {
				got[e.Kind]++
				total++
				if e.Seq != int64(i) || e.Epoch != 1 {
					t.Fatalf("event %d has position %d.%d", i, e.Epoch, e.Seq)
				}
			}
			if !maps.Equal(got, h.want) {
				t.Errorf("accepted %v\nrecorded %v", h.want, got)
			}
			if len(got) < 15 || int64(total) != head(t, s).Size {
				t.Errorf("%d kinds of event, %d events", len(slices.Collect(maps.Keys(got))), total)
			}
		})
	}
}

func TestTheFoldSeesAStateThatNoEventMade(t *testing.T) {
	for name, row := range map[string]struct {
		statements []string
		what       string
	}{
		"a moved step":     {[]string{"UPDATE step SET state = 'passed', version = 9, unsettled = 0"}, "the state is not what the log says"},
		"an edited text":   {[]string{"DROP TRIGGER step_spec_no_update", "UPDATE step_spec SET text = 'do evil'"}, "the state is not what the log says"},
		"a removed gate":   {[]string{"DROP TRIGGER gate_no_delete", "DELETE FROM gate"}, "a recorded object is missing"},
		"an invented run":  {[]string{"INSERT INTO run SELECT 'run_x', workspace, title, base, base_commit, state, version, actor_kind, actor_id, opened_at, ended_at, steps, policy_digest FROM run"}, "an object has no event that made it"},
		"a changed digest": {[]string{"DROP TRIGGER artifact_no_update", "UPDATE artifact SET digest = '" + zeroDigest + "'"}, "the state is not what the log says"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			a := started(t, s)
			openGate(t, s, a, "g")
			must(t, s, result(a, "x", "y"))
			vandal(t, s.dir, row.statements...)
			problems, err := s.Fold(context.Background())
			if err != nil || len(problems) == 0 || problems[0].What != row.what {
				t.Errorf("got %+v, %v", problems, err)
			}
			if v, err := s.Verify(context.Background(), nil); err != nil || (len(row.statements) == 1) != v.OK() {
				t.Errorf("verify: %+v, %v", v.Problems, err)
			}
		})
	}
}

func TestRunClosedCarriesCountAndLastLink(t *testing.T) {
	s := newStore(t)
	run := openRun(t, s)
	dispatch(t, s, run.ID)
	must(t, s, work.Fact{Kind: "other.thing"}, work.Fact{Kind: "run.thing", RunID: run.ID})
	var last string
	if err := s.reads.QueryRowContext(context.Background(), "SELECT lower(hex(leaf)) FROM event WHERE run_id = ? ORDER BY run_ix DESC", run.ID).Scan(&last); err != nil {
		t.Fatal(err)
	}
	e := must(t, s, work.MoveRun{ID: run.ID, Version: 1, To: work.RunClosed, Reason: "done"})[0]
	if want := `{"count":3,"last_link":"` + last + `","reason":"done","to":"closed","version":2}`; string(e.Body) != want {
		t.Errorf("got %s\nwant %s", e.Body, want)
	}
	if v, err := s.Verify(context.Background(), nil); err != nil || v.Signed != v.Events {
		t.Errorf("%d events, %d signed, %v", v.Events, v.Signed, err)
	}
}

func TestAListThatFailsLateLeavesTheChainWhereItWas(t *testing.T) {
	s := newStore(t)
	run := openRun(t, s)
	for range 3 {
		_, err := s.Apply(context.Background(), work.Fact{Kind: "a.b", RunID: run.ID}, work.MoveRun{ID: run.ID, Version: 7, To: work.RunClosed})
		if !fault.Is(err, fault.Stale) {
			t.Fatal(err)
		}
		must(t, s, work.Fact{Kind: "a.b", RunID: run.ID})
	}
	sound(t, s)
	if err := errors.Join(s.Close(context.Background())); err != nil {
		t.Fatal(err)
	}
}
