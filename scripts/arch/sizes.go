package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// The bounds of the house. The highest value that one thing may have, and the value that 95 of 100
// things must keep. Tests answer to the bound on files only: a long table is a good test.
const (
	maxFile, p95File   = 600, 400
	maxFunc, p95Func   = 80, 50
	maxCyclo, p95Cyclo = 15, 9
	maxParams          = 5
	maxExported        = 30
	maxDepth           = 6
)

// What is measured.
const (
	kindFile     = "lines of file"
	kindFunc     = "lines of function"
	kindCyclo    = "branches of function"
	kindParams   = "parameters of function"
	kindExported = "exported names of package"
	kindDepth    = "depth of package"
)

const (
	percentile  = 95
	smallSample = 20 // fewer things than this have no percentile worth the name
	shown       = 10 // of the worst
)

// contracts are the packages whose job is to be a vocabulary: they may export more names.
var contracts = []string{"sdk", "host/api", "host/internal/work"}

// measure is one number about one thing.
type measure struct {
	what  string
	value int
}

// measureAll takes every number in the tree, by kind, largest first.
func measureAll(t *tree) map[string][]measure {
	all := map[string][]measure{}
	put := func(kind, what string, value int) { all[kind] = append(all[kind], measure{what, value}) }
	for _, dir := range t.dirs() {
		r := t.rooms[dir]
		put(kindDepth, dir, 1+strings.Count(dir, "/"))
		if !slices.Contains(contracts, dir) {
			put(kindExported, dir, exportedNames(r))
		}
		for _, s := range r.sources {
			if s.generated {
				continue
			}
			put(kindFile, s.path, s.lines)
			if s.test {
				continue
			}
			for _, f := range functions(s) {
				what := t.at(f.Pos()) + " " + f.Name.Name
				put(kindFunc, what, t.fset.Position(f.End()).Line-t.fset.Position(f.Pos()).Line+1)
				put(kindCyclo, what, cyclomatic(f))
				put(kindParams, what, parameters(f.Type))
			}
		}
	}
	for _, list := range all {
		slices.SortStableFunc(list, func(a, b measure) int { return b.value - a.value })
	}
	return all
}

// checkSizes compares the numbers with the bounds.
func checkSizes(all map[string][]measure) []string {
	var bad []string
	most := map[string]int{kindFile: maxFile, kindFunc: maxFunc, kindCyclo: maxCyclo,
		kindParams: maxParams, kindExported: maxExported, kindDepth: maxDepth}
	for kind, bound := range most {
		for _, m := range all[kind] {
			if m.value > bound {
				bad = append(bad, fmt.Sprintf("%s: %d %s, the bound is %d", m.what, m.value, kind, bound))
			}
		}
	}
	usual := map[string]int{kindFile: p95File, kindFunc: p95Func, kindCyclo: p95Cyclo}
	for kind, bound := range usual {
		if v := atPercentile(all[kind]); v > bound {
			bad = append(bad, fmt.Sprintf("95 of 100 %s measures reach %d, the bound is %d", kind, v, bound))
		}
	}
	slices.Sort(bad)
	return bad
}

// atPercentile is the value that 95 of 100 measures do not exceed; 0 for a sample too small to have one.
func atPercentile(sorted []measure) int {
	if len(sorted) < smallSample {
		return 0
	}
	return sorted[len(sorted)*(100-percentile)/100].value
}

// worst prints the largest of every kind.
func worst(all map[string][]measure) string {
	var b strings.Builder
	for _, kind := range []string{kindFile, kindFunc, kindCyclo, kindParams, kindExported, kindDepth} {
		fmt.Fprintf(&b, "%s, the worst of %d (95 of 100 reach %d):\n", kind, len(all[kind]), atPercentile(all[kind]))
		for _, m := range all[kind][:min(shown, len(all[kind]))] {
			fmt.Fprintf(&b, "  %5d  %s\n", m.value, m.what)
		}
	}
	return b.String()
}

func functions(s *source) []*ast.FuncDecl {
	var list []*ast.FuncDecl
	for _, d := range s.ast.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			list = append(list, f)
		}
	}
	return list
}

// cyclomatic is McCabe's number: one, and one more for every way the path can fork.
func cyclomatic(f *ast.FuncDecl) int {
	n := 1
	ast.Inspect(f, func(x ast.Node) bool {
		switch x := x.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if x.List != nil {
				n++
			}
		case *ast.CommClause:
			if x.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if x.Op == token.LAND || x.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

func parameters(f *ast.FuncType) int {
	n := 0
	for _, field := range f.Params.List {
		n += max(1, len(field.Names))
	}
	return n
}

// exportedNames counts what a reader of the package has to learn: types, functions, variables, and
// one for each block of constants, since a closed list is one idea.
func exportedNames(r *room) int {
	n := 0
	for _, s := range r.ordinary() {
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					n++
				}
			case *ast.GenDecl:
				n += exportedSpecs(d)
			}
		}
	}
	return n
}

func exportedSpecs(d *ast.GenDecl) int {
	n := 0
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() {
				n++
			}
		case *ast.ValueSpec:
			n += len(slices.DeleteFunc(slices.Clone(spec.Names), func(i *ast.Ident) bool { return !i.IsExported() }))
		}
	}
	if d.Tok == token.CONST {
		return min(n, 1)
	}
	return n
}
