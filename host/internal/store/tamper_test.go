package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

// tamperings are done by another tool while the daemon is down.
var tamperings = map[string]struct {
	statements []string
	seq        int64
	what       string
	starts     bool // the daemon still starts: only the whole verification sees it
}{
	"a body edited": {[]string{"DROP TRIGGER event_body_no_update", `UPDATE event_body SET json = '{"a":"b"}' WHERE seq = 3`}, 3, "body does not match", false},
	"a body edited, trigger restored": {[]string{
		"DROP TRIGGER event_body_no_update", `UPDATE event_body SET json = '{"a":"b"}' WHERE seq = 3`,
		"CREATE TRIGGER event_body_no_update BEFORE UPDATE ON event_body BEGIN SELECT RAISE(ABORT, 'event_body does not change'); END",
	}, 3, "body does not match", true},
	"a row replaced, trigger restored": {[]string{
		"PRAGMA recursive_triggers = 0", "DROP TRIGGER event_no_update", "UPDATE event SET actor_id = 'somebody' WHERE seq = 3",
		"CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'event is append-only'); END",
	}, 3, "does not match its leaf", true},
	"a row deleted":        {[]string{"DROP TRIGGER event_no_delete", "DELETE FROM event WHERE seq = 3"}, 3, "missing or out of place", false},
	"the tail cut":         {[]string{"DROP TRIGGER event_no_delete", "DELETE FROM event WHERE seq > 5"}, 6, "shorter than a signed checkpoint", false},
	"two rows swapped":     {[]string{"DROP TRIGGER event_no_update", "UPDATE event SET seq = -seq WHERE seq IN (2, 3)", "UPDATE event SET seq = 5 + seq WHERE seq < 0"}, 2, "does not match its leaf", false},
	"a node edited":        {[]string{"DROP TRIGGER node_no_update", "UPDATE node SET hash = zeroblob(32) WHERE ix = 4"}, 3, "tree node is wrong", false},
	"a checkpoint deleted": {[]string{"DROP TRIGGER checkpoint_no_delete", "DELETE FROM checkpoint", "DELETE FROM event WHERE 0"}, nowhere, "schema was changed", false},
	"a trigger dropped":    {[]string{"DROP TRIGGER event_in_order"}, nowhere, "schema was changed", false},
	"a trigger weakened": {[]string{"DROP TRIGGER event_no_delete", "CREATE TRIGGER event_no_delete BEFORE DELETE ON event WHEN 0 BEGIN SELECT RAISE(ABORT, 'event is append-only'); END"},
		nowhere, "schema was changed", false},
	"a trigger added": {[]string{"CREATE TRIGGER extra AFTER INSERT ON event BEGIN DELETE FROM artifact_body; END"}, nowhere, "schema was changed", false},
	"a body invented": {[]string{"DROP TRIGGER event_body_of_newest", "INSERT INTO event_body VALUES (77, zeroblob(16), '{}')",
		`CREATE TRIGGER event_body_of_newest BEFORE INSERT ON event_body
  WHEN NEW.seq IS NOT (SELECT max(seq) FROM event)
  BEGIN SELECT RAISE(ABORT, 'event_body belongs to the newest event'); END`}, 77, "a body has no event", true},
	"an event forged behind the last": {[]string{
		"INSERT INTO event SELECT seq + 1, schema, epoch, at, boot_id, 'forged.kind', actor_kind, actor_id, workspace, run_id, step_id, attempt_id, run_ix + 1, leaf, body_digest, leaf FROM event ORDER BY seq DESC LIMIT 1",
	}, 9, "does not match its leaf", false},
}

// closedLog is the directory of a closed record with events 0 to 8.
func closedLog(t *testing.T) string {
	t.Helper()
	dir := stateDir(t)
	s := reopen(t, Options{Dir: dir})
	a := started(t, s)
	walk(t, s, a, work.AttemptPreparing, work.AttemptRunning, work.AttemptCollecting, work.AttemptValidating, work.AttemptEnded)
	if got := head(t, s).Size; got != 9 {
		t.Fatalf("%d events", got)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestS41_TamperingWithTheFileIsNamed(t *testing.T) {
	for name, row := range tamperings {
		t.Run(name, func(t *testing.T) {
			dir := closedLog(t)
			vandal(t, dir, row.statements...)
			if s, err := Open(context.Background(), Options{Dir: dir}); (err == nil) != row.starts || (err != nil && !fault.Is(err, fault.AuditFailed)) {
				t.Errorf("the daemon's start: %v", err)
			} else if err == nil && s.Close(context.Background()) != nil {
				t.Error("close failed")
			}
			s := reopen(t, Options{Dir: dir, Inspect: true})
			v, err := s.Verify(context.Background(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(v.Problems, func(p audit.Problem) bool { return p.Seq == row.seq && strings.Contains(p.What, row.what) }) {
				t.Errorf("want event %d %q, got %+v", row.seq, row.what, v.Problems)
			}
		})
	}
}

func TestS41_ALogThatWasCutBackWithItsCheckpointsIsNoticed(t *testing.T) {
	dir := closedLog(t)
	older, err := os.ReadFile(filepath.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	s := reopen(t, Options{Dir: dir})
	openRun(t, s)
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	// The whole database of before, in itself flawless, put back.
	if err := os.WriteFile(filepath.Join(dir, databaseName), older, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Dir: dir}); !fault.Is(err, fault.AuditFailed) {
		t.Errorf("start: %v", err)
	}
	inspect := reopen(t, Options{Dir: dir, Inspect: true})
	v, err := inspect.Verify(context.Background(), nil)
	if err != nil || v.OK() || v.Problems[0].Seq != 9 || !strings.Contains(v.Problems[0].What, "shorter than a signed checkpoint") {
		t.Errorf("got %+v, %v", v.Problems, err)
	}
}

func TestADamagedDatabaseIsAFindingAndNoStart(t *testing.T) {
	dir := closedLog(t)
	path := filepath.Join(dir, databaseName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The page of the event table: the cell pointers of a b-tree leaf.
	at := strings.Index(string(raw), "attempt.validating")
	page := at / pageSize * pageSize
	for i := range 200 {
		raw[page+8+i] ^= 0xff
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(context.Background(), Options{Dir: dir}); err == nil {
		t.Error("the daemon started on a damaged page")
		if err := s.Close(context.Background()); err != nil {
			t.Log(err)
		}
	}
	s := reopen(t, Options{Dir: dir, Inspect: true})
	v, err := s.Verify(context.Background(), nil)
	if err != nil || v.OK() {
		t.Errorf("got %+v, %v", v, err)
	}
}
