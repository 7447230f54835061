package main

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
)

const maxBases = 8 // that refer to each other

// where is the URI of a location, resolved against the bases that the run declares. A base without a URI of
// its own is the directory in which the analyser ran.
func (r *run) where(at location) string {
	if at.uri == "" && at.index >= 0 && at.index < len(r.artifacts) {
		at = r.artifacts[at.index]
	}
	uri, base := at.uri, at.base
	for range maxBases {
		up := r.bases[base]
		if uri == "" || base == "" || up.uri == "" {
			return uri
		}
		uri, base = join(up.uri, uri), up.base
	}
	return "" // the bases refer to each other
}

// join resolves a URI against a base, which names a directory whether it ends with a slash or not.
func join(base, uri string) string {
	b, errBase := url.Parse(strings.TrimSuffix(base, "/") + "/")
	u, err := url.Parse(uri)
	switch {
	case errBase != nil || err != nil || u.IsAbs() || path.IsAbs(u.Path):
		return uri
	case !b.IsAbs() && !path.IsAbs(b.Path):
		return path.Join(base, uri) // ResolveReference would make it absolute
	}
	return b.ResolveReference(u).String()
}

// placer turns URIs into paths inside one tree.
type placer struct {
	roots []string // the tree's absolute path, as it is named and as it is
	dir   string   // where the analyser ran, relative, with slashes; "" is the top
	root  *os.Root
}

func newPlacer(root *os.Root, dir string) placer {
	p := placer{roots: []string{root.Name()}, dir: filepath.ToSlash(filepath.Clean(dir)), root: root}
	if real, err := filepath.EvalSymlinks(root.Name()); err == nil && real != root.Name() {
		p.roots = append(p.roots, real)
	}
	return p
}

// place is the path of a URI inside the tree, relative and with slashes. What leads out of it has none.
func (p placer) place(uri string) (string, bool) {
	name := fileOf(uri)
	switch {
	case name == "":
		return "", false
	case path.IsAbs(name):
		return p.absolute(name)
	}
	// From where it ran; some analysers name their files from the top wherever they run.
	from, ok := inside(path.Join(p.dir, name))
	if ok && p.exists(from) || p.dir == "." {
		return from, ok
	}
	if top, inTree := inside(path.Clean(name)); inTree && p.exists(top) {
		return top, true
	}
	return from, ok
}

// fileOf is the path that a URI names on this machine, or "".
func fileOf(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil || len(uri) > maxText:
		return ""
	case u.Scheme != "" && u.Scheme != "file", u.Host != "" && u.Host != "localhost":
		return ""
	case strings.ContainsFunc(u.Path, unicode.IsControl):
		return ""
	}
	return u.Path
}

func (p placer) absolute(name string) (string, bool) {
	for _, root := range p.roots {
		if rel, ok := strings.CutPrefix(path.Clean(name), strings.TrimSuffix(filepath.ToSlash(root), "/")+"/"); ok {
			return inside(rel)
		}
	}
	return "", false
}

// inside holds that a clean relative path stays in the tree and names something below its top.
func inside(name string) (string, bool) {
	if name == "." || name == ".." || strings.HasPrefix(name, "../") || path.IsAbs(name) || len(name) > maxText {
		return "", false
	}
	return name, true
}

func (p placer) exists(name string) bool {
	_, err := p.root.Lstat(filepath.FromSlash(name))
	return err == nil
}
