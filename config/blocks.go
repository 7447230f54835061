package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// decodeBlocks decodes every block of the kinds that work.
func (d *decoder) decodeBlocks(blocks map[string][]*hcl.Block) {
	d.single(&d.cfg.Daemon.Origin, &d.cfg.Daemon, &daemonSchema, blocks["daemon"])
	d.single(&d.cfg.CI.Origin, &d.cfg.CI, &ciSchema, blocks["ci"])
	d.each(blocks["plugin"], pluginPattern, func(o Origin, name string, b *hcl.Block) {
		p := &Plugin{Origin: o, Name: name}
		d.fill(&p.Origin, p, &pluginSchema, b.Body)
		d.cfg.Plugins = append(d.cfg.Plugins, p)
	})
	d.each(blocks["client"], namePattern, func(o Origin, name string, b *hcl.Block) {
		c := &Client{Origin: o, Name: name}
		d.fill(&c.Origin, c, &clientSchema, b.Body)
		d.cfg.Clients = append(d.cfg.Clients, c)
	})
	d.each(blocks["sandbox"], namePattern, func(o Origin, name string, b *hcl.Block) {
		d.cfg.Sandboxes = append(d.cfg.Sandboxes, d.sandbox(o, name, b))
	})
	d.each(blocks["gateway"], namePattern, d.gateway)
	d.each(blocks["executor"], namePattern, func(o Origin, name string, b *hcl.Block) {
		e := &Executor{Origin: o, Name: name}
		p := d.fill(&e.Origin, e, &executorSchema, b.Body)
		e.Config = d.free(&e.Origin, "executor", e.Plugin, p)
		d.permissions(e, p.blocks("permission"))
		d.cfg.Executors = append(d.cfg.Executors, e)
	})
	d.gateSets(blocks["gates"])
	d.each(blocks["workspace"], namePattern, func(o Origin, name string, b *hcl.Block) {
		d.cfg.Workspaces = append(d.cfg.Workspaces, d.workspace(o, name, b))
	})
}

// each visits the blocks of one kind that have a name of their own.
func (d *decoder) each(blocks []*hcl.Block, pattern *regexp.Regexp, do func(o Origin, name string, b *hcl.Block)) {
	first := map[string]Range{}
	for _, b := range blocks {
		if o, name, ok := d.named(b, "", pattern, first); ok {
			do(o, name, b)
		}
	}
}

func (d *decoder) gateway(o Origin, name string, b *hcl.Block) {
	g := &Gateway{Origin: o, Name: name}
	p := d.fill(&g.Origin, g, &gatewaySchema, b.Body)
	if at, written := p.folded["credential"]; written && !g.Has("credential.from_env") && !g.Has("credential.from_file") {
		d.checkOneSource(&Credential{Origin: Origin{block: "credential of " + g.block, at: at}})
	}
	d.cfg.Gateways = append(d.cfg.Gateways, g)
}

// single decodes a block that has no label and may be left out.
func (d *decoder) single(o *Origin, dst any, schema *block, blocks []*hcl.Block) {
	var body hcl.Body = hcl.EmptyBody()
	for i, b := range blocks {
		if i > 0 {
			d.twice(from(b.DefRange), fmt.Sprintf("block %q", schema.name), o.at)
			continue
		}
		*o, body = Origin{block: schema.name, at: from(b.DefRange)}, b.Body
	}
	o.block = schema.name
	d.fill(o, dst, schema, body)
}

func (d *decoder) sandbox(o Origin, name string, b *hcl.Block) *Sandbox {
	s := &Sandbox{Origin: o, Name: name}
	p := d.fill(&s.Origin, s, &sandboxSchema, b.Body)
	schema := sandboxSchema.block("toolchain")
	first := map[string]Range{}
	for _, n := range p.blocks("toolchain") {
		o, name, ok := d.named(n, s.block, namePattern, first)
		if !ok {
			continue
		}
		t := &Toolchain{Origin: o, Name: name}
		d.fill(&t.Origin, t, schema, n.Body)
		d.checkPreset(t, d.labelAt(n))
		s.Toolchains = append(s.Toolchains, t)
	}
	d.credentials(s, p.blocks("credential"))
	return s
}

func (d *decoder) credentials(s *Sandbox, blocks []*hcl.Block) {
	first := map[string]Range{}
	for i, b := range blocks {
		if i >= maxCredentials {
			d.rep.at(from(b.DefRange), problem{code: codeTooLarge, summary: fmt.Sprintf("there are more than %d credentials", maxCredentials)})
			return
		}
		o, name, ok := d.named(b, s.block, namePattern, first)
		if !ok {
			continue
		}
		c := &Credential{Origin: o, Name: name}
		d.fill(&c.Origin, c, &credentialSchema, b.Body)
		s.Credentials = append(s.Credentials, c)
	}
}

func (d *decoder) workspace(o Origin, name string, b *hcl.Block) *Workspace {
	w := &Workspace{Origin: o, Name: name}
	p := d.fill(&w.Origin, w, &workspaceSchema, b.Body)
	d.preparations(w, p)
	taken := map[string]Range{}
	d.fromSets(w, taken)
	w.Gates = append(w.Gates, d.gates(w.block, p.blocks("gate"), taken)...)
	return w
}

// named checks a block's label: its form, and that no block before has it.
func (d *decoder) named(b *hcl.Block, outer string, pattern *regexp.Regexp, first map[string]Range) (Origin, string, bool) {
	if len(b.Labels) != 1 {
		return Origin{}, "", false
	}
	name, where := b.Labels[0], d.labelAt(b)
	o := Origin{block: strings.TrimSpace(fmt.Sprintf("%s %s %s", outer, b.Type, quoted(name))), at: from(b.DefRange), keys: map[string]Range{}}
	if !pattern.MatchString(name) {
		p := problem{code: codeName, summary: fmt.Sprintf("%s is no name for a %s", quoted(name), b.Type), hint: "names are lower case letters, digits, - and _, at most 63"}
		if pattern == pluginPattern {
			p.hint = `write the kind and the name: "executor-acme" or "validator-acme"`
		}
		d.rep.at(where, p) // its keys are still worth checking
	}
	if at, twice := first[name]; twice {
		d.twice(where, fmt.Sprintf("%s %q", b.Type, name), at)
		return o, name, false
	}
	first[name] = o.at
	return o, name, true
}

func (d *decoder) labelAt(b *hcl.Block) Range {
	if len(b.LabelRanges) > 0 {
		return from(b.LabelRanges[0])
	}
	return from(b.DefRange)
}

// free reads a config block into one JSON object, against the plugin's schema where that is known.
func (d *decoder) free(o *Origin, kind, plugin string, p parts) json.RawMessage {
	values, masked, secretive := map[string]any{}, map[string]any{}, false
	written := map[string]bool{}
	schema, known := d.attributes(kind, plugin)
	for _, b := range p.blocks("config") {
		o.keys["config"] = from(b.DefRange)
		attrs, diags := b.Body.JustAttributes()
		d.rep.translate(diags, codeUnknownBlock)
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			a := attrs[name]
			written[name] = true
			d.places(o, "config."+name, a.Expr)
			if known && !d.foreseen(a, plugin, schema) {
				continue
			}
			v, ok := d.value(a.Expr)
			if !ok || !d.fits(a, v, schema[name]) {
				continue
			}
			values[name], masked[name] = shown(v, false), shown(v, true)
			secretive = secretive || v.ContainsMarked()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		if schema[name].Required && !written[name] {
			d.rep.header(o.At("config"), problem{code: codeMissingKey, summary: fmt.Sprintf("config of %s has no %q, which plugin %q requires", o.block, name, plugin),
				detail: schema[name].Doc, hint: fmt.Sprintf("add to config: %s = ... (%s)", name, schema[name].Type)})
		}
	}
	if secretive {
		o.masked = withMask(o.masked, "config", masked)
	}
	return json.RawMessage(encode(values))
}

func withMask(all map[string]any, key string, v any) map[string]any {
	if all == nil {
		all = map[string]any{}
	}
	all[key] = v
	return all
}

// attributes is the plugin's schema by name.
func (d *decoder) attributes(kind, plugin string) (map[string]Attribute, bool) {
	if d.src.Attributes == nil || plugin == "" {
		return nil, false
	}
	list, ok := d.src.Attributes(kind, plugin)
	if !ok {
		return nil, false
	}
	out := map[string]Attribute{}
	for _, a := range list {
		out[a.Name] = a
	}
	return out, true
}

// foreseen reports a key that the plugin does not know.
func (d *decoder) foreseen(a *hcl.Attribute, plugin string, schema map[string]Attribute) bool {
	if _, ok := schema[a.Name]; ok {
		return true
	}
	d.rep.at(from(a.NameRange), problem{code: codeUnknownKey, summary: fmt.Sprintf("plugin %q has no key %s", plugin, quoted(a.Name)), hint: meant(a.Name, slices.Collect(maps.Keys(schema)), "key")})
	return false
}

// fits reports a value that the plugin's schema does not allow.
func (d *decoder) fits(a *hcl.Attribute, v cty.Value, want Attribute) bool {
	bare, _ := v.UnmarkDeep()
	if bare.IsNull() {
		d.rep.at(from(a.Expr.Range()), problem{code: codeType, summary: a.Name + " must not be null", hint: "leave the key out"})
		return false
	}
	one := key{name: a.Name, required: want.Required}
	switch want.Type {
	case "string":
		one.kind = text
	case "number":
		if bare.Type() == cty.Number {
			return true
		}
		one.kind = number
	case "bool":
		one.kind = boolean
	case "list(string)":
		if allStrings(bare) { // elements may repeat here: ["-v", "-v"]
			return true
		}
		one.kind = texts
	case "map(string)":
		one.kind = table
	default:
		return true
	}
	_, p := one.read(v)
	if p.code != "" {
		p.summary = a.Name + " " + p.summary
		d.rep.at(from(a.Expr.Range()), p)
	}
	return p.code == ""
}

func allStrings(v cty.Value) bool {
	if !v.Type().IsTupleType() && !v.Type().IsListType() {
		return false
	}
	for it := v.ElementIterator(); it.Next(); {
		if _, e := it.Element(); e.IsNull() || e.Type() != cty.String {
			return false
		}
	}
	return true
}
