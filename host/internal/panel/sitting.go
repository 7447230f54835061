package panel

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
)

// sitting evaluates the gates of one subject. One goroutine decides; each validator is asked in a
// goroutine of its own.
type sitting struct {
	p        *Panel
	s        *Subject
	bindings map[string]string          // of the rules, by name
	gates    []work.GateRecord          // as they are in the record
	found    map[string]work.Validation // by id
	running  map[string]bool            // gates whose validators are being asked, by name
	answers  chan answer

	mu       sync.Mutex
	tries    map[string]int // evaluations so far, by gate
	patches  map[string]patch
	baseDir  string
	dropBase func()
}

// answer is what became of asking one validator.
type answer struct {
	rule       work.GateRule
	validation work.Validation
	rows       []work.Mutation // beside the validation
	err        error           // the record could not be written
	cut        bool            // by the end of the context: not evaluated
}

// Evaluate decides every gate of the subject that can be decided now, and returns when no more can. What
// is open was opened by Open before. Gates that do not wait for each other are evaluated at the same time.
// It stops early when ctx ends; what was decided is written then.
func (p *Panel) Evaluate(ctx context.Context, s *Subject) error {
	record := context.WithoutCancel(ctx)
	t := &sitting{
		p: p, s: s, bindings: s.bindings(), found: map[string]work.Validation{}, running: map[string]bool{}, tries: map[string]int{}, patches: map[string]patch{},
		answers: make(chan answer),
	}
	before, err := p.opt.Record.Validations(record, s.AttemptID)
	if err != nil {
		return err
	}
	for _, v := range before {
		t.found[v.ID], t.tries[v.Gate] = v, max(v.N, t.tries[v.Gate])
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = t.sit(ctx, record, stop)
	if t.dropBase != nil {
		t.dropBase()
	}
	return err
}

// sit goes on until nothing is being asked and nothing more can be decided. An error stops what is being
// asked, and is told when that has ended.
func (t *sitting) sit(ctx, record context.Context, stop func()) error {
	var failed error
	for {
		if failed == nil && ctx.Err() == nil {
			if failed = t.progress(ctx, record); failed != nil {
				stop()
			}
		}
		if len(t.running) == 0 {
			return failed
		}
		a := <-t.answers
		delete(t.running, a.rule.Name)
		if err := t.conclude(record, a); err != nil {
			failed = errors.Join(failed, err)
			stop()
		}
	}
}

// progress decides all that can be decided without asking anybody, and begins to ask whom it can.
func (t *sitting) progress(ctx, record context.Context) error {
	for again := true; again && ctx.Err() == nil; {
		again = false
		gates, err := t.p.opt.Record.Gates(record, t.s.AttemptID)
		if err != nil {
			return err
		}
		t.gates = gates
		if again, err = t.orphaned(record); err != nil {
			return err
		}
		for _, rule := range t.s.Rules {
			decided, err := t.advance(ctx, record, rule)
			if err != nil {
				return err
			}
			again = again || decided
		}
	}
	return nil
}

// advance takes one gate as far as it goes; true when it was decided.
func (t *sitting) advance(ctx, record context.Context, rule work.GateRule) (bool, error) {
	g, err := t.gate(rule.Name)
	if err != nil || g.Verdict != work.VerdictPending || t.running[rule.Name] {
		return false, err
	}
	if sum := t.bindings[rule.Name]; sum == "" || sum != g.RuleSum {
		return true, t.decide(record, rule, g, ruling{Decision: unbound("this gate, what it rests on or what it is shown is another")})
	}
	verdicts := make(map[string]work.Verdict, len(t.gates))
	for _, other := range t.gates {
		verdicts[other.Name] = other.Verdict
	}
	facts := t.known(rule)
	action, decision := gate.Next(rule, facts, verdicts)
	switch {
	case action == gate.Wait:
		return false, nil
	case action == gate.Settle:
		return true, t.decide(record, rule, g, ruling{Decision: decision})
	case rule.Builtin:
		v := t.builtin(rule)
		t.found[v.ID] = v
		return true, t.decide(record, rule, g, ruling{gate.Judge(rule, v), v.ID, []work.Mutation{work.RecordValidation{Validation: v}}})
	}
	t.running[rule.Name] = true
	go func() { // ends with the validator; sit reads its answer
		t.answers <- t.evaluate(ctx, record, rule, facts)
	}()
	return false, nil
}

// gate is one as the record has it.
func (t *sitting) gate(name string) (work.GateRecord, error) {
	i := slices.IndexFunc(t.gates, func(g work.GateRecord) bool { return g.Name == name })
	if i < 0 {
		return work.GateRecord{}, fault.New(fault.Internal, "gate %q of attempt %s is not in the record", name, t.s.AttemptID)
	}
	return t.gates[i], nil
}

// conclude decides a gate by its validator's answer.
func (t *sitting) conclude(record context.Context, a answer) error {
	if a.err != nil || a.cut {
		return a.err
	}
	g, err := t.gate(a.rule.Name)
	if err != nil {
		return err
	}
	t.found[a.validation.ID] = a.validation
	rows := append(a.rows, work.RecordValidation{Validation: a.validation})
	return t.decide(record, a.rule, g, ruling{gate.Judge(a.rule, a.validation), a.validation.ID, rows})
}
