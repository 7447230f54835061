package daemon

import (
	"context"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
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

// Commits is not there yet.
func (t *treePort) Commits(_ context.Context, p *work.SandboxPolicy) (*work.Commits, error) {
	if p.Import != "pack" {
		return nil, nil
	}
	return nil, fault.New(fault.NotSupported, "taking over an executor's commits").At(p.Declared)
}
