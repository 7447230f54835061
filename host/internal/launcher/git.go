package launcher

import (
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// gitProtected reports that the tree's git directory is a shadow whose pointer, configuration and hooks
// cannot be changed. There is nothing to protect without a tree, and where no git directory is shown and
// nothing that is written into the tree stays.
func (b *box) gitProtected() bool {
	kept, shown, pointer, held := false, false, false, true
	for _, m := range b.spec.Mounts {
		kept = kept || m.Tree && m.Mode == spec.Writable
		if !m.Git {
			continue
		}
		shown = true
		pointer = pointer || m.Mode == spec.ReadOnly
		if m.Mode == spec.ReadOnly {
			held = (b.off != nil || unchangeable(m.Inside)) && held
		}
	}
	if !kept && !shown {
		return true
	}
	if pointer {
		b.tried("git_protected", held)
	}
	return pointer && held
}

// unchangeable tries to open a file for writing, or to make one in a directory, and to take its name away.
func unchangeable(name string) bool {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return false // it must be there
	}
	if err := unix.Rename(name, name+".moved"); err == nil {
		return false
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return createRefused(name + "/.verify")
	}
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	return unix.Close(fd) != nil // it was open: not protected
}
