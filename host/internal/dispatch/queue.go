package dispatch

import (
	"context"
	"errors"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// runQueue is the worker of one run: it takes the run's unsettled steps in dispatch order.
type runQueue struct {
	kicked chan struct{} // one slot: something about the run's steps changed
	left   []work.Step   // that ended while they were held; Dispatcher.mu guards it
}

// kick makes sure that the run has a worker and that it looks again. The trees of the steps that have ended while
// they were held are the worker's to remove: it may still be judging one.
func (d *Dispatcher) kick(runID string, left ...work.Step) {
	d.mu.Lock()
	q, ok := d.runs[runID]
	if !ok {
		q = &runQueue{kicked: make(chan struct{}, 1)}
		d.runs[runID] = q
	}
	q.left = append(q.left, left...)
	select {
	case q.kicked <- struct{}{}:
	default:
	}
	d.mu.Unlock()
	if !ok && !d.start(func(ctx context.Context) { d.drainRun(ctx, runID, q) }) {
		d.mu.Lock()
		delete(d.runs, runID)
		d.mu.Unlock()
	}
}

// drainRun takes steps until none is unsettled or the daemon stops.
func (d *Dispatcher) drainRun(ctx context.Context, runID string, q *runQueue) {
	for ctx.Err() == nil && !d.isStopped() {
		select {
		case <-q.kicked:
		default:
		}
		d.dropLeft(ctx, q)
		step, found, err := d.next(ctx, runID)
		if err != nil {
			d.report(ctx, "read the run's steps", err, "run", runID)
		}
		if found {
			if !d.take(ctx, step) {
				d.await(ctx, q)
			}
			continue
		}
		if d.retire(runID, q) {
			return
		}
		if err != nil {
			d.await(ctx, q)
		}
	}
}

// retire removes the worker unless it was kicked meanwhile.
func (d *Dispatcher) retire(runID string, q *runQueue) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(q.kicked) > 0 {
		return false
	}
	delete(d.runs, runID)
	return true
}

func (d *Dispatcher) await(ctx context.Context, q *runQueue) {
	select {
	case <-q.kicked: // the loop looks again by itself
	case <-d.stopped:
	case <-ctx.Done():
	}
}

func (d *Dispatcher) isStopped() bool {
	select {
	case <-d.stopped:
		return true
	default:
		return false
	}
}

// next is the first step of the run that has not settled.
func (d *Dispatcher) next(ctx context.Context, runID string) (work.Step, bool, error) {
	steps, err := d.opt.Record.StepsOf(ctx, runID)
	if err != nil {
		return work.Step{}, false, err
	}
	for _, s := range steps {
		if !s.State.Settled() {
			return s, true, nil
		}
	}
	return work.Step{}, false, nil
}

// take does what the step needs now. It reports false when the step waits for somebody else.
func (d *Dispatcher) take(ctx context.Context, step work.Step) bool {
	var err error
	switch step.State {
	case work.StepQueued:
		err = d.perform(ctx, step)
	case work.StepHeld:
		var moved bool
		moved, err = d.rejudge(ctx, step)
		if err == nil && !moved {
			return false
		}
	default:
		return false
	}
	if err != nil && ctx.Err() == nil {
		d.report(ctx, "drive step", err, "step", step.ID)
		return d.failStep(ctx, step.ID, err)
	}
	return true
}

// failStep ends a step whose driving failed before or beside an attempt. It reports false when not even
// that could be recorded; the worker then waits to be kicked rather than spin.
func (d *Dispatcher) failStep(ctx context.Context, stepID string, cause error) bool {
	for range 3 {
		step, err := d.opt.Record.Step(ctx, stepID)
		if err != nil {
			return false
		}
		if step.State.Settled() {
			return true
		}
		why := string(fault.CodeOf(cause)) + ": " + fault.From(cause).Message
		rows := []work.Mutation{work.MoveStep{ID: stepID, Version: step.Version, To: work.StepFailed, Reason: why, Actor: daemonActor(), At: d.now()}}
		if step.State == work.StepHeld {
			closed, err := d.closeHeld(ctx, step, byRule("the step failed: "+why))
			if err != nil {
				return false
			}
			rows = append(rows, closed...)
		}
		err = d.opt.Record.Apply(ctx, rows...)
		if err == nil {
			d.dismiss(rows)
			d.wake(stepID, step.RunID)
			if step.State == work.StepHeld {
				d.dropHeld(ctx, step)
			}
			return true
		}
		if !fault.Is(err, fault.Stale) {
			return false
		}
	}
	return false
}

// report logs what has no caller to go to.
func (d *Dispatcher) report(ctx context.Context, what string, err error, kv ...any) {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return
	}
	d.opt.Log.Error(what, append(kv, "error", err)...)
}
