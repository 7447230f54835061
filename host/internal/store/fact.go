package store

import (
	"context"
	"regexp"
	"slices"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

const maxKind = 64

var kindForm = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)

// ownKinds are the kinds that only their own mutations write: the state of objects is a fold over them.
var ownKinds = []string{
	"run.opened", "run.closed", "run.cancelled",
	"step.dispatched", "step.queued", "step.active", "step.held", "step.passed", "step.rejected", "step.failed", "step.cancelled",
	"attempt.queued", "attempt.preparing", "attempt.running", "attempt.waiting", "attempt.collecting", "attempt.validating", "attempt.stopping",
	"attempt.ended",
	"artifact.kept", "validation.recorded", "gate.opened", "gate.decided", "approval.opened", "approval.decided",
	"log.created", "schema.migrated", "retention.purged",
}

// fact writes an event that changes no object.
func (c *change) fact(ctx context.Context, m work.Fact) error {
	if slices.Contains(ownKinds, m.Kind) {
		return fault.New(fault.InvalidRequest, "%s is not a fact: it is written by what it records", m.Kind)
	}
	return c.note(ctx, m)
}

// note writes a fact of any kind.
func (c *change) note(ctx context.Context, m work.Fact) error {
	if len(m.Kind) > maxKind || !kindForm.MatchString(m.Kind) {
		return fault.New(fault.InvalidRequest, "%q is not a kind of event", m.Kind).Fix("kinds look like sandbox.violation")
	}
	at, err := c.stamp(m.At)
	if err != nil {
		return err
	}
	e := entry{kind: m.Kind, actor: m.Actor, at: at, runID: m.RunID, stepID: m.StepID, attemptID: m.AttemptID}
	if err := c.locate(ctx, &e); err != nil {
		return err
	}
	body := m.Body
	if body == nil {
		body = struct{}{}
	}
	if e.body, err = audit.Canonical(body); err != nil {
		return fault.Wrap(err, fault.InvalidRequest, "the body of %s cannot be written as JSON", m.Kind)
	}
	return c.log(ctx, e)
}

// locate checks the objects that a fact names and fills in those above them.
func (c *change) locate(ctx context.Context, e *entry) error {
	above := func(what string, named *string, own string) error {
		err := foreign(what, *named, own)
		*named = own
		return err
	}
	if e.attemptID != "" {
		a, err := c.attempt(ctx, e.attemptID)
		if err != nil {
			return err
		}
		if err := above("step", &e.stepID, a.StepID); err != nil {
			return err
		}
	}
	if e.stepID != "" {
		s, err := c.step(ctx, e.stepID)
		if err != nil {
			return err
		}
		if err := above("run", &e.runID, s.RunID); err != nil {
			return err
		}
	}
	if e.runID != "" {
		r, err := c.run(ctx, e.runID)
		if err != nil {
			return err
		}
		e.workspace = r.Workspace
	}
	return nil
}
