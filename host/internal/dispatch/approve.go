package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/permission"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Bounds of approvals.
const (
	defaultQuestion = 10 * time.Minute
	maxAsking       = 16 // open questions of one attempt
	maxPrompt       = 16 << 10
)

// sink takes the executor's events: all into the stream, questions also into approvals.
func (a *drive) sink(ctx context.Context, e sdk.Event) error {
	err := a.journal.Append("executor", e)
	if errors.Is(err, ErrFull) {
		a.cancel(&stopCause{kind: errOutput, actor: daemonActor(), reason: fmt.Sprintf("output over %d bytes", a.outputLimit())})
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal event: %w", err)
	}
	a.first.Do(func() { a.firstEvent = a.d.now() })
	switch e.Type {
	case sdk.EventFileChanged:
		a.claimFile(e)
	case sdk.EventQuestionAsked:
		q, err := sdk.QuestionOf(e)
		if err != nil {
			return fault.New(fault.PluginProtocol, "a question without an id, a text or with malformed data")
		}
		return a.ask(ctx, question{kind: work.ApprovalQuestion, item: q.ID, prompt: q.Text, options: q.Options})
	case sdk.EventPermissionAsked:
		return a.permit(ctx, e)
	}
	return nil
}

// question is what a person is to answer.
type question struct {
	kind       work.ApprovalKind
	item       string
	prompt     string
	options    []string
	permission decided // of a permission: what is known of it so far
}

// ask opens an approval and lets a goroutine wait for its decision, deadline or the attempt's end. Nobody
// is asked for an attempt that is being stopped: its answer is the refusal.
func (a *drive) ask(ctx context.Context, q question) error {
	ap := a.approvalFor(q)
	if a.halted() {
		a.input(ctx, q.item, sdk.Answer{}, sdk.Decision{Rule: byCancel})
		return nil
	}
	waiting := make(chan work.Approval, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asking >= maxAsking {
		return fault.New(fault.PluginProtocol, "more than %d open questions", maxAsking)
	}
	if a.asked >= maxApprovals {
		return fault.New(fault.PluginProtocol, "more than %d questions in one attempt", maxApprovals)
	}
	a.d.mu.Lock()
	a.d.pending[ap.ID] = waiting
	a.d.mu.Unlock()
	open := []work.Mutation{work.OpenApproval{Approval: ap}}
	var err error
	if a.at.State == work.AttemptRunning {
		err = a.moveLocked(ctx, work.MoveAttempt{To: work.AttemptWaiting}, open...)
	} else {
		err = a.d.opt.Record.Apply(ctx, open...)
	}
	if err != nil {
		a.d.settle(ap.ID)
		return fmt.Errorf("open approval: %w", err)
	}
	a.asking++
	a.asked++
	a.d.wake(a.at.ID, a.at.StepID, a.at.RunID)
	a.questions.Go(func() { a.awaitDecision(ctx, ap, q, waiting) })
	return nil
}

func (a *drive) approvalFor(q question) work.Approval {
	fallback := ""
	if q.kind == work.ApprovalPermission {
		fallback = cmp.Or(a.ex.Question.Default, permission.Deny)
	}
	wait := a.ex.Question.Deadline
	if wait <= 0 {
		wait = defaultQuestion
	}
	now := a.d.now()
	return work.Approval{
		ID: ident.New(ident.Approval), RunID: a.at.RunID, StepID: a.at.StepID, AttemptID: a.at.ID, Workspace: a.ws.Name,
		Kind: q.kind, ItemID: q.item, Prompt: clipped(q.prompt, maxPrompt), Options: q.options[:min(len(q.options), maxAsking)],
		Deadline: now.Add(wait), Default: fallback, State: work.ApprovalOpen, OpenedAt: now,
	}
}

// awaitDecision waits for one approval and carries the answer back. ctx ends with the attempt's process.
func (a *drive) awaitDecision(ctx context.Context, ap work.Approval, q question, waiting <-chan work.Approval) {
	record := context.WithoutCancel(ctx)
	done := a.decision(ctx, ap, waiting)
	a.d.settle(ap.ID)
	a.mu.Lock()
	a.asking--
	if a.asking == 0 && a.at.State == work.AttemptWaiting && ctx.Err() == nil && !a.halted() {
		if err := a.moveLocked(record, work.MoveAttempt{To: work.AttemptRunning}); err != nil {
			a.d.report(record, "resume after approval", err, "attempt", a.at.ID)
		}
	}
	a.mu.Unlock()
	a.settled(q, done)
	if ctx.Err() != nil {
		return
	}
	answer := sdk.Answer{Text: done.Answer, Answered: done.State == work.ApprovalAnswered}
	a.input(ctx, ap.ItemID, answer, sdk.Decision{Allowed: done.State == work.ApprovalAllowed, Rule: done.DecidedBy})
}

// decision waits until somebody has decided, the deadline has come, or the attempt or the daemon ends.
func (a *drive) decision(ctx context.Context, ap work.Approval, waiting <-chan work.Approval) work.Approval {
	record := context.WithoutCancel(ctx)
	timer := time.NewTimer(ap.Deadline.Sub(a.d.now()))
	defer timer.Stop()
	select {
	case done := <-waiting:
		return done
	case <-timer.C:
		return a.d.expire(record, ap, byDeadline)
	case <-a.d.stopped: // nobody can answer any more
		a.cancel(shutdown())
		select {
		case <-a.halt:
		case <-ctx.Done():
		}
	case <-a.halt: // an executor that is being stopped gets no leave any more
	case <-ctx.Done():
	}
	return a.d.expire(record, ap, byCancel)
}

// settled puts what became of a question into the stream, and keeps it for the result.
func (a *drive) settled(q question, ap work.Approval) {
	a.tally.Lock()
	a.answers = append(a.answers, ap)
	a.tally.Unlock()
	if q.kind == work.ApprovalPermission {
		d := q.permission
		d.state, d.by, d.approval = ap.State, ap.DecidedBy, ap.ID
		a.resolved(d)
		return
	}
	data := jsonOf(map[string]string{"approval_id": ap.ID, "state": string(ap.State), "decided_by": ap.DecidedBy, "answer": ap.Answer})
	a.note(sdk.Event{Type: sdk.EventQuestionAnswered, ItemID: ap.ItemID, Data: data})
}

func (d *Dispatcher) settle(id string) {
	d.mu.Lock()
	delete(d.pending, id)
	d.mu.Unlock()
}

// expire applies an approval's declared default, or denies it when its attempt is over. Somebody may have
// decided in the same moment; then that stands.
func (d *Dispatcher) expire(ctx context.Context, opened work.Approval, by string) work.Approval {
	ap, err := d.opt.Record.Approval(ctx, opened.ID)
	if err != nil {
		d.report(ctx, "read approval", err, "approval", opened.ID)
		opened.State = work.ApprovalDenied
		return opened
	}
	if ap.State != work.ApprovalOpen {
		return ap
	}
	to, answer := work.ApprovalDenied, ""
	if by == byDeadline {
		switch {
		case ap.Kind == work.ApprovalQuestion && ap.Default != "":
			to, answer = work.ApprovalAnswered, ap.Default
		case ap.Kind == work.ApprovalPermission && ap.Default == "allow", ap.Kind == work.ApprovalHold && ap.Default == "pass":
			to = work.ApprovalAllowed
		}
	}
	if err := d.write(ctx, ap, work.DecideApproval{To: to, Answer: answer, DecidedBy: by, Actor: daemonActor()}); err != nil && !fault.Is(err, fault.Stale) && !fault.Is(err, fault.Conflict) {
		d.report(ctx, "apply the approval's default", err, "approval", ap.ID)
	}
	now, err := d.opt.Record.Approval(ctx, ap.ID)
	if err != nil {
		d.report(ctx, "read approval", err, "approval", ap.ID)
		ap.State = work.ApprovalDenied
		return ap
	}
	return now
}

// write records a decision and, for a hold, the verdict that follows from it.
func (d *Dispatcher) write(ctx context.Context, ap work.Approval, m work.DecideApproval) error {
	m.ID, m.Version, m.At = ap.ID, ap.Version, d.now()
	rows := []work.Mutation{m}
	if ap.Kind == work.ApprovalHold {
		verdict, err := d.verdictFor(ctx, ap, m)
		if err != nil {
			return err
		}
		rows = append(rows, verdict)
	}
	if err := d.opt.Record.Apply(ctx, rows...); err != nil {
		return err
	}
	d.wake(ap.AttemptID, ap.StepID, ap.RunID, ap.ID)
	if ap.Kind == work.ApprovalHold {
		d.kick(ap.RunID)
	}
	return nil
}

func (d *Dispatcher) verdictFor(ctx context.Context, ap work.Approval, m work.DecideApproval) (work.Mutation, error) {
	gates, err := d.opt.Record.Gates(ctx, ap.AttemptID)
	if err != nil {
		return nil, err
	}
	for _, g := range gates {
		if g.Name != ap.Gate {
			continue
		}
		dec := gate.Answered(m.To == work.ApprovalAllowed, m.DecidedBy, m.Note)
		return work.DecideGate{
			ID: g.ID, Version: g.Version, To: dec.Verdict, Reason: dec.Reason, Validation: g.Validation, ApprovalID: ap.ID,
			DecidedBy: m.DecidedBy, Actor: m.Actor, At: m.At,
		}, nil
	}
	return nil, fault.New(fault.Internal, "gate %q of approval %s is not in the record", ap.Gate, ap.ID)
}

// watchHold lets the deadline of a hold decide if nobody does. The watcher ends when the hold is decided.
func (d *Dispatcher) watchHold(ap work.Approval) {
	decided := make(chan work.Approval, 1)
	d.mu.Lock()
	d.pending[ap.ID] = decided
	d.mu.Unlock()
	d.start(func(ctx context.Context) {
		defer d.settle(ap.ID)
		timer := time.NewTimer(ap.Deadline.Sub(d.now()))
		defer timer.Stop()
		select {
		case <-decided:
		case <-ctx.Done(): // the approval stays open for the next daemon
		case <-timer.C:
			d.expire(context.WithoutCancel(ctx), ap, byDeadline)
		}
	})
}

// DecideRequest decides an approval: allow, deny, or answer.
type DecideRequest struct {
	ApprovalID, Decision, Answer, Note string
}

// Decide records a person's or planner's decision. The caller has been authorised.
func (d *Dispatcher) Decide(ctx context.Context, actor work.Actor, r DecideRequest) (work.Approval, error) {
	if err := ident.Check(ident.Approval, r.ApprovalID); err != nil {
		return work.Approval{}, err
	}
	if actor.Kind == "executor" { // there is no way here from inside a sandbox; this is the second lock
		return work.Approval{}, fault.New(fault.NotAllowed, "an executor decides nothing")
	}
	ap, err := d.opt.Record.Approval(ctx, r.ApprovalID)
	if err != nil {
		return work.Approval{}, err
	}
	m := work.DecideApproval{Answer: r.Answer, Note: r.Note, DecidedBy: actor.Kind, Actor: actor}
	if m.To, err = decisionState(ap, r); err != nil {
		return work.Approval{}, err
	}
	if ap.State != work.ApprovalOpen {
		return work.Approval{}, fault.New(fault.Conflict, "approval %s was %s already, by %s", ap.ID, ap.State, ap.DecidedBy)
	}
	if err := d.write(ctx, ap, m); err != nil {
		return work.Approval{}, err
	}
	ap, err = d.opt.Record.Approval(ctx, ap.ID)
	if err != nil {
		return work.Approval{}, err
	}
	d.tell(ap)
	return ap, nil
}

func decisionState(ap work.Approval, r DecideRequest) (work.ApprovalState, error) {
	switch {
	case r.Decision == "deny":
		return work.ApprovalDenied, nil
	case r.Decision == "allow" && ap.Kind != work.ApprovalQuestion:
		return work.ApprovalAllowed, nil
	case r.Decision == "answer" && ap.Kind == work.ApprovalQuestion:
		return work.ApprovalAnswered, nil
	}
	return "", fault.New(fault.InvalidRequest, "an approval of kind %s cannot be decided with %q", ap.Kind, r.Decision).
		At("decision").Fix("a hold or a permission takes allow or deny; a question takes answer or deny")
}
