package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

func scanGate(row scanner) (work.GateRecord, int, error) {
	var g work.GateRecord
	dest, done := gateDest(&g)
	err := row.Scan(dest...)
	done()
	return g, len(g.Rule) + len(g.Reason), err
}

const selectGate = "SELECT " + gateColumns + " FROM gate"

// Gates reads the gates of an attempt in the order in which they were opened.
func (s *Store) Gates(ctx context.Context, attemptID string) ([]work.GateRecord, error) {
	return query[work.GateRecord]{"gates", scanGate, selectGate + " WHERE attempt_id = ? ORDER BY id", []any{attemptID}}.all(ctx, s.reads)
}

// Gate reads a gate.
func (s *Store) Gate(ctx context.Context, id string) (work.GateRecord, error) {
	return query[work.GateRecord]{"gate " + id, scanGate, selectGate + " WHERE id = ?", []any{id}}.one(ctx, s.reads)
}

// Validations lists validations, oldest first.
func (s *Store) Validations(ctx context.Context, f ValidationFilter) (Page[work.Validation], error) {
	l := list[work.Validation]{
		what: "validations", query: "SELECT " + validationColumns + " FROM validation", order: "id", limit: f.Limit, scan: scanValidation,
		cursor: func(v work.Validation) string { return v.ID },
	}
	l.where.equal("run_id", f.RunID)
	l.where.equal("step_id", f.StepID)
	l.where.equal("attempt_id", f.AttemptID)
	l.where.equal("gate", f.Gate)
	l.where.equal("result", string(f.Result))
	if err := l.where.after(f.Cursor, ident.Validation, "id > ?"); err != nil {
		return Page[work.Validation]{}, err
	}
	return l.read(ctx, s.reads)
}

func scanArtifact(row scanner) (work.Artifact, int, error) {
	var a work.Artifact
	dest, done := artifactDest(&a)
	err := row.Scan(dest...)
	done()
	return a, len(a.Name), err
}

// Artifacts reads the artifact rows of an attempt by name, without their bytes.
func (s *Store) Artifacts(ctx context.Context, attemptID string) ([]work.Artifact, error) {
	return query[work.Artifact]{"artifacts", scanArtifact, "SELECT " + artifactColumns + " FROM artifact WHERE attempt_id = ? ORDER BY name", []any{attemptID}}.all(ctx, s.reads)
}

// Artifact reads one artifact, with its bytes where they are inline. Inline bytes that do not match their
// digest are fault.ArtifactCorrupt, and inline bytes that retention deleted are fault.NotFound.
func (s *Store) Artifact(ctx context.Context, attemptID, name string) (work.Artifact, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var a work.Artifact
	var inlined, there bool
	dest, done := artifactDest(&a)
	err := s.reads.QueryRowContext(ctx, `SELECT attempt_id, name, run_id, step_id, kind, digest, size, media_type, truncated, at, inlined,
			bytes IS NOT NULL, bytes FROM artifact LEFT JOIN artifact_body USING (attempt_id, name)
		WHERE artifact.attempt_id = ? AND artifact.name = ?`, attemptID, name).Scan(append(dest, &inlined, &there, &a.Inline)...)
	if err != nil {
		return a, readFault(fmt.Sprintf("artifact %s of attempt %s", name, attemptID), err)
	}
	done()
	switch {
	case !inlined:
		return a, nil
	case !there:
		return a, fault.New(fault.NotFound, "the bytes of artifact %s were deleted by retention", name).At(attemptID)
	case digestOf(a.Inline) != a.Digest:
		return a, fault.New(fault.ArtifactCorrupt, "artifact %s of attempt %s does not match its digest", name, attemptID).
			Fix("run: drawspan audit verify")
	}
	if a.Inline == nil {
		a.Inline = []byte{} // empty, but inline
	}
	return a, nil
}

// Approvals lists approvals by age.
func (s *Store) Approvals(ctx context.Context, f ApprovalFilter) (Page[work.Approval], error) {
	l := list[work.Approval]{
		what: "approvals", query: "SELECT " + approvalColumns + " FROM approval", limit: f.Limit, scan: scanApproval,
		cursor: func(a work.Approval) string { return a.ID },
	}
	l.where.equal("run_id", f.RunID)
	l.where.equal("step_id", f.StepID)
	l.where.equal("attempt_id", f.AttemptID)
	l.where.equal("workspace", f.Workspace)
	l.where.equal("kind", string(f.Kind))
	l.where.equal("state", string(f.State))
	if err := l.where.after(f.Cursor, ident.Approval, l.byID(f.Newest)); err != nil {
		return Page[work.Approval]{}, err
	}
	return l.read(ctx, s.reads)
}

// Approval reads an approval.
func (s *Store) Approval(ctx context.Context, id string) (work.Approval, error) {
	return query[work.Approval]{"approval " + id, scanApproval, "SELECT " + approvalColumns + " FROM approval WHERE id = ?", []any{id}}.one(ctx, s.reads)
}

// Known reports whether a key was used before with the same request. With another request it is
// fault.IdempotencyConflict.
func (s *Store) Known(ctx context.Context, key work.Key) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var request, object string
	err := s.reads.QueryRowContext(ctx, selectKey, key.Actor, key.Workspace, key.Value).Scan(&request, &object)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read idempotency key: %w", err)
	}
	var replayed *work.Replayed
	if err := known(key, request, object); !errors.As(err, &replayed) {
		return false, err
	}
	return true, nil
}
