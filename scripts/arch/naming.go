package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// drawers are the words that name a place to put things instead of a thing.
var drawers = []string{"util", "utils", "common", "helper", "helpers", "manager", "service", "services",
	"types", "base", "misc", "shared"}

var wordStart = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)

// words splits a Go or file name into its lower-case words.
func words(name string) []string {
	var list []string
	for _, w := range wordStart.FindAllString(name, -1) {
		list = append(list, strings.ToLower(w))
	}
	return list
}

// drawer is the drawer word in a package's or type's name, or "". Base is a word of the domain (the
// base of a run), so in a type's name it counts only as the last word, where it means a superclass.
func drawer(name string, isType bool) string {
	list := words(name)
	for i, w := range list {
		if isType && w == "base" && (i < len(list)-1 || len(list) == 1) {
			continue
		}
		if slices.Contains(drawers, w) {
			return w
		}
	}
	return ""
}

// checkNames refuses drawers and names that repeat their package.
func checkNames(t *tree) []string {
	var bad []string
	for _, dir := range t.dirs() {
		r := t.rooms[dir]
		if w := drawer(path.Base(dir), false); w != "" {
			bad = append(bad, fmt.Sprintf("%s: a package called %q is a drawer", dir, w))
		}
		for _, s := range r.ordinary() {
			for _, name := range topNames(s) {
				bad = append(bad, checkName(t, r, name)...)
			}
		}
	}
	return bad
}

// named is one top-level declaration.
type named struct {
	id     *ast.Ident
	isType bool
}

func topNames(s *source) []named {
	var list []named
	for _, d := range s.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				list = append(list, named{d.Name, false})
			}
		case *ast.GenDecl:
			if d.Tok != token.TYPE {
				continue
			}
			for _, spec := range d.Specs {
				if ts, ok := spec.(*ast.TypeSpec); ok {
					list = append(list, named{ts.Name, true})
				}
			}
		}
	}
	return list
}

func checkName(t *tree, r *room, n named) []string {
	var bad []string
	if w := drawer(n.id.Name, true); n.isType && w != "" {
		bad = append(bad, fmt.Sprintf("%s: type %s is a drawer (%s)", t.at(n.id.Pos()), n.id.Name, w))
	}
	if n.id.IsExported() && !r.main() && stutters(r.name, n.id.Name) {
		bad = append(bad, fmt.Sprintf("%s: %s.%s stutters", t.at(n.id.Pos()), r.name, n.id.Name))
	}
	return bad
}

func stutters(pkg, name string) bool {
	if len(name) <= len(pkg) || !strings.EqualFold(name[:len(pkg)], pkg) {
		return false
	}
	return unicode.IsUpper(rune(name[len(pkg)]))
}
