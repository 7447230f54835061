package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// diffKeys are what a condition may ask about a diff.
var diffKeys = []string{"files", "lines", "insertions", "deletions", "binary"}

// condition compiles a when expression. It is tried on an empty and on a large diff, so that what can go
// wrong does so now and not at the first result.
func (d *decoder) condition(expr hcl.Expression) *Condition {
	where := from(expr.Range())
	if !d.resolves(expr, map[string][]string{"diff": diffKeys}) {
		return nil
	}
	outer := d.scope.context()
	c := &Condition{
		Text:  d.source(expr),
		bound: d.bound(expr),
		Eval: func(f Facts) (bool, error) {
			v, diags := expr.Value(f.context(outer))
			return verdict(v, diags)
		},
	}
	if !d.settled(expr) {
		return nil
	}
	large := Facts{Files: 1 << 20, Insertions: 1 << 20, Deletions: 1 << 20, Binary: 1 << 20, Paths: []string{"a/b.c"}}
	for _, f := range []Facts{{}, large} {
		v, diags := expr.Value(f.context(outer))
		if _, err := verdict(v, diags); err != nil {
			d.rep.at(where, problem{code: codeCondition, summary: "when " + err.Error(),
				hint: `use diff.` + strings.Join(diffKeys, ", diff.") + ` and touches(diff, "glob", ...)`})
			return nil
		}
	}
	return c
}

// bound are the values that an expression takes from variables and locals, for comparing two conditions.
func (d *decoder) bound(expr hcl.Expression) map[string]cty.Value {
	out := map[string]cty.Value{}
	for _, ref := range expr.Variables() {
		if name := refersTo(ref, "var"); name != "" {
			out["var."+name] = d.scope.vars[name]
		}
		if name := refersTo(ref, "local"); name != "" {
			out["local."+name] = d.scope.locals[name]
		}
	}
	return out
}

// settled reports whether all variables and locals of an expression have values; where one has none, the
// problem is reported at its declaration.
func (d *decoder) settled(expr hcl.Expression) bool {
	for _, ref := range expr.Variables() {
		for root, values := range map[string]map[string]cty.Value{"var": d.scope.vars, "local": d.scope.locals} {
			if v, ok := values[refersTo(ref, root)]; ok && !v.IsWhollyKnown() {
				return false
			}
		}
	}
	return true
}

// verdict reads a condition's value. Its errors are worded to follow the word "when".
func verdict(v cty.Value, diags hcl.Diagnostics) (bool, error) {
	if diags.HasErrors() {
		d := diags[0]
		return false, fmt.Errorf("cannot be evaluated: %s: %s", sentence(d.Summary), strings.TrimSuffix(d.Detail, "."))
	}
	v, _ = v.UnmarkDeep()
	if v.IsNull() || !v.IsKnown() || v.Type() != cty.Bool {
		return false, fmt.Errorf("must be true or false, not %s", v.Type().FriendlyName())
	}
	return v.True(), nil
}

// source is the text of an expression as the operator wrote it.
func (d *decoder) source(expr hcl.Expression) string {
	where := expr.Range()
	f := d.rep.files[where.Filename]
	if f == nil || where.End.Byte > len(f.Bytes) || where.Start.Byte > where.End.Byte {
		return ""
	}
	s := strings.Join(strings.Fields(string(f.Bytes[where.Start.Byte:where.End.Byte])), " ")
	if strings.HasPrefix(s, `"${`) && strings.HasSuffix(s, `}"`) {
		s = s[3 : len(s)-2]
	}
	return clean(s)
}

// context is what a condition sees of one diff.
func (f Facts) context(outer *hcl.EvalContext) *hcl.EvalContext {
	inner := outer.NewChild()
	inner.Variables = map[string]cty.Value{"diff": cty.ObjectVal(map[string]cty.Value{
		"files": integer(f.Files), "lines": integer(f.Insertions + f.Deletions),
		"insertions": integer(f.Insertions), "deletions": integer(f.Deletions), "binary": integer(f.Binary),
	})}
	inner.Functions = map[string]function.Function{"touches": f.touches()}
	return inner
}

func integer(n int) cty.Value { return cty.NumberIntVal(int64(n)) }

var errNotDiff = errors.New("the first argument must be diff")

// touches is true where a changed path matches one of the globs.
func (f Facts) touches() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "diff", Type: cty.DynamicPseudoType}},
		VarParam: &function.Parameter{Name: "globs", Type: cty.String},
		Type:     function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !args[0].Type().IsObjectType() || !args[0].Type().HasAttribute("insertions") {
				return cty.NilVal, function.NewArgError(0, errNotDiff)
			}
			if len(args) == 1 {
				return cty.NilVal, errors.New("name at least one glob")
			}
			hit := false
			for i, g := range args[1:] {
				if why := badGlob(g.AsString()); why != "" {
					return cty.NilVal, function.NewArgErrorf(i+1, "%s", why)
				}
				hit = hit || slices.ContainsFunc(f.Paths, func(p string) bool { return doublestar.MatchUnvalidated(g.AsString(), p) })
			}
			return cty.BoolVal(hit), nil
		},
	})
}

const (
	maxGlob   = 512
	maxBraces = 8 // alternatives multiply
)

// badGlob says why a glob over repository paths cannot work; "" for a good one.
func badGlob(g string) string {
	switch {
	case g == "":
		return "an empty glob matches nothing"
	case len(g) > maxGlob, strings.Count(g, "{") > maxBraces:
		return fmt.Sprintf("a glob has at most %d bytes and %d braces", maxGlob, maxBraces)
	case clean(g) != g:
		return "a glob cannot contain control characters"
	case strings.HasPrefix(g, "/"):
		return "a glob is relative to the repository and does not begin with /"
	case strings.HasPrefix(g, "!"):
		return "a glob cannot be negated; use forbid"
	case strings.HasPrefix(g, "./"), strings.Contains(g, "//"), strings.HasSuffix(g, "/"), climbs(g):
		return "a glob names paths as git does: no ./, no .., no // and no / at the end"
	case !doublestar.ValidatePattern(g):
		return "the brackets, braces or backslashes of the glob do not match up"
	}
	return ""
}
