package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile is the largest file that is read: several times that of the largest lock files in use.
const maxFile = 16 << 20

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

// read is the content of a regular file. Links are not followed: what they point to is judged where it is.
func (t tree) read(name string) ([]byte, error) {
	name = filepath.FromSlash(name)
	info, err := t.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotFile
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("has more than %d bytes", maxFile)
	}
	f, err := t.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("has more than %d bytes", maxFile)
	}
	return data, err
}

func (t tree) has(name string) bool {
	_, err := t.root.Lstat(filepath.FromSlash(name))
	return !errors.Is(err, fs.ErrNotExist)
}
