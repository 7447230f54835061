package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

// stepMoved is the body of step.<state>.
type stepMoved struct {
	Version int64          `json:"version"`
	To      work.StepState `json:"to"`
	Reason  string         `json:"reason,omitempty"`
}

func (m stepMoved) fold(s *work.Step, at time.Time) {
	s.State, s.Version, s.Reason, s.EndedAt = m.To, m.Version, m.Reason, time.Time{}
	if m.To.Settled() {
		s.EndedAt = at
	}
}

const (
	stepColumns = `id, run_id, workspace, ix, spec_digest, state, reason, version, actor_kind, actor_id, attempt_id, attempts, simulated,
		dispatched_at, ended_at`
	specColumns = `(SELECT text FROM step_spec WHERE step_id = id), (SELECT spec FROM step_spec WHERE step_id = id)`
)

func stepDest(s *work.Step) (dest []any, done func()) {
	var dispatched, ended int64
	return []any{
		&s.ID, &s.RunID, &s.Workspace, &s.Ix, &s.SpecSum, &s.State, &s.Reason, &s.Version, &s.Actor.Kind, &s.Actor.ID, &s.AttemptID, &s.Attempts,
		&s.Simulated, &dispatched, &ended,
	}, func() { s.Dispatched, s.EndedAt = from(dispatched), from(ended) }
}

// step reads what a move of a step has to know.
func (c *change) step(ctx context.Context, id string) (work.Step, error) {
	s := work.Step{ID: id}
	err := c.w.row(ctx, "SELECT run_id, workspace, state, version, attempt_id, attempts FROM step WHERE id = ?", []any{id},
		&s.RunID, &s.Workspace, &s.State, &s.Version, &s.AttemptID, &s.Attempts)
	if err != nil {
		return s, readFault("step "+id, err)
	}
	return s, nil
}

func (c *change) dispatchStep(ctx context.Context, m work.DispatchStep) error {
	s := m.Step
	if err := ident.Check(ident.Step, s.ID); err != nil {
		return err
	}
	run, err := c.run(ctx, s.RunID)
	if err != nil {
		return err
	}
	if err := foreign("workspace", s.Workspace, run.Workspace); err != nil {
		return err
	}
	// A repeated key is answered also when the run has been closed in the meantime.
	if err := c.claim(ctx, m.Key, s.ID); err != nil {
		return err
	}
	if err := mustBeOpen(run); err != nil {
		return err
	}
	at, err := c.stamp(s.Dispatched)
	if err != nil {
		return err
	}
	s.Workspace, s.Ix, s.State, s.Reason, s.Version, s.Actor = run.Workspace, run.Steps+1, work.StepQueued, "", 1, c.actor(s.Actor)
	s.AttemptID, s.Attempts, s.Dispatched, s.EndedAt = "", 0, at, time.Time{}
	body, err := encode(&s)
	if err != nil {
		return err
	}
	if err := c.insertStep(ctx, s); err != nil {
		return err
	}
	return c.log(ctx, entry{kind: "step.dispatched", actor: s.Actor, at: at, workspace: s.Workspace, runID: s.RunID, stepID: s.ID, body: body})
}

func (c *change) insertStep(ctx context.Context, s work.Step) error {
	rest := s.Spec
	rest.Text = ""
	spec, err := json.Marshal(rest)
	if err != nil {
		return fmt.Errorf("encode spec: %w", err)
	}
	err = c.w.exec(ctx, "INSERT INTO step ("+stepColumns+", unsettled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
		s.ID, s.RunID, s.Workspace, s.Ix, s.SpecSum, s.State, s.Reason, s.Version, s.Actor.Kind, s.Actor.ID, s.AttemptID, s.Attempts, s.Simulated,
		ns(s.Dispatched), 0)
	if err != nil {
		return fmt.Errorf("insert step: %w", err)
	}
	if err := c.w.exec(ctx, "INSERT INTO step_spec (step_id, text, spec) VALUES (?, ?, ?)", s.ID, s.Spec.Text, string(spec)); err != nil {
		return fmt.Errorf("insert step's spec: %w", err)
	}
	if err := c.w.exec(ctx, "UPDATE run SET steps = ? WHERE id = ?", s.Ix, s.RunID); err != nil {
		return fmt.Errorf("count step: %w", err)
	}
	return nil
}

func mustBeOpen(run work.Run) error {
	if run.State == work.RunOpen {
		return nil
	}
	return fault.New(fault.RunNotOpen, "run %s is %s and takes no more steps", run.ID, run.State).At(run.ID).Fix("run: drawspan run open %s", run.Workspace)
}

func (c *change) moveStep(ctx context.Context, m work.MoveStep) error {
	s, err := c.step(ctx, m.ID)
	if err != nil {
		return err
	}
	if err := c.claim(ctx, m.Key, s.ID); err != nil {
		return err
	}
	if err := (transition{"step " + s.ID, m.Version, s.Version, string(s.State), string(m.To), s.State.CanBecome(m.To)}).fault(); err != nil {
		return err
	}
	if err := c.mayMoveStep(ctx, s, m.To); err != nil {
		return err
	}
	at, err := c.stamp(m.At)
	if err != nil {
		return err
	}
	moved := stepMoved{Version: s.Version + 1, To: m.To, Reason: m.Reason}
	body, err := encode(&moved)
	if err != nil {
		return err
	}
	if err := c.updateStep(ctx, s, moved, at); err != nil {
		return err
	}
	return c.log(ctx, entry{kind: "step." + string(m.To), actor: m.Actor, at: at, workspace: s.Workspace, runID: s.RunID, stepID: s.ID, body: body})
}

// updateStep writes the columns that the move changes, as fold does.
func (c *change) updateStep(ctx context.Context, s work.Step, m stepMoved, at time.Time) error {
	u := update{}
	u.set("state", m.To)
	u.set("version", m.Version)
	u.set("reason", m.Reason)
	switch settled := m.To.Settled(); {
	case settled && !s.State.Settled():
		u.set("ended_at", ns(at))
		u.set("unsettled", 0)
	case !settled && s.State.Settled():
		u.set("ended_at", 0)
		u.set("unsettled", 1)
	}
	if err := u.run(ctx, c.w, "step", s.ID); err != nil {
		return fmt.Errorf("move step: %w", err)
	}
	return nil
}

// mayMoveStep holds a step's moves against its run and its newest attempt.
func (c *change) mayMoveStep(ctx context.Context, s work.Step, to work.StepState) error {
	switch to {
	case work.StepQueued:
		run, err := c.run(ctx, s.RunID)
		if err != nil {
			return err
		}
		return mustBeOpen(run)
	case work.StepPassed:
		return c.mayPass(ctx, s)
	}
	return nil
}

// mayPass lets a step pass only on what is recorded: its newest attempt succeeded, its required gates
// passed, and result and diff are kept.
func (c *change) mayPass(ctx context.Context, s work.Step) error {
	var outcome work.Outcome
	var open, kept int
	err := c.w.row(ctx, `SELECT outcome,
			(SELECT count(*) FROM gate WHERE attempt_id = attempt.id AND required AND verdict <> 'pass'),
			(SELECT count(*) FROM artifact WHERE attempt_id = attempt.id AND name IN ('result.json', 'diff.patch'))
		FROM attempt WHERE id = ?`, []any{s.AttemptID}, &outcome, &open, &kept)
	if err != nil {
		return readFault("attempt of step "+s.ID, err)
	}
	why := ""
	switch {
	case outcome != work.Succeeded && outcome != work.NoChange:
		why = "its newest attempt did not succeed"
	case open > 0:
		why = fmt.Sprintf("%d of its required gates did not pass", open)
	case kept != 2:
		why = "its result or its diff is not recorded"
	default:
		return nil
	}
	return fault.New(fault.Conflict, "step %s cannot pass: %s", s.ID, why).At(s.ID)
}
