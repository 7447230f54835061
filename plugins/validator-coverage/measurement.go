package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
	"github.com/drawspan/drawspan/sdk/tree"
)

const messageLines = 20

// The bounds of what is read. What is beyond them is not measured.
const (
	maxProfiles = 512
	maxProfile  = 64 << 20  // bytes of one
	maxBlocks   = 1_000_000 // of all
)

var (
	errTooMuch = fmt.Errorf("the profile is %w", tree.ErrTooLarge)
	errBroken  = errors.New("the profile cannot be read")
	errFailed  = errors.New("the program failed, so that nothing was measured")
)

// measurement runs the program over trees.
type measurement struct {
	settings
	output func(stream string, p []byte) error
}

// measured is what one run found.
type measured struct {
	ran *sdk.Ran
	figures
}

// notMeasured is a failure where the program itself failed, and an error otherwise.
func (m measurement) notMeasured(ran *sdk.Ran, err error) sdk.Verdict {
	v := sdk.Verdict{Outcome: sdk.Error, Message: err.Error(), Ran: ran}
	if errors.Is(err, errFailed) {
		v.Outcome = sdk.Fail
	}
	return v
}

// run measures one tree.
func (m measurement) run(ctx context.Context, dir string) (measured, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return measured{}, fmt.Errorf("open the tree: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written through it
	at, err := root.OpenRoot(filepath.Clean(m.Dir))
	if err != nil {
		return measured{}, fmt.Errorf("open config.dir: %w", err)
	}
	defer at.Close() //nolint:errcheck // as above
	if err := m.clear(at); err != nil {
		return measured{}, err
	}
	r, err := tool.Run(ctx, tool.Command{
		Argv: m.Run, Dir: filepath.Join(dir, m.Dir), Env: tool.Environ(os.Environ(), m.Env), Output: m.output,
	})
	if err != nil {
		return measured{}, err
	}
	out := measured{ran: r.Ran(m.Run)}
	if err := m.ended(r); err != nil {
		return out, err
	}
	out.figures, err = m.read(root, at)
	return out, err
}

// ended tells whether the program came to an end that counts.
func (m measurement) ended(r tool.Result) error {
	switch tail := tool.LastLines(r.Tail, messageLines); {
	case r.Stopped:
		return fmt.Errorf("%s was stopped before it was done", m.Run[0])
	case r.Signal != "":
		return fmt.Errorf("%s was ended by %s\n%s", m.Run[0], r.Signal, tail)
	case !slices.Contains(m.OKCodes, r.ExitCode):
		return fmt.Errorf("%s exited with code %d: %w\n%s", m.Run[0], r.ExitCode, errFailed, tail)
	}
	return nil
}

// profiles are the files that the globs name.
func (m measurement) profiles(at *os.Root) ([]string, error) {
	found := map[string]bool{}
	for _, glob := range m.Profile {
		names, err := doublestar.Glob(at.FS(), glob, doublestar.WithNoFollow(), doublestar.WithFailOnIOErrors())
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", glob, err)
		}
		for _, name := range names {
			found[name] = true
		}
		if len(found) > maxProfiles {
			return nil, fmt.Errorf("more than %d profiles match config.profile: %w", maxProfiles, errTooMuch)
		}
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// clear takes away what stands where profiles will be: it came with the tree.
func (m measurement) clear(at *os.Root) error {
	names, err := m.profiles(at)
	for _, name := range names {
		if err == nil {
			err = at.Remove(filepath.FromSlash(name))
		}
	}
	if err != nil {
		return fmt.Errorf("clear the place of the profiles: %w", err)
	}
	return nil
}

// read reads all profiles of a run.
func (m measurement) read(root, at *os.Root) (figures, error) {
	names, err := m.profiles(at)
	if err != nil {
		return figures{}, err
	}
	if len(names) == 0 {
		return figures{}, fmt.Errorf("%s wrote no profile that matches %s", m.Run[0], strings.Join(m.Profile, ", "))
	}
	finder, err := newFinder(root, m.settings)
	if err != nil {
		return figures{}, err
	}
	sum := newSum()
	for _, name := range names {
		if err := m.readOne(at, name, sum, finder); err != nil {
			return figures{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return sum.figures()
}

func (m measurement) readOne(at *os.Root, name string, sum *sum, finder *finder) error {
	f, err := tree.Open(at, name) // a link might lead to what came with the tree
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	p, err := readers()[m.Format](tree.AtMost(f, maxProfile))
	if err != nil {
		return err
	}
	return sum.add(p, finder)
}

// readers are the formats.
func readers() map[string]func(io.Reader) (profile, error) {
	return map[string]func(io.Reader) (profile, error){formatGo: readGo, formatCobertura: readCobertura, formatLCOV: readLCOV}
}

// base measures a copy of the base's tree. Where the change has no file of the base's, there is nothing to
// compare.
func (m measurement) base(ctx context.Context, c *sdk.Check) (measured, error) {
	if c.BaseTree == "" {
		return measured{}, errors.New("the host gave no tree of the base")
	}
	_, err := os.Lstat(filepath.Join(c.BaseTree, m.Dir))
	compared := func(change sdk.Change) bool { return change.Op != "add" && change.Op != "delete" }
	if errors.Is(err, fs.ErrNotExist) || !slices.ContainsFunc(c.Changes, compared) {
		return measured{}, nil
	}
	dir, err := os.MkdirTemp("", "base-")
	if err != nil {
		return measured{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it goes with the sandbox
	if err := tool.CopyTree(ctx, dir, c.BaseTree); err != nil {
		return measured{}, fmt.Errorf("copy the tree: %w", err)
	}
	return m.run(ctx, dir)
}
