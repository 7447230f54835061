package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// moving is a change of the tree that can be taken back.
type moving struct {
	root  *os.Root
	aside string // a directory of the tree's own file system: what is new before, what was old after
	undo  []func() error
}

// install moves what git made into the tree. All that can run out of room is written before the first
// path changes; after that there are only renames, which are undone where one fails.
func install(root *os.Root, copies string, files []file, perms []fs.FileMode) error {
	m := &moving{root: root, aside: ".drawspan-patch-" + rand.Text()}
	if err := root.Mkdir(m.aside, 0o700); err != nil {
		return refuse("the tree cannot be written: %v", reason(err))
	}
	err := m.prepare(copies, files, perms)
	for n := 0; err == nil && n < len(files); n++ {
		err = m.change(n, files[n])
	}
	if err != nil {
		err = m.takeBack(err)
	}
	if removed := root.RemoveAll(m.aside); err == nil && removed != nil {
		return fmt.Errorf("remove %s: %w", m.aside, removed)
	}
	if err == nil {
		m.prune(files)
	}
	return err
}

// takeBack undoes the changes, the last one first.
func (m *moving) takeBack(err error) error {
	for n := len(m.undo) - 1; n >= 0; n-- {
		if undone := m.undo[n](); undone != nil {
			err = errors.Join(err, fmt.Errorf("and it cannot be taken back: %w", undone))
		}
	}
	return err
}

func (m *moving) new(n int) string { return path.Join(m.aside, "new"+strconv.Itoa(n)) }
func (m *moving) old(n int) string { return path.Join(m.aside, "old"+strconv.Itoa(n)) }

// prepare writes what is new.
func (m *moving) prepare(copies string, files []file, perms []fs.FileMode) error {
	for n, f := range files {
		if f.op == "delete" {
			continue
		}
		in, err := os.Open(filepath.Join(copies, strconv.Itoa(n)))
		if err != nil {
			return fmt.Errorf("read what git made of %s: %w", f.path, err)
		}
		err = m.write(m.new(n), in, perms[n])
		in.Close() //nolint:errcheck // it was only read
		if err != nil {
			return refuse("%q cannot be written: %v", f.path, reason(err))
		}
	}
	return nil
}

func (m *moving) write(name string, from io.Reader, perm fs.FileMode) error {
	out, err := m.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	if err == nil {
		err = out.Chmod(perm) // whatever the umask is
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

// change moves one file.
func (m *moving) change(n int, f file) error {
	if f.op != "add" {
		if err := m.rename(f.path, m.old(n)); err != nil {
			return refuse("%q cannot be changed: %v", f.path, reason(err))
		}
	}
	if f.op == "delete" {
		return nil
	}
	if err := m.parents(path.Dir(f.path)); err != nil {
		return refuse("the directory of %q cannot be made: %v", f.path, reason(err))
	}
	if err := m.rename(m.new(n), f.path); err != nil {
		return refuse("%q cannot be written: %v", f.path, reason(err))
	}
	return nil
}

func (m *moving) rename(from, to string) error {
	if err := m.root.Rename(from, to); err != nil {
		return err
	}
	m.undo = append(m.undo, func() error { return m.root.Rename(to, from) })
	return nil
}

// parents makes the directories that are missing, and remembers which.
func (m *moving) parents(dir string) error {
	if dir == "." {
		return nil
	}
	if err := m.parents(path.Dir(dir)); err != nil {
		return err
	}
	err := m.root.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		m.undo = append(m.undo, func() error { return m.root.Remove(dir) })
	case errors.Is(err, fs.ErrExist):
		return nil
	}
	return err
}

// prune removes the directories that the deletions left empty. One that is not empty stays.
func (m *moving) prune(files []file) {
	for _, f := range files {
		if f.op != "delete" {
			continue
		}
		for dir := path.Dir(f.path); dir != "." && m.root.Remove(dir) == nil; dir = path.Dir(dir) {
		}
	}
}

// reason is the system's own word for an error, without paths of this program's.
func reason(err error) error {
	var link *os.LinkError
	var at *fs.PathError
	switch {
	case errors.As(err, &link):
		return link.Err
	case errors.As(err, &at):
		return at.Err
	}
	return err
}
