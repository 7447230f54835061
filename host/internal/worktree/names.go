package worktree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// maxName is the longest name that a file can have.
const maxName = 255

// unwritable says why no checkout writes an entry of a commit, "" where one does. Such an entry is not only in the
// way: on another machine's file system it may be the repository itself.
func unwritable(path, mode string) string {
	parts := strings.Split(path, "/")
	for i, name := range parts {
		switch {
		case name == "" || name == "." || name == "..":
			return fmt.Sprintf("%.100q is no name", name)
		case len(name) > maxName:
			return fmt.Sprintf("it has a name of %d bytes, more than %d", len(name), maxName)
		case reserved(name):
			return fmt.Sprintf("some file systems take %.100q for .git", name)
		case mode == linkMode && i == len(parts)-1 && reservedLink(name):
			return fmt.Sprintf("a link may not stand for .gitmodules, as %.100q does on some file systems", name)
		}
	}
	return ""
}

// writable refuses a change that no checkout writes, also where nobody asks for its files: a gate that judges by the
// list of paths alone has no other look at what a name hides.
func writable(changes []work.Change) error {
	for _, c := range changes {
		if c.Op == "delete" {
			continue
		}
		if why := unwritable(c.Path, c.NewMode); why != "" {
			return entryRefused(c.Path, "the change", why)
		}
	}
	return nil
}

func entryRefused(path, of, why string) error {
	return fault.New(fault.TreeRefused, "%.300q of %s cannot be checked out: %s", path, of, why).
		Fix("take it out of the commit, which no git wrote from files, and write that again; git ls-tree -r -t shows it")
}

// write writes the files of a commit into an empty directory, with a new index.
func (w *Workspace) write(ctx context.Context, commit, dir, index string) error {
	_, err := w.trees.git.run(ctx, call{
		repo: w.mirror.repo, work: dir, index: index, args: []string{"read-tree", "-m", "-u", "--no-recurse-submodules", commit},
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("write the files of %s: %w", commit, err)
	if ctx.Err() != nil || fault.Is(err, fault.NoSpace) {
		return err
	}
	if found := w.blame(ctx, commit); fault.Is(found, fault.TreeRefused) {
		return found
	}
	return err // git's own word says more than why its tree could not be looked through
}

// blame finds the entry of a commit that git does not write, where there is one.
func (w *Workspace) blame(ctx context.Context, commit string) error {
	found := &entries{take: func(path, mode string) error {
		if why := unwritable(path, mode); why != "" {
			return entryRefused(path, commit, why)
		}
		return nil
	}}
	_, err := w.trees.git.run(ctx, call{repo: w.mirror.repo, args: []string{"ls-tree", "-r", "-z", "--full-tree", commit}, stdout: found})
	if found.err != nil {
		return found.err
	}
	return err
}

// entries takes the output of git ls-tree -z apart: "MODE kind ID TAB path NUL".
type entries struct {
	take func(path, mode string) error
	rest []byte
	err  error
}

// Write takes the next part of the output.
func (e *entries) Write(p []byte) (int, error) {
	whole := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{0})
		if e.rest = append(e.rest, line...); !ended {
			break
		}
		mode, _, _ := bytes.Cut(e.rest, []byte{' '})
		_, path, _ := bytes.Cut(e.rest, []byte{'\t'})
		if e.err = e.take(string(path), string(mode)); e.err != nil {
			return 0, e.err
		}
		e.rest, p = e.rest[:0], rest
	}
	if len(e.rest) > maxTree {
		return 0, io.ErrShortBuffer
	}
	return whole, nil
}
