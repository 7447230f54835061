package gate

import (
	"errors"
	"testing"

	"github.com/drawspan/drawspan/host/internal/work"
)

func condition(met bool, err error) *work.Condition {
	return &work.Condition{Text: "diff.lines > 400", Eval: func(work.Facts) (bool, error) { return met, err }}
}

func TestAGateWaitsForTheGatesItNeeds(t *testing.T) {
	rule := work.GateRule{Name: "tests", Validator: "command", Needs: []string{"paths"}}
	for verdict, want := range map[work.Verdict]Action{
		work.VerdictPending: Wait, work.VerdictHold: Wait, work.VerdictPass: Validate, work.VerdictFail: Settle,
	} {
		action, d := Next(rule, work.Facts{}, map[string]work.Verdict{"paths": verdict})
		if action != want {
			t.Errorf("needs %s: got action %v, want %v", verdict, action, want)
		}
		if verdict == work.VerdictFail && d.Verdict != work.VerdictFail {
			t.Errorf("needs fail: got %v, want fail", d)
		}
	}
}

func TestAConditionDecidesWhetherTheGateApplies(t *testing.T) {
	rule := work.GateRule{Name: "review", Hold: "look at it", When: condition(true, nil)}
	if a, d := Next(rule, work.Facts{}, nil); a != Settle || d.Verdict != work.VerdictHold || d.Reason != "look at it" {
		t.Errorf("true: got %v %v", a, d)
	}
	rule.When = condition(false, nil)
	if a, d := Next(rule, work.Facts{}, nil); a != Settle || d.Verdict != work.VerdictPass {
		t.Errorf("false: got %v %v", a, d)
	}
	rule.When = condition(true, errors.New("division by zero"))
	if a, d := Next(rule, work.Facts{}, nil); a != Settle || d.Verdict != work.VerdictFail {
		t.Errorf("a condition that cannot be evaluated is never a pass: got %v %v", a, d)
	}
}

func TestAFailIsWhatOnFailSays(t *testing.T) {
	for onFail, want := range map[string]work.Verdict{"": work.VerdictFail, "fail": work.VerdictFail, "hold": work.VerdictHold, "warn": work.VerdictFail} {
		d := Judge(work.GateRule{Name: "g", OnFail: onFail}, work.Validation{Result: work.ResultFail, Message: "m"})
		if d.Verdict != want || d.Require || d.Reason != "fail: m" {
			t.Errorf("on_fail %q: got %+v", onFail, d)
		}
	}
}

func TestAnEvaluationThatCouldNotBeDoneIsWhatOnErrorSays(t *testing.T) {
	for _, onFail := range []string{"", "fail", "hold", "warn"} {
		for _, onError := range []string{"", "closed", "hold", "warn", "nonsense"} {
			for _, result := range []work.Result{work.ResultError, "nonsense", ""} {
				d := Judge(work.GateRule{Name: "g", OnFail: onFail, OnError: onError}, work.Validation{Result: result, Message: "m"})
				want := Decision{Verdict: work.VerdictFail, Reason: "not evaluated: m", Require: onError != "warn" || onFail != "warn"}
				if onError == "hold" {
					want.Verdict = work.VerdictHold
				}
				if d != want {
					t.Errorf("on_fail %q, on_error %q, result %q: got %+v", onFail, onError, result, d)
				}
			}
		}
	}
}

func TestAGateAppliesToItsPathsOnly(t *testing.T) {
	diff := work.DiffFacts{Files: []work.Change{
		{Path: "src/a.go", Added: 3, Deleted: 1}, {Path: "docs/a.md", Added: 7}, {Path: "src/deep/b.png", Binary: true}, {Path: "lib/c.go", OldPath: "src/c.go"},
	}, Insertions: 10, Deletions: 1, Binary: 1}
	rule := work.GateRule{Name: "g", Validator: "v", Paths: []string{"src/**"}}
	shown, err := Shown(rule, diff)
	if err != nil || len(shown.Files) != 3 || shown.Lines() != 4 || shown.Binary != 1 {
		t.Errorf("%+v, %v", shown, err)
	}
	if action, _ := Next(rule, work.Facts{Diff: diff}, nil); action != Validate {
		t.Errorf("it is not evaluated: %v", action)
	}
	rule.Paths = []string{"web/**", "*.rs"}
	if action, d := Next(rule, work.Facts{Diff: diff}, nil); action != Settle || d.Verdict != work.VerdictPass || d.Reason != "does not apply: no changed path matches web/**, *.rs" {
		t.Errorf("%v %+v", action, d)
	}
	rule.Paths = []string{"src/[a"}
	if action, d := Next(rule, work.Facts{Diff: diff}, nil); action != Settle || d.Verdict != work.VerdictFail || !d.Require {
		t.Errorf("a broken pattern: %v %+v", action, d)
	}
}

func TestAConditionOverAGateWaitsForItsVerdictWhateverThatIs(t *testing.T) {
	rule := work.GateRule{Name: "g", Validator: "v", After: []string{"tests"}, When: condition(true, nil)}
	for verdict, want := range map[work.Verdict]Action{
		work.VerdictPending: Wait, work.VerdictHold: Wait, work.VerdictPass: Validate, work.VerdictFail: Validate,
	} {
		if got, _ := Next(rule, work.Facts{}, map[string]work.Verdict{"tests": verdict}); got != want {
			t.Errorf("after %s: %v, want %v", verdict, got, want)
		}
	}
	for _, rule := range []work.GateRule{rule, {Name: "g", Validator: "v", Needs: []string{"tests"}}} {
		if got, d := Next(rule, work.Facts{}, map[string]work.Verdict{}); got != Settle || d.Verdict != work.VerdictFail {
			t.Errorf("a gate that is not there: %v %+v", got, d)
		}
	}
}

func TestS39_EveryVerdictCarriesItsReason(t *testing.T) {
	for _, r := range []work.Result{work.ResultPass, work.ResultWarn, work.ResultSkip, work.ResultFail, work.ResultError} {
		if d := Judge(work.GateRule{}, work.Validation{Result: r}); d.Reason == "" {
			t.Errorf("%s: no reason", r)
		}
	}
}

func TestF15_NoValidatorPassesOverThePersonThatTheRuleAsks(t *testing.T) {
	for result, want := range map[work.Result]work.Verdict{
		work.ResultPass: work.VerdictHold, work.ResultWarn: work.VerdictHold, work.ResultSkip: work.VerdictHold,
		work.ResultFail: work.VerdictFail, work.ResultError: work.VerdictFail, "passed": work.VerdictFail,
	} {
		d := Judge(work.GateRule{Validator: "exec", Hold: "a person looks"}, work.Validation{Result: result})
		if d.Verdict != want {
			t.Errorf("%s: got %v, want %s", result, d, want)
		}
	}
}

func TestStanding(t *testing.T) {
	required := func(v work.Verdict) work.GateRecord { return work.GateRecord{Name: "g", Required: true, Verdict: v} }
	optional := func(v work.Verdict) work.GateRecord { return work.GateRecord{Name: "w", Verdict: v} }
	cases := []struct {
		name    string
		outcome work.Outcome
		expect  string
		gates   []work.GateRecord
		want    Standing
	}{
		{"no gates", work.Succeeded, "", nil, Passed},
		{"all pass", work.Succeeded, "", []work.GateRecord{required(work.VerdictPass)}, Passed},
		{"a required gate fails", work.Succeeded, "", []work.GateRecord{required(work.VerdictPass), required(work.VerdictFail)}, Rejected},
		{"a failure outranks a hold", work.Succeeded, "", []work.GateRecord{required(work.VerdictHold), required(work.VerdictFail)}, Rejected},
		{"a warning gate fails", work.Succeeded, "", []work.GateRecord{optional(work.VerdictFail)}, Passed},
		{"held", work.Succeeded, "", []work.GateRecord{required(work.VerdictHold), required(work.VerdictPending)}, Held},
		{"pending", work.Succeeded, "", []work.GateRecord{required(work.VerdictPending)}, Unfinished},
		{"no verdict", work.Succeeded, "", []work.GateRecord{required("")}, Unfinished},
		{"a verdict that nobody knows", work.Succeeded, "", []work.GateRecord{required("passed"), required(work.VerdictPass)}, Unfinished},
		{"no change is no success", work.NoChange, "", []work.GateRecord{required(work.VerdictPass)}, Failed},
		{"no change where none is expected", work.NoChange, "none", []work.GateRecord{required(work.VerdictPass)}, Passed},
		{"a failed executor reaches no gate", work.Failed, "", nil, Failed},
		{"cancelled", work.Cancelled, "none", nil, Failed},
		{"lost", work.Lost, "", nil, Failed},
	}
	for _, c := range cases {
		if got, _ := Stand(c.outcome, c.expect, c.gates); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWhatIsOpenWhenItsStepEndsIsAFailWithItsReason(t *testing.T) {
	for verdict, want := range map[work.Verdict]string{work.VerdictPending: "not evaluated: why", work.VerdictHold: "not decided: why", "passed": "not evaluated: why"} {
		if got, open := Left(verdict, "why"); !open || got.Verdict != work.VerdictFail || got.Reason != want {
			t.Errorf("%s: %+v, %v", verdict, got, open)
		}
	}
	for _, verdict := range []work.Verdict{work.VerdictPass, work.VerdictFail} {
		if got, open := Left(verdict, "why"); open {
			t.Errorf("%s: %+v", verdict, got)
		}
	}
}
