package daemon

import (
	"cmp"
	"context"
	"sync"

	"github.com/drawspan/drawspan/host/internal/gaterun"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// repository joins the git room to a gate run.
type repository struct {
	*worktree.Workspace
	facts *comparison // nil: none was begun
}

// comparison is what changed over a range, looked up while the rules are read.
type comparison struct {
	base, head string
	done       chan struct{}
	facts      work.DiffFacts
	err        error
}

func compare(ctx context.Context, repo *worktree.Workspace, at gaterun.Range) *comparison {
	c := &comparison{base: at.Base, head: at.Head, done: make(chan struct{})}
	go func() { // ends with git; a closer waits for it
		defer close(c.done)
		c.facts, c.err = repo.Compare(ctx, c.base, c.head)
	}()
	return c
}

// Compare is the comparison that was begun, where it is of these commits.
func (r repository) Compare(ctx context.Context, base, head string) (work.DiffFacts, error) {
	if c := r.facts; c != nil && c.base == base && c.head == head {
		<-c.done
		return c.facts, c.err
	}
	return r.Workspace.Compare(ctx, base, head)
}

func (r repository) Files(ctx context.Context, commit string, pick func(path string) bool) (map[string][]byte, error) {
	blobs, err := r.Workspace.Files(ctx, commit, pick)
	files := make(map[string][]byte, len(blobs))
	for _, b := range blobs {
		files[b.Path] = b.Data
	}
	return files, err
}

// sealer makes the tree of a head, prepared as the workspace declares.
type sealer struct {
	g  *gateRun
	ws *work.Workspace
}

func (s sealer) Seal(ctx context.Context, attemptID, base, head string, opened bool) (gaterun.Sealed, error) {
	out := &sealed{sealer: s, attempt: attemptID, base: base, head: head}
	if !opened {
		id, err := s.g.repo.TreeOf(ctx, head)
		out.id = id
		return out, err
	}
	named := make(chan error, 1)
	go func() { // beside the checkout; it is waited for here
		id, err := s.g.repo.TreeOf(ctx, head)
		out.id = id
		named <- err
	}()
	err := out.furnish(ctx)
	return out, cmp.Or(err, <-named)
}

// prepare has the tree provisioned.
func (s sealer) prepare(ctx context.Context, attemptID string, tree *treePort) (provision.Place, error) {
	r := provision.Request{Workspace: s.ws.Name, Provision: s.ws.Provision, Tree: tree, Host: s.g.provisionPort(), AttemptID: attemptID}
	if n := s.ws.Provision.Ports; n > 0 {
		var all provision.Ports
		ports, release, err := all.Take(n)
		if err != nil {
			return provision.Place{}, err
		}
		s.g.closers = append(s.g.closers, func(context.Context) error { release(); return nil })
		r.Ports = ports
	}
	place, _, err := provision.Prepare(ctx, r)
	return place, err
}

// sealed is the tree that is judged, with its base.
type sealed struct {
	sealer
	attempt, base, head string
	id                  string

	mu     sync.Mutex
	tree   *worktree.Tree // nil: nobody has looked at it
	git    *panel.Git     // nil: no validator has
	place  provision.Place
	failed error // of the first who looked
}

// laid is the tree on disk. The caller has the lock.
func (s *sealed) laid(ctx context.Context) (_ *worktree.Tree, err error) {
	if s.tree != nil || s.failed != nil {
		return s.tree, s.failed
	}
	if s.tree, err = s.g.repo.Checkout(ctx, s.attempt, s.head, provisionOf(s.ws)); ctx.Err() == nil {
		s.failed = err // and not that one gate's time was over
	}
	return s.tree, err
}

// Failed is why there is no tree for those who looked.
func (s *sealed) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// furnish makes the tree one that validators can open.
func (s *sealed) furnish(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.laid(ctx)
	if err != nil || s.git != nil {
		return err
	}
	tree := &treePort{Tree: t}
	if s.place, err = s.prepare(ctx, s.attempt, tree); err != nil {
		return err
	}
	git, err := tree.Shadow(ctx)
	if err == nil {
		s.git = &git
	}
	return err
}

func (s *sealed) Path() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tree == nil {
		return ""
	}
	return s.tree.Path()
}

func (s *sealed) TreeID() string { return s.id }

func (s *sealed) Head(ctx context.Context) (panel.Head, error) {
	if err := s.furnish(ctx); err != nil {
		return panel.Head{}, err
	}
	dev, ino := s.tree.Identity()
	return panel.Head{Path: s.tree.Path(), Dev: dev, Ino: ino, Git: s.git, Binds: s.place.Binds, Env: s.place.Env}, nil
}

func (s *sealed) Base(ctx context.Context) (string, func(), error) { return s.g.repo.Base(ctx, s.base) }

func (s *sealed) Patch(ctx context.Context, paths []string, limit int64) ([]byte, bool, error) {
	return s.g.repo.Patch(ctx, s.base, s.head, paths, limit)
}

// Lines looks at the tree, which a gate that found something is the first to need where none opens it.
func (s *sealed) Lines(ctx context.Context, path string) (int, bool, error) {
	s.mu.Lock()
	t, err := s.laid(ctx)
	s.mu.Unlock()
	if err != nil {
		return 0, false, err
	}
	return t.Lines(ctx, path)
}
