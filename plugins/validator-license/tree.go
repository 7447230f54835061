package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/drawspan/drawspan/sdk/tree"
)

// maxFile is the largest licence file that is read: dozens of licences in one.
const maxFile = 1 << 20

// whole is the content of a file.
func whole(root *os.Root, name string) ([]byte, error) {
	data, err := tree.Read(root, name, maxFile)
	return data, reason(err)
}

// reason is an error without the path, which the finding says.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// within are the names of what lies in a directory, in order; none where there is no such directory.
func within(root *os.Root, dir string) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), dir)
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
