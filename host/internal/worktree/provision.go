package worktree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Bounds of what is copied into a tree besides the repository's files.
const (
	maxProvision      = 256
	maxProvisionBytes = 64 << 20
)

// provision copies the declared files of the operator's root into the tree, and makes the places of
// linked directories. They are not the repository's: one that is tracked would hide a change or lose it, so
// it is refused.
func (t *Tree) provision(ctx context.Context) error {
	if len(t.rec.Provision) == 0 && len(t.rec.Links) == 0 {
		return nil
	}
	if len(t.rec.Provision) > maxProvision {
		return fault.New(fault.InvalidRequest, "%d files to provision, at most %d are taken", len(t.rec.Provision), maxProvision)
	}
	root, err := t.w.openRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	tree, err := unix.Open(t.Path(), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open tree: %w", err)
	}
	defer closeFD(tree)
	room := int64(maxProvisionBytes)
	for _, rel := range t.rec.Provision {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, err := t.copyIn(int(root.Fd()), tree, rel, room)
		if err != nil {
			return err
		}
		room -= n
	}
	return t.makePlaces(tree)
}

func (t *Tree) copyIn(root, tree int, rel string, room int64) (int64, error) {
	unusable := func(err error, why string) *fault.Fault {
		return fault.Wrap(err, fault.WorkspaceUnusable, "provisioned file %s", why).At(path.Join(t.w.root, rel))
	}
	in, err := openBeneath(root, rel, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return 0, unusable(err, "does not exist")
	case errors.Is(err, unix.ELOOP):
		return 0, unusable(err, "is reached through a symbolic link")
	case err != nil:
		return 0, unusable(err, "cannot be opened")
	}
	src := os.NewFile(uintptr(in), rel)
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		return 0, unusable(err, "cannot be looked at")
	}
	if !fi.Mode().IsRegular() || fi.Size() > room {
		return 0, unusable(nil, "is not a plain file within the bounds: 64 MiB in all")
	}
	dir, err := makeDirs(tree, rel)
	if err != nil {
		return 0, fault.Wrap(err, fault.TreeRefused, "no place for provisioned file %s", rel)
	}
	defer closeFD(dir)
	mode := uint32(0o600) | uint32(fi.Mode().Perm()&0o100)
	out, err := openBeneath(dir, path.Base(rel), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
	if errors.Is(err, unix.EEXIST) {
		return 0, unusable(err, "is tracked by the repository").Fix("take it out of the workspace's provision block")
	}
	if err != nil {
		return 0, fmt.Errorf("make provisioned file %s: %w", rel, err)
	}
	dst := os.NewFile(uintptr(out), rel)
	n, err := io.Copy(dst, io.LimitReader(src, room))
	if err = errors.Join(err, dst.Close()); err != nil {
		return 0, fmt.Errorf("write provisioned file %s: %w", rel, err)
	}
	return n, nil
}

// fingerprint tells a provisioned file under whatever name.
type fingerprint struct {
	size int64
	sum  [sha256.Size]byte
}

// minFingerprint is the size from which a file with the same bytes as a provisioned one is taken for a
// copy of it. Smaller ones are too often alike by chance.
const minFingerprint = 16

// fingerprints are those of the operator's provisioned files as they are now, and of what stands at
// their place in the tree. What cannot be read has none.
func (t *Tree) fingerprints(tree int) map[fingerprint]bool {
	prints := make(map[fingerprint]bool)
	dirs := []int{tree}
	if len(t.rec.Provision) > 0 {
		if root, err := t.w.openRoot(); err == nil {
			defer root.Close()
			dirs = append(dirs, int(root.Fd()))
		}
	}
	for _, rel := range t.rec.Provision {
		for _, dir := range dirs {
			if f, err := fingerprintOf(dir, rel, maxProvisionBytes); err == nil && f.size >= minFingerprint {
				prints[f] = true
			}
		}
	}
	return prints
}

func fingerprintOf(dir int, rel string, limit int64) (fingerprint, error) {
	var f fingerprint
	fd, err := openBeneath(dir, rel, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return f, err
	}
	file := os.NewFile(uintptr(fd), rel)
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return f, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > limit {
		return f, unix.EINVAL
	}
	sum := sha256.New()
	if f.size, err = io.Copy(sum, io.LimitReader(file, limit)); err != nil {
		return f, err
	}
	sum.Sum(f.sum[:0])
	return f, nil
}

// withhold takes what stands at the provisioned and withheld paths out of the tree, whatever the executor
// made of it. It returns the tracked paths among and below them: their old state is kept instead.
func (t *Tree) withhold(tree int, index map[string]*tracked, paths []string) ([]string, error) {
	aside := filepath.Join(t.home, withheldName)
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return nil, fmt.Errorf("make directory for withheld files: %w", err)
	}
	var restore []string
	for i, rel := range paths {
		if err := takeOut(tree, rel, filepath.Join(aside, strconv.Itoa(i))); err != nil {
			return nil, fmt.Errorf("withhold %q: %w", rel, err)
		}
		for name, e := range index {
			if e.mode != modeSub && (name == rel || strings.HasPrefix(name, rel+"/")) {
				restore = append(restore, name)
			}
		}
	}
	return restore, nil
}

// takeOut moves what is at rel out of the tree. Nothing there, or a link on the way, is nothing to take
// out: git does not look behind links either.
func takeOut(tree int, rel, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	dir, err := openDir(tree, path.Dir(rel))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeFD(dir)
	var st unix.Stat_t
	err = unix.Fstatat(dir, path.Base(rel), &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	return moveOut(dir, path.Base(rel), &st, to)
}

// moveOut renames an entry of a tree, making it movable first where its mode forbids that.
func moveOut(dir int, name string, st *unix.Stat_t, to string) error {
	if kind(st) == unix.S_IFDIR && st.Mode&0o700 != 0o700 {
		if err := chmodAt(dir, name, 0o700); err != nil {
			return err
		}
	}
	return unix.Renameat(dir, name, unix.AT_FDCWD, to)
}
