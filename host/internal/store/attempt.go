package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

// attemptMoved is the body of attempt.<state>: what became known with this move and nothing else.
type attemptMoved struct {
	Version   int64                `json:"version"`
	To        work.AttemptState    `json:"to"`
	Cause     string               `json:"cause,omitempty"`
	Base      string               `json:"base_commit,omitempty"`
	Start     string               `json:"start_commit,omitempty"`
	Plugin    *work.PluginIdentity `json:"plugin,omitempty"`
	Enforced  json.RawMessage      `json:"enforced,omitempty"`
	Level     string               `json:"level,omitempty"`
	Claim     *work.Claim          `json:"claim,omitempty"`
	Evidence  *evidence            `json:"evidence,omitempty"`
	Death     *work.Death          `json:"death,omitempty"`
	Outcome   work.Outcome         `json:"outcome,omitempty"`
	Reason    string               `json:"reason,omitempty"`
	Message   string               `json:"message,omitempty"`
	Retryable bool                 `json:"retryable,omitempty"`
	Simulated bool                 `json:"simulated,omitempty"`
}

// fold changes an attempt's row as the event says; its parts are set by setPart.
func (m attemptMoved) fold(a *work.Attempt, at time.Time) {
	a.State, a.Version = m.To, m.Version
	set(&a.Cause, m.Cause)
	set(&a.Base, m.Base)
	set(&a.Start, m.Start)
	set(&a.Level, m.Level)
	set(&a.Outcome, m.Outcome)
	set(&a.Reason, m.Reason)
	set(&a.Message, m.Message)
	a.Retryable = a.Retryable || m.Retryable
	a.Simulated = a.Simulated || m.Simulated
	switch {
	case m.To == work.AttemptRunning && a.StartedAt.IsZero():
		a.StartedAt = at
	case m.To == work.AttemptEnded:
		a.EndedAt = at
	}
}

func set[S ~string](to *S, v S) {
	if v != "" {
		*to = v
	}
}

// parts are the large things in an event's body, encoded, by the name of their part.
func (m attemptMoved) parts() (map[string][]byte, error) {
	list := map[string][]byte{}
	put := func(name string, present bool, v any) error {
		if !present {
			return nil
		}
		body, err := audit.Canonical(v)
		if err != nil {
			return fault.Wrap(err, fault.InvalidRequest, "the attempt's %s cannot be written as JSON", name)
		}
		list[name] = body
		return nil
	}
	err := errors.Join(
		put("plugin", m.Plugin != nil, m.Plugin), put("enforced", len(m.Enforced) > 0, m.Enforced), put("claim", m.Claim != nil, m.Claim),
		put("evidence", m.Evidence != nil, m.Evidence), put("death", m.Death != nil, m.Death),
	)
	return list, err
}

// setPart puts a part in place of what the attempt had there.
func setPart(a *work.Attempt, name string, body []byte) error {
	switch name {
	case "text":
		a.Text = string(body)
		return nil
	case "enforced":
		a.Enforced = bytes.Clone(body)
		return nil
	case "plugin":
		a.Plugin = new(work.PluginIdentity)
		return json.Unmarshal(body, a.Plugin)
	case "claim":
		a.Claim = new(work.Claim)
		return json.Unmarshal(body, a.Claim)
	case "death":
		a.Death = new(work.Death)
		return json.Unmarshal(body, a.Death)
	case "evidence":
		var e evidence
		err := json.Unmarshal(body, &e)
		a.Evidence = e.plain()
		return err
	}
	return fmt.Errorf("part %q of an attempt is not known", name)
}

const attemptColumns = `id, step_id, run_id, workspace, n, executor, state, version, base_commit, start_commit, level, outcome, reason, message,
	retryable, cause, simulated, created_at, started_at, ended_at`

func attemptDest(a *work.Attempt) (dest []any, done func()) {
	var created, started, ended int64
	return []any{
		&a.ID, &a.StepID, &a.RunID, &a.Workspace, &a.N, &a.Executor, &a.State, &a.Version, &a.Base, &a.Start, &a.Level, &a.Outcome, &a.Reason, &a.Message,
		&a.Retryable, &a.Cause, &a.Simulated, &created, &started, &ended,
	}, func() { a.CreatedAt, a.StartedAt, a.EndedAt = from(created), from(started), from(ended) }
}

// attempt reads what a move of an attempt has to know.
func (c *change) attempt(ctx context.Context, id string) (work.Attempt, error) {
	a := work.Attempt{ID: id}
	var startedAt int64
	err := c.w.row(ctx, "SELECT step_id, run_id, workspace, state, version, simulated, started_at FROM attempt WHERE id = ?", []any{id},
		&a.StepID, &a.RunID, &a.Workspace, &a.State, &a.Version, &a.Simulated, &startedAt)
	if err != nil {
		return a, readFault("attempt "+id, err)
	}
	a.StartedAt = from(startedAt)
	return a, nil
}

// part reads one part of an attempt, nil where there is none.
func (c *change) part(ctx context.Context, id, name string) ([]byte, error) {
	var body string
	err := c.w.row(ctx, "SELECT body FROM attempt_part WHERE attempt_id = ? AND part = ?", []any{id, name}, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read %s of attempt: %w", name, err)
	}
	return []byte(body), nil
}

func (c *change) putPart(ctx context.Context, id, name string, body []byte) error {
	err := c.w.exec(ctx, `INSERT INTO attempt_part (attempt_id, part, body) VALUES (?, ?, ?)
		ON CONFLICT (attempt_id, part) DO UPDATE SET body = excluded.body`, id, name, string(body))
	if err != nil {
		return fmt.Errorf("write %s of attempt: %w", name, err)
	}
	return nil
}

func (c *change) createAttempt(ctx context.Context, m work.CreateAttempt) error {
	if err := ident.Check(ident.Attempt, m.Attempt.ID); err != nil {
		return err
	}
	s, err := c.step(ctx, m.Attempt.StepID)
	if err != nil {
		return err
	}
	if err := errors.Join(foreign("run", m.Attempt.RunID, s.RunID), foreign("workspace", m.Attempt.Workspace, s.Workspace)); err != nil {
		return err
	}
	if err := c.mayAttempt(ctx, s); err != nil {
		return err
	}
	at, err := c.stamp(m.Attempt.CreatedAt)
	if err != nil {
		return err
	}
	text, err := c.ownText(ctx, s.ID, m.Attempt.Text)
	if err != nil {
		return err
	}
	// A new attempt has nothing but what names it; the rest becomes known by its moves.
	a := work.Attempt{
		ID: m.Attempt.ID, StepID: s.ID, RunID: s.RunID, Workspace: s.Workspace, N: s.Attempts + 1, Executor: m.Attempt.Executor, Text: text,
		State: work.AttemptQueued, Version: 1, Simulated: m.Attempt.Simulated, CreatedAt: at,
	}
	body, err := encode(&a)
	if err != nil {
		return err
	}
	if err := c.insertAttempt(ctx, a); err != nil {
		return err
	}
	return c.log(ctx, entry{kind: "attempt.queued", at: at, workspace: a.Workspace, runID: a.RunID, stepID: a.StepID, attemptID: a.ID, body: body})
}

// mayAttempt wants a step that has not ended, in a run that was not cancelled, without a live attempt.
func (c *change) mayAttempt(ctx context.Context, s work.Step) error {
	if s.State.Settled() {
		return fault.New(fault.Conflict, "step %s is %s and takes no attempt", s.ID, s.State).At(s.ID)
	}
	run, err := c.run(ctx, s.RunID)
	if err != nil {
		return err
	}
	if run.State == work.RunCancelled {
		return mustBeOpen(run)
	}
	var live string
	err = c.w.row(ctx, "SELECT id FROM attempt WHERE step_id = ? AND live = 1", []any{s.ID}, &live)
	if err == nil {
		return fault.New(fault.Conflict, "step %s has the live attempt %s", s.ID, live).At(s.ID)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read live attempt: %w", err)
	}
	return nil
}

// ownText is the attempt's text where it is not the step's.
func (c *change) ownText(ctx context.Context, stepID, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	var same bool
	if err := c.w.row(ctx, "SELECT text = ? FROM step_spec WHERE step_id = ?", []any{text, stepID}, &same); err != nil {
		return "", readFault("spec of step "+stepID, err)
	}
	if same {
		return "", nil
	}
	return text, nil
}

func (c *change) insertAttempt(ctx context.Context, a work.Attempt) error {
	err := c.w.exec(ctx, "INSERT INTO attempt ("+attemptColumns+", live) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', '', '', '', '', '', 0, '', ?, ?, 0, 0, 1)",
		a.ID, a.StepID, a.RunID, a.Workspace, a.N, a.Executor, a.State, a.Version, a.Simulated, ns(a.CreatedAt))
	if err != nil {
		return fmt.Errorf("insert attempt: %w", err)
	}
	if a.Text != "" {
		if err := c.putPart(ctx, a.ID, "text", []byte(a.Text)); err != nil {
			return err
		}
	}
	err = c.w.exec(ctx, "UPDATE step SET attempt_id = ?, attempts = ?, simulated = max(simulated, ?) WHERE id = ?", a.ID, a.N, a.Simulated, a.StepID)
	if err != nil {
		return fmt.Errorf("make attempt its step's newest: %w", err)
	}
	return nil
}

func (c *change) moveAttempt(ctx context.Context, m work.MoveAttempt) error {
	a, err := c.attempt(ctx, m.ID)
	if err != nil {
		return err
	}
	if err := (transition{"attempt " + a.ID, m.Version, a.Version, string(a.State), string(m.To), a.State.CanBecome(m.To)}).fault(); err != nil {
		return err
	}
	if err := c.mayMoveAttempt(ctx, a, m); err != nil {
		return err
	}
	at, err := c.stamp(m.At)
	if err != nil {
		return err
	}
	moved := attemptMoved{
		Version: a.Version + 1, To: m.To, Cause: m.Cause, Base: m.Base, Start: m.Start, Plugin: m.Plugin, Enforced: m.Enforced, Level: m.Level,
		Claim: m.Claim, Evidence: kept(m.Evidence), Death: m.Death, Outcome: m.Outcome, Reason: m.Reason, Message: m.Message,
		Retryable: m.Retryable, Simulated: m.Simulated,
	}
	if err := c.moveParts(ctx, a.ID, &moved); err != nil {
		return err
	}
	body, err := encode(&moved)
	if err != nil {
		return err
	}
	if err := c.updateAttempt(ctx, a, moved, at); err != nil {
		return err
	}
	if moved.Simulated && !a.Simulated {
		if err := c.w.exec(ctx, "UPDATE step SET simulated = 1 WHERE id = ?", a.StepID); err != nil {
			return fmt.Errorf("mark step as simulated: %w", err)
		}
	}
	return c.log(ctx, entry{
		kind: "attempt." + string(m.To), actor: m.Actor, at: at, workspace: a.Workspace, runID: a.RunID, stepID: a.StepID, attemptID: a.ID, body: body,
	})
}

// moveParts writes the parts that differ from what is stored and takes the others out of the event.
func (c *change) moveParts(ctx context.Context, id string, m *attemptMoved) error {
	parts, err := m.parts()
	if err != nil {
		return err
	}
	forget := map[string]func(){
		"plugin": func() { m.Plugin = nil }, "enforced": func() { m.Enforced = nil }, "claim": func() { m.Claim = nil },
		"evidence": func() { m.Evidence = nil }, "death": func() { m.Death = nil },
	}
	for name, body := range parts {
		before, err := c.part(ctx, id, name)
		if err != nil {
			return err
		}
		if bytes.Equal(before, body) {
			forget[name]()
			continue
		}
		if err := c.putPart(ctx, id, name, body); err != nil {
			return err
		}
	}
	return nil
}

// updateAttempt writes the columns that the move changes, as fold does.
func (c *change) updateAttempt(ctx context.Context, a work.Attempt, m attemptMoved, at time.Time) error {
	u := update{}
	u.set("state", m.To)
	u.set("version", m.Version)
	for _, col := range []struct{ name, value string }{
		{"base_commit", m.Base}, {"start_commit", m.Start}, {"level", m.Level}, {"outcome", string(m.Outcome)}, {"reason", m.Reason},
		{"message", m.Message}, {"cause", m.Cause},
	} {
		if col.value != "" {
			u.set(col.name, col.value)
		}
	}
	if m.Retryable {
		u.set("retryable", 1)
	}
	if m.Simulated {
		u.set("simulated", 1)
	}
	switch {
	case m.To == work.AttemptRunning && a.StartedAt.IsZero():
		u.set("started_at", ns(at))
	case m.To == work.AttemptEnded:
		u.set("ended_at", ns(at))
		u.set("live", 0)
	}
	if err := u.run(ctx, c.w, "attempt", a.ID); err != nil {
		return fmt.Errorf("move attempt: %w", err)
	}
	return nil
}

// mayMoveAttempt holds a move against what must be proved or said with it.
func (c *change) mayMoveAttempt(ctx context.Context, a work.Attempt, m work.MoveAttempt) error {
	ends := m.To == work.AttemptEnded
	if ends != (m.Outcome != "") || (ends && !m.Outcome.Known()) {
		return fault.New(fault.InvalidRequest, "an attempt has an outcome exactly when it ends; %q at %q is neither", m.Outcome, m.To).At(a.ID)
	}
	if m.Retryable && !ends {
		return fault.New(fault.InvalidRequest, "only an ended attempt can be tried again").At(a.ID)
	}
	if m.Outcome == work.Cancelled || (a.State == work.AttemptStopping && m.Outcome != work.Lost) {
		return c.mustBeDead(ctx, a.ID, m.Death)
	}
	return nil
}

// mustBeDead wants the proof that no process of the attempt is alive: given now or recorded before.
func (c *change) mustBeDead(ctx context.Context, id string, death *work.Death) error {
	if death == nil {
		body, err := c.part(ctx, id, "death")
		if err != nil {
			return err
		}
		if body != nil {
			if err := json.Unmarshal(body, &death); err != nil {
				return fmt.Errorf("read death of attempt: %w", err)
			}
		}
	}
	if death == nil || !death.Proved || death.Survivors != 0 {
		return fault.New(fault.Conflict, "attempt %s: the death of its processes is not proved", id).At(id)
	}
	return nil
}
