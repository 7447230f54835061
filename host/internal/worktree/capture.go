package worktree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// capture is one Capture on its way.
type capture struct {
	t     *Tree
	req   CaptureRequest
	git   *program
	repo  repo
	root  int // the tree, open
	index map[string]*tracked
	walk  *walk
	out   Captured
}

// Capture keeps the state of the tree. No process may be alive in it. What may not be taken over is moved
// out first; then the tree becomes a commit, the commit a ref in the mirror, and after that one in the
// operator's repository. Called again after a crash it comes to the same result.
func (t *Tree) Capture(ctx context.Context, r CaptureRequest) (Captured, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rec.Sealed {
		return Captured{}, fault.New(fault.Conflict, "the tree of %s was made of a kept commit and is not captured", t.rec.Attempt)
	}
	if !fullHex(r.Base) {
		return Captured{}, fault.New(fault.InvalidRequest, "%q is not a full commit id", r.Base)
	}
	for _, p := range r.Withhold {
		if err := checkPath(p); err != nil {
			return Captured{}, err
		}
	}
	if err := t.intact(); err != nil {
		return Captured{}, err
	}
	root, err := t.openRoot()
	if err != nil {
		return Captured{}, err
	}
	defer closeFD(root)
	c := &capture{t: t, req: r, git: t.w.trees.git, repo: t.w.mirror.repo, root: root}
	err = c.run(ctx)
	return c.out, err
}

func (c *capture) run(ctx context.Context) error {
	var before string
	var wg sync.WaitGroup
	var errBefore error
	wg.Go(func() { before, errBefore = c.t.w.mirror.tree(ctx, c.git, c.t.rec.Start) })
	err := c.clean(ctx)
	if err == nil {
		err = c.stage(ctx)
	}
	wg.Wait()
	if err = errors.Join(err, errBefore); err != nil {
		return err
	}
	c.out.TreeBefore = before
	facts := &diffReader{max: c.req.MaxPatch, patch: c.req.Patch, size: c.size}
	facts.facts.Files = []work.Change{}
	var errDiff error
	wg.Go(func() { errDiff = c.diff(ctx, facts) })
	err = c.keep(ctx)
	wg.Wait()
	c.out.Diff, c.out.PatchTruncated = facts.facts, facts.truncated
	if err = errors.Join(err, errDiff); err != nil {
		return err
	}
	return c.dropObjects()
}

// clean takes out of the tree what may not be in the commit.
func (c *capture) clean(ctx context.Context) error {
	t := c.t
	if err := t.undo(ctx, c.root); err != nil {
		return err
	}
	err := t.dropPointer(c.root)
	if err == nil {
		err = t.dropGitDir()
	}
	if err != nil {
		return fmt.Errorf("remove git directory of %s: %w", t.rec.Attempt, err)
	}
	if c.index, err = readIndex(t.index(), c.repo.sha256); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(t.home, refusedName), 0o700); err != nil {
		return fmt.Errorf("make directory for refused files: %w", err)
	}
	withheld := slices.Concat(t.rec.apart(), c.req.Withhold)
	slices.Sort(withheld)
	withheld = slices.Compact(withheld)
	c.walk = &walk{
		root: c.root, index: c.index, refused: filepath.Join(t.home, refusedName), skip: make(map[string]bool),
		prints: t.fingerprints(c.root), maxFile: c.req.MaxFile, maxNew: c.req.MaxNew, sizes: make(map[string]int64), before: len(t.rec.Refused),
	}
	if c.walk.maxFile <= 0 {
		c.walk.maxFile = maxFile
	}
	if c.walk.maxNew <= 0 {
		c.walk.maxNew = maxNew
	}
	for _, p := range withheld {
		c.walk.skip[p] = true
	}
	if err := c.walk.run(ctx); err != nil {
		return err
	}
	if err := c.noteRefused(); err != nil {
		return err
	}
	restore, err := t.withhold(c.root, c.index, withheld)
	if err != nil || len(restore) == 0 {
		return err
	}
	_, err = c.git.run(ctx, call{repo: c.repo, work: t.Path(), index: t.index(),
		stdin: strings.NewReader(strings.Join(restore, "\x00") + "\x00"), args: []string{"checkout-index", "-f", "-z", "--stdin"}})
	if err != nil {
		return fmt.Errorf("restore withheld files: %w", err)
	}
	return nil
}

// noteRefused adds what was refused to the record, so that it is still known after a crash.
func (c *capture) noteRefused() error {
	t := c.t
	if len(c.walk.found) > 0 {
		t.rec.Refused = append(t.rec.Refused, c.walk.found...)
		if err := t.rec.write(t.home); err != nil {
			return err
		}
		t.w.trees.log.Warn("entries of a tree were refused", "attempt", t.rec.Attempt, "entries", c.walk.moved, "first", c.walk.found[0].Path)
	}
	c.out.Refused = slices.Clone(t.rec.Refused)
	return nil
}

// stage records the tree's files in the private index. New objects go to a directory of their own: what
// is found there afterwards is what has to be handed on.
func (c *capture) stage(ctx context.Context) error {
	if err := c.dropObjects(); err != nil {
		return err
	}
	if err := makeObjects(c.objects(), c.t.w.mirror.objects()); err != nil {
		return err
	}
	if err := os.Remove(c.t.index() + ".lock"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale lock: %w", err)
	}
	_, err := c.git.run(ctx, c.call("add", "-A"))
	if err != nil {
		return fmt.Errorf("record the tree's files: %w", err)
	}
	return settle(c.t.index())
}

// size is that of a file in the tree: from the walk if it is new or changed, else as git noted it.
func (c *capture) size(path string) int64 {
	if n, ok := c.walk.sizes[path]; ok {
		return n
	}
	if e := c.index[path]; e != nil && e.seen {
		return int64(e.size)
	}
	return 0
}

func (c *capture) objects() string { return filepath.Join(c.t.home, objectsName) }

func (c *capture) dropObjects() error {
	if err := os.RemoveAll(c.objects()); err != nil {
		return fmt.Errorf("remove handed-on objects: %w", err)
	}
	return nil
}

func (c *capture) call(args ...string) call {
	return call{repo: c.repo, work: c.t.Path(), index: c.t.index(), objects: c.objects(), args: args}
}

// keep makes the commit and the refs.
func (c *capture) keep(ctx context.Context) error {
	out, err := c.git.run(ctx, c.call("write-tree"))
	if err != nil {
		return fmt.Errorf("write tree: %w", err)
	}
	tree := strings.TrimSpace(string(out))
	m, id := c.t.w.mirror, c.t.rec.Attempt
	c.out.TreeAfter = tree
	commit, err := c.earlier(ctx, tree)
	if err != nil {
		return err
	}
	text := commitText{tree, c.t.rec.Start, c.req.Message, c.req.When}
	if commit == "" {
		if commit, err = text.write(c.objects(), c.repo.sha256); err != nil {
			return err
		}
	}
	fresh, err := linkObjects(ctx, c.objects(), m.objects())
	if err == nil {
		err = fresh.writeOut(m.objects())
	}
	if err == nil {
		err = m.setRef(RefPrefix+id, commit)
	}
	if err != nil {
		return fmt.Errorf("keep the state of %s: %w", id, err)
	}
	m.remember(commit, tree)
	c.out.Commit, c.out.Ref = commit, RefPrefix+id
	c.t.rec.Kept = commit
	if err := c.t.rec.write(c.t.home); err != nil {
		return err
	}
	if err := c.t.w.publish(ctx, RefPrefix+id, commit, c.objects()); err != nil {
		return err
	}
	c.out.Published = true
	return nil
}

// earlier is the commit of a capture that was interrupted after its ref was made. The same tree is the
// same result; another one would lose what was kept.
func (c *capture) earlier(ctx context.Context, tree string) (string, error) {
	m, ref := c.t.w.mirror, RefPrefix+c.t.rec.Attempt
	commit, err := m.ref(ref)
	if err != nil || commit == "" {
		return "", err
	}
	kept, err := m.tree(ctx, c.git, commit)
	if err != nil {
		return "", err
	}
	if kept != tree {
		return "", fault.New(fault.Conflict, "another state of attempt %s is kept already", c.t.rec.Attempt).At(ref)
	}
	return commit, nil
}
