package dispatch

import (
	"context"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// ladder records that the attempt is being stopped and climbs: protocol cancel, SIGINT, SIGTERM. The
// kill that follows is bury's. It answers with what was sent.
func (a *drive) ladder(ctx context.Context, cause *stopCause, ended func(time.Duration) bool) []string {
	a.stopped = a.d.now()
	if err := a.move(ctx, work.MoveAttempt{To: work.AttemptStopping, Cause: cause.Error(), Reason: cause.reason, Actor: cause.actor}); err != nil {
		a.d.report(ctx, "record stopping", err, "attempt", a.at.ID)
	}
	times := a.d.Policy().Stop
	if beyondCap(cause) { // what it still says would be over the cap, or it is being killed
		return nil
	}
	var sent []string
	for _, rung := range []struct {
		name string
		wait time.Duration
		send func() error
	}{
		{"cancel", times.Protocol, func() error { return a.plugin.Cancel(ctx, cause.reason) }},
		{"SIGINT", times.Interrupt, func() error { return a.plugin.Interrupt(ctx) }},
		{"SIGTERM", times.Terminate, func() error { return a.plugin.Terminate(ctx) }},
	} {
		sent = append(sent, rung.name)
		if err := rung.send(); err != nil {
			a.d.opt.Log.Debug("rung of the stop ladder failed", "attempt", a.at.ID, "rung", rung.name, "error", err)
			continue
		}
		if ended(rung.wait) {
			return sent
		}
	}
	return sent
}

// bury kills what is left of the attempt's process tree and waits for the proof, for as long as it takes:
// without it the attempt stays where it is and says so once.
func (a *drive) bury(ctx context.Context, signals []string) work.Death {
	began := a.d.now()
	if !a.stopped.IsZero() {
		began = a.stopped
	}
	for told := false; ; told = true {
		death, err := a.plugin.Stop(ctx)
		death.Signals = append(signals, death.Signals...)
		death.Kill, death.Took = death.Took, a.d.now().Sub(began)
		if err == nil && death.Proved {
			return death
		}
		if !told {
			a.stuck(ctx, death, err)
		}
		select {
		case <-time.After(stuckRetry):
		case <-ctx.Done():
			return death
		}
	}
}

// stuckRetry is how often an unproved death is tried again. Nothing announces that an uninterruptible
// process has gone, so this is asked.
const stuckRetry = 2 * time.Second

func (a *drive) stuck(ctx context.Context, death work.Death, cause error) {
	body := map[string]any{"survivors": death.Survivors, "method": death.Method}
	if cause != nil {
		body["error"] = fault.From(cause).Message
	}
	a.d.opt.Log.Error("attempt is stuck: its death is not proved", "attempt", a.at.ID, "error", cause)
	err := a.d.opt.Record.Apply(ctx, work.Fact{
		Kind: "attempt.stuck", Actor: daemonActor(), RunID: a.at.RunID, StepID: a.at.StepID, AttemptID: a.at.ID, At: a.d.now(), Body: body,
	})
	if err != nil {
		a.d.report(ctx, "record stuck attempt", err, "attempt", a.at.ID)
	}
}

// CancelStep asks a step to stop. The step is cancelled at once where nothing runs; where an attempt
// lives it becomes cancelled when its death is proved.
func (d *Dispatcher) CancelStep(ctx context.Context, actor work.Actor, stepID, reason string) (work.Step, error) {
	for range 8 {
		step, err := d.stepOf(ctx, stepID)
		if err != nil {
			return work.Step{}, err
		}
		if step.State.Settled() {
			return step, nil
		}
		done, err := d.cancelNow(ctx, actor, step, reason)
		if err != nil && !fault.Is(err, fault.Stale) {
			return work.Step{}, err
		}
		if done && err == nil {
			return d.opt.Record.Step(ctx, stepID)
		}
	}
	return work.Step{}, fault.New(fault.Conflict, "step %s kept changing while it was being cancelled", stepID).Fix("run: drawspan step cancel %s", stepID)
}

// cancelNow cancels a step in the state that was read. It reports false when the state has moved on.
func (d *Dispatcher) cancelNow(ctx context.Context, actor work.Actor, step work.Step, reason string) (bool, error) {
	switch step.State {
	case work.StepQueued:
		err := d.opt.Record.Apply(ctx, work.MoveStep{ID: step.ID, Version: step.Version, To: work.StepCancelled, Reason: reason, Actor: actor, At: d.now()})
		d.wake(step.ID, step.RunID)
		return true, err
	case work.StepHeld:
		return true, d.cancelHeld(ctx, actor, step, reason)
	case work.StepActive:
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, c := range d.live {
			if c.stepID == step.ID {
				c.cancel(&stopCause{kind: errCancel, actor: actor, reason: reason})
				return true, nil
			}
		}
	}
	return false, nil
}

// cancelHeld cancels a step whose attempt has ended already: its gates are denied, its approvals closed.
func (d *Dispatcher) cancelHeld(ctx context.Context, actor work.Actor, step work.Step, reason string) error {
	rows, err := d.closeHeld(ctx, step, closing{"the step was cancelled", "cancel", actor})
	if err != nil {
		return err
	}
	rows = append(rows, work.MoveStep{ID: step.ID, Version: step.Version, To: work.StepCancelled, Reason: reason, Actor: actor, At: d.now()})
	if err := d.opt.Record.Apply(ctx, rows...); err != nil {
		return err
	}
	d.dismiss(rows)
	d.wake(step.ID, step.RunID, step.AttemptID)
	d.kick(step.RunID, step)
	return nil
}

// CancelRun refuses new steps and cancels all of the run's; the run is cancelled when the last of them
// has settled.
func (d *Dispatcher) CancelRun(ctx context.Context, actor work.Actor, runID, reason string) (work.Run, error) {
	run, _, err := d.openRunOf(ctx, runID)
	if err != nil && !fault.Is(err, fault.NotAllowed) {
		return work.Run{}, err
	}
	d.mu.Lock()
	d.closing[runID] = true
	d.mu.Unlock()
	err = d.opt.Record.Apply(ctx, work.Fact{Kind: "run.cancel_requested", Actor: actor, RunID: runID, At: d.now(), Body: map[string]any{"reason": reason}})
	if err != nil {
		return work.Run{}, err
	}
	steps, err := d.opt.Record.StepsOf(ctx, runID)
	if err != nil {
		return work.Run{}, err
	}
	for _, s := range steps {
		if _, err := d.CancelStep(ctx, actor, s.ID, reason); err != nil {
			return work.Run{}, err
		}
	}
	if err := d.finishCancel(ctx, actor, run.ID, reason); err != nil {
		return work.Run{}, err
	}
	return d.opt.Record.Run(ctx, runID)
}

// finishCancel moves a run that is being cancelled once none of its steps is unsettled. The driver of its
// last step calls it too.
func (d *Dispatcher) finishCancel(ctx context.Context, actor work.Actor, runID, reason string) error {
	if _, waiting, err := d.next(ctx, runID); err != nil || waiting {
		return err
	}
	run, err := d.opt.Record.Run(ctx, runID)
	if err != nil || run.State != work.RunOpen {
		return err
	}
	err = d.opt.Record.Apply(ctx, work.MoveRun{ID: runID, Version: run.Version, To: work.RunCancelled, Actor: actor, At: d.now(), Reason: reason})
	if err != nil && !fault.Is(err, fault.Stale) {
		return err
	}
	d.mu.Lock()
	delete(d.closing, runID)
	d.mu.Unlock()
	d.wake(runID)
	return nil
}

// afterStep finishes a run's cancel when its last step has settled.
func (d *Dispatcher) afterStep(ctx context.Context, runID string) {
	d.mu.Lock()
	closing := d.closing[runID]
	d.mu.Unlock()
	if !closing {
		return
	}
	if err := d.finishCancel(ctx, daemonActor(), runID, "all steps have settled"); err != nil {
		d.report(ctx, "finish cancelling the run", err, "run", runID)
	}
}

// budgetEvent is the stream's note that a limit ended the attempt.
func budgetEvent(cause *stopCause) sdk.Event {
	return sdk.Event{Type: sdk.EventBudgetExceeded, Data: jsonOf(map[string]string{"cause": cause.Error(), "reason": cause.reason})}
}
