package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (d *decoder) checkWorkspace(w *Workspace) {
	d.placed(w)
	if root, ok := d.rootOf(w); ok {
		w.Root = root
		d.outsideState(&w.Origin, "root", root)
		d.checkProvision(w)
	} else {
		w.Root = ""
	}
	if why := badRef(w.Base, false); w.Base != "" && why != "" {
		d.rep.at(w.At("base"), problem{code: codeValue, summary: fmt.Sprintf("base %s is no ref: %s", quoted(w.Base), why)})
	}
	for i, b := range w.Bases {
		if why := badRef(b, true); why != "" {
			d.rep.at(w.element("bases", i), problem{code: codeGlob, summary: fmt.Sprintf("%s is no glob over refs: %s", quoted(b), why)})
		}
	}
	if len(w.Bases) == 0 && w.Base != "" {
		w.Bases = []string{w.Base}
	}
	d.checkMayRun(w)
	d.checkPaths(w)
	d.checkGates(w)
}

func (d *decoder) checkMayRun(w *Workspace) {
	known := names(d.cfg.Executors, func(e *Executor) string { return e.Name })
	for i, e := range w.Executors {
		if !slices.Contains(known, e) {
			d.unknownName(w.element("executors", i), "executor", e, known)
		}
	}
}

// placed puts the root that the load was told in place of the declared one.
func (d *decoder) placed(w *Workspace) {
	if d.src.Root == "" {
		return
	}
	w.Root = ""
	if w.Name == d.src.Workspace || d.src.Workspace == "" && len(d.cfg.Workspaces) == 1 {
		w.Root = d.src.Root
	}
}

// rootOf is the root of a workspace, if it can be one.
func (d *decoder) rootOf(w *Workspace) (string, bool) {
	if w.Root == "" && d.src.Root != "" {
		return "", false
	}
	if d.src.Elsewhere { // what is here still bounds where programs may come from
		p, ok := d.anchored(&w.Origin, "root", w.Root)
		if real, err := filepath.EvalSymlinks(p); ok && err == nil {
			return real, true
		}
		return "", false
	}
	return d.directory(&w.Origin, "root", w.Root)
}

// element is the place of one element of a list, or of the list.
func (o Origin) element(key string, i int) Range {
	return o.At(fmt.Sprintf("%s[%d]", key, i))
}

// checkPaths refuses globs that cannot work, and limits that no gate would judge.
func (d *decoder) checkPaths(w *Workspace) {
	for _, l := range []struct {
		key   string
		globs []string
	}{{"paths.write", w.Write}, {"paths.forbid", w.Forbid}} {
		for i, g := range l.globs {
			if why := badGlob(g); why != "" {
				d.rep.at(w.element(l.key, i), problem{code: codeGlob, summary: fmt.Sprintf("%s: %s", quoted(g), why)})
			}
		}
	}
	if w.Has("paths.write") && len(w.Write) == 0 {
		d.rep.at(w.At("paths.write"), problem{code: codeValue, summary: "paths.write must not be empty: no result could pass", hint: `leave it out for all paths, or: forbid = ["**"]`})
	}
	key := "paths.forbid"
	switch {
	case w.Has("paths.write"):
		key = "paths.write"
	case !w.Has(key):
		return
	}
	if slices.ContainsFunc(w.Gates, func(g *Gate) bool { return g.Validator == pathsValidator && g.binds() }) {
		return
	}
	p := problem{code: codeUnenforced, summary: fmt.Sprintf("%s limits paths, but no gate judges them", w.block),
		hint: `add: gate "paths" { validator = "paths" }`}
	for _, g := range w.Gates {
		if g.Validator == pathsValidator {
			p.detail = fmt.Sprintf("Gate %q does not bind: it is optional, has a condition or paths of its own, or only warns.", g.Name)
			p.hint = fmt.Sprintf("take optional, when, paths and on_fail = \"warn\" out of gate %q", g.Name)
		}
	}
	d.rep.at(w.At(key), p)
}

// binds reports whether every result must pass the gate.
func (g *Gate) binds() bool {
	return !g.Optional && !g.Has("when") && len(g.Paths) == 0 && g.OnFail != "warn"
}

// checkRoots refuses two workspaces on one directory, and reports each pair once.
func (d *decoder) checkRoots() {
	first := map[string]*Workspace{}
	for _, w := range d.cfg.Workspaces {
		if w.Root == "" {
			continue
		}
		other := first[w.Root]
		if other == nil {
			other = sameFile(w.Root, first)
		}
		if other != nil {
			d.rep.at(w.At("root"), problem{code: codeSharedRoot, summary: fmt.Sprintf("%s has the root of %s", w.block, other.block),
				detail: fmt.Sprintf("The first one is at %s.", other.Declared()), hint: "make one workspace of the two"})
			continue
		}
		first[w.Root] = w
	}
}

// sameFile finds the workspace whose root is the same directory under another name, as bind mounts and
// file systems without case make it.
func sameFile(root string, all map[string]*Workspace) *Workspace {
	info, err := os.Stat(root)
	if err != nil {
		return nil
	}
	for other, w := range all {
		if o, err := os.Stat(other); err == nil && os.SameFile(info, o) {
			return w
		}
	}
	return nil
}

// badRef says why a text is no ref name, by git's rules; with glob, * and ? may stand for anything.
func badRef(ref string, glob bool) string {
	plain := ref
	if glob {
		plain = strings.NewReplacer("*", "x", "?", "x").Replace(ref)
	}
	switch {
	case ref == "":
		return "it is empty"
	case len(ref) > 255:
		return "it is too long"
	case glob && strings.Contains(ref, "**"):
		return "* stands for one part of a ref; write feature/* and feature/*/* for two depths"
	case strings.HasPrefix(ref, "-"):
		return "it begins with -"
	case strings.HasPrefix(ref, "/"), strings.HasSuffix(ref, "/"), strings.Contains(ref, "//"):
		return "it begins or ends with /, or has // in it"
	case strings.ContainsAny(plain, " ~^:?*[\\") || clean(ref) != ref:
		return "git allows no space and none of ~ ^ : ? * [ \\ in refs"
	case strings.Contains(ref, ".."), strings.Contains(ref, "@{"), strings.HasSuffix(ref, "."), plain == "@":
		return "git allows no .., no @{ and no . at the end"
	}
	for _, part := range strings.Split(ref, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return "no part of a ref begins with . or ends with .lock"
		}
	}
	return ""
}
