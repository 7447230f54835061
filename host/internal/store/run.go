package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

// runMoved is the body of run.closed and run.cancelled. Count and LastLink are the end of the run's chain
// before this event: whoever holds them knows that nothing before was left out.
type runMoved struct {
	Version  int64         `json:"version"`
	To       work.RunState `json:"to"`
	Reason   string        `json:"reason,omitempty"`
	Count    int64         `json:"count"`
	LastLink string        `json:"last_link"`
}

// fold changes a run as the event says.
func (m runMoved) fold(r *work.Run, at time.Time) {
	r.State, r.Version, r.EndedAt = m.To, m.Version, at
}

const runColumns = `id, workspace, title, base, base_commit, state, version, actor_kind, actor_id, opened_at, ended_at, steps, policy_digest`

// scanner is a row of a query.
type scanner interface{ Scan(dest ...any) error }

// runDest is where the columns of a run go; done fills in the times.
func runDest(r *work.Run) (dest []any, done func()) {
	var opened, ended int64
	return []any{
		&r.ID, &r.Workspace, &r.Title, &r.Base, &r.BaseCommit, &r.State, &r.Version, &r.Actor.Kind, &r.Actor.ID, &opened, &ended, &r.Steps, &r.PolicySum,
	}, func() { r.OpenedAt, r.EndedAt = from(opened), from(ended) }
}

func (c *change) run(ctx context.Context, id string) (work.Run, error) {
	var r work.Run
	dest, done := runDest(&r)
	if err := c.w.row(ctx, "SELECT "+runColumns+" FROM run WHERE id = ?", []any{id}, dest...); err != nil {
		return r, readFault("run "+id, err)
	}
	done()
	return r, nil
}

func (c *change) openRun(ctx context.Context, m work.OpenRun) error {
	r := m.Run
	if err := ident.Check(ident.Run, r.ID); err != nil {
		return err
	}
	if r.Workspace == "" || (r.State != "" && r.State != work.RunOpen) {
		return fault.New(fault.InvalidRequest, "a run is opened in a workspace and begins open").At(r.ID)
	}
	if err := c.claim(ctx, m.Key, r.ID); err != nil {
		return err
	}
	at, err := c.stamp(r.OpenedAt)
	if err != nil {
		return err
	}
	r.State, r.Version, r.Steps, r.OpenedAt, r.EndedAt, r.Actor = work.RunOpen, 1, 0, at, time.Time{}, c.actor(r.Actor)
	body, err := encode(&r)
	if err != nil {
		return err
	}
	err = c.w.exec(ctx, "INSERT INTO run ("+runColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.ID, r.Workspace, r.Title, r.Base, r.BaseCommit, r.State, r.Version, r.Actor.Kind, r.Actor.ID, ns(r.OpenedAt), 0, 0, r.PolicySum)
	if err != nil {
		return fmt.Errorf("insert run: %w", err)
	}
	return c.log(ctx, entry{kind: "run.opened", actor: r.Actor, at: at, workspace: r.Workspace, runID: r.ID, body: body})
}

func (c *change) moveRun(ctx context.Context, m work.MoveRun) error {
	r, err := c.run(ctx, m.ID)
	if err != nil {
		return err
	}
	if err := (transition{"run " + r.ID, m.Version, r.Version, string(r.State), string(m.To), r.State.CanBecome(m.To)}).fault(); err != nil {
		return err
	}
	at, err := c.stamp(m.At)
	if err != nil {
		return err
	}
	end, err := c.chain(ctx, r.ID)
	if err != nil {
		return err
	}
	moved := runMoved{Version: r.Version + 1, To: m.To, Reason: m.Reason, Count: end.next, LastLink: hex.EncodeToString(end.prev[:])}
	body, err := encode(&moved)
	if err != nil {
		return err
	}
	moved.fold(&r, at)
	if err := c.w.exec(ctx, "UPDATE run SET state = ?, version = ?, ended_at = ? WHERE id = ?", r.State, r.Version, ns(r.EndedAt), r.ID); err != nil {
		return fmt.Errorf("move run: %w", err)
	}
	c.sign = true
	return c.log(ctx, entry{kind: "run." + string(m.To), actor: m.Actor, at: at, workspace: r.Workspace, runID: r.ID, body: body})
}
