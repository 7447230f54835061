package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// pureMakers are the functions whose result a package-level variable may hold: what they return is
// never changed by its user.
var pureMakers = []string{"errors.New", "fmt.Errorf", "regexp.MustCompile", "template.Must", "strings.NewReplacer",
	"sync.OnceValue", "sync.OnceValues", "sync.OnceFunc", "netip.MustParseAddr", "netip.MustParsePrefix",
	"cty.Object", "cty.List", "cty.Map", "cty.Set", "cty.Tuple", "function.New", "crc32.MakeTable", "base64.NewEncoding"}

// mutableVars lists the package-level variables that hold state. Allowed are errors, regular
// expressions, embedded files, names for other values and tables, as long as nobody assigns to them.
func mutableVars(t *tree, r *room) []string {
	declared := map[*ast.ValueSpec]bool{}
	for _, s := range r.sources {
		for _, spec := range varSpecs(s) {
			declared[spec.ValueSpec] = true
		}
	}
	changed := map[string]token.Pos{}
	for _, s := range r.sources {
		changes(s, declared, changed)
	}
	var bad []string
	for _, s := range r.ordinary() {
		for _, spec := range varSpecs(s) {
			for i, id := range spec.Names {
				if why := mutable(spec, i, changed[id.Name], t); id.Name != "_" && why != "" {
					bad = append(bad, fmt.Sprintf("%s: package-level %s %s", t.at(id.Pos()), id.Name, why))
				}
			}
		}
	}
	return bad
}

// varSpec is one line of a package-level var declaration.
type varSpec struct {
	*ast.ValueSpec
	embedded bool
}

func varSpecs(s *source) []varSpec {
	var list []varSpec
	for _, d := range s.ast.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				list = append(list, varSpec{v, embeds(g.Doc) || embeds(v.Doc)})
			}
		}
	}
	return list
}

func embeds(g *ast.CommentGroup) bool {
	return g != nil && slices.ContainsFunc(g.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// mutable says why a variable is state, or "".
func mutable(spec varSpec, i int, changedAt token.Pos, t *tree) string {
	if changedAt.IsValid() {
		return "is assigned at " + t.at(changedAt)
	}
	if spec.embedded {
		return ""
	}
	if len(spec.Values) == 0 {
		return "has no value: it can only be state"
	}
	if len(spec.Values) != len(spec.Names) || !constantLike(spec.Values[i]) {
		return "holds the result of a call: make it where it is used, or pass it in"
	}
	return ""
}

func constantLike(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr, *ast.FuncLit, *ast.BinaryExpr, *ast.IndexExpr:
		return true
	case *ast.UnaryExpr:
		return constantLike(x.X)
	case *ast.CompositeLit:
		return !lockLike(x.Type)
	case *ast.CallExpr:
		return pureCall(x)
	}
	return false
}

func lockLike(x ast.Expr) bool {
	sel, ok := x.(*ast.SelectorExpr)
	return ok && (isIdent(sel.X, "sync") || isIdent(sel.X, "atomic"))
}

// pureCall reports a conversion or a call of one of the pure makers.
func pureCall(c *ast.CallExpr) bool {
	switch f := c.Fun.(type) {
	case *ast.ArrayType, *ast.ParenExpr:
		return true
	case *ast.Ident:
		return slices.Contains([]string{"string", "int", "int64", "uint32", "uint64", "byte", "len"}, f.Name)
	case *ast.SelectorExpr:
		id, ok := f.X.(*ast.Ident)
		return ok && slices.Contains(pureMakers, id.Name+"."+f.Sel.Name)
	}
	return false
}

// changes notes every assignment to a package-level variable of the room.
func changes(s *source, declared map[*ast.ValueSpec]bool, changed map[string]token.Pos) {
	note := func(x ast.Expr) {
		id := rootIdent(x)
		if id == nil {
			return
		}
		if id.Obj != nil { // resolved in this file: count it only when it is the package's
			spec, ok := id.Obj.Decl.(*ast.ValueSpec)
			if !ok || !declared[spec] {
				return
			}
		}
		changed[id.Name] = x.Pos()
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, x := range n.Lhs {
					note(x)
				}
			}
		case *ast.IncDecStmt:
			note(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				note(n.Key)
				note(n.Value)
			}
		case *ast.CallExpr:
			if (isIdent(n.Fun, "delete") || isIdent(n.Fun, "clear")) && len(n.Args) > 0 {
				note(n.Args[0])
			}
		}
		return true
	})
}

// rootIdent is the variable at the bottom of x.f[i].g, or nil.
func rootIdent(x ast.Expr) *ast.Ident {
	for {
		switch y := x.(type) {
		case *ast.Ident:
			return y
		case *ast.SelectorExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.StarExpr:
			x = y.X
		case *ast.ParenExpr:
			x = y.X
		default:
			return nil
		}
	}
}
