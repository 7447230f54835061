package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

const envPrefix = "DRAWSPAN_VAR_"

// given is one value of a variable from outside.
type given struct {
	value cty.Value
	text  string // where value is not set: text to read by the variable's type
	from  string
	where Range
}

// variables decodes variable blocks and finds each one's value.
func (d *decoder) variables(blocks []*hcl.Block) {
	first := map[string]Range{}
	outside := d.outside()
	for _, b := range blocks {
		o, name, ok := d.named(b, "", variablePattern, first)
		if !ok {
			continue
		}
		v := &Variable{Origin: o, Name: name}
		p := d.fill(&v.Origin, v, &variableSchema, b.Body)
		d.cfg.Variables = append(d.cfg.Variables, v)
		d.scope.set(d.scope.vars, name, d.variable(v, p, outside[name]))
		delete(outside, name)
	}
	for _, name := range slices.Sorted(maps.Keys(outside)) {
		d.rep.header(outside[name].where, problem{code: codeReference, summary: fmt.Sprintf("variable %s is given by %s, but not declared", quoted(name), outside[name].from),
			hint: meant(name, slices.Collect(maps.Keys(first)), "variable")})
	}
}

// outside are the values from variable files and the command line, later ones over earlier ones.
func (d *decoder) outside() map[string]given {
	out := map[string]given{}
	for _, name := range d.src.VarFiles {
		body, ok := d.parse(name)
		if !ok {
			continue
		}
		attrs, diags := body.JustAttributes()
		d.rep.translate(diags, codeUnknownBlock)
		for _, key := range slices.Sorted(maps.Keys(attrs)) {
			if v, ok := d.value(attrs[key].Expr); ok {
				out[key] = given{value: v, from: "var-file", where: from(attrs[key].Expr.Range())}
			}
		}
	}
	for key, text := range d.src.Vars {
		out[key] = given{text: text, from: "var"}
	}
	return out
}

// variable is a variable's value, or an unknown one when the problem is reported.
func (d *decoder) variable(v *Variable, p parts, g given) cty.Value {
	typ, ok := d.varType(v, p)
	if !ok {
		return cty.DynamicVal
	}
	if v.FromEnv != "" && !envPattern.MatchString(v.FromEnv) {
		d.rep.at(v.At("from_env"), problem{code: codeName, summary: fmt.Sprintf("from_env %s is no name of an environment variable", quoted(v.FromEnv))})
	}
	g = d.prefer(v, p, g)
	if g.from == "" {
		d.rep.header(v.at, problem{code: codeVariable, summary: fmt.Sprintf("variable %q has no value and no default", v.Name),
			hint: fmt.Sprintf("pass -var %s=..., or set %s%s", v.Name, envPrefix, v.Name)})
		return cty.DynamicVal
	}
	value, why := g.read(d, typ)
	if why != "" {
		where := g.where
		if where.Filename == "" {
			where = v.at
		}
		d.rep.at(where, problem{code: codeVariable, summary: fmt.Sprintf("the value of variable %q (%s) does not fit its type %s", v.Name, g.from, v.Type), detail: why})
		return cty.DynamicVal
	}
	v.From = g.from
	if v.Sensitive {
		value = value.Mark(secret{})
	}
	v.Value = encode(shown(value, true))
	return value
}

// prefer is the value that wins: what was given, else the environment, else the default.
func (d *decoder) prefer(v *Variable, p parts, g given) given {
	if g.from != "" {
		return g
	}
	if d.src.Env != nil {
		if s := d.src.Env(envPrefix + v.Name); s != "" {
			return given{text: s, from: "env"}
		}
		if v.FromEnv != "" {
			if s := d.src.Env(v.FromEnv); s != "" {
				return given{text: s, from: "env"}
			}
		}
	}
	a := p.attrs["default"]
	if a == nil {
		return g
	}
	if len(a.Expr.Variables()) > 0 {
		d.rep.at(from(a.Expr.Range()), problem{code: codeReference, summary: "the default of a variable cannot refer to anything", hint: "use locals { } for derived values"})
		return given{value: cty.DynamicVal, from: "default"}
	}
	value, ok := d.value(a.Expr)
	if !ok {
		value = cty.DynamicVal
	}
	return given{value: value, from: "default", where: from(a.Expr.Range())}
}

// varType reads the type of a variable.
func (d *decoder) varType(v *Variable, p parts) (cty.Type, bool) {
	v.Type = "any"
	a := p.attrs["type"]
	if a == nil {
		return cty.DynamicPseudoType, true
	}
	typ, diags := typeexpr.TypeConstraint(a.Expr)
	if diags.HasErrors() {
		d.rep.at(from(a.Expr.Range()), problem{code: codeValue, summary: "type is not a type", detail: diags[0].Detail, hint: "for example: string, number, bool, list(string), map(string)"})
		return cty.DynamicPseudoType, false
	}
	v.Type = typeexpr.TypeString(typ)
	return typ, true
}

// read turns a given value into the type; why is empty when that works.
func (g given) read(d *decoder, typ cty.Type) (v cty.Value, why string) {
	v = g.value
	if v == cty.NilVal {
		v = cty.StringVal(strings.ToValidUTF8(g.text, "\uFFFD"))
		if typ != cty.DynamicPseudoType && !typ.IsPrimitiveType() {
			if v, why = d.parsed(g.text); why != "" {
				return v, why
			}
		}
	}
	if !v.IsWhollyKnown() {
		return cty.DynamicVal, ""
	}
	if weight(v) > maxValue {
		return v, "It is too large."
	}
	out, err := convert.Convert(v, typ)
	if err != nil {
		return v, capital(err.Error()) + "."
	}
	if out.IsNull() {
		return v, "It must not be null."
	}
	return out, ""
}

// parsed reads a text from the command line or the environment as a literal.
func (d *decoder) parsed(text string) (cty.Value, string) {
	const why = `It is not a value of the language, such as ["a", "b"] or { a = "b" }.`
	if where, p := guard([]byte(text), "", false); p.code != "" {
		return cty.DynamicVal, fmt.Sprintf("At character %d: %s.", where.Start.Column, p.summary)
	}
	tokens, _ := hclsyntax.LexExpression([]byte(text), "", hcl.InitialPos) // parsed again by literal
	if _, p := guardTokens(tokens); p.code != "" {
		return cty.DynamicVal, capital(p.summary) + "."
	}
	if v, ok := d.literal(text); ok {
		return v, ""
	}
	return cty.DynamicVal, why
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// locals evaluates the locals, each after those that it refers to.
func (d *decoder) locals(blocks []*hcl.Block) {
	all, first := map[string]*hcl.Attribute{}, map[string]Range{}
	for _, b := range blocks {
		attrs, diags := b.Body.JustAttributes()
		d.rep.translate(diags, codeUnknownBlock)
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			a := attrs[name]
			if at, twice := first[name]; twice {
				d.rep.at(from(a.NameRange), problem{code: codeDuplicateKey, summary: fmt.Sprintf("local %q is there twice", name), detail: fmt.Sprintf("The first one is at %s.", at), hint: "keep one of the two"})
				continue
			}
			if !variablePattern.MatchString(name) {
				d.rep.at(from(a.NameRange), problem{code: codeName, summary: fmt.Sprintf("%s is no name for a local", quoted(name))})
				continue
			}
			if len(all) == maxLocals {
				d.rep.at(from(a.NameRange), problem{code: codeTooLarge, summary: fmt.Sprintf("there are more than %d locals", maxLocals)})
				return
			}
			first[name], all[name] = from(a.NameRange), a
			d.scope.set(d.scope.locals, name, cty.DynamicVal)
		}
	}
	state := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		d.local(name, all, state)
	}
}

const (
	localOpen = 1
	localDone = 2
)

func (d *decoder) local(name string, all map[string]*hcl.Attribute, state map[string]int) {
	if state[name] == localDone {
		return
	}
	a := all[name]
	state[name] = localOpen
	for _, ref := range a.Expr.Variables() {
		other := refersTo(ref, "local")
		if _, ok := all[other]; !ok {
			continue
		}
		if state[other] == localOpen {
			d.rep.at(from(ref.SourceRange()), problem{code: codeCycle, summary: fmt.Sprintf("local.%s and local.%s refer to each other", name, other), hint: "break the circle"})
			continue
		}
		d.local(other, all, state)
	}
	state[name] = localDone
	if v, ok := d.value(a.Expr); ok {
		d.scope.set(d.scope.locals, name, v)
		d.cfg.Locals[name] = encode(shown(v, true))
	}
}

// refersTo is the name in "root.name", or "".
func refersTo(ref hcl.Traversal, root string) string {
	if ref.RootName() != root {
		return ""
	}
	return step(ref, 1)
}

// encode writes a plain value as one line of JSON.
func encode(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}
