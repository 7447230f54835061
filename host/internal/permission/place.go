package permission

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// place is a path of a request, judged by its text: links are the sandbox's business.
type place struct {
	name    string // relative to the tree where inside, else as written, without what is before the first name
	inside  bool
	obscure bool // what it names depends on more than its text
}

func placed(tree string, paths []string) []place {
	out := make([]place, 0, len(paths))
	for _, p := range paths {
		out = append(out, placeOf(tree, p))
	}
	return out
}

// placeOf takes a relative path as one of the tree, as executors work there.
func placeOf(tree, p string) place {
	odd := p == "" || !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl)
	climbs := slices.Contains(strings.Split(p, "/"), "..")
	if strings.HasPrefix(p, "~") || strings.Contains(p, "://") || strings.Contains(p, `\`) || odd {
		return place{name: strings.TrimLeft(p, "/"), obscure: true}
	}
	clean := path.Clean(p)
	if path.IsAbs(clean) {
		if clean == path.Clean(tree) {
			return place{name: ".", inside: !climbs}
		}
		rest, ok := strings.CutPrefix(clean, path.Clean(tree)+"/")
		return place{name: strings.TrimLeft(rest, "/"), inside: ok && !climbs, obscure: climbs}
	}
	return place{name: clean, inside: !climbs, obscure: climbs}
}

// matches reports whether a glob covers the path. Case counts: a tree that ignores it is not made here.
func (p place) matches(globs []string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, err := doublestar.Match(g, p.name)
		return err == nil && ok
	})
}

// around reports whether the glob could cover something below the path.
func (p place) around(glob string) bool {
	base, rest := doublestar.SplitPattern(glob)
	return base == "." || p.name == "." || strings.HasPrefix(base+"/", p.name+"/") || strings.HasPrefix(p.name, base+"/") && strings.Contains(rest, "/")
}
