package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Shadow is the git directory of a tree that the sandboxed side works with. The host writes it and, but
// for the bytes of its HEAD, never reads it again. All paths are absolute and without symbolic links.
type Shadow struct {
	Dir     string   // what the tree's .git file names
	Protect []string // below Dir, to be made read-only inside
	Objects []string // directories that Dir borrows objects from, read-only inside
}

const (
	shadowName  = "git"  // in the directory of an attempt
	pointerName = ".git" // in the tree
	baseRef     = "refs/drawspan/base"
)

// shadowConfig keeps git inside to what a plain repository does: no hooks, no monitor, no conversion of
// bytes, no collecting in the background, and somebody to commit as. A repack must not write objects/info,
// which is read-only inside.
const shadowConfig = "[core]\n\trepositoryformatversion = %d\n\tbare = false\n\tfilemode = true\n\tsymlinks = true\n" +
	"\tignorecase = false\n\tlogallrefupdates = true\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tautocrlf = false\n" +
	"[user]\n\tname = executor\n\temail = executor@localhost\n[gc]\n\tauto = 0\n\twriteCommitGraph = false\n[repack]\n\tupdateServerInfo = false\n[maintenance]\n\tauto = false\n" +
	"[submodule]\n\trecurse = false\n[commit]\n\tgpgSign = false\n[advice]\n\tdetachedHead = false\n"

// shadowAttributes undo what could change bytes between the tree and a commit made inside, so that it
// holds what a capture would. Unlike in the mirror, how differences are shown and merged is left alone.
const shadowAttributes = "* -text !crlf !eol !ident !filter !working-tree-encoding\n"

// Shadow makes the tree's git directory and the .git file anew, at the commit that the tree now is. What
// an earlier one held is gone: Import comes first. No process may be alive in the tree, and each launch
// over it needs a Shadow of its own.
func (t *Tree) Shadow(ctx context.Context) (Shadow, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil {
		return Shadow{}, context.Cause(ctx)
	}
	if err := t.intact(); err != nil {
		return Shadow{}, err
	}
	objects := t.w.mirror.objects()
	if exists(filepath.Join(objects, "info", "alternates")) {
		return Shadow{}, fault.New(fault.WorkspaceUnusable, "the mirror borrows objects, which it never does by itself").At(objects).
			Fix("remove the mirror; it is made again")
	}
	root, err := t.openRoot()
	if err != nil {
		return Shadow{}, err
	}
	defer closeFD(root)
	if err := t.dropShadow(root); err != nil {
		return Shadow{}, err
	}
	dir := filepath.Join(t.home, shadowName)
	if err := t.writeShadow(dir, objects); err != nil {
		return Shadow{}, fmt.Errorf("make git directory of %s: %w", t.rec.Attempt, t.w.trees.noSpace(err))
	}
	if err := writePointer(root, dir); err != nil {
		return Shadow{}, fmt.Errorf("make .git file of %s: %w", t.rec.Attempt, t.w.trees.noSpace(err))
	}
	s := Shadow{Dir: dir, Objects: []string{objects}}
	for _, name := range []string{"config", "hooks", "info", "objects/info"} {
		s.Protect = append(s.Protect, filepath.Join(dir, name))
	}
	return s, nil
}

// openRoot opens the tree's directory, if it is the one that was made, without following a link.
func (t *Tree) openRoot() (int, error) {
	root, err := unix.Open(t.Path(), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fault.Wrap(err, fault.TreeRefused, "the tree of attempt %s cannot be opened", t.rec.Attempt).At(t.Path())
	}
	var st unix.Stat_t
	if err := unix.Fstat(root, &st); err != nil || st.Dev != t.rec.Dev || st.Ino != t.rec.Ino {
		closeFD(root)
		return -1, fault.Wrap(err, fault.TreeRefused, "the tree of attempt %s was replaced", t.rec.Attempt).At(t.Path())
	}
	return root, nil
}

// noSpace makes the fault of a full disk out of an error that means one.
func (t *Trees) noSpace(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fault.Wrap(err, fault.NoSpace, "no space left for trees").At(t.dir)
	}
	return err
}

// head is the commit that the tree now is.
func (t *Tree) head() string {
	if t.rec.Kept != "" {
		return t.rec.Kept
	}
	return t.rec.Start
}

func (t *Tree) writeShadow(dir, objects string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, d := range []string{"hooks", "info", "objects", "objects/info", "objects/pack", "refs", "refs/heads"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	config := fmt.Sprintf(shadowConfig, 0)
	if t.w.mirror.sha256 {
		config = fmt.Sprintf(shadowConfig, 1) + mirrorSHA256
	}
	for _, f := range [][2]string{
		{"config", config}, {"HEAD", t.head() + "\n"}, {"packed-refs", t.shadowRefs()},
		{"info/attributes", shadowAttributes}, {"info/exclude", excludes(t.rec.apart())},
		{"objects/info/alternates", objects + "\n"},
	} {
		if err := os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0o600); err != nil {
			return err
		}
	}
	shallow := filepath.Join(t.w.mirror.dir, "shallow")
	if exists(shallow) {
		if err := duplicate(shallow, filepath.Join(dir, "shallow")); err != nil {
			return err
		}
	}
	return duplicate(t.index(), filepath.Join(dir, "index"))
}

// shadowRefs are the refs that are there to begin with: the base, and its branch where that is known.
// Refs of other attempts are nobody's business inside.
func (t *Tree) shadowRefs() string {
	base, refs := t.rec.Start, ""
	if b := t.rec.Branch; b.Name != "" {
		base = b.Commit
		refs = b.Commit + " " + b.Name + "\n"
	}
	return "# pack-refs with: peeled fully-peeled sorted \n" + base + " " + baseRef + "\n" + refs
}

// excludes are patterns that match exactly the given paths, so that what was provisioned is neither shown
// nor added.
func excludes(paths []string) string {
	var all strings.Builder
	for _, p := range paths {
		all.WriteByte('/')
		for _, c := range []byte(p) {
			switch {
			case c == '\n' || c == '\r':
				all.WriteByte('?') // a pattern is one line
			case strings.IndexByte(`*?[]\! #`, c) >= 0:
				all.WriteByte('\\')
				all.WriteByte(c)
			default:
				all.WriteByte(c)
			}
		}
		all.WriteByte('\n')
	}
	return all.String()
}

// duplicate copies one of the host's own files. It is no hard link: what is written inside may not get
// into the original. Its time is that of the copy, so that git looks again at files of the same second.
func duplicate(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func pointer(dir string) []byte { return []byte("gitdir: " + dir + "\n") }

func writePointer(root int, dir string) error {
	fd, err := openBeneath(root, pointerName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), pointerName)
	_, err = f.Write(pointer(dir))
	return errors.Join(err, f.Close())
}

// dropPointer removes the tree's .git if it is, byte for byte, the file that Shadow made. Anything else at
// its place is an executor's work.
func (t *Tree) dropPointer(root int) error {
	want := pointer(filepath.Join(t.home, shadowName))
	got, err := readBeneath(root, pointerName, len(want))
	if err != nil || !bytes.Equal(got, want) {
		return err
	}
	return unix.Unlinkat(root, pointerName, 0)
}

// dropShadow takes away the git directory and whatever stands at the tree's .git, following nothing.
func (t *Tree) dropShadow(root int) error {
	err := t.dropGitDir()
	if err == nil {
		err = t.w.trees.drop(root, pointerName, t.rec.Attempt)
	}
	if err != nil {
		return fmt.Errorf("remove git directory of %s: %w", t.rec.Attempt, err)
	}
	return nil
}

func (t *Tree) dropGitDir() error {
	return t.w.trees.drop(unix.AT_FDCWD, filepath.Join(t.home, shadowName), t.rec.Attempt)
}

// drop takes an entry away: a directory to the trash, anything else at once. Nothing there is nothing to
// do.
func (t *Trees) drop(dir int, name, id string) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	if kind(&st) != unix.S_IFDIR {
		return unix.Unlinkat(dir, name, 0)
	}
	if st.Mode&0o700 != 0o700 {
		if err := chmodAt(dir, name, 0o700); err != nil {
			return err
		}
	}
	_, err = moveAside(dir, name, filepath.Join(t.dir, trashDir), id)
	t.ring()
	return err
}

// readBeneath reads a plain file of at most limit bytes below a directory, following nothing and waiting
// for nobody. It is nil where there is no such file, or another kind of thing.
func readBeneath(dir int, rel string, limit int) ([]byte, error) {
	fd, err := openBeneath(dir, rel, unix.O_PATH, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EACCES) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	closeFD(fd)
	if err != nil || kind(&st) != unix.S_IFREG || st.Size > int64(limit) {
		return nil, err
	}
	fd, err = openBeneath(dir, rel, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EACCES) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), rel)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(limit)))
}

// HeadMoved reports whether HEAD of the tree's git directory is anything but what Shadow wrote: another
// commit, a branch, or no plain file any more. No process may be alive in the tree.
func (t *Tree) HeadMoved() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	home, err := unix.Open(t.home, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open directory of %s: %w", t.rec.Attempt, err)
	}
	defer closeFD(home)
	dir, err := openBeneath(home, shadowName, unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOENT) {
		return false, fault.Wrap(err, fault.Conflict, "the tree of attempt %s has no git directory", t.rec.Attempt).At(t.home)
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return false, fault.Wrap(err, fault.TreeRefused, "the git directory of attempt %s was replaced", t.rec.Attempt).
			At(filepath.Join(t.home, shadowName))
	}
	if err != nil {
		return false, fmt.Errorf("open git directory of %s: %w", t.rec.Attempt, err)
	}
	defer closeFD(dir)
	want := t.head() + "\n"
	got, err := readBeneath(dir, "HEAD", len(want))
	if err != nil {
		return false, fmt.Errorf("read HEAD of %s: %w", t.rec.Attempt, err)
	}
	return string(got) != want, nil
}
