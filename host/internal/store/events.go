package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

const (
	chunkRows  = 1024    // rows of one query of a long read
	chunkBytes = 8 << 20 // bytes of bodies that one answer may hold
	readTime   = 30 * time.Second
)

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// bounded gives a read an end: a reader that stands still would keep the write-ahead log from shrinking.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, readTime)
}

// collect reads rows until there are no more, limit is reached, or their bytes are too many. scan says
// how large a row is. More tells that rows were left.
func collect[T any](rows *sql.Rows, err error, limit int, scan func(scanner) (T, int, error)) (items []T, more bool, _ error) {
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	bytes := 0
	for rows.Next() {
		if len(items) == limit || bytes > chunkBytes {
			return items, true, nil
		}
		item, size, err := scan(rows)
		if err != nil {
			return nil, false, err
		}
		items = append(items, item)
		bytes += size
	}
	return items, false, rows.Err()
}

// where collects the conditions of a query.
type where struct {
	terms []string
	args  []any
}

func (w *where) add(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

// equal adds a condition where the value is set.
func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

func (w *where) String() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}

// limitOf is how many rows a caller gets.
func limitOf(asked int) int {
	if asked <= 0 {
		return defaultLimit
	}
	return min(asked, maxLimit)
}

// Events reads a part of the log: at most Limit events, fewer where their bodies are large. Reading goes
// on after the last one; an empty answer is the end.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]work.Event, error) {
	if f.After.Epoch > s.epoch {
		return nil, fault.New(fault.InvalidRequest, "the position %s is from another life of this log", f.After).At("after")
	}
	w := eventConditions(f)
	order := "ASC"
	if f.Newest {
		order = "DESC"
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	limit := limitOf(f.Limit)
	rows, err := s.reads.QueryContext(ctx, "SELECT "+rowColumns+" FROM event e LEFT JOIN event_body b ON b.seq = e.seq"+w.String()+
		" ORDER BY e.seq "+order+" LIMIT ?", append(w.args, limit)...)
	events, _, err := collect(rows, err, limit, func(row scanner) (work.Event, int, error) {
		r, err := scanRow(row)
		return asEvent(r), len(r.Body), err
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

func eventConditions(f EventFilter) *where {
	w := &where{}
	switch {
	case f.After.Epoch > 0 && f.Newest:
		w.add("e.seq < ?", f.After.Seq)
	case f.After.Epoch > 0:
		w.add("e.seq > ?", f.After.Seq)
	}
	w.equal("e.run_id", f.RunID)
	if f.StepID != "" {
		w.add("e.run_id = (SELECT run_id FROM step WHERE id = ?)", f.StepID) // by the index of the run
		w.equal("e.step_id", f.StepID)
	}
	if prefix, ok := strings.CutSuffix(f.Kind, "*"); ok {
		w.add("substr(e.kind, 1, ?) = ?", len(prefix), prefix)
	} else {
		w.equal("e.kind", f.Kind)
	}
	if f.Actor != "" {
		w.add("(e.actor_id = ? OR e.actor_kind = ?)", f.Actor, f.Actor)
	}
	if !f.Since.IsZero() {
		w.add("e.at >= ?", clamp(f.Since))
	}
	if !f.Until.IsZero() {
		w.add("e.at < ?", clamp(f.Until))
	}
	return w
}

// clamp is a time in nanoseconds, or the end of what they can say.
func clamp(t time.Time) int64 {
	switch {
	case t.Year() < minYear:
		return math.MinInt64
	case t.Year() > maxYear:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// Head is the end of the log.
func (s *Store) Head(ctx context.Context) (Head, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var h Head
	var at int64
	err := s.reads.QueryRowContext(ctx, "SELECT epoch, seq, at FROM event ORDER BY seq DESC LIMIT 1").Scan(&h.Epoch, &h.Seq, &at)
	if err != nil {
		return h, readFault("the end of the log", err)
	}
	h.Size, h.At = h.Seq+1, from(at)
	tree, err := audit.Restore(h.Size, func(ix []int64) ([]audit.Hash, error) { return readNodes(ctx, s.reads, ix) })
	if err != nil {
		return h, err
	}
	h.Root = tree.Root().String()
	return h, nil
}

// chunked yields what read returns until it returns nothing.
func chunked[T any](read func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			list, err := read()
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range list {
				if !yield(item, nil) {
					return
				}
			}
			if len(list) == 0 {
				return
			}
		}
	}
}

// eventRows reads the log from first up to before end, in short queries: a long one would hold the
// write-ahead log.
func eventRows(ctx context.Context, db queryer, first, end int64) iter.Seq2[audit.Row, error] {
	return chunked(func() ([]audit.Row, error) {
		rows, err := db.QueryContext(ctx, "SELECT "+rowColumns+` FROM event e LEFT JOIN event_body b ON b.seq = e.seq
			WHERE e.seq >= ? AND e.seq < ? ORDER BY e.seq LIMIT ?`, first, end, chunkRows)
		list, _, err := collect(rows, err, chunkRows, func(row scanner) (audit.Row, int, error) {
			r, err := scanRow(row)
			return r, len(r.Body), err
		})
		if len(list) > 0 {
			first = list[len(list)-1].Seq + 1
		}
		return list, err
	})
}

// runRows reads the events of one run in the order of its chain.
func runRows(ctx context.Context, db queryer, runID string) iter.Seq2[audit.Row, error] {
	next := int64(math.MinInt64)
	return chunked(func() ([]audit.Row, error) {
		rows, err := db.QueryContext(ctx, "SELECT "+rowColumns+` FROM event e LEFT JOIN event_body b ON b.seq = e.seq
			WHERE e.run_id = ? AND e.run_ix >= ? ORDER BY e.run_ix LIMIT ?`, runID, next, chunkRows)
		list, _, err := collect(rows, err, chunkRows, func(row scanner) (audit.Row, int, error) {
			r, err := scanRow(row)
			return r, len(r.Body), err
		})
		if len(list) > 0 {
			next = list[len(list)-1].RunIx + 1
		}
		return list, err
	})
}

// Export writes the log, or one run of it, as JSON lines: the envelope as it was hashed, salt and body,
// and at the end the newest signed checkpoint, taken as the export began, with the key that opens it.
func (s *Store) Export(ctx context.Context, runID string, to io.Writer) error {
	// The checkpoint first, the end of the log after it: what is exported is never less than what is signed.
	if s.w != nil {
		if _, err := s.Checkpoint(ctx); err != nil {
			return err
		}
	}
	_, note, err := s.lastSigned(ctx)
	if err != nil {
		return err
	}
	var end int64
	if err := s.reads.QueryRowContext(ctx, "SELECT coalesce(max(seq), -1) + 1 FROM event").Scan(&end); err != nil {
		return fmt.Errorf("read end of log: %w", err)
	}
	rows := eventRows(ctx, s.reads, 0, end)
	if runID != "" {
		rows = runRows(ctx, s.reads, runID)
	}
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	for row, err := range rows {
		if err != nil {
			return fmt.Errorf("export log: %w", err)
		}
		line := struct {
			Envelope json.RawMessage `json:"envelope"`
			Salt     string          `json:"salt,omitempty"`
			Body     json.RawMessage `json:"body,omitempty"`
		}{row.Envelope.Leaf(), hex.EncodeToString(row.Salt), row.Body}
		if err := enc.Encode(line); err != nil {
			return fmt.Errorf("export log: %w", err)
		}
	}
	return enc.Encode(map[string]string{"checkpoint": string(note), "key": s.Key()})
}
