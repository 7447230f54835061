package panel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// validate runs one validator over the sealed tree. Whatever goes wrong becomes a recorded error, which
// is never a pass.
func (t *sitting) validate(ctx context.Context, rule work.GateRule) (work.Validation, []work.Mutation) {
	timeout := rule.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	began := t.p.now()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fault.New(fault.PluginUnresponsive, "the validator was stopped after %s", timeout))
	defer cancel()
	v := t.validation(rule, work.PluginIdentity{Name: rule.Validator, Kind: "validator"})
	out := &capture{limit: maxOutput}
	if err := t.check(ctx, rule, &v, out); err != nil {
		v.Result, v.Message = work.ResultError, fault.From(err).Message
		if cause := context.Cause(ctx); cause != nil {
			v.Message = fault.From(cause).Message
		}
		t.p.opt.Log.Warn("gate could not be evaluated", "attempt", t.s.AttemptID, "gate", rule.Name, "error", err)
	}
	v.At = t.p.now()
	if v.Duration == 0 {
		v.Duration = v.At.Sub(began)
	}
	rows, err := t.keepOutput(&v, out)
	if err != nil {
		v.Result, v.Message = work.ResultError, "the validator's output could not be kept"
		t.p.opt.Log.Error("validator's output could not be kept", "attempt", t.s.AttemptID, "gate", rule.Name, "error", err)
	}
	return v, rows
}

// check starts the validator, asks it once, and proves its end.
func (t *sitting) check(ctx context.Context, rule work.GateRule, v *work.Validation, out *capture) error {
	head, err := t.s.Trees.Head(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	plugin, err := t.p.opt.Plugins.Start(ctx, Launch{
		Name: rule.Validator, Config: rule.Config, Policy: rule.Sandbox, Head: head, AttemptID: t.s.AttemptID,
		OnExceeded: func(err error) { stop(exceeded{err}) },
	})
	if err != nil {
		return cmp.Or(overLimit(ctx), err)
	}
	defer func() {
		if death, err := plugin.Stop(context.WithoutCancel(ctx)); err != nil || !death.Proved {
			t.p.opt.Log.Error("validator's death is not proved", "attempt", t.s.AttemptID, "gate", rule.Name, "error", err)
		}
	}()
	v.Plugin, v.Enforced = plugin.Identity(), plugin.Enforced()
	deadline, _ := ctx.Deadline()
	verdict, err := plugin.Check(ctx, sdk.Check{
		AttemptID: t.s.AttemptID, Gate: rule.Name, Tree: head.Path, Base: t.s.Base, Head: t.s.Head, TreeSum: t.s.TreeSum,
		Changes: changes(t.s.Facts.Diff), Paths: t.s.Paths, Config: rule.Config, Deadline: deadline,
	}, out.take)
	if err := cmp.Or(overLimit(ctx), err); err != nil {
		return err
	}
	return fill(v, verdict)
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
	v.Result, v.Message = result, verdict.Message
	for _, f := range verdict.Findings[:min(len(verdict.Findings), maxFindings)] {
		v.Findings = append(v.Findings, work.Finding(f))
	}
	if ran := verdict.Ran; ran != nil {
		code := ran.ExitCode
		v.Command, v.ExitCode, v.Signal, v.Duration = ran.Argv, &code, ran.Signal, ran.Duration
	}
	return nil
}

// keepOutput stores what the validator's program wrote.
func (t *sitting) keepOutput(v *work.Validation, out *capture) ([]work.Mutation, error) {
	var rows []work.Mutation
	var errs []error
	for _, s := range []struct {
		stream string
		digest *string
	}{{"stdout", &v.Stdout}, {"stderr", &v.Stderr}} {
		row, err := t.keep("validation/"+v.Gate+"/"+s.stream+".log", out.body(s.stream))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		row.Truncated = row.Truncated || out.cut(s.stream)
		*s.digest = row.Digest
		rows = append(rows, work.KeepArtifact{Artifact: row})
	}
	return rows, errors.Join(errs...)
}

// keep stores a text: inline when it is small, else by digest in the content store.
func (t *sitting) keep(name string, body []byte) (work.Artifact, error) {
	row := work.Artifact{
		AttemptID: t.s.AttemptID, RunID: t.s.RunID, StepID: t.s.StepID, Name: name, Kind: "validation", Media: "text/plain; charset=utf-8", At: t.p.now(),
	}
	if int64(len(body)) <= t.p.opt.Artifacts.Small() {
		row.Inline = append([]byte{}, body...)
		row.Size, row.Digest = int64(len(body)), t.p.opt.Artifacts.Digest(body)
		return row, nil
	}
	blob, err := t.p.opt.Artifacts.Create(int64(len(body)) + 1)
	if err != nil {
		return row, fmt.Errorf("create %s: %w", name, err)
	}
	if _, err := blob.Write(body); err != nil {
		blob.Abort()
		return row, fmt.Errorf("store %s: %w", name, err)
	}
	if row.Digest, row.Size, row.Truncated, err = blob.Seal(); err != nil {
		return row, fmt.Errorf("seal %s: %w", name, err)
	}
	return row, nil
}

// capture keeps the first bytes of a validator's output. The SDK's stream calls it from one goroutine.
type capture struct {
	limit          int
	stdout, stderr bytes.Buffer
	cuts           [2]bool
}

func (c *capture) take(stream string, p []byte) error {
	buf, cut := &c.stdout, &c.cuts[0]
	if stream == "stderr" {
		buf, cut = &c.stderr, &c.cuts[1]
	}
	room := c.limit - buf.Len()
	if len(p) > room {
		p, *cut = p[:room], true
	}
	buf.Write(p)
	return nil
}

func (c *capture) body(stream string) []byte {
	if stream == "stderr" {
		return c.stderr.Bytes()
	}
	return c.stdout.Bytes()
}

func (c *capture) cut(stream string) bool {
	if stream == "stderr" {
		return c.cuts[1]
	}
	return c.cuts[0]
}
