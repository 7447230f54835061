package dispatch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// pathsValidator is the plugin that judges path rules.
const pathsValidator = "paths"

// Bounds of one validation.
const (
	maxValidatorOutput = 4 << 20 // bytes kept of each of stdout and stderr
	defaultGateWall    = 30 * time.Minute
	maxFindings        = 1000
)

func requiredRule(g work.GateRule) bool { return gate.Required(g) }

// rulesFor are the workspace's gates that judge a step: all but the optional ones that it did not add.
func rulesFor(ws *work.Workspace, spec work.StepSpec) []work.GateRule {
	return slices.DeleteFunc(slices.Clone(ws.Gates), func(g work.GateRule) bool {
		return g.Optional && !slices.Contains(spec.Gates, g.Name)
	})
}

// rules are the declared gates of the attempt and the built-in one over sensitive paths. Where that one
// only flags, it is opened when there is something to flag.
func (a *drive) rules() []work.GateRule {
	rules := rulesFor(a.ws, a.step.Spec)
	if a.ex == nil || a.ex.Sandbox == nil || a.at.Evidence == nil {
		return rules
	}
	own := gate.SensitiveRule(a.ex.Sandbox.Sensitive, a.ex.Sandbox.Declared)
	if result, _, _ := gate.Sensitive(own, a.at.Evidence.Diff); result == work.ResultPass && !gate.Required(own) {
		return rules
	}
	return append([]work.GateRule{own}, rules...)
}

// panel evaluates the gates of one attempt over its sealed tree.
type panel struct {
	a     *drive
	rules []work.GateRule
	gates []work.GateRecord
}

// openGates are the gates of an attempt, pending, as rows and as the mutations that insert them.
func (a *drive) openGates(rules []work.GateRule) []work.Mutation {
	var rows []work.Mutation
	for _, r := range rules {
		declared := jsonOf(ruleView{
			Name: r.Name, Validator: r.Validator, Builtin: r.Builtin, Config: r.Config, Needs: r.Needs, OnFail: r.OnFail, Optional: r.Optional,
			When: conditionText(r.When), Hold: r.Hold, Deadline: r.Deadline.String(), Default: r.Default, Timeout: r.Timeout.String(), Declared: r.Declared,
		})
		rows = append(rows, work.OpenGate{Gate: work.GateRecord{
			ID: ident.New(ident.Gate), AttemptID: a.at.ID, StepID: a.at.StepID, RunID: a.at.RunID, Name: r.Name,
			Rule: string(declared), RuleSum: "sha256:" + digestOf(declared), Required: gate.Required(r), Verdict: work.VerdictPending, At: a.d.now(),
		}})
	}
	return rows
}

// ruleView is a rule as the record keeps it.
type ruleView struct {
	Name      string   `json:"name"`
	Validator string   `json:"validator,omitempty"`
	Builtin   bool     `json:"builtin,omitempty"`
	Config    any      `json:"config,omitempty"`
	Needs     []string `json:"needs,omitempty"`
	OnFail    string   `json:"on_fail,omitempty"`
	Optional  bool     `json:"optional,omitempty"`
	When      string   `json:"when,omitempty"`
	Hold      string   `json:"hold,omitempty"`
	Deadline  string   `json:"deadline,omitempty"`
	Default   string   `json:"default,omitempty"`
	Timeout   string   `json:"timeout,omitempty"`
	Declared  string   `json:"declared,omitempty"`
}

func conditionText(c *work.Condition) string {
	if c == nil {
		return ""
	}
	return c.Text
}

// evaluate decides every gate that can be decided now. It stops early when ctx ends.
func (p *panel) evaluate(ctx, record context.Context) error {
	for progressed := true; progressed && ctx.Err() == nil; {
		progressed = false
		for _, rule := range p.rules {
			g, err := p.reload(record, rule.Name)
			if err != nil {
				return err
			}
			if g.Verdict != work.VerdictPending {
				continue
			}
			decided, err := p.advance(ctx, record, rule, g)
			if err != nil {
				return err
			}
			progressed = progressed || decided
		}
	}
	return nil
}

// reload reads the gates back and picks one.
func (p *panel) reload(ctx context.Context, name string) (work.GateRecord, error) {
	gates, err := p.a.d.opt.Record.Gates(ctx, p.a.at.ID)
	if err != nil {
		return work.GateRecord{}, err
	}
	p.gates = gates
	for _, g := range gates {
		if g.Name == name {
			return g, nil
		}
	}
	return work.GateRecord{}, fault.New(fault.Internal, "gate %q of attempt %s is not in the record", name, p.a.at.ID)
}

// advance takes one pending gate as far as it goes; false when it waits for another.
func (p *panel) advance(ctx, record context.Context, rule work.GateRule, g work.GateRecord) (bool, error) {
	verdicts := map[string]work.Verdict{}
	for _, other := range p.gates {
		verdicts[other.Name] = other.Verdict
	}
	action, decision := gate.Next(rule, work.Facts{Diff: p.a.at.Evidence.Diff}, verdicts)
	switch action {
	case gate.Wait:
		return false, nil
	case gate.Settle:
		return true, p.decide(record, rule, g, ruling{Decision: decision})
	}
	if rule.Builtin {
		v := p.builtin(rule)
		return true, p.decide(record, rule, g, ruling{gate.Judge(rule, v), v.ID, []work.Mutation{work.RecordValidation{Validation: v}}})
	}
	v, artifacts := p.validate(ctx, rule)
	if ctx.Err() != nil {
		return false, nil // cut off by a cancel: not evaluated, and the attempt says why
	}
	rows := append(artifacts, work.RecordValidation{Validation: v})
	return true, p.decide(record, rule, g, ruling{gate.Judge(rule, v), v.ID, rows})
}

// ruling is a decision with the validation it rests on and the rows that are written with it.
type ruling struct {
	gate.Decision
	validation string
	rows       []work.Mutation
}

// decide writes a verdict, with the validation it rests on and, for a hold, the approval that it waits
// for.
func (p *panel) decide(ctx context.Context, rule work.GateRule, g work.GateRecord, dec ruling) error {
	rows, now := dec.rows, p.a.d.now()
	m := work.DecideGate{ID: g.ID, Version: g.Version, To: dec.Verdict, Reason: dec.Reason, DecidedBy: "rule", Actor: daemonActor(), At: now, Validation: dec.validation}
	var ap *work.Approval
	if dec.Verdict == work.VerdictHold {
		ap = p.holdApproval(rule, dec.Reason, now)
		m.ApprovalID = ap.ID
		rows = append(rows, work.OpenApproval{Approval: *ap})
	}
	if err := p.a.d.opt.Record.Apply(ctx, append(rows, m)...); err != nil {
		return fmt.Errorf("decide gate %s: %w", rule.Name, err)
	}
	if ap != nil {
		p.a.d.watchHold(*ap)
	}
	p.a.d.wake(p.a.at.ID, p.a.at.StepID, p.a.at.RunID)
	return nil
}

func (p *panel) holdApproval(rule work.GateRule, reason string, now time.Time) *work.Approval {
	deadline, fallback := rule.Deadline, rule.Default
	if deadline <= 0 {
		deadline = defaultHold
	}
	if fallback == "" {
		fallback = string(work.VerdictFail)
	}
	prompt := rule.Hold
	if prompt == "" {
		prompt = reason
	} else if reason != rule.Hold {
		prompt += " (" + reason + ")"
	}
	return &work.Approval{
		ID: ident.New(ident.Approval), RunID: p.a.at.RunID, StepID: p.a.at.StepID, AttemptID: p.a.at.ID, Workspace: p.a.ws.Name,
		Kind: work.ApprovalHold, Gate: rule.Name, Prompt: prompt, Deadline: now.Add(deadline), Default: fallback,
		State: work.ApprovalOpen, OpenedAt: now,
	}
}

// builtin judges without a plugin.
func (p *panel) builtin(rule work.GateRule) work.Validation {
	a := p.a
	v := work.Validation{
		ID: ident.New(ident.Validation), AttemptID: a.at.ID, StepID: a.at.StepID, RunID: a.at.RunID, Gate: rule.Name, N: 1,
		Plugin: work.PluginIdentity{Name: cmp.Or(rule.Validator, rule.Name), Kind: "built-in", Version: a.d.opt.Version}, Tree: a.at.Evidence.TreeAfter, At: a.d.now(),
	}
	if rule.Validator == gate.RealValidator {
		v.Result, v.Message = gate.Real(a.at.Simulated || a.step.Simulated, a.pluginName())
		return v
	}
	v.Result, v.Message, v.Findings = gate.Sensitive(rule, a.at.Evidence.Diff)
	v.Findings = v.Findings[:min(len(v.Findings), maxFindings)]
	return v
}

// pluginName is the plugin that ran, as it was verified when it was started.
func (a *drive) pluginName() string {
	if a.at.Plugin == nil {
		return a.at.Executor
	}
	return a.at.Plugin.Name
}

// validate runs one validator over the sealed tree. Whatever goes wrong becomes a recorded error, which
// is never a pass.
func (p *panel) validate(ctx context.Context, rule work.GateRule) (work.Validation, []work.Mutation) {
	a := p.a
	wall := rule.Timeout
	if wall <= 0 {
		wall = defaultGateWall
	}
	began := a.d.now()
	ctx, cancel := context.WithTimeoutCause(ctx, wall, fault.New(fault.PluginUnresponsive, "the validator was stopped after %s", wall))
	defer cancel()
	v := work.Validation{
		ID: ident.New(ident.Validation), AttemptID: a.at.ID, StepID: a.at.StepID, RunID: a.at.RunID, Gate: rule.Name, N: 1,
		Plugin: work.PluginIdentity{Name: rule.Validator, Kind: "validator"}, Tree: a.at.Evidence.TreeAfter, Result: work.ResultError,
	}
	out := &capture{limit: maxValidatorOutput}
	if err := p.check(ctx, rule, &v, out); err != nil {
		v.Result, v.Message = work.ResultError, fault.From(err).Message
		if cause := context.Cause(ctx); cause != nil {
			v.Message = fault.From(cause).Message
		}
		a.d.opt.Log.Warn("gate could not be evaluated", "attempt", a.at.ID, "gate", rule.Name, "error", err)
	}
	v.At = a.d.now()
	if v.Duration == 0 {
		v.Duration = v.At.Sub(began)
	}
	rows, err := p.keepOutput(rule.Name, &v, out)
	if err != nil {
		v.Result, v.Message = work.ResultError, "the validator's output could not be kept"
		a.d.report(ctx, "keep validator output", err, "attempt", a.at.ID, "gate", rule.Name)
	}
	return v, rows
}

// check starts the validator, asks it once, and proves its end.
func (p *panel) check(ctx context.Context, rule work.GateRule, v *work.Validation, out *capture) error {
	a := p.a
	if err := a.shadow(ctx); err != nil {
		return err
	}
	dev, ino := a.tree.Identity()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	plugin, err := a.d.opt.Plugins.Start(ctx, Launch{
		Kind: "validator", Name: rule.Validator, Config: rule.Config, Policy: rule.Sandbox, Tree: a.tree.Path(), Dev: dev, Ino: ino,
		Git: a.git, Sealed: true, AttemptID: a.at.ID, OnExceeded: func(x Excess) { stop(validatorExceeded(x)) },
	})
	if err != nil {
		return cmp.Or(overLimit(ctx), err)
	}
	defer func() {
		if death, err := plugin.Stop(context.WithoutCancel(ctx)); err != nil || !death.Proved {
			a.d.opt.Log.Error("validator's death is not proved", "attempt", a.at.ID, "gate", rule.Name, "error", err)
		}
	}()
	v.Plugin, v.Enforced = plugin.Identity(), plugin.Enforced()
	deadline, _ := ctx.Deadline()
	verdict, err := plugin.Check(ctx, sdk.Check{
		AttemptID: a.at.ID, Gate: rule.Name, Tree: a.tree.Path(), Base: a.at.Base, TreeSum: a.at.Evidence.TreeAfter,
		Changes: changesOf(a.at.Evidence.Diff), Paths: a.pathRules(), Config: rule.Config, Deadline: deadline,
	}, out.take)
	if err := cmp.Or(overLimit(ctx), err); err != nil {
		return err
	}
	return fill(v, verdict)
}

// pathRules are the workspace's rules and the step's own: a change must satisfy every one of them.
func (a *drive) pathRules() []sdk.Paths {
	rules := []sdk.Paths{{Write: a.ws.Paths.Write, Forbid: a.ws.Paths.Forbid}}
	if n := a.step.Spec.Paths; n != nil {
		rules = append(rules, sdk.Paths{Write: n.Write, Forbid: n.Forbid})
	}
	return rules
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

func changesOf(d work.DiffFacts) []sdk.Change {
	out := make([]sdk.Change, 0, len(d.Files))
	for _, c := range d.Files {
		out = append(out, sdk.Change(c))
	}
	return out
}

// keepOutput stores what the validator's program wrote.
func (p *panel) keepOutput(gateName string, v *work.Validation, out *capture) ([]work.Mutation, error) {
	var rows []work.Mutation
	var errs []error
	for _, s := range []struct {
		stream string
		digest *string
	}{{"stdout", &v.Stdout}, {"stderr", &v.Stderr}} {
		body := out.body(s.stream)
		row, err := p.a.keep("validation/"+gateName+"/"+s.stream+".log", "validation", "text/plain; charset=utf-8", bytes.NewReader(body), int64(len(body)))
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
