package tool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrTooLarge is in the chain of the error of a tree that is beyond the bounds of a copy.
var ErrTooLarge = errors.New("the tree is too large")

// The bounds of a copy.
const (
	maxCopied      = 4 << 30 // bytes
	maxCopiedFiles = 1_000_000
)

// CopyTree copies a tree that may only be read into a directory that exists, so that a program may write
// beside its files. Links are copied as links, and nothing that they lead to.
func CopyTree(ctx context.Context, to, from string) error {
	bytes, files := int64(0), 0
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || name == from {
			return err
		}
		if files++; files > maxCopiedFiles {
			return fmt.Errorf("more than %d files: %w", maxCopiedFiles, ErrTooLarge)
		}
		target := filepath.Join(to, strings.TrimPrefix(name, from))
		switch d.Type() {
		case fs.ModeDir:
			return os.Mkdir(target, 0o700)
		case fs.ModeSymlink:
			points, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return os.Symlink(points, target)
		case 0:
			n, err := copyFile(target, name, maxCopied-bytes)
			bytes += n
			return err
		}
		return nil // git keeps nothing else
	})
}

func copyFile(to, from string, limit int64) (int64, error) {
	in, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return 0, err
	}
	defer in.Close() //nolint:errcheck // it was only read
	info, err := in.Stat()
	if err != nil {
		return 0, err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, io.LimitReader(in, limit+1))
	if n > limit {
		err = fmt.Errorf("more than %d GiB: %w", int64(maxCopied)>>30, ErrTooLarge)
	}
	return n, errors.Join(err, out.Close())
}
