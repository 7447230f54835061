package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// MaxInline is how many bytes of an artifact travel inside the transaction. Callers choose fewer, since masking
// can make them more.
const MaxInline = 64 << 10

const maxName = 255

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// artifactKept is the body of artifact.kept.
type artifactKept struct {
	work.Artifact
	Inlined bool `json:"inlined"`
}

const artifactColumns = `attempt_id, name, run_id, step_id, kind, digest, size, media_type, truncated, at`

func artifactDest(a *work.Artifact) (dest []any, done func()) {
	var at int64
	return []any{&a.AttemptID, &a.Name, &a.RunID, &a.StepID, &a.Kind, &a.Digest, &a.Size, &a.Media, &a.Truncated, &at}, func() { a.At = from(at) }
}

func (c *change) keepArtifact(ctx context.Context, m work.KeepArtifact) error {
	r := m.Artifact
	at, err := c.place(ctx, r.AttemptID, &r.StepID, &r.RunID)
	if err != nil {
		return err
	}
	if err := checkArtifact(r); err != nil {
		return err
	}
	if r.At, err = c.stamp(r.At); err != nil {
		return err
	}
	inline := r.Inline
	keep := artifactKept{Artifact: r, Inlined: inline != nil}
	body, err := encode(&keep)
	if err != nil {
		return err
	}
	r = keep.Artifact
	err = c.w.exec(ctx, "INSERT INTO artifact ("+artifactColumns+", inlined) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.AttemptID, r.Name, r.RunID, r.StepID, r.Kind, r.Digest, r.Size, r.Media, r.Truncated, ns(r.At), keep.Inlined)
	if err != nil {
		return fmt.Errorf("insert artifact: %w", err)
	}
	if inline != nil {
		if err := c.w.exec(ctx, "INSERT INTO artifact_body (attempt_id, name, bytes) VALUES (?, ?, ?)", r.AttemptID, r.Name, inline); err != nil {
			return fmt.Errorf("insert artifact's bytes: %w", err)
		}
	}
	return c.log(ctx, of(at, "artifact.kept", r.At, body))
}

// checkArtifact refuses a row that could not be served or would not verify.
func checkArtifact(r work.Artifact) error {
	why := ""
	switch {
	case len(r.Name) > maxName || r.Name == "." || !fs.ValidPath(r.Name):
		why = "its name is not a relative path"
	case !digestForm.MatchString(r.Digest):
		why = "its digest is not sha256:<hex>"
	case r.Kind == "":
		why = "it has no kind"
	case r.Size < 0:
		why = "its size is negative"
	case r.Inline != nil && len(r.Inline) > MaxInline:
		why = "it is too large to be kept inline"
	case r.Inline != nil && (int64(len(r.Inline)) != r.Size || digestOf(r.Inline) != r.Digest):
		why = "its bytes do not match its digest"
	default:
		return nil
	}
	return fault.New(fault.InvalidRequest, "artifact %q cannot be recorded: %s", r.Name, why).At(r.AttemptID)
}

func digestOf(p []byte) string {
	sum := sha256.Sum256(p)
	return "sha256:" + hex.EncodeToString(sum[:])
}
