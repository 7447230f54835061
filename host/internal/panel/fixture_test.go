package panel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/gate"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// memory is a record that holds what the real one does to gates and validations.
type memory struct {
	mu          sync.Mutex
	gates       []work.GateRecord
	validations []work.Validation
	approvals   []work.Approval
	artifacts   map[string]work.Artifact
	broken      error
}

func (m *memory) Gates(_ context.Context, id string) ([]work.GateRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []work.GateRecord
	for _, g := range m.gates {
		if g.AttemptID == id {
			out = append(out, g)
		}
	}
	return out, nil
}

func (m *memory) Validations(_ context.Context, id string) ([]work.Validation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []work.Validation
	for _, v := range m.validations {
		if v.AttemptID == id {
			out = append(out, v)
		}
	}
	return out, nil
}

func (m *memory) Apply(_ context.Context, rows ...work.Mutation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	for _, row := range rows {
		switch r := row.(type) {
		case work.OpenGate:
			r.Gate.Version = 1
			m.gates = append(m.gates, r.Gate)
		case work.RecordValidation:
			if err := m.record(r.Validation); err != nil {
				return err
			}
		case work.KeepArtifact:
			name := r.Artifact.AttemptID + "/" + r.Artifact.Name
			if _, twice := m.artifacts[name]; twice {
				return fmt.Errorf("artifact %s is kept twice", name)
			}
			m.artifacts[name] = r.Artifact
		case work.OpenApproval:
			m.approvals = append(m.approvals, r.Approval)
		case work.DecideGate:
			if err := m.decide(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) record(v work.Validation) error {
	n := 0
	for _, other := range m.validations {
		if other.AttemptID == v.AttemptID && other.Gate == v.Gate {
			n = max(n, other.N)
		}
	}
	if v.N != n+1 || !v.Result.Known() {
		return fmt.Errorf("evaluation %d (%s) of gate %s follows %d", v.N, v.Result, v.Gate, n)
	}
	m.validations = append(m.validations, v)
	return nil
}

func (m *memory) decide(d work.DecideGate) error {
	for i := range m.gates {
		g := &m.gates[i]
		if g.ID != d.ID {
			continue
		}
		if g.Version != d.Version || !g.Verdict.CanBecome(d.To) || d.Reason == "" || d.DecidedBy == "" || d.Actor == (work.Actor{}) {
			return fault.New(fault.Stale, "gate %s: %+v", g.Name, d)
		}
		g.Verdict, g.Reason, g.Validation, g.ApprovalID, g.Required = d.To, d.Reason, d.Validation, d.ApprovalID, g.Required || d.Require
		g.Version++
		return nil
	}
	return fmt.Errorf("there is no gate %s", d.ID)
}

type artifacts struct{}

func (artifacts) Create(int64) (Blob, error) { return nil, errors.New("nothing here is large") }
func (artifacts) Small() int64               { return 1 << 30 }
func (artifacts) Digest(p []byte) string     { return digestOf(p) }

// results keep in memory.
type results struct {
	mu   sync.Mutex
	kept map[string]work.Validation
}

func (r *results) Find(inputs string) (work.Validation, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.kept[inputs]
	return v, ok
}

func (r *results) Keep(v work.Validation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[v.Inputs] = v
	return nil
}

// trees say what they are asked for.
type trees struct {
	mu           sync.Mutex
	bases, drops int
	patched      [][]string
}

func (t *trees) Head(context.Context) (Head, error) {
	return Head{Path: "/head", Dev: 1, Ino: 2, Git: &Git{Dir: "/head.git"}}, nil
}

func (t *trees) Base(context.Context) (string, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bases++
	return "/base", func() { t.mu.Lock(); t.drops++; t.mu.Unlock() }, nil
}

func (t *trees) Patch(_ context.Context, paths []string, limit int64) ([]byte, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.patched = append(t.patched, paths)
	return fmt.Appendf(nil, "patch of %v within %d", paths, limit), false, nil
}

func (t *trees) Lines(_ context.Context, path string) (int, bool, error) {
	if path == "src/a.go" || path == "README.md" {
		return 10, true, nil
	}
	return 0, false, nil
}

// play is one answer of a scripted validator.
type play func(ctx context.Context, l Launch, c sdk.Check, output func(string, []byte) error) (sdk.Verdict, error)

func says(o sdk.Outcome) play {
	return func(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
		return sdk.Verdict{Outcome: o, Message: "because"}, nil
	}
}

func crashes(context.Context, Launch, sdk.Check, func(string, []byte) error) (sdk.Verdict, error) {
	return sdk.Verdict{}, fault.New(fault.PluginCrashed, "the plugin died")
}

func hangs(ctx context.Context, _ Launch, _ sdk.Check, _ func(string, []byte) error) (sdk.Verdict, error) {
	<-ctx.Done()
	return sdk.Verdict{}, ctx.Err()
}

// plugins play what is scripted for each gate, one play for each check; the last one goes on.
type plugins struct {
	mu       sync.Mutex
	plays    map[string][]play
	startErr error
	launches []Launch
	last     *plugin // that was started
	checks   []sdk.Check
	live     int
	stops    int
}

func (p *plugins) Start(_ context.Context, l Launch) (Plugin, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.startErr != nil {
		return nil, p.startErr
	}
	p.launches = append(p.launches, l)
	p.live++
	p.last = &plugin{p: p, l: l, done: make(chan struct{})}
	return p.last, nil
}

func (p *plugins) count() (live, stops int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live, p.stops
}

func (p *plugins) next(name string) play {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.plays[name]
	if len(all) == 0 {
		return says(sdk.Pass)
	}
	if len(all) > 1 {
		p.plays[name] = all[1:]
	}
	return all[0]
}

type plugin struct {
	p    *plugins
	l    Launch
	once sync.Once
	done chan struct{}
}

func (p *plugin) Done() <-chan struct{} { return p.done }

// die ends the process, for whatever reason.
func (p *plugin) die() {
	p.once.Do(func() {
		p.p.mu.Lock()
		p.p.live--
		p.p.mu.Unlock()
		close(p.done)
	})
}

func (p *plugin) Identity() work.PluginIdentity {
	return work.PluginIdentity{Name: p.l.Name, Kind: "validator", Version: "1", Digest: pluginDigest}
}
func (p *plugin) Enforced() json.RawMessage { return json.RawMessage(`{"enforced":"isolated"}`) }

func (p *plugin) Check(ctx context.Context, c sdk.Check, output func(string, []byte) error) (sdk.Verdict, error) {
	p.p.mu.Lock()
	p.p.checks = append(p.p.checks, c)
	p.p.mu.Unlock()
	return p.p.next(c.Gate)(ctx, p.l, c, output)
}

func (p *plugin) Stop(context.Context) (work.Death, error) {
	p.die()
	p.p.mu.Lock()
	p.p.stops++
	p.p.mu.Unlock()
	return work.Death{Proved: true}, nil
}

const pluginDigest = "sha256:00"

// bench is a panel over scripted ports.
type bench struct {
	t       *testing.T
	record  *memory
	plugins *plugins
	trees   *trees
	results *results
	panel   *Panel
	logged  bytes.Buffer
	n       int
}

func newBench(t *testing.T) *bench {
	b := &bench{
		t: t, record: &memory{artifacts: map[string]work.Artifact{}}, plugins: &plugins{plays: map[string][]play{}}, trees: &trees{},
		results: &results{kept: map[string]work.Validation{}},
	}
	b.panel = New(Options{
		Record: b.record, Plugins: b.plugins, Artifacts: artifacts{}, Results: b.results, Parallel: 4, Actor: work.Actor{Kind: "daemon", ID: "drawspan"},
		Version: "test", Now: time.Now, Log: hclog.New(&hclog.LoggerOptions{Output: &b.logged}),
	})
	return b
}

var diff = work.DiffFacts{Files: []work.Change{
	{Path: "src/a.go", Op: "modify", Added: 3, Deleted: 1, Size: 100}, {Path: "docs/old.md", Op: "delete", Deleted: 7},
}, Insertions: 3, Deletions: 8}

// subject is a fresh attempt under rules; its gates are opened when it is judged.
func (b *bench) subject(rules ...work.GateRule) *Subject {
	b.t.Helper()
	b.n++
	for i := range rules {
		if rules[i].Sandbox == nil {
			rules[i].Sandbox = &work.SandboxPolicy{Name: "box"}
		}
	}
	return &Subject{
		Workspace: "api", AttemptID: fmt.Sprintf("att_%d", b.n), StepID: "step", RunID: "run", Rules: rules, Base: "base", Head: "head", TreeSum: "tree",
		Facts: work.Facts{Diff: diff}, Trees: b.trees,
	}
}

// opened is the subject with its gates in the record.
func (b *bench) opened(s *Subject) *Subject {
	b.t.Helper()
	if gates, _ := b.record.Gates(b.t.Context(), s.AttemptID); len(gates) > 0 {
		return s
	}
	if err := b.record.Apply(b.t.Context(), b.panel.Open(s)...); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// judge evaluates and answers with the gates by name and how the change stands.
func (b *bench) judge(s *Subject) (map[string]work.GateRecord, gate.Standing) {
	b.t.Helper()
	if err := b.panel.Evaluate(b.t.Context(), b.opened(s)); err != nil {
		b.t.Fatal(err)
	}
	return b.standing(s)
}

func (b *bench) standing(s *Subject) (map[string]work.GateRecord, gate.Standing) {
	b.t.Helper()
	gates, err := b.record.Gates(b.t.Context(), s.AttemptID)
	if err != nil {
		b.t.Fatal(err)
	}
	byName := map[string]work.GateRecord{}
	for _, g := range gates {
		byName[g.Name] = g
	}
	stands, _ := gate.Stand(work.Succeeded, "", gates)
	return byName, stands
}

// tried are the validations of a gate.
func (b *bench) tried(s *Subject, name string) []work.Validation {
	b.t.Helper()
	all, err := b.record.Validations(b.t.Context(), s.AttemptID)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []work.Validation
	for _, v := range all {
		if v.Gate == name {
			out = append(out, v)
		}
	}
	return out
}

func rule(name string, needs ...string) work.GateRule {
	return work.GateRule{Name: name, Validator: "v", Digest: pluginDigest, Needs: needs, OnFail: "fail", Timeout: time.Minute, Declared: "x.hcl:7"}
}
