// Package tree reads files of a tree that somebody else has written: the one under judgement, or the base's.
//
// It guarantees: what is read is a regular file of the tree, at the name that was asked for and not behind a link
// there; nothing waits for a pipe; what is larger than a bound is an error, and never taken for a whole.
//
// It must not know: what the files are.
package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrNotFile is in the chain of the error of what is there and is not a regular file: links are not followed, what
// they lead to is judged where it is.
var ErrNotFile = errors.New("not a regular file")

// ErrTooLarge is in the chain of the error of what has more bytes than are read.
var ErrTooLarge = errors.New("too large")

// Open opens a file for reading, by its path relative to the tree, with slashes.
func Open(root *os.Root, name string) (*os.File, error) {
	name = filepath.FromSlash(name)
	there, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !there.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotFile}
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	// A program may be at work there: what was opened must be what was looked at.
	if opened, err := f.Stat(); err != nil || !os.SameFile(there, opened) {
		f.Close() //nolint:errcheck // it was not even read
		return nil, errors.Join(err, &fs.PathError{Op: "open", Path: name, Err: ErrNotFile})
	}
	return f, nil
}

// Read is the whole content of a file of at most so many bytes.
func Read(root *os.Root, name string, most int64) ([]byte, error) {
	f, err := Open(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if info, err := f.Stat(); err == nil && info.Size() > most {
		return nil, fmt.Errorf("%d bytes, more than %d: %w", info.Size(), most, ErrTooLarge)
	}
	return io.ReadAll(AtMost(f, most))
}

// Head is the beginning of a file.
func Head(root *os.Root, name string, most int64) ([]byte, error) {
	f, err := Open(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, most))
}

// AtMost fails where io.LimitReader would only end, which might pass for the end of the whole.
func AtMost(r io.Reader, most int64) io.Reader { return &bounded{r, most, most} }

type bounded struct {
	r          io.Reader
	most, left int64
}

// Read reads on, within the bound.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("more than %d bytes: %w", b.most, ErrTooLarge)
	}
	return n, err //nolint:wrapcheck // io.EOF must stay as it is
}
