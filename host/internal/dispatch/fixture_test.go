package dispatch_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/artifact"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/event"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// The record and the content store are real; trees and plugins are the far end and scripted here.

// rung is how long the scripted stop ladder waits.
const rung = 10 * time.Millisecond

var operator = work.Actor{Kind: "operator", ID: "uid:1000"}

type recordPort struct {
	*store.Store
	reading func(attemptID string) // called before the gates are read; nil for nothing
	looked  func(work.Approval)    // called after an approval is read; nil for nothing
}

func (p recordPort) Approval(ctx context.Context, id string) (work.Approval, error) {
	ap, err := p.Store.Approval(ctx, id)
	if p.looked != nil {
		p.looked(ap)
	}
	return ap, err
}

func (p recordPort) Gates(ctx context.Context, attemptID string) ([]work.GateRecord, error) {
	if p.reading != nil {
		p.reading(attemptID)
	}
	return p.Store.Gates(ctx, attemptID)
}

func (p recordPort) Apply(ctx context.Context, m ...work.Mutation) error {
	_, err := p.Store.Apply(ctx, m...)
	return err
}

func (p recordPort) StepsOf(ctx context.Context, runID string) ([]work.Step, error) {
	page, err := p.Store.Steps(ctx, store.StepFilter{RunID: runID, Limit: 1000})
	return page.Items, err
}

func (p recordPort) Unsettled(ctx context.Context) ([]work.Step, error) { return p.UnsettledSteps(ctx) }

func (p recordPort) Validations(ctx context.Context, id string) ([]work.Validation, error) {
	page, err := p.Store.Validations(ctx, store.ValidationFilter{AttemptID: id, Limit: 1000})
	return page.Items, err
}

func (p recordPort) OpenApprovals(ctx context.Context) ([]work.Approval, error) {
	page, err := p.Store.Approvals(ctx, store.ApprovalFilter{State: work.ApprovalOpen, Limit: 1000})
	return page.Items, err
}

type artifactsPort struct{ *artifact.Store }

func (p artifactsPort) Create(limit int64) (dispatch.Blob, error) {
	w, err := p.Store.Create(limit)
	return blobPort{w}, err
}
func (artifactsPort) Small() int64           { return artifact.InlineLimit }
func (artifactsPort) Digest(p []byte) string { return artifact.Digest(p) }

type blobPort struct{ *artifact.Writer }

func (b blobPort) Seal() (string, int64, bool, error) {
	ref, err := b.Writer.Seal()
	return ref.Digest, ref.Size, ref.Truncated, err
}

// memoryJournals keep the stream's events for a look.
type memoryJournals struct {
	mu     sync.Mutex
	events map[string][]sdk.Event
}

func (m *memoryJournals) Create(id string, limit int64) (dispatch.Journal, error) {
	return &memoryJournal{m: m, id: id, limit: limit}, nil
}
func (m *memoryJournals) Remove(string) error { return nil }

func (m *memoryJournals) types(id string) []sdk.EventType {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []sdk.EventType
	for _, e := range m.events[id] {
		out = append(out, e.Type)
	}
	return out
}

type memoryJournal struct {
	m     *memoryJournals
	id    string
	limit int64
	used  int64
}

func (j *memoryJournal) Append(_ string, e sdk.Event) error {
	j.m.mu.Lock()
	defer j.m.mu.Unlock()
	if j.used += int64(len(e.Log)); j.used > j.limit {
		return dispatch.ErrFull
	}
	j.m.events[j.id] = append(j.m.events[j.id], e)
	return nil
}

func (j *memoryJournal) Seal() (dispatch.Stream, error) {
	body := []byte("{}\n")
	return dispatch.Stream{Output: j.used, Truncated: j.used > j.limit, Files: []dispatch.StreamFile{{
		Name: "events.jsonl", Kind: "events", Media: "application/jsonl", Size: int64(len(body)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}}}, nil
}

// scriptedTrees hand out trees whose content is a number that the executor may raise.
type scriptedTrees struct {
	mu      sync.Mutex
	made    []string // start commits, in order
	removed int
	fail    error
}

func (s *scriptedTrees) Resolve(context.Context, *work.Workspace, string) (string, error) {
	return "base", nil
}

func (s *scriptedTrees) Create(_ context.Context, _ *work.Workspace, r dispatch.TreeRequest) (dispatch.Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, r.Start)
	return &scriptedTree{s: s, id: r.AttemptID, start: r.Start}, s.fail
}

func (s *scriptedTrees) Sealed(_ context.Context, _ *work.Workspace, id, commit string) (dispatch.Tree, error) {
	return &scriptedTree{s: s, id: id, start: commit}, nil
}

func (t *scriptedTree) Shadow(context.Context) (dispatch.Git, error) {
	return dispatch.Git{Dir: t.Path() + ".git"}, nil
}

func (t *scriptedTree) Commits(context.Context, *work.SandboxPolicy) (*work.Commits, error) {
	return nil, nil
}

func (t *scriptedTree) Base(context.Context, string) (string, func(), error) {
	return "/trees/base", func() {}, nil
}

func (t *scriptedTree) Patch(_ context.Context, base string, paths []string, _ int64) ([]byte, bool, error) {
	return fmt.Appendf(nil, "patch from %s of %v", base, paths), false, nil
}

func (t *scriptedTree) Lines(context.Context, string) (int, bool, error) { return 10, true, nil }

func (s *scriptedTrees) starts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.made...)
}

type scriptedTree struct {
	s         *scriptedTrees
	id, start string
}

func (t *scriptedTree) Path() string                     { return "/trees/" + t.id }
func (t *scriptedTree) Identity() (uint64, uint64)       { return 1, 1 }
func (t *scriptedTree) Reset(context.Context) error      { return nil }
func (t *scriptedTree) Links() ([]provision.Bind, error) { return nil, nil }
func (t *scriptedTree) Settle(context.Context) error     { return nil }
func (t *scriptedTree) Remove(context.Context) error {
	t.s.mu.Lock()
	t.s.removed++
	t.s.mu.Unlock()
	return nil
}

func (t *scriptedTree) Capture(_ context.Context, c dispatch.CaptureRequest) (dispatch.Captured, error) {
	if _, err := io.WriteString(c.Patch, "diff of "+t.id); err != nil {
		return dispatch.Captured{}, err
	}
	after, changed := "tree-"+t.id, cmp.Or(scriptOf(t.id).path, "a.go")
	if scriptOf(t.id).unchanged {
		after = "tree-before"
	}
	var err error
	if scriptOf(t.id).unpublished {
		err = fault.New(fault.WorkspaceUnusable, "the repository is gone")
	}
	return dispatch.Captured{
		TreeBefore: "tree-before", TreeAfter: after, Commit: "commit-" + t.id, Ref: "refs/drawspan/attempts/" + t.id,
		Diff: work.DiffFacts{Files: []work.Change{{Path: changed, Op: "modify"}}, Insertions: 3},
	}, err
}

// script is what a plugin does. One is chosen per step by the step's text.
type script struct {
	unchanged   bool
	unpublished bool
	path        string // what changed; "" is a.go
	execute     func(ctx context.Context, p *scriptedPlugin, a sdk.Attempt, sink func(context.Context, sdk.Event) error) (sdk.Result, error)
	check       func(c sdk.Check) (sdk.Verdict, error)
	startErr    error
	unprovable  int // how many Stops answer without proof
	deaf        bool
	simulated   bool
	models      *sdk.Usage // that the gateway counted
	unlike      error      // what of the program that is driven is not the same at the end
}

var (
	scriptsMu sync.Mutex
	scripts   = map[string]*script{} // by attempt id
)

func scriptOf(attemptID string) *script {
	scriptsMu.Lock()
	defer scriptsMu.Unlock()
	if s := scripts[attemptID]; s != nil {
		return s
	}
	return &script{}
}

// scriptedPlugins start plugins that play the script of the fixture.
type scriptedPlugins struct {
	mu       sync.Mutex
	script   script
	digest   string // of the plugin, "" for the usual one
	program  *work.ProgramIdentity
	started  []dispatch.Launch
	stops    int
	inputs   []string
	livesNow int
	most     int
}

func (s *scriptedPlugins) Start(_ context.Context, l dispatch.Launch) (dispatch.Plugin, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, l)
	sc := s.script
	if l.Kind == "executor" {
		scriptsMu.Lock()
		scripts[l.AttemptID] = &sc
		scriptsMu.Unlock()
		s.livesNow++
		s.most = max(s.most, s.livesNow)
	}
	if sc.startErr != nil {
		return nil, sc.startErr
	}
	return &scriptedPlugin{s: s, l: l, script: sc, cancelled: make(chan struct{}), answered: make(chan struct{}), dead: make(chan struct{})}, nil
}

type scriptedPlugin struct {
	s         *scriptedPlugins
	l         dispatch.Launch
	script    script
	once      sync.Once
	cancelled chan struct{}
	told      sync.Once
	answered  chan struct{}
	deadOnce  sync.Once
	dead      chan struct{}
	tries     int
}

func (p *scriptedPlugin) Identity() work.PluginIdentity {
	return work.PluginIdentity{
		Name: p.l.Name, Kind: p.l.Kind, Version: "1", Digest: cmp.Or(p.s.digest, "sha256:00"), Protocol: "v1alpha", Program: p.s.program, Simulated: p.script.simulated,
	}
}
func (p *scriptedPlugin) Done() <-chan struct{} { return p.dead }
func (p *scriptedPlugin) Level() string         { return "isolated" }
func (p *scriptedPlugin) Enforced() json.RawMessage {
	return json.RawMessage(`{"enforced":"isolated"}`)
}
func (p *scriptedPlugin) Leftovers() int { return 0 }

func (p *scriptedPlugin) ModelUse() *sdk.Usage { return p.script.models }

func (p *scriptedPlugin) Unchanged(context.Context) error { return p.script.unlike }
func (p *scriptedPlugin) Interrupt(ctx context.Context) error {
	return p.Cancel(context.Background(), "")
}
func (p *scriptedPlugin) Terminate(ctx context.Context) error { return nil }

func (p *scriptedPlugin) Cancel(context.Context, string) error {
	if !p.script.deaf {
		p.once.Do(func() { close(p.cancelled) })
	}
	return nil
}

func (p *scriptedPlugin) Stop(context.Context) (work.Death, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.tries++
	if p.tries <= p.script.unprovable {
		return work.Death{Method: "pid namespace", Survivors: 1}, nil
	}
	p.deadOnce.Do(func() {
		close(p.dead)
		p.s.stops++
		if p.l.Kind == "executor" {
			p.s.livesNow--
		}
	})
	return work.Death{Method: "pid namespace", Proved: true, Signals: []string{"SIGKILL"}, Took: killTook}, nil
}

// killTook is what a kill of a scripted plugin says that it took.
const killTook = time.Microsecond

func (p *scriptedPlugin) Execute(ctx context.Context, a sdk.Attempt, sink func(context.Context, sdk.Event) error) (sdk.Result, error) {
	if p.script.execute == nil {
		return sdk.Result{StopReason: "end_turn"}, nil
	}
	return p.script.execute(ctx, p, a, sink)
}

func (p *scriptedPlugin) Check(_ context.Context, c sdk.Check, output func(string, []byte) error) (sdk.Verdict, error) {
	if err := output("stdout", []byte("checked "+c.Gate)); err != nil {
		return sdk.Verdict{}, err
	}
	if p.script.check == nil {
		return sdk.Verdict{Outcome: sdk.Pass, Ran: &sdk.Ran{Argv: []string{"true"}, Duration: time.Millisecond}}, nil
	}
	return p.script.check(c)
}

func (p *scriptedPlugin) Input(_ context.Context, item string, answer sdk.Answer, decision sdk.Decision) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.inputs = append(p.s.inputs, fmt.Sprintf("%s answered=%v text=%q allowed=%v", item, answer.Answered, answer.Text, decision.Allowed))
	p.told.Do(func() { close(p.answered) })
	return nil
}

// fixture is a dispatcher over a real record.
type fixture struct {
	t        *testing.T
	dir      string
	store    *store.Store
	cas      *artifact.Store
	d        *dispatch.Dispatcher
	trees    *scriptedTrees
	plugins  *scriptedPlugins
	journals *memoryJournals
	bus      *event.Bus
	reading  func(attemptID string)
	looked   func(work.Approval)
	grace    time.Duration // of a stop
	stop     context.CancelFunc
	ended    chan error
}

func policyOf(gates ...work.GateRule) *work.Policy {
	box := &work.SandboxPolicy{Name: "box", Level: "isolated"}
	ex := &work.ExecutorDecl{Name: "coder", Plugin: "command", Sandbox: box, Question: work.QuestionPolicy{Deadline: time.Minute, Default: "deny"}}
	other := &work.ExecutorDecl{Name: "other", Plugin: "command", Sandbox: box}
	for i := range gates {
		gates[i].Sandbox = box
	}
	return &work.Policy{
		Digest: "sha256:p", MaxParallel: 4, Output: 1 << 20, Stop: work.StopLadder{Protocol: rung, Interrupt: rung, Terminate: rung},
		Executors: map[string]*work.ExecutorDecl{"coder": ex, "other": other},
		Workspaces: map[string]*work.Workspace{"api": {
			Name: "api", Root: "/src/api", Base: "main", Bases: []string{"main", "feature/*"}, Executors: []string{"coder"}, Wall: time.Hour, Gates: gates,
		}},
	}
}

func newFixture(t *testing.T, s script, gates ...work.GateRule) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), trees: &scriptedTrees{}, plugins: &scriptedPlugins{script: s}, bus: event.New(64)}
	f.journals = &memoryJournals{events: map[string][]sdk.Event{}}
	f.open(policyOf(gates...))
	return f
}

// open starts a dispatcher over the fixture's state directory, as a daemon start would.
func (f *fixture) open(policy *work.Policy) {
	f.t.Helper()
	ctx := f.t.Context()
	var err error
	f.store, err = store.Open(ctx, store.Options{Dir: f.dir, Log: hclog.NewNullLogger(), Now: time.Now})
	if err != nil {
		f.t.Fatal(err)
	}
	cas, err := artifact.Open(f.dir + "/cas")
	if err != nil {
		f.t.Fatal(err)
	}
	f.cas = cas
	judges := panel.New(panel.Options{
		Record: recordPort{f.store, f.reading, nil}, Plugins: dispatch.Validators(f.plugins), Artifacts: artifactsPort{cas}, Actor: work.Actor{Kind: "daemon", ID: "drawspan"},
		Version: "test", Now: time.Now, Log: hclog.NewNullLogger(),
	})
	f.d = dispatch.New(dispatch.Options{
		Record: recordPort{f.store, f.reading, f.looked}, Panel: judges, Trees: f.trees, Plugins: f.plugins, Artifacts: artifactsPort{cas}, Journals: f.journals,
		Policy: policy, Version: "test", Now: time.Now, Wake: f.bus.Wake, Log: hclog.NewNullLogger(), ShutdownGrace: f.grace,
	})
	if err := f.d.Recover(ctx); err != nil {
		f.t.Fatal(err)
	}
	runCtx, stop := context.WithCancel(context.Background())
	f.stop, f.ended = stop, make(chan error, 1)
	go func() { f.ended <- f.d.Run(runCtx) }()
	f.t.Cleanup(f.close)
}

// close stops the dispatcher as SIGTERM would; it may be called twice.
func (f *fixture) close() {
	f.stop()
	if err, ok := <-f.ended; ok {
		close(f.ended)
		if err != nil {
			f.t.Errorf("run: %v", err)
		}
		if err := f.store.Close(context.Background()); err != nil {
			f.t.Errorf("close store: %v", err)
		}
	}
}

// loseArtifacts takes the content store's files away.
func (f *fixture) loseArtifacts() {
	f.t.Helper()
	if err := os.Rename(f.dir+"/cas", f.dir+"/lost"); err != nil {
		f.t.Fatal(err)
	}
	if _, err := artifact.Open(f.dir + "/cas"); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) run() work.Run {
	f.t.Helper()
	run, err := f.d.OpenRun(f.t.Context(), operator, dispatch.RunRequest{Workspace: "api"})
	if err != nil {
		f.t.Fatal(err)
	}
	return run
}

func (f *fixture) dispatch(run work.Run, text string) work.Step {
	f.t.Helper()
	step, err := f.d.DispatchStep(f.t.Context(), operator, dispatch.StepRequest{RunID: run.ID, Text: text, Executor: "coder"})
	if err != nil {
		f.t.Fatal(err)
	}
	return step
}

// await waits until the step satisfies the condition.
func (f *fixture) await(id string, what string, ok func(work.Step) bool) work.Step {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	for {
		waitCtx, done := context.WithCancel(ctx)
		woken := f.bus.Wait(waitCtx, id)
		step, err := f.store.Step(ctx, id)
		if err != nil {
			f.t.Fatal(err)
		}
		if ok(step) {
			done()
			return step
		}
		select {
		case <-woken:
		case <-ctx.Done():
			f.t.Fatalf("step %s never became %s: %+v", id, what, step)
		}
		done()
	}
}

func (f *fixture) settled(id string) work.Step {
	f.t.Helper()
	return f.await(id, "settled", func(s work.Step) bool { return s.State.Settled() })
}

func (f *fixture) attempt(step work.Step) work.Attempt {
	f.t.Helper()
	at, err := f.store.Attempt(f.t.Context(), step.AttemptID)
	if err != nil {
		f.t.Fatal(err)
	}
	return at
}

func (f *fixture) kinds(runID string) []string {
	f.t.Helper()
	events, err := f.store.Events(f.t.Context(), store.EventFilter{RunID: runID, Limit: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for _, e := range events {
		out = append(out, e.Kind)
	}
	return out
}

// approval waits for the one open approval of a step.
func (f *fixture) approval(stepID string) work.Approval {
	f.t.Helper()
	var found work.Approval
	f.await(stepID, "asking", func(work.Step) bool {
		page, err := f.store.Approvals(f.t.Context(), store.ApprovalFilter{StepID: stepID, State: work.ApprovalOpen})
		if err != nil {
			f.t.Fatal(err)
		}
		if len(page.Items) == 0 {
			return false
		}
		found = page.Items[0]
		return true
	})
	return found
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("got %v, want code %s", err, code)
	}
}

var errBoom = errors.New("boom")
