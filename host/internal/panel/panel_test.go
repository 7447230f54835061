package panel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

func TestIndependentGatesAreEvaluatedAtTheSameTime(t *testing.T) {
	b := newBench(t)
	var both sync.WaitGroup
	both.Add(2)
	meets := func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
		both.Done()
		both.Wait()
		return sdk.Verdict{Outcome: sdk.Pass}, nil
	}
	b.plugins.plays["a"], b.plugins.plays["b"] = []play{meets}, []play{meets}
	if _, stands := b.judge(b.subject(rule("a"), rule("b"))); stands != gate.Passed {
		t.Errorf("stands %v", stands)
	}
}

func TestNoMoreValidatorsAreAskedAtATimeThanAreAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var rules []work.GateRule
		for i := range 20 {
			name := fmt.Sprintf("g%02d", i)
			rules = append(rules, rule(name))
			b.plugins.plays[name] = []play{hangs}
		}
		s, done := b.subject(rules...), make(chan struct{})
		go func() { b.judge(s); close(done) }()
		synctest.Wait()
		if live, _ := b.plugins.count(); live != 4 {
			t.Errorf("%d are live", live)
		}
		<-done
		if live, stops := b.plugins.count(); live != 0 || stops != 20 {
			t.Errorf("%d live, %d stopped", live, stops)
		}
	})
}

func TestAGateIsEvaluatedAfterThoseItNeedsAndAsksAbout(t *testing.T) {
	b := newBench(t)
	last := rule("a", "b")
	last.After = []string{"c"}
	last.When = &work.Condition{Text: "gates.c.verdict == \"fail\"", Eval: func(f work.Facts) (bool, error) {
		c, ok := f.Gates["c"]
		return ok && c.Verdict == work.VerdictFail && c.Result == work.ResultFail && c.Message == "because", nil
	}}
	warned := rule("c", "d")
	warned.OnFail = "warn"
	b.plugins.plays["c"] = []play{says(sdk.Fail)}
	gates, stands := b.judge(b.subject(last, rule("b", "c2"), warned, rule("c2", "d"), rule("d")))
	if stands != gate.Passed || gates["a"].Validation == "" {
		t.Errorf("stands %v, a: %s", stands, gates["a"].Reason)
	}
	var order []string
	for _, c := range b.plugins.checks {
		order = append(order, c.Gate)
	}
	at := func(name string) int { return slices.Index(order, name) }
	if at("d") != 0 || at("a") != 4 || at("b") < at("c2") {
		t.Errorf("order %v", order)
	}
}

func TestEveryTryIsOnRecordAndTheLastOneCounts(t *testing.T) {
	b := newBench(t)
	r := rule("g")
	r.Retries = 3
	b.plugins.plays["g"] = []play{crashes, says(sdk.Error), says(sdk.Warn)}
	s := b.subject(r)
	gates, _ := b.judge(s)
	tried := b.tried(s, "g")
	if len(tried) != 3 || tried[0].Result != work.ResultError || tried[1].Result != work.ResultError || tried[2].Result != work.ResultWarn || tried[2].N != 3 {
		t.Errorf("tried %+v", tried)
	}
	if gates["g"].Verdict != work.VerdictPass || gates["g"].Validation != tried[2].ID || b.plugins.stops != 3 {
		t.Errorf("%+v, %d stopped", gates["g"], b.plugins.stops)
	}
	b.plugins.plays["g"] = []play{says(sdk.Fail), says(sdk.Pass)}
	s = b.subject(r)
	if gates, _ := b.judge(s); gates["g"].Verdict != work.VerdictFail || len(b.tried(s, "g")) != 1 {
		t.Errorf("a fail was tried again: %+v", gates["g"])
	}
	b.plugins.plays["g"] = []play{crashes}
	s = b.subject(r)
	if gates, _ := b.judge(s); gates["g"].Verdict != work.VerdictFail || len(b.tried(s, "g")) != 4 {
		t.Errorf("%d tries: %+v", len(b.tried(s, "g")), gates["g"])
	}
}

func TestF10_AValidatorThatHangsIsStoppedAndNeverPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.plugins.plays["g"] = []play{hangs}
		s := b.subject(rule("g"))
		gates, stands := b.judge(s)
		if stands != gate.Rejected || !strings.Contains(gates["g"].Reason, "stopped after 1m0s") || b.plugins.live != 0 {
			t.Errorf("%v: %s", stands, gates["g"].Reason)
		}
	})
}

func TestAnErrorRejectsEvenWhereAFailOnlyWarns(t *testing.T) {
	for onError, want := range map[string]gate.Standing{"": gate.Rejected, "closed": gate.Rejected, "hold": gate.Held, "warn": gate.Passed} {
		b := newBench(t)
		r := rule("g")
		r.OnFail, r.OnError = "warn", onError
		b.plugins.plays["g"] = []play{crashes}
		if _, stands := b.judge(b.subject(r)); stands != want {
			t.Errorf("on_error %q: %v, want %v", onError, stands, want)
		}
	}
}

func TestAValidatorIsShownTheChangesOfItsPathsAlone(t *testing.T) {
	b := newBench(t)
	r, none := rule("src"), rule("web")
	r.Paths, r.Feeds, none.Paths = []string{"src/**"}, sdk.Feeds(), []string{"web/**"}
	gates, stands := b.judge(b.subject(r, none))
	if stands != gate.Passed || !strings.HasPrefix(gates["web"].Reason, "does not apply: ") || gates["web"].Validation != "" {
		t.Errorf("%v, web: %+v", stands, gates["web"])
	}
	c := b.plugins.checks[0]
	if len(b.plugins.checks) != 1 || len(c.Changes) != 1 || c.Changes[0].Path != "src/a.go" || c.Facts.Diff.Lines != 4 || c.Facts.Diff.Deleted != 0 ||
		!strings.HasPrefix(string(c.Patch), "patch of [src/a.go]") {
		t.Errorf("checked %+v", c)
	}
}

func TestAValidatorIsFedWhatItAsksForAndNoMore(t *testing.T) {
	b := newBench(t)
	plain, all, again := rule("plain"), rule("all", "plain"), rule("again", "plain")
	all.Feeds, again.Feeds = sdk.Feeds(), sdk.Feeds()
	b.plugins.plays["plain"] = []play{func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
		return sdk.Verdict{Outcome: sdk.Pass, Metrics: map[string]float64{"coverage": 81.25}}, nil
	}}
	s := b.subject(plain, all, again)
	s.Facts.Claims, s.Facts.Usage = &work.Claims{Summary: "done"}, &work.Usage{Input: 5}
	s.Facts.Executor = work.ExecutorFact{Name: "coder", Plugin: "command", Simulated: true}
	if _, stands := b.judge(s); stands != gate.Passed {
		t.Errorf("stands %v", stands)
	}
	if c := b.plugins.checks[0]; c.Patch != nil || c.BaseTree != "" || c.Facts != nil || c.Head != "head" || c.Tree != "/head" || b.plugins.launches[0].BaseTree != "" {
		t.Errorf("plain: %+v", c)
	}
	c := b.plugins.checks[1]
	if c.BaseTree != "/base" || b.plugins.launches[1].BaseTree != "/base" || !strings.HasPrefix(string(c.Patch), "patch of [] within 4194304") {
		t.Errorf("all: %+v", c)
	}
	f := c.Facts
	if f.Claims.Summary != "done" || f.Usage.Input != 5 || !f.Executor.Simulated || f.Diff.Files != 2 || f.Diff.Deleted != 1 || f.Diff.Modified != 1 ||
		len(f.Gates) != 1 || f.Gates["plain"].Metrics["coverage"] != 81.25 || f.Gates["plain"].Verdict != "pass" {
		t.Errorf("facts: %+v", f)
	}
	if b.trees.bases != 1 || b.trees.drops != 1 || len(b.trees.patched) != 1 {
		t.Errorf("%d bases, %d dropped, %d patches", b.trees.bases, b.trees.drops, len(b.trees.patched))
	}
}

func TestF10_FindingsForWhatIsNotThereAreFlaggedAndKept(t *testing.T) {
	b := newBench(t)
	b.plugins.plays["g"] = []play{func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
		var all []sdk.Finding
		for _, f := range []sdk.Finding{
			{Path: "src/a.go", Line: 10}, {Path: "src/a.go", Line: 13}, {Path: "README.md", Line: 10, EndLine: 11}, {Path: "README.md", Line: -1}, {Path: "README.md", Line: 4, EndLine: 3},
			{Path: "docs/old.md", Line: 7}, {Path: "docs/old.md", Line: 8}, {Path: "../../etc/passwd", Line: 1}, {},
		} {
			f.Message = "m"
			all = append(all, f)
		}
		return sdk.Verdict{Outcome: sdk.Fail, Findings: all}, nil
	}}
	s := b.subject(rule("g"))
	b.judge(s)
	var got []string
	for _, f := range b.tried(s, "g")[0].Findings {
		got = append(got, strings.TrimPrefix(f.Message, "m"))
	}
	line := " (no such line)"
	if want := []string{"", line, line, line, line, "", line, " (no such file)", ""}; !slices.Equal(got, want) {
		t.Errorf("flagged %q, want %q", got, want)
	}
}

func TestF10_NonsenseIsAnEvaluationThatCouldNotBeDone(t *testing.T) {
	many := map[string]float64{}
	for i := range sdk.MaxMetrics + 1 {
		many[fmt.Sprint(i)] = 1
	}
	for name, v := range map[string]sdk.Verdict{
		"no outcome": {}, "unknown outcome": {Outcome: "fine"}, "not a number": {Outcome: sdk.Pass, Metrics: map[string]float64{"x": math.NaN()}},
		"infinite": {Outcome: sdk.Pass, Metrics: map[string]float64{"x": math.Inf(1)}}, "huge": {Outcome: sdk.Pass, Metrics: map[string]float64{"x": 1e300}},
		"many": {Outcome: sdk.Pass, Metrics: many}, "nameless": {Outcome: sdk.Pass, Metrics: map[string]float64{"": 1}},
	} {
		b := newBench(t)
		b.plugins.plays["g"] = []play{func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
			return v, nil
		}}
		s := b.subject(rule("g"))
		if _, stands := b.judge(s); stands != gate.Rejected || b.tried(s, "g")[0].Result != work.ResultError {
			t.Errorf("%s: %v, %+v", name, stands, b.tried(s, "g"))
		}
	}
}

func TestF10_AFloodIsCutAndItsBeginningKept(t *testing.T) {
	b := newBench(t)
	b.plugins.plays["g"] = []play{func(_ context.Context, _ Launch, _ sdk.Check, output func(string, []byte) error) (sdk.Verdict, error) {
		for range 200 {
			if err := output("stdout", make([]byte, 64<<10)); err != nil {
				return sdk.Verdict{}, err
			}
		}
		return sdk.Verdict{Outcome: sdk.Pass, Findings: make([]sdk.Finding, maxFindings+5)}, nil
	}}
	s := b.subject(rule("g"))
	b.judge(s)
	if a := b.record.artifacts[s.AttemptID+"/validation/g/stdout.log"]; a.Size != maxOutput || !a.Truncated {
		t.Errorf("kept %d bytes, truncated %v", a.Size, a.Truncated)
	}
	if n := len(b.tried(s, "g")[0].Findings); n != maxFindings {
		t.Errorf("%d findings", n)
	}
}

func TestAnAnswerAfterALimitIsNoAnswer(t *testing.T) {
	for _, resident := range []bool{false, true} {
		b := newBench(t)
		b.plugins.plays["g"] = []play{func(_ context.Context, l Launch, _ sdk.Check, _ func(string, []byte) error) (sdk.Verdict, error) {
			l.OnExceeded(fault.New(fault.PluginCrashed, "limit_memory"))
			return sdk.Verdict{Outcome: sdk.Pass}, nil
		}}
		r := rule("g")
		r.Resident = resident
		gates, stands := b.judge(b.subject(r))
		if stands != gate.Rejected || !strings.Contains(gates["g"].Reason, "limit_memory") || b.plugins.live != 0 {
			t.Errorf("resident %v: %v, %s", resident, stands, gates["g"].Reason)
		}
	}
}

func TestWhatCouldNotBeEvaluatedSaysWhatToDo(t *testing.T) {
	b := newBench(t)
	b.plugins.startErr = fault.New(fault.SandboxUnavailable, "no namespaces").Fix("run: allow them")
	gates, stands := b.judge(b.subject(rule("g")))
	if stands != gate.Rejected || gates["g"].Reason != "not evaluated: no namespaces; run: allow them" {
		t.Errorf("%v, %s", stands, gates["g"].Reason)
	}
}

func TestATimeThatIsOverIsSaidWhoeversClockWasFirst(t *testing.T) {
	b := newBench(t)
	b.plugins.plays["g"] = []play{func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
		return sdk.Verdict{}, fmt.Errorf("call Check: %w", context.DeadlineExceeded)
	}}
	r := rule("g")
	r.Timeout = time.Minute
	gates, stands := b.judge(b.subject(r))
	if stands != gate.Rejected || gates["g"].Reason != "not evaluated: the validator was stopped after 1m0s" {
		t.Errorf("%v, %s", stands, gates["g"].Reason)
	}
}

// A gate has the time that it declares, at most its sandbox's, and the sandbox's where it declares none.
func TestS75_ASandboxesTimeEndsAnEvaluation(t *testing.T) {
	for _, row := range []struct {
		declared, wall time.Duration
		want           string
	}{
		{0, 2 * time.Minute, "2m0s"}, {0, 2 * time.Hour, "2h0m0s"}, {time.Minute, 2 * time.Minute, "1m0s"},
		{time.Hour, 2 * time.Minute, "2m0s"}, {0, 0, "30m0s"}, {time.Hour, 0, "1h0m0s"},
	} {
		b := newBench(t)
		b.plugins.plays["g"] = []play{func(ctx context.Context, _ Launch, _ sdk.Check, _ func(string, []byte) error) (sdk.Verdict, error) {
			end, _ := ctx.Deadline()
			if left := time.Until(end); left.Round(time.Minute).String() != row.want {
				t.Errorf("%s of %s: %s are left, want %s", row.declared, row.wall, left, row.want)
			}
			return sdk.Verdict{Outcome: sdk.Pass}, nil
		}}
		r := rule("g")
		r.Timeout, r.Sandbox = row.declared, &work.SandboxPolicy{Name: "box", Wall: row.wall}
		if gates, stands := b.judge(b.subject(r)); stands != gate.Passed || !strings.Contains(gates["g"].Rule, `"timeout":"`+row.want+`"`) {
			t.Errorf("%v, %s", stands, gates["g"].Rule)
		}
	}
}

func TestACancelLeavesWhatWasNotEvaluatedPending(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.plugins.plays["b"] = []play{func(ctx context.Context, _ Launch, _ sdk.Check, _ func(string, []byte) error) (sdk.Verdict, error) {
		cancel()
		return sdk.Verdict{Outcome: sdk.Pass}, nil
	}}
	s := b.opened(b.subject(rule("a"), rule("b", "a"), rule("c", "b")))
	if err := b.panel.Evaluate(ctx, s); err != nil {
		t.Fatal(err)
	}
	gates, stands := b.standing(s)
	if stands != gate.Unfinished || gates["a"].Verdict != work.VerdictPass || gates["b"].Verdict != work.VerdictPending || gates["c"].Verdict != work.VerdictPending {
		t.Errorf("%v: %+v", stands, gates)
	}
	delete(b.plugins.plays, "b")
	if _, stands := b.judge(s); stands != gate.Passed {
		t.Errorf("evaluated again: %v", stands)
	}
}

func TestARecordThatCannotBeWrittenEndsTheEvaluation(t *testing.T) {
	b := newBench(t)
	s := b.opened(b.subject(rule("a"), rule("b"), rule("c", "a")))
	b.plugins.plays["b"] = []play{hangs}
	b.record.broken = errors.New("the disk is full")
	if err := b.panel.Evaluate(t.Context(), s); !errors.Is(err, b.record.broken) {
		t.Errorf("got %v", err)
	}
	if b.plugins.live != 0 {
		t.Errorf("%d validators are left", b.plugins.live)
	}
}

func TestAHoldOpensAnApprovalWithItsEvidence(t *testing.T) {
	b := newBench(t)
	r := rule("review")
	r.Hold, r.Default = "look at it", "pass"
	s := b.subject(r, rule("deploy", "review"))
	var told []work.Approval
	s.OnHold = func(a work.Approval) { told = append(told, a) }
	gates, stands := b.judge(s)
	if stands != gate.Held || len(told) != 1 || gates["review"].Validation == "" || gates["review"].ApprovalID != told[0].ID || gates["deploy"].Verdict != work.VerdictPending {
		t.Fatalf("%v: %+v", stands, gates)
	}
	if a := b.record.approvals[0]; a.Gate != "review" || a.Prompt != "look at it" || a.Default != "pass" || a.State != work.ApprovalOpen {
		t.Errorf("%+v", a)
	}
}

func TestTheRuleIsOnRecordWithItsPlace(t *testing.T) {
	b := newBench(t)
	r := rule("g")
	r.Paths, r.Retries, r.OnError = []string{"src/**"}, 2, "hold"
	gates, _ := b.judge(b.subject(r))
	for _, want := range []string{`"declared":"x.hcl:7"`, `"paths":["src/**"]`, `"retries":2`, `"on_error":"hold"`, `"timeout":"1m0s"`} {
		if !strings.Contains(gates["g"].Rule, want) {
			t.Errorf("%s lacks %s", gates["g"].Rule, want)
		}
	}
}
