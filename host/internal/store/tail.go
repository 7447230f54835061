package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

// checkTail holds the end of the log against its last signed checkpoint before anything is added: the
// daemon must not sign on top of what it did not write. The writer goes on from there.
func (s *Store) checkTail(ctx context.Context, w *writer, unclean bool) error {
	if err := s.quickCheck(ctx, w.boot, unclean); err != nil {
		return err
	}
	flaws, err := schemaFlaws(ctx, s.reads)
	if err != nil {
		return err
	} else if len(flaws) > 0 {
		return tampered("the schema of the record was changed: %s", strings.Join(flaws, ", "))
	}
	var size int64
	if err := s.reads.QueryRowContext(ctx, "SELECT coalesce(max(seq), -1) + 1 FROM event").Scan(&size); err != nil {
		return fmt.Errorf("read end of log: %w", err)
	}
	if w.signed, w.note, err = s.lastSigned(ctx); err != nil {
		return err
	}
	if w.signed > size {
		return tampered("the log has %d events, %d are signed", size, w.signed)
	}
	if w.tree, err = s.signedTree(ctx, w.signed, w.note); err != nil {
		return err
	}
	if err := s.besideTree(ctx, size); err != nil {
		return err
	}
	return s.replay(ctx, w)
}

func tampered(format string, args ...any) error {
	return fault.New(fault.AuditFailed, format, args...).Fix("keep the state directory as it is and run: drawspan audit verify")
}

// quickCheck looks for torn pages, which a process that died cannot leave behind but a machine can.
func (s *Store) quickCheck(ctx context.Context, boot string, unclean bool) error {
	if !unclean {
		return nil
	}
	var last string
	err := s.reads.QueryRowContext(ctx, "SELECT boot_id FROM event ORDER BY seq DESC LIMIT 1").Scan(&last)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && last == boot) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read last boot: %w", err)
	}
	var verdict string
	if err := s.reads.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if verdict != "ok" {
		return tampered("the database is damaged: %s", verdict)
	}
	return nil
}

// lastSigned is the newest checkpoint in the record, opened with our key.
func (s *Store) lastSigned(ctx context.Context) (int64, []byte, error) {
	var note []byte
	err := s.reads.QueryRowContext(ctx, "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").Scan(&note)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	} else if err != nil {
		return 0, nil, fmt.Errorf("read last checkpoint: %w", err)
	}
	cp, err := audit.OpenCheckpoint(note, s.key.Verifier())
	if err != nil {
		return 0, nil, fault.Wrap(err, fault.AuditFailed, "the last checkpoint's signature does not verify").Fix("run: drawspan audit verify")
	}
	return cp.Size, note, nil
}

// signedTree restores the tree of the size that a note signs and compares the root.
func (s *Store) signedTree(ctx context.Context, size int64, note []byte) (audit.Tree, error) {
	if note == nil {
		return audit.Tree{}, nil
	}
	tree, err := audit.Restore(size, func(ix []int64) ([]audit.Hash, error) { return readNodes(ctx, s.reads, ix) })
	if err != nil {
		return tree, fault.Wrap(err, fault.AuditFailed, "the tree of the log is incomplete").Fix("run: drawspan audit verify")
	}
	cp, err := audit.OpenCheckpoint(note, s.key.Verifier())
	if err != nil {
		return tree, fault.Wrap(err, fault.AuditFailed, "a checkpoint's signature does not verify").Fix("run: drawspan audit verify")
	}
	if cp.Size != size || cp.Root != tree.Root() {
		return tree, tampered("the tree of the first %d events is not the one that was signed", size)
	}
	return tree, nil
}

func readNodes(ctx context.Context, db queryer, ix []int64) ([]audit.Hash, error) {
	out := make([]audit.Hash, len(ix))
	for i, n := range ix {
		var h []byte
		if err := db.QueryRowContext(ctx, "SELECT hash FROM node WHERE ix = ?", n).Scan(&h); err != nil {
			return nil, fmt.Errorf("read tree node %d: %w", n, err)
		}
		copy(out[i][:], h)
	}
	return out, nil
}

// noteBeside reads the checkpoint that is kept beside the database, nil where there is none.
func noteBeside(dir string) ([]byte, error) {
	note, err := os.ReadFile(notePath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read checkpoint beside the record: %w", err)
	}
	return note, nil
}

// besideTree holds the log against the checkpoint beside the database: a database that was cut back with
// its own checkpoints, or replaced by an older copy, is shorter than that.
func (s *Store) besideTree(ctx context.Context, size int64) error {
	note, err := noteBeside(s.dir)
	if err != nil || note == nil {
		return err
	}
	cp, err := audit.OpenCheckpoint(note, s.key.Verifier())
	if err != nil {
		return fault.Wrap(err, fault.AuditFailed, "the checkpoint beside the record does not verify").At(notePath(s.dir)).
			Fix("run: drawspan audit verify")
	}
	if cp.Size > size {
		return tampered("the log has %d events, its checkpoint beside the record signs %d", size, cp.Size)
	}
	_, err = s.signedTree(ctx, cp.Size, note)
	return err
}

// replay recomputes the events that no checkpoint signs yet.
func (s *Store) replay(ctx context.Context, w *writer) error {
	for row, err := range eventRows(ctx, s.reads, w.signed, math.MaxInt64) {
		if err != nil {
			return err
		}
		leaf := audit.LeafHash(row.Envelope.Leaf())
		if row.Seq != w.tree.Size() || leaf != row.Leaf {
			return tampered("event %d does not match its leaf", row.Seq)
		}
		ix := w.tree.NextNode()
		for i, want := range w.tree.Append(leaf) {
			got, err := readNodes(ctx, s.reads, []int64{ix + int64(i)})
			if err != nil {
				return fault.Wrap(err, fault.AuditFailed, "the tree of the log is incomplete").Fix("run: drawspan audit verify")
			}
			if got[0] != want {
				return tampered("tree node %d does not match event %d", ix+int64(i), row.Seq)
			}
		}
	}
	var nodes int64
	if err := s.reads.QueryRowContext(ctx, "SELECT count(*) FROM node WHERE ix >= ?", w.tree.NextNode()).Scan(&nodes); err != nil {
		return fmt.Errorf("count tree nodes: %w", err)
	}
	if nodes > 0 {
		return tampered("the tree has %d nodes without events", nodes)
	}
	return nil
}

const rowColumns = `e.seq, e.schema, e.epoch, e.at, e.boot_id, e.kind, e.actor_kind, e.actor_id, coalesce(e.workspace, ''), coalesce(e.run_id, ''),
	coalesce(e.step_id, ''), coalesce(e.attempt_id, ''), coalesce(e.run_ix, 0), e.run_prev, e.body_digest, e.leaf, b.salt, b.json`

// scanRow reads one event with its body, as it is stored.
func scanRow(row scanner) (audit.Row, error) {
	var r audit.Row
	var prev, digest, leaf []byte
	var body sql.NullString
	err := row.Scan(&r.Seq, &r.Schema, &r.Epoch, &r.At, &r.Boot, &r.Kind, &r.Actor.Kind, &r.Actor.ID, &r.Workspace, &r.RunID, &r.StepID, &r.AttemptID,
		&r.RunIx, &prev, &digest, &leaf, &r.Salt, &body)
	copy(r.RunPrev[:], prev)
	copy(r.BodyDigest[:], digest)
	copy(r.Leaf[:], leaf)
	if body.Valid {
		r.Body = []byte(body.String)
	}
	return r, err
}

// asEvent is the event as readers see it.
func asEvent(r audit.Row) work.Event {
	return work.Event{
		Epoch: r.Epoch, Seq: r.Seq, At: from(r.At), Kind: r.Kind, Actor: r.Actor, Workspace: r.Workspace,
		RunID: r.RunID, StepID: r.StepID, AttemptID: r.AttemptID, Body: r.Body,
	}
}
