package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

const thousands = 4000 // files of the repository whose trees and status are measured

// shadowed is an attempt's tree with its git directory beside it.
type shadowed struct {
	made *worktree.Tree
	tree string
	git  *sandbox.Git
	home string // for what is done in it without a sandbox
}

// newShadowed makes the tree of an attempt at the repository's commit. The caller closes the workspace.
func (s *site) newShadowed(ctx context.Context, r *repository) (t *shadowed, shut func() error, err error) {
	if err := os.MkdirAll(s.state(), 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the state directory: %w", err)
	}
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, nil, fmt.Errorf("find git: %w", err)
	}
	trees, err := worktree.Open(ctx, worktree.Options{Dir: s.state(), Git: program})
	if err != nil {
		return nil, nil, err
	}
	w, err := trees.Workspace(ctx, "bench", r.root)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if _, err := w.Resolve(ctx, "main"); err != nil {
		return nil, nil, err
	}
	made, err := w.Create(ctx, worktree.CreateRequest{AttemptID: filepath.Base(r.root), Start: r.commit})
	if err != nil {
		return nil, nil, err
	}
	shadow, err := made.Shadow(ctx)
	if err != nil {
		return nil, nil, err
	}
	git := &sandbox.Git{Dir: shadow.Dir, Protect: shadow.Protect, Objects: shadow.Objects}
	return &shadowed{made: made, tree: made.Path(), git: git}, w.Close, nil
}

// request is a launch of the strict level in the tree.
func (t *shadowed) request() sandbox.Request {
	return sandbox.Request{Policy: confined(), Tree: sandbox.Tree{Path: t.tree, Mode: sandbox.TreeWritable}, Git: t.git}
}

// measureShadow times the git directory of an attempt against what git makes for a worktree.
func measureShadow(ctx context.Context, s *site) (figures []figure, err error) {
	r, err := s.newRepositoryOf("repository", thousands)
	if err != nil {
		return nil, err
	}
	t, shut, err := s.newShadowed(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shut()) }()
	floor, err := s.dir("worktrees")
	if err != nil {
		return nil, err
	}
	keepApart(floor)
	got, err := race(ctx, rounds{warm: 1, kept: 15},
		entrant{"shadow", func(ctx context.Context, _ int) (float64, error) {
			return timed(func() error { _, err := t.made.Shadow(ctx); return err })
		}},
		entrant{"git worktree add", func(_ context.Context, round int) (float64, error) {
			return timed(func() error { return r.addWorktree(filepath.Join(floor, strconv.Itoa(round))) })
		}},
	)
	if err != nil {
		return nil, err
	}
	return []figure{compared("shadow", "ms", got[0], got[1], bar{ratioAtMost, 0.01}).
		also("an attempt's git directory over a tree of %d files, made anew; floor: git worktree add of the same commit", thousands)}, nil
}
