package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/work"
)

const (
	parallelRuns = 10
	stepsPerRun  = 5
)

// measureParallel dispatches 50 steps at once over 10 runs and counts the right results: passed, with
// a result that holds this step's text and nothing else, on the result of the step before it.
func measureParallel(ctx context.Context, s *site) (figures []figure, err error) {
	w, err := s.newWorkshop(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.daemon.stop(ctx)) }()
	began := time.Now()
	chains := make([]chain, parallelRuns)
	var group sync.WaitGroup
	for n := range chains {
		group.Go(func() { chains[n] = w.chain(ctx, n) })
	}
	group.Wait()
	took := time.Since(began)
	right, all := 0, parallelRuns*stepsPerRun
	var wrong []error
	for _, c := range chains {
		right += c.right
		wrong = append(wrong, c.wrong...)
	}
	f := judged("parallel", "steps", float64(right), float64(all), bar{ratioAtLeast, 1}).
		also("%d steps at once over %d runs: %d right, %d failures, all settled after %s s", all, parallelRuns, right, len(wrong), number(took.Seconds()))
	for _, e := range wrong[:min(3, len(wrong))] {
		f = f.also("%v", e)
	}
	verdict, err := call[api.AuditVerdict](ctx, w, api.OpAuditVerify, api.AuditVerifyRequest{Artifacts: true})
	if err != nil {
		return nil, err
	}
	if !verdict.OK {
		return []figure{f.failing("the log does not verify: %s", strings.Join(verdict.Problems, ", "))}, nil
	}
	return []figure{f.also("the log of %d events verifies", verdict.Events)}, nil
}

// chain is what came of the steps of one run.
type chain struct {
	right int
	wrong []error
}

// chain dispatches the steps of one run without waiting in between, then looks at each.
func (w *workshop) chain(ctx context.Context, n int) (c chain) {
	run, err := w.openRun(ctx)
	if err != nil {
		return chain{wrong: []error{err}}
	}
	var steps []api.Step
	for i := range stepsPerRun {
		step, err := w.dispatch(ctx, run.ID, "write", textOf(n, i))
		if err != nil {
			c.wrong = append(c.wrong, err)
			return c
		}
		steps = append(steps, step)
	}
	base, before := run.BaseCommit, ""
	for i, step := range steps {
		commit, err := w.judge(ctx, step.ID, base, before, textOf(n, i))
		if err != nil {
			c.wrong = append(c.wrong, fmt.Errorf("run %d, step %d: %w", n, i, err))
			return c // what builds on it cannot be judged
		}
		c.right++
		base, before = commit, textOf(n, i)
	}
	return c
}

func textOf(run, step int) string { return fmt.Sprintf("run %d step %d\n", run, step) }

// judge waits for a step and compares its result with what must come of it.
func (w *workshop) judge(ctx context.Context, stepID, base, before, text string) (commit string, err error) {
	step, err := w.settled(ctx, stepID)
	if err != nil {
		return "", err
	}
	at := step.Attempt
	if at == nil || at.Outcome != string(work.Succeeded) || at.Base != base {
		return "", fmt.Errorf("the attempt is %+v and should have succeeded on %s", at, base)
	}
	var seen work.Evidence
	if err := json.Unmarshal(at.Evidence, &seen); err != nil {
		return "", fmt.Errorf("read the evidence: %w", err)
	}
	if len(seen.Diff.Files) != 1 || seen.Diff.Files[0].Path != "bench.txt" {
		return "", fmt.Errorf("the result changes %+v and should change bench.txt", seen.Diff.Files)
	}
	patch, err := w.artifact(ctx, at.ID, "diff.patch")
	if err != nil {
		return "", err
	}
	if !strings.Contains(patch, "\n+"+text) || before != "" && !strings.Contains(patch, "\n-"+before) {
		return "", fmt.Errorf("the diff does not turn %q into %q: %s", before, text, patch)
	}
	return seen.Commit, nil
}

func (w *workshop) artifact(ctx context.Context, attemptID, name string) (content string, err error) {
	r, err := w.daemon.client.Stream(ctx, api.OpArtifactRead, api.ArtifactReadRequest{AttemptID: attemptID, Name: name})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	raw, err := io.ReadAll(io.LimitReader(r, 1<<20))
	return string(raw), err
}
