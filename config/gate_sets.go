package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// gateSets decodes the gate sets with their files.
func (d *decoder) gateSets(blocks []*hcl.Block) {
	read := map[string]Range{}
	d.each(blocks, namePattern, func(o Origin, name string, b *hcl.Block) {
		s := &GateSet{Origin: o, Name: name}
		p := d.fill(&s.Origin, s, &gateSetSchema, b.Body)
		d.gatesOf(s, p.blocks("gate"), read)
		d.cfg.GateSets = append(d.cfg.GateSets, s)
	})
	for _, name := range d.loose {
		if _, used := read[filepath.Clean(d.absolute(name))]; !used {
			d.rep.at(Range{Filename: name}, problem{code: codeNoEffect, summary: "no gate set names this gate file, so its gates judge nothing", hint: fmt.Sprintf("add: gates \"common\" { file = %q }", filepath.Base(name))})
		}
	}
}

// gatesOf fills a set from its block or from its file; read are the files so far.
func (d *decoder) gatesOf(s *GateSet, gates []*hcl.Block, read map[string]Range) {
	switch {
	case s.Has("file") && len(gates) > 0:
		d.rep.at(from(gates[0].DefRange), problem{code: codeNoEffect, summary: fmt.Sprintf("%s names a file, so its gates are there", s.block), hint: "move the gate into the file, or leave file out"})
	case s.Has("file"):
		d.gateFile(s, read)
	case len(gates) == 0:
		d.rep.header(s.at, problem{code: codeGateEmpty, summary: s.block + " holds no gate", hint: `add a gate, or: file = "gates.hcl"`})
	default:
		s.Gates = d.gates(s.block, gates, map[string]Range{})
	}
}

// gateFile reads the gates of a set from its file, in a scope that has nothing of the configuration's.
func (d *decoder) gateFile(s *GateSet, read map[string]Range) {
	where := s.At("file")
	full, ok := d.gateFilePath(s, where)
	if !ok {
		return
	}
	if at, twice := read[full]; twice {
		d.twice(where, fmt.Sprintf("gate file %s", quoted(s.File)), at)
		return
	}
	if read[full] = where; len(read) > maxFiles {
		d.rep.at(where, problem{code: codeTooLarge, summary: fmt.Sprintf("there are more than %d gate files", maxFiles)})
		return
	}
	src, err := d.read(full)
	if err != nil {
		d.rep.at(where, problem{code: codeUnreadable, summary: fmt.Sprintf("cannot read the gate file %s: %s", quoted(full), cause(err)), hint: "write the file, or correct the path"})
		return
	}
	d.cfg.Files = append(d.cfg.Files, s.File)
	body, ok := d.rep.parse(src, s.File)
	if !ok {
		return
	}
	sum := sha256.Sum256(src)
	s.Digest = "sha256:" + hex.EncodeToString(sum[:])
	defer func(outer *scope) { d.scope = outer }(d.scope)
	d.scope = newScope()
	d.scope.closed = true
	content := d.content(&gateFileSchema, body)
	if s.Gates = d.gates(s.block, content.Blocks, map[string]Range{}); len(content.Blocks) == 0 {
		d.rep.header(Range{Filename: s.File, Start: Pos{Line: 1, Column: 1}, End: Pos{Line: 1, Column: 1}},
			problem{code: codeGateEmpty, summary: s.block + " holds no gate", hint: `add: gate "paths" { validator = "paths" }`})
	}
}

// gateFilePath is where a set's file is. Its File becomes the name that messages use.
func (d *decoder) gateFilePath(s *GateSet, where Range) (string, bool) {
	if base := filepath.Base(s.File); !isGateFile(base) {
		d.rep.at(where, problem{code: codeValue, summary: fmt.Sprintf("file must not be %s", quoted(s.File)),
			detail: "A directory of configuration files may hold gate files too; the name tells them apart.", hint: "name it gates.hcl, or end the name in .gates.hcl"})
		return "", false
	}
	if clean(s.File) != s.File {
		d.rep.at(where, problem{code: codeValue, summary: "file contains a control character"})
		return "", false
	}
	if filepath.IsAbs(s.File) || strings.HasPrefix(s.File, "~") {
		p, ok := d.anchored(&s.Origin, "file", s.File)
		s.File = p
		return p, ok && d.unlinked(where, "/", p)
	}
	if !filepath.IsLocal(s.File) || climbs(s.File) {
		d.rep.at(where, problem{code: codeOutside, summary: fmt.Sprintf("file %s leads out of the directory of this file", quoted(s.File)), hint: "write it relative to this file without .., or the whole path"})
		return "", false
	}
	s.File = filepath.Join(filepath.Dir(s.at.Filename), s.File)
	full := filepath.Clean(d.absolute(s.File))
	return full, d.unlinked(where, filepath.Dir(filepath.Clean(d.absolute(s.at.Filename))), full)
}

// unlinked reports a symlink between a directory and a file in it.
func (d *decoder) unlinked(where Range, dir, full string) bool {
	if d.src.Read != nil {
		return true // who reads for us decides what a link is
	}
	top, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return true // the read says what is wrong
	}
	rest, err := filepath.Rel(dir, full)
	if err != nil {
		return true
	}
	want := filepath.Join(top, rest)
	real, err := filepath.EvalSymlinks(want)
	if err == nil && real != want {
		d.rep.at(where, problem{code: codeSymlink, summary: fmt.Sprintf("the gate file leads through a symlink to %s", quoted(real)), hint: "put the file there itself, or name its real place"})
		return false
	}
	return true
}

// isGateFile tells gate files from configurations by name.
func isGateFile(base string) bool {
	base = strings.TrimSuffix(base, ".json")
	return base == "gates.hcl" || strings.HasSuffix(base, ".gates.hcl")
}

// gates decodes gate blocks. first holds the places of names that are taken.
func (d *decoder) gates(outer string, blocks []*hcl.Block, first map[string]Range) []*Gate {
	var out []*Gate
	for i, b := range blocks {
		if i >= maxBlocks {
			d.rep.at(from(b.DefRange), problem{code: codeTooLarge, summary: fmt.Sprintf("there are more than %d gates", maxBlocks)})
			break
		}
		o, name, ok := d.named(b, outer, namePattern, first)
		if !ok {
			continue
		}
		g := &Gate{Origin: o, Name: name, scope: d.scope}
		p := d.fill(&g.Origin, g, &gateSchema, b.Body)
		g.Config = d.free(&g.Origin, "validator", g.Plugin(), p)
		if a := p.attrs["when"]; a != nil {
			g.when = a.Expr
		}
		if g.Validator != realExecutor && (g.Validator != "" || g.Has("validator")) && !g.Has("sandbox") {
			g.Sandbox = defaultSandbox
		}
		out = append(out, g)
	}
	return out
}

// fromSets puts the gates of a workspace's sets in front of its own; taken gets their places.
func (d *decoder) fromSets(w *Workspace, taken map[string]Range) {
	for i, name := range w.GateSets {
		s := d.cfg.GateSet(name)
		if s == nil {
			d.unknownName(w.element("gates", i), "gate set", name, names(d.cfg.GateSets, func(s *GateSet) string { return s.Name }))
			continue
		}
		for _, g := range s.Gates {
			if at, twice := taken[g.Name]; twice {
				d.rep.header(w.element("gates", i), problem{code: codeDuplicate, summary: fmt.Sprintf("gate %q is there twice: %s has one at %s", g.Name, s.block, g.at),
					detail: fmt.Sprintf("The first one is at %s.", at), hint: "keep one of the two, or rename one"})
				continue
			}
			taken[g.Name] = g.at
			own := *g
			own.block, own.Set = fmt.Sprintf("%s gate %s", w.block, quoted(g.Name)), name
			w.Gates = append(w.Gates, &own)
		}
	}
}

// checkGateSets looks at sets that no workspace has: nothing of them is evaluated.
func (d *decoder) checkGateSets() {
	for _, s := range d.cfg.GateSets {
		if slices.ContainsFunc(d.cfg.Workspaces, func(w *Workspace) bool { return slices.Contains(w.GateSets, s.Name) }) {
			continue
		}
		for _, g := range s.Gates {
			d.checkGate(g, nil)
		}
		d.rep.warn(s.at, problem{code: codeNoEffect, summary: s.block + " is used by no workspace", hint: fmt.Sprintf("name it there: gates = [%q]", s.Name)})
	}
}
