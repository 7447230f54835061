package evidence

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
)

// maxLine bounds one line of an export.
const maxLine = 64 << 20

// line is one line of an export: an event, or at the end the checkpoint.
type line struct {
	Envelope   json.RawMessage `json:"envelope"`
	Salt       string          `json:"salt"`
	Body       json.RawMessage `json:"body"`
	Checkpoint string          `json:"checkpoint"`
	Key        string          `json:"key"`
}

// Verify recomputes an exported log and holds it against its checkpoint. It reads twice: the checkpoint is
// at the end.
func Verify(ctx context.Context, in io.ReadSeeker) (audit.Verification, error) {
	last, err := checkpoint(in)
	if err != nil {
		return audit.Verification{}, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return audit.Verification{}, fmt.Errorf("read the export again: %w", err)
	}
	cp, err := audit.OpenCheckpoint([]byte(last.Checkpoint), last.Key)
	if err != nil {
		return audit.Verification{}, damaged("its checkpoint does not verify: %v", err)
	}
	return audit.Verify(ctx, audit.Log{
		Key: last.Key, Rows: rows(in), Checkpoints: []audit.Stored{{Size: cp.Size, Root: &cp.Root, Note: []byte(last.Checkpoint)}},
	}, nil)
}

func damaged(format string, args ...any) *fault.Fault {
	return fault.New(fault.AuditFailed, "the file is no whole export of a log: "+format, args...).Fix("write it again: drawspan audit export")
}

// checkpoint is the last line.
func checkpoint(in io.Reader) (line, error) {
	var last line
	for l, err := range lines(in) {
		if err != nil {
			return last, err
		}
		if last.Checkpoint != "" {
			return last, damaged("something follows its checkpoint")
		}
		last = l
	}
	if last.Checkpoint == "" || last.Key == "" {
		return last, damaged("it does not end with a checkpoint")
	}
	return last, nil
}

// rows are the events of an export.
func rows(in io.Reader) iter.Seq2[audit.Row, error] {
	return func(yield func(audit.Row, error) bool) {
		for l, err := range lines(in) {
			if err == nil && l.Checkpoint != "" {
				return
			}
			var row audit.Row
			if err == nil {
				row, err = rowOf(l)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

func rowOf(l line) (audit.Row, error) {
	env, err := audit.ParseEnvelope(l.Envelope)
	if err != nil {
		return audit.Row{}, damaged("an event cannot be read: %v", err)
	}
	row := audit.Row{Envelope: env, Leaf: audit.LeafHash(l.Envelope), Body: l.Body}
	if l.Salt != "" {
		if row.Salt, err = hex.DecodeString(l.Salt); err != nil {
			return row, damaged("the salt of event %d is no hex", env.Seq)
		}
	}
	return row, nil
}

// lines takes an export apart, line by line, each within bounds.
func lines(in io.Reader) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		r := bufio.NewReaderSize(in, 64<<10)
		for n := 1; ; n++ {
			raw, err := bounded(r)
			if errors.Is(err, io.EOF) && len(raw) == 0 {
				return
			}
			var l line
			if err == nil || errors.Is(err, io.EOF) {
				if err = json.Unmarshal(raw, &l); err != nil {
					err = damaged("line %d cannot be read: %v", n, err)
				}
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// bounded reads one line.
func bounded(r *bufio.Reader) ([]byte, error) {
	var all []byte
	for {
		part, err := r.ReadSlice('\n')
		if all = append(all, part...); len(all) > maxLine {
			return nil, damaged("a line of it has more than %d MiB", maxLine>>20)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSpace(all), err
		}
	}
}
