package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
)

// part is one piece of a step's floor: what it took in each round, all its repetitions together.
type part struct {
	name  string
	times int
	run   func() (float64, error)
	took  sample
}

// stepFloor is the barest means to do what a step does.
type stepFloor struct {
	parts []*part
	tree  string // of the present round
	round int
}

// newStepFloor prepares the parts over a repository of their own.
func (s *site) newStepFloor(ctx context.Context) (f *stepFloor, end func() error, err error) {
	repo, err := s.newRepository("floor")
	if err != nil {
		return nil, nil, err
	}
	trees, err := s.dir("worktrees")
	if err != nil {
		return nil, nil, err
	}
	keepApart(trees)
	wrapped, err := bubblewrap(trees, "/bin/true")
	if err != nil {
		return nil, nil, err
	}
	a, err := s.newAppender(500)
	if err != nil {
		return nil, nil, err
	}
	f = &stepFloor{}
	f.parts = []*part{
		{name: "git worktree add", times: 1, run: func() (float64, error) {
			f.round++
			f.tree = filepath.Join(trees, fmt.Sprint(f.round))
			return timed(func() error { return repo.addWorktree(f.tree) })
		}},
		{name: "bubblewrap launch", times: 2, run: func() (float64, error) { return spawned(wrapped...) }},
		{name: "raw gRPC child", times: 2, run: func() (float64, error) { return s.rawChild(ctx) }},
		{name: "append+fdatasync", times: 4, run: func() (float64, error) { return timed(a.append) }},
		{name: "git add, write-tree, commit-tree, diff-tree", times: 1, run: func() (float64, error) {
			if err := os.WriteFile(filepath.Join(f.tree, "bench.txt"), fmt.Appendf(nil, "round %d\n", f.round), 0o644); err != nil {
				return 0, fmt.Errorf("edit: %w", err)
			}
			return timed(func() error { return repo.capture(f.tree) })
		}},
		{name: "fork and exec", times: 1, run: func() (float64, error) { return spawned("/bin/true") }},
	}
	return f, a.close, nil
}

// measure does every part once and returns the sum.
func (f *stepFloor) measure(keep bool) (float64, error) {
	sum := 0.0
	for _, p := range f.parts {
		took := 0.0
		for range p.times {
			v, err := p.run()
			if err != nil {
				return 0, fmt.Errorf("%s: %w", p.name, err)
			}
			took += v
		}
		if keep {
			p.took = append(p.took, took)
		}
		sum += took
	}
	return sum, nil
}

// String lists the parts with their medians.
func (f *stepFloor) String() string {
	var list []string
	for _, p := range f.parts {
		list = append(list, fmt.Sprintf("%d %s %s", p.times, p.name, number(p.took.median())))
	}
	return strings.Join(list, ", ")
}

// workshop is a daemon with one workspace.
type workshop struct {
	repo   *repository
	daemon *served
}

// blocks is the configuration of a workspace whose one gate runs true. The executor edit makes the
// cheapest change there is, by itself; write has a program write the step's text.
const blocks = `sandbox "box" {
}

executor "edit" {
  plugin  = "script"
  sandbox = "box"
  config {
    play = [{ edit = { path = "bench.txt", content = "an edit\n" } }]
  }
}

executor "write" {
  plugin  = "command"
  sandbox = "box"
  config {
    program = ["sh", "-c", "cat > bench.txt"]
  }
}

workspace "bench" {
  root      = %q
  base      = "main"
  executors = ["edit", "write"]

  gate "true" {
    validator = "command"
    sandbox   = "box"
    config {
      run = ["true"]
    }
  }
}
`

// newWorkshop starts a daemon over a new repository.
func (s *site) newWorkshop(ctx context.Context) (*workshop, error) {
	repo, err := s.newRepository("repository")
	if err != nil {
		return nil, err
	}
	h, err := s.newHousehold("", fmt.Sprintf(blocks, repo.root))
	if err != nil {
		return nil, err
	}
	if err := h.lockPlugins(); err != nil {
		return nil, err
	}
	d, err := h.serve(ctx)
	if err != nil {
		return nil, err
	}
	return &workshop{repo, d}, nil
}

// call asks the daemon.
func call[Resp any](ctx context.Context, w *workshop, op api.Op, req any) (Resp, error) {
	return client.Call[Resp](ctx, w.daemon.client, op, req)
}

func (w *workshop) openRun(ctx context.Context) (api.Run, error) {
	return call[api.Run](ctx, w, api.OpRunOpen, api.RunOpenRequest{Workspace: "bench"})
}

func (w *workshop) dispatch(ctx context.Context, runID, executor, text string) (api.Step, error) {
	return call[api.Step](ctx, w, api.OpStepDispatch, api.StepDispatchRequest{RunID: runID, Text: text, Executor: executor})
}

// settled waits for the end of a step; the daemon answers when it has come.
func (w *workshop) settled(ctx context.Context, stepID string) (api.Step, error) {
	step, err := call[api.Step](ctx, w, api.OpStepGet, api.StepRef{StepID: stepID, Wait: 120})
	if err != nil {
		return step, err
	}
	if step.State != "passed" {
		why := step.Reason
		if step.Attempt != nil {
			why = strings.Join([]string{why, step.Attempt.Outcome, step.Attempt.Reason, step.Attempt.Message}, " ")
		}
		return step, fmt.Errorf("step %s is %s: %s", step.ID, step.State, why)
	}
	return step, nil
}

// oneStep times a step of a new run from its dispatch to the answer that it has settled.
func (w *workshop) oneStep(ctx context.Context, text string) (float64, api.Step, error) {
	run, err := w.openRun(ctx)
	if err != nil {
		return 0, api.Step{}, err
	}
	var step api.Step
	took, err := timed(func() (err error) {
		if step, err = w.dispatch(ctx, run.ID, "edit", text); err == nil {
			step, err = w.settled(ctx, step.ID)
		}
		return err
	})
	return took, step, err
}

// measureStep times a whole step through a daemon.
func measureStep(ctx context.Context, s *site) (figures []figure, err error) {
	if err := s.durable(); err != nil {
		return nil, err
	}
	floor, end, err := s.newStepFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	w, err := s.newWorkshop(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.daemon.stop(ctx)) }()
	plan := rounds{warm: 3, kept: 31}
	phases := &timeline{}
	got, err := race(ctx, plan,
		entrant{"step", func(ctx context.Context, round int) (float64, error) {
			if err := w.daemon.settle(ctx); err != nil {
				return 0, err
			}
			took, step, err := w.oneStep(ctx, fmt.Sprintf("round %d\n", round))
			if err == nil && round >= plan.warm {
				err = phases.add(ctx, w, step.ID, took)
			}
			return took, err
		}},
		entrant{"floor", func(ctx context.Context, round int) (float64, error) {
			if err := w.daemon.settle(ctx); err != nil {
				return 0, err
			}
			return floor.measure(round >= plan.warm)
		}},
	)
	if err != nil {
		return nil, err
	}
	memory, err := w.daemon.memory()
	if err != nil {
		return nil, err
	}
	return []figure{compared("step", "ms", got[0], got[1], bar{ratioAtMost, 2.5}).
		also("%d files, plain tree, an executor that edits one file itself and one command gate; floor (ms): %v; the step's own time (ms): %v; resident size of "+
			"the daemon afterwards %s MB", files, floor, phases, number(memory))}, nil
}

// timeline collects where the time of steps goes, by the times of their events.
type timeline struct {
	names []string
	took  map[string]sample
}

// add takes the events of a step that has settled.
func (t *timeline) add(ctx context.Context, w *workshop, stepID string, total float64) error {
	events, err := call[api.List[api.Event]](ctx, w, api.OpEventsRead, api.EventsRequest{StepID: stepID, Limit: 200})
	if err != nil {
		return err
	}
	if len(events.Items) == 0 {
		return fmt.Errorf("step %s has no events", stepID)
	}
	first, last := events.Items[0], events.Items[len(events.Items)-1]
	before := first
	for _, e := range events.Items[1:] {
		if strings.HasPrefix(e.Kind, "attempt.") || e.Kind == last.Kind {
			t.note(before.Kind+" to "+e.Kind, e.At.Sub(before.At))
			before = e
		}
	}
	t.note("request and answer", time.Duration(total*float64(time.Millisecond))-last.At.Sub(first.At))
	return nil
}

func (t *timeline) note(name string, took time.Duration) {
	if t.took == nil {
		t.took = map[string]sample{}
	}
	if _, known := t.took[name]; !known {
		t.names = append(t.names, name)
	}
	t.took[name] = append(t.took[name], ms(took))
}

// String lists the phases with their medians.
func (t *timeline) String() string {
	var list []string
	for _, name := range t.names {
		list = append(list, name+" "+number(t.took[name].median()))
	}
	return strings.Join(list, ", ")
}
