package daemon

import (
	"context"
	"io"

	"github.com/drawspan/drawspan/host/internal/artifact"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
)

// recordPort joins the store to the dispatcher. The values of credentials do not get through.
type recordPort struct {
	*store.Store
	vault *vault
}

func (p recordPort) Apply(ctx context.Context, m ...work.Mutation) error {
	_, err := p.Store.Apply(ctx, p.vault.mutations(m)...)
	return err
}

// all reads every page of a list that is bounded by its subject (one run, one attempt, what is open).
func all[T any](read func(cursor string) (store.Page[T], error)) ([]T, error) {
	var out []T
	for cursor := ""; ; {
		page, err := read(cursor)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if page.Next == "" {
			return out, nil
		}
		cursor = page.Next
	}
}

func (p recordPort) StepsOf(ctx context.Context, runID string) ([]work.Step, error) {
	return all(func(cursor string) (store.Page[work.Step], error) {
		return p.Store.Steps(ctx, store.StepFilter{RunID: runID, Cursor: cursor})
	})
}

func (p recordPort) Unsettled(ctx context.Context) ([]work.Step, error) {
	return p.Store.UnsettledSteps(ctx)
}

func (p recordPort) Validations(ctx context.Context, attemptID string) ([]work.Validation, error) {
	return all(func(cursor string) (store.Page[work.Validation], error) {
		return p.Store.Validations(ctx, store.ValidationFilter{AttemptID: attemptID, Cursor: cursor})
	})
}

func (p recordPort) OpenApprovals(ctx context.Context) ([]work.Approval, error) {
	return all(func(cursor string) (store.Page[work.Approval], error) {
		return p.Store.Approvals(ctx, store.ApprovalFilter{State: work.ApprovalOpen, Cursor: cursor})
	})
}

// artifactsPort joins the content store to the dispatcher. Values of credentials are masked; nothing
// else is, since a patch must stay what it is.
type artifactsPort struct {
	*artifact.Store
	vault *vault
}

func (p artifactsPort) Create(limit int64) (dispatch.Blob, error) {
	w, err := p.Store.Create(limit)
	if err != nil {
		return nil, err
	}
	return blobPort{w, p.vault.exactly(w)}, nil
}

func (artifactsPort) Small() int64           { return artifact.InlineLimit }
func (artifactsPort) Digest(p []byte) string { return artifact.Digest(p) }

type blobPort struct {
	*artifact.Writer
	masked io.WriteCloser
}

func (b blobPort) Write(p []byte) (int, error) { return b.masked.Write(p) }

func (b blobPort) Seal() (string, int64, bool, error) {
	if err := b.masked.Close(); err != nil {
		b.Writer.Abort()
		return "", 0, false, err
	}
	ref, err := b.Writer.Seal()
	return ref.Digest, ref.Size, ref.Truncated, err
}
