package worktree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Workspace is one anchored repository of the operator: the directory is known by its identity and held
// open, so that the identity is not given to another one that is put in its place.
type Workspace struct {
	trees  *Trees
	name   string
	root   string
	anchor *os.File
	dev    uint64
	ino    uint64
	origin repo // the operator's git directory
	mirror *mirror
}

// Workspace anchors the repository at root and makes or updates its mirror.
func (t *Trees) Workspace(ctx context.Context, name, root string) (*Workspace, error) {
	if err := checkID(name); err != nil {
		return nil, fault.New(fault.InvalidRequest, "%q is not a workspace name", name)
	}
	anchor, err := openAnchor(root)
	if err != nil {
		return nil, err
	}
	w := &Workspace{trees: t, name: name, root: root, anchor: anchor}
	var st unix.Stat_t
	if err = unix.Fstat(int(anchor.Fd()), &st); err == nil {
		w.dev, w.ino = st.Dev, st.Ino
		err = w.open(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, anchor.Close())
	}
	return w, nil
}

func (w *Workspace) open(ctx context.Context) error {
	if err := w.checkKind(); err != nil {
		return err
	}
	if err := w.findOrigin(ctx); err != nil {
		return err
	}
	tip := ""
	var err error
	if !w.trees.passing { // else what is to be judged is brought by its name
		if tip, err = w.anyTip(ctx); err != nil {
			return err
		}
	}
	if w.mirror, err = w.trees.mirrorOf(ctx, w.name, w.origin); err != nil || tip == "" {
		return err
	}
	return w.bring(ctx, tip)
}

// Close lets go of the directory. What was made of the workspace goes on working.
func (w *Workspace) Close() error { return w.anchor.Close() }

// Root is the directory that was anchored.
func (w *Workspace) Root() string { return w.root }

// openAnchor opens a workspace's root. The root itself may not be a symbolic link; the operator wrote
// the way to it.
func openAnchor(root string) (*os.File, error) {
	unusable := func(err error, why string) *fault.Fault {
		return fault.Wrap(err, fault.WorkspaceUnusable, "the workspace's root %s", why).At(root)
	}
	if !filepath.IsAbs(root) || root != filepath.Clean(root) || root == "/" {
		return nil, unusable(nil, "is not a clean absolute path below /")
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(root))
	if err != nil {
		return nil, unusable(err, "does not exist")
	}
	dir, err := unix.Open(parent, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, unusable(err, "cannot be reached")
	}
	defer closeFD(dir)
	fd, err := openDir(dir, filepath.Base(root))
	var st unix.Stat_t
	switch {
	case err != nil && unix.Fstatat(dir, filepath.Base(root), &st, unix.AT_SYMLINK_NOFOLLOW) == nil && kind(&st) == unix.S_IFLNK:
		return nil, unusable(err, "is a symbolic link").Fix("name the directory it points to")
	case errors.Is(err, unix.ENOENT):
		return nil, unusable(err, "does not exist")
	case errors.Is(err, unix.ENOTDIR):
		return nil, unusable(err, "is not a directory")
	case err != nil:
		return nil, unusable(err, "cannot be opened")
	}
	return os.NewFile(uintptr(fd), root), nil
}

// check reports a root that vanished or was replaced since it was anchored.
func (w *Workspace) check() error {
	var now unix.Stat_t
	if err := unix.Lstat(w.root, &now); err != nil {
		return fault.Wrap(err, fault.WorkspaceUnusable, "the workspace's root vanished").At(w.root)
	}
	return w.sameRoot(&now)
}

func (w *Workspace) sameRoot(now *unix.Stat_t) error {
	if now.Dev == w.dev && now.Ino == w.ino {
		return nil
	}
	return fault.New(fault.WorkspaceUnusable, "the workspace's root was replaced by another directory").At(w.root).
		Fix("reload the daemon if that was meant: kill -HUP")
}

// openRoot opens the root, if it is still the one that was anchored.
func (w *Workspace) openRoot() (*os.File, error) {
	f, err := openAnchor(w.root)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil {
		err = w.sameRoot(&st)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkKind says what the root is, where it is not the top of a repository's files, and that its owner
// is who the daemon runs as: another owner's configuration is not to be read by git.
func (w *Workspace) checkKind() error {
	unusable := func(format string, args ...any) *fault.Fault {
		return fault.New(fault.WorkspaceUnusable, format, args...).At(w.root)
	}
	fd := int(w.anchor.Fd())
	if err := ownedByUs(fd, "."); err != nil {
		return unusable("the repository's root belongs to another user").Fix("chown it, or run the daemon as its owner")
	}
	var st unix.Stat_t
	err := unix.Fstatat(fd, ".git", &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && kind(&st) == unix.S_IFLNK:
		return unusable("its .git is a symbolic link").Fix("use a .git file: git init --separate-git-dir")
	case err == nil:
		if ownedByUs(fd, ".git") != nil {
			return unusable("its .git belongs to another user").Fix("chown it, or run the daemon as its owner")
		}
		return nil
	case !errors.Is(err, unix.ENOENT):
		return unusable("its .git cannot be looked at: %v", err)
	case isBare(w.root):
		return unusable("it is a bare repository; executors need the files of one").
			Fix("git clone %s DIR, and name DIR as root", word(w.root))
	}
	for up := filepath.Dir(w.root); up != "/"; up = filepath.Dir(up) {
		if exists(filepath.Join(up, ".git")) {
			return unusable("it is not the top of a git repository").Fix("name %s as root", up)
		}
	}
	return unusable("it is not a git repository").Fix("git -C %s init", word(w.root))
}

func isBare(dir string) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if !exists(filepath.Join(dir, name)) {
			return false
		}
	}
	return true
}

var errOwner = errors.New("belongs to another user")

func ownedByUs(dir int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if int(st.Uid) != os.Geteuid() {
		return errOwner
	}
	return nil
}

// findOrigin asks git for the common directory behind the root's .git, and its object format. A format
// extension that this git does not know makes git fail here.
func (w *Workspace) findOrigin(ctx context.Context) error {
	out, err := w.trees.git.run(ctx, call{
		entry: filepath.Join(w.root, ".git"), work: w.root,
		args: []string{"rev-parse", "--path-format=absolute", "--git-common-dir", "--show-object-format"},
	})
	if err != nil {
		return fault.Wrap(err, fault.WorkspaceUnusable, "git cannot use the repository").At(w.root)
	}
	common, format, ok := strings.Cut(strings.TrimSuffix(string(out), "\n"), "\n")
	if !ok || !filepath.IsAbs(common) || format != "sha1" && format != "sha256" {
		return fault.New(fault.WorkspaceUnusable, "git does not say where the repository is").At(w.root)
	}
	dir, err := filepath.EvalSymlinks(common)
	if err != nil {
		return fault.Wrap(err, fault.WorkspaceUnusable, "its git directory cannot be reached").At(w.root)
	}
	for _, name := range []string{dir, filepath.Join(dir, "config"), filepath.Join(dir, "objects")} {
		if err := ownedByUs(unix.AT_FDCWD, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.Wrap(err, fault.WorkspaceUnusable, "its git directory belongs to another user").At(name).
				Fix("chown it, or run the daemon as its owner")
		}
	}
	w.origin = repo{dir: dir, sha256: format == "sha256"}
	return nil
}

// anyTip is a commit of the repository: that of HEAD, or else of any branch or tag.
func (w *Workspace) anyTip(ctx context.Context) (string, error) {
	out, err := w.trees.git.run(ctx, call{repo: w.origin, args: []string{
		"for-each-ref", "--format=%(HEAD)%(objectname) %(objecttype)", "--sort=-committerdate", heads, tags,
	}})
	if err != nil {
		return "", fault.Wrap(err, fault.WorkspaceUnusable, "its branches cannot be read").At(w.root)
	}
	first := ""
	for line := range strings.Lines(string(out)) {
		id, isCommit := strings.CutSuffix(strings.TrimSpace(line[1:]), " commit")
		if isCommit && (first == "" || line[0] == '*') {
			first = id
		}
	}
	if first == "" { // a CI system's checkout may have nothing but a detached HEAD
		out, err := w.trees.git.run(ctx, call{entry: filepath.Join(w.root, ".git"), work: w.root,
			args: []string{"rev-parse", "--verify", "--quiet", "HEAD^{commit}"}})
		if err != nil && exitCode(err) <= 0 {
			return "", fault.Wrap(err, fault.WorkspaceUnusable, "its HEAD cannot be read").At(w.root)
		}
		first = strings.TrimSpace(string(out))
	}
	if !fullHex(first) {
		return "", fault.New(fault.WorkspaceUnusable, "the repository has no commit yet").At(w.root).
			Fix("git -C %s add -A && git -C %s commit -m start", word(w.root), word(w.root))
	}
	return first, nil
}
