package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/drawspan/drawspan/host/internal/worktree"
)

// source is the repository that the demonstration works on, and the Go package that it changes.
type source struct {
	Package string // slash path below the root
	Name    string
}

// own is this project's repository.
var own = source{Package: "host/fault", Name: "fault"}

// small is a repository that is made where no other is given.
var small = source{Package: "greet", Name: "greet"}

// smallFiles are its files.
var smallFiles = map[string]string{
	"go.mod":         "module example.test/greet\n\ngo 1.26\n",
	"greet/greet.go": "// Package greet greets.\npackage greet\n\n// Hello greets by name.\nfunc Hello(name string) string { return \"Hello, \" + name }\n",
	"README.md":      "# greet\n\nA repository for the demonstration.\n",
}

// clone makes the repository in d.repo, on a branch main.
func (d *demo) clone(ctx context.Context) error {
	if d.Source != "" {
		if _, err := os.Stat(filepath.Join(d.Source, own.Package)); err == nil {
			d.source = own
			return worktree.CloneTo(ctx, d.Path, d.Source, d.repo)
		}
		return fmt.Errorf("the demonstration knows no package to change in %s", d.Source)
	}
	d.source = small
	for name, body := range smallFiles {
		path := filepath.Join(d.repo, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the repository: %w", err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			return fmt.Errorf("make the repository: %w", err)
		}
	}
	return worktree.Init(ctx, d.Path, d.repo)
}
