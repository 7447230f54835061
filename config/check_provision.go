package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Bounds of what one workspace prepares.
const (
	maxRuns   = 16
	maxCaches = 16
)

// presets are the toolchains and the keys that each of them has.
var presets = map[string][]string{
	"go": {"root", "module_cache", "build_cache"}, "node": {"root", "packages"}, "python": {"root", "packages"}, "rust": {"root", "packages"},
}

// checkPreset refuses toolchains that nobody knows how to find, and keys of another one.
func (d *decoder) checkPreset(t *Toolchain, label Range) {
	keys, known := presets[t.Name]
	if !known {
		d.rep.at(label, problem{code: codeNotYet, summary: fmt.Sprintf("toolchain %q is not supported yet", t.Name),
			hint: `use "go", "node", "python" or "rust", or name the paths in filesystem { read = [...] }`})
		return
	}
	for _, key := range []string{"module_cache", "build_cache", "packages"} {
		if t.Has(key) && !slices.Contains(keys, key) {
			d.rep.at(t.At(key), problem{code: codeNoEffect, summary: fmt.Sprintf("toolchain %q has no %s", t.Name, key), hint: "it has: " + strings.Join(keys, ", ")})
		}
	}
}

// preparations decodes the blocks of a workspace that prepare its trees.
func (d *decoder) preparations(w *Workspace, p parts) {
	d.eachNamed(w, p.blocks("run"), maxRuns, func(o Origin, name string, b *hcl.Block) {
		r := &run{Origin: o, Name: name}
		d.fill(&r.Origin, r, &runSchema, b.Body)
		if !r.Has("sandbox") {
			r.Sandbox = defaultSandbox
		}
		w.Runs = append(w.Runs, r)
	})
	d.eachNamed(w, p.blocks("cache"), maxCaches, func(o Origin, name string, b *hcl.Block) {
		c := &cache{Origin: o, Name: name}
		d.fill(&c.Origin, c, &cacheSchema, b.Body)
		w.Caches = append(w.Caches, c)
	})
}

// eachNamed visits a workspace's blocks of one kind, up to a bound.
func (d *decoder) eachNamed(w *Workspace, blocks []*hcl.Block, most int, do func(Origin, string, *hcl.Block)) {
	first := map[string]Range{}
	for i, b := range blocks {
		if i >= most {
			d.rep.at(from(b.DefRange), problem{code: codeTooLarge, summary: fmt.Sprintf("%s has more than %d %s blocks", w.block, most, b.Type)})
			return
		}
		if o, name, ok := d.named(b, w.block, namePattern, first); ok {
			do(o, name, b)
		}
	}
}

// checkProvision keeps what is put into trees inside the root, and what prepares them in a sandbox.
func (d *decoder) checkProvision(w *Workspace) {
	for i := range w.Provision {
		w.Provision[i] = d.checkProvided(w, w.element("provision.copy", i), w.Provision[i])
	}
	for i := range w.Link {
		w.Link[i] = d.checkProvided(w, w.element("provision.link", i), w.Link[i])
	}
	for i, p := range w.Link {
		inner := func(other string) bool { return p != "" && other != "" && within("/"+other, "/"+p) }
		all := slices.Concat(w.Provision, w.Link[:i], w.Link[i+1:])
		if j := slices.IndexFunc(all, inner); j >= 0 {
			d.rep.at(w.element("provision.link", i), problem{code: codeValue, summary: fmt.Sprintf("%s lies in %s", quoted(all[j]), quoted(p)), hint: "keep the outer one; it is read-only with all that is in it"})
		}
	}
	for _, r := range w.Runs {
		d.checkRun(r)
	}
	d.checkCaches(w)
}

func (d *decoder) checkRun(r *run) {
	d.sandboxNamed(&r.Origin, r.Sandbox)
	if len(r.Command) > 0 && r.Command[0] == "" {
		d.rep.at(r.element("command", 0), problem{code: codeValue, summary: "command must name a program"})
	}
	if s := d.cfg.Sandbox(r.Sandbox); s != nil && r.Has("timeout") && r.Timeout > s.Wall && s.Wall > 0 {
		d.rep.at(r.At("timeout"), problem{code: codeNoEffect, summary: fmt.Sprintf("timeout is above the %s of sandbox %q", durationText(s.Wall), s.Name), hint: "lower it, or raise limits.wall there"})
	}
}

// checkProvided is one path of the root as it is used, "" where it cannot be.
func (d *decoder) checkProvided(w *Workspace, where Range, p string) string {
	switch {
	case !filepath.IsLocal(p) || climbs(p) || clean(p) != p || filepath.Clean(p) == ".":
		d.rep.at(where, problem{code: codeOutside, summary: fmt.Sprintf("%s is not a path inside the root", quoted(p)), hint: "write it relative to the root, without .."})
		return ""
	case strings.ContainsAny(p, "*?"):
		d.rep.at(where, problem{code: codeGlob, summary: fmt.Sprintf("%s: provision takes paths, not globs", quoted(p)), hint: "name each file or directory"})
		return ""
	case slices.Contains(strings.Split(filepath.Clean(p), "/"), ".git"):
		d.rep.at(where, problem{code: codeExposed, summary: fmt.Sprintf("%s is git's own", quoted(p)), hint: "leave it out; trees have their own git directory"})
		return ""
	}
	real, err := filepath.EvalSymlinks(filepath.Join(w.Root, p))
	switch {
	case os.IsNotExist(err):
		d.rep.warn(where, problem{code: codePathMissing, summary: fmt.Sprintf("%s is not there yet; an attempt needs it", quoted(p)), hint: "create it before the first run"})
	case err != nil:
		d.rep.at(where, problem{code: codePathMissing, summary: fmt.Sprintf("%s cannot be looked at: %s", quoted(p), cause(err))})
	case !within(real, w.Root):
		d.rep.at(where, problem{code: codeOutside, summary: fmt.Sprintf("%s leads through a symlink out of the root, to %s", quoted(p), quoted(real)), hint: "copy the file into the root"})
	}
	return filepath.Clean(p)
}

// checkCaches refuses variables that mean something else.
func (d *decoder) checkCaches(w *Workspace) {
	first := map[string]*cache{}
	for _, c := range w.Caches {
		where := c.At("variable")
		if c.Variable == "" {
			continue // reported already
		}
		const mayMoveCode = 1 // the last of the groups that keep their values: a package manager's home is among them
		why, _ := reserved(c.Variable, unsettable-mayMoveCode)
		switch {
		case !envPattern.MatchString(c.Variable) || strings.HasPrefix(c.Variable, "DRAWSPAN_"):
			d.rep.at(where, problem{code: codeName, summary: fmt.Sprintf("%s is no name of a variable for a cache", quoted(c.Variable))})
		case why != "":
			d.rep.at(where, problem{code: codeName, summary: fmt.Sprintf("%s cannot name %s: the variable %s", c.Variable, c.block, why)})
		case first[c.Variable] != nil:
			d.rep.at(where, problem{code: codeDuplicateKey, summary: fmt.Sprintf("%s is the variable of %s already", c.Variable, first[c.Variable].block)})
		default:
			first[c.Variable] = c
		}
	}
}
