package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// treesPort joins the git room to the dispatcher. Repositories are anchored once per root.
type treesPort struct {
	trees *worktree.Trees
	dir   string                  // of all trees
	box   func() *sandbox.Sandbox // ready before the first attempt
	log   hclog.Logger

	mu       sync.Mutex
	anchored map[string]*worktree.Workspace // by name and root
}

func newTreesPort(t *worktree.Trees, dir string, box func() *sandbox.Sandbox, log hclog.Logger) *treesPort {
	return &treesPort{trees: t, dir: dir, box: box, log: log, anchored: map[string]*worktree.Workspace{}}
}

// repo is the anchored repository of a workspace. A root that was replaced since is anchored anew by the
// git room, which checks.
func (p *treesPort) repo(ctx context.Context, ws *work.Workspace) (*worktree.Workspace, error) {
	key := ws.Name + "\x00" + ws.Root
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.anchored[key]; ok {
		return r, nil
	}
	r, err := p.trees.Workspace(ctx, ws.Name, ws.Root)
	if err != nil {
		return nil, err
	}
	p.anchored[key] = r
	return r, nil
}

// forget lets go of a repository, so that the next use looks at the root again.
func (p *treesPort) forget(ws *work.Workspace) {
	key := ws.Name + "\x00" + ws.Root
	p.mu.Lock()
	r := p.anchored[key]
	delete(p.anchored, key)
	p.mu.Unlock()
	if r != nil {
		_ = r.Close() // only drops an anchor; the next use makes another
	}
}

func (p *treesPort) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, r := range p.anchored {
		_ = r.Close() // the process ends; nothing depends on the anchor
		delete(p.anchored, key)
	}
}

func (p *treesPort) Resolve(ctx context.Context, ws *work.Workspace, ref string) (string, error) {
	r, err := p.repo(ctx, ws)
	if err != nil {
		return "", err
	}
	commit, err := r.Resolve(ctx, ref)
	if fault.Is(err, fault.WorkspaceUnusable) {
		p.forget(ws)
	}
	return commit, err
}

func (p *treesPort) Create(ctx context.Context, ws *work.Workspace, ask dispatch.TreeRequest) (dispatch.Tree, error) {
	r, err := p.repo(ctx, ws)
	if err != nil {
		return nil, err
	}
	t, err := r.Create(ctx, worktree.CreateRequest{
		AttemptID: ask.AttemptID, Start: ask.Start, Branch: branchOf(ask), Provision: provisionOf(ws),
	})
	if err != nil {
		if fault.Is(err, fault.WorkspaceUnusable) {
			p.forget(ws)
		}
		return nil, err
	}
	return &treePort{Tree: t, trees: p}, nil
}

// branchOf is the branch that a run is based on; a run on a commit or a tag has none.
func branchOf(r dispatch.TreeRequest) worktree.Ref {
	const heads = "refs/heads/"
	name := strings.TrimPrefix(r.BaseRef, heads)
	if name == "" || name == r.BaseCommit || strings.HasPrefix(name, "refs/") {
		return worktree.Ref{}
	}
	return worktree.Ref{Name: heads + name, Commit: r.BaseCommit}
}

func provisionOf(ws *work.Workspace) worktree.Provision {
	return worktree.Provision{Copy: ws.Provision.Copy, Link: ws.Provision.Link, Commands: len(ws.Provision.Runs) > 0}
}

// Sealed is the attempt's own tree where it is still there, else a fresh one of the kept commit. With no
// commit it is only what is still there.
func (p *treesPort) Sealed(ctx context.Context, ws *work.Workspace, attemptID, commit string) (dispatch.Tree, error) {
	r, err := p.repo(ctx, ws)
	if err != nil {
		return nil, err
	}
	t, err := r.Reopen(ctx, attemptID)
	switch {
	case err == nil && commit == "":
		return &treePort{Tree: t, trees: p}, nil
	case err == nil:
		if err := t.Reset(ctx); err != nil {
			return nil, err
		}
		return &treePort{Tree: t, trees: p}, nil
	case commit == "" || !fault.Is(err, fault.NotFound):
		return nil, err
	}
	t, err = r.Checkout(ctx, attemptID, commit, provisionOf(ws))
	if err != nil {
		return nil, err
	}
	return &treePort{Tree: t, trees: p}, nil
}

// treePort is one tree.
type treePort struct {
	*worktree.Tree
	trees *treesPort
	git   *sandbox.Git // of the last launch
}

func (t *treePort) Capture(ctx context.Context, c dispatch.CaptureRequest) (dispatch.Captured, error) {
	got, err := t.Tree.Capture(ctx, worktree.CaptureRequest{
		Base: c.Base, Message: c.Message, When: c.When, MaxPatch: c.MaxPatch, Patch: c.Patch,
	})
	return dispatch.Captured{
		TreeBefore: got.TreeBefore, TreeAfter: got.TreeAfter, Commit: got.Commit, Ref: got.Ref, Diff: got.Diff,
		Refused: got.Refused, PatchTruncated: got.PatchTruncated,
	}, err
}

// pathOf is where an attempt's tree is, "" when there is none.
func (p *treesPort) pathOf(attemptID string) string {
	path := filepath.Join(p.dir, attemptID, "tree")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Apply brings an attempt's kept commit to a branch of the operator's repository.
func (p *treesPort) Apply(ctx context.Context, ws *work.Workspace, at work.Attempt, branch string) (worktree.Applied, error) {
	r, err := p.repo(ctx, ws)
	if err != nil {
		return worktree.Applied{}, err
	}
	return r.Apply(ctx, worktree.ApplyRequest{Commit: at.Evidence.Commit, Branch: branch, Base: at.Base})
}

// Restore writes a kept commit to a new directory.
func (p *treesPort) Restore(ctx context.Context, ws *work.Workspace, commit, dir string) (int, error) {
	r, err := p.repo(ctx, ws)
	if err != nil {
		return 0, err
	}
	return r.Restore(ctx, commit, dir)
}

// remove drops a tree whose state is kept.
func (p *treesPort) remove(ctx context.Context, policy *work.Policy, f worktree.Found) error {
	ws, ok := policy.Workspaces[f.Workspace]
	if !ok {
		return fault.New(fault.NotAllowed, "workspace %q is no longer declared", f.Workspace)
	}
	r, err := p.repo(ctx, ws)
	if err != nil {
		return err
	}
	t, err := r.Reopen(ctx, f.ID)
	if err != nil {
		return err
	}
	return t.Remove(ctx)
}
