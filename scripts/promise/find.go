package main

import (
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

// proof is one test that carries the number of at least one promise.
type proof struct {
	ids    []string
	module string // directory of its module below the root
	dir    string // directory of its package below the module
	test   string // the Go test
	script string // the script it plays, "" for a test in Go
}

// name is how the table shows the test.
func (p proof) name() string {
	at := path.Join(p.module, p.dir) + "." + p.test
	if p.script != "" {
		at += "/" + p.script
	}
	return at
}

var (
	goTest     = regexp.MustCompile(`^Test(S\d+(?:_S\d+)*)(?:_|$)`)
	scriptName = regexp.MustCompile(`^((?:s\d+[-_])+).*\.txtar$`)
	number     = regexp.MustCompile(`[Ss]\d+`)
)

// numbers lists the promises that a name carries.
func numbers(prefix string) []string {
	var ids []string
	for _, n := range number.FindAllString(prefix, -1) {
		ids = append(ids, "S"+strings.TrimLeft(n[1:], "0")) // s05 sorts in a listing; the promise is S5
	}
	return ids
}

// finder walks the tree once and remembers what it needs to place a script.
type finder struct {
	root    string
	modules map[string]bool    // directories below the root that hold a go.mod
	players map[string][]stage // package directory -> its Go tests that play scripts
	scripts []string
	found   []proof
}

// stage is a Go test that plays scripts, with the texts that it mentions.
type stage struct {
	name  string
	texts []string
}

// find lists the proofs below root, in the order of their names.
func find(root string) ([]proof, error) {
	f := &finder{root: root, modules: map[string]bool{}, players: map[string][]stage{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != root && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		return f.see(name, base)
	})
	if err != nil {
		return nil, fmt.Errorf("find tests: %w", err)
	}
	if err := f.placeScripts(); err != nil {
		return nil, err
	}
	for i := range f.found {
		f.split(&f.found[i])
	}
	slices.SortFunc(f.found, func(a, b proof) int { return strings.Compare(a.name(), b.name()) })
	return f.found, nil
}

func (f *finder) see(name, base string) error {
	rel, err := filepath.Rel(f.root, name)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	switch {
	case base == "go.mod":
		f.modules[path.Dir(rel)] = true
	case scriptName.MatchString(base):
		f.scripts = append(f.scripts, rel)
	case strings.HasSuffix(base, "_test.go") && !strings.Contains(rel, "testdata/"):
		return f.seeTests(name, path.Dir(rel))
	}
	return nil
}

func (f *finder) seeTests(name, dir string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") {
			continue
		}
		if m := goTest.FindStringSubmatch(fn.Name.Name); m != nil {
			f.found = append(f.found, proof{ids: numbers(m[1]), dir: dir, test: fn.Name.Name})
		}
		if playsScripts(fn) {
			f.players[dir] = append(f.players[dir], stage{fn.Name.Name, mentions(fn)})
		}
	}
	return nil
}

func playsScripts(fn *ast.FuncDecl) bool {
	plays := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			id, ok := sel.X.(*ast.Ident)
			plays = plays || ok && id.Name == "testscript" && strings.HasPrefix(sel.Sel.Name, "Run")
		}
		return !plays
	})
	return plays
}

// mentions lists the texts in a function.
func mentions(fn *ast.FuncDecl) []string {
	var texts []string
	ast.Inspect(fn, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			texts = append(texts, strings.Trim(lit.Value, "\"`"))
		}
		return true
	})
	return texts
}

// stagesOf are the tests of a package that play the scripts of a directory: those that mention it, or
// all where none does.
func (f *finder) stagesOf(pkg, scripts string) []stage {
	named := slices.DeleteFunc(slices.Clone(f.players[pkg]), func(p stage) bool { return !slices.Contains(p.texts, scripts) })
	if len(named) > 0 {
		return named
	}
	return f.players[pkg]
}

// placeScripts gives each script to the nearest package above it that plays scripts.
func (f *finder) placeScripts() error {
	for _, s := range f.scripts {
		dir := path.Dir(s)
		for dir != "." && len(f.players[dir]) == 0 {
			dir = path.Dir(dir)
		}
		if len(f.players[dir]) == 0 {
			return fmt.Errorf("%s: no test above it plays scripts", s)
		}
		base := path.Base(s)
		ids := numbers(scriptName.FindStringSubmatch(base)[1])
		for _, t := range f.stagesOf(dir, strings.TrimPrefix(path.Dir(s), dir+"/")) {
			f.found = append(f.found, proof{ids: ids, dir: dir, test: t.name, script: strings.TrimSuffix(base, ".txtar")})
		}
	}
	return nil
}

// split turns a directory below the root into the module's and the package's below it.
func (f *finder) split(p *proof) {
	p.module = p.dir
	for p.module != "." && !f.modules[p.module] {
		p.module = path.Dir(p.module)
	}
	p.dir = strings.TrimPrefix(strings.TrimPrefix(p.dir, p.module), "/")
	if p.dir == "" {
		p.dir = "."
	}
}
