package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/drawspan/drawspan/sdk"
)

// ErrState is in the chain of the error of a session's state that cannot be kept or put back.
var ErrState = errors.New("the session's state cannot be used")

// Pack collects the files of a session below dir: what the patterns of include match, directories with all
// that is in them. Only regular files count; no link is followed. A state beyond the bounds is an error.
func Pack(dir string, include []string) ([]sdk.StateFile, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("keep the session: %w", err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	p := packing{root: root}
	for _, pattern := range include {
		matches, err := fs.Glob(root.FS(), pattern)
		if err != nil {
			return nil, fmt.Errorf("keep the session: %q: %w", pattern, err)
		}
		for _, m := range matches {
			if err := fs.WalkDir(root.FS(), m, p.visit); err != nil {
				return nil, fmt.Errorf("keep the session: %w", err)
			}
		}
	}
	return p.files, nil
}

type packing struct {
	root  *os.Root
	files []sdk.StateFile
	bytes int
}

func (p *packing) visit(name string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	known := slices.ContainsFunc(p.files, func(f sdk.StateFile) bool { return f.Path == name })
	if !entry.Type().IsRegular() || known {
		return nil
	}
	if len(p.files) == sdk.MaxStates || len(name) > sdk.MaxName {
		return fmt.Errorf("%s: %w: more than %d files or %d bytes of a name", name, ErrState, sdk.MaxStates, sdk.MaxName)
	}
	data, err := p.read(name)
	if err != nil {
		return err
	}
	if p.bytes += len(data); p.bytes > sdk.MaxState {
		return fmt.Errorf("%s: %w: more than %d bytes", name, ErrState, sdk.MaxState)
	}
	p.files = append(p.files, sdk.StateFile{Path: name, Data: data})
	return nil
}

// read reads one byte more than may be kept, so that it shows.
func (p *packing) read(name string) ([]byte, error) {
	f, err := p.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, int64(sdk.MaxState-p.bytes)+1))
}

// Unpack puts the files of a session back below dir. Nothing outside it is touched, whatever the paths say
// and whatever links dir holds.
func Unpack(dir string, files []sdk.StateFile) error {
	if err := check(files); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("put back the session: %w", err)
	}
	defer root.Close() //nolint:errcheck // the files are closed
	for _, f := range files {
		if err := root.MkdirAll(path.Dir(f.Path), 0o700); err != nil {
			return fmt.Errorf("put back the session: %w: %w", ErrState, err)
		}
		if err := root.WriteFile(f.Path, f.Data, 0o600); err != nil {
			return fmt.Errorf("put back the session: %w: %w", ErrState, err)
		}
	}
	return nil
}

func check(files []sdk.StateFile) error {
	total := 0
	for _, f := range files {
		if !fs.ValidPath(f.Path) || f.Path == "." || len(f.Path) > sdk.MaxName {
			return fmt.Errorf("put back the session: path %.80q: %w", f.Path, ErrState)
		}
		total += len(f.Data)
	}
	if len(files) > sdk.MaxStates || total > sdk.MaxState {
		return fmt.Errorf("put back the session: %d files of %d bytes: %w", len(files), total, ErrState)
	}
	return nil
}

// Preamble is what a new session has to know of the one before it; "" where nothing was said in it.
func Preamble(r *sdk.Resume) string {
	if r == nil || r.Summary == "" {
		return ""
	}
	return "The files are as earlier work left them. What was said at its end:\n\n" + Clip(r.Summary, sdk.MaxSummary) +
		"\n\nWhat is to be done now:\n\n"
}
