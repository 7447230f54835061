package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// shadowed is a tree with a git directory of its own beside it, which borrows its objects from the
// repository: what an attempt gets.
type shadowed struct {
	tree string
	git  *sandbox.Git
	home string // for what is done in it without a sandbox
}

// newShadowed checks the repository's commit out into a tree with a shadow git directory.
func (s *site) newShadowed(r *repository) (*shadowed, error) {
	if err := os.MkdirAll(s.state(), 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	home, err := os.MkdirTemp(s.state(), "attempt-")
	if err != nil {
		return nil, fmt.Errorf("make the attempt's directory: %w", err)
	}
	tree, shadow := filepath.Join(home, "tree"), filepath.Join(home, "git")
	objects := filepath.Join(r.root, ".git", "objects")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, fmt.Errorf("make the tree: %w", err)
	}
	if _, err := r.git("", "init", "-q", "--bare", shadow); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		filepath.Join(shadow, "objects", "info", "alternates"): objects + "\n",
		filepath.Join(shadow, "HEAD"):                          r.commit + "\n",
		filepath.Join(shadow, "config"): "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\thooksPath = /dev/null\n" +
			"[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n",
		filepath.Join(tree, ".git"): "gitdir: " + shadow + "\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("make the shadow git directory: %w", err)
		}
	}
	if _, err := r.git(tree, "reset", "-q", "--hard"); err != nil {
		return nil, err
	}
	return &shadowed{tree: tree, git: &sandbox.Git{
		Dir: shadow, Objects: []string{objects},
		Protect: []string{filepath.Join(shadow, "config"), filepath.Join(shadow, "hooks"), filepath.Join(shadow, "objects", "info")},
	}}, nil
}

// request is a launch of the strict level in the tree.
func (t *shadowed) request() sandbox.Request {
	return sandbox.Request{Policy: confined(), Tree: sandbox.Tree{Path: t.tree, Mode: sandbox.TreeWritable}, Git: t.git}
}
