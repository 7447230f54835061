package worktree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// maxMade bounds what commands that prepare a tree may leave, counted by the outermost new entries.
const maxMade = 256

// makePlaces makes an empty directory for each linked one: what is shown there belongs to the launch.
func (t *Tree) makePlaces(tree int) error {
	for _, rel := range t.rec.Links {
		dir, err := makeDirs(tree, rel)
		if err != nil {
			return fault.Wrap(err, fault.TreeRefused, "no place for linked directory %s", rel)
		}
		err = unix.Mkdirat(dir, path.Base(rel), 0o755)
		closeFD(dir)
		if errors.Is(err, unix.EEXIST) {
			return fault.Wrap(err, fault.WorkspaceUnusable, "linked directory %s is tracked by the repository", rel).At(path.Join(t.w.root, rel)).
				Fix("take it out of the workspace's provision block")
		}
		if err != nil {
			return fmt.Errorf("make place of linked directory %s: %w", rel, err)
		}
	}
	return nil
}

// Links are the linked directories as they are now, for a launch over the tree. None is reached through a
// symbolic link, so nothing outside of the operator's root is shown.
func (t *Tree) Links() ([]Linked, error) {
	if len(t.rec.Links) == 0 {
		return nil, nil
	}
	root, err := t.w.openRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	out := make([]Linked, 0, len(t.rec.Links))
	for _, rel := range t.rec.Links {
		l := Linked{Host: path.Join(t.w.root, rel), Inside: path.Join(t.Path(), rel)}
		unusable := func(err error, why string) error {
			return fault.Wrap(err, fault.WorkspaceUnusable, "linked directory %s %s", rel, why).At(l.Host).
				Fix("make it in the root, or take it out of the workspace's provision block")
		}
		fd, err := openBeneath(int(root.Fd()), rel, unix.O_PATH|unix.O_DIRECTORY, 0)
		switch {
		case errors.Is(err, unix.ENOENT):
			return nil, unusable(err, "does not exist")
		case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
			return nil, unusable(err, "is no directory, or is reached through a symbolic link")
		case err != nil:
			return nil, unusable(err, "cannot be opened")
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		closeFD(fd)
		if err != nil {
			return nil, unusable(err, "cannot be looked at")
		}
		l.Dev, l.Ino = st.Dev, st.Ino
		out = append(out, l)
	}
	return out, nil
}

// Settle looks at what the commands left that prepare the tree; nothing of them may be alive. What they
// made is noted and never part of a result. The files of the commit must be as they were: the commands may
// run what an executor wrote, and what is judged is what is kept.
func (t *Tree) Settle(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.intact(); err != nil {
		return err
	}
	root, err := t.openRoot()
	if err != nil {
		return err
	}
	defer closeFD(root)
	index, err := readIndex(t.index(), t.w.mirror.sha256)
	if err != nil {
		return err
	}
	s := &survey{root: root, index: index, known: map[string]bool{pointerName: true}, dirs: map[string]bool{}}
	for _, p := range slices.Concat(t.rec.Provision, t.rec.Links) {
		s.known[p] = true
		s.around(p)
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	slices.Sort(s.made)
	t.rec.Made, t.rec.Unsettled = s.made, false
	return t.rec.write(t.home)
}

// survey is one Settle on its way.
type survey struct {
	root  int
	index map[string]*tracked
	known map[string]bool // what stands there although nobody tracks it
	dirs  map[string]bool // directories that hold what is tracked or known
	seen  int
	made  []string
}

// around notes the directories above a path.
func (s *survey) around(name string) {
	for dir := path.Dir(name); dir != "." && !s.dirs[dir]; dir = path.Dir(dir) {
		s.dirs[dir] = true
	}
}

func (s *survey) run(ctx context.Context) error {
	want := 0
	for name, e := range s.index {
		s.around(name)
		if e.mode == modeSub {
			s.known[name] = true
		} else {
			want++
		}
	}
	pending := []string{"."}
	for len(pending) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		dir := pending[len(pending)-1]
		below, err := s.dir(dir)
		if err != nil {
			return err
		}
		pending = append(pending[:len(pending)-1], below...)
	}
	if s.seen != want {
		return fault.New(fault.TreeRefused, "the commands that prepare the tree removed %d of the %d files of its commit", want-s.seen, want)
	}
	return nil
}

// dir looks at one directory and returns those below it that may hold files of the commit.
func (s *survey) dir(rel string) ([]string, error) {
	fd, err := openDir(s.root, rel)
	if err != nil {
		return nil, fault.Wrap(err, fault.TreeRefused, "the commands that prepare the tree left %q unreadable", rel)
	}
	defer closeFD(fd)
	names, err := readNames(fd)
	if err != nil {
		return nil, fmt.Errorf("read %q of the tree: %w", rel, err)
	}
	var below []string
	for _, name := range names {
		full := strings.TrimPrefix(rel+"/"+name, "./")
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, fmt.Errorf("look at %q of the tree: %w", full, err)
		}
		switch e := s.index[full]; {
		case s.known[full]:
		case e != nil && !e.same(&st) && !e.sameSecond(&st):
			return nil, fault.New(fault.TreeRefused, "the commands that prepare the tree changed %q, a file of its commit", full).
				Fix("leave tracked files alone: npm ci, not npm install")
		case e != nil:
			s.seen++
		case s.dirs[full] && kind(&st) == unix.S_IFDIR:
			below = append(below, full)
		case len(s.made) == maxMade || len(full) > maxPath:
			return nil, fault.New(fault.TreeRefused, "the commands that prepare the tree left more than %d new entries, or too long a name", maxMade).
				Fix("have them write to one directory")
		default:
			s.made = append(s.made, full)
		}
	}
	return below, nil
}

// undo takes out of the tree whatever commands left that were cut off: nobody has worked there, so the tree
// is that of its start.
func (t *Tree) undo(ctx context.Context, root int) error {
	if !t.rec.Unsettled {
		return nil
	}
	names, err := readNames(root)
	if err != nil {
		return fmt.Errorf("read tree of %s: %w", t.rec.Attempt, err)
	}
	for _, name := range names {
		if err := t.w.trees.drop(root, name, t.rec.Attempt); err != nil {
			return fmt.Errorf("take %q out of the tree: %w", name, err)
		}
	}
	if err := os.Remove(t.index()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove index of %s: %w", t.rec.Attempt, err)
	}
	return t.populate(ctx)
}
