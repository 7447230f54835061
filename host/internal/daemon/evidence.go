package daemon

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/httpapi"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/journal"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
)

// evidenceHandlers answers what is asked of attempts and what they left.
func (d *Daemon) evidenceHandlers(h httpapi.Handlers) {
	h[api.OpAttemptList] = httpapi.Handle(d.attemptList)
	h[api.OpAttemptGet] = httpapi.Handle(d.attemptGet)
	h[api.OpAttemptStream] = httpapi.Handle(d.attemptStream)
	h[api.OpAttemptRestore] = httpapi.Handle(d.attemptRestore)
	h[api.OpValidationList] = httpapi.Handle(d.validationList)
	h[api.OpGateList] = httpapi.Handle(d.gateList)
	h[api.OpApprovalList] = httpapi.Handle(d.approvalList)
	h[api.OpApprovalDecide] = httpapi.Handle(d.approvalDecide)
	h[api.OpArtifactList] = httpapi.Handle(d.artifactList)
	h[api.OpArtifactRead] = httpapi.Handle(d.artifactRead)
}

// check refuses every id that is set and malformed.
func check(ids map[ident.Prefix]string) error {
	for prefix, id := range ids {
		if id == "" {
			continue
		}
		if err := ident.Check(prefix, id); err != nil {
			return err
		}
	}
	return nil
}

// attemptView is an attempt with the path of its tree while that exists, and what its preparation is at.
func (d *Daemon) attemptView(at work.Attempt) api.Attempt {
	out := attemptOf(at)
	out.TreePath = d.trees.pathOf(at.ID)
	if s := d.dispatch.Stage(at.ID); s != nil {
		out.Preparing = &api.Preparation{Run: s.Run, Waits: s.Waits, Since: s.Since}
	}
	return out
}

func (d *Daemon) attemptList(ctx context.Context, _ api.Actor, r api.AttemptListRequest) (api.List[api.Attempt], error) {
	if err := check(map[ident.Prefix]string{ident.Step: r.StepID, ident.Run: r.RunID}); err != nil {
		return api.List[api.Attempt]{}, err
	}
	page, err := d.store.Attempts(ctx, store.AttemptFilter{RunID: r.RunID, StepID: r.StepID, Newest: r.RunID == "" && r.StepID == "", Limit: pageSize(r.Page), Cursor: r.Cursor})
	return listOf(page, d.attemptView), err
}

func (d *Daemon) attempt(ctx context.Context, id string) (work.Attempt, error) {
	if err := ident.Check(ident.Attempt, id); err != nil {
		return work.Attempt{}, err
	}
	return d.store.Attempt(ctx, id)
}

func (d *Daemon) attemptGet(ctx context.Context, _ api.Actor, r api.AttemptRef) (api.Attempt, error) {
	at, err := d.attempt(ctx, r.AttemptID)
	if err != nil {
		return api.Attempt{}, err
	}
	return d.attemptView(at), nil
}

// attemptStream reads the event stream: the live file while there is one, else the sealed artifact.
func (d *Daemon) attemptStream(ctx context.Context, _ api.Actor, r api.StreamRequest) (api.Blob, error) {
	at, err := d.attempt(ctx, r.AttemptID)
	if err != nil {
		return api.Blob{}, err
	}
	if r.Offset < 0 {
		return api.Blob{}, fault.New(fault.InvalidRequest, "offset is negative").At("offset")
	}
	if err := d.streamBegins(ctx, at, r.Follow); err != nil {
		return api.Blob{}, err
	}
	blob := api.Blob{Media: "application/jsonl", Size: -1, Name: journal.EventsName}
	if blob.Body, err = d.journals.follow(ctx, at.ID, r.Offset, r.Follow); err == nil {
		return blob, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return api.Blob{}, err
	}
	return d.artifactRead(ctx, api.Actor{}, api.ArtifactReadRequest{AttemptID: at.ID, Name: journal.EventsName, Offset: r.Offset})
}

// streamBegins waits, for a follower, until an attempt that is being prepared has a stream.
func (d *Daemon) streamBegins(ctx context.Context, at work.Attempt, follow bool) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	for follow && (at.State == work.AttemptQueued || at.State == work.AttemptPreparing) {
		woken := d.bus.Wait(ctx, at.ID)
		var err error
		if at, err = d.store.Attempt(ctx, at.ID); err != nil {
			return err
		}
		if at.State != work.AttemptQueued && at.State != work.AttemptPreparing {
			break
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (d *Daemon) attemptRestore(ctx context.Context, a api.Actor, r api.AttemptRestoreRequest) (api.AttemptRestored, error) {
	at, err := d.attempt(ctx, r.AttemptID)
	if err != nil {
		return api.AttemptRestored{}, err
	}
	if at.Evidence == nil || at.Evidence.Commit == "" {
		return api.AttemptRestored{}, fault.New(fault.Conflict, "attempt %s kept no tree", at.ID)
	}
	ws, ok := d.dispatch.Policy().Workspaces[at.Workspace]
	if !ok {
		return api.AttemptRestored{}, fault.New(fault.NotAllowed, "workspace %q is no longer declared", at.Workspace)
	}
	files, err := d.trees.Restore(ctx, ws, at.Evidence.Commit, r.Dir)
	if err != nil {
		return api.AttemptRestored{}, err
	}
	err = d.record(ctx, work.Fact{
		Kind: "attempt.restored", Actor: work.Actor(a), RunID: at.RunID, StepID: at.StepID, AttemptID: at.ID, At: time.Now().UTC(),
		Body: map[string]any{"dir": r.Dir, "commit": at.Evidence.Commit, "files": files},
	})
	return api.AttemptRestored{AttemptID: at.ID, Dir: r.Dir, Commit: at.Evidence.Commit, Files: files, Simulated: at.Simulated}, err
}

func (d *Daemon) validationList(ctx context.Context, _ api.Actor, r api.ValidationListRequest) (api.List[api.Validation], error) {
	if err := check(map[ident.Prefix]string{ident.Attempt: r.AttemptID, ident.Step: r.StepID}); err != nil {
		return api.List[api.Validation]{}, err
	}
	page, err := d.store.Validations(ctx, store.ValidationFilter{AttemptID: r.AttemptID, StepID: r.StepID, Limit: pageSize(r.Page), Cursor: r.Cursor})
	return listOf(page, validationOf), err
}

func (d *Daemon) gateList(ctx context.Context, _ api.Actor, r api.GateListRequest) (api.List[api.GateState], error) {
	none := api.List[api.GateState]{Items: []api.GateState{}}
	if err := check(map[ident.Prefix]string{ident.Attempt: r.AttemptID, ident.Step: r.StepID}); err != nil {
		return none, err
	}
	id := r.AttemptID
	if id == "" {
		if r.StepID == "" {
			return none, fault.New(fault.InvalidRequest, "neither attempt_id nor step_id is given")
		}
		step, err := d.store.Step(ctx, r.StepID)
		if err != nil || step.AttemptID == "" {
			return none, err
		}
		id = step.AttemptID
	}
	at, err := d.store.Attempt(ctx, id)
	if err != nil {
		return none, err
	}
	gates, err := d.store.Gates(ctx, id)
	return api.List[api.GateState]{Items: markGates(mapAll(gates, gateOf), at.Simulated)}, err
}

func (d *Daemon) approvalList(ctx context.Context, _ api.Actor, r api.ApprovalListRequest) (api.List[api.Approval], error) {
	f := store.ApprovalFilter{RunID: r.RunID, Limit: pageSize(r.Page), Cursor: r.Cursor}
	if err := check(map[ident.Prefix]string{ident.Run: r.RunID}); err != nil {
		return api.List[api.Approval]{}, err
	}
	switch r.State {
	case "", "open":
		f.State = work.ApprovalOpen
	case "decided", "all":
		f.Newest = true
	default:
		return api.List[api.Approval]{}, fault.New(fault.InvalidRequest, "state is %q; it is open, decided or all", r.State).At("state")
	}
	page, err := d.store.Approvals(ctx, f)
	out := listOf(page, approvalOf)
	if err == nil {
		err = d.markApprovals(ctx, out.Items)
	}
	if r.State == "decided" {
		kept := out.Items[:0]
		for _, ap := range out.Items {
			if ap.State != string(work.ApprovalOpen) {
				kept = append(kept, ap)
			}
		}
		out.Items = kept
	}
	return out, err
}

func (d *Daemon) approvalDecide(ctx context.Context, a api.Actor, r api.ApprovalDecideRequest) (api.Approval, error) {
	if len(r.Answer)+len(r.Note) > api.MaxNote {
		return api.Approval{}, fault.New(fault.TooLarge, "answer and note have more than %d bytes", api.MaxNote)
	}
	ap, err := d.dispatch.Decide(ctx, work.Actor(a), dispatch.DecideRequest{ApprovalID: r.ApprovalID, Decision: r.Decision, Answer: r.Answer, Note: r.Note})
	if err != nil {
		return api.Approval{}, err
	}
	out := []api.Approval{approvalOf(ap)}
	err = d.markApprovals(ctx, out)
	return out[0], err
}

func (d *Daemon) artifactList(ctx context.Context, _ api.Actor, r api.ArtifactListRequest) (api.List[api.Artifact], error) {
	at, err := d.attempt(ctx, r.AttemptID)
	if err != nil {
		return api.List[api.Artifact]{}, err
	}
	rows, err := d.store.Artifacts(ctx, r.AttemptID)
	return api.List[api.Artifact]{Items: markArtifacts(mapAll(rows, artifactOf), at.Simulated)}, err
}

// artifactRead verifies the whole artifact before its first byte is sent.
func (d *Daemon) artifactRead(ctx context.Context, _ api.Actor, r api.ArtifactReadRequest) (api.Blob, error) {
	if err := ident.Check(ident.Attempt, r.AttemptID); err != nil {
		return api.Blob{}, err
	}
	row, err := d.store.Artifact(ctx, r.AttemptID, r.Name)
	if err != nil {
		return api.Blob{}, err
	}
	if row.Kind == "session" {
		return api.Blob{}, fault.New(fault.NotAllowed, "%s is the executor's own session; it is kept for a follow-up on this host and not handed out", row.Name).
			Fix("run: drawspan step followup %s TEXT", row.StepID)
	}
	if r.Offset < 0 || r.Limit < 0 || r.Offset > row.Size {
		return api.Blob{}, fault.New(fault.InvalidRequest, "offset or limit is outside the artifact's %d bytes", row.Size).At("offset")
	}
	body, err := d.bytesOf(ctx, row)
	if err != nil {
		return api.Blob{}, err
	}
	if _, err := body.Seek(r.Offset, io.SeekStart); err != nil {
		_ = body.Close() // the seek's error is the one to tell
		return api.Blob{}, err
	}
	size := row.Size - r.Offset
	if r.Limit > 0 && r.Limit < size {
		size = r.Limit
	}
	return api.Blob{Media: row.Media, Size: size, Name: row.Name, Body: limited{io.LimitReader(body, size), body}}, nil
}

// limited reads a part and closes the whole.
type limited struct {
	io.Reader
	io.Closer
}

// bytesOf opens an artifact's verified bytes, inline or from the content store.
func (d *Daemon) bytesOf(ctx context.Context, row work.Artifact) (io.ReadSeekCloser, error) {
	if row.Inline == nil && row.Size > 0 || row.Size > smallArtifact {
		return d.artifacts.Verified(ctx, row.Digest, row.Size)
	}
	if digestOf(row.Inline) != row.Digest {
		return nil, fault.New(fault.ArtifactCorrupt, "artifact %s of attempt %s does not match its digest", row.Name, row.AttemptID).
			Fix("run: drawspan audit verify")
	}
	return nopCloser{bytes.NewReader(row.Inline)}, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }
