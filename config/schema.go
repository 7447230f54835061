package config

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// kind is how a key's value is written and read. Its text is what the reference shows.
type kind string

const (
	text      kind = "string"
	ident     kind = "name"
	path      kind = "path"
	number    kind = "number"
	boolean   kind = "bool"
	duration  kind = "duration"
	size      kind = "size"
	texts     kind = "list of strings"
	idents    kind = "list of names"
	argv      kind = "list of words"
	table     kind = "map of strings"
	condition kind = "condition"
	anything  kind = "any value"
	typeName  kind = "type"
)

// key is one attribute of a block. Everything that is said of it anywhere is said here.
type key struct {
	name     string
	kind     kind
	required bool
	def      string   // the default as HCL text; "" for none
	enum     []string // allowed strings; nil for any
	min, max int64    // bounds of a number, of bytes or of nanoseconds; both 0 for none; of a list, max is its length
	doc      string   // one line
	soon     string   // not supported yet: what to do instead; "" for a key that works
}

// block is a kind of block. A block without label and without rows of its own ("limits") is folded into
// its parent: its keys are "limits.wall" there.
type block struct {
	name   string
	label  string // what the label names; "" for no label
	many   bool   // may appear more than once
	free   bool   // its keys are a plugin's, or the operator's own
	doc    string
	soon   string
	keys   []key
	blocks []block
}

// folded reports whether the block's keys belong to the parent's struct.
func (b *block) folded() bool { return b.label == "" && !b.free && !b.many && b.soon == "" }

// body is the shape that hcl checks names and labels against. What is required is checked by the
// decoder, which knows better where to point.
func (b *block) body() *hcl.BodySchema {
	s := &hcl.BodySchema{}
	for _, k := range b.keys {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: k.name})
	}
	for _, n := range b.blocks {
		h := hcl.BlockHeaderSchema{Type: n.name}
		if n.label != "" {
			h.LabelNames = []string{n.label}
		}
		s.Blocks = append(s.Blocks, h)
	}
	return s
}

func (b *block) key(name string) *key {
	for i := range b.keys {
		if b.keys[i].name == name {
			return &b.keys[i]
		}
	}
	return nil
}

func (b *block) block(name string) *block {
	for i := range b.blocks {
		if b.blocks[i].name == name {
			return &b.blocks[i]
		}
	}
	return nil
}

// names are the keys and blocks that work here, sorted.
func (b *block) names() []string {
	var out []string
	for _, k := range b.keys {
		if k.soon == "" {
			out = append(out, k.name)
		}
	}
	for _, n := range b.blocks {
		if n.soon == "" {
			out = append(out, n.name)
		}
	}
	slices.Sort(out)
	return out
}

// home finds the nested block in which a key of that name works, for "wall belongs in limits { }".
func (b *block) home(name string) string {
	for i := range b.blocks {
		n := &b.blocks[i]
		if n.soon != "" {
			continue
		}
		if k := n.key(name); k != nil && k.soon == "" {
			return n.name
		}
		if deeper := n.home(name); deeper != "" {
			return n.name + "." + deeper
		}
	}
	return ""
}

// at finds a block of the schema by its path from the root, "workspace.gate".
func at(dotted string) *block {
	b := &root
	for _, name := range strings.Split(dotted, ".") {
		if b = b.block(name); b == nil {
			return nil
		}
	}
	return b
}

// plain is a line of the reference without its markup.
func plain(doc string) string { return strings.ReplaceAll(doc, "`", "") }
