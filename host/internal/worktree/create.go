package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Tree is the directory of one attempt. Its methods may be called by several goroutines; Capture, Reset
// and Remove run one at a time.
type Tree struct {
	w    *Workspace
	home string

	mu  sync.Mutex
	rec record
}

// Path is the directory that the executor works in.
func (t *Tree) Path() string { return filepath.Join(t.home, treeName) }

// Start is the commit that the tree began as.
func (t *Tree) Start() string { return t.rec.Start }

// Identity is the device and inode of Path when it was made. A sandbox compares them with what it is
// about to attach.
func (t *Tree) Identity() (dev, ino uint64) { return t.rec.Dev, t.rec.Ino }

func (t *Tree) index() string { return filepath.Join(t.home, indexName) }

// Create makes the tree of an attempt.
func (w *Workspace) Create(ctx context.Context, r CreateRequest) (*Tree, error) {
	return w.create(ctx, r, false)
}

// Checkout makes a fresh tree of a kept commit, to be judged again. It cannot be captured.
func (w *Workspace) Checkout(ctx context.Context, id, commit string, provision Provision) (*Tree, error) {
	return w.create(ctx, CreateRequest{AttemptID: id, Start: commit, Provision: provision}, true)
}

func (w *Workspace) create(ctx context.Context, r CreateRequest, sealed bool) (*Tree, error) {
	if err := checkID(r.AttemptID); err != nil {
		return nil, err
	}
	if !fullHex(r.Start) {
		return nil, fault.New(fault.InvalidRequest, "%q is not a full commit id", r.Start)
	}
	for _, p := range slices.Concat(r.Provision.Copy, r.Provision.Link) {
		if err := checkPath(p); err != nil {
			return nil, err
		}
	}
	if err := checkBranch(r); err != nil {
		return nil, err
	}
	home := w.trees.home(r.AttemptID)
	if err := os.Mkdir(home, 0o700); errors.Is(err, fs.ErrExist) {
		return nil, fault.New(fault.Conflict, "attempt %s has a tree", r.AttemptID).At(home)
	} else if err != nil {
		return nil, fmt.Errorf("make tree of %s: %w", r.AttemptID, err)
	}
	t := &Tree{w: w, home: home, rec: record{
		Version: recordVersion, Attempt: r.AttemptID, Workspace: w.name, Root: w.root, Mirror: filepath.Base(w.mirror.dir),
		Start: r.Start, Branch: r.Branch, Provision: slices.Clone(r.Provision.Copy),
		Links: slices.Clone(r.Provision.Link), Unsettled: r.Provision.Commands && !sealed, Sealed: sealed,
	}}
	if sealed {
		t.rec.Kept = r.Start
	}
	if err := t.fill(ctx); err != nil {
		return nil, errors.Join(err, w.trees.discard(home, r.AttemptID))
	}
	return t, nil
}

// checkBranch looks at the name that an executor is to find the base under. It goes into a file of
// git's, so it has to be one.
func checkBranch(r CreateRequest) error {
	b := r.Branch
	if b == (Ref{}) {
		return nil
	}
	if err := checkRef(b.Name); err != nil {
		return err
	}
	if !strings.HasPrefix(b.Name, heads) || len(b.Commit) != len(r.Start) || !fullHex(b.Commit) {
		return fault.New(fault.InvalidRequest, "%q at %q is not a branch", b.Name, b.Commit)
	}
	return nil
}

// fill populates a new tree.
func (t *Tree) fill(ctx context.Context) error {
	if err := os.Mkdir(t.Path(), 0o755); err != nil {
		return fmt.Errorf("make tree of %s: %w", t.rec.Attempt, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(t.Path(), &st); err != nil {
		return fmt.Errorf("look at tree of %s: %w", t.rec.Attempt, err)
	}
	t.rec.Dev, t.rec.Ino = st.Dev, st.Ino
	if err := t.rec.write(t.home); err != nil {
		return err
	}
	if err := t.populate(ctx); err != nil {
		return err
	}
	return t.provision(ctx)
}

// populate writes the files of the start into an empty tree, with a new index.
func (t *Tree) populate(ctx context.Context) error {
	if err := t.w.write(ctx, t.rec.Start, t.Path(), t.index()); err != nil {
		return err
	}
	return settle(t.index())
}

// settle dates an index after the files it describes, to the second. Git otherwise reads every file
// again that was written in the same second as the index: 20 ms for 1,000 files. Nobody writes to a tree
// while git does; Capture finds what was changed since by comparing to the nanosecond, and makes git see
// it. Where times have no nanoseconds the index stays as it is.
func settle(index string) error {
	fi, err := os.Stat(index)
	if err != nil {
		return fmt.Errorf("look at index: %w", err)
	}
	if fi.ModTime().Nanosecond() == 0 {
		return nil
	}
	later := fi.ModTime().Add(2 * time.Second)
	if err := os.Chtimes(index, later, later); err != nil {
		return fmt.Errorf("date index: %w", err)
	}
	return nil
}

// Reopen finds the tree of an attempt that an earlier process made.
func (w *Workspace) Reopen(ctx context.Context, attemptID string) (*Tree, error) {
	if err := checkID(attemptID); err != nil {
		return nil, err
	}
	home := w.trees.home(attemptID)
	rec, err := readRecord(home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.NotFound, "attempt %s has no tree", attemptID)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.TreeRefused, "the tree of attempt %s has no readable record", attemptID).At(home)
	}
	if rec.Mirror != filepath.Base(w.mirror.dir) {
		return nil, fault.New(fault.Conflict, "the tree of attempt %s belongs to workspace %s at %s", attemptID, rec.Workspace, rec.Root)
	}
	t := &Tree{w: w, home: home, rec: rec}
	return t, t.intact()
}

// intact reports a tree that is gone or is not the directory that was made.
func (t *Tree) intact() error {
	var st unix.Stat_t
	err := unix.Lstat(t.Path(), &st)
	if err == nil && kind(&st) == unix.S_IFDIR && st.Dev == t.rec.Dev && st.Ino == t.rec.Ino {
		return nil
	}
	return fault.Wrap(err, fault.TreeRefused, "the tree of attempt %s was removed or replaced", t.rec.Attempt).At(t.Path())
}
