package store

import (
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

// gateDecided is the body of gate.decided.
type gateDecided struct {
	ID         string       `json:"id"`
	Version    int64        `json:"version"`
	To         work.Verdict `json:"to"`
	Reason     string       `json:"reason,omitempty"`
	Validation string       `json:"validation_id,omitempty"`
	ApprovalID string       `json:"approval_id,omitempty"`
	DecidedBy  string       `json:"decided_by,omitempty"`
	Required   bool         `json:"required,omitempty"`
}

func (m gateDecided) fold(g *work.GateRecord) {
	g.Verdict, g.Version = m.To, m.Version
	set(&g.Reason, m.Reason)
	set(&g.Validation, m.Validation)
	set(&g.ApprovalID, m.ApprovalID)
	set(&g.DecidedBy, m.DecidedBy)
	g.Required = g.Required || m.Required
}

const gateColumns = `id, attempt_id, step_id, run_id, name, rule, rule_digest, required, verdict, reason, coalesce(validation_id, ''),
	coalesce(approval_id, ''), decided_by, version, at`

func gateDest(g *work.GateRecord) (dest []any, done func()) {
	var at int64
	return []any{
		&g.ID, &g.AttemptID, &g.StepID, &g.RunID, &g.Name, &g.Rule, &g.RuleSum, &g.Required, &g.Verdict, &g.Reason, &g.Validation, &g.ApprovalID,
		&g.DecidedBy, &g.Version, &at,
	}, func() { g.At = from(at) }
}

// place is an object of an attempt: it takes run and step from there, and may not name others.
func (c *change) place(ctx context.Context, attemptID string, stepID, runID *string) (work.Attempt, error) {
	a, err := c.attempt(ctx, attemptID)
	if err != nil {
		return a, err
	}
	if err := errors.Join(foreign("step", *stepID, a.StepID), foreign("run", *runID, a.RunID)); err != nil {
		return a, err
	}
	*stepID, *runID = a.StepID, a.RunID
	return a, nil
}

// of is the entry of an event about an attempt.
func of(a work.Attempt, kind string, at time.Time, body []byte) entry {
	return entry{kind: kind, at: at, workspace: a.Workspace, runID: a.RunID, stepID: a.StepID, attemptID: a.ID, body: body}
}

func (c *change) openGate(ctx context.Context, m work.OpenGate) error {
	g := m.Gate
	if err := ident.Check(ident.Gate, g.ID); err != nil {
		return err
	}
	a, err := c.place(ctx, g.AttemptID, &g.StepID, &g.RunID)
	if err != nil {
		return err
	}
	if g.Name == "" || (g.Verdict != "" && g.Verdict != work.VerdictPending) {
		return fault.New(fault.InvalidRequest, "a gate has a name and begins pending").At(g.ID)
	}
	if a.State == work.AttemptEnded {
		return fault.New(fault.Conflict, "attempt %s has ended and takes no gate", a.ID).At(a.ID)
	}
	if g.At, err = c.stamp(g.At); err != nil {
		return err
	}
	g.Verdict, g.Version, g.Validation, g.ApprovalID, g.DecidedBy = work.VerdictPending, 1, "", "", ""
	body, err := encode(&g)
	if err != nil {
		return err
	}
	err = c.w.exec(ctx, `INSERT INTO gate (id, attempt_id, step_id, run_id, name, rule, rule_digest, required, verdict, reason, decided_by, version, at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)`,
		g.ID, g.AttemptID, g.StepID, g.RunID, g.Name, g.Rule, g.RuleSum, g.Required, g.Verdict, g.Reason, g.Version, ns(g.At))
	if err != nil {
		return fmt.Errorf("insert gate: %w", err)
	}
	return c.log(ctx, of(a, "gate.opened", g.At, body))
}

func (c *change) decideGate(ctx context.Context, m work.DecideGate) error {
	var g work.GateRecord
	dest, done := gateDest(&g)
	if err := c.w.row(ctx, "SELECT "+gateColumns+" FROM gate WHERE id = ?", []any{m.ID}, dest...); err != nil {
		return readFault("gate "+m.ID, err)
	}
	done()
	if err := (transition{"gate " + g.ID, m.Version, g.Version, string(g.Verdict), string(m.To), g.Verdict.CanBecome(m.To)}).fault(); err != nil {
		return err
	}
	if err := errors.Join(c.belongs(ctx, "validation", m.Validation, g.AttemptID), c.belongs(ctx, "approval", m.ApprovalID, g.AttemptID)); err != nil {
		return err
	}
	a, err := c.attempt(ctx, g.AttemptID)
	if err != nil {
		return err
	}
	at, err := c.stamp(m.At)
	if err != nil {
		return err
	}
	decided := gateDecided{
		ID: g.ID, Version: g.Version + 1, To: m.To, Reason: m.Reason, Validation: m.Validation, ApprovalID: m.ApprovalID, DecidedBy: m.DecidedBy,
		Required: m.Require,
	}
	body, err := encode(&decided)
	if err != nil {
		return err
	}
	decided.fold(&g)
	err = c.w.exec(ctx, "UPDATE gate SET verdict = ?, version = ?, reason = ?, validation_id = ?, approval_id = ?, decided_by = ?, required = ? WHERE id = ?",
		g.Verdict, g.Version, g.Reason, null(g.Validation), null(g.ApprovalID), g.DecidedBy, g.Required, g.ID)
	if err != nil {
		return fmt.Errorf("decide gate: %w", err)
	}
	e := of(a, "gate.decided", at, body)
	e.actor = m.Actor
	return c.log(ctx, e)
}

// belongs wants a row of the table, where one is named, to be the attempt's.
func (c *change) belongs(ctx context.Context, table, id, attemptID string) error {
	if id == "" {
		return nil
	}
	var owner string
	if err := c.w.row(ctx, "SELECT attempt_id FROM "+table+" WHERE id = ?", []any{id}, &owner); err != nil {
		return readFault(table+" "+id, err)
	}
	return foreign(table, owner, attemptID)
}

const validationColumns = `id, attempt_id, step_id, run_id, gate, n, plugin, command, exit_code, signal, duration, stdout_digest, stderr_digest, result,
	message, findings, enforced, tree, at, inputs_digest, reused, metrics`

// scanValidation reads a whole row.
func scanValidation(row scanner) (work.Validation, int, error) {
	var v work.Validation
	var at int64
	var plugin string
	var command, findings, enforced, metrics sql.NullString
	err := row.Scan(&v.ID, &v.AttemptID, &v.StepID, &v.RunID, &v.Gate, &v.N, &plugin, &command, &v.ExitCode, &v.Signal, &v.Duration, &v.Stdout, &v.Stderr,
		&v.Result, &v.Message, &findings, &enforced, &v.Tree, &at, &v.Inputs, &v.Reused, &metrics)
	if err != nil {
		return v, 0, err
	}
	v.At = from(at)
	if enforced.Valid {
		v.Enforced = json.RawMessage(enforced.String)
	}
	err = errors.Join(json.Unmarshal([]byte(plugin), &v.Plugin), optional(command, &v.Command), optional(findings, &v.Findings), optional(metrics, &v.Metrics))
	return v, len(plugin) + len(command.String) + len(findings.String) + len(enforced.String) + len(metrics.String) + len(v.Message), err
}

// optional decodes JSON where there is some.
func optional(text sql.NullString, to any) error {
	if !text.Valid {
		return nil
	}
	return json.Unmarshal([]byte(text.String), to)
}

// asJSON encodes a column that may be empty.
func asJSON(present bool, v any) (any, error) {
	if !present {
		return nil, nil
	}
	body, err := audit.Canonical(v)
	return string(body), err
}

func (c *change) recordValidation(ctx context.Context, m work.RecordValidation) error {
	v := m.Validation
	if err := ident.Check(ident.Validation, v.ID); err != nil {
		return err
	}
	a, err := c.place(ctx, v.AttemptID, &v.StepID, &v.RunID)
	if err != nil {
		return err
	}
	if v.Gate == "" || !v.Result.Known() {
		return fault.New(fault.InvalidRequest, "a validation names its gate and a known result, not %q", v.Result).At(v.ID)
	}
	var before int
	if err := c.w.row(ctx, "SELECT coalesce(max(n), 0) FROM validation WHERE attempt_id = ? AND gate = ?", []any{a.ID, v.Gate}, &before); err != nil {
		return fmt.Errorf("count validations: %w", err)
	}
	if v.N != 0 && v.N != before+1 {
		return fault.New(fault.Conflict, "evaluation %d of gate %s does not follow %d", v.N, v.Gate, before).At(v.ID)
	}
	v.N = before + 1
	if v.At, err = c.stamp(v.At); err != nil {
		return err
	}
	body, err := encode(&v)
	if err != nil {
		return err
	}
	if err := c.insertValidation(ctx, v); err != nil {
		return err
	}
	return c.log(ctx, of(a, "validation.recorded", v.At, body))
}

func (c *change) insertValidation(ctx context.Context, v work.Validation) error {
	plugin, err1 := asJSON(true, v.Plugin)
	command, err2 := asJSON(len(v.Command) > 0, v.Command)
	findings, err3 := asJSON(len(v.Findings) > 0, v.Findings)
	enforced, err4 := asJSON(len(v.Enforced) > 0, v.Enforced)
	metrics, err5 := asJSON(len(v.Metrics) > 0, v.Metrics)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	err := c.w.exec(ctx, "INSERT INTO validation ("+validationColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		v.ID, v.AttemptID, v.StepID, v.RunID, v.Gate, v.N, plugin, command, v.ExitCode, v.Signal, int64(v.Duration), v.Stdout, v.Stderr, v.Result,
		v.Message, findings, enforced, v.Tree, ns(v.At), v.Inputs, v.Reused, metrics)
	if err != nil {
		return fmt.Errorf("insert validation: %w", err)
	}
	return nil
}
