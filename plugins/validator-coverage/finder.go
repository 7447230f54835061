package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/mod/modfile"

	"github.com/drawspan/drawspan/sdk/tree"
)

// The bounds of a look through the tree for modules.
const (
	maxEntries = 1_000_000
	maxModules = 1000
	maxGoMod   = 1 << 20
)

// finder turns the names of a profile into paths inside the tree.
type finder struct {
	settings
	root    *os.Root
	roots   []string          // the tree's absolute path, as it is named and as it is
	modules map[string]string // Go modules of the tree, by path, with their directories
}

func newFinder(root *os.Root, s settings) (*finder, error) {
	f := &finder{settings: s, root: root, roots: []string{root.Name()}, modules: map[string]string{}}
	if real, err := filepath.EvalSymlinks(root.Name()); err == nil && real != root.Name() {
		f.roots = append(f.roots, real)
	}
	if s.Format != formatGo {
		return f, nil
	}
	entries := 0
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if entries++; err != nil || entries > maxEntries || len(f.modules) > maxModules {
			return fmt.Errorf("look for the modules of the tree, at %s: %w", name, firstError(err, errTooMuch))
		}
		switch {
		case d.IsDir() && slices.Contains([]string{".git", "node_modules", "vendor"}, d.Name()):
			return fs.SkipDir
		case d.Name() == "go.mod" && d.Type().IsRegular():
			f.module(name)
		}
		return nil
	})
	return f, err
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// module remembers a module. Of two of one path the outer one counts, which is walked to first.
func (f *finder) module(name string) {
	text, err := tree.Read(f.root, name, maxGoMod)
	if err != nil {
		return
	}
	module := modfile.ModulePath(text)
	if _, known := f.modules[module]; module != "" && !known {
		f.modules[module] = path.Dir(name)
	}
}

// find is the path of a source: of a Go package by its module, or as a file, from the
// directories that the profile names, from where the program ran, or from the top. It is a regular file, or it is not found.
func (f *finder) find(name string, roots []string) (string, bool) {
	if name == "" || len(name) > maxText || strings.ContainsFunc(name, unicode.IsControl) {
		return "", false
	}
	name = filepath.ToSlash(name)
	candidates := []string{name}
	if !path.IsAbs(name) {
		candidates = f.imported(name)
		for _, root := range roots {
			candidates = append(candidates, path.Join(root, name), path.Join(filepath.ToSlash(f.Dir), root, name))
		}
		candidates = append(candidates, path.Join(filepath.ToSlash(f.Dir), name), name)
	}
	for _, candidate := range candidates {
		if at, ok := f.inside(candidate); ok {
			return at, true
		}
	}
	return "", false
}

// imported are the files that an import path with a file's name may mean, by the longest module first.
func (f *finder) imported(name string) []string {
	var files []string
	for module := path.Dir(name); module != "." && module != "/"; module = path.Dir(module) {
		if dir, ok := f.modules[module]; ok {
			files = append(files, path.Join(dir, strings.TrimPrefix(name, module)))
		}
	}
	return files
}

// inside holds that a path is that of a regular file of the tree.
func (f *finder) inside(name string) (string, bool) {
	name = path.Clean(name)
	if path.IsAbs(name) {
		i := slices.IndexFunc(f.roots, func(root string) bool { return strings.HasPrefix(name, filepath.ToSlash(root)+"/") })
		if i < 0 {
			return "", false
		}
		name = strings.TrimPrefix(name, filepath.ToSlash(f.roots[i])+"/")
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", false
	}
	info, err := f.root.Lstat(filepath.FromSlash(name))
	return name, err == nil && info.Mode().IsRegular()
}

func (f *finder) excluded(name string) bool { return matches(f.Exclude, name) }
