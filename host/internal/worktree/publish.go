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

// Publish puts the kept commit of an attempt, and the commits that its executor made, into the operator's
// repository, if they are not there.
func (w *Workspace) Publish(ctx context.Context, attemptID string) error {
	if err := checkID(attemptID); err != nil {
		return err
	}
	commit, err := w.kept(attemptID)
	if err != nil {
		return err
	}
	if err := w.publish(ctx, RefPrefix+attemptID, commit, ""); err != nil {
		return err
	}
	own, err := w.mirror.ref(CommitsPrefix + attemptID)
	if err != nil || own == "" {
		return err
	}
	return w.publish(ctx, CommitsPrefix+attemptID, own, "")
}

// kept is the commit of an attempt, as the mirror has it.
func (w *Workspace) kept(attemptID string) (string, error) {
	commit, err := w.mirror.ref(RefPrefix + attemptID)
	if err == nil && commit == "" {
		err = fault.New(fault.NotFound, "nothing is kept of attempt %s", attemptID)
	}
	return commit, err
}

// publish hands a commit to the operator's repository: its objects first, then, when nothing of it is
// missing there, the ref. objects is a directory with the new objects, empty where that is gone.
//
// Single objects that no ref reaches yet may be collected by a git gc that runs there at the same time.
// A pack with a keep file may not, so that is how they travel while one runs.
func (w *Workspace) publish(ctx context.Context, ref, commit, objects string) error {
	if err := w.check(); err != nil {
		return err
	}
	put, err := w.hand(ctx, objects)
	if err != nil {
		return fmt.Errorf("hand objects of %s to the repository: %w", ref, err)
	}
	whole, err := w.whole(ctx, commit)
	if err != nil {
		return err
	}
	done := false
	if whole && !w.collecting() {
		// A collection that began just now may take the objects away; then there is no ref.
		done = w.point(ctx, ref, commit) == nil
	}
	if done && !w.collecting() && put.present(filepath.Join(w.origin.dir, "objects")) {
		return nil
	}
	release, err := w.send(ctx, commit)
	if err != nil {
		return err
	}
	if !done {
		err = w.point(ctx, ref, commit)
	}
	return errors.Join(err, release())
}

// hand puts the objects of a directory into the operator's repository one by one, unless a collection
// runs there.
func (w *Workspace) hand(ctx context.Context, objects string) (linked, error) {
	if objects == "" || w.collecting() {
		return linked{}, nil
	}
	to := filepath.Join(w.origin.dir, "objects")
	put, err := linkObjects(ctx, objects, to)
	if err == nil {
		err = put.writeOut(to)
	}
	if errors.Is(err, unix.ENOENT) {
		return linked{}, nil // collected under our hands; whoever looks for them finds out
	}
	return put, err
}

// collecting reports whether git gc runs in the operator's repository.
func (w *Workspace) collecting() bool { return exists(filepath.Join(w.origin.dir, "gc.pid")) }

// whole reports whether the operator's repository has everything of a commit that its branches and tags
// do not reach already.
func (w *Workspace) whole(ctx context.Context, commit string) (bool, error) {
	_, err := w.trees.git.run(ctx, call{repo: w.origin, args: []string{
		"rev-list", "--objects", "--quiet", commit, "--not", "--branches", "--tags", "--remotes",
	}})
	if exitCode(err) > 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check the objects of %s: %w", commit, err)
	}
	return true, nil
}

// send packs what the operator's repository may lack of a commit and puts it there, protected from being
// collected until release is called. What its refs reach is left out: that cannot be collected. The pack is
// made elsewhere and linked in whole: git deletes unfinished ones when it collects.
func (w *Workspace) send(ctx context.Context, commit string) (release func() error, err error) {
	refs, err := w.originRefs(ctx, heads, tags, RefPrefix)
	if err != nil {
		return nil, err
	}
	haves := make([]string, 0, len(refs))
	for _, r := range refs {
		if r.Commit != commit {
			haves = append(haves, r.Commit)
		}
	}
	scratch := filepath.Join(w.trees.dir, scratchDir, rand.Text())
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	theirs := filepath.Join(w.origin.dir, "objects")
	if err := makeObjects(scratch, theirs); err != nil {
		return nil, err
	}
	into := call{repo: w.origin, objects: scratch, args: []string{"index-pack", "--stdin", "--fix-thin"}}
	if err := w.trees.git.transfer(ctx, w.mirror.repo, into, commit, haves); err != nil {
		return nil, fmt.Errorf("send commit %s to the repository: %w", commit, err)
	}
	release, err = protect(filepath.Join(scratch, "pack"), filepath.Join(theirs, "pack"))
	if err != nil {
		return nil, fmt.Errorf("protect the pack of %s: %w", commit, err)
	}
	put, err := linkObjects(ctx, scratch, theirs)
	if err == nil {
		err = put.writeOut(theirs)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hand the pack of %s to the repository: %w", commit, err), release())
	}
	return release, nil
}

// makeObjects makes an objects directory that borrows from another.
func makeObjects(dir, from string) error {
	for _, d := range []string{"info", "pack"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return fmt.Errorf("make directory for objects: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "info", "alternates"), []byte(from+"\n"), 0o600); err != nil {
		return fmt.Errorf("make directory for objects: %w", err)
	}
	return nil
}

// protect makes the keep files of the packs in from, before the packs get to to. release removes those
// that it made.
func protect(from, to string) (release func() error, err error) {
	packs, err := filepath.Glob(filepath.Join(from, "pack-*.pack"))
	if err != nil {
		return nil, err
	}
	var made []string
	release = func() error {
		var errs []error
		for _, keep := range made {
			// Gone already: a collection that saw the ref has packed the objects anew.
			if err := os.Remove(keep); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	for _, p := range packs {
		keep := filepath.Join(to, strings.TrimSuffix(filepath.Base(p), ".pack")+".keep")
		f, err := os.OpenFile(keep, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue // somebody protects the same pack already
		}
		if err != nil {
			return nil, errors.Join(err, release())
		}
		made = append(made, keep)
		if err := f.Close(); err != nil {
			return nil, errors.Join(err, release())
		}
	}
	return release, nil
}

// point makes the ref of an attempt in the operator's repository. It is made once and never moved.
func (w *Workspace) point(ctx context.Context, ref, commit string) error {
	_, err := w.trees.git.run(ctx, call{repo: w.origin, args: []string{
		"update-ref", "--no-deref", ref, commit, strings.Repeat("0", len(commit)),
	}})
	if err == nil {
		return nil
	}
	refs, errRefs := w.originRefs(ctx, ref)
	if errRefs == nil && len(refs) == 1 && refs[0].Name == ref {
		if refs[0].Commit == commit {
			return nil
		}
		return fault.Wrap(err, fault.Conflict, "the repository has another commit under %s", ref).At(w.root)
	}
	return fmt.Errorf("make %s: %w", ref, errors.Join(err, errRefs))
}
