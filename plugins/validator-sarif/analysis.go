package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
	"github.com/drawspan/drawspan/sdk/tree"
)

const messageLines = 20

// analysis runs the analyser over trees.
type analysis struct {
	settings
	output func(stream string, p []byte) error
}

// findings are the results of one tree, with their places in it.
type findings struct {
	items []item
}

// run analyses one tree.
func (a analysis) run(ctx context.Context, dir string) (findings, *sdk.Ran, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return findings{}, nil, fmt.Errorf("open the tree: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written through it
	if err := a.clear(root); err != nil {
		return findings{}, nil, err
	}
	var stdout bytes.Buffer
	r, err := tool.Run(ctx, tool.Command{
		Argv: a.Run, Dir: filepath.Join(dir, a.Dir), Env: tool.Environ(os.Environ(), a.Env), Output: a.collect(&stdout),
	})
	if err != nil {
		return findings{}, nil, err
	}
	ran := r.Ran(a.Run)
	if err := a.ended(r); err != nil {
		return findings{}, ran, err
	}
	said, err := a.report(root, &stdout)
	if err != nil {
		return findings{}, ran, fmt.Errorf("the report of %s cannot be judged: %w%s", a.Run[0], err, a.hint(r, stdout.Bytes()))
	}
	return findings{locate(said, newPlacer(root, a.Dir))}, ran, nil
}

// collect keeps the report that comes on standard output, and lets the host have the rest.
func (a analysis) collect(stdout *bytes.Buffer) func(string, []byte) error {
	return func(stream string, p []byte) error {
		switch {
		case stream == "stdout" && a.File == "" && stdout.Len()+len(p) > maxReport:
			return fmt.Errorf("more than %d MiB on standard output: %w", maxReport>>20, errTooMuch)
		case stream == "stdout" && a.File == "":
			stdout.Write(p)
			return nil
		case a.output == nil:
			return nil
		}
		return a.output(stream, p)
	}
}

// ended tells whether the analyser came to an end that is worth reading.
func (a analysis) ended(r tool.Result) error {
	switch tail := tool.LastLines(r.Tail, messageLines); {
	case r.Stopped:
		return fmt.Errorf("%s was stopped before it was done", a.Run[0])
	case r.Signal != "":
		return fmt.Errorf("%s was ended by %s\n%s", a.Run[0], r.Signal, tail)
	case !slices.Contains(a.OKCodes, r.ExitCode):
		return fmt.Errorf("%s exited with code %d, which is not one of ok_codes\n%s", a.Run[0], r.ExitCode, tail)
	}
	return nil
}

// hint says what an analyser printed that did not report.
func (a analysis) hint(r tool.Result, stdout []byte) string {
	tail := tool.LastLines(r.Tail, messageLines)
	switch {
	case a.File == "" && len(stdout) > 0 && stdout[0] == '{':
		return "; where it prints more than the report, let it write the report into a file and name that in config.file"
	case tail == "":
		return ""
	}
	return "\n" + tail
}

// clear takes away what stands where the report will be: it came with the tree.
func (a analysis) clear(root *os.Root) error {
	if a.File == "" {
		return nil
	}
	if err := root.Remove(a.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear the place of the report: %w", err)
	}
	return nil
}

// path is where the report is, relative to the tree.
func (a analysis) path() string { return filepath.Join(a.Dir, a.File) }

func (a analysis) report(root *os.Root, stdout *bytes.Buffer) (report, error) {
	if a.File == "" {
		return read(stdout)
	}
	f, err := tree.Open(root, filepath.ToSlash(a.path()))
	if errors.Is(err, fs.ErrNotExist) {
		return report{}, fmt.Errorf("%s: %w", a.path(), errNoReport)
	}
	if err != nil {
		return report{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return read(f)
}

// base analyses the base's tree: what is empty there, or has no such directory yet, has no results.
func (a analysis) base(ctx context.Context, c *sdk.Check) (findings, error) {
	if c.BaseTree == "" {
		return findings{}, errors.New("the host gave no tree of the base")
	}
	entries, err := os.ReadDir(filepath.Join(c.BaseTree, a.Dir))
	switch {
	case errors.Is(err, fs.ErrNotExist) && a.Dir != "", err == nil && len(entries) == 0:
		return findings{}, nil
	case err != nil:
		return findings{}, err
	case a.Writes || a.File != "":
		return a.baseCopy(ctx, c.BaseTree)
	}
	found, _, err := a.run(ctx, c.BaseTree)
	return found, err
}

// baseCopy analyses a copy, for who writes.
func (a analysis) baseCopy(ctx context.Context, tree string) (findings, error) {
	dir, err := os.MkdirTemp("", "base-")
	if err != nil {
		return findings{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it goes with the sandbox
	if err := tool.CopyTree(ctx, dir, tree); err != nil {
		return findings{}, fmt.Errorf("copy the tree: %w", err)
	}
	found, _, err := a.run(ctx, dir)
	return found, err
}
