package config

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// Source is what to load and what the load may see of its surroundings.
type Source struct {
	Paths    []string            // files, or directories whose *.hcl and *.hcl.json are read by name
	Vars     map[string]string   // values of variables, from the command line
	VarFiles []string            // files of "name = value" lines; later ones win
	Env      func(string) string // DRAWSPAN_VAR_<name> and what variables name in from_env; may be nil
	Home     string              // what "~" stands for
	Dir      string              // what relative Paths and VarFiles start from
	// Attributes tells the config schema of a plugin ("executor" or "validator", name); false when
	// it is not known, and then any attribute is taken. May be nil.
	Attributes func(kind, plugin string) ([]Attribute, bool)
	// Plugins are the names of a kind's plugins that are locked; nil where nothing is locked yet. May be nil.
	Plugins func(kind string) []string
	// Operations are the names that a client can be granted. Nil: any name is taken.
	Operations []string
	// Read reads a configuration or gate file by its absolute path, as from a commit. Paths are files then,
	// no directories. Nil for the file system.
	Read func(path string) ([]byte, error)
	// Root, where it is not "", stands for the root that Workspace declares, or the only workspace there is.
	// The roots of others are not looked at then: they need not be on this machine.
	Root, Workspace string
	// Elsewhere says that no root need be here, as where only plugins are of interest. Those that are not are "".
	Elsewhere bool
}

// Attribute is one key that a plugin's config block accepts.
type Attribute struct {
	Name     string
	Type     string // string, number, bool, list(string), map(string), any
	Required bool
	Doc      string
}

// Load reads and checks a configuration. The Config is nil when the diagnostics have errors.
//
// All files are one configuration: their order does not matter, and nothing may be declared twice.
func Load(src Source) (*Config, Diagnostics) {
	d := &decoder{src: src, rep: newReporter(), scope: newScope(), cfg: &Config{Locals: map[string]string{}}, literals: map[string]cty.Value{}}
	bodies, ok := d.parseAll(d.find(src.Paths))
	if !ok {
		return nil, d.rep.done()
	}
	blocks, ok := d.top(bodies)
	if !ok {
		return nil, d.rep.done()
	}
	d.variables(blocks["variable"])
	d.locals(blocks["locals"])
	d.decodeBlocks(blocks)
	d.check()
	diags := d.rep.done()
	if diags.HasErrors() {
		return nil, diags
	}
	return d.cfg, diags
}

// find lists the files that paths name, as messages will call them.
func (d *decoder) find(paths []string) []string {
	var names []string
	if d.src.Read != nil {
		names, paths = slices.Clone(paths), nil
	}
	for _, p := range paths {
		info, err := os.Stat(d.absolute(p))
		switch {
		case err != nil:
			d.rep.at(Range{Filename: p}, problem{code: codeUnreadable, summary: "cannot read the configuration: " + cause(err), hint: "check the path"})
		case info.IsDir():
			names = append(names, d.list(p)...)
		case !strings.HasSuffix(p, ".hcl") && !strings.HasSuffix(p, ".hcl.json"):
			d.rep.at(Range{Filename: p}, problem{code: codeUnreadable, summary: "a configuration file ends in .hcl or .hcl.json", hint: "rename it"})
		default:
			names = append(names, p)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxFiles {
		d.rep.header(Range{}, problem{code: codeTooLarge, summary: fmt.Sprintf("there are more than %d configuration files", maxFiles)})
		return nil
	}
	if len(names) == 0 && len(d.rep.diags) == 0 {
		d.rep.header(Range{}, problem{code: codeNoFiles, summary: "there is no configuration file", hint: "name one, or a directory with *.hcl files, with -config"})
	}
	return names
}

// list is the directory's configuration files. The lock file and gate files beside them are none.
func (d *decoder) list(dir string) []string {
	entries, err := os.ReadDir(d.absolute(dir))
	if err != nil {
		d.rep.at(Range{Filename: dir}, problem{code: codeUnreadable, summary: "cannot list the directory: " + cause(err)})
	}
	var names []string
	for _, e := range entries {
		n := e.Name()
		if e.IsDir() || strings.HasPrefix(n, ".") || strings.HasSuffix(n, ".lock.hcl") {
			continue
		}
		if isGateFile(n) {
			d.loose = append(d.loose, filepath.Join(dir, n))
			continue
		}
		if strings.HasSuffix(n, ".hcl") || strings.HasSuffix(n, ".hcl.json") {
			names = append(names, filepath.Join(dir, n))
		}
	}
	return names
}

func (d *decoder) absolute(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(d.src.Dir, p)
}

// parseAll reads the files. With a syntax error in any of them nothing further is looked at: what
// follows from half a file would only confuse.
func (d *decoder) parseAll(names []string) ([]hcl.Body, bool) {
	var bodies []hcl.Body
	broken := false
	for _, name := range names {
		body, ok := d.parse(name)
		broken = broken || !ok
		bodies = append(bodies, body)
	}
	d.cfg.Files = names
	return bodies, !broken && len(names) > 0 && !d.rep.diags.HasErrors()
}

func (d *decoder) parse(name string) (hcl.Body, bool) {
	src, err := d.read(d.absolute(name))
	if err != nil {
		d.rep.at(Range{Filename: name}, problem{code: codeUnreadable, summary: "cannot read the file: " + cause(err)})
		return nil, false
	}
	return d.rep.parse(src, name)
}

// parse parses a file that the guard lets through, and reports what is wrong with it.
func (r *reporter) parse(src []byte, name string) (hcl.Body, bool) {
	isJSON := strings.HasSuffix(name, ".json")
	if where, p := guard(src, name, isJSON); p.code != "" {
		r.add(name, &hcl.File{Bytes: src})
		r.at(where, p)
		return nil, false
	}
	parser := parseJSON
	if !isJSON {
		parser = parseHCL
	}
	f, diags := parser(src, name)
	r.add(name, f)
	return f.Body, !r.translate(diags, codeSyntax)
}

func parseHCL(src []byte, name string) (*hcl.File, hcl.Diagnostics) {
	return hclsyntax.ParseConfig(src, name, hcl.InitialPos)
}

// parseJSON is strict where hcl's own reader of JSON is not.
func parseJSON(src []byte, name string) (*hcl.File, hcl.Diagnostics) {
	f, diags := hcljson.Parse(src, name)
	if !diags.HasErrors() && !json.Valid(src) {
		where := hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "The file is not valid JSON", Subject: &where})
	}
	return f, diags
}

func (d *decoder) read(full string) ([]byte, error) {
	if d.src.Read != nil {
		return d.src.Read(full)
	}
	return readFile(full)
}

// readFile reads a regular file up to a little more than what guard accepts.
func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// top checks the version and gathers the blocks of all files by kind.
func (d *decoder) top(bodies []hcl.Body) (map[string][]*hcl.Block, bool) {
	blocks := map[string][]*hcl.Block{}
	var versions []*hcl.Attribute
	count := 0
	for _, body := range bodies {
		content := d.content(&root, body)
		if a := content.Attributes["version"]; a != nil {
			versions = append(versions, a)
		}
		for _, b := range content.Blocks {
			if kid := root.block(b.Type); kid.soon != "" {
				d.rep.at(from(b.TypeRange), problem{code: codeNotYet, summary: fmt.Sprintf("block %q is not supported yet", b.Type), hint: kid.soon})
				continue
			}
			blocks[b.Type] = append(blocks[b.Type], b)
			if count++; count > maxBlocks {
				d.rep.at(from(b.DefRange), problem{code: codeTooLarge, summary: fmt.Sprintf("there are more than %d blocks", maxBlocks)})
				return nil, false
			}
		}
	}
	d.cfg.at = Range{Filename: d.cfg.Files[0], Start: Pos{Line: 1, Column: 1}, End: Pos{Line: 1, Column: 1}}
	if len(versions) == 0 {
		d.rep.header(d.cfg.at, problem{code: codeVersion, summary: "the configuration does not say its version", hint: "add as the first line: version = 1"})
	}
	for _, a := range versions {
		if !d.version(a) {
			d.rep.diags = d.rep.diags[len(d.rep.diags)-1:]
			return nil, false
		}
	}
	return blocks, true
}

// version accepts 1. Of a file in another language nothing else is worth saying.
func (d *decoder) version(a *hcl.Attribute) bool {
	where := from(a.Expr.Range())
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() || v.IsNull() || v.Type() != cty.Number {
		d.rep.at(where, problem{code: codeVersion, summary: "version must be a plain number", hint: "write: version = 1"})
		return false
	}
	if n, _ := v.AsBigFloat().Int64(); n != 1 || !v.AsBigFloat().IsInt() {
		d.rep.at(where, problem{code: codeVersion, summary: fmt.Sprintf("version %s is not supported: this drawspan reads version 1", clean(v.AsBigFloat().Text('g', 8))),
			hint: "write version = 1, or install a drawspan that reads this version"})
		return false
	}
	d.cfg.Version = 1
	return true
}
