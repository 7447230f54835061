package pluginlock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/drawspan/drawspan/host/fault"
)

const (
	maxFile  = 1 << 20
	maxDepth = 8
)

var (
	namePattern     = regexp.MustCompile(`^(executor|validator)-[a-z0-9](-?[a-z0-9]+)*$`)
	executorPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	platformPattern = regexp.MustCompile(`^[a-z0-9]+_[a-z0-9]+$`)
	digestPattern   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// Problems are all that is wrong with a lock file, each a fault with file and line.
type Problems []*fault.Fault

// Error lists them, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, f := range p {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap is the list.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, f := range p {
		errs[i] = f
	}
	return errs
}

// Read reads a lock file. One that does not exist locks nothing.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{Path: path}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read lock file: %w", err)
	}
	return Parse(path, src)
}

// Parse reads the content of a lock file; path is only named in errors, which are Problems.
func Parse(path string, src []byte) (*File, error) {
	if len(src) > maxFile {
		return nil, Problems{fault.New(fault.ConfigInvalid, "the lock file is larger than %d bytes", maxFile).At(path)}
	}
	p := &parser{path: path}
	if p.scan(src); len(p.problems) > 0 {
		return nil, p.problems
	}
	parsed, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	p.diags(diags)
	if parsed == nil || diags.HasErrors() {
		return nil, p.problems
	}
	content, diags := parsed.Body.Content(fileSchema)
	p.diags(diags)
	f := &File{Path: path}
	first := map[string]string{}
	for _, b := range content.Blocks {
		name := b.Type + " " + strconv.Quote(b.Labels[0])
		if before, twice := first[name]; twice {
			p.add(b.DefRange, "%s is locked twice, first at %s", name, before)
			continue
		}
		first[name] = where(b.DefRange)
		if b.Type == "program" {
			f.Programs = append(f.Programs, p.pin(b))
			continue
		}
		f.Entries = append(f.Entries, p.entry(b))
	}
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	slices.SortFunc(f.Entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Programs, func(a, b Pin) int { return strings.Compare(a.Executor, b.Executor) })
	return f, nil
}

var fileSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "plugin", LabelNames: []string{"name"}}, {Type: "program", LabelNames: []string{"executor"}},
}}

var pinSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "path", Required: true}, {Name: "digest", Required: true}, {Name: "files"},
}}

var drivesSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "profile"}, {Name: "tested"}, {Name: "install"}}}

var entrySchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{
		{Name: "version"}, {Name: "protocol"}, {Name: "simulated"}, {Name: "hashes", Required: true},
		{Name: "feeds"}, {Name: "pure"}, {Name: "resident"},
	},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "attribute", LabelNames: []string{"name"}}, {Type: "drives", LabelNames: []string{"program"}},
	},
}

var attributeSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "type", Required: true}, {Name: "required"}},
}

// parser collects what is wrong.
type parser struct {
	path     string
	problems Problems
}

// scan refuses what a lock file never holds, before the parser sees it: expressions, and nesting that
// would exhaust the parser's stack. It stops at the first.
func (p *parser) scan(src []byte) {
	tokens, diags := hclsyntax.LexConfig(src, p.path, hcl.InitialPos)
	p.diags(diags)
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack:
			depth--
		case hclsyntax.TokenIdent, hclsyntax.TokenEqual, hclsyntax.TokenComma, hclsyntax.TokenOQuote, hclsyntax.TokenCQuote,
			hclsyntax.TokenQuotedLit, hclsyntax.TokenNumberLit, hclsyntax.TokenNewline, hclsyntax.TokenComment, hclsyntax.TokenEOF:
		default:
			p.add(t.Range, "unexpected %.20q: a lock file holds plain values only", t.Bytes)
			return
		}
		if depth > maxDepth {
			p.add(t.Range, "nested too deeply")
			return
		}
	}
}

func where(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }

func (p *parser) add(r hcl.Range, format string, args ...any) {
	p.problems = append(p.problems, fault.New(fault.ConfigInvalid, format, args...).At(where(r)).
		Fix("the file is written by `drawspan plugin lock`; restore it or lock again"))
}

func (p *parser) diags(diags hcl.Diagnostics) {
	for _, d := range diags {
		r := hcl.Range{Filename: p.path, Start: hcl.Pos{Line: 1}}
		if d.Subject != nil {
			r = *d.Subject
		}
		p.add(r, "%s: %s", d.Summary, strings.TrimSuffix(d.Detail, "."))
	}
}

func (p *parser) entry(b *hcl.Block) Entry {
	e := Entry{Name: b.Labels[0], Declared: where(b.DefRange)}
	if !namePattern.MatchString(e.Name) {
		p.add(b.DefRange, "%q is not the name of a plugin, like executor-command", e.Name)
	}
	content, diags := b.Body.Content(entrySchema)
	p.diags(diags)
	if a, ok := content.Attributes["version"]; ok {
		e.Version = p.text(a)
	}
	p.rest(&e, content)
	if a, ok := content.Attributes["hashes"]; ok {
		e.Hashes = p.hashes(a)
	}
	seen := map[string]bool{}
	for _, inner := range content.Blocks {
		if inner.Type == "drives" {
			e.Drives = append(e.Drives, p.driven(inner))
			continue
		}
		a := p.attribute(inner)
		if seen[a.Name] {
			p.add(inner.DefRange, "attribute %q is declared twice", a.Name)
		}
		seen[a.Name] = true
		e.Attributes = append(e.Attributes, a)
	}
	slices.SortFunc(e.Attributes, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// rest takes what may be left out.
func (p *parser) rest(e *Entry, content *hcl.BodyContent) {
	for _, f := range []struct {
		name string
		to   *bool
	}{{"simulated", &e.Simulated}, {"pure", &e.Nature.Pure}, {"resident", &e.Nature.Resident}} {
		if a, ok := content.Attributes[f.name]; ok {
			*f.to = p.flag(a)
		}
	}
	for _, l := range []struct {
		name string
		to   *[]string
	}{{"protocol", &e.Protocol}, {"feeds", &e.Nature.Feeds}} {
		if a, ok := content.Attributes[l.name]; ok {
			*l.to = p.texts(a)
		}
	}
}

// pin is the program of an executor.
func (p *parser) pin(b *hcl.Block) Pin {
	pin := Pin{Executor: b.Labels[0], Declared: where(b.DefRange)}
	if !executorPattern.MatchString(pin.Executor) {
		p.add(b.DefRange, "%q is not the name of an executor", pin.Executor)
	}
	content, diags := b.Body.Content(pinSchema)
	p.diags(diags)
	if a, ok := content.Attributes["path"]; ok {
		if pin.Path = p.text(a); !filepath.IsAbs(pin.Path) {
			p.add(a.Range, "path must be absolute")
		}
	}
	pin.Digest, pin.Files = p.digest(content, "digest"), p.digest(content, "files")
	return pin
}

// digest is an attribute's value, "" where there is none.
func (p *parser) digest(content *hcl.BodyContent, name string) string {
	a, ok := content.Attributes[name]
	if !ok {
		return ""
	}
	v := p.text(a)
	if !digestPattern.MatchString(v) {
		p.add(a.Range, "%s is not sha256: and 64 hexadecimal digits", name)
	}
	return v
}

func (p *parser) driven(b *hcl.Block) Driven {
	d := Driven{Name: b.Labels[0]}
	if d.Name == "" {
		p.add(b.DefRange, "the program that the plugin drives has no name")
	}
	content, diags := b.Body.Content(drivesSchema)
	p.diags(diags)
	for _, v := range []struct {
		name string
		to   *string
	}{{"profile", &d.Profile}, {"tested", &d.Tested}, {"install", &d.Install}} {
		if a, ok := content.Attributes[v.name]; ok {
			*v.to = p.text(a)
		}
	}
	return d
}

func (p *parser) attribute(b *hcl.Block) Attribute {
	a := Attribute{Name: b.Labels[0]}
	content, diags := b.Body.Content(attributeSchema)
	p.diags(diags)
	if t, ok := content.Attributes["type"]; ok {
		a.Type = p.text(t)
	}
	if r, ok := content.Attributes["required"]; ok {
		a.Required = p.flag(r)
	}
	return a
}

// literal is an attribute's value, which must need no variables and functions.
func (p *parser) literal(a *hcl.Attribute, want cty.Type) (cty.Value, bool) {
	v, diags := a.Expr.Value(nil)
	p.diags(diags)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	if v.IsNull() || !v.IsWhollyKnown() || !v.Type().Equals(want) {
		p.add(a.Range, "%s must be a %s", a.Name, want.FriendlyName())
		return cty.NilVal, false
	}
	return v, true
}

func (p *parser) text(a *hcl.Attribute) string {
	v, ok := p.literal(a, cty.String)
	if !ok {
		return ""
	}
	if v.AsString() == "" {
		p.add(a.Range, "%s must not be empty", a.Name)
	}
	return v.AsString()
}

func (p *parser) flag(a *hcl.Attribute) bool {
	v, ok := p.literal(a, cty.Bool)
	return ok && v.True()
}

// elements are the elements of a list or object whose elements must be strings.
func (p *parser) elements(a *hcl.Attribute, fits func(cty.Type) bool, kind string) (cty.Value, bool) {
	v, diags := a.Expr.Value(nil)
	p.diags(diags)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	if v.IsNull() || !v.IsWhollyKnown() || !fits(v.Type()) {
		p.add(a.Range, "%s must be %s", a.Name, kind)
		return cty.NilVal, false
	}
	for it := v.ElementIterator(); it.Next(); {
		if _, element := it.Element(); element.IsNull() || element.Type() != cty.String {
			p.add(a.Range, "%s must be %s", a.Name, kind)
			return cty.NilVal, false
		}
	}
	return v, true
}

func (p *parser) texts(a *hcl.Attribute) []string {
	v, ok := p.elements(a, cty.Type.IsTupleType, "a list of strings")
	if !ok {
		return nil
	}
	var all []string
	for it := v.ElementIterator(); it.Next(); {
		_, element := it.Element()
		all = append(all, element.AsString())
	}
	return all
}

func (p *parser) hashes(a *hcl.Attribute) map[string]string {
	v, ok := p.elements(a, cty.Type.IsObjectType, "an object of platforms and digests")
	if !ok {
		return nil
	}
	if pairs, diags := hcl.ExprMap(a.Expr); diags.HasErrors() || len(pairs) != v.LengthInt() {
		p.add(a.Range, "a platform is named twice")
	}
	all := map[string]string{}
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		platform, digest := key.AsString(), element.AsString()
		switch {
		case !platformPattern.MatchString(platform):
			p.add(a.Range, "%q is not a platform, like linux_amd64", platform)
		case !digestPattern.MatchString(digest):
			p.add(a.Range, "the digest of %s is not sha256: and 64 hexadecimal digits", platform)
		}
		all[platform] = digest
	}
	if len(all) == 0 {
		p.add(a.Range, "hashes must not be empty")
	}
	return all
}
