package launcher

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// walkBelow is openBelow by one openat per component, where openat2 is not to be had: on old kernels, and
// inside of this very sandbox.
func walkBelow(root int, absolute string, follow bool) (int, error) {
	const links = 40
	for range links {
		fd, instead, err := walkToLink(root, absolute)
		switch {
		case err != nil || instead == "":
			return fd, err
		case !follow:
			return -1, unix.ELOOP
		}
		absolute = instead
	}
	return -1, unix.ELOOP
}

// walkToLink opens a path up to the first symbolic link in it; instead is the path with that link resolved.
func walkToLink(root int, absolute string) (fd int, instead string, err error) {
	at, err := unix.Openat(root, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", err
	}
	done := "/"
	for _, name := range strings.Split(strings.Trim(path.Clean(absolute), "/"), "/") {
		if name == "" {
			continue // the root itself
		}
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if closed := unix.Close(at); err == nil {
			err = closed
		}
		if err != nil {
			return -1, "", err
		}
		at = next
		var st unix.Stat_t
		if err := unix.Fstat(at, &st); err != nil {
			return -1, "", errors.Join(err, unix.Close(at))
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			target, err := readLink(at)
			if err := errors.Join(err, unix.Close(at)); err != nil {
				return -1, "", err
			}
			if !path.IsAbs(target) {
				target = path.Join(done, target)
			}
			rest := strings.TrimPrefix(path.Clean(absolute), path.Join(done, name))
			return -1, path.Join(target, rest), nil
		}
		done = path.Join(done, name)
	}
	return at, "", nil
}

func readLink(fd int) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
