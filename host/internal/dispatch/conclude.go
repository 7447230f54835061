package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
)

// conclude decides the outcome, evaluates the gates where there is something to judge, and ends attempt
// and step.
func (a *drive) conclude(ctx, record context.Context, end ending) error {
	v := end.outcome(a.at.Evidence)
	if gate.Judgeable(v.outcome, a.step.Spec.Expect) && end.started && a.at.Evidence.Commit != "" {
		var err error
		if end, err = a.judge(ctx, record, end); err != nil {
			a.d.report(record, "evaluate the gates", err, "attempt", a.at.ID)
			end.err = err
			v = verdict{work.InfraError, string(fault.CodeOf(err)), fault.From(err).Message, true}
		} else if end.cause != nil {
			v = stopOutcome(end.cause)
		}
	}
	ended := work.MoveAttempt{
		To: work.AttemptEnded, Outcome: v.outcome, Reason: v.reason, Message: v.message, Retryable: v.retryable,
		Evidence: a.at.Evidence, Death: end.death, Claim: end.claim,
	}
	return a.finish(record, ended)
}

// judge resets the tree to what is kept and evaluates the gates over it. A cancel in the meantime goes
// through stopping.
func (a *drive) judge(ctx, record context.Context, end ending) (ending, error) {
	if err := a.tree.Reset(record); err != nil {
		return end, fmt.Errorf("reset the tree to what is kept: %w", err)
	}
	subject := a.subject()
	if err := a.move(record, work.MoveAttempt{To: work.AttemptValidating, Evidence: a.at.Evidence}, a.d.opt.Panel.Open(subject)...); err != nil {
		return end, err
	}
	if err := a.provision(ctx, forGates, false); err == nil {
		if err := a.d.opt.Panel.Evaluate(ctx, subject); err != nil {
			return end, err
		}
	} else if causeOf(ctx) == nil { // else it was cut off
		return end, err
	}
	if cause := causeOf(ctx); cause != nil {
		end.cause = cause
		return end, a.move(record, work.MoveAttempt{To: work.AttemptStopping, Cause: cause.Error(), Reason: cause.reason, Actor: cause.actor})
	}
	return end, nil
}

// mostEnds is how often the end of a step is written anew because a person decided one of its gates meanwhile.
const mostEnds = 8

// finish writes the end of the attempt, its result.json and the step's new state in one transaction.
func (a *drive) finish(ctx context.Context, ended work.MoveAttempt) error {
	ended.ID, ended.Version, ended.Actor = a.at.ID, a.at.Version, daemonActor()
	state, err := a.end(ctx, ended)
	for n := 1; fault.Is(err, fault.Stale) && n < mostEnds; n++ {
		state, err = a.end(ctx, ended)
	}
	if err != nil {
		return fmt.Errorf("end attempt: %w", err)
	}
	if err := a.reread(ctx); err != nil {
		return err
	}
	if state != work.StepHeld {
		a.dropTree(ctx)
		a.d.afterStep(ctx, a.step.RunID)
	}
	return nil
}

// end writes it once, by the gates as they are now.
func (a *drive) end(ctx context.Context, ended work.MoveAttempt) (work.StepState, error) {
	gates, err := a.d.opt.Record.Gates(ctx, a.at.ID)
	if err != nil {
		return "", err
	}
	state, why := a.stepState(ended, gates)
	var closed []work.Mutation
	if state != work.StepHeld {
		c := byRule("the attempt ended as " + string(ended.Outcome))
		if state == work.StepRejected {
			c = byRule("the step was rejected: " + why)
		}
		if gates, closed, err = a.d.closeGates(ctx, gates, c); err != nil {
			return "", err
		}
	}
	step, err := a.d.opt.Record.Step(ctx, a.step.ID)
	if err != nil {
		return "", err
	}
	row, err := a.result(ctx, ended, gates)
	if err != nil {
		return "", err
	}
	ended.At = a.d.now()
	rows := append([]work.Mutation{work.KeepArtifact{Artifact: row}}, closed...)
	rows = append(rows, ended, work.MoveStep{ID: step.ID, Version: step.Version, To: state, Reason: why, Actor: daemonActor(), At: ended.At})
	if err := a.d.opt.Record.Apply(ctx, rows...); err != nil {
		return "", err
	}
	a.d.dismiss(closed)
	return state, nil
}

func (a *drive) stepState(ended work.MoveAttempt, gates []work.GateRecord) (work.StepState, string) {
	if ended.Outcome == work.Cancelled {
		return work.StepCancelled, ended.Message
	}
	standing, why := gate.Stand(ended.Outcome, a.step.Spec.Expect, gates)
	switch standing {
	case gate.Passed:
		return work.StepPassed, ""
	case gate.Rejected:
		return work.StepRejected, why
	case gate.Held, gate.Unfinished: // Unfinished: a hold was decided after the evaluation; rejudge goes on with it
		return work.StepHeld, why
	}
	if ended.Message != "" {
		why += ": " + ended.Message
	}
	return work.StepFailed, why
}

// dropTree removes the tree; its state is kept under a ref, else it stays.
func (a *drive) dropTree(ctx context.Context) {
	if a.tree == nil || a.at.Evidence == nil || a.at.Evidence.Commit == "" {
		return
	}
	if err := a.tree.Remove(ctx); err != nil {
		a.d.opt.Log.Warn("attempt tree not removed", "attempt", a.at.ID, "tree", a.tree.Path(), "error", err)
	}
}

// rejudge goes on with a held step after a decision. It reports false when the step still waits, and true
// when it moved or is to be looked at again.
func (d *Dispatcher) rejudge(ctx context.Context, step work.Step) (bool, error) {
	at, err := d.opt.Record.Attempt(ctx, step.AttemptID)
	if err != nil {
		return false, err
	}
	gates, err := d.opt.Record.Gates(ctx, at.ID)
	if err != nil {
		return false, err
	}
	standing, why := gate.Stand(at.Outcome, step.Spec.Expect, gates)
	if standing == gate.Held {
		return false, nil
	}
	ws, ok := d.Policy().Workspaces[step.Workspace]
	if !ok {
		return false, fault.New(fault.NotAllowed, "workspace %q is no longer declared", step.Workspace)
	}
	a := &drive{d: d, ws: ws, ex: d.Policy().Executors[step.Spec.Executor], step: step, at: at}
	if a.tree, err = d.opt.Trees.Sealed(ctx, ws, at.ID, at.Evidence.Commit); err != nil {
		return false, fmt.Errorf("open sealed tree: %w", err)
	}
	if standing == gate.Unfinished {
		before := final(gates)
		if gates, err = a.goOn(ctx, gates); err != nil {
			return false, err
		}
		standing, why = gate.Stand(at.Outcome, step.Spec.Expect, gates)
		if standing == gate.Unfinished && final(gates) > before {
			return true, nil // a hold was decided after the evaluation
		}
	}
	return a.settleHeld(ctx, gates, standing, why)
}

// goOn evaluates what can be of the gates that the step was opened with. One that was declared since does not
// judge it; one whose rule is another now is closed by the panel.
func (a *drive) goOn(ctx context.Context, gates []work.GateRecord) ([]work.GateRecord, error) {
	release, err := a.reserve()
	if err != nil {
		return nil, err
	}
	defer release()
	if err := a.provision(ctx, forGates, false); err != nil {
		return nil, fmt.Errorf("prepare sealed tree: %w", err)
	}
	subject := a.subject()
	subject.Rules = slices.DeleteFunc(slices.Clone(subject.Rules), func(r work.GateRule) bool {
		return !slices.ContainsFunc(gates, func(g work.GateRecord) bool { return g.Name == r.Name })
	})
	if err := a.d.opt.Panel.Evaluate(ctx, subject); err != nil {
		return nil, err
	}
	return a.d.opt.Record.Gates(ctx, a.at.ID)
}

// final counts the gates that have their final verdict.
func final(gates []work.GateRecord) int {
	n := 0
	for _, g := range gates {
		if g.Verdict == work.VerdictPass || g.Verdict == work.VerdictFail {
			n++
		}
	}
	return n
}

// settleHeld moves a held step where its gates now say.
func (a *drive) settleHeld(ctx context.Context, gates []work.GateRecord, standing gate.Standing, why string) (bool, error) {
	d, to, ends := a.d, work.StepFailed, "the step failed: "+why
	switch standing {
	case gate.Held:
		return false, nil
	case gate.Passed:
		to = work.StepPassed
	case gate.Rejected:
		to, ends = work.StepRejected, "the step was rejected: "+why
	case gate.Unfinished, gate.Failed:
		if ctx.Err() != nil {
			return false, nil // the daemon stops; the step stays held for the next one
		}
	}
	step, err := d.opt.Record.Step(ctx, a.step.ID)
	if err != nil {
		return false, err
	}
	_, closed, err := d.closeGates(ctx, gates, byRule(ends))
	if err != nil {
		return false, err
	}
	move := work.MoveStep{ID: step.ID, Version: step.Version, To: to, Reason: why, Actor: daemonActor(), At: d.now()}
	err = d.opt.Record.Apply(ctx, append(closed, move)...)
	switch {
	case fault.Is(err, fault.Stale):
		return true, nil // somebody decided meanwhile
	case err != nil && !errors.Is(err, context.Canceled):
		return false, err
	}
	d.dismiss(closed)
	d.wake(step.ID, step.RunID)
	a.dropTree(ctx)
	d.afterStep(ctx, step.RunID)
	return true, nil
}
