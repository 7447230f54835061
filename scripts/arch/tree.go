package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// source is one parsed Go file.
type source struct {
	path      string // slash path below the root
	test      bool
	generated bool
	lines     int
	ast       *ast.File
}

// room is one directory that holds Go files.
type room struct {
	dir     string // slash path below the root, "." for the root itself
	name    string // package name of its ordinary files, or of its tests where it has no other
	sources []*source
}

// main reports whether the room is a program.
func (r *room) main() bool { return r.name == "main" }

// ordinary lists the files that were written by hand and are no tests.
func (r *room) ordinary() []*source {
	var kept []*source
	for _, s := range r.sources {
		if !s.test && !s.generated {
			kept = append(kept, s)
		}
	}
	return kept
}

// tree is every room below one root, nested modules included.
type tree struct {
	root    string
	fset    *token.FileSet
	rooms   map[string]*room
	modules map[string]string // module path -> directory below the root
}

// dirs lists the rooms' directories in order.
func (t *tree) dirs() []string {
	dirs := make([]string, 0, len(t.rooms))
	for d := range t.rooms {
		dirs = append(dirs, d)
	}
	slices.Sort(dirs)
	return dirs
}

// at formats a position as path:line below the root.
func (t *tree) at(pos token.Pos) string {
	p := t.fset.Position(pos)
	return fmt.Sprintf("%s:%d", t.rel(p.Filename), p.Line)
}

func (t *tree) rel(name string) string {
	rel, err := filepath.Rel(t.root, name)
	if err != nil {
		return name
	}
	return filepath.ToSlash(rel)
}

var (
	generatedMark = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	moduleLine    = regexp.MustCompile(`(?m)^module\s+(\S+)`)
)

// load parses every Go file below root. Directories that the go command ignores are skipped.
func load(root string) (*tree, error) {
	t := &tree{root: root, fset: token.NewFileSet(), rooms: map[string]*room{}, modules: map[string]string{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && ignored(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		return t.add(name, d.Name())
	})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", root, err)
	}
	return t, nil
}

func ignored(dir string) bool {
	return dir == "testdata" || dir == "vendor" || strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "_")
}

func (t *tree) add(name, base string) error {
	if base == "go.mod" {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if m := moduleLine.FindSubmatch(text); m != nil {
			t.modules[string(m[1])] = t.rel(filepath.Dir(name))
		}
		return nil
	}
	if !strings.HasSuffix(base, ".go") {
		return nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(t.fset, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	s := &source{path: t.rel(name), ast: f, test: strings.HasSuffix(base, "_test.go")}
	s.generated = strings.HasSuffix(base, ".pb.go") || generatedMark.Match(text)
	s.lines = bytes.Count(text, []byte("\n"))
	t.place(s)
	return nil
}

func (t *tree) place(s *source) {
	dir := path.Dir(s.path)
	r := t.rooms[dir]
	if r == nil {
		r = &room{dir: dir}
		t.rooms[dir] = r
	}
	if r.name == "" || !s.test {
		r.name = strings.TrimSuffix(s.ast.Name.Name, "_test")
	}
	r.sources = append(r.sources, s)
}

// short turns an import path into the room's directory when the import is one of ours.
func (t *tree) short(imported string) (string, bool) {
	best := ""
	for m := range t.modules {
		if (imported == m || strings.HasPrefix(imported, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	if best == "" {
		return imported, false
	}
	return path.Join(t.modules[best], strings.TrimPrefix(imported, best)), true
}
