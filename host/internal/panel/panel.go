package panel

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Bounds of one evaluation.
const (
	maxOutput      = 4 << 20 // bytes kept of each of stdout and stderr
	defaultTimeout = 30 * time.Minute
	defaultHold    = 24 * time.Hour
	maxFindings    = 1000
)

// Options of a Panel.
type Options struct {
	Record    Record
	Plugins   Plugins
	Artifacts Artifacts
	Results   Results    // results of pure validators to use again; nil: none are
	Parallel  int        // validators that are asked at a time, over all subjects; 0: one for each processor
	Actor     work.Actor // who decides where a rule does
	Version   string     // of the host, as the identity of built-in validators
	Now       func() time.Time
	Log       hclog.Logger
}

// Panel evaluates gates, of any number of subjects at once.
type Panel struct {
	opt       Options
	slots     chan struct{}
	residents *residents
}

// New makes a Panel.
func New(o Options) *Panel {
	if o.Parallel <= 0 {
		o.Parallel = runtime.NumCPU()
	}
	p := &Panel{opt: o, slots: make(chan struct{}, o.Parallel)}
	p.residents = &residents{p: p, live: map[string]*resident{}}
	return p
}

// Release ends the validators that stay alive between checks, each after the check that it is at. The
// panel can be used further: it starts others.
func (p *Panel) Release(ctx context.Context) { p.residents.release(ctx) }

// Open are the mutations that insert the subject's gates, pending.
func (p *Panel) Open(s *Subject) []work.Mutation {
	var rows []work.Mutation
	bindings := s.bindings()
	for _, r := range s.Rules {
		rows = append(rows, work.OpenGate{Gate: work.GateRecord{
			ID: ident.New(ident.Gate), AttemptID: s.AttemptID, StepID: s.StepID, RunID: s.RunID, Name: r.Name,
			Rule: string(declared(r)), RuleSum: bindings[r.Name], Required: gate.Required(r), Verdict: work.VerdictPending, At: p.now(),
		}})
	}
	return rows
}

// digestOf is the SHA-256 of bytes, as the record writes it.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (p *Panel) now() time.Time { return p.opt.Now().UTC() }

// ruleView is a rule as the record keeps it.
type ruleView struct {
	Name      string   `json:"name"`
	Validator string   `json:"validator,omitempty"`
	Builtin   bool     `json:"builtin,omitempty"`
	Config    any      `json:"config,omitempty"`
	Needs     []string `json:"needs,omitempty"`
	OnFail    string   `json:"on_fail,omitempty"`
	OnError   string   `json:"on_error,omitempty"`
	Optional  bool     `json:"optional,omitempty"`
	Paths     []string `json:"paths,omitempty"`
	When      string   `json:"when,omitempty"`
	Hold      string   `json:"hold,omitempty"`
	Deadline  string   `json:"deadline,omitempty"`
	Default   string   `json:"default,omitempty"`
	Timeout   string   `json:"timeout,omitempty"`
	Retries   int      `json:"retries,omitempty"`
	Declared  string   `json:"declared,omitempty"`
}

// view is a rule as it was declared, with the time that is in force where none was.
func view(r work.GateRule) ruleView {
	v := ruleView{
		Name: r.Name, Validator: r.Validator, Builtin: r.Builtin, Config: r.Config, Needs: r.Needs, OnFail: r.OnFail, OnError: r.OnError,
		Optional: r.Optional, Paths: r.Paths, Hold: r.Hold, Default: r.Default, Retries: r.Retries, Declared: r.Declared,
	}
	if r.Deadline > 0 {
		v.Deadline = r.Deadline.String()
	}
	if r.Validator != "" {
		v.Timeout = within(r).String()
	}
	if r.When != nil {
		v.When = r.When.Text
	}
	return v
}

// declared is a rule as canonical JSON.
func declared(r work.GateRule) json.RawMessage {
	b, err := json.Marshal(view(r))
	if err != nil {
		return json.RawMessage(`null`)
	}
	return b
}

// ruling is a decision with the validation it rests on and the rows that are written with it.
type ruling struct {
	gate.Decision
	validation string
	rows       []work.Mutation
}

// decide writes a verdict, with the validation it rests on and, for a hold, the approval that it waits
// for.
func (t *sitting) decide(ctx context.Context, rule work.GateRule, g work.GateRecord, dec ruling) error {
	rows, now := dec.rows, t.p.now()
	m := work.DecideGate{
		ID: g.ID, Version: g.Version, To: dec.Verdict, Reason: dec.Reason, DecidedBy: "rule", Actor: t.p.opt.Actor, At: now, Validation: dec.validation,
		Require: dec.Require,
	}
	var ap *work.Approval
	if dec.Verdict == work.VerdictHold {
		ap = t.hold(rule, dec.Reason, now)
		m.ApprovalID = ap.ID
		rows = append(rows, work.OpenApproval{Approval: *ap})
	}
	if err := t.p.opt.Record.Apply(ctx, append(rows, m)...); err != nil {
		return fmt.Errorf("decide gate %s: %w", rule.Name, err)
	}
	if ap != nil && t.s.OnHold != nil {
		t.s.OnHold(*ap)
	}
	if t.s.OnDecided != nil {
		t.s.OnDecided()
	}
	return nil
}

func (t *sitting) hold(rule work.GateRule, reason string, now time.Time) *work.Approval {
	deadline := rule.Deadline
	if deadline <= 0 {
		deadline = defaultHold
	}
	prompt := rule.Hold
	if prompt == "" {
		prompt = reason
	} else if reason != rule.Hold {
		prompt += " (" + reason + ")"
	}
	return &work.Approval{
		ID: ident.New(ident.Approval), RunID: t.s.RunID, StepID: t.s.StepID, AttemptID: t.s.AttemptID, Workspace: t.s.Workspace,
		Kind: work.ApprovalHold, Gate: rule.Name, Prompt: prompt, Deadline: now.Add(deadline), Default: cmp.Or(rule.Default, string(work.VerdictFail)),
		State: work.ApprovalOpen, OpenedAt: now,
	}
}

// builtin judges without a plugin.
func (t *sitting) builtin(rule work.GateRule) work.Validation {
	v := t.validation(rule, work.PluginIdentity{Name: cmp.Or(rule.Validator, rule.Name), Kind: "built-in", Version: t.p.opt.Version})
	v.At = t.p.now()
	if rule.Validator == gate.RealValidator {
		v.Result, v.Message = gate.Real(t.s.Facts.Executor.Simulated, t.s.Facts.Executor.Plugin)
		return v
	}
	shown, err := gate.Shown(rule, t.s.Facts.Diff)
	if err != nil {
		v.Message = "paths: " + err.Error()
		return v
	}
	v.Result, v.Message, v.Findings = gate.Sensitive(rule, shown)
	v.Findings = v.Findings[:min(len(v.Findings), maxFindings)]
	return v
}

// validation is a row to begin with: not evaluated.
func (t *sitting) validation(rule work.GateRule, who work.PluginIdentity) work.Validation {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tries[rule.Name]++
	return work.Validation{
		ID: ident.New(ident.Validation), AttemptID: t.s.AttemptID, StepID: t.s.StepID, RunID: t.s.RunID, Gate: rule.Name, N: t.tries[rule.Name],
		Plugin: who, Tree: t.s.TreeSum, Result: work.ResultError,
	}
}
