package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	lib "modernc.org/sqlite/lib"

	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

// nowhere is the Seq of a problem that belongs to no event.
const nowhere = -1

// extent is how far the record reaches at one moment.
type extent struct {
	events, nodes int64
	notes         []audit.Stored
	orphans       []int64
}

// Verify recomputes the whole log from what is on the disk: every leaf, chain, tree hash and body digest,
// every checkpoint, the checkpoint beside the database, and the schema that keeps the log append-only.
// It may run while events are being written; it covers those that were there when it began.
func (s *Store) Verify(ctx context.Context, progress func(done, total int64)) (audit.Verification, error) {
	none := audit.Verification{Key: s.Key(), Origin: audit.Origin(s.instance)}
	flaws, err := schemaFlaws(ctx, s.reads)
	if err != nil {
		return damaged(none, err)
	}
	e, err := s.measure(ctx)
	if err != nil {
		return damaged(none, err)
	}
	var told func(int64)
	if progress != nil {
		told = func(done int64) { progress(done, e.events) }
	}
	v, err := audit.Verify(ctx, audit.Log{
		Key: s.Key(), Rows: eventRows(ctx, s.reads, math.MinInt64, e.events), Nodes: nodeRows(ctx, s.reads, e.nodes), Checkpoints: e.notes,
	}, told)
	v.Origin = none.Origin
	for _, seq := range e.orphans {
		v.Problems = append(v.Problems, audit.Problem{Seq: seq, What: "a body has no event"})
	}
	for _, flaw := range flaws {
		v.Problems = append(v.Problems, audit.Problem{Seq: nowhere, What: "the schema was changed", Detail: flaw})
	}
	return damaged(v, err)
}

// damaged turns a database that cannot be read into a finding.
func damaged(v audit.Verification, err error) (audit.Verification, error) {
	if code := sqlCode(err); code != lib.SQLITE_CORRUPT && code != lib.SQLITE_NOTADB {
		return v, err
	}
	v.Problems = append(v.Problems, audit.Problem{Seq: v.Events, What: "the database is damaged", Detail: err.Error()})
	return v, nil
}

// measure reads in one transaction how far the record reaches and what is signed of it.
func (s *Store) measure(ctx context.Context) (extent, error) {
	var e extent
	tx, err := s.reads.BeginTx(ctx, nil)
	if err != nil {
		return e, fmt.Errorf("begin read: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	err = tx.QueryRowContext(ctx, "SELECT (SELECT coalesce(max(seq), -1) + 1 FROM event), (SELECT coalesce(max(ix), -1) + 1 FROM node)").
		Scan(&e.events, &e.nodes)
	if err != nil {
		return e, fmt.Errorf("measure log: %w", err)
	}
	rows, err := tx.QueryContext(ctx, "SELECT size, root, note FROM checkpoint ORDER BY size")
	e.notes, _, err = collect(rows, err, math.MaxInt, func(row scanner) (audit.Stored, int, error) {
		c := audit.Stored{Root: new(audit.Hash)}
		var root []byte
		err := row.Scan(&c.Size, &root, &c.Note)
		copy(c.Root[:], root)
		return c, 0, err
	})
	if err != nil {
		return e, fmt.Errorf("read checkpoints: %w", err)
	}
	rows, err = tx.QueryContext(ctx, "SELECT b.seq FROM event_body b LEFT JOIN event e ON e.seq = b.seq WHERE e.seq IS NULL LIMIT 10")
	e.orphans, _, err = collect(rows, err, math.MaxInt, func(row scanner) (seq int64, _ int, err error) {
		err = row.Scan(&seq)
		return seq, 0, err
	})
	if err != nil {
		return e, fmt.Errorf("look for bodies without events: %w", err)
	}
	note, err := noteBeside(s.dir)
	if note != nil {
		size := e.events
		if cp, err := audit.OpenCheckpoint(note, s.Key()); err == nil {
			size = cp.Size
		}
		e.notes = append(e.notes, audit.Stored{Size: size, Note: note})
	}
	return e, err
}

// nodeRows reads the stored hashes of the tree up to before end.
func nodeRows(ctx context.Context, db queryer, end int64) iter.Seq2[audit.Node, error] {
	next := int64(math.MinInt64)
	return chunked(func() ([]audit.Node, error) {
		rows, err := db.QueryContext(ctx, "SELECT ix, hash FROM node WHERE ix >= ? AND ix < ? ORDER BY ix LIMIT ?", next, end, chunkRows)
		nodes, _, err := collect(rows, err, chunkRows, func(row scanner) (audit.Node, int, error) {
			var n audit.Node
			var h []byte
			err := row.Scan(&n.Ix, &h)
			copy(n.Hash[:], h)
			return n, 0, err
		})
		if len(nodes) > 0 {
			next = nodes[len(nodes)-1].Ix + 1
		}
		return nodes, err
	})
}

// Fold rebuilds every run's objects from the bodies of its events and compares them with the stored
// ones. Runs of which retention has deleted bodies cannot be rebuilt and are left out.
func (s *Store) Fold(ctx context.Context) ([]audit.Problem, error) {
	ids, err := query[string]{"runs", func(row scanner) (id string, _ int, err error) {
		err = row.Scan(&id)
		return id, 0, err
	}, "SELECT id FROM run UNION SELECT run_id FROM event WHERE run_id IS NOT NULL ORDER BY 1", nil}.all(ctx, s.reads)
	if err != nil {
		return nil, err
	}
	var problems []audit.Problem
	for _, id := range ids {
		found, err := s.foldRun(ctx, id)
		if err != nil {
			return problems, fmt.Errorf("fold run %s: %w", id, err)
		}
		problems = append(problems, found...)
	}
	return problems, nil
}

// foldRun compares one run in one transaction, so that a run that is going on is seen at one moment.
func (s *Store) foldRun(ctx context.Context, id string) ([]audit.Problem, error) {
	tx, err := s.reads.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin read: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	told := folding{}
	for row, err := range runRows(ctx, tx, id) {
		if err != nil {
			return nil, err
		}
		err := told.event(row)
		switch {
		case errors.Is(err, errPurged):
			return nil, nil
		case err != nil:
			return []audit.Problem{{Seq: row.Seq, What: "the event does not follow from those before it", Detail: err.Error()}}, nil
		}
	}
	stored, err := storedObjects(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	return told.compare(stored)
}

// storedObjects reads all objects of a run, by what they are called.
func storedObjects(ctx context.Context, db queryer, runID string) (folding, error) {
	const (
		ofRun      = " WHERE run_id = ?"
		ofAttempts = " WHERE attempt_id IN (SELECT id FROM attempt WHERE run_id = ?)"
	)
	args := []any{runID}
	found := folding{}
	err := errors.Join(
		gather(ctx, db, found, query[work.Run]{"run", scanRun, selectRun + " WHERE id = ?", args}, runName),
		gather(ctx, db, found, query[work.Step]{"steps", scanStep, selectStep + ofRun, args}, stepName),
		gather(ctx, db, found, query[work.Attempt]{"attempts", scanAttempt, selectAttempt + ofRun, args}, attemptName),
		gather(ctx, db, found, query[artifactKept]{"artifacts", scanKept, "SELECT " + artifactColumns + ", inlined FROM artifact" + ofAttempts, args}, artifactName),
		gather(ctx, db, found, query[work.Validation]{"validations", scanValidation, "SELECT " + validationColumns + " FROM validation" + ofRun, args}, validationName),
		gather(ctx, db, found, query[work.GateRecord]{"gates", scanGate, selectGate + ofAttempts, args}, gateName),
		gather(ctx, db, found, query[work.Approval]{"approvals", scanApproval, "SELECT " + approvalColumns + " FROM approval" + ofRun, args}, approvalName),
	)
	return found, err
}

func scanKept(row scanner) (artifactKept, int, error) {
	var a artifactKept
	dest, done := artifactDest(&a.Artifact)
	err := row.Scan(append(dest, &a.Inlined)...)
	done()
	return a, 0, err
}

// gather puts the rows of a query under their names.
func gather[T any](ctx context.Context, db queryer, to folding, q query[T], name func(T) string) error {
	items, err := q.all(ctx, db)
	for _, item := range items {
		to[name(item)] = &object{value: &item, seq: nowhere}
	}
	return err
}
