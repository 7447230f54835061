package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

// asking loads a workspace with gates "tests" and "cov-1", and a gate that has the condition.
func asking(text string) string {
	return inWorkspace("  gate \"tests\" {\n    validator = \"command\"\n  }\n  gate \"cov-1\" {\n    validator = \"coverage\"\n  }\n  gate \"review\" {\n    hold = \"look\"\n    when = "+text+"\n  }", "")
}

var everything = sdk.Facts{
	Diff: sdk.DiffFacts{Files: 3, Lines: 5, Insertions: 4, Deletions: 1, Binary: 1, Added: 2, Modified: 6, Deleted: 7, Modes: 8, Links: 9, Bytes: 10 << 20, Largest: 9 << 20},
	Gates: map[string]sdk.GateFact{
		"tests": {Verdict: "pass", Result: "warn", Message: "two are slow", Findings: 2, Metrics: map[string]float64{"tests": 41, "failed": 0}},
		"cov-1": {Verdict: "pass", Result: "pass", Metrics: map[string]float64{"percent": 79.9, "of-lines": 0.5, "broken": math.NaN(), "endless": math.Inf(1)}},
	},
	Executor: sdk.ExecutorFact{Name: "agent", Plugin: "codex", Simulated: true},
	Usage:    &sdk.Usage{Input: 10, CachedRead: 1, CachedWrite: 2, Output: 20, Reasoning: 3, Calls: 4, Cost: 0.3, Currency: "USD", Model: "some-model"},
	Claims:   &sdk.Claims{StopReason: "end_turn", Failed: true, Denied: true, Summary: "all good", Files: []string{"a.go"}},
}

func TestAConditionSeesEveryFact(t *testing.T) {
	w := newWorld(t)
	paths := []string{"a.go", "docs/b.md"}
	for _, text := range []string{
		"diff.files == 3 && diff.lines == 5 && diff.insertions == 4 && diff.deletions == 1 && diff.binary == 1",
		"diff.added == 2 && diff.modified == 6 && diff.deleted == 7 && diff.modes == 8 && diff.links == 9",
		"diff.bytes == 10485760 && diff.largest > 9000000",
		`contains(diff.paths, "docs/b.md") && length(diff.paths) == 2 && touches(diff, "*.go")`,
		`gates.tests.verdict == "pass" && gates.tests.result == "warn" && gates.tests.findings > 1`,
		`gates.tests.message == "two are slow" && gates["tests"].metrics["tests"] == 41 && gates.tests.metrics.failed < 1`,
		`gates.cov-1.metrics.percent == 79.9 && gates["cov-1"].metrics.of-lines <= 0.5`,
		`executor.name == "agent" && executor.plugin == "codex" && executor.simulated`,
		"usage.input + usage.output + usage.calls + usage.cached_read + usage.cached_write + usage.reasoning == 40",
		`usage.cost == 0.3 && usage.currency == "USD" && usage.model == "some-model"`,
		`claims.stop_reason == "end_turn" && claims.failed && claims.denied && claims.summary == "all good" && contains(claims.files, "a.go")`,
		"usage != null && usage.output > 5 || claims != null && claims.failed",
	} {
		c := w.good(asking(text)).Workspaces[0].Gates[2].When
		if got, err := c.Eval(everything, paths); !got || err != nil {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

func TestAConditionSaysWhichGatesItAsksAbout(t *testing.T) {
	w := newWorld(t)
	cfg := w.good(asking(`gates.tests.verdict == "fail" || gates["cov-1"].metrics.percent < 80 || gates.tests.findings > 0`))
	if after := cfg.Workspaces[0].Gates[2].After(); !slices.Equal(after, []string{"cov-1", "tests"}) {
		t.Errorf("after %q", after)
	}
	if after := cfg.Workspaces[0].Gates[0].After(); after != nil {
		t.Errorf("a gate without a condition is after %q", after)
	}
}

// F10: what is not known is neither false nor zero. It is an error, which never passes a gate.
func TestF10_AFactThatIsMissingIsAnError(t *testing.T) {
	w := newWorld(t)
	none := sdk.Facts{Gates: map[string]sdk.GateFact{"tests": {Verdict: "fail", Result: "fail"}, "cov-1": everything.Gates["cov-1"]}}
	for text, want := range map[string]string{
		"gates.tests.metrics.tests < 1":               `gate "tests" reported no metric "tests"`,
		`gates.tests.metrics["a b"] < 1`:              `gate "tests" reported no metric "a b"`,
		"gates.cov-1.metrics.broken < 80":             `gate "cov-1" reported no metric "broken"`,
		"gates.cov-1.metrics.endless < 80":            `gate "cov-1" reported no metric "endless"`,
		"usage.output > 100":                          "there are no facts of usage here",
		"claims.failed":                               "there are no facts of claims here",
		"!claims.failed":                              "there are no facts of claims here",
		"usage.calls < 10 || diff.lines > 3":          "there are no facts of usage here",
		`gates.tests.metrics.x < 1 && diff.lines < 1`: `no metric "x"`,
	} {
		c := w.good(asking(text)).Workspaces[0].Gates[2].When
		if got, err := c.Eval(none, nil); got || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %s", text, got, err, want)
		}
	}
	c := w.good(asking(`gates.tests.verdict != "fail" || diff.lines >= 0`)).Workspaces[0].Gates[2].When
	if got, err := c.Eval(sdk.Facts{}, nil); got || err == nil || !strings.Contains(err.Error(), `gate "tests" was not`) {
		t.Errorf("a gate that was not evaluated: got %v, %v", got, err)
	}
	for _, text := range []string{
		`gates.tests.verdict == "pass" && gates.tests.metrics.tests < 1`, "usage != null && usage.output > 5", "claims != null && claims.failed",
	} {
		c := w.good(asking(text)).Workspaces[0].Gates[2].When
		if got, err := c.Eval(none, nil); got || err != nil {
			t.Errorf("%s, which is guarded: got %v, %v", text, got, err)
		}
	}
}

func TestConditionsThatCannotWorkAreRefused(t *testing.T) {
	w := newWorld(t)
	for text, want := range map[string]string{
		// HCL that refers to nothing.
		"true":                 "invalid_condition 22:12",
		"1 < 2":                "invalid_condition 22:12",
		"var.n > 3":            "invalid_condition 22:12",
		"local.b":              "invalid_condition 22:12",
		`contains(["a"], "a")`: "invalid_condition 22:12",
		`touches("a/b", "**")`: "invalid_condition 22:12",
		// Names that nothing declares.
		"diff.line > 3":                               "unknown_reference 22:12",
		`diff["line"] > 3`:                            "unknown_reference 22:12",
		"executor.version == \"1\"":                   "unknown_reference 22:12",
		"usage.tokens > 3":                            "unknown_reference 22:12",
		"claims.success":                              "unknown_reference 22:12",
		`executor.summary == ""`:                      "unknown_reference 22:12",
		"evidence.failed":                             "unknown_reference 22:12",
		`gates.test.verdict == "pass"`:                "unknown_reference 22:12",
		`gates.tests.verdic == "pass"`:                "unknown_reference 22:12",
		"gates.tests.metrics == null":                 "unknown_reference 22:12",
		"gates.tests == null":                         "unknown_reference 22:12",
		"gates == null":                               "unknown_reference 22:12",
		`gates[var.s].verdict == "pass"`:              "unknown_reference 22:12",
		`gates.tests.metrics[var.s] > 1`:              "unknown_reference 22:12",
		`gates.*.verdict == ["pass"]`:                 "unknown_reference 22:12",
		`gates["Tests"].verdict == "pass"`:            "unknown_reference 22:12",
		`gates.review.verdict == "pass"`:              "need_cycle 22:12",
		`diff.lines > 3 && gates.review.findings > 0`: "need_cycle 22:30",
		// Types that do not fit, in any branch.
		"diff.paths":              "invalid_condition 22:12",
		"usage":                   "invalid_condition 22:12",
		"diff.lines > \"many\"":   "invalid_condition 22:12",
		"gates.tests.verdict > 3": "invalid_condition 22:12",
		"gates.tests.verdict.x":   "invalid_condition 22:12",
		`gates.tests.verdict == "hold" && touches(diff, "[")`:             "invalid_condition 22:45",
		`diff.lines == 77 ? touches(diff, "/abs") : diff.files > 1`:       "invalid_condition 22:31",
		`gates.tests.result == "skip" && diff.lines > gates.tests.result`: "invalid_condition 22:12",
	} {
		_, diags := w.load("variable \"n\" {\n  default = 4\n}\n" + strings.Replace(asking(text), "version = 1\n\n", "version = 1\nlocals {\n b = true\n}\nvariable \"s\" {\n default = \"tests\"\n}\n", 1))
		at := strings.Replace(want, " 22:", " 30:", 1)
		if got := brief(diags); !slices.Contains(got, at) {
			t.Errorf("%s: got %q, want %s\n%s", text, got, at, rendered(diags))
		}
	}
}

func TestAConditionThatFactsCannotChangeIsWarnedAbout(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{"diff.lines > 3 || true", "diff.lines > 3 && false"} {
		if _, diags := w.load(asking(text)); len(diags) != 1 || diags[0].Severity != "warning" || diags[0].Code != codeCondition {
			t.Errorf("%s: %s", text, rendered(diags))
		}
	}
}

func TestCirclesOverNeedsAndConditionsAreRefused(t *testing.T) {
	w := newWorld(t)
	gate := func(name, needs, when string) string {
		return fmt.Sprintf("  gate %q {\n    hold = \"x\"\n    needs = [%s]\n    when = %s\n  }\n", name, needs, when)
	}
	asks := func(name string) string { return "gates." + name + `.verdict == "pass"` }
	for name, row := range map[string]struct{ text, want, circle string }{
		"two conditions":         {gate("a", "", asks("b")) + gate("b", "", asks("a")), "need_cycle 22:12", "a > b > a"},
		"a need and a condition": {gate("a", `"b"`, "diff.lines > 1") + gate("b", "", asks("a")), "need_cycle 22:12", "a > b > a"},
		"a condition and a need": {gate("a", "", asks("b")) + gate("b", `"a"`, "diff.lines > 1"), "need_cycle 21:14", "a > b > a"},
		"three":                  {gate("a", "", asks("b")) + gate("b", `"c"`, "diff.lines > 1") + gate("c", "", asks("a")), "need_cycle 27:12", "a > b > c > a"},
	} {
		_, diags := w.load(inWorkspace(row.text, ""))
		if got := brief(diags); !slices.Equal(got, []string{row.want}) || !strings.Contains(diags[0].Summary, row.circle) {
			t.Errorf("%s: got %q\n%s", name, got, rendered(diags))
		}
	}
	optional := strings.Replace(gate("a", "", "diff.lines > 1"), "hold", "optional = true\n    hold", 1)
	_, diags := w.load(inWorkspace(optional+gate("b", "", asks("a")), ""))
	if got := brief(diags); !slices.Equal(got, []string{"needs_optional 23:12"}) {
		t.Errorf("a condition over a gate that may not be evaluated: got %q\n%s", got, rendered(diags))
	}
}
