package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Reset brings the tree to exactly the kept state and provisions it afresh, so that validators judge what
// is kept and nothing else: files that were ignored and left-overs are deleted.
func (t *Tree) Reset(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.intact(); err != nil {
		return err
	}
	if t.rec.Kept == "" {
		return fault.New(fault.Conflict, "nothing is kept of attempt %s yet", t.rec.Attempt)
	}
	root, err := t.openRoot()
	if err != nil {
		return err
	}
	defer closeFD(root)
	if err := t.dropShadow(root); err != nil {
		return err
	}
	if err := emptyTree(filepath.Join(t.home, withheldName)); err != nil {
		return fmt.Errorf("delete withheld files: %w", err)
	}
	index, err := readIndex(t.index(), t.w.mirror.sha256)
	if err != nil {
		return err
	}
	r := &reset{root: root, index: index, dirs: make(map[string]bool), trees: t.w.trees, id: t.rec.Attempt}
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("reset tree of %s: %w", t.rec.Attempt, err)
	}
	return t.provision(ctx)
}

// reset is one Reset on its way.
type reset struct {
	root  int
	index map[string]*tracked
	dirs  map[string]bool // directories that hold tracked files, and the places of submodules
	trees *Trees
	id    string
}

func (r *reset) run(ctx context.Context) error {
	want := 0
	for name, e := range r.index {
		if e.mode == modeSub {
			r.dirs[name] = true
		} else {
			want++
		}
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			if r.dirs[name[:i]] {
				break
			}
			r.dirs[name[:i]] = true
		}
	}
	pending := []string{"."}
	got := 0
	for len(pending) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		dir := pending[len(pending)-1]
		below, n, err := r.dir(dir)
		if err != nil {
			return fmt.Errorf("%q: %w", dir, err)
		}
		pending = append(pending[:len(pending)-1], below...)
		got += n
	}
	if got != want {
		return fault.New(fault.TreeRefused, "the tree of attempt %s has %d of the %d files that are kept", r.id, got, want)
	}
	return nil
}

// dir deletes what is not tracked in one directory. It returns the directories below and the number of
// tracked files.
func (r *reset) dir(rel string) (below []string, files int, err error) {
	fd, err := openDir(r.root, rel)
	if err != nil {
		return nil, 0, err
	}
	defer closeFD(fd)
	names, err := readNames(fd)
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		path := name
		if rel != "." {
			path = rel + "/" + name
		}
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, 0, err
		}
		e := r.index[path]
		switch {
		case kind(&st) == unix.S_IFDIR && r.dirs[path]:
			below = append(below, path)
		case e != nil && e.mode != modeSub:
			if !e.same(&st) && !e.sameSecond(&st) {
				return nil, 0, fault.New(fault.TreeRefused, "%q changed after it was kept", path)
			}
			files++
		default:
			if err := r.trees.drop(fd, name, r.id); err != nil {
				return nil, 0, err
			}
		}
	}
	return below, files, nil
}

// Remove deletes the tree, if its state is kept. What is not kept is not deleted.
func (t *Tree) Remove(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.rec.Sealed {
		kept, err := t.w.kept(t.rec.Attempt)
		if err != nil || kept != t.rec.Kept {
			return fault.Wrap(err, fault.Conflict, "the tree of attempt %s is not kept, so it stays", t.rec.Attempt).At(t.home)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return t.w.trees.discard(t.home, t.rec.Attempt)
}

// Discard deletes a directory of the state directory, whatever a program made of it. It is out of its place
// when Discard returns, or still there as a whole.
func (t *Trees) Discard(dir string) error {
	err := t.discard(dir, path.Base(dir))
	if errors.Is(err, unix.EACCES) { // the program closed it, and its entry for the parent would change
		if err = chmodAt(unix.AT_FDCWD, dir, 0o700); err == nil {
			err = t.discard(dir, path.Base(dir))
		}
	}
	return err
}

// discard moves a directory into the trash, where Run finds it.
func (t *Trees) discard(home, id string) error {
	if _, err := moveAside(unix.AT_FDCWD, home, filepath.Join(t.dir, trashDir), id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move %s into the trash: %w", id, err)
	}
	t.ring()
	return nil
}

func (t *Trees) ring() {
	select {
	case t.trash <- struct{}{}:
	default:
	}
}

// Run deletes removed trees in the background until ctx ends. What it did not get to stays in the trash
// for the next start.
func (t *Trees) Run(ctx context.Context) error {
	t.ring()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.trash:
			if err := t.EmptyTrash(ctx); err != nil && ctx.Err() == nil {
				t.log.Warn("trees could not be deleted", "error", err)
			}
		}
	}
}

// EmptyTrash deletes removed trees now.
func (t *Trees) EmptyTrash(ctx context.Context) error {
	t.bin.Lock()
	defer t.bin.Unlock()
	dir := filepath.Join(t.dir, trashDir)
	for {
		names, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("read trash: %w", err)
		}
		if len(names) == 0 {
			return nil
		}
		for _, n := range names {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := emptyTree(filepath.Join(dir, n.Name())); err != nil {
				return fmt.Errorf("delete %q from trash: %w", n.Name(), err)
			}
			if err := os.Remove(filepath.Join(dir, n.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("delete %q from trash: %w", n.Name(), err)
			}
		}
	}
}
