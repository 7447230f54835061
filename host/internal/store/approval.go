package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

// approvalDecided is the body of approval.decided. The actor is the event's.
type approvalDecided struct {
	ID        string             `json:"id"`
	Version   int64              `json:"version"`
	To        work.ApprovalState `json:"to"`
	Answer    string             `json:"answer,omitempty"`
	Note      string             `json:"note,omitempty"`
	DecidedBy string             `json:"decided_by,omitempty"`
}

func (m approvalDecided) fold(a *work.Approval, by work.Actor, at time.Time) {
	a.State, a.Version, a.Answer, a.Note, a.DecidedBy, a.Actor, a.DecidedAt = m.To, m.Version, m.Answer, m.Note, m.DecidedBy, by, at
}

const approvalColumns = `id, attempt_id, step_id, run_id, workspace, kind, gate, item_id, prompt, options, deadline, fallback, state, answer, note,
	decided_by, actor_kind, actor_id, version, opened_at, decided_at`

// scanApproval reads a whole row.
func scanApproval(row scanner) (work.Approval, int, error) {
	var a work.Approval
	var deadline, opened, decided int64
	var options sql.NullString
	err := row.Scan(&a.ID, &a.AttemptID, &a.StepID, &a.RunID, &a.Workspace, &a.Kind, &a.Gate, &a.ItemID, &a.Prompt, &options, &deadline, &a.Default,
		&a.State, &a.Answer, &a.Note, &a.DecidedBy, &a.Actor.Kind, &a.Actor.ID, &a.Version, &opened, &decided)
	if err != nil {
		return a, 0, err
	}
	a.Deadline, a.OpenedAt, a.DecidedAt = from(deadline), from(opened), from(decided)
	return a, len(a.Prompt) + len(options.String) + len(a.Answer) + len(a.Note), optional(options, &a.Options)
}

func (c *change) approval(ctx context.Context, id string) (work.Approval, error) {
	s, err := c.w.statement(ctx, "SELECT "+approvalColumns+" FROM approval WHERE id = ?")
	if err != nil {
		return work.Approval{}, err
	}
	a, _, err := scanApproval(s.QueryRowContext(ctx, id))
	if err != nil {
		return a, readFault("approval "+id, err)
	}
	return a, nil
}

func (c *change) openApproval(ctx context.Context, m work.OpenApproval) error {
	p := m.Approval
	if err := ident.Check(ident.Approval, p.ID); err != nil {
		return err
	}
	a, err := c.place(ctx, p.AttemptID, &p.StepID, &p.RunID)
	if err != nil {
		return err
	}
	if err := foreign("workspace", p.Workspace, a.Workspace); err != nil {
		return err
	}
	kinds := []work.ApprovalKind{work.ApprovalHold, work.ApprovalPermission, work.ApprovalQuestion}
	if !slices.Contains(kinds, p.Kind) || (p.State != "" && p.State != work.ApprovalOpen) {
		return fault.New(fault.InvalidRequest, "an approval has a known kind, not %q, and begins open", p.Kind).At(p.ID)
	}
	if p.OpenedAt, err = c.stamp(p.OpenedAt); err != nil {
		return err
	}
	if !p.Deadline.IsZero() {
		if p.Deadline, err = c.stamp(p.Deadline); err != nil {
			return err
		}
	}
	p.Workspace, p.State, p.Version, p.Answer, p.Note, p.DecidedBy = a.Workspace, work.ApprovalOpen, 1, "", "", ""
	p.Actor, p.DecidedAt = work.Actor{}, time.Time{}
	body, err := encode(&p)
	if err != nil {
		return err
	}
	options, err := asJSON(len(p.Options) > 0, p.Options)
	if err != nil {
		return err
	}
	err = c.w.exec(ctx, "INSERT INTO approval ("+approvalColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', '', '', '', ?, ?, 0)",
		p.ID, p.AttemptID, p.StepID, p.RunID, p.Workspace, p.Kind, p.Gate, p.ItemID, p.Prompt, options, ns(p.Deadline), p.Default, p.State, p.Version,
		ns(p.OpenedAt))
	if err != nil {
		return fmt.Errorf("insert approval: %w", err)
	}
	return c.log(ctx, of(a, "approval.opened", p.OpenedAt, body))
}

func (c *change) decideApproval(ctx context.Context, m work.DecideApproval) error {
	p, err := c.approval(ctx, m.ID)
	if err != nil {
		return err
	}
	if err := (transition{"approval " + p.ID, m.Version, p.Version, string(p.State), string(m.To), p.State.CanBecome(m.To)}).fault(); err != nil {
		return err
	}
	a, err := c.attempt(ctx, p.AttemptID)
	if err != nil {
		return err
	}
	at, err := c.stamp(m.At)
	if err != nil {
		return err
	}
	decided := approvalDecided{ID: p.ID, Version: p.Version + 1, To: m.To, Answer: m.Answer, Note: m.Note, DecidedBy: m.DecidedBy}
	body, err := encode(&decided)
	if err != nil {
		return err
	}
	decided.fold(&p, c.actor(m.Actor), at)
	err = c.w.exec(ctx, `UPDATE approval SET state = ?, version = ?, answer = ?, note = ?, decided_by = ?, actor_kind = ?, actor_id = ?, decided_at = ?
		WHERE id = ?`, p.State, p.Version, p.Answer, p.Note, p.DecidedBy, p.Actor.Kind, p.Actor.ID, ns(p.DecidedAt), p.ID)
	if err != nil {
		return fmt.Errorf("decide approval: %w", err)
	}
	e := of(a, "approval.decided", at, body)
	e.actor = m.Actor
	return c.log(ctx, e)
}
