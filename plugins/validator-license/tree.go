package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// maxFile is the largest licence file that is read: dozens of licences in one.
const maxFile = 1 << 20

// tree is a directory that nothing leads out of.
type tree struct{ root *os.Root }

func openTree(dir string) (tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return tree{}, fmt.Errorf("open the tree: %w", err)
	}
	return tree{root}, nil
}

func (t tree) close() { t.root.Close() } //nolint:errcheck // it was read only

// errNotFile is the error of what is there and is not a file to read.
var errNotFile = errors.New("is not a regular file")

// read is the whole content of a regular file.
func (t tree) read(name string) ([]byte, error) {
	data, err := t.start(name, maxFile+1)
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("has more than %d bytes", maxFile)
	}
	return data, err
}

// start is the beginning of a regular file. Links are not followed: what they point to is judged where it is.
func (t tree) start(name string, most int64) ([]byte, error) {
	name = filepath.FromSlash(name)
	info, err := t.root.Lstat(name)
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotFile
	}
	f, err := t.root.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// reason is an error without the path, which the finding says.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// files are the names of what lies in a directory, in order; none where there is no such directory.
func (t tree) files(dir string) ([]string, error) {
	entries, err := fs.ReadDir(t.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the tree: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names, nil
}
