package gate

import (
	"reflect"
	"slices"
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

func TestFactsCountADiff(t *testing.T) {
	diff := work.DiffFacts{Insertions: 7, Deletions: 3, Binary: 1, Files: []work.Change{
		{Path: "new", Op: "add", Size: 10, NewMode: "100644"}, {Path: "link", Op: "add", Size: 4, NewMode: "120000"},
		{Path: "old", Op: "delete", Size: 900, NewMode: "000000"}, {Path: "run.sh", Op: "mode", Size: 20, NewMode: "100755"},
		{Path: "b", OldPath: "a", Op: "modify", Size: 30, NewMode: "100644"}, {Path: "t", Op: "type", Size: 5, NewMode: "120000"},
	}}
	want := sdk.DiffFacts{Files: 6, Lines: 10, Insertions: 7, Deletions: 3, Binary: 1, Added: 2, Modified: 2, Deleted: 1, Modes: 1, Links: 2, Bytes: 69, Largest: 30}
	if got := DiffFacts(diff); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := Paths(diff); !slices.Equal(got, []string{"new", "link", "old", "run.sh", "b", "a", "t"}) {
		t.Errorf("paths %q", got)
	}
}

// Every field of every fact reaches the condition: a fact that is lost on the way would read as zero.
func TestF10_NoFactIsLost(t *testing.T) {
	full := work.Facts{
		Diff:     work.DiffFacts{Insertions: 1},
		Gates:    map[string]work.GateFact{"g": {Verdict: work.VerdictPass, Result: work.ResultWarn, Message: "m", Findings: 2, Metrics: map[string]float64{"x": 1}}},
		Executor: work.ExecutorFact{Name: "e", Plugin: "p", Simulated: true},
		Usage: &work.Usage{Input: 1, CachedRead: 2, CachedWrite: 3, Output: 4, Reasoning: 5, Calls: 6, CostMicros: 300000, Currency: "USD",
			Model: "m", Scope: "session", Basis: "gateway"},
		Claims: &work.Claims{StopReason: "end", Failed: true, Denied: true, Summary: "s", Files: []string{"f"}},
	}
	got := Facts(full)
	for _, part := range []any{got.Gates["g"], got.Executor, *got.Usage, *got.Claims} {
		v := reflect.ValueOf(part)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%T.%s is lost", part, v.Type().Field(i).Name)
			}
		}
	}
	if got.Usage.Cost != 0.3 {
		t.Errorf("cost %v", got.Usage.Cost)
	}
	if none := Facts(work.Facts{}); none.Usage != nil || none.Claims != nil {
		t.Errorf("facts of nobody: %+v", none)
	}
}
