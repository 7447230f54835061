package dispatch

import (
	"context"
	"fmt"
	"slices"

	"github.com/drawspan/drawspan/host/internal/work"
)

// lostReason is why an attempt of a dead daemon is lost.
const lostReason = "daemon_died"

// recover records what the last daemon could not. Nothing of its attempts can live: the launcher dies
// with the daemon that started it.
func (d *Dispatcher) recover(ctx context.Context) error {
	live, err := d.opt.Record.LiveAttempts(ctx)
	if err != nil {
		return fmt.Errorf("read live attempts: %w", err)
	}
	for _, at := range live {
		if err := d.lose(ctx, at); err != nil {
			return fmt.Errorf("record lost attempt %s: %w", at.ID, err)
		}
	}
	if err := d.closeQuestions(ctx); err != nil {
		return err
	}
	return d.endCutSteps(ctx)
}

// lose ends an attempt that nobody drives any more. Its tree, where one was made, is kept as it is found.
func (d *Dispatcher) lose(ctx context.Context, at work.Attempt) error {
	evidence, rows, tree := d.salvage(ctx, at)
	rows, err := d.unrecorded(ctx, at.ID, rows)
	if err != nil {
		return err
	}
	started := at.State != work.AttemptQueued && at.State != work.AttemptPreparing
	gates, err := d.opt.Record.Gates(ctx, at.ID)
	if err != nil {
		return err
	}
	_, closed, err := d.closeGates(ctx, gates, byRule("the attempt was lost"))
	if err != nil {
		return err
	}
	rows = append(append(rows, closed...), work.MoveAttempt{
		ID: at.ID, Version: at.Version, To: work.AttemptEnded, Outcome: work.Lost, Reason: lostReason, Retryable: !started,
		Message: "the daemon died while the attempt was " + string(at.State), Evidence: evidence, Actor: daemonActor(), At: d.now(),
	})
	if err := d.opt.Record.Apply(ctx, rows...); err != nil {
		return err
	}
	if tree != nil {
		if err := tree.Remove(ctx); err != nil {
			d.opt.Log.Warn("tree of the lost attempt not removed", "attempt", at.ID, "tree", tree.Path(), "error", err)
		}
	}
	return nil
}

// unrecorded leaves out the artifacts that the daemon recorded before it died.
func (d *Dispatcher) unrecorded(ctx context.Context, attemptID string, rows []work.Mutation) ([]work.Mutation, error) {
	known, err := d.opt.Record.Artifacts(ctx, attemptID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(m work.Mutation) bool {
		k, ok := m.(work.KeepArtifact)
		return ok && slices.ContainsFunc(known, func(a work.Artifact) bool { return a.Name == k.Artifact.Name })
	}), nil
}

// salvage keeps the tree of a lost attempt as evidence; failing that is logged, not fatal: the tree
// stays on disk. The tree it answers with is kept and can go.
func (d *Dispatcher) salvage(ctx context.Context, at work.Attempt) (*work.Evidence, []work.Mutation, Tree) {
	ws, ok := d.Policy().Workspaces[at.Workspace]
	if !ok || at.Base == "" || (at.Evidence != nil && at.Evidence.Commit != "") {
		return nil, nil, nil
	}
	tree, err := d.opt.Trees.Sealed(ctx, ws, at.ID, "")
	if err != nil {
		d.opt.Log.Warn("no tree of the lost attempt was kept", "attempt", at.ID, "error", err)
		return nil, nil, nil
	}
	a := &drive{d: d, ws: ws, at: at, tree: tree}
	evidence, rows, err := a.gather(ctx)
	if err != nil {
		d.opt.Log.Warn("the lost attempt's tree could not be kept", "attempt", at.ID, "error", err)
		return nil, nil, nil
	}
	return evidence, rows, tree
}

// closeQuestions denies the open questions and permissions: their attempts are over. Holds stay.
func (d *Dispatcher) closeQuestions(ctx context.Context) error {
	open, err := d.opt.Record.OpenApprovals(ctx)
	if err != nil {
		return fmt.Errorf("read open approvals: %w", err)
	}
	for _, ap := range open {
		if ap.Kind == work.ApprovalHold {
			continue
		}
		err := d.opt.Record.Apply(ctx, work.DecideApproval{
			ID: ap.ID, Version: ap.Version, To: work.ApprovalDenied, DecidedBy: "cancel", Actor: daemonActor(), At: d.now(),
		})
		if err != nil {
			return fmt.Errorf("close approval %s: %w", ap.ID, err)
		}
	}
	return nil
}

// endCutSteps ends steps that were active: their attempt is lost or never was.
func (d *Dispatcher) endCutSteps(ctx context.Context) error {
	steps, err := d.opt.Record.Unsettled(ctx)
	if err != nil {
		return fmt.Errorf("read unsettled steps: %w", err)
	}
	for _, s := range steps {
		if s.State != work.StepActive {
			continue
		}
		err := d.opt.Record.Apply(ctx, work.MoveStep{
			ID: s.ID, Version: s.Version, To: work.StepFailed, Reason: "lost: the daemon died", Actor: daemonActor(), At: d.now(),
		})
		if err != nil {
			return fmt.Errorf("end step %s: %w", s.ID, err)
		}
	}
	return nil
}

// resume puts workers and deadline watchers back. base ends when the daemon stops.
func (d *Dispatcher) resume(ctx, base context.Context) error {
	steps, err := d.opt.Record.Unsettled(ctx)
	if err != nil {
		return fmt.Errorf("read unsettled steps: %w", err)
	}
	holds, err := d.opt.Record.OpenApprovals(ctx)
	if err != nil {
		return fmt.Errorf("read open approvals: %w", err)
	}
	d.group.Go(func() { // start hands over to Run's loop, which begins when resume returns
		if base.Err() != nil {
			return
		}
		for _, s := range steps {
			d.kick(s.RunID)
		}
		for _, ap := range holds {
			if ap.Kind == work.ApprovalHold {
				d.watchHold(ap)
			}
		}
	})
	return nil
}
