package worktree

import (
	"context"

	"github.com/drawspan/drawspan/host/fault"
)

// Trees owns the directories below Options.Dir.
type Trees struct{ opts Options }

// Open finds git, checks its version and prepares the directories.
func Open(ctx context.Context, o Options) (*Trees, error) { return nil, soon() }

// Run deletes removed trees in the background until ctx ends.
func (t *Trees) Run(ctx context.Context) error { return soon() }

// GitVersion is the version of the git program in use and where it is.
func (t *Trees) GitVersion() (version, path string) { return "", "" }

// Workspace anchors the repository at root and makes or updates its mirror.
func (t *Trees) Workspace(ctx context.Context, name, root string) (*Workspace, error) {
	return nil, soon()
}

// List is every tree on disk.
func (t *Trees) List(ctx context.Context) ([]Found, error) { return nil, soon() }

// Sweep moves every tree that known does not claim into quarantine and says which.
func (t *Trees) Sweep(ctx context.Context, known func(id string) bool) ([]Found, error) {
	return nil, soon()
}

// Workspace is one anchored repository of the operator.
type Workspace struct{ trees *Trees }

// Close releases the anchor.
func (w *Workspace) Close() error { return soon() }

// Root is the directory that was anchored.
func (w *Workspace) Root() string { return "" }

// Resolve turns a branch, a tag or a full commit id that a branch or tag names into a commit, and makes
// sure that the mirror holds it.
func (w *Workspace) Resolve(ctx context.Context, ref string) (string, error) { return "", soon() }

// Branches are the branches of the operator's repository, by name.
func (w *Workspace) Branches(ctx context.Context) ([]Ref, error) { return nil, soon() }

// Create makes the tree of an attempt.
func (w *Workspace) Create(ctx context.Context, r CreateRequest) (*Tree, error) { return nil, soon() }

// Reopen finds the tree of an attempt that an earlier process made.
func (w *Workspace) Reopen(ctx context.Context, attemptID string) (*Tree, error) {
	return nil, soon()
}

// Checkout makes a fresh tree of a kept commit, to be judged again.
func (w *Workspace) Checkout(ctx context.Context, id, commit string, provision []string) (*Tree, error) {
	return nil, soon()
}

// Publish puts the kept commit of an attempt into the operator's repository, if it is not there.
func (w *Workspace) Publish(ctx context.Context, attemptID string) error { return soon() }

// Apply fast-forwards or makes a branch.
func (w *Workspace) Apply(ctx context.Context, r ApplyRequest) (Applied, error) {
	return Applied{}, soon()
}

// Restore writes a kept commit to a new directory and says how many files it wrote.
func (w *Workspace) Restore(ctx context.Context, commit, dir string) (int, error) { return 0, soon() }

// Tree is the directory of one attempt.
type Tree struct{ w *Workspace }

// Path is the directory that the executor works in.
func (t *Tree) Path() string { return "" }

// Start is the commit that the tree began as.
func (t *Tree) Start() string { return "" }

// Identity is the device and inode of Path when it was made.
func (t *Tree) Identity() (dev, ino uint64) { return 0, 0 }

// Capture keeps the state of the tree. No process may be alive in it.
func (t *Tree) Capture(ctx context.Context, r CaptureRequest) (Captured, error) {
	return Captured{}, soon()
}

// Reset brings the tree to exactly the kept state and provisions it afresh.
func (t *Tree) Reset(ctx context.Context) error { return soon() }

// Remove deletes the tree, if its state is kept.
func (t *Tree) Remove(ctx context.Context) error { return soon() }

func soon() error { return fault.New(fault.NotSupported, "being built") }
