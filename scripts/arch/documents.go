package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// fullyDocumented are the packages that people outside read: every exported name has its comment.
var fullyDocumented = []string{"sdk", "sdk/...", "host/api", "host/client", "config"}

// usuallyDocumented is the share, of a hundred, that every other package keeps.
const usuallyDocumented = 90

// shortestComment is less than any comment that says a package's job.
const shortestComment = 60

// checkDocs asks every package for its comment and its exported names for theirs.
func checkDocs(t *tree) []string {
	var bad []string
	for _, dir := range t.dirs() {
		r := t.rooms[dir]
		if len(packageComment(r)) < shortestComment {
			bad = append(bad, fmt.Sprintf("%s: no package comment that says its job", dir))
		}
		silent, all := silentNames(t, r)
		least := usuallyDocumented
		if slices.ContainsFunc(fullyDocumented, func(p string) bool { return matches(p, dir) }) {
			least = 100
		}
		if all > 0 && (all-len(silent))*100 < least*all {
			bad = append(bad, fmt.Sprintf("%s: %d of %d exported names have no comment, %d%% must: %s",
				dir, len(silent), all, least, strings.Join(silent, ", ")))
		}
	}
	return bad
}

// packageComment is the longest package comment; a test-only package may carry it in a test.
func packageComment(r *room) string {
	longest := ""
	onlyTests := len(r.ordinary()) == 0
	for _, s := range r.sources {
		if s.ast.Doc != nil && !s.generated && (!s.test || onlyTests) && len(s.ast.Doc.Text()) > len(longest) {
			longest = s.ast.Doc.Text()
		}
	}
	return longest
}

// silentNames lists exported names without a comment, and counts all exported names.
func silentNames(t *tree, r *room) ([]string, int) {
	var silent []string
	all := 0
	see := func(id *ast.Ident, docs ...*ast.CommentGroup) {
		if !id.IsExported() {
			return
		}
		all++
		if !slices.ContainsFunc(docs, func(g *ast.CommentGroup) bool { return g != nil && strings.TrimSpace(g.Text()) != "" }) {
			silent = append(silent, t.at(id.Pos())+" "+id.Name)
		}
	}
	for _, s := range r.ordinary() {
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil || exportedReceiver(d.Recv) {
					see(d.Name, d.Doc)
				}
			case *ast.GenDecl:
				seeSpecs(d, see)
			}
		}
	}
	return silent, all
}

func seeSpecs(d *ast.GenDecl, see func(*ast.Ident, ...*ast.CommentGroup)) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if d.Lparen.IsValid() {
				see(spec.Name, spec.Doc, spec.Comment)
			} else {
				see(spec.Name, d.Doc, spec.Doc)
			}
		case *ast.ValueSpec:
			for _, id := range spec.Names {
				see(id, d.Doc, spec.Doc, spec.Comment)
			}
		}
	}
}

func exportedReceiver(recv *ast.FieldList) bool {
	if len(recv.List) == 0 {
		return false
	}
	x := recv.List[0].Type
	for {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.IndexListExpr:
			x = y.X
		case *ast.Ident:
			return y.IsExported()
		default:
			return false
		}
	}
}
