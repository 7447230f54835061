package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// powers are the parts of the standard library that deps.txt has to name: they start processes or
// leave Go's guarantees. The rest of it is free.
var powers = []string{"os/exec", "plugin", "unsafe", "C"}

// rule is one line of deps.txt.
type rule struct {
	line  int
	room  string
	allow []string
}

// allows reports whether the rule permits an import. "path/..." stands for path and all below it.
func (r rule) allows(imported string) bool {
	return slices.ContainsFunc(r.allow, func(pattern string) bool { return matches(pattern, imported) })
}

func matches(pattern, name string) bool {
	if stem, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == stem || strings.HasPrefix(name, stem+"/")
	}
	return pattern == name
}

// parseRules reads deps.txt. A room may name only rooms above its own line, so the file is an order.
func parseRules(text string) ([]rule, []string) {
	var rules []rule
	var bad []string
	seen := map[string]int{}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, allow, ok := strings.Cut(line, ":")
		r := rule{line: i + 1, room: strings.TrimSpace(name), allow: strings.Fields(allow)}
		if !ok {
			bad = append(bad, fmt.Sprintf("deps.txt:%d: want `room: imports`", r.line))
			continue
		}
		if first, twice := seen[r.room]; twice {
			bad = append(bad, fmt.Sprintf("deps.txt:%d: %s has a line already, %d", r.line, r.room, first))
		}
		seen[r.room] = r.line
		rules = append(rules, r)
	}
	return rules, append(bad, checkOrder(rules)...)
}

func checkOrder(rules []rule) []string {
	var bad []string
	for i, r := range rules {
		for _, a := range r.allow {
			upward := slices.ContainsFunc(rules[i:], func(o rule) bool { return o.room == a })
			if upward {
				bad = append(bad, fmt.Sprintf("deps.txt:%d: %s may not reach up to %s", r.line, r.room, a))
			}
		}
	}
	return bad
}

// checkImports holds every room to its line.
func checkImports(t *tree, rules []rule) []string {
	var bad []string
	for _, dir := range t.dirs() {
		i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.room, dir) })
		if i < 0 {
			bad = append(bad, fmt.Sprintf("%s: a package without a line in deps.txt", dir))
			continue
		}
		for _, s := range t.rooms[dir].sources {
			if !s.test {
				bad = append(bad, checkFile(t, s, rules[i])...)
			}
		}
	}
	for _, r := range rules {
		if !slices.ContainsFunc(t.dirs(), func(d string) bool { return matches(r.room, d) }) {
			bad = append(bad, fmt.Sprintf("deps.txt:%d: %s is a line without a package", r.line, r.room))
		}
	}
	return bad
}

func checkFile(t *tree, s *source, r rule) []string {
	var bad []string
	for _, spec := range s.ast.Imports {
		name := importName(spec)
		short, own := t.short(name)
		free := !own && standard(name) && !slices.Contains(powers, name)
		if !free && !r.allows(short) {
			bad = append(bad, fmt.Sprintf("%s: %s imports %s, which its line does not allow", t.at(spec.Pos()), r.room, short))
		}
	}
	return bad
}

func importName(spec *ast.ImportSpec) string {
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return name
}

// standard reports whether an import path belongs to the standard library.
func standard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

// closure maps everything that a room reaches through our own packages to the room that imports it.
// Tests do not count.
func closure(t *tree, dir string) map[string]string {
	reached := map[string]string{}
	queue := []string{dir}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if t.rooms[at] == nil {
			continue
		}
		for _, s := range t.rooms[at].sources {
			if s.test {
				continue
			}
			for _, spec := range s.ast.Imports {
				short, own := t.short(importName(spec))
				if _, seen := reached[short]; seen {
					continue
				}
				reached[short] = at
				if own {
					queue = append(queue, short)
				}
			}
		}
	}
	return reached
}

// unreachable reports which of the patterns a room reaches although it must not.
func unreachable(t *tree, dir string, patterns ...string) []string {
	var bad []string
	for name, via := range closure(t, dir) {
		if slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) }) {
			bad = append(bad, fmt.Sprintf("%s reaches %s through %s", dir, name, via))
		}
	}
	slices.Sort(bad)
	return bad
}
