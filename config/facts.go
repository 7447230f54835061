package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/drawspan/drawspan/sdk"
)

// factKeys are what a condition may ask about, by the first word. Gates are asked about by name first.
var factKeys = map[string][]string{
	"diff":     {"files", "lines", "insertions", "deletions", "binary", "added", "modified", "deleted", "modes", "links", "bytes", "largest", "paths"},
	"gates":    {"verdict", "result", "message", "findings", "metrics"},
	"executor": {"name", "plugin", "simulated"},
	"usage":    {"input", "cached_read", "cached_write", "output", "reasoning", "calls", "cost", "currency", "model"},
	"claims":   {"stop_reason", "failed", "denied", "summary", "files"},
}

// factHint says where facts are found, for conditions that do not work.
const factHint = `ask about diff, gates, executor, usage or claims, such as: diff.lines > 400, or touches(diff, "go.mod")`

// asked is what a condition asks about.
type asked struct {
	roots   map[string]bool
	paths   bool                // diff.paths
	metrics map[string][]string // by the name of each gate that it asks about
	places  map[string]Range    // where it does so first
}

// asks reads what a condition asks about, and reports what nobody could answer.
func (d *decoder) asks(expr hcl.Expression) (asked, bool) {
	q := asked{roots: map[string]bool{}, metrics: map[string][]string{}, places: map[string]Range{}}
	if !d.resolves(expr, factKeys) {
		return q, false
	}
	for _, ref := range expr.Variables() {
		root := ref.RootName()
		if factKeys[root] == nil {
			continue
		}
		q.roots[root] = true
		q.paths = q.paths || root == "diff" && (len(ref) < 2 || step(ref, 1) == "paths")
		if root == "gates" {
			q.gate(ref)
		}
	}
	if len(q.roots) == 0 {
		d.rep.at(from(expr.Range()), problem{code: codeCondition, summary: "when depends on nothing: it refers to no fact of what is judged", hint: factHint})
		return q, false
	}
	return q, true
}

// gate notes the gate and the metric that a reference names. Its form is checked by then.
func (q *asked) gate(ref hcl.Traversal) {
	name := step(ref, 1)
	if _, known := q.metrics[name]; !known {
		q.metrics[name], q.places[name] = nil, from(ref.SourceRange())
	}
	if metric := step(ref, 3); metric != "" && !slices.Contains(q.metrics[name], metric) {
		q.metrics[name] = append(q.metrics[name], metric)
	}
}

// gates are the names of the gates, sorted.
func (q *asked) gates() []string { return slices.Sorted(maps.Keys(q.metrics)) }

// lookupGate checks a reference of the form gates.NAME.KEY, or gates.NAME.metrics.METRIC.
func lookupGate(ref hcl.Traversal) problem {
	name, key := step(ref, 1), step(ref, 2)
	switch {
	case name == "" || key == "":
		return problem{code: codeReference, summary: "a condition asks about one gate at a time, by name", hint: "write: gates.NAME.verdict"}
	case !slices.Contains(factKeys["gates"], key):
		return problem{code: codeReference, summary: fmt.Sprintf("gates.%s.%s is not declared", clean(name), clean(key)), hint: meant(key, factKeys["gates"], "fact")}
	case key == "metrics" && step(ref, 3) == "":
		return problem{code: codeReference, summary: "a condition asks about one metric at a time, by name", hint: fmt.Sprintf("write: gates.%s.metrics.NAME", clean(name))}
	}
	return problem{}
}

// step is the name of one step of a reference, a.b or a["b"]; "" where it has none.
func step(ref hcl.Traversal, i int) string {
	if i >= len(ref) {
		return ""
	}
	switch s := ref[i].(type) {
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString()
		}
	}
	return ""
}

// context is what a condition sees of some facts.
func (q *asked) context(outer *hcl.EvalContext, f sdk.Facts, paths []string) *hcl.EvalContext {
	inner := outer.NewChild()
	inner.Variables = map[string]cty.Value{}
	for root := range q.roots {
		inner.Variables[root] = q.object(root, f, paths)
	}
	inner.Functions = map[string]function.Function{"touches": touches(paths)}
	return inner
}

func (q *asked) object(root string, f sdk.Facts, paths []string) cty.Value {
	switch root {
	case "diff":
		if !q.paths {
			paths = nil
		}
		return diffValue(f.Diff, paths)
	case "gates":
		all := map[string]cty.Value{}
		for name, metrics := range q.metrics {
			all[name] = gateValue(f.Gates[name], metrics)
		}
		return cty.ObjectVal(all)
	case "executor":
		return cty.ObjectVal(map[string]cty.Value{
			"name": cty.StringVal(f.Executor.Name), "plugin": cty.StringVal(f.Executor.Plugin), "simulated": cty.BoolVal(f.Executor.Simulated),
		})
	case "usage":
		if f.Usage == nil {
			return cty.NullVal(usageValue(sdk.Usage{}).Type())
		}
		return usageValue(*f.Usage)
	}
	if f.Claims == nil {
		return cty.NullVal(claimsValue(sdk.Claims{}).Type())
	}
	return claimsValue(*f.Claims)
}

func diffValue(d sdk.DiffFacts, paths []string) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"files": integer(d.Files), "lines": integer(d.Lines), "insertions": integer(d.Insertions), "deletions": integer(d.Deletions),
		"binary": integer(d.Binary), "added": integer(d.Added), "modified": integer(d.Modified), "deleted": integer(d.Deleted),
		"modes": integer(d.Modes), "links": integer(d.Links), "bytes": integer(d.Bytes), "largest": integer(d.Largest), "paths": stringList(paths),
	})
}

func gateValue(g sdk.GateFact, metrics []string) cty.Value {
	values := map[string]cty.Value{}
	for _, name := range metrics {
		if v, known := g.Metrics[name]; known && finiteNumber(v) {
			values[name] = decimal(v)
		}
	}
	return cty.ObjectVal(map[string]cty.Value{
		"verdict": cty.StringVal(g.Verdict), "result": cty.StringVal(g.Result), "message": cty.StringVal(g.Message),
		"findings": integer(g.Findings), "metrics": cty.ObjectVal(values),
	})
}

func usageValue(u sdk.Usage) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"input": integer(u.Input), "cached_read": integer(u.CachedRead), "cached_write": integer(u.CachedWrite), "output": integer(u.Output),
		"reasoning": integer(u.Reasoning), "calls": integer(u.Calls), "cost": decimal(u.Cost),
		"currency": cty.StringVal(u.Currency), "model": cty.StringVal(u.Model),
	})
}

func claimsValue(c sdk.Claims) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"stop_reason": cty.StringVal(c.StopReason), "failed": cty.BoolVal(c.Failed), "denied": cty.BoolVal(c.Denied),
		"summary": cty.StringVal(c.Summary), "files": stringList(c.Files),
	})
}

func integer[T int | int64](n T) cty.Value { return cty.NumberIntVal(int64(n)) }

// decimal is the number as people write it, so that 79.9 equals 79.9.
func decimal(f float64) cty.Value {
	v, err := cty.ParseNumberVal(strconv.FormatFloat(f, 'g', -1, 64))
	if err != nil || !finiteNumber(f) {
		return cty.NullVal(cty.Number)
	}
	return v
}

func finiteNumber(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func stringList(all []string) cty.Value {
	if len(all) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	out := make([]cty.Value, 0, len(all))
	for _, s := range all {
		out = append(out, cty.StringVal(s))
	}
	return cty.ListVal(out)
}
