package dispatch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/work"
)

// OpenRun opens a run on a ref that the workspace allows.
func (d *Dispatcher) OpenRun(ctx context.Context, actor work.Actor, r RunRequest) (work.Run, error) {
	policy := d.Policy()
	ws, ok := policy.Workspaces[r.Workspace]
	if !ok {
		return work.Run{}, fault.New(fault.NotFound, "no workspace %q is declared", r.Workspace).Fix("run: drawspan workspace ls")
	}
	if r.Base == "" {
		r.Base = ws.Base
	}
	if !baseAllowed(ws, r.Base) {
		return work.Run{}, fault.New(fault.NotAllowed, "base %q is not among the bases of workspace %q", r.Base, ws.Name).
			At(ws.Declared).Fix("choose one of %v", ws.Bases)
	}
	commit, err := d.opt.Trees.Resolve(ctx, ws, r.Base)
	if err != nil {
		return work.Run{}, fmt.Errorf("resolve base: %w", err)
	}
	run := work.Run{
		ID: ident.New(ident.Run), Workspace: ws.Name, Title: r.Title, Base: r.Base, BaseCommit: commit,
		State: work.RunOpen, Actor: actor, OpenedAt: d.now(), PolicySum: policy.Digest,
	}
	key := keyOf(actor, ws.Name, r.Key, "run.open", r.Workspace, r.Base, r.Title)
	id, err := d.replayed(run.ID, d.opt.Record.Apply(ctx, work.OpenRun{Run: run, Key: key}))
	if err != nil {
		return work.Run{}, err
	}
	d.wake(id)
	return d.opt.Record.Run(ctx, id)
}

// RunRequest asks for a run.
type RunRequest struct {
	Workspace, Base, Title, Key string
}

func baseAllowed(ws *work.Workspace, base string) bool {
	if base == ws.Base {
		return true
	}
	return slices.ContainsFunc(ws.Bases, func(glob string) bool {
		ok, err := path.Match(glob, base)
		return err == nil && ok
	})
}

// keyOf makes the idempotency key of a request; nil without a caller's key.
func keyOf(actor work.Actor, workspace, value string, parts ...any) *work.Key {
	if value == "" {
		return nil
	}
	return &work.Key{Actor: actor.Kind + ":" + actor.ID, Workspace: workspace, Value: value, Request: digestOf(parts)}
}

// digestOf is the hex SHA-256 of the JSON of v, which holds plain data only.
func digestOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		b = fmt.Append(nil, v)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// replayed turns the answer of a create into the id of the object that it made, now or the first time.
func (d *Dispatcher) replayed(id string, err error) (string, error) {
	var before *work.Replayed
	if errors.As(err, &before) {
		return before.ID, nil
	}
	return id, err
}

// StepRequest asks for a step. It can narrow what the workspace allows, never widen it.
type StepRequest struct {
	RunID, Text, Executor, Expect, Key string
	Paths                              *work.PathRules
	Wall                               time.Duration
	Gates                              []string
}

// DispatchStep queues a step.
func (d *Dispatcher) DispatchStep(ctx context.Context, actor work.Actor, r StepRequest) (work.Step, error) {
	run, ws, err := d.openRunOf(ctx, r.RunID)
	if err != nil {
		return work.Step{}, err
	}
	spec, err := d.narrow(ws, r)
	if err != nil {
		return work.Step{}, err
	}
	step := work.Step{
		ID: ident.New(ident.Step), RunID: run.ID, Workspace: ws.Name, Spec: spec, SpecSum: "sha256:" + digestOf(spec),
		State: work.StepQueued, Actor: actor, Dispatched: d.now(), Simulated: d.simulated(spec.Executor),
	}
	key := keyOf(actor, ws.Name, r.Key, "step.dispatch", run.ID, spec)
	id, err := d.replayed(step.ID, d.opt.Record.Apply(ctx, work.DispatchStep{Step: step, Key: key}))
	if err != nil {
		return work.Step{}, err
	}
	d.wake(id, run.ID)
	d.kick(run.ID)
	return d.opt.Record.Step(ctx, id)
}

func (d *Dispatcher) simulated(executor string) bool {
	ex, ok := d.Policy().Executors[executor]
	return ok && ex.Simulated
}

// openRunOf is the run, if it takes steps, with its workspace as declared now.
func (d *Dispatcher) openRunOf(ctx context.Context, runID string) (work.Run, *work.Workspace, error) {
	if err := ident.Check(ident.Run, runID); err != nil {
		return work.Run{}, nil, err
	}
	run, err := d.opt.Record.Run(ctx, runID)
	if err != nil {
		return work.Run{}, nil, err
	}
	d.mu.Lock()
	closing := d.closing[runID]
	d.mu.Unlock()
	if run.State != work.RunOpen || closing {
		return run, nil, fault.New(fault.RunNotOpen, "run %s is %s and takes no further steps", runID, run.State).Fix("open another: drawspan run open")
	}
	ws, ok := d.Policy().Workspaces[run.Workspace]
	if !ok {
		return run, nil, fault.New(fault.NotAllowed, "workspace %q is no longer declared", run.Workspace)
	}
	return run, ws, nil
}

// narrow checks a step's request against the workspace and makes its spec.
func (d *Dispatcher) narrow(ws *work.Workspace, r StepRequest) (work.StepSpec, error) {
	if r.Text == "" {
		return work.StepSpec{}, fault.New(fault.InvalidRequest, "text is empty").At("text")
	}
	if len(ws.Executors) == 0 {
		return work.StepSpec{}, fault.New(fault.NotAllowed, "workspace %q has no executors: its gates judge commits, and nothing runs there", ws.Name).
			At(ws.Declared).Fix("give it some and reload, or judge: drawspan gate run --workspace %s", ws.Name)
	}
	if !slices.Contains(ws.Executors, r.Executor) {
		return work.StepSpec{}, fault.New(fault.NotAllowed, "executor %q may not run in workspace %q", r.Executor, ws.Name).
			At(ws.Declared).Fix("choose one of %v, or add it to the workspace's executors and reload", ws.Executors)
	}
	if r.Expect != "" && r.Expect != "none" {
		return work.StepSpec{}, fault.New(fault.InvalidRequest, "expect is %q; it is left out or \"none\"", r.Expect).At("expect")
	}
	if r.Wall < 0 || (r.Wall > 0 && ws.Wall > 0 && r.Wall > ws.Wall) {
		return work.StepSpec{}, fault.New(fault.NotAllowed, "wall %s is not within the workspace's %s; a dispatch can only narrow", r.Wall, ws.Wall).At("wall")
	}
	for _, name := range r.Gates {
		if !slices.ContainsFunc(ws.Gates, func(g work.GateRule) bool { return g.Name == name }) {
			return work.StepSpec{}, fault.New(fault.InvalidRequest, "gate %q is not declared in workspace %q", name, ws.Name).At("gates").Fix("drawspan workspace ls")
		}
	}
	spec := work.StepSpec{Text: r.Text, Executor: r.Executor, Paths: r.Paths, Wall: r.Wall, Gates: slices.Compact(slices.Sorted(slices.Values(r.Gates))), Expect: r.Expect}
	if err := checkAdded(ws, spec); err != nil {
		return work.StepSpec{}, err
	}
	if spec.Paths != nil {
		return spec, checkPaths(ws, spec)
	}
	return spec, nil
}

// checkAdded refuses an optional gate that would wait for one which is not evaluated.
func checkAdded(ws *work.Workspace, spec work.StepSpec) error {
	rules := panel.Rules(ws, spec.Gates)
	for _, g := range rules {
		for _, name := range slices.Concat(g.Needs, g.After) {
			if !slices.ContainsFunc(rules, func(other work.GateRule) bool { return other.Name == name }) {
				return fault.New(fault.InvalidRequest, "gate %q rests on gate %q, which is optional and was not asked for", g.Name, name).
					At(g.Declared).Fix("ask for both: --gate %s --gate %s", g.Name, name)
			}
		}
	}
	return nil
}

// checkPaths refuses path limits that no gate would judge: a limit is enforced or not taken.
func checkPaths(ws *work.Workspace, spec work.StepSpec) error {
	for _, glob := range slices.Concat(spec.Paths.Write, spec.Paths.Forbid) {
		if glob == "" || len(glob) > 1024 {
			return fault.New(fault.InvalidRequest, "a path glob is empty or longer than 1024 bytes").At("paths")
		}
	}
	judged := slices.ContainsFunc(panel.Rules(ws, spec.Gates), func(g work.GateRule) bool {
		return g.Validator == pathsValidator && gate.Required(g) && g.When == nil && len(g.Paths) == 0
	})
	if !judged {
		return fault.New(fault.NotAllowed, "paths cannot be narrowed: workspace %q has no gate with validator \"paths\" that every result must pass", ws.Name).
			At(ws.Declared).Fix("declare a gate with validator = \"paths\" in the workspace, without when, paths and on_fail = \"warn\"")
	}
	return nil
}

// CloseRun refuses new steps from now on and waits for none.
func (d *Dispatcher) CloseRun(ctx context.Context, actor work.Actor, runID string) (work.Run, error) {
	run, _, err := d.openRunOf(ctx, runID)
	if err != nil && !fault.Is(err, fault.NotAllowed) {
		return work.Run{}, err
	}
	err = d.opt.Record.Apply(ctx, work.MoveRun{ID: runID, Version: run.Version, To: work.RunClosed, Actor: actor, At: d.now()})
	if err != nil {
		return work.Run{}, err
	}
	d.wake(runID)
	return d.opt.Record.Run(ctx, runID)
}

// Retry queues a new attempt of an ended step, from its base.
func (d *Dispatcher) Retry(ctx context.Context, actor work.Actor, stepID, key string) (work.Step, error) {
	return d.again(ctx, actor, againRequest{stepID: stepID, key: key})
}

// Followup queues a new attempt that starts from the kept tree of the newest one.
func (d *Dispatcher) Followup(ctx context.Context, actor work.Actor, stepID, text, key string) (work.Step, error) {
	if text == "" {
		return work.Step{}, fault.New(fault.InvalidRequest, "text is empty").At("text")
	}
	return d.again(ctx, actor, againRequest{stepID: stepID, text: text, key: key})
}

// againRequest asks for a further attempt; a text makes it a follow-up.
type againRequest struct{ stepID, text, key string }

// again puts an ended step back into the queue. The follow-up's text travels in the reason of the move,
// so that it is in the record before anything acts on it.
func (d *Dispatcher) again(ctx context.Context, actor work.Actor, r againRequest) (work.Step, error) {
	step, err := d.stepOf(ctx, r.stepID)
	if err != nil {
		return work.Step{}, err
	}
	key := keyOf(actor, step.Workspace, r.key, "step.again", r.stepID, r.text)
	if key != nil {
		if known, err := d.opt.Record.Known(ctx, *key); known || err != nil {
			return step, err
		}
	}
	if err := d.mayGoOn(ctx, step, r.text); err != nil {
		return work.Step{}, err
	}
	reason := retryReason
	if r.text != "" {
		reason = followupReason + r.text
	}
	err = d.opt.Record.Apply(ctx, work.MoveStep{ID: step.ID, Version: step.Version, To: work.StepQueued, Reason: reason, Actor: actor, At: d.now(), Key: key})
	if _, err := d.replayed(step.ID, err); err != nil {
		return work.Step{}, err
	}
	d.wake(step.ID, step.RunID)
	d.kick(step.RunID)
	return d.opt.Record.Step(ctx, step.ID)
}

// mayGoOn says whether an ended step may have a further attempt.
func (d *Dispatcher) mayGoOn(ctx context.Context, step work.Step, text string) error {
	if _, _, err := d.openRunOf(ctx, step.RunID); err != nil {
		return err
	}
	if !step.State.Settled() {
		return fault.New(fault.Conflict, "step %s is %s; only an ended step can be tried again", step.ID, step.State)
	}
	if step.State == work.StepPassed {
		if err := d.passedLast(ctx, step, text); err != nil {
			return err
		}
	}
	if text == "" {
		return nil
	}
	_, err := d.keptCommit(ctx, step)
	return err
}

const (
	retryReason    = "retry"
	followupReason = "followup: "
)

// passedLast allows a passed step to go on only by a follow-up and only while nothing was built on it.
func (d *Dispatcher) passedLast(ctx context.Context, step work.Step, text string) error {
	if text == "" {
		return fault.New(fault.Conflict, "step %s passed; there is nothing to try again", step.ID).Fix("run: drawspan step followup %s TEXT", step.ID)
	}
	steps, err := d.opt.Record.StepsOf(ctx, step.RunID)
	if err != nil {
		return err
	}
	if last := steps[len(steps)-1]; last.ID != step.ID {
		return fault.New(fault.Conflict, "step %s passed and later steps of its run build on it", step.ID).Fix("dispatch a new step instead")
	}
	return nil
}

// keptCommit is the commit under which the step's newest attempt was kept.
func (d *Dispatcher) keptCommit(ctx context.Context, step work.Step) (work.Attempt, error) {
	if step.AttemptID == "" {
		return work.Attempt{}, fault.New(fault.Conflict, "step %s has no attempt to follow up", step.ID)
	}
	at, err := d.opt.Record.Attempt(ctx, step.AttemptID)
	if err != nil {
		return work.Attempt{}, err
	}
	if at.Evidence == nil || at.Evidence.Commit == "" {
		return work.Attempt{}, fault.New(fault.Conflict, "attempt %s kept no tree to start from", at.ID).Fix("run: drawspan step retry %s", step.ID)
	}
	return at, nil
}

func (d *Dispatcher) stepOf(ctx context.Context, stepID string) (work.Step, error) {
	if err := ident.Check(ident.Step, stepID); err != nil {
		return work.Step{}, err
	}
	return d.opt.Record.Step(ctx, stepID)
}
