package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// Bounds of what an executor's own commits may take.
const (
	exportWithin    = time.Minute
	exportProcesses = 64
)

// Shadow makes the git directory of a tree, and remembers it for Commits.
func (t *treePort) Shadow(ctx context.Context) (dispatch.Git, error) {
	s, err := t.Tree.Shadow(ctx)
	if err != nil {
		return dispatch.Git{}, err
	}
	t.git = &sandbox.Git{Dir: s.Dir, Protect: s.Protect, Objects: s.Objects}
	return dispatch.Git{Dir: s.Dir, Protect: s.Protect, Objects: s.Objects}, nil
}

// Commits lets git pack what the executor committed, in a sandbox over a throw-away view of the tree, and
// imports the pack. The host's git never reads the git directory that the executor could write to.
func (t *treePort) Commits(ctx context.Context, p *work.SandboxPolicy) (*work.Commits, error) {
	if p.Import != "pack" || t.git == nil {
		return nil, nil
	}
	if moved, err := t.HeadMoved(); err != nil || !moved {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, exportWithin, fault.New(fault.TooLarge, "packing the executor's commits took more than %s", exportWithin))
	defer cancel()
	pack, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer pack.Close()
	dev, ino := t.Identity()
	process, err := t.trees.box().Launch(ctx, sandbox.Request{
		Policy: exportPolicy(p), Tree: sandbox.Tree{Path: t.Path(), Mode: sandbox.TreeOverlay, Dev: dev, Ino: ino}, Git: t.git,
		Path: "/bin/sh", Argv: t.Export(), Stdout: write,
	})
	if err := errors.Join(err, write.Close()); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = pack.SetReadDeadline(time.Now()) }) // the reader then ends
	defer stop()
	got, err := t.take(ctx, pack)
	if _, killed := process.Kill(context.WithoutCancel(ctx)); killed != nil {
		err = errors.Join(err, killed)
	}
	return got, err
}

// take imports what the sandboxed git says.
func (t *treePort) take(ctx context.Context, export io.Reader) (*work.Commits, error) {
	head, pack, err := worktree.ReadExport(export)
	if err != nil || head == t.Start() {
		return nil, err // a HEAD that moved and came back
	}
	got, err := t.Import(ctx, worktree.ImportRequest{Head: head, Pack: pack})
	if got.Ref == "" {
		return nil, err
	}
	if err != nil { // taken over, but not published yet
		t.trees.log.Warn("the executor's commits are in the mirror only", "ref", got.Ref, "error", err)
	}
	return &work.Commits{Head: got.Head, Ref: got.Ref, Count: got.Count}, nil
}

// exportPolicy is the executor's own, without what only the executor needs.
func exportPolicy(p *work.SandboxPolicy) *work.SandboxPolicy {
	return &work.SandboxPolicy{
		Name: p.Name, Level: p.Level, OnShortfall: p.OnShortfall, Floor: p.Floor, Backend: p.Backend,
		Processes: exportProcesses, Declared: p.Declared,
	}
}
