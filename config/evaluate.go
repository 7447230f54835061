package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

const (
	maxReferences = 200      // in one expression
	maxValue      = 64 << 10 // bytes of one value
	maxAll        = 16 << 20 // bytes of all values
)

// secret marks values that come from sensitive variables.
type secret struct{}

// scope is what expressions may use.
type scope struct {
	vars   map[string]cty.Value
	locals map[string]cty.Value
	ctx    *hcl.EvalContext // made from the two, nil after a change
	closed bool             // of a gate file: there are neither
}

func newScope() *scope {
	return &scope{vars: map[string]cty.Value{}, locals: map[string]cty.Value{}}
}

func (s *scope) set(into map[string]cty.Value, name string, v cty.Value) {
	into[name] = v
	s.ctx = nil
}

func (s *scope) context() *hcl.EvalContext {
	if s.ctx == nil {
		s.ctx = &hcl.EvalContext{
			Variables: map[string]cty.Value{"var": cty.ObjectVal(s.vars), "local": cty.ObjectVal(s.locals)},
			Functions: functions(),
		}
	}
	return s.ctx
}

// functions are pure and cannot blow a value up: a result is not much longer than the arguments, join
// apart, which is bounded.
func functions() map[string]function.Function {
	return map[string]function.Function{
		"coalesce": stdlib.CoalesceFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": stdlib.DistinctFunc, "flatten": stdlib.FlattenFunc, "join": joinFunction(),
		"keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc,
		"lower": stdlib.LowerFunc, "max": stdlib.MaxFunc, "merge": stdlib.MergeFunc, "min": stdlib.MinFunc,
		"sort": stdlib.SortFunc, "split": stdlib.SplitFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,
		"values": stdlib.ValuesFunc,
	}
}

func functionNames() []string { return slices.Sorted(maps.Keys(functions())) }

var errTooLong = errors.New("the result would be too long")

func joinFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: "separator", Type: cty.String}, {Name: "list", Type: cty.List(cty.String)},
		},
		Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			sep, parts, total := args[0].AsString(), []string{}, 0
			for it := args[1].ElementIterator(); it.Next(); {
				_, e := it.Element()
				if e.IsNull() {
					return cty.NilVal, errors.New("an element is null")
				}
				parts = append(parts, e.AsString())
				if total += len(e.AsString()) + len(sep); total > maxValue {
					return cty.NilVal, errTooLong
				}
			}
			return cty.StringVal(strings.Join(parts, sep)), nil
		},
	})
}

// value evaluates an expression over variables and locals. Without ok the problem is reported, or is a
// consequence of one that was.
func (d *decoder) value(expr hcl.Expression) (cty.Value, bool) {
	if !d.resolves(expr, nil) {
		return cty.DynamicVal, false
	}
	v, diags := expr.Value(d.scope.context())
	if diags.HasErrors() {
		d.rep.translate(diags, codeExpression)
		return cty.DynamicVal, false
	}
	if !v.IsWhollyKnown() {
		return v, false
	}
	if !finite(v) {
		d.rep.at(from(expr.Range()), problem{code: codeExpression, summary: "the value is infinite", hint: "do not divide by zero"})
		return v, false
	}
	n := weight(v)
	if d.spent += n; n > maxValue || d.spent > maxAll {
		d.rep.at(from(expr.Range()), problem{code: codeTooLarge, summary: fmt.Sprintf("the value is larger than %s, or all values together than %s", sizeText(maxValue), sizeText(maxAll))})
		return v, false
	}
	return v, true
}

// resolves reports names that nothing declares. extra are further roots with their attributes.
func (d *decoder) resolves(expr hcl.Expression, extra map[string][]string) bool {
	refs := expr.Variables()
	if len(refs) > maxReferences {
		d.rep.at(from(expr.Range()), problem{code: codeTooLarge, summary: fmt.Sprintf("the expression has more than %d references", maxReferences)})
		return false
	}
	ok := true
	for _, ref := range refs {
		if p := d.scope.lookup(ref, extra); p.code != "" {
			d.rep.at(from(ref.SourceRange()), p)
			ok = false
		}
	}
	return ok
}

func (s *scope) lookup(ref hcl.Traversal, extra map[string][]string) problem {
	name := ref.RootName()
	members, ok := extra[name]
	what := "fact"
	if ok && name == "gates" {
		return lookupGate(ref)
	}
	if own := map[string]map[string]cty.Value{"var": s.vars, "local": s.locals}[name]; own != nil {
		if what = name; s.closed {
			return problem{code: codeReference, summary: "a gate file has no variables and no locals", hint: "write the value, or move the gate into the configuration"}
		}
		members, ok = has(own, refersTo(ref, name))
	}
	if !ok {
		return unknownRoot(name, append(slices.Collect(maps.Keys(extra)), "var", "local"))
	}
	step := refersTo(ref, name)
	if step == "" || members == nil || slices.Contains(members, step) {
		return problem{}
	}
	return problem{code: codeReference, summary: fmt.Sprintf("%s.%s is not declared", name, clean(step)), hint: meant(step, members, what)}
}

func unknownRoot(name string, known []string) problem {
	p := problem{code: codeReference, summary: quoted(name) + " is not known here", hint: "for text write it in quotes: " + quoted(name)}
	if n := nearest(name, known); n != "" {
		p.hint = fmt.Sprintf("did you mean %q?", n)
	}
	return p
}

// has lists the names of values unless the wanted one, if any, is among them.
func has(values map[string]cty.Value, want string) ([]string, bool) {
	if _, ok := values[want]; ok || want == "" {
		return nil, true
	}
	return append([]string{}, slices.Sorted(maps.Keys(values))...), true
}

// literal evaluates a text of our own or of the command line: no names, only literals.
func (d *decoder) literal(text string) (cty.Value, bool) {
	if v, ok := d.literals[text]; ok {
		return v, true
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), "", hcl.InitialPos)
	if diags.HasErrors() || len(expr.Variables()) > 0 {
		return cty.DynamicVal, false
	}
	v, diags := expr.Value(&hcl.EvalContext{})
	if diags.HasErrors() || !v.IsWhollyKnown() {
		return cty.DynamicVal, false
	}
	d.literals[text] = v
	return v, true
}

// finite reports whether a value holds no infinite number, which division by zero makes.
func finite(v cty.Value) bool {
	v, _ = v.UnmarkDeep()
	ok := true
	err := cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		if e.Type() == cty.Number && e.IsKnown() && !e.IsNull() && e.AsBigFloat().IsInf() {
			ok = false
		}
		return ok, nil
	})
	return ok && err == nil
}

// weight is about how many bytes a value takes.
func weight(v cty.Value) int {
	v, _ = v.Unmark()
	switch {
	case v.IsNull() || !v.IsKnown():
		return 1
	case v.Type() == cty.String:
		return len(v.AsString()) + 8
	case v.CanIterateElements():
		n := 8
		for it := v.ElementIterator(); it.Next(); {
			name, e := it.Element()
			n += weight(e)
			if v.Type().IsObjectType() || v.Type().IsMapType() {
				n += len(name.AsString())
			}
		}
		return n
	}
	return 16
}
