package panel

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/drawspan/drawspan/host/internal/work"
)

// keepOutput stores what the validator's program wrote.
func (t *sitting) keepOutput(v *work.Validation, out *capture) ([]work.Mutation, error) {
	if v.Reused != "" {
		return nil, nil // nothing was written
	}
	place := "validation/" + v.Gate
	if v.N > 1 {
		place += "/" + strconv.Itoa(v.N)
	}
	var rows []work.Mutation
	var errs []error
	for _, s := range []struct {
		stream string
		digest *string
	}{{"stdout", &v.Stdout}, {"stderr", &v.Stderr}} {
		row, err := t.keep(place+"/"+s.stream+".log", out.body(s.stream))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		row.Truncated = row.Truncated || out.cut(s.stream)
		*s.digest = row.Digest
		rows = append(rows, work.KeepArtifact{Artifact: row})
	}
	return rows, errors.Join(errs...)
}

// keep stores a text: inline when it is small, else by digest in the content store.
func (t *sitting) keep(name string, body []byte) (work.Artifact, error) {
	row := work.Artifact{
		AttemptID: t.s.AttemptID, RunID: t.s.RunID, StepID: t.s.StepID, Name: name, Kind: "validation", Media: "text/plain; charset=utf-8", At: t.p.now(),
	}
	if int64(len(body)) <= t.p.opt.Artifacts.Small() {
		row.Inline = append([]byte{}, body...)
		row.Size, row.Digest = int64(len(body)), t.p.opt.Artifacts.Digest(body)
		return row, nil
	}
	blob, err := t.p.opt.Artifacts.Create(int64(len(body)) + 1)
	if err != nil {
		return row, fmt.Errorf("create %s: %w", name, err)
	}
	if _, err := blob.Write(body); err != nil {
		blob.Abort()
		return row, fmt.Errorf("store %s: %w", name, err)
	}
	if row.Digest, row.Size, row.Truncated, err = blob.Seal(); err != nil {
		return row, fmt.Errorf("seal %s: %w", name, err)
	}
	return row, nil
}

// capture keeps the first bytes of a validator's output. The SDK's stream calls it from one goroutine.
type capture struct {
	limit          int
	stdout, stderr bytes.Buffer
	cuts           [2]bool
}

func (c *capture) take(stream string, p []byte) error {
	buf, cut := &c.stdout, &c.cuts[0]
	if stream == "stderr" {
		buf, cut = &c.stderr, &c.cuts[1]
	}
	room := c.limit - buf.Len()
	if len(p) > room {
		p, *cut = p[:room], true
	}
	buf.Write(p)
	return nil
}

func (c *capture) body(stream string) []byte {
	if stream == "stderr" {
		return c.stderr.Bytes()
	}
	return c.stdout.Bytes()
}

func (c *capture) cut(stream string) bool {
	if stream == "stderr" {
		return c.cuts[1]
	}
	return c.cuts[0]
}
