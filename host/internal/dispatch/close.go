package dispatch

import (
	"context"
	"slices"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
)

// closing is why a step ends with gates that are open, and by whom.
type closing struct {
	why   string
	by    string // "rule" or "cancel"
	actor work.Actor
}

// byRule is a closing that follows from how the step came out.
func byRule(why string) closing { return closing{why, "rule", daemonActor()} }

// closeGates are an attempt's gates as they are when its step has ended, where nobody can evaluate or decide
// them any more, and the rows that make them so. Somebody may decide one meanwhile: then the rows are stale.
func (d *Dispatcher) closeGates(ctx context.Context, gates []work.GateRecord, c closing) ([]work.GateRecord, []work.Mutation, error) {
	out, now := slices.Clone(gates), d.now()
	var rows []work.Mutation
	for i := range out {
		g := &out[i]
		dec, open := gate.Left(g.Verdict, c.why)
		if !open {
			continue
		}
		if g.ApprovalID != "" {
			ap, err := d.opt.Record.Approval(ctx, g.ApprovalID)
			if err != nil {
				return nil, nil, err
			}
			if ap.State == work.ApprovalOpen {
				rows = append(rows, work.DecideApproval{ID: ap.ID, Version: ap.Version, To: work.ApprovalDenied, DecidedBy: "cancel", Actor: c.actor, At: now})
			}
		}
		rows = append(rows, work.DecideGate{ID: g.ID, Version: g.Version, To: dec.Verdict, Reason: dec.Reason, DecidedBy: c.by, Actor: c.actor, At: now})
		g.Verdict, g.Reason, g.DecidedBy = dec.Verdict, dec.Reason, c.by
	}
	return out, rows, nil
}

// closeHeld are the rows that close the gates of a held step.
func (d *Dispatcher) closeHeld(ctx context.Context, step work.Step, c closing) ([]work.Mutation, error) {
	gates, err := d.opt.Record.Gates(ctx, step.AttemptID)
	if err != nil {
		return nil, err
	}
	_, rows, err := d.closeGates(ctx, gates, c)
	return rows, err
}

// dismiss tells those who wait for an approval that it was closed.
func (d *Dispatcher) dismiss(rows []work.Mutation) {
	for _, row := range rows {
		if m, ok := row.(work.DecideApproval); ok {
			d.tell(work.Approval{ID: m.ID, State: m.To, DecidedBy: m.DecidedBy})
			d.wake(m.ID)
		}
	}
}

// tell hands a decision to whoever waits for it.
func (d *Dispatcher) tell(ap work.Approval) {
	d.mu.Lock()
	waiting := d.pending[ap.ID]
	delete(d.pending, ap.ID)
	d.mu.Unlock()
	if waiting != nil {
		waiting <- ap
	}
}

// dropLeft removes the trees of steps that have ended while they were held.
func (d *Dispatcher) dropLeft(ctx context.Context, q *runQueue) {
	d.mu.Lock()
	left := q.left
	q.left = nil
	d.mu.Unlock()
	for _, step := range left {
		d.dropHeld(ctx, step)
	}
}

// dropHeld removes the tree of a step that was held. Its state is kept; what is not removed now is so when the
// next daemon starts.
func (d *Dispatcher) dropHeld(ctx context.Context, step work.Step) {
	ws, ok := d.Policy().Workspaces[step.Workspace]
	if !ok {
		return
	}
	tree, err := d.opt.Trees.Sealed(ctx, ws, step.AttemptID, "")
	if err == nil {
		err = tree.Remove(ctx)
	}
	if err != nil && !fault.Is(err, fault.NotFound) && ctx.Err() == nil {
		d.opt.Log.Warn("tree of the held step not removed", "step", step.ID, "attempt", step.AttemptID, "error", err)
	}
}
