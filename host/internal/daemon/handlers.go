package daemon

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/httpapi"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
)

// handlers answers every operation of the local surface.
func (d *Daemon) handlers() httpapi.Handlers {
	h := httpapi.Handlers{
		api.OpInstanceDescribe: httpapi.Handle(d.describe),
		api.OpWorkspaceList:    httpapi.Handle(d.workspaces),
		api.OpExecutorList:     httpapi.Handle(d.executors),
		api.OpExecutorProbe:    httpapi.Handle(d.executorProbe),
		api.OpRunOpen:          httpapi.Handle(d.runOpen),
		api.OpRunList:          httpapi.Handle(d.runList),
		api.OpRunGet:           httpapi.Handle(d.runGet),
		api.OpRunClose:         httpapi.Handle(d.runClose),
		api.OpRunCancel:        httpapi.Handle(d.runCancel),
		api.OpRunExport:        httpapi.Handle(d.runExport),
		api.OpStepDispatch:     httpapi.Handle(d.stepDispatch),
		api.OpStepList:         httpapi.Handle(d.stepList),
		api.OpStepGet:          httpapi.Handle(d.stepGet),
		api.OpStepCancel:       httpapi.Handle(d.stepCancel),
		api.OpStepRetry:        httpapi.Handle(d.stepRetry),
		api.OpStepFollowup:     httpapi.Handle(d.stepFollowup),
		api.OpStepApply:        httpapi.Handle(d.stepApply),
	}
	d.evidenceHandlers(h)
	d.operatorHandlers(h)
	return h
}

func (d *Daemon) runOpen(ctx context.Context, a api.Actor, r api.RunOpenRequest) (api.Run, error) {
	run, err := d.dispatch.OpenRun(ctx, work.Actor(a), dispatch.RunRequest{Workspace: r.Workspace, Base: r.Base, Title: r.Title, Key: r.Key})
	if err != nil {
		return api.Run{}, err
	}
	return runOf(run), nil
}

func (d *Daemon) runList(ctx context.Context, _ api.Actor, r api.RunListRequest) (api.List[api.Run], error) {
	page, err := d.store.Runs(ctx, store.RunFilter{Workspace: r.Workspace, State: work.RunState(r.State), Limit: pageSize(r.Page), Cursor: r.Cursor})
	return listOf(page, runOf), err
}

// pageSize is a list's bound: what was asked for, within the API's limit.
func pageSize(p api.Page) int {
	if p.Limit <= 0 || p.Limit > api.MaxPageSize {
		return api.MaxPageSize
	}
	return p.Limit
}

func listOf[A, B any](page store.Page[A], f func(A) B) api.List[B] {
	return api.List[B]{Items: mapAll(page.Items, f), Next: page.Next}
}

func (d *Daemon) runGet(ctx context.Context, _ api.Actor, r api.RunRef) (api.Run, error) {
	if err := ident.Check(ident.Run, r.RunID); err != nil {
		return api.Run{}, err
	}
	run, err := d.store.Run(ctx, r.RunID)
	return runOf(run), err
}

func (d *Daemon) runClose(ctx context.Context, a api.Actor, r api.RunRef) (api.Run, error) {
	run, err := d.dispatch.CloseRun(ctx, work.Actor(a), r.RunID)
	return runOf(run), err
}

func (d *Daemon) runCancel(ctx context.Context, a api.Actor, r api.RunCancelRequest) (api.Run, error) {
	run, err := d.dispatch.CancelRun(ctx, work.Actor(a), r.RunID, r.Reason)
	return runOf(run), err
}

func (d *Daemon) stepDispatch(ctx context.Context, a api.Actor, r api.StepDispatchRequest) (api.Step, error) {
	q := dispatch.StepRequest{RunID: r.RunID, Text: r.Text, Executor: r.Executor, Expect: r.Expect, Key: r.Key, Gates: r.Gates}
	if len(r.Text) > api.MaxText {
		return api.Step{}, fault.New(fault.TooLarge, "text has %d bytes; at most %d are taken", len(r.Text), api.MaxText).At("text")
	}
	if r.Paths != nil {
		q.Paths = &work.PathRules{Write: r.Paths.Write, Forbid: r.Paths.Forbid}
	}
	if r.Wall != "" {
		wall, err := time.ParseDuration(r.Wall)
		if err != nil || wall <= 0 {
			return api.Step{}, fault.New(fault.InvalidRequest, "wall is %q, which is not a duration such as \"10m\"", r.Wall).At("wall")
		}
		q.Wall = wall
	}
	step, err := d.dispatch.DispatchStep(ctx, work.Actor(a), q)
	if err != nil {
		return api.Step{}, err
	}
	return stepOf(step), nil
}

func (d *Daemon) stepList(ctx context.Context, _ api.Actor, r api.StepListRequest) (api.List[api.Step], error) {
	if r.RunID != "" {
		if err := ident.Check(ident.Run, r.RunID); err != nil {
			return api.List[api.Step]{}, err
		}
	}
	page, err := d.store.Steps(ctx, store.StepFilter{RunID: r.RunID, State: work.StepState(r.State), Newest: r.RunID == "", Limit: pageSize(r.Page), Cursor: r.Cursor})
	return listOf(page, stepOf), err
}

// stepGet answers with the step, its newest attempt, gates and open approvals. With a wait it answers
// when the step has settled or waits for a person.
func (d *Daemon) stepGet(ctx context.Context, _ api.Actor, r api.StepRef) (api.Step, error) {
	if err := ident.Check(ident.Step, r.StepID); err != nil {
		return api.Step{}, err
	}
	if r.Wait < 0 || r.Wait > api.MaxWait {
		return api.Step{}, fault.New(fault.InvalidRequest, "wait is %d seconds; 0 to %d are taken", r.Wait, api.MaxWait).At("wait")
	}
	over := time.NewTimer(time.Duration(r.Wait) * time.Second)
	defer over.Stop()
	ctx, done := context.WithCancel(ctx)
	defer done()
	for {
		woken := d.bus.Wait(ctx, r.StepID)
		step, err := d.stepDetail(ctx, r.StepID)
		if err != nil {
			return api.Step{}, err
		}
		if r.Wait == 0 || work.StepState(step.State).Settled() || len(step.Approvals) > 0 {
			return step, nil
		}
		select {
		case <-woken:
		case <-over.C:
			return step, nil
		case <-ctx.Done():
			return api.Step{}, ctx.Err()
		}
	}
}

func (d *Daemon) stepDetail(ctx context.Context, id string) (api.Step, error) {
	step, err := d.store.Step(ctx, id)
	if err != nil {
		return api.Step{}, err
	}
	out := stepOf(step)
	approvals, err := d.store.Approvals(ctx, store.ApprovalFilter{StepID: id, State: work.ApprovalOpen})
	if err != nil {
		return api.Step{}, err
	}
	out.Approvals = mapAll(approvals.Items, approvalOf)
	if err := d.markApprovals(ctx, out.Approvals); err != nil {
		return api.Step{}, err
	}
	if step.AttemptID == "" {
		return out, nil
	}
	at, err := d.store.Attempt(ctx, step.AttemptID)
	if err != nil {
		return api.Step{}, err
	}
	attempt := d.attemptView(at)
	out.Attempt = &attempt
	gates, err := d.store.Gates(ctx, at.ID)
	if err != nil {
		return api.Step{}, err
	}
	out.GateStates = markGates(mapAll(gates, gateOf), at.Simulated)
	return out, nil
}

func (d *Daemon) stepCancel(ctx context.Context, a api.Actor, r api.StepCancelRequest) (api.Step, error) {
	step, err := d.dispatch.CancelStep(ctx, work.Actor(a), r.StepID, r.Reason)
	if err != nil {
		return api.Step{}, err
	}
	return d.stepDetail(ctx, step.ID)
}

func (d *Daemon) stepRetry(ctx context.Context, a api.Actor, r api.StepRetryRequest) (api.Step, error) {
	step, err := d.dispatch.Retry(ctx, work.Actor(a), r.StepID, r.Key)
	return stepOf(step), err
}

func (d *Daemon) stepFollowup(ctx context.Context, a api.Actor, r api.StepFollowupRequest) (api.Step, error) {
	if len(r.Text) > api.MaxText {
		return api.Step{}, fault.New(fault.TooLarge, "text has %d bytes; at most %d are taken", len(r.Text), api.MaxText).At("text")
	}
	step, err := d.dispatch.Followup(ctx, work.Actor(a), r.StepID, r.Text, r.Key)
	return stepOf(step), err
}

// stepApply brings what a passed step made to a branch. Only a passed one: the gates decide.
func (d *Daemon) stepApply(ctx context.Context, a api.Actor, r api.StepApplyRequest) (api.StepApplied, error) {
	if err := ident.Check(ident.Step, r.StepID); err != nil {
		return api.StepApplied{}, err
	}
	step, err := d.store.Step(ctx, r.StepID)
	if err != nil {
		return api.StepApplied{}, err
	}
	if step.State != work.StepPassed {
		return api.StepApplied{}, fault.New(fault.Conflict, "step %s is %s; only a passed step can be applied", step.ID, step.State).Fix("run: drawspan why %s", step.ID)
	}
	at, err := d.store.Attempt(ctx, step.AttemptID)
	if err != nil {
		return api.StepApplied{}, err
	}
	ws, ok := d.dispatch.Policy().Workspaces[step.Workspace]
	if !ok {
		return api.StepApplied{}, fault.New(fault.NotAllowed, "workspace %q is no longer declared", step.Workspace)
	}
	done, err := d.trees.Apply(ctx, ws, at, r.Branch)
	if err != nil {
		return api.StepApplied{}, err
	}
	err = d.record(ctx, work.Fact{
		Kind: "step.applied", Actor: work.Actor(a), RunID: step.RunID, StepID: step.ID, AttemptID: at.ID, At: time.Now().UTC(),
		Body: map[string]any{"branch": done.Branch, "before": done.Before, "after": done.After, "made": done.Made},
	})
	return api.StepApplied{StepID: step.ID, Branch: strings.TrimPrefix(done.Branch, "refs/heads/"), Before: done.Before, After: done.After, Made: done.Made, Simulated: at.Simulated}, err
}

func (d *Daemon) describe(ctx context.Context, _ api.Actor, _ api.Empty) (api.Instance, error) {
	head, err := d.store.Head(ctx)
	if err != nil {
		return api.Instance{}, err
	}
	cfg := d.config()
	return api.Instance{
		ID: d.store.InstanceID(), Version: d.opt.Version, API: "v1", StartedAt: d.started.UTC().Format(time.RFC3339Nano),
		StateDir: cfg.cfg.Daemon.StateDir, Config: cfg.cfg.Files, PolicySum: cfg.policy.Digest, Live: d.dispatch.Live(),
		Levels: d.levels(ctx), Head: head.Position.String(), Simulators: d.simulators(), Listeners: d.listeners,
	}, nil
}

func (d *Daemon) workspaces(context.Context, api.Actor, api.Empty) (api.List[api.Workspace], error) {
	p := d.dispatch.Policy()
	out := api.List[api.Workspace]{Items: []api.Workspace{}}
	for _, name := range sortedKeys(p.Workspaces) {
		out.Items = append(out.Items, workspaceOf(p.Workspaces[name]))
	}
	return out, nil
}

func (d *Daemon) executors(ctx context.Context, a api.Actor, _ api.Empty) (api.List[api.Executor], error) {
	p := d.dispatch.Policy()
	out := api.List[api.Executor]{Items: []api.Executor{}}
	for _, name := range sortedKeys(p.Executors) {
		ex := p.Executors[name]
		row := api.Executor{Name: name, Plugin: ex.Plugin, Sandbox: ex.Sandbox.Name, Level: ex.Sandbox.Level, Declared: ex.Declared}
		row.Simulated, row.Locked, row.Digest = d.lockState("executor", ex.Plugin)
		if row.Program = d.programs.look(ctx, ex); row.Program != nil && a.Kind == "planner" { // places are the operator's
			row.Program.Path, row.Program.Interpreter, row.Program.Fix = "", "", ""
		}
		out.Items = append(out.Items, row)
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// position reads "<epoch>.<seq>"; "" is the zero position.
func position(s string) (store.Position, error) {
	if s == "" {
		return store.Position{}, nil
	}
	epoch, seq, ok := strings.Cut(s, ".")
	e, err1 := strconv.ParseInt(epoch, 10, 64)
	q, err2 := strconv.ParseInt(seq, 10, 64)
	if !ok || err1 != nil || err2 != nil || e < 0 || q < 0 {
		return store.Position{}, fault.New(fault.InvalidRequest, "%q is not a position \"<epoch>.<seq>\"", s).At("after")
	}
	return store.Position{Epoch: e, Seq: q}, nil
}
