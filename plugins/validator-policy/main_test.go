package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/wire"
)

// sample is a check in which everything is known.
func sample() sdk.Check {
	return sdk.Check{
		Changes: []sdk.Change{
			{Path: "src/a.go", Op: "modify", OldMode: "100644", NewMode: "100644", Size: 900, Added: 10, Deleted: 2},
			{Path: "img/logo.png", Op: "add", OldMode: "000000", NewMode: "100644", Size: 5000, Binary: true},
			{Path: "run", Op: "mode", OldMode: "100644", NewMode: "100755"},
		},
		Facts: &sdk.Facts{
			Diff: sdk.DiffFacts{Files: 3, Lines: 12, Insertions: 10, Deletions: 2, Binary: 1, Added: 1, Modified: 1, Modes: 1, Bytes: 5900, Largest: 5000},
			Gates: map[string]sdk.GateFact{
				"tests": {Verdict: "pass", Result: "pass", Findings: 0, Metrics: map[string]float64{"tests": 42, "coverage": 81.5}},
				"lint":  {Verdict: "fail", Result: "fail", Message: "1 problem", Findings: 1},
			},
			Executor: sdk.ExecutorFact{Name: "claude", Plugin: "claude"},
			Usage:    &sdk.Usage{Input: 1000, Output: 500, Calls: 3, Cost: 0.25, Currency: "USD", Basis: "gateway"},
			Claims:   &sdk.Claims{StopReason: "end_turn", Summary: "All is well.", Files: []string{"src/a.go"}},
		},
	}
}

func config(t testing.TB, rules ...string) string {
	t.Helper()
	all := map[string]string{}
	for i, r := range rules {
		all[fmt.Sprintf("r%d", i)] = r
	}
	text, err := json.Marshal(map[string]any{"rules": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func judged(t testing.TB, config string, c sdk.Check) sdk.Verdict {
	t.Helper()
	return sdktest.Judge(t, manifest, &policy{}, config, c)
}

func TestContract(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return &policy{} }, Want: sdk.Fail, Facts: sample().Facts, Changes: sample().Changes,
		Config: json.RawMessage(`{"rules":{"small":"diff.lines < 10","known":"gates.tests.metrics.tests > 1"}}`),
		Others: []json.RawMessage{[]byte(`{"rules":{"small":"diff.lines > 10"}}`), []byte(`{"rules":{"small":"diff.lines +"}}`)},
	})
}

func TestContractWhereNothingIsKnown(t *testing.T) {
	sdktest.RunValidator(t, sdktest.ValidatorSuite{
		Manifest: manifest, New: func() any { return &policy{} }, Want: sdk.Error,
		Config: json.RawMessage(`{"rules":{"small":"diff.lines < 10"}}`), Changes: []sdk.Change{{Path: "\xff\n", Op: "add"}},
	})
}

func TestARuleMustBeTrue(t *testing.T) {
	for text, want := range map[string]sdk.Outcome{
		`diff.lines < 20`:                                                         sdk.Pass,
		`diff.lines < 12`:                                                         sdk.Fail,
		`diff.files == size(diff.changes)`:                                        sdk.Pass,
		`diff.largest <= diff.bytes`:                                              sdk.Pass,
		`diff.paths.exists(p, p == "run")`:                                        sdk.Pass,
		`diff.changes.all(c, c.op != "add" || c.size < 6000)`:                     sdk.Pass,
		`!diff.changes.exists(c, c.binary && !c.path.glob("img/**"))`:             sdk.Pass,
		`!diff.changes.exists(c, c.binary && !c.path.glob("assets/**"))`:          sdk.Fail,
		`diff.changes.all(c, c.new_mode != "100755")`:                             sdk.Fail,
		`diff.changes.filter(c, c.path.matches("^src/")).map(c, c.added) == [10]`: sdk.Pass,
		`gates.tests.verdict == "pass" && gates["lint"].findings == 1`:            sdk.Pass,
		`gates.tests.metrics.coverage >= 80`:                                      sdk.Pass,
		`gates.tests.metrics["coverage"] > 81.5`:                                  sdk.Fail,
		`gates.all(name, gates[name].verdict == "pass")`:                          sdk.Fail,
		`!has(gates.deploy) || gates.deploy.verdict == "pass"`:                    sdk.Pass,
		`gates.?tests.?metrics[?"no"].orValue(0.0) == 0.0`:                        sdk.Pass,
		`!executor.simulated && executor.name in ["claude", "codex"]`:             sdk.Pass,
		`usage == null || usage.output < 1000 && usage.cost < 1`:                  sdk.Pass,
		`usage.calls > 3`: sdk.Fail,
		`claims.stop_reason == "end_turn" && !claims.failed`:                              sdk.Pass,
		`sets.contains(diff.paths, claims.files)`:                                         sdk.Pass,
		`math.greatest(diff.insertions, diff.deletions) == 10 && "A".lowerAscii() == "a"`: sdk.Pass,
		`true || diff.lines == 0`:                                                         sdk.Pass,
		`diff.lines > 0 ? executor.plugin == "claude" : gates.tests.result == "no such"`:  sdk.Pass,
		`gates.map(name, name) == ["lint", "tests"]`:                                      sdk.Pass,
	} {
		for range 5 { // maps have no order of their own
			if v := judged(t, config(t, text), sample()); v.Outcome != want {
				t.Errorf("%s: %s, want %s (%s)", text, v.Outcome, want, v.Message)
				break
			}
		}
	}
}

// F10: what could not be evaluated is no pass, however the rule was meant.
func TestF10_WhatCannotBeEvaluatedIsNoPass(t *testing.T) {
	for text, word := range map[string]string{
		`gates.deploy.verdict == "pass"`:                              "no such key",
		`gates.tests.metrics.missing > 1`:                             "no such key",
		`1 / diff.modes > 0 && 1 / diff.links > 0`:                    "division by zero",
		`diff.changes[7].path == ""`:                                  "index out of bounds",
		`diff.paths.exists(p, gates[p].verdict == "fail")`:            "no such key",
		`diff.lines + 9223372036854775807 > 0`:                        "overflow",
		`gates.lint.metrics.coverage < 0 || gates.tests.findings < 0`: "no such key",
		`int(claims.summary) > 0`:                                     "",
	} {
		v := judged(t, config(t, text), sample())
		if v.Outcome != sdk.Error || !strings.Contains(v.Message, word) || !strings.Contains(v.Message, `"r0"`) {
			t.Errorf("%s: %s, %q", text, v.Outcome, v.Message)
		}
	}
	in := sample()
	in.Facts.Usage, in.Facts.Claims = nil, nil
	for _, text := range []string{`usage.output < 1000`, `!claims.failed`, `usage.output >= 0 || claims.failed`} {
		if v := judged(t, config(t, text), in); v.Outcome != sdk.Error {
			t.Errorf("%s where it is not known: %s, %q", text, v.Outcome, v.Message)
		}
	}
	if v := judged(t, config(t, `usage == null && claims == null`), in); v.Outcome != sdk.Pass {
		t.Errorf("null: %s, %q", v.Outcome, v.Message)
	}
	in.Facts = nil
	if v := judged(t, config(t, `diff.lines < 1000`), in); v.Outcome != sdk.Error {
		t.Errorf("without facts: %+v", v)
	}
	// A rule that is false beside it is told, and weakens nothing.
	v := judged(t, config(t, `diff.lines < 1`, `gates.deploy.verdict == "pass"`, `diff.lines > 1`), sample())
	if v.Outcome != sdk.Error || len(v.Findings) != 1 || v.Metrics["false"] != 1 || v.Metrics["broken"] != 1 || v.Metrics["rules"] != 3 {
		t.Errorf("verdict = %+v", v)
	}
}

func TestARuleThatIsFalseIsAFindingWithItsName(t *testing.T) {
	c := `{"rules":{"small":"diff.lines < 5","named-well":"diff.paths.all(p, p.size() < 5)","true-one":"diff.files > 0"},"messages":{"small":"Keep it small."}}`
	v := judged(t, c, sample())
	if v.Outcome != sdk.Fail || len(v.Findings) != 2 || !strings.Contains(v.Message, "and 1 more") {
		t.Fatalf("verdict = %+v", v)
	}
	if f := v.Findings[0]; f.Rule != "policy/named-well" || !strings.Contains(f.Message, "p.size() < 5") || f.Severity != "error" {
		t.Errorf("finding = %+v", f)
	}
	if f := v.Findings[1]; f.Rule != "policy/small" || f.Message != "Keep it small." || !strings.Contains(f.Help, "diff.lines < 5") || f.Fingerprint == v.Findings[0].Fingerprint {
		t.Errorf("finding = %+v", f)
	}
}

func TestNonsenseIsRefusedBeforeAnythingIsJudged(t *testing.T) {
	for text, word := range map[string]string{
		``:                                  "",
		`diff.lines <`:                      "Syntax error",
		`diff.lins < 5`:                     "undefined field 'lins'",
		`lines < 5`:                         "undeclared reference to 'lines'",
		`stop_reason == "end_turn"`:         "undeclared reference",
		`executor.claims`:                   "undefined field",
		`executor.summary == ""`:            "undefined field",
		`gates.tests.stop_reason == ""`:     "undefined field",
		`diff.lines`:                        "must be true or false, and is of the type int",
		`claims.summary`:                    "of the type string",
		`diff.lines == "5"`:                 "no matching overload",
		`diff == null ? 1 : 2`:              "of the type int",
		`1 < 2`:                             "depends on nothing",
		`true`:                              "depends on nothing",
		`diff.paths.exists(p, p.glob("["))`: `"[" is not a glob`,
		`diff.paths.exists(p, p.glob(""))`:  "is not a glob",
		`diff.paths.exists(p, p.glob(claims.summary))`:                                       "takes a literal",
		`claims.summary.matches("[")`:                                                        "invalid matches argument",
		`claims.summary.matches("(a{1000}){1000}")`:                                          "",
		`gates.tests.metrics.all(name, name != "")`:                                          "has no order",
		`gates.exists(n, gates[n].metrics.exists(m, m == "x"))`:                              "has no order",
		`dyn(diff).lines`:                                                                    "of the type dyn",
		strings.Repeat("!(", 2*maxDepth) + "claims.failed" + strings.Repeat(")", 2*maxDepth): "",
		`diff.lines > 0` + strings.Repeat(` && diff.lines > 0`, maxText/18):                  "bytes",
		strings.Repeat("[", maxDepth+10) + strings.Repeat("]", maxDepth+10) + " == [claims]": "",
	} {
		h := sdktest.Serve(t, manifest, &policy{})
		refusal := sdktest.Refused(t, h.Client.Configure(t.Context(), json.RawMessage(config(t, text))), wire.CodeConfig)
		d := refusal.Config[0]
		if d.Attribute != "rules" || !strings.Contains(d.Message, "r0: ") || !strings.Contains(d.Message, word) {
			t.Errorf("%.60s: %s: %s", text, d.Attribute, d.Message)
		}
	}
	many := map[string]string{}
	for i := range maxRules + 1 {
		many[fmt.Sprintf("r%d", i)] = "claims.failed"
	}
	text, err := json.Marshal(map[string]any{"rules": many})
	if err != nil {
		t.Fatal(err)
	}
	for config, attribute := range map[string]string{
		`{"rules":{}}`:                                         "rules",
		`{"rules":{"A b":"claims.failed"}}`:                    "rules",
		`{"rules":{"":"claims.failed"}}`:                       "rules",
		`{"rules":{"a":1}}`:                                    "rules",
		`{"rules":["claims.failed"]}`:                          "rules",
		`{"rules":{"a":"claims.failed"},"messages":{"b":"x"}}`: "messages",
		string(text):                                           "rules",
	} {
		sdktest.RefusedFor(t, manifest, &policy{}, config, attribute)
	}
}

// What the executor can put into names and claims costs no more than the limit.
func TestARuleCannotTakeLongerThanItsLimit(t *testing.T) {
	c := sample()
	for i := range 5000 {
		c.Changes = append(c.Changes, sdk.Change{Path: fmt.Sprintf("%s/%d", strings.Repeat("a", 200), i), Op: "add"})
	}
	c.Facts.Claims.Summary = strings.Repeat("a", sdk.MaxSummary)
	for _, text := range []string{
		`diff.paths.all(p, diff.paths.all(q, p == q || p != q))`,
		`diff.paths.all(p, claims.summary.matches("(a|aa)+$"))`,
		`diff.paths.map(p, diff.paths.map(q, p + q)).size() > 0`,
		`diff.paths.all(p, claims.summary.split("").size() > 0)`,
		`diff.paths.all(p, (claims.summary + claims.summary + claims.summary + claims.summary).size() > 0)`,
		`diff.paths.all(p, diff.paths.all(q, p.glob("{a,aa,aaa}*/**/*{1,2}*") || p != ""))`,
	} {
		begin := time.Now()
		v := judged(t, config(t, text), c)
		if took := time.Since(begin); v.Outcome != sdk.Error || !strings.Contains(v.Message, "limit exceeded") || took > 20*time.Second {
			t.Errorf("%s: %s after %s, %q", text, v.Outcome, took, v.Message)
		} else {
			t.Logf("%s: %s, %s", text, took, v.Message)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("time is up"))
	c.Config = json.RawMessage(config(t, `diff.paths.all(p, diff.paths.all(q, p == q || p != q))`))
	if v, err := (&policy{}).Check(ctx, &c); err == nil {
		t.Errorf("stopped: %+v", v)
	}
}

// A fact that the SDK knows and no rule could use would be a gap that nobody sees.
func TestEveryFactHasAName(t *testing.T) {
	fields := func(typ reflect.Type) []string {
		var all []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			all = append(all, name)
		}
		return all
	}
	diff := fields(reflect.TypeFor[Diff]())
	for _, name := range fields(reflect.TypeFor[sdk.DiffFacts]()) {
		if !slices.Contains(diff, name) {
			t.Errorf("diff.%s is missing", name)
		}
	}
	if got := fields(reflect.TypeFor[sdk.Facts]()); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(names()))) {
		t.Errorf("facts are %q, names %q", got, names())
	}
	env, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	seen := activation(&sdk.Check{Changes: sample().Changes, Facts: sample().Facts}, env.CELTypeAdapter())
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, slices.Sorted(slices.Values(names()))) {
		t.Errorf("a check has %q", got)
	}
	if d := seen[nameDiff].(*Diff); d.Insertions != 10 || d.Modes != 1 || d.Changes[1].Size != 5000 || d.Changes[0].Deleted != 2 {
		t.Errorf("diff = %+v", d)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Diff](), reflect.TypeFor[Change](), reflect.TypeFor[sdk.GateFact](), reflect.TypeFor[sdk.ExecutorFact](), reflect.TypeFor[sdk.Usage](), reflect.TypeFor[sdk.Claims]()} {
		for _, f := range fields(typ) {
			if f == "" || strings.ToLower(f) != f {
				t.Errorf("%s has a field named %q", typ, f)
			}
		}
	}
}

// A resident process is asked again and again, and by configurations of several gates.
func TestOneProcessAnswersForSeveralConfigurations(t *testing.T) {
	p := &policy{}
	for range 3 {
		for text, want := range map[string]sdk.Outcome{`diff.lines < 20`: sdk.Pass, `diff.lines > 20`: sdk.Fail} {
			c := sample()
			c.Config = json.RawMessage(config(t, text))
			if v, err := p.Check(t.Context(), &c); err != nil || v.Outcome != want {
				t.Errorf("%s: %+v, %v", text, v, err)
			}
		}
	}
}

func FuzzRule(f *testing.F) {
	for _, seed := range []string{`diff.lines < 5`, `gates.tests.metrics.x > 1 && has(gates.a)`, `diff.paths.exists(p, p.glob("a/**"))`, `usage == null`, `diff.changes.map(c, c.path.split("/")).size() > 0`, `claims.summary.matches("a+")`, "\xff", `gates.?a.orValue(null) == null`} {
		f.Add(seed)
	}
	env, err := environment()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		program, why := one(env, text)
		if why != "" {
			return
		}
		r := rule{name: "r", text: text, program: program}
		for _, c := range []sdk.Check{sample(), {Facts: &sdk.Facts{}}} {
			facts := activation(&c, env.CELTypeAdapter())
			first, errFirst := r.eval(t.Context(), facts)
			again, errAgain := r.eval(t.Context(), facts)
			if first != again || (errFirst == nil) != (errAgain == nil) {
				t.Errorf("%q is %t (%v), then %t (%v)", text, first, errFirst, again, errAgain)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	p, c := &policy{}, sample()
	c.Config = json.RawMessage(config(b, `diff.changes.all(c, c.path.glob("**") && c.size < 1000000)`, `usage == null || usage.output < 1000`))
	for b.Loop() {
		if _, err := p.Check(b.Context(), &c); err != nil {
			b.Fatal(err)
		}
	}
}
