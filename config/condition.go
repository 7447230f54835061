package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/drawspan/drawspan/sdk"
)

// condition compiles the when expression of a gate. It is tried on empty, large and unknown facts, so that
// what can go wrong does so now and not at the first result. among are the gates that it may ask about; nil
// for any.
func (d *decoder) condition(g *Gate, among []string) *Condition {
	defer func(s *scope) { d.scope = s }(d.scope)
	d.scope = g.scope
	expr := g.when
	q, ok := d.asks(expr)
	if !ok || !d.asksOthers(g, &q, among) || !d.settled(expr) {
		return nil
	}
	outer := d.scope.context()
	if !d.tryUnknown(&q, expr, outer) {
		return nil
	}
	for _, t := range q.trials() {
		if _, err := q.eval(expr, outer, t, []string{"a/b.c"}); err != nil {
			d.rep.at(from(expr.Range()), problem{code: codeCondition, summary: "when " + err.Error(), hint: factHint})
			return nil
		}
	}
	return &Condition{
		Text: d.source(expr), Gates: q.gates(), bound: d.bound(expr), places: q.places,
		Eval: func(f sdk.Facts, paths []string) (bool, error) { return q.eval(expr, outer, f, paths) },
	}
}

// asksOthers reports gates that the workspace does not have, and the gate itself.
func (d *decoder) asksOthers(g *Gate, q *asked, among []string) bool {
	ok := true
	for _, name := range q.gates() {
		switch {
		case name == g.Name:
			d.rep.at(q.places[name], problem{code: codeNeedCycle, summary: fmt.Sprintf("gate %q asks about itself", name), hint: "ask about a gate that is decided before"})
			ok = false
		case among != nil && !slices.Contains(among, name):
			d.unknownName(q.places[name], "gate", name, slices.DeleteFunc(slices.Clone(among), func(n string) bool { return n == g.Name }))
			ok = false
		}
	}
	return ok
}

// eval judges some facts. What was not evaluated, reported or measured is said by name.
func (q *asked) eval(expr hcl.Expression, outer *hcl.EvalContext, f sdk.Facts, paths []string) (bool, error) {
	for name := range q.metrics {
		if _, decided := f.Gates[name]; !decided {
			return false, fmt.Errorf("cannot be evaluated: gate %q was not", name)
		}
	}
	v, diags := expr.Value(q.context(outer, f, paths))
	ok, err := verdict(v, diags)
	if err == nil {
		return ok, nil
	}
	if missing := q.missing(f); missing != "" {
		return false, errors.New("cannot be evaluated: " + missing)
	}
	return false, err
}

// missing is the fact that most likely kept a condition from being evaluated, or "".
func (q *asked) missing(f sdk.Facts) string {
	for _, name := range q.gates() {
		for _, metric := range q.metrics[name] {
			if m, reported := f.Gates[name].Metrics[metric]; !reported || !finiteNumber(m) {
				return fmt.Sprintf("gate %q reported no metric %q", name, clean(metric))
			}
		}
	}
	for _, root := range []string{"usage", "claims"} {
		if absent := map[string]bool{"usage": f.Usage == nil, "claims": f.Claims == nil}; q.roots[root] && absent[root] {
			return fmt.Sprintf("there are no facts of %s here; guard it: %s != null && ...", root, root)
		}
	}
	return ""
}

// trials are facts at their ends, large ones first.
func (q *asked) trials() []sdk.Facts {
	const n, m = 1 << 30, 1 << 40
	diff := sdk.DiffFacts{Files: n, Lines: n, Insertions: n, Deletions: n, Binary: n, Added: n, Modified: n, Deleted: n, Modes: n, Links: n, Bytes: m, Largest: m}
	usage := sdk.Usage{Input: m, CachedRead: m, CachedWrite: m, Output: m, Reasoning: m, Calls: m, Cost: n, Currency: "USD", Model: "m"}
	claims := sdk.Claims{StopReason: "end_turn", Failed: true, Denied: true, Summary: "s", Files: []string{"a/b.c"}}
	empty := sdk.Facts{Usage: &sdk.Usage{}, Claims: &sdk.Claims{}, Gates: q.gateFacts(sdk.GateFact{Verdict: "fail", Result: "error"}, 0)}
	large := sdk.Facts{Diff: diff, Executor: sdk.ExecutorFact{Name: "e", Plugin: "p", Simulated: true}, Usage: &usage, Claims: &claims}
	large.Gates = q.gateFacts(sdk.GateFact{Verdict: "pass", Result: "pass", Message: "m", Findings: n}, m)
	all := []sdk.Facts{large, empty}
	if len(q.metrics) == 0 {
		return all
	}
	for _, result := range []string{"pass", "warn", "fail", "skip", "error", ""} {
		for _, v := range []string{"pass", "fail", "hold"} {
			one := large
			one.Gates = q.gateFacts(sdk.GateFact{Verdict: v, Result: result}, 0)
			all = append(all, one)
		}
	}
	return all
}

func (q *asked) gateFacts(like sdk.GateFact, metric float64) map[string]sdk.GateFact {
	out := map[string]sdk.GateFact{}
	for name, metrics := range q.metrics {
		fact := like
		fact.Metrics = map[string]float64{}
		for _, m := range metrics {
			fact.Metrics[m] = metric
		}
		out[name] = fact
	}
	return out
}

// tryUnknown evaluates over facts of which only the types are known: every branch is looked at by itself,
// and a condition that comes out the same whatever the facts are is found.
func (d *decoder) tryUnknown(q *asked, expr hcl.Expression, outer *hcl.EvalContext) bool {
	ctx := q.context(outer, q.trials()[0], nil)
	for root, v := range ctx.Variables {
		ctx.Variables[root] = unknown(v)
	}
	for _, e := range branches(expr, nil) {
		if v, diags := e.Value(ctx); diags.HasErrors() {
			_, err := verdict(v, diags)
			d.rep.at(from(e.Range()), problem{code: codeCondition, summary: "when " + err.Error(), hint: factHint})
			return false
		}
	}
	if v, diags := expr.Value(ctx); !diags.HasErrors() && v.IsKnown() && v.Type() == cty.Bool && !v.IsNull() {
		v, _ = v.Unmark()
		d.rep.warn(from(expr.Range()), problem{code: codeCondition, summary: fmt.Sprintf("when is always %v, whatever is judged", v.True()), hint: "take it out, or let it depend on a fact"})
	}
	return true
}

// branches are the parts of a condition that "and", "or", "not" and "?" join. They skip errors of what
// they do not need to look at.
func branches(expr hcl.Expression, out []hcl.Expression) []hcl.Expression {
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return branches(e.Expression, out)
	case *hclsyntax.UnaryOpExpr:
		if e.Op == hclsyntax.OpLogicalNot {
			return branches(e.Val, out)
		}
	case *hclsyntax.BinaryOpExpr:
		if e.Op == hclsyntax.OpLogicalAnd || e.Op == hclsyntax.OpLogicalOr {
			return branches(e.RHS, branches(e.LHS, out))
		}
	case *hclsyntax.ConditionalExpr:
		return branches(e.FalseResult, branches(e.TrueResult, branches(e.Condition, out)))
	}
	return append(out, expr)
}

// unknown is a value of the same shape of which nothing is known but the types of its leaves.
func unknown(v cty.Value) cty.Value {
	if !v.Type().IsObjectType() {
		return cty.UnknownVal(v.Type()).RefineNotNull()
	}
	out := map[string]cty.Value{}
	for name, e := range v.AsValueMap() {
		out[name] = unknown(e)
	}
	return cty.ObjectVal(out)
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

var errNotDiff = errors.New("the first argument must be diff")

// touches is true where a changed path matches one of the globs. Globs are checked before facts are known.
func touches(paths []string) function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "diff", Type: cty.DynamicPseudoType, AllowUnknown: true}},
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
				hit = hit || slices.ContainsFunc(paths, func(p string) bool { return doublestar.MatchUnvalidated(g.AsString(), p) })
			}
			if !args[0].IsWhollyKnown() {
				return cty.UnknownVal(cty.Bool), nil
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
