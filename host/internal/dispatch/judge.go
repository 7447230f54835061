package dispatch

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// pathsValidator is the plugin that judges path rules.
const pathsValidator = "paths"

// Validators are plugins as a panel starts them.
func Validators(p Plugins) panel.Plugins { return validators{p} }

type validators struct{ plugins Plugins }

func (v validators) Start(ctx context.Context, l panel.Launch) (panel.Plugin, error) {
	return v.plugins.Start(ctx, Launch{
		Kind: "validator", Name: l.Name, Config: l.Config, Policy: l.Policy, Tree: l.Head.Path, Dev: l.Head.Dev, Ino: l.Head.Ino, Git: l.Head.Git,
		Binds: l.Head.Binds, Env: l.Head.Env,
		Sealed: true, BaseTree: l.BaseTree, AttemptID: l.AttemptID, OnExceeded: func(x Excess) { l.OnExceeded(validatorExceeded(x)) },
	})
}

// subject is the attempt for the panel.
func (a *drive) subject() *panel.Subject {
	e := a.at.Evidence
	rules := panel.Rules(a.ws, a.step.Spec.Gates)
	if a.ex != nil && a.ex.Sandbox != nil {
		rules = panel.WithSensitive(rules, a.ex.Sandbox, e.Diff)
	}
	return &panel.Subject{
		Workspace: a.ws.Name, AttemptID: a.at.ID, StepID: a.at.StepID, RunID: a.at.RunID, Rules: rules,
		Base: a.at.Base, Head: e.Commit, TreeSum: e.TreeAfter, Paths: a.pathRules(), Facts: a.facts(), Trees: judged{a}, Provision: a.ws.Provision,
		OnHold: a.d.watchHold, OnDecided: func() { a.d.wake(a.at.ID, a.at.StepID, a.at.RunID) },
	}
}

// facts are what is known of the attempt before its gates. The use of models is what the gateway counted;
// what the executor says of it is a claim.
func (a *drive) facts() work.Facts {
	f := work.Facts{
		Diff: a.at.Evidence.Diff, Usage: a.at.Evidence.Usage,
		Executor: work.ExecutorFact{Name: a.at.Executor, Plugin: a.pluginName(), Simulated: a.at.Simulated || a.step.Simulated},
	}
	if c := a.at.Claim; c != nil {
		f.Claims = &work.Claims{
			StopReason: c.StopReason, Failed: c.Error != "" || c.ErrorClass != "", Denied: c.Denied, Summary: c.Summary, Files: slices.Clone(c.Files),
		}
	}
	return f
}

// Bounds of what an executor may claim to have changed; what is beyond is not taken down.
const (
	maxClaimed     = 1000
	maxClaimedPath = 1024
)

// claimFile takes down a path that the executor says it changed.
func (a *drive) claimFile(e sdk.Event) {
	var c sdk.FileChanged
	if json.Unmarshal(e.Data, &c) != nil || c.Path == "" || len(c.Path) > maxClaimedPath {
		return
	}
	a.tally.Lock()
	defer a.tally.Unlock()
	if len(a.files) < maxClaimed && !slices.Contains(a.files, c.Path) {
		a.files = append(a.files, c.Path)
	}
}

func (a *drive) claimedFiles() []string {
	a.tally.Lock()
	defer a.tally.Unlock()
	return slices.Sorted(slices.Values(a.files))
}

// pluginName is the plugin that ran, as it was verified when it was started.
func (a *drive) pluginName() string {
	if a.at.Plugin == nil {
		return a.at.Executor
	}
	return a.at.Plugin.Name
}

// pathRules are the workspace's rules and the step's own: a change must satisfy every one of them.
func (a *drive) pathRules() []sdk.Paths {
	rules := []sdk.Paths{{Write: a.ws.Paths.Write, Forbid: a.ws.Paths.Forbid}}
	if n := a.step.Spec.Paths; n != nil {
		rules = append(rules, sdk.Paths{Write: n.Write, Forbid: n.Forbid})
	}
	return rules
}

// judged are the trees of an attempt that is judged.
type judged struct{ a *drive }

func (j judged) Head(ctx context.Context) (panel.Head, error) {
	j.a.mu.Lock()
	defer j.a.mu.Unlock()
	if err := j.a.shadow(ctx); err != nil {
		return panel.Head{}, err
	}
	dev, ino := j.a.tree.Identity()
	return panel.Head{Path: j.a.tree.Path(), Dev: dev, Ino: ino, Git: j.a.git, Binds: j.a.place.Binds, Env: j.a.place.Env}, nil
}

func (j judged) Base(ctx context.Context) (string, func(), error) {
	return j.a.tree.Base(ctx, j.a.at.Base)
}

func (j judged) Patch(ctx context.Context, paths []string, limit int64) ([]byte, bool, error) {
	return j.a.tree.Patch(ctx, j.a.at.Base, paths, limit)
}

func (j judged) Lines(ctx context.Context, path string) (int, bool, error) {
	return j.a.tree.Lines(ctx, path)
}
