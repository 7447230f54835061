package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// drive is one attempt on its way. Only its own goroutines move the attempt, so the version it holds is
// the recorded one.
type drive struct {
	d    *Dispatcher
	ws   *work.Workspace
	ex   *work.ExecutorDecl
	step work.Step

	before  *work.Attempt // the one that this follows up; nil otherwise
	resumed *work.Resumed
	tree    Tree
	place   provision.Place // what launches over the tree see besides
	ports   []int           // that no other live attempt has
	lease   *provision.Lease
	git     *Git // the tree's, made for what it is now; nil until it is needed
	journal Journal
	plugin  Plugin
	began   time.Time
	stopped time.Time // when the stop ladder began
	cancel  context.CancelCauseFunc

	mu         sync.Mutex // guards at and asking; held over the moves between running and waiting
	at         work.Attempt
	asking     int           // open questions
	asked      int           // all of them
	halt       chan struct{} // closed when the attempt is being stopped
	first      sync.Once
	firstEvent time.Time
	questions  sync.WaitGroup
	violations atomic.Int64

	tally       sync.Mutex // guards the next three
	permissions work.Permissions
	answers     []work.Approval // questions and requests that people were asked
	files       []string        // that the executor said it changed
}

// ending is how the execution of an attempt came out, before the gates.
type ending struct {
	cause   *stopCause // why the host stopped it; nil when it ended by itself
	err     error      // why it could not be executed or its plugin broke
	claim   *work.Claim
	result  sdk.Result
	death   *work.Death
	started bool // the executor had its text
}

// perform drives a queued step through one attempt.
func (d *Dispatcher) perform(ctx context.Context, step work.Step) error {
	policy := d.Policy()
	ws, ok := policy.Workspaces[step.Workspace]
	if !ok {
		return fault.New(fault.NotAllowed, "workspace %q is no longer declared", step.Workspace)
	}
	ex, ok := policy.Executors[step.Spec.Executor]
	if !ok || !slices.Contains(ws.Executors, step.Spec.Executor) {
		return fault.New(fault.NotAllowed, "executor %q may no longer run in workspace %q", step.Spec.Executor, ws.Name)
	}
	release, err := d.slots.take(ctx, ws.Name, func() (int, int) { return d.Policy().MaxParallel, ws.Parallel })
	if err != nil {
		return err
	}
	defer release()
	if d.isStopped() {
		return nil
	}
	a := &drive{d: d, ws: ws, ex: ex, step: step, halt: make(chan struct{})}
	return a.run(ctx)
}

// run takes the attempt through its life. Record writes go on after a cancel: ctx only says when to stop.
func (a *drive) run(ctx context.Context) error {
	record := context.WithoutCancel(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.cancel = cancel
	release, err := a.reserve()
	if err != nil {
		return err // no attempt has begun
	}
	defer release()
	if err := a.begin(record); err != nil {
		return err
	}
	defer a.forget()
	end := a.execute(ctx, record)
	if err := a.collect(record, &end); err != nil {
		return err
	}
	return a.conclude(ctx, record, end)
}

// begin pins the base and writes the attempt, registered before anybody can see it.
func (a *drive) begin(ctx context.Context) error {
	from, err := a.d.pin(ctx, a.step)
	if err != nil {
		return err
	}
	a.before = from.before
	a.at = work.Attempt{
		ID: ident.New(ident.Attempt), StepID: a.step.ID, RunID: a.step.RunID, Workspace: a.ws.Name,
		Executor: a.ex.Name, Text: from.text, State: work.AttemptQueued, CreatedAt: a.d.now(),
	}
	a.d.mu.Lock()
	a.d.live[a.at.ID] = &control{stepID: a.step.ID, cancel: a.cancel}
	a.d.mu.Unlock()
	now := a.d.now()
	err = a.d.opt.Record.Apply(ctx,
		work.CreateAttempt{Attempt: a.at},
		work.MoveStep{ID: a.step.ID, Version: a.step.Version, To: work.StepActive, Actor: daemonActor(), At: now},
		work.MoveAttempt{ID: a.at.ID, Version: firstVersion, To: work.AttemptPreparing, Base: from.base, Start: from.start, Actor: daemonActor(), At: now},
	)
	if err != nil {
		a.forget()
		return fmt.Errorf("begin attempt: %w", err)
	}
	return a.reread(ctx)
}

// firstVersion is the version of an object that was just inserted.
const firstVersion = 1

func (a *drive) forget() {
	a.d.mu.Lock()
	delete(a.d.live, a.at.ID)
	a.d.mu.Unlock()
	select {
	case a.d.ended <- struct{}{}:
	default:
	}
}

// reread brings the driver's copy up to what is recorded and wakes those who wait. Called with a.mu held
// or before the attempt has other goroutines.
func (a *drive) reread(ctx context.Context) error {
	at, err := a.d.opt.Record.Attempt(ctx, a.at.ID)
	if err != nil {
		return fmt.Errorf("read attempt back: %w", err)
	}
	a.at = at
	a.d.wake(at.ID, at.StepID, at.RunID)
	return nil
}

// move writes one transition of the attempt, with what else belongs into the same transaction.
func (a *drive) move(ctx context.Context, m work.MoveAttempt, with ...work.Mutation) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.moveLocked(ctx, m, with...)
}

func (a *drive) moveLocked(ctx context.Context, m work.MoveAttempt, with ...work.Mutation) error {
	m.ID, m.Version, m.At = a.at.ID, a.at.Version, a.d.now()
	if m.Actor == (work.Actor{}) {
		m.Actor = daemonActor()
	}
	if err := a.d.opt.Record.Apply(ctx, append(with, m)...); err != nil {
		return fmt.Errorf("move attempt to %s: %w", m.To, err)
	}
	return a.reread(ctx)
}

// origin is what an attempt starts from.
type origin struct {
	base, start, text string
	before            *work.Attempt // of a follow-up
}

// pin chooses what the attempt starts from: the commit of the last passed step before it, else the run's
// base; for a follow-up the kept tree of the attempt before.
func (d *Dispatcher) pin(ctx context.Context, step work.Step) (origin, error) {
	if follow, ok := strings.CutPrefix(step.Reason, followupReason); ok {
		before, err := d.keptCommit(ctx, step)
		if err != nil {
			return origin{}, err
		}
		return origin{base: before.Base, start: before.Evidence.Commit, text: follow, before: &before}, nil
	}
	run, err := d.opt.Record.Run(ctx, step.RunID)
	if err != nil {
		return origin{}, err
	}
	steps, err := d.opt.Record.StepsOf(ctx, step.RunID)
	if err != nil {
		return origin{}, err
	}
	base := run.BaseCommit
	for _, s := range steps {
		if s.Ix >= step.Ix || s.State != work.StepPassed {
			continue
		}
		at, err := d.keptCommit(ctx, s)
		if err != nil {
			return origin{}, err
		}
		base = at.Evidence.Commit
	}
	return origin{base: base, start: base, text: step.Spec.Text}, nil
}

// execute makes the tree, starts the executor and follows it to its proved end.
func (a *drive) execute(ctx, record context.Context) ending {
	if err := a.prepare(ctx); err != nil {
		end := ending{err: err, death: &work.Death{Method: "no executor was started", Proved: true}}
		if cause := causeOf(ctx); cause != nil {
			end.cause, end.err = cause, nil
		}
		return end
	}
	identity := a.plugin.Identity()
	a.began = a.d.now()
	err := a.move(record, work.MoveAttempt{
		To: work.AttemptRunning, Plugin: &identity, Enforced: a.plugin.Enforced(), Level: a.plugin.Level(), Simulated: identity.Simulated,
	})
	if err != nil {
		death := a.bury(record, nil)
		return ending{err: err, death: &death}
	}
	return a.follow(ctx, record)
}

// prepare makes tree, journal and process. On error nothing of it is alive.
func (a *drive) prepare(ctx context.Context) error {
	run, err := a.d.opt.Record.Run(ctx, a.at.RunID)
	if err != nil {
		return err
	}
	r := TreeRequest{AttemptID: a.at.ID, Start: a.at.Start, BaseRef: run.Base, BaseCommit: run.BaseCommit}
	if a.tree, err = a.d.opt.Trees.Create(ctx, a.ws, r); err != nil {
		return fmt.Errorf("make tree: %w", err)
	}
	if a.journal, err = a.d.opt.Journals.Create(a.at.ID, a.outputLimit()); err != nil {
		return fmt.Errorf("make journal: %w", err)
	}
	if err := a.provision(ctx, "", a.before == nil); err != nil {
		return err
	}
	if err := a.shadow(ctx); err != nil {
		return err
	}
	dev, ino := a.tree.Identity()
	a.plugin, err = a.d.opt.Plugins.Start(ctx, Launch{
		Kind: "executor", Name: a.ex.Plugin, Executor: a.ex.Name, Program: a.ex.Program, Config: a.ex.Config, Policy: a.ex.Sandbox, Tree: a.tree.Path(), Dev: dev, Ino: ino,
		Git: a.git, Binds: a.place.Binds, Env: a.place.Env, AttemptID: a.at.ID, OnViolation: a.violated, OnExceeded: a.exceeded, OnTraffic: a.requested,
		Gateway: a.ex.Gateway, OnModelCall: a.called,
	})
	if err != nil {
		return fmt.Errorf("start executor: %w", err)
	}
	return nil
}

// shadow makes the tree's git directory unless that was done for what the tree is now.
func (a *drive) shadow(ctx context.Context) error {
	if a.git != nil {
		return nil
	}
	git, err := a.tree.Shadow(ctx)
	if err != nil {
		return fmt.Errorf("make the tree's git directory: %w", err)
	}
	a.git = &git
	return nil
}

func (a *drive) outputLimit() int64 {
	if a.ex.Sandbox.Output > 0 {
		return a.ex.Sandbox.Output
	}
	return a.d.Policy().Output
}

// wall is the shortest of the declared times; 0 = none.
func (a *drive) wall() time.Duration {
	shortest := time.Duration(0)
	for _, w := range []time.Duration{a.step.Spec.Wall, a.ws.Wall, a.ex.Sandbox.Wall} {
		if w > 0 && (shortest == 0 || w < shortest) {
			shortest = w
		}
	}
	return shortest
}

// violated takes a kernel refusal from the launcher's feed into the stream.
func (a *drive) violated(v Violation) {
	a.violations.Add(max(v.Count, 1))
	a.note(sdk.Event{Type: sdk.EventSandboxDenied, Data: jsonOf(v)})
}

// requested takes a request to the network into the stream; a refused one counts as a violation.
func (a *drive) requested(t Traffic) {
	kind := sdk.EventNetworkRequest
	if !t.Allowed {
		a.violations.Add(1)
		kind = sdk.EventSandboxDenied
	}
	a.note(sdk.Event{Type: kind, Data: jsonOf(t)})
}

// follow sends the text and waits for the result, the wall, the cap, or a cancel.
func (a *drive) follow(ctx, record context.Context) ending {
	var deadline time.Time
	if wall := a.wall(); wall > 0 {
		deadline = a.began.Add(wall)
		timer := time.AfterFunc(wall, func() {
			a.cancel(&stopCause{kind: errWall, actor: daemonActor(), reason: "wall time " + wall.String() + " is over"})
		})
		defer timer.Stop()
	}
	answers := make(chan answer, 1)
	execCtx, endExec := context.WithCancel(record)
	defer endExec()
	sent := a.sdkAttempt(deadline)
	sent.Resume = a.resume(record, a.plugin.Identity())
	go func() { // ends with the plugin process; last reads its answer before follow returns
		result, err := a.plugin.Execute(execCtx, sent, a.sink)
		answers <- answer{result, err}
	}()
	got, cause, signals := a.await(ctx, record, answers)
	death := a.bury(record, signals)
	if got == nil {
		last := a.last(answers, endExec)
		got = &last
	}
	endExec() // whoever still waits for an answer to the executor need not
	a.questions.Wait()
	if cause == nil { // a cap that was hit by the last bytes counts though the executor ended first
		if c := causeOf(ctx); c != nil && overrides(c) {
			cause = c
		}
	}
	a.told(got.result, sent.Resume)
	claim := claimOf(got.result, got.err)
	if claim != nil {
		claim.Files = a.claimedFiles()
	}
	return ending{cause: cause, err: got.err, result: got.result, claim: claim, death: &death, started: true}
}

// answer is what the executor's plugin said at the end.
type answer struct {
	result sdk.Result
	err    error
}

// await waits for the answer or for a reason to stop; then it climbs the ladder. It answers nil when the
// executor did not end by itself.
func (a *drive) await(ctx, record context.Context, answers <-chan answer) (*answer, *stopCause, []string) {
	select {
	case got := <-answers:
		return &got, nil, nil
	case <-ctx.Done():
	}
	cause := causeOf(ctx)
	close(a.halt)
	var got *answer
	signals := a.ladder(record, cause, func(wait time.Duration) bool {
		select {
		case last := <-answers:
			got = &last
			return true
		case <-time.After(wait):
			return false
		}
	})
	return got, cause, signals
}

// halted reports that the attempt is being stopped.
func (a *drive) halted() bool {
	select {
	case <-a.halt:
		return true
	default:
		return false
	}
}

// lastWords is how long what a dead executor said before may take to arrive.
const lastWords = 2 * time.Second

// last reads the answer of an executor that is dead.
func (a *drive) last(answers <-chan answer, endExec func()) answer {
	select {
	case got := <-answers:
		return got
	case <-time.After(lastWords):
		endExec()
		return <-answers
	}
}

func (a *drive) sdkAttempt(deadline time.Time) sdk.Attempt {
	return sdk.Attempt{
		ID: a.at.ID, RunID: a.at.RunID, StepID: a.at.StepID, Instruction: a.at.Text, Tree: a.tree.Path(), Base: a.at.Base,
		Config: a.ex.Config, Paths: a.pathRules(), Deadline: deadline,
	}
}

// claimOf keeps what the executor said of itself; nil when it said nothing.
func claimOf(r sdk.Result, err error) *work.Claim {
	if err != nil {
		return nil
	}
	c := &work.Claim{
		StopReason: r.StopReason, ExitCode: r.ExitCode, Signal: r.Signal, Summary: r.Summary, Error: r.Message, ErrorClass: r.Class,
		Denied: r.Denied, Session: r.Session, Version: r.Version, RetryAfter: max(r.RetryAfter.Milliseconds(), 0),
	}
	c.Usage = usageOf(r.Usage)
	return c
}

// causeOf is why ctx was ended, nil while it was not.
func causeOf(ctx context.Context) *stopCause {
	if ctx.Err() == nil {
		return nil
	}
	var cause *stopCause
	if errors.As(context.Cause(ctx), &cause) {
		return cause
	}
	return shutdown()
}
