package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

// errPurged reports an event whose body is gone.
var errPurged = errors.New("the body was purged")

// object is one run, step, attempt or other thing, and the event that changed it last.
type object struct {
	value any // pointer
	seq   int64
}

// folding is a set of objects by what they are called.
type folding map[string]*object

func runName(r work.Run) string               { return "run " + r.ID }
func stepName(s work.Step) string             { return "step " + s.ID }
func attemptName(a work.Attempt) string       { return "attempt " + a.ID }
func artifactName(a artifactKept) string      { return "artifact " + a.AttemptID + " " + a.Name }
func validationName(v work.Validation) string { return "validation " + v.ID }
func gateName(g work.GateRecord) string       { return "gate " + g.ID }
func approvalName(a work.Approval) string     { return "approval " + a.ID }

// put adds a new object from the body of its first event.
func put[T any](f folding, r audit.Row, name func(T) string) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(r.Body, v); err != nil {
		return nil, err
	}
	if _, ok := f[name(*v)]; ok {
		return nil, fmt.Errorf("%s is made a second time", name(*v))
	}
	f[name(*v)] = &object{value: v, seq: r.Seq}
	return v, nil
}

// find is an object that an event changes.
func find[T any](f folding, r audit.Row, name string) (*T, error) {
	o, ok := f[name]
	if !ok {
		return nil, fmt.Errorf("%s was never made", name)
	}
	v, ok := o.value.(*T)
	if !ok {
		return nil, fmt.Errorf("%s is a %T", name, o.value)
	}
	o.seq = r.Seq
	return v, nil
}

// move decodes the body of a change and finds what it changes.
func move[M, T any](f folding, r audit.Row, name func(M) string) (m M, v *T, err error) {
	if err = json.Unmarshal(r.Body, &m); err == nil {
		v, err = find[T](f, r, name(m))
	}
	return m, v, err
}

// event applies one event. Events that change no object are left out.
func (f folding) event(r audit.Row) error {
	if !slices.Contains(ownKinds, r.Kind) {
		return nil
	}
	if r.Salt == nil {
		return errPurged
	}
	made := map[string]func(audit.Row) error{
		"run.opened": f.runOpened, "step.dispatched": f.stepDispatched, "attempt.queued": f.attemptQueued,
		"artifact.kept":       func(r audit.Row) error { _, err := put(f, r, artifactName); return err },
		"validation.recorded": func(r audit.Row) error { _, err := put(f, r, validationName); return err },
		"gate.opened":         func(r audit.Row) error { _, err := put(f, r, gateName); return err },
		"approval.opened":     func(r audit.Row) error { _, err := put(f, r, approvalName); return err },
		"gate.decided":        f.gateDecided,
		"approval.decided":    f.approvalDecided,
	}
	if apply, ok := made[r.Kind]; ok {
		return apply(r)
	}
	switch {
	case r.AttemptID != "":
		return f.attemptMoved(r)
	case r.StepID != "":
		return f.stepMoved(r)
	}
	return f.runMoved(r)
}

func (f folding) runOpened(r audit.Row) error {
	_, err := put(f, r, runName)
	return err
}

func (f folding) runMoved(r audit.Row) error {
	m, run, err := move[runMoved, work.Run](f, r, func(runMoved) string { return "run " + r.RunID })
	if err != nil {
		return err
	}
	if m.Count != r.RunIx || m.LastLink != hex.EncodeToString(r.RunPrev[:]) {
		return fmt.Errorf("the end of the run's chain is link %d, not %d", r.RunIx, m.Count)
	}
	m.fold(run, from(r.At))
	return nil
}

func (f folding) stepDispatched(r audit.Row) error {
	s, err := put(f, r, stepName)
	if err != nil {
		return err
	}
	run, err := find[work.Run](f, r, "run "+s.RunID)
	if err != nil {
		return err
	}
	run.Steps = s.Ix
	return nil
}

func (f folding) stepMoved(r audit.Row) error {
	m, s, err := move[stepMoved, work.Step](f, r, func(stepMoved) string { return "step " + r.StepID })
	if err != nil {
		return err
	}
	m.fold(s, from(r.At))
	return nil
}

func (f folding) attemptQueued(r audit.Row) error {
	a, err := put(f, r, attemptName)
	if err != nil {
		return err
	}
	s, err := find[work.Step](f, r, "step "+a.StepID)
	if err != nil {
		return err
	}
	if a.Text == "" {
		a.Text = s.Spec.Text
	}
	s.AttemptID, s.Attempts, s.Simulated = a.ID, a.N, s.Simulated || a.Simulated
	return nil
}

func (f folding) attemptMoved(r audit.Row) error {
	m, a, err := move[attemptMoved, work.Attempt](f, r, func(attemptMoved) string { return "attempt " + r.AttemptID })
	if err != nil {
		return err
	}
	m.fold(a, from(r.At))
	parts, err := m.parts()
	if err != nil {
		return err
	}
	for name, body := range parts {
		if err := setPart(a, name, body); err != nil {
			return err
		}
	}
	if m.Simulated {
		s, err := find[work.Step](f, r, "step "+a.StepID)
		if err != nil {
			return err
		}
		s.Simulated = true
	}
	return nil
}

func (f folding) gateDecided(r audit.Row) error {
	m, g, err := move[gateDecided, work.GateRecord](f, r, func(m gateDecided) string { return "gate " + m.ID })
	if err != nil {
		return err
	}
	m.fold(g)
	return nil
}

func (f folding) approvalDecided(r audit.Row) error {
	m, a, err := move[approvalDecided, work.Approval](f, r, func(m approvalDecided) string { return "approval " + m.ID })
	if err != nil {
		return err
	}
	m.fold(a, r.Actor, from(r.At))
	return nil
}

// compare holds what the log tells against what is stored.
func (f folding) compare(stored folding) ([]audit.Problem, error) {
	var problems []audit.Problem
	for _, name := range slices.Sorted(maps.Keys(f)) {
		want := f[name]
		got, ok := stored[name]
		if !ok {
			problems = append(problems, audit.Problem{Seq: want.seq, What: "a recorded object is missing", Detail: name})
			continue
		}
		same, err := equal(want.value, got.value)
		if err != nil {
			return nil, err
		}
		if !same {
			problems = append(problems, audit.Problem{Seq: want.seq, What: "the state is not what the log says", Detail: name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		if _, ok := f[name]; !ok {
			problems = append(problems, audit.Problem{Seq: nowhere, What: "an object has no event that made it", Detail: name})
		}
	}
	return problems, nil
}

// equal compares two objects by all that is recorded of them.
func equal(a, b any) (bool, error) {
	x, err := audit.Canonical(whole(a))
	if err != nil {
		return false, err
	}
	y, err := audit.Canonical(whole(b))
	return bytes.Equal(x, y), err
}

// whole is an object with what its JSON would lose.
func whole(v any) any {
	a, ok := v.(*work.Attempt)
	if !ok {
		return v
	}
	return struct {
		*work.Attempt
		Evidence *evidence `json:"evidence"`
	}{a, kept(a.Evidence)}
}
