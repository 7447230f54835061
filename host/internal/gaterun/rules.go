package gaterun

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/report"
	"github.com/drawspan/drawspan/host/internal/work"
)

// maxOutside bounds a file of the runner's own.
const maxOutside = 8 << 20

// Sources reads rules: what lies inside the repository from the base, all else from this machine.
type Sources struct {
	root   string // without links; "" for no repository
	commit string
	inside map[string][]byte // the base's files that can be rules, by path in the repository
	read   []report.File
	dirs   []string // of the repository: all configurations in them count
}

// NewSources prepares to read the rules of one run. also are further files, by their absolute paths, that may
// be asked for.
func NewSources(ctx context.Context, repo Repository, root string, at Range, also ...string) (*Sources, error) {
	s := &Sources{root: root, commit: at.Asked}
	if root == "" {
		return s, nil
	}
	wanted := map[string]bool{}
	for _, full := range also {
		if rel, inside := s.Rel(full); inside {
			wanted[rel] = true
		}
	}
	var err error
	s.inside, err = repo.Files(ctx, at.Asked, func(p string) bool { return isConfig(p) || wanted[p] })
	return s, err
}

func isConfig(p string) bool {
	return strings.HasSuffix(p, ".hcl") || strings.HasSuffix(p, ".hcl.json")
}

// Rel is a path of this machine as one of the repository; false where it is not inside. Links on the way to
// the repository are followed. Those in it are not: the change could have put them there, and have its judge
// read from elsewhere.
func (s *Sources) Rel(full string) (string, bool) {
	if s.root == "" || full == "" {
		return "", false
	}
	for _, way := range Ways(full) {
		if rel, err := filepath.Rel(s.root, way); err == nil && (rel == "." || filepath.IsLocal(rel)) {
			return filepath.ToSlash(rel), true
		}
	}
	return "", false
}

// Diverted reports whether the way to a file leads over a link in the repository: the change could have put it
// there, to have the runner write elsewhere. A link in the file's own place is replaced, not followed.
func (s *Sources) Diverted(full string) bool {
	for _, way := range Ways(filepath.Dir(full)) {
		if rel, err := filepath.Rel(s.root, way); s.root != "" && err == nil && filepath.IsLocal(rel) {
			return Real(way) != way
		}
	}
	return false
}

// maxLinks is how many links the kernel follows in one path.
const maxLinks = 40

// Ways are the names that lead to a path's file: the path itself, then what it is with its first link followed,
// and so on until there is none in it.
func Ways(full string) []string {
	ways := []string{filepath.Clean(full)}
	for len(ways) <= maxLinks {
		next, ok := followed(ways[len(ways)-1])
		if !ok {
			break
		}
		ways = append(ways, next)
	}
	return ways
}

// followed is a path with its first link followed; false where there is none.
func followed(at string) (string, bool) {
	for end := 1; end <= len(at); end++ {
		if end < len(at) && at[end] != filepath.Separator {
			continue
		}
		target, err := os.Readlink(at[:end])
		if err != nil { // no link, or nothing
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at[:end]), target)
		}
		return filepath.Join(target, at[end:]), true
	}
	return "", false
}

// Real follows the links in the part of a path that exists.
func Real(full string) string {
	ways := Ways(full)
	return ways[len(ways)-1]
}

// Expand turns directories of configurations into their files.
func (s *Sources) Expand(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		rel, inside := s.Rel(p)
		names, isDir := s.listed(p, rel, inside)
		switch {
		case !isDir:
			out = append(out, p)
			continue
		case inside:
			s.dirs = append(s.dirs, rel)
		}
		for _, n := range names {
			if isConfig(n) && !strings.HasPrefix(n, ".") && !strings.HasSuffix(n, ".lock.hcl") && !isGateFile(n) {
				out = append(out, filepath.Join(p, n))
			}
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.ConfigInvalid, "there is no configuration file").At(strings.Join(paths, ", ")).Fix("name one: drawspan gate run --config FILE")
	}
	return out, nil
}

func isGateFile(name string) bool {
	name = strings.TrimSuffix(name, ".json")
	return name == "gates.hcl" || strings.HasSuffix(name, ".gates.hcl")
}

// listed are the names in a directory, of the base or of this machine.
func (s *Sources) listed(full, rel string, inside bool) (names []string, isDir bool) {
	if !inside {
		entries, err := os.ReadDir(full)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names, err == nil
	}
	for p := range s.inside {
		if path.Dir(p) == rel {
			names, isDir = append(names, path.Base(p)), true
		}
	}
	slices.Sort(names)
	return names, isDir && s.inside[rel] == nil
}

// Read is a file by its absolute path. What lies inside the repository is what the base has there.
func (s *Sources) Read(full string) ([]byte, error) {
	rel, inside := s.Rel(full)
	var data []byte
	var err error
	if inside {
		data, err = s.committed(rel)
	} else {
		rel = filepath.Clean(full)
		data, err = outside(Real(full))
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	f := report.File{Path: rel, Digest: "sha256:" + hex.EncodeToString(sum[:])}
	if !slices.Contains(s.read, f) {
		s.read = append(s.read, f)
	}
	return data, nil
}

// Name is how reports name a file.
func (s *Sources) Name(full string) string {
	if rel, inside := s.Rel(full); inside {
		return rel
	}
	return filepath.Clean(full)
}

func (s *Sources) committed(rel string) ([]byte, error) {
	if data, ok := s.inside[rel]; ok {
		return data, nil
	}
	return nil, &fs.PathError{Op: "read", Path: rel, Err: fmt.Errorf("the base %.12s has no such file, and what the change has there is not used: %w", s.commit, fs.ErrNotExist)}
}

func outside(full string) ([]byte, error) {
	f, err := os.Open(full)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: full, Err: fs.ErrInvalid}
	}
	return io.ReadAll(io.LimitReader(f, max(maxOutside, report.MaxBaseline)+1))
}

// Rules say what was read, and which of it the change touches.
func (s *Sources) Rules(changes []work.Change) report.Rules {
	r := report.Rules{From: report.FromRunner, Files: slices.Clone(s.read), Edited: []string{}}
	slices.SortFunc(r.Files, func(a, b report.File) int { return cmp.Compare(a.Path, b.Path) })
	own := map[string]bool{}
	for _, f := range s.read {
		if !filepath.IsAbs(f.Path) {
			own[f.Path] = true
			r.From, r.Commit = report.FromBase, s.commit
		}
	}
	for _, c := range changes {
		for _, p := range []string{c.Path, c.OldPath} {
			inDir := isConfig(p) && slices.Contains(s.dirs, path.Dir(p))
			if p != "" && (own[p] || inDir) && !slices.Contains(r.Edited, p) {
				r.Edited = append(r.Edited, p)
			}
		}
	}
	slices.Sort(r.Edited)
	return r
}
