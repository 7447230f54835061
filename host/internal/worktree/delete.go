package worktree

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// flatDepth is how deep deletion goes before it brings what lies deeper to the top.
const flatDepth = 64

// emptyTree deletes everything below a directory, whatever an executor made of it: however deep, with
// whatever modes, without following a link. A directory that is not there is empty.
func emptyTree(dir string) error {
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) {
		if err = chmodAt(unix.AT_FDCWD, dir, 0o700); err == nil {
			root, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return unix.Unlink(dir)
	case err != nil:
		return err
	}
	defer closeFD(root)
	d := &deletion{root: root}
	for {
		left, err := d.empty(root, 0)
		if err != nil || !left {
			return err
		}
	}
}

// deletion empties one directory.
type deletion struct {
	root  int
	flats int
}

// empty deletes what is in a directory. It reports whether it brought something to the top instead.
func (d *deletion) empty(dir, depth int) (left bool, err error) {
	names, err := readNames(dir)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return left, fmt.Errorf("%q: %w", name, err)
		}
		if kind(&st) != unix.S_IFDIR {
			if err := unix.Unlinkat(dir, name, 0); err != nil {
				return left, fmt.Errorf("%q: %w", name, err)
			}
			continue
		}
		l, err := d.dir(dir, name, depth, &st)
		if err != nil {
			return left, fmt.Errorf("%q: %w", name, err)
		}
		left = left || l
	}
	return left, nil
}

// dir deletes one directory, or brings it to the top if it is too deep.
func (d *deletion) dir(parent int, name string, depth int, st *unix.Stat_t) (left bool, err error) {
	if st.Mode&0o700 != 0o700 {
		if err := chmodAt(parent, name, 0o700); err != nil {
			return false, err
		}
	}
	if depth >= flatDepth {
		for {
			d.flats++
			err := unix.Renameat2(parent, name, d.root, ".flat-"+strconv.Itoa(d.flats), unix.RENAME_NOREPLACE)
			if !errors.Is(err, unix.EEXIST) {
				return true, err
			}
		}
	}
	fd, err := openDir(parent, name)
	if err != nil {
		return false, err
	}
	left, err = d.empty(fd, depth+1)
	closeFD(fd)
	if err != nil {
		return left, err
	}
	return left, unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
}
