package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Bounds of a measuring.
const (
	leastFile = 4 << 10 // what the smallest file counts: so a size bounds their number, too
	maxLevels = 128     // directories below each other that are entered
	someNames = 1024    // read at once
)

// measure adds up what a directory holds, as the limit of disk does: every file counts at least 4 KiB, one
// with several names once, a hole not at all. It follows no link, opens no file, enters no other file system
// and ends at the first byte above most, so what a command left costs no more than what is allowed. What
// cannot be looked at, or lies too deep, counts as too much.
func measure(ctx context.Context, dir string, most int64) (int64, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) {
		return most + 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open directory: %w", err)
	}
	m := &measuring{most: most}
	err = m.below(ctx, os.NewFile(uintptr(fd), dir), 1)
	return m.held, err
}

// measuring is one on its way.
type measuring struct {
	held, most int64
}

// below adds what is in a directory, and closes it.
func (m *measuring) below(ctx context.Context, dir *os.File, level int) error {
	defer dir.Close()
	for m.held <= m.most {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		names, err := dir.Readdirnames(someNames)
		for _, name := range names {
			if m.held > m.most {
				return nil
			}
			if err := m.count(ctx, int(dir.Fd()), name, level); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read directory: %w", err)
		}
	}
	return nil
}

// count adds one entry, and what is below it. One that is gone meanwhile is nothing.
func (m *measuring) count(ctx context.Context, dir int, name string, level int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return m.closed(err)
	}
	size := max(st.Blocks*512, leastFile)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		m.held += size / max(int64(st.Nlink), 1)
		return nil
	}
	m.held += size
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case err != nil:
		return m.closed(err)
	case level == maxLevels:
		m.held = m.most + 1
		return unix.Close(fd)
	}
	return m.below(ctx, os.NewFile(uintptr(fd), name), level+1)
}

// closed takes an error of an entry: what is gone is nothing, what is shut is too much.
func (m *measuring) closed(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil
	case errors.Is(err, unix.EACCES):
		m.held = m.most + 1
		return nil
	}
	return fmt.Errorf("look at an entry: %w", err)
}
