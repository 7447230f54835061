package worktree

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// openBeneath opens a path below a directory without following a symbolic link anywhere on the way.
// Where the kernel or a filter does not know openat2 it walks the components itself.
func openBeneath(dir int, rel string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	for range raceRetries {
		fd, err := unix.Openat2(dir, rel, &how)
		switch {
		case err == nil:
			return notLink(fd, flags)
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			return walkBeneath(dir, rel, flags, mode)
		}
		return -1, err
	}
	return -1, unix.EAGAIN
}

// raceRetries is how often openat2 may say that something was renamed meanwhile.
const raceRetries = 100

// walkBeneath is openBeneath by one openat per component.
func walkBeneath(dir int, rel string, flags int, mode uint32) (int, error) {
	if rel != "." && !inside(rel) {
		return -1, unix.EXDEV
	}
	parent := dir
	for {
		name, rest, more := strings.Cut(rel, "/")
		f, m := unix.O_PATH|unix.O_DIRECTORY, uint32(0)
		if !more {
			f, m = flags, mode
		}
		fd, err := retryOpenat(parent, name, f|unix.O_CLOEXEC|unix.O_NOFOLLOW, m)
		if parent != dir {
			closeFD(parent)
		}
		if err != nil {
			return -1, err
		}
		if !more {
			return notLink(fd, flags)
		}
		parent, rel = fd, rest
	}
}

// notLink refuses the one link that is opened in spite of O_NOFOLLOW: the last component, by O_PATH.
func notLink(fd, flags int) (int, error) {
	if flags&unix.O_PATH == 0 {
		return fd, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
		closeFD(fd)
		return -1, errors.Join(unix.ELOOP, err)
	}
	return fd, nil
}

func retryOpenat(dir int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// closeFD closes a descriptor that was only read or only named a place; nothing can be lost by it.
func closeFD(fd int) {
	_ = unix.Close(fd) // see above
}

// inside reports whether rel is a clean relative path that stays below where it starts.
func inside(rel string) bool {
	return rel != "" && rel != "." && rel == path.Clean(rel) && !path.IsAbs(rel) &&
		rel != ".." && !strings.HasPrefix(rel, "../") && !strings.ContainsRune(rel, 0)
}

// openDir opens a directory for reading, below another.
func openDir(dir int, rel string) (int, error) {
	return openBeneath(dir, rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// makeDirs makes the parents of a path below a directory and returns the last of them, open.
func makeDirs(dir int, rel string) (int, error) {
	parent, err := openDir(dir, ".")
	if err != nil {
		return -1, err
	}
	for _, name := range strings.Split(path.Dir(rel), "/") {
		if name == "." {
			continue
		}
		if err := unix.Mkdirat(parent, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			closeFD(parent)
			return -1, fmt.Errorf("make directory %q: %w", name, err)
		}
		next, err := openDir(parent, name)
		closeFD(parent)
		if err != nil {
			return -1, fmt.Errorf("open directory %q: %w", name, err)
		}
		parent = next
	}
	return parent, nil
}

// readNames lists a directory.
func readNames(dir int) ([]string, error) {
	fd, err := openDir(dir, ".")
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "dir")
	defer f.Close()
	return f.Readdirnames(-1)
}

// chmodAt changes the mode of a file that is known not to be a link; it works on files and directories
// that cannot be opened.
func chmodAt(dir int, name string, mode uint32) error {
	fd, err := retryOpenat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

func kind(st *unix.Stat_t) uint32 { return st.Mode & unix.S_IFMT }
