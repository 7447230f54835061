package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	lib "modernc.org/sqlite/lib"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

// forbidden is what nobody may do to the log.
var forbidden = map[string]string{
	"update event":       "UPDATE event SET kind = 'x.y' WHERE seq = 1",
	"delete event":       "DELETE FROM event WHERE seq = 1",
	"delete all events":  "DELETE FROM event",
	"replace event":      "INSERT OR REPLACE INTO event SELECT * FROM event WHERE seq = 1",
	"upsert event":       "INSERT INTO event SELECT * FROM event WHERE seq = 1 ON CONFLICT DO UPDATE SET kind = 'x.y'",
	"event out of order": "INSERT INTO event SELECT 99, schema, epoch, at, boot_id, kind, actor_kind, actor_id, workspace, run_id, step_id, attempt_id, NULL, NULL, body_digest, leaf FROM event WHERE seq = 0",
	"negative event":     "INSERT INTO event SELECT -1, schema, epoch, at, boot_id, kind, actor_kind, actor_id, workspace, run_id, step_id, attempt_id, run_ix, run_prev, body_digest, leaf FROM event WHERE seq = 0",
	"update node":        "UPDATE node SET hash = zeroblob(32)",
	"delete node":        "DELETE FROM node",
	"replace node":       "INSERT OR REPLACE INTO node VALUES (0, zeroblob(32))",
	"node out of order":  "INSERT INTO node VALUES (99, zeroblob(32))",
	"update checkpoint":  "UPDATE checkpoint SET note = x'00'",
	"delete checkpoint":  "DELETE FROM checkpoint",
	"replace checkpoint": "INSERT OR REPLACE INTO checkpoint VALUES (1, 1, zeroblob(32), x'00')",
	"update body":        "UPDATE event_body SET json = '{}' WHERE seq = 1",
	"delete body":        "DELETE FROM event_body WHERE seq = 1",
	"replace body":       "INSERT OR REPLACE INTO event_body VALUES (1, zeroblob(16), '{}')",
	"delete run":         "DELETE FROM run",
	"delete attempt":     "DELETE FROM attempt",
	"update artifact":    "UPDATE artifact SET size = 1",
	"delete artifact":    "DELETE FROM artifact",
	"update validation":  "UPDATE validation SET result = 'pass'",
	"change ended":       "UPDATE attempt SET message = 'x' WHERE state = 'ended'",
	"change spec":        "UPDATE step_spec SET text = 'x'",
}

// powers are forbidden to the daemon's own connections only: a schema cannot defend itself.
var powers = map[string]string{
	"drop trigger":     "DROP TRIGGER event_no_update",
	"drop table":       "DROP TABLE event",
	"drop index":       "DROP INDEX event_of_run",
	"drop view":        "DROP VIEW v_run",
	"alter":            "ALTER TABLE event ADD COLUMN x",
	"rename":           "ALTER TABLE event RENAME TO event2",
	"create table":     "CREATE TABLE x (y)",
	"create trigger":   "CREATE TRIGGER x AFTER INSERT ON event BEGIN SELECT 1; END",
	"temp trigger":     "CREATE TEMP TRIGGER x BEFORE INSERT ON event BEGIN SELECT RAISE(IGNORE); END",
	"attach":           "ATTACH ':memory:' AS x",
	"detach":           "DETACH main",
	"vacuum into":      "VACUUM INTO '/dev/null'",
	"writable schema":  "PRAGMA writable_schema = 1",
	"no triggers":      "PRAGMA recursive_triggers = 0",
	"no foreign keys":  "PRAGMA foreign_keys = 0",
	"synchronous off":  "PRAGMA synchronous = 0",
	"user version":     "PRAGMA user_version = 9",
	"edit identity":    "UPDATE meta SET value = 'x'",
	"new identity":     "INSERT INTO meta VALUES ('x', 'y')",
	"delete key":       "DELETE FROM idempotency",
	"analyze":          "ANALYZE",
	"reindex":          "REINDEX",
	"delete part":      "DELETE FROM attempt_part",
	"insert or ignore": "INSERT OR IGNORE INTO meta VALUES ('x', 'y')",
}

func TestS41_TheLogIsAppendOnly(t *testing.T) {
	s := newStore(t)
	a := started(t, s)
	must(t, s, result(a, "x", "y"), work.RecordValidation{Validation: work.Validation{ID: newID("val"), AttemptID: a.ID, Gate: "g", Result: work.ResultFail}})
	walk(t, s, a, work.AttemptEnded)
	ctx := context.Background()
	want := dump(t, s)
	for name, q := range forbidden {
		if _, err := rawPool(t, s.dir, mayBuild).ExecContext(ctx, q); sqlCode(err) != lib.SQLITE_CONSTRAINT {
			t.Errorf("%s, held by triggers: %v", name, err)
		}
		if _, err := rawWriter(t, s).ExecContext(ctx, q); sqlCode(err) != lib.SQLITE_AUTH && sqlCode(err) != lib.SQLITE_CONSTRAINT {
			t.Errorf("%s, as the writer: %v", name, err)
		}
	}
	for _, name := range []string{"update event", "delete event", "update node", "delete node", "update checkpoint", "delete checkpoint"} {
		if _, err := rawWriter(t, s).ExecContext(ctx, forbidden[name]); sqlCode(err) != lib.SQLITE_AUTH {
			t.Errorf("%s, held by the authorizer: %v", name, err)
		}
	}
	for name, q := range powers {
		if _, err := rawWriter(t, s).ExecContext(ctx, q); sqlCode(err) != lib.SQLITE_AUTH {
			t.Errorf("%s, as the writer: %v", name, err)
		}
	}
	for _, a := range []access{mayRead, mayWrite, mayBuild} { // defensive mode refuses before anybody is asked
		if _, err := rawPool(t, s.dir, a).ExecContext(ctx, "UPDATE sqlite_schema SET sql = ''"); err == nil {
			t.Error("the schema was edited")
		}
	}
	all := map[string]string{"insert": "INSERT INTO checkpoint VALUES (999, 1, zeroblob(32), x'00')"}
	for name, q := range forbidden {
		all[name] = q
	}
	for name, q := range powers {
		all[name] = q
	}
	for name, q := range all {
		if _, err := s.reads.ExecContext(ctx, q); err == nil {
			t.Errorf("%s was done by a reader", name)
		}
	}
	if got := dump(t, s); got != want {
		t.Error("something changed")
	}
	sound(t, s)
}

// dump is the whole log as text.
func dump(t *testing.T, s *Store) string {
	t.Helper()
	var out strings.Builder
	if err := s.Export(context.Background(), "", &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestQuickCheckRunsAfterACrashOfTheMachineOnly(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	if err := errors.Join(s.quickCheck(ctx, "another boot", false), s.quickCheck(ctx, bootID(), true), s.quickCheck(ctx, "another boot", true)); err != nil {
		t.Error(err)
	}
}

func TestDeletingABodyBehindARecordedPurgeKeepsTheProofs(t *testing.T) {
	dir := stateDir(t)
	s := reopen(t, Options{Dir: dir})
	ctx := context.Background()
	a := started(t, s)
	remove := "DELETE FROM event_body WHERE seq <= 2"
	if _, err := rawWriter(t, s).ExecContext(ctx, remove); sqlCode(err) != lib.SQLITE_CONSTRAINT {
		t.Fatalf("a body went without a record: %v", err)
	}
	// As retention will do it: the record of the purge and the deletion are one transaction.
	r := &request{facts: []work.Fact{{Kind: "retention.purged", Body: map[string]int{"first": 0, "last": 2}}}, answer: make(chan error, 1)}
	if err := s.submit(ctx, r); err != nil {
		t.Fatal(err)
	}
	if _, err := rawWriter(t, s).ExecContext(ctx, remove); err != nil {
		t.Fatal(err)
	}
	if _, err := rawWriter(t, s).ExecContext(ctx, "DELETE FROM event_body WHERE seq = 4"); sqlCode(err) != lib.SQLITE_CONSTRAINT {
		t.Errorf("the record of the purge was purged: %v", err)
	}
	v, err := s.Verify(ctx, nil)
	if err != nil || !v.OK() || v.Purged != 3 || v.Bodies != 2 {
		t.Errorf("got %+v, %v", v, err)
	}
	events, err := s.Events(ctx, EventFilter{RunID: a.RunID})
	if err != nil || len(events) != 3 || events[0].Body != nil || events[2].Body == nil {
		t.Errorf("events %s, %v", asText(events), err)
	}
	if problems, err := s.Fold(ctx); err != nil || len(problems) != 0 {
		t.Errorf("a purged run is reported: %+v, %v", problems, err)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, Options{Dir: dir})
	must(t, again, work.Fact{Kind: "a.b", AttemptID: a.ID})
	if v, err := again.Verify(ctx, nil); err != nil || !v.OK() {
		t.Errorf("after a restart: %+v, %v", v.Problems, err)
	}
}

func TestPurgedBytesAreGoneFromTheFile(t *testing.T) {
	dir := stateDir(t)
	s := reopen(t, Options{Dir: dir})
	ctx := context.Background()
	must(t, s, work.Fact{Kind: "a.b", Body: "canary-0123456789"})
	r := &request{facts: []work.Fact{{Kind: "retention.purged"}}, answer: make(chan error, 1)}
	if err := s.submit(ctx, r); err != nil {
		t.Fatal(err)
	}
	db, err := openPool(dir, mayWrite)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(ctx, "DELETE FROM event_body WHERE seq = 1")
	if err := errors.Join(err, db.Close(), s.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{databaseName, databaseName + "-wal"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "canary-0123456789") {
			t.Errorf("the purged body is still in %s", name)
		}
	}
}

func TestAnExportCanBeRecomputedByAnybody(t *testing.T) {
	s := newStore(t)
	a := walk(t, s, started(t, s), work.AttemptPreparing)
	must(t, s, work.Fact{Kind: "other.thing", Body: "<html>"}, work.MoveRun{ID: a.RunID, Version: 1, To: work.RunClosed})
	must(t, s, work.Fact{Kind: "not.signed.yet"})
	for name, runID := range map[string]string{"all": "", "one run": a.RunID} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := s.Export(context.Background(), runID, &out); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			var tree audit.Tree
			var prev audit.Hash
			for _, line := range lines[:len(lines)-1] {
				var row struct {
					Envelope, Body json.RawMessage
					Salt           string
				}
				if err := json.Unmarshal([]byte(line), &row); err != nil {
					t.Fatal(err)
				}
				e, err := audit.ParseEnvelope(row.Envelope)
				if err != nil {
					t.Fatalf("%s: %v", row.Envelope, err)
				}
				salt, err := hex.DecodeString(row.Salt)
				if err != nil || audit.BodyDigest(salt, row.Body) != e.BodyDigest {
					t.Errorf("event %d: body digest, %v", e.Seq, err)
				}
				leaf := audit.LeafHash(row.Envelope)
				tree.Append(leaf)
				if runID != "" && e.RunPrev != prev {
					t.Errorf("event %d: chain", e.Seq)
				}
				prev = leaf
			}
			var end struct{ Checkpoint, Key string }
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil {
				t.Fatal(err)
			}
			cp, err := audit.OpenCheckpoint([]byte(end.Checkpoint), end.Key)
			if err != nil || end.Key != s.Key() {
				t.Fatal(err)
			}
			if runID == "" && (cp.Root != tree.Root() || cp.Size != tree.Size()) {
				t.Errorf("checkpoint %+v, recomputed %d %s", cp, tree.Size(), tree.Root())
			}
		})
	}
}

func TestABackupVerifiesAndStandsAlone(t *testing.T) {
	s := newStore(t)
	started(t, s)
	ctx := context.Background()
	dir := t.TempDir()
	if err := s.Backup(ctx, dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(ctx, dir); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second backup into it: %v", err)
	}
	if err := s.Backup(ctx, filepath.Join(dir, "missing")); err == nil {
		t.Error("a backup into nothing succeeded")
	}
	names := []string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"log.checkpoint", databaseName}) {
		t.Errorf("the backup has %v", names)
	}
	db := rawPool(t, dir, mayRead)
	var events int64
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM event").Scan(&events); err != nil || events != head(t, s).Size {
		t.Errorf("%d events, %v", events, err)
	}
	sound(t, s)
	// A copy that does not verify is no backup and leaves no file.
	vandal(t, s.dir, "DROP TRIGGER event_body_no_update", `UPDATE event_body SET json = '{}' WHERE seq = 1`)
	bad := t.TempDir()
	if err := s.Backup(ctx, bad); !fault.Is(err, fault.AuditFailed) {
		t.Errorf("a backup of a tampered log: %v", err)
	}
	if _, err := os.Stat(filepath.Join(bad, databaseName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was left: %v", err)
	}
}
