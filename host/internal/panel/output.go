package panel

import (
	"bytes"
	"errors"
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
		row := work.Artifact{
			AttemptID: t.s.AttemptID, RunID: t.s.RunID, StepID: t.s.StepID, Name: place + "/" + s.stream + ".log", Kind: "validation",
			Media: "text/plain; charset=utf-8", At: t.p.now(),
		}
		body := out.body(s.stream)
		row, err := Keep(t.p.opt.Artifacts, row, bytes.NewReader(body), int64(len(body)))
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
