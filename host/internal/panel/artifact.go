package panel

import (
	"fmt"
	"io"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Keep stores a body of a known size and fills in its row: inline when it is small, else by digest in the
// content store.
func Keep(to Artifacts, row work.Artifact, body io.Reader, size int64) (work.Artifact, error) {
	if size <= to.Small() {
		b, err := io.ReadAll(io.LimitReader(body, to.Small()+1))
		if err != nil {
			return row, fmt.Errorf("read %s: %w", row.Name, err)
		}
		row.Inline, row.Size, row.Digest = b, int64(len(b)), to.Digest(b)
		return row, nil
	}
	blob, err := to.Create(2*size + 1) // masks are longer than what they hide
	if err != nil {
		return row, fmt.Errorf("create %s: %w", row.Name, err)
	}
	if _, err := io.Copy(blob, body); err != nil {
		blob.Abort()
		return row, fmt.Errorf("store %s: %w", row.Name, err)
	}
	if row.Digest, row.Size, row.Truncated, err = blob.Seal(); err != nil {
		return row, fmt.Errorf("seal %s: %w", row.Name, err)
	}
	return row, nil
}
