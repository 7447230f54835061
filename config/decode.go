package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// decoder turns bodies into structs by the schema.
type decoder struct {
	src   Source
	rep   *reporter
	scope *scope
	cfg   *Config
	spent int      // bytes of all values so far
	loose []string // gate files of a directory that was listed

	literals map[string]cty.Value // parsed defaults by text
}

// parts is what a body holds beyond the keys that fill a struct.
type parts struct {
	attrs  map[string]*hcl.Attribute // every key that was written, by path
	nested []*hcl.Block              // blocks that are not folded, in order
	folded map[string]Range          // headers of those that are, by path
}

func (p parts) blocks(kind string) []*hcl.Block {
	var out []*hcl.Block
	for _, b := range p.nested {
		if b.Type == kind {
			out = append(out, b)
		}
	}
	return out
}

// fill decodes a body into the struct that dst points to: keys by their `key` tags, defaults where a
// key is missing.
func (d *decoder) fill(o *Origin, dst any, b *block, body hcl.Body) parts {
	p := parts{attrs: map[string]*hcl.Attribute{}, folded: map[string]Range{}}
	fields := tagged(dst)
	if o.keys == nil {
		o.keys = map[string]Range{}
	}
	d.collect(b, body, "", &p)
	each(b, "", func(dotted string, k *key) {
		a, written := p.attrs[dotted]
		field, ok := fields[dotted]
		switch {
		case written && k.soon != "":
			d.rep.at(from(a.NameRange), problem{code: codeNotYet, summary: fmt.Sprintf("%q is not supported yet", dotted), hint: k.soon})
		case written:
			d.places(o, dotted, a.Expr)
			if ok && k.kind != condition {
				d.assign(o, dotted, k, field, a)
			}
		case k.required:
			d.rep.header(o.at, problem{code: codeMissingKey, summary: fmt.Sprintf("%s has no %q", o.title(b), dotted),
				detail: plain(k.doc), hint: fmt.Sprintf("add: %s = %s", k.name, k.sample())})
		case ok && k.def != "":
			d.preset(k, field)
		}
	})
	return p
}

func (o *Origin) title(b *block) string {
	if o.block != "" {
		return o.block
	}
	return b.title()
}

// collect reads a body and the folded blocks in it, by path.
func (d *decoder) collect(b *block, body hcl.Body, prefix string, p *parts) {
	content := d.content(b, body)
	for _, name := range slices.Sorted(maps.Keys(content.Attributes)) {
		p.attrs[prefix+name] = content.Attributes[name]
	}
	first := map[string]hcl.Range{}
	for _, n := range content.Blocks {
		kid := b.block(n.Type)
		switch {
		case kid.soon != "":
			d.rep.at(from(n.TypeRange), problem{code: codeNotYet, summary: fmt.Sprintf("block %q is not supported yet", prefix+n.Type), hint: kid.soon})
		case kid.many:
			p.nested = append(p.nested, n)
		case first[n.Type] != (hcl.Range{}):
			d.twice(from(n.DefRange), fmt.Sprintf("block %q", n.Type), from(first[n.Type]))
		default:
			first[n.Type] = n.DefRange
			if kid.folded() {
				p.folded[prefix+n.Type] = from(n.DefRange)
				d.collect(kid, n.Body, prefix+n.Type+".", p)
			} else {
				p.nested = append(p.nested, n)
			}
		}
	}
}

func (d *decoder) twice(where Range, what string, first Range) {
	d.rep.at(where, problem{code: codeDuplicate, summary: what + " is there twice",
		detail: fmt.Sprintf("The first one is at %s.", first), hint: "keep one of the two, or rename one"})
}

// content checks a body's names against the schema.
func (d *decoder) content(b *block, body hcl.Body) *hcl.BodyContent {
	content, diags := body.Content(b.body())
	var rest hcl.Diagnostics
	for _, g := range diags {
		if is, isBlock := unknownKind(g.Summary); is && g.Subject != nil {
			d.rep.unknown(g, b, isBlock)
			continue
		}
		rest = append(rest, g)
	}
	d.rep.translate(rest, codeSyntax)
	return content
}

// places records where a value and, as far as they are written out, its elements are.
func (d *decoder) places(o *Origin, dotted string, expr hcl.Expression) {
	o.keys[dotted] = from(expr.Range())
	if list, diags := hcl.ExprList(expr); !diags.HasErrors() {
		for i, e := range list {
			o.keys[dotted+"["+strconv.Itoa(i)+"]"] = from(e.Range())
		}
	}
	if pairs, diags := hcl.ExprMap(expr); !diags.HasErrors() {
		for _, pair := range pairs {
			if name := hcl.ExprAsKeyword(pair.Key); name != "" {
				o.keys[dotted+"."+name] = from(pair.Key.Range())
			} else if v, diags := pair.Key.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
				o.keys[dotted+"."+v.AsString()] = from(pair.Key.Range())
			}
		}
	}
}

// assign evaluates a key and stores it.
func (d *decoder) assign(o *Origin, dotted string, k *key, field reflect.Value, a *hcl.Attribute) {
	v, ok := d.value(a.Expr)
	if !ok {
		return
	}
	got, p := k.read(v)
	if p.code != "" {
		p.summary = dotted + " " + p.summary
		where := o.At(dotted)
		if r, ok := o.keys[fmt.Sprintf("%s[%d]", dotted, p.element-1)]; ok {
			where = r
		}
		d.rep.at(where, p)
		return
	}
	if v.ContainsMarked() {
		if o.masked == nil {
			o.masked = map[string]any{}
		}
		o.masked[dotted] = shown(v, true)
	}
	field.Set(reflect.ValueOf(got))
}

// preset stores a key's default.
func (d *decoder) preset(k *key, field reflect.Value) {
	v, ok := d.literal(k.def)
	if !ok {
		return
	}
	if got, p := k.read(v); p.code == "" {
		field.Set(reflect.ValueOf(got))
	}
}

// tagged are a struct's fields by their key tag.
func tagged(dst any) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	v := reflect.ValueOf(dst).Elem()
	for i := range v.NumField() {
		if tag, ok := v.Type().Field(i).Tag.Lookup("key"); ok {
			out[tag] = v.Field(i)
		}
	}
	return out
}

// each visits the keys of a block and of the blocks folded into it, in the order of the schema.
func each(b *block, prefix string, do func(dotted string, k *key)) {
	for i := range b.keys {
		do(prefix+b.keys[i].name, &b.keys[i])
	}
	for i := range b.blocks {
		if n := &b.blocks[i]; n.folded() {
			each(n, prefix+n.name+".", do)
		}
	}
}
