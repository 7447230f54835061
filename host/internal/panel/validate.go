package panel

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// evaluate asks a rule's validator until there is an answer, or as often as the rule allows after an
// evaluation that could not be done. Every try but the last is written here.
func (t *sitting) evaluate(ctx, record context.Context, rule work.GateRule, facts work.Facts) answer {
	select {
	case t.p.slots <- struct{}{}:
		defer func() { <-t.p.slots }()
	case <-ctx.Done():
		return answer{rule: rule, cut: true}
	}
	for n := 0; ; n++ {
		v, rows := t.try(ctx, rule, facts)
		if ctx.Err() != nil {
			return answer{rule: rule, cut: true} // not evaluated, and who ended it says why
		}
		if v.Result != work.ResultError || n >= rule.Retries {
			return answer{rule: rule, validation: v, rows: rows}
		}
		if err := t.p.opt.Record.Apply(record, append(rows, work.RecordValidation{Validation: v})...); err != nil {
			return answer{rule: rule, err: err}
		}
	}
}

// within is the time of one evaluation: the rule's, at most its sandbox's.
func within(rule work.GateRule) time.Duration {
	limit := cmp.Or(rule.Timeout, defaultTimeout)
	if box := rule.Sandbox; box != nil && box.Wall > 0 && (rule.Timeout <= 0 || box.Wall < limit) {
		limit = box.Wall
	}
	return limit
}

// try is one evaluation. Whatever goes wrong becomes a recorded error, which is never a pass.
func (t *sitting) try(ctx context.Context, rule work.GateRule, facts work.Facts) (work.Validation, []work.Mutation) {
	timeout := within(rule)
	began := t.p.now()
	late := fault.New(fault.PluginUnresponsive, "the validator was stopped after %s", timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, late)
	defer cancel()
	v := t.validation(rule, work.PluginIdentity{Name: rule.Validator, Kind: "validator", Digest: rule.Digest})
	out := &capture{limit: maxOutput}
	if err := t.settle(ctx, rule, facts, &v, out); err != nil {
		why := fault.From(err)
		switch cause := context.Cause(ctx); {
		case cause != nil:
			why = fault.From(cause)
		case why.Code == fault.Internal && errors.Is(err, context.DeadlineExceeded): // the validator's clock was first
			why = late
		}
		v.Result, v.Message, v.Findings, v.Metrics = work.ResultError, told(why), nil, nil
		level := hclog.Warn
		if why.Code == fault.Internal {
			level = hclog.Error // the row does not say what it was
		}
		t.p.opt.Log.Log(level, "gate could not be evaluated", "attempt", t.s.AttemptID, "gate", rule.Name, "error", err)
	}
	v.At = t.p.now()
	if v.Duration == 0 && v.Reused == "" {
		v.Duration = v.At.Sub(began)
	}
	rows, err := t.keepOutput(&v, out)
	if err != nil {
		v.Result, v.Message = work.ResultError, "the validator's output could not be kept"
		t.p.opt.Log.Error("validator's output could not be kept", "attempt", t.s.AttemptID, "gate", rule.Name, "error", err)
	}
	t.remember(rule, v)
	return v, rows
}

// told is a failure as a row has it: what happened, and what to do about it.
func told(f *fault.Fault) string {
	if f.Hint == "" {
		return f.Message
	}
	return f.Message + "; " + f.Hint
}

// settle fills a validation: with a result that is known already, or by asking.
func (t *sitting) settle(ctx context.Context, rule work.GateRule, facts work.Facts, v *work.Validation, out *capture) error {
	q, err := t.ask(rule, facts)
	if err != nil {
		return err
	}
	v.Inputs = q.inputs
	if t.reuse(rule, v) {
		return nil
	}
	if err := t.feed(ctx, rule, &q); err != nil {
		return err
	}
	q.check.Deadline, _ = ctx.Deadline()
	verdict, err := t.check(ctx, rule, q, v, out)
	if err != nil {
		return err
	}
	if err := fill(v, verdict); err != nil {
		return err
	}
	t.flag(ctx, v)
	return nil
}

// check asks the validator once: one of its own whose end is proved, or one that stays.
func (t *sitting) check(ctx context.Context, rule work.GateRule, q question, v *work.Validation, out *capture) (sdk.Verdict, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if resides(rule, q) {
		one, err := t.p.residents.take(ctx, rule, q.launch, stop)
		if err != nil {
			return sdk.Verdict{}, cmp.Or(overLimit(ctx), err)
		}
		verdict, err := t.answerOf(ctx, one.plugin, q, v, out)
		t.p.residents.giveBack(one, err == nil)
		return verdict, err
	}
	q.launch.OnExceeded = func(err error) { stop(exceeded{err}) }
	plugin, err := t.p.opt.Plugins.Start(ctx, q.launch)
	if err != nil {
		return sdk.Verdict{}, cmp.Or(overLimit(ctx), err)
	}
	defer t.p.bury(context.WithoutCancel(ctx), plugin)
	return t.answerOf(ctx, plugin, q, v, out)
}

// answerOf asks a started validator. An answer that comes after the time is over, or from one that went
// over a limit, is none.
func (t *sitting) answerOf(ctx context.Context, plugin Plugin, q question, v *work.Validation, out *capture) (sdk.Verdict, error) {
	v.Plugin, v.Enforced = plugin.Identity(), plugin.Enforced()
	if q.program != "" && v.Plugin.Digest != q.program {
		return sdk.Verdict{}, fault.New(fault.PluginMismatch, "the validator is another program than the one that the gate was opened with: the lock file changed meanwhile")
	}
	verdict, err := plugin.Check(ctx, q.check, out.take)
	if err == nil {
		err = context.Cause(ctx)
	}
	return verdict, cmp.Or(overLimit(ctx), err)
}

// exceeded is the cause of an evaluation that went over a limit.
type exceeded struct{ error }

func (e exceeded) Unwrap() error { return e.error }

// overLimit is the limit that ended a validator, nil where none did.
func overLimit(ctx context.Context) error {
	var over exceeded
	if errors.As(context.Cause(ctx), &over) {
		return over
	}
	return nil
}

// fill takes a verdict over, within bounds.
func fill(v *work.Validation, verdict sdk.Verdict) error {
	result := work.Result(verdict.Outcome)
	if !result.Known() {
		return fault.New(fault.PluginProtocol, "the validator answered with an unknown outcome %q", verdict.Outcome)
	}
	numbers, err := metrics(verdict.Metrics)
	if err != nil {
		return err
	}
	v.Result, v.Message, v.Metrics = result, verdict.Message, numbers
	for _, f := range verdict.Findings[:min(len(verdict.Findings), maxFindings)] {
		v.Findings = append(v.Findings, work.Finding(f))
	}
	if ran := verdict.Ran; ran != nil {
		code := ran.ExitCode
		v.Command, v.ExitCode, v.Signal, v.Duration = ran.Argv, &code, ran.Signal, ran.Duration
	}
	return nil
}

// flag marks findings for files and lines that there are not. They are kept: a validator that is wrong
// about a place may be right about what it found.
func (t *sitting) flag(ctx context.Context, v *work.Validation) {
	type file struct {
		lines int
		found bool
	}
	seen := map[string]file{}
	for i := range v.Findings {
		f := &v.Findings[i]
		if f.Path == "" {
			continue
		}
		known, ok := seen[f.Path]
		if !ok {
			lines, found, err := t.s.Trees.Lines(ctx, f.Path)
			if err != nil {
				t.p.opt.Log.Warn("finding's file was not looked at", "attempt", t.s.AttemptID, "gate", v.Gate, "error", err)
				return
			}
			known = file{lines, found}
			if c := slices.IndexFunc(t.s.Facts.Diff.Files, func(c work.Change) bool { return c.Path == f.Path || c.OldPath == f.Path }); c >= 0 {
				change := t.s.Facts.Diff.Files[c] // what is gone was there in the base
				known = file{max(lines, lines-change.Added+change.Deleted), true}
			}
			seen[f.Path] = known
		}
		switch {
		case !known.found:
			f.Message += " (no such file)"
		case f.Line < 0 || f.EndLine < 0 || f.EndLine != 0 && f.EndLine < f.Line || max(f.Line, f.EndLine) > max(known.lines, 1):
			f.Message += " (no such line)"
		}
	}
}

// reuse takes over the result of an equal evaluation, where the validator says that it depends on nothing
// else and its sandbox lets nothing else in.
func (t *sitting) reuse(rule work.GateRule, v *work.Validation) bool {
	if !t.pure(rule) {
		return false
	}
	old, ok := t.p.opt.Results.Find(v.Inputs)
	if !ok || !sound(rule, old) || old.Inputs != v.Inputs {
		return false
	}
	v.Plugin, v.Command, v.ExitCode, v.Signal = old.Plugin, old.Command, old.ExitCode, old.Signal
	v.Result, v.Message, v.Findings, v.Metrics, v.Enforced = old.Result, old.Message, old.Findings, old.Metrics, old.Enforced
	v.Reused = old.ID
	return true
}

// pure reports whether results of a rule may be used again: nothing that its digest of inputs leaves out
// reaches the validator.
func (t *sitting) pure(rule work.GateRule) bool {
	if t.p.opt.Results == nil || !rule.Pure || rule.Digest == "" || t.s.Provision.Any() && !rule.Resident {
		return false
	}
	box := rule.Sandbox
	return box == nil || box.Level != "off" && len(box.Read)+len(box.Toolchains)+len(box.Write)+len(box.Pass)+len(box.Credentials) == 0 &&
		(box.Network.Mode == "" || box.Network.Mode == work.NetworkNone)
}

// sound reports whether a validation is one that can stand for another: the locked program's, and done.
func sound(rule work.GateRule, v work.Validation) bool {
	done := v.Result == work.ResultPass || v.Result == work.ResultWarn || v.Result == work.ResultFail || v.Result == work.ResultSkip
	return done && v.Plugin.Digest == rule.Digest && v.Plugin.Name == rule.Validator && v.Gate == rule.Name && len(v.Findings) <= maxFindings &&
		ident.Check(ident.Validation, v.ID) == nil
}

// remember keeps a result for equal evaluations. That it could not be kept changes nothing.
func (t *sitting) remember(rule work.GateRule, v work.Validation) {
	if v.Reused != "" || !t.pure(rule) || !sound(rule, v) {
		return
	}
	if err := t.p.opt.Results.Keep(v); err != nil {
		t.p.opt.Log.Warn("result is not kept for another time", "attempt", t.s.AttemptID, "gate", rule.Name, "error", err)
	}
}
