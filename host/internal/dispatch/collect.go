package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/work"
)

// maxPatch bounds diff.patch. A larger one is cut and marked.
const maxPatch = 64 << 20

// collect keeps what the attempt left: tree, diff, stream. The executor is dead by then. A tree that
// cannot be kept is not removed.
func (a *drive) collect(ctx context.Context, end *ending) error {
	if a.tree == nil { // nothing was made
		return nil
	}
	if a.journal != nil && end.cause != nil && (errors.Is(end.cause, errWall) || overrides(end.cause)) {
		a.note(budgetEvent(end.cause))
	}
	if end.started {
		if err := a.move(ctx, work.MoveAttempt{To: work.AttemptCollecting, Claim: end.claim, Death: end.death}); err != nil {
			return err
		}
	}
	evidence, kept, err := a.gather(ctx)
	if err != nil {
		if end.err == nil && end.cause == nil {
			end.err = fault.Wrap(err, fault.TreeRefused, "the attempt's tree could not be kept; it stays at %s", a.tree.Path())
		}
		a.d.report(ctx, "keep the attempt's tree", err, "attempt", a.at.ID)
	}
	session := a.keepSession(ctx, end.result)
	evidence.Session = len(session) > 0
	streams, err := a.sealStream(evidence)
	if err != nil {
		a.d.report(ctx, "seal the attempt's stream", err, "attempt", a.at.ID)
	}
	a.mu.Lock()
	a.at.Evidence = evidence
	a.mu.Unlock()
	rows := slices.Concat(kept, session, streams)
	if len(rows) == 0 {
		return nil
	}
	if err := a.d.opt.Record.Apply(ctx, rows...); err != nil {
		return fmt.Errorf("record artifacts: %w", err)
	}
	return a.removeJournal()
}

func (a *drive) removeJournal() error {
	if err := a.d.opt.Journals.Remove(a.at.ID); err != nil {
		a.d.opt.Log.Warn("live stream not removed", "attempt", a.at.ID, "error", err)
	}
	return nil
}

// gather captures the tree under its ref and keeps diff.patch.
func (a *drive) gather(ctx context.Context) (*work.Evidence, []work.Mutation, error) {
	evidence := &work.Evidence{Violations: a.violations.Load(), Permissions: a.counted(func(*work.Permissions) {}), FirstEvent: a.firstEvent}
	if a.plugin != nil {
		evidence.Leftovers, evidence.Usage = a.plugin.Leftovers(), usageOf(a.plugin.ModelUse())
		if err := a.plugin.Unchanged(ctx); err != nil {
			evidence.Program = fault.From(err).Message
		}
	}
	if a.git != nil {
		evidence.Commits = a.commits(ctx)
	}
	a.git = nil // the capture removes it
	evidence.Resumed = a.resumed
	patch, err := a.d.opt.Artifacts.Create(maxPatch)
	if err != nil {
		return evidence, nil, fmt.Errorf("create diff artifact: %w", err)
	}
	captured, err := a.tree.Capture(ctx, CaptureRequest{
		Base: a.at.Base, When: a.d.now(), MaxPatch: maxPatch, Patch: patch,
		Message: a.commitMessage(),
	})
	switch {
	case err != nil && captured.Commit == "":
		patch.Abort()
		return evidence, nil, err
	case err != nil: // it is kept, and can be judged and applied; only the operator's repository lacks the ref
		evidence.Unpublished = fault.From(err).Message
		a.d.report(ctx, "publish the kept commit", err, "attempt", a.at.ID)
	}
	evidence.TreeBefore, evidence.TreeAfter = captured.TreeBefore, captured.TreeAfter
	evidence.Commit, evidence.Ref = captured.Commit, captured.Ref
	evidence.Diff, evidence.Refused = captured.Diff, captured.Refused
	digest, size, truncated, err := patch.Seal()
	if err != nil {
		return evidence, nil, fmt.Errorf("seal diff: %w", err)
	}
	row := a.artifact("diff.patch", "diff", "text/x-diff")
	row.Digest, row.Size, row.Truncated = digest, size, truncated || captured.PatchTruncated
	return evidence, []work.Mutation{work.KeepArtifact{Artifact: row}}, nil
}

// commitMessage is the kept commit's: it says so where nobody did the work.
func (a *drive) commitMessage() string {
	text := fmt.Sprintf("drawspan attempt %s\n\nrun %s, step %s, executor %s\n", a.at.ID, a.at.RunID, a.at.StepID, a.at.Executor)
	if a.at.Simulated || a.step.Simulated {
		text += "simulated: the executor only plays a part\n"
	}
	return text
}

// commits takes over the executor's own commits. What cannot be taken over is said, and changes nothing
// else: the tree is what counts.
func (a *drive) commits(ctx context.Context) *work.Commits {
	got, err := a.tree.Commits(ctx, a.ex.Sandbox)
	if err != nil {
		f := fault.From(err)
		a.d.opt.Log.Warn("the executor's commits were not taken over", "attempt", a.at.ID, "error", err)
		return &work.Commits{Refused: f.Message}
	}
	return got
}

// artifact is a row of this attempt.
func (a *drive) artifact(name, kind, media string) work.Artifact {
	return work.Artifact{AttemptID: a.at.ID, RunID: a.at.RunID, StepID: a.at.StepID, Name: name, Kind: kind, Media: media, At: a.d.now()}
}

// keep stores a body under its row.
func (a *drive) keep(name, kind, media string, body []byte) (work.Artifact, error) {
	return panel.Keep(a.d.opt.Artifacts, a.artifact(name, kind, media), bytes.NewReader(body), int64(len(body)))
}

// sealStream closes the journal and keeps its files.
func (a *drive) sealStream(evidence *work.Evidence) ([]work.Mutation, error) {
	if a.journal == nil {
		return nil, nil
	}
	stream, err := a.journal.Seal()
	if err != nil {
		return nil, err
	}
	evidence.Output, evidence.Truncated = stream.Output, stream.Truncated
	var rows []work.Mutation
	for _, f := range stream.Files {
		row, err := a.keepFile(f)
		if err != nil {
			return rows, err
		}
		row.Truncated = row.Truncated || stream.Truncated
		rows = append(rows, work.KeepArtifact{Artifact: row})
	}
	return rows, nil
}

func (a *drive) keepFile(f StreamFile) (work.Artifact, error) {
	body, err := f.Open()
	if err != nil {
		return work.Artifact{}, fmt.Errorf("open %s: %w", f.Name, err)
	}
	defer body.Close()
	return panel.Keep(a.d.opt.Artifacts, a.artifact(f.Name, f.Kind, f.Media), body, f.Size)
}

// jsonOf encodes plain data of this package.
func jsonOf(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`null`)
	}
	return b
}
