package worktree

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Apply fast-forwards a branch of the operator's repository that is checked out nowhere, or makes a new
// one. It never merges, rewrites or touches files; no hook runs.
func (w *Workspace) Apply(ctx context.Context, r ApplyRequest) (Applied, error) {
	done, err := w.target(ctx, r)
	if err != nil {
		return Applied{}, err
	}
	if done.Before == r.Commit {
		return done, nil
	}
	if err := w.free(done); err != nil {
		return Applied{}, err
	}
	release, err := w.supply(ctx, r.Commit)
	if err != nil {
		return Applied{}, err
	}
	if err = w.ahead(ctx, r, done); err == nil {
		err = w.move(ctx, done)
	}
	if err = errors.Join(err, release()); err != nil {
		return Applied{}, err
	}
	return done, nil
}

// target looks at the branch that is to take the commit.
func (w *Workspace) target(ctx context.Context, r ApplyRequest) (Applied, error) {
	branch := heads + strings.TrimPrefix(r.Branch, heads)
	if err := checkRef(branch); err != nil {
		return Applied{}, err
	}
	if strings.HasPrefix(r.Branch, "refs/") && !strings.HasPrefix(r.Branch, heads) {
		return Applied{}, fault.New(fault.InvalidRequest, "%q is not a branch", r.Branch)
	}
	if !fullHex(r.Commit) || r.Base != "" && !fullHex(r.Base) {
		return Applied{}, fault.New(fault.InvalidRequest, "%q is not a full commit id", r.Commit)
	}
	refs, err := w.originRefs(ctx, branch)
	if err != nil {
		return Applied{}, err
	}
	to := Applied{Branch: branch, After: r.Commit, Made: true}
	for _, ref := range refs {
		if ref.Name == branch {
			to.Before, to.Made = ref.Commit, false
		}
	}
	return to, nil
}

// free says why a branch may not be set.
func (w *Workspace) free(to Applied) error {
	if exists(filepath.Join(w.origin.dir, "reftable")) && !to.Made {
		return fault.New(fault.NotSupported, "which branches are checked out cannot be seen in a repository with reftables").At(w.root).
			Fix("choose a new branch")
	}
	return w.checkedOut(to.Branch)
}

// supply makes sure that the operator's repository has a commit, whose ref there may be deleted. What it
// had to send is protected until release is called.
func (w *Workspace) supply(ctx context.Context, commit string) (release func() error, err error) {
	whole, err := w.whole(ctx, commit)
	if err != nil || whole {
		return func() error { return nil }, err
	}
	release, err = w.send(ctx, commit)
	if exitCode(err) > 0 {
		return nil, fault.Wrap(err, fault.NotFound, "commit %s is not kept", commit).At(w.root)
	}
	return release, err
}

// ahead refuses a commit that does not come after the branch.
func (w *Workspace) ahead(ctx context.Context, r ApplyRequest, to Applied) error {
	if to.Made {
		return nil
	}
	_, err := w.trees.git.run(ctx, call{repo: w.origin, args: []string{"merge-base", "--is-ancestor", to.Before, r.Commit}})
	if err == nil {
		return nil
	}
	if exitCode(err) != 1 {
		return fmt.Errorf("compare %s with %s: %w", to.Branch, r.Commit, err)
	}
	short := strings.TrimPrefix(to.Branch, heads)
	base := r.Base
	if base == "" {
		base = r.Commit + "^"
	}
	return fault.New(fault.BaseMoved, "branch %s moved on since the attempt began", short).At(w.root).
		Fix("git -C %s branch NAME %s && git -C %[1]s rebase --onto %[3]s %[4]s NAME", word(w.root), r.Commit, short, base)
}

// move sets a branch, if it is still where it was seen.
func (w *Workspace) move(ctx context.Context, to Applied) error {
	old := to.Before
	if to.Made {
		old = strings.Repeat("0", len(to.After))
	}
	_, err := w.trees.git.run(ctx, call{repo: w.origin, reflog: true, args: []string{
		"update-ref", "--no-deref", "-m", "drawspan: apply", to.Branch, to.After, old,
	}})
	if err == nil {
		return nil
	}
	refs, errRefs := w.originRefs(ctx, heads)
	if errRefs != nil {
		return fmt.Errorf("set %s: %w", to.Branch, errors.Join(err, errRefs))
	}
	for _, r := range refs {
		if r.Name == to.Branch && r.Commit != to.Before {
			return fault.Wrap(err, fault.BaseMoved, "branch %s moved meanwhile", to.Branch).At(w.root)
		}
		if strings.HasPrefix(r.Name, to.Branch+"/") || strings.HasPrefix(to.Branch, r.Name+"/") {
			return fault.Wrap(err, fault.Conflict, "branch %s cannot exist beside %s", to.Branch, r.Name).At(w.root)
		}
	}
	return fmt.Errorf("set %s: %w", to.Branch, err)
}

// word is s as one word of a shell command line, for hints.
func word(s string) string {
	plain := func(r rune) bool { return strings.ContainsRune("/._-+:@%", r) || r < 0x80 && wordByte(byte(r)) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// busyFiles are the files of a git directory that name a branch somebody works on: the one checked out,
// those being rebased or bisected, and those that a rebase will move.
var busyFiles = []string{"HEAD", "rebase-merge/head-name", "rebase-apply/head-name", "rebase-merge/update-refs", "BISECT_START"}

const maxBusyFile = 1 << 20

// checkedOut refuses a branch that is in use in the operator's directory or any linked one.
func (w *Workspace) checkedOut(branch string) error {
	dirs := []string{w.origin.dir}
	linkedTrees := filepath.Join(w.origin.dir, "worktrees")
	entries, err := os.ReadDir(linkedTrees)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list linked directories: %w", err)
	}
	for _, e := range entries {
		dirs = append(dirs, filepath.Join(linkedTrees, e.Name()))
	}
	short := strings.TrimPrefix(branch, heads)
	for _, dir := range dirs {
		for _, name := range busyFiles {
			data, err := readSmall(filepath.Join(dir, name), maxBusyFile)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
				continue
			}
			if err != nil {
				return fmt.Errorf("see which branches are checked out: %w", err)
			}
			for line := range strings.Lines(string(data)) {
				line = strings.TrimPrefix(strings.TrimSpace(line), "ref: ")
				if line == branch || name == "BISECT_START" && line == short {
					return fault.New(fault.BranchCheckedOut, "branch %s is in use", short).At(filepath.Join(dir, name)).
						Fix("choose a new branch, then merge it where %s is checked out: git merge --ff-only", short)
				}
			}
		}
	}
	return nil
}

// Restore writes a kept commit to a new directory and says how many files it wrote.
func (w *Workspace) Restore(ctx context.Context, commit, dir string) (int, error) {
	if !fullHex(commit) {
		return 0, fault.New(fault.InvalidRequest, "%q is not a full commit id", commit)
	}
	if !filepath.IsAbs(dir) || dir != filepath.Clean(dir) {
		return 0, fault.New(fault.InvalidRequest, "%q is not a clean absolute path", dir)
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return 0, fault.New(fault.Conflict, "the directory to restore to exists").At(dir).Fix("name one that does not")
	} else if err != nil {
		return 0, fault.Wrap(err, fault.InvalidRequest, "the directory to restore to cannot be made").At(dir)
	}
	index := filepath.Join(w.trees.dir, scratchDir, rand.Text())
	defer os.Remove(index)
	if err := w.write(ctx, commit, dir, index); err != nil {
		return 0, err
	}
	entries, err := readIndex(index, w.mirror.sha256)
	if err != nil {
		return 0, err
	}
	files := 0
	for _, e := range entries {
		if e.mode != modeSub {
			files++
		}
	}
	return files, nil
}
