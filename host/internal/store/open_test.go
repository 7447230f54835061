package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

func TestANewRecordIsOursAlone(t *testing.T) {
	dir := stateDir(t)
	s := reopen(t, Options{Dir: dir})
	for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, "keys": fs.ModeDir | 0o700, "keys/log.key": 0o600, "lock": 0o600, databaseName: 0o600, databaseName + "-wal": 0o600, "log.checkpoint": 0o600} {
		var info fs.FileInfo
		waitFor(t, name, func() (err error) { info, err = os.Stat(filepath.Join(dir, name)); return err })
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
	if err := ident.Check(ident.Instance, s.InstanceID()); err != nil {
		t.Error(err)
	}
	if s.Epoch() != 1 || !strings.HasPrefix(s.Key(), "drawspan/host/"+s.InstanceID()+"+") {
		t.Errorf("epoch %d, key %s", s.Epoch(), s.Key())
	}
	events, err := s.Events(context.Background(), EventFilter{})
	if err != nil || len(events) != 1 || events[0].Kind != "log.created" || !strings.Contains(string(events[0].Body), s.Key()) {
		t.Errorf("first event %s, %v", asText(events), err)
	}
	id, key := s.InstanceID(), s.Key()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, Options{Dir: dir})
	if again.InstanceID() != id || again.Key() != key || head(t, again).Size != 1 {
		t.Errorf("reopened as %s with %d events", again.InstanceID(), head(t, again).Size)
	}
}

// waitFor retries what the attendant does after the answer.
func waitFor(t *testing.T, what string, f func() error) {
	t.Helper()
	if err := eventually(f); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestADirectoryThatOthersCanChangeIsRefused(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "parent")
	open := filepath.Join(t.TempDir(), "open")
	file := filepath.Join(t.TempDir(), "file")
	empty := filepath.Join(t.TempDir(), "empty")
	err := errors.Join(os.Mkdir(parent, 0o700), os.Chmod(parent, 0o777), os.Mkdir(open, 0o700), os.WriteFile(filepath.Join(open, "x"), nil, 0o600),
		os.Chmod(open, 0o750), os.WriteFile(file, nil, 0o600), os.Mkdir(empty, 0o700), os.Chmod(empty, 0o755))
	if err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"world-writable parent": filepath.Join(parent, "state"), "open to others": open} {
		if _, err := Open(context.Background(), Options{Dir: dir}); !fault.Is(err, fault.ConfigInvalid) || fault.From(err).Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(context.Background(), Options{Dir: file}); err == nil {
		t.Error("a file was opened as a directory")
	}
	reopen(t, Options{Dir: empty}) // an empty one is closed
	if info, err := os.Stat(empty); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(parent, fs.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	reopen(t, Options{Dir: filepath.Join(parent, "sticky")})
	if os.Geteuid() == 0 {
		foreign := filepath.Join(t.TempDir(), "foreign")
		if err := errors.Join(os.Mkdir(foreign, 0o700), os.Chown(foreign, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), Options{Dir: foreign}); !fault.Is(err, fault.ConfigInvalid) {
			t.Errorf("somebody else's directory: %v", err)
		}
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		if err := checkFileSystem("/proc/self", map[int64]string{0x9fa0: "proc"}); !fault.Is(err, fault.ConfigInvalid) {
			t.Errorf("file system: %v", err)
		}
	}
}

func TestInspectingNeedsARecordAndChangesNothing(t *testing.T) {
	dir := stateDir(t)
	if _, err := Open(context.Background(), Options{Dir: dir, Inspect: true}); !fault.Is(err, fault.NotFound) {
		t.Errorf("no directory: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Dir: dir, Inspect: true}); !fault.Is(err, fault.NotFound) {
		t.Errorf("no record: %v", err)
	}
	dir = closedLog(t)
	s := reopen(t, Options{Dir: dir, Inspect: true})
	ctx := context.Background()
	if _, err := s.Apply(ctx, work.Fact{Kind: "a.b"}); !fault.Is(err, fault.NotSupported) {
		t.Errorf("apply: %v", err)
	}
	if _, err := s.Checkpoint(ctx); !fault.Is(err, fault.NotSupported) {
		t.Errorf("checkpoint: %v", err)
	}
	if err := s.Backup(ctx, t.TempDir()); !fault.Is(err, fault.NotSupported) {
		t.Errorf("backup: %v", err)
	}
	if s.Broken() != nil || s.Key() == "" {
		t.Error("a reader has a writer or no key")
	}
	sound(t, s)
}

func TestF19_ASchemaFromTomorrowAndAForeignFileAreRefused(t *testing.T) {
	for name, row := range map[string]struct {
		statement string
		code      fault.Code
	}{
		"newer":       {"PRAGMA user_version = 99", fault.NotSupported},
		"not ours":    {"PRAGMA application_id = 7", fault.ConfigInvalid},
		"unversioned": {"PRAGMA user_version = -1", fault.ConfigInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			dir := closedLog(t)
			vandal(t, dir, row.statement)
			for _, inspect := range []bool{false, true} {
				if s, err := Open(context.Background(), Options{Dir: dir, Inspect: inspect}); err == nil {
					t.Errorf("opened, inspect %v", inspect)
					s.Close(context.Background())
				} else if !fault.Is(err, row.code) {
					t.Errorf("inspect %v: %v", inspect, err)
				}
			}
		})
	}
	dir := stateDir(t)
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, databaseName), []byte("this is not a database, but it is long enough to be read as one..."), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Dir: dir}); err == nil {
		t.Error("a text was opened as a record")
	}
}

func TestMigrationsGoForwardInWholeStepsBehindACopy(t *testing.T) {
	dir := closedLog(t)
	list, err := steps()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	db := rawPool(t, dir, mayBuild)
	broken := append(list, "CREATE TABLE extra (x); CREATE TABLE run (y);")
	if _, _, err := migrate(ctx, db, dir, broken); err == nil {
		t.Fatal("a broken migration succeeded")
	}
	version, err := schemaVersion(ctx, db)
	if err != nil || version != len(list) {
		t.Fatalf("version %d, %v", version, err)
	}
	if _, err := db.ExecContext(ctx, "SELECT * FROM extra"); err == nil {
		t.Error("half of the broken migration stayed")
	}
	copied := filepath.Join(dir, fmt.Sprintf("state.before-%d.db", len(list)+1))
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("copy: %v", err)
	}
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	from, to, err := migrate(ctx, db, dir, append(list, "CREATE TABLE extra (x) STRICT;", "ALTER TABLE extra ADD COLUMN y;")[:len(list)+1])
	if err == nil {
		t.Error("a table without types is not STRICT")
	}
	from, to, err = migrate(ctx, db, dir, append(list, "CREATE TABLE extra (x TEXT) STRICT;", "ALTER TABLE extra ADD COLUMN y TEXT;"))
	if err != nil || from != len(list) || to != len(list)+2 {
		t.Errorf("migrated from %d to %d, %v", from, to, err)
	}
	if from, to, err = migrate(ctx, db, dir, list); !fault.Is(err, fault.NotSupported) {
		t.Errorf("back from %d to %d: %v", from, to, err)
	}
	before := rawPool(t, dir, mayBuild)
	if _, err := before.ExecContext(ctx, "SELECT y FROM extra"); err != nil {
		t.Error(err)
	}
}

// asVersion1 gives a record the schema that it had before validations had inputs and metrics.
func asVersion1(t *testing.T, dir string) {
	t.Helper()
	list, err := steps()
	if err != nil {
		t.Fatal(err)
	}
	view := list[0][strings.Index(list[0], "CREATE VIEW v_validation"):]
	view, _, _ = strings.Cut(view, ";")
	vandal(t, dir, "DROP VIEW v_validation", "ALTER TABLE validation DROP COLUMN inputs_digest", "ALTER TABLE validation DROP COLUMN reused",
		"ALTER TABLE validation DROP COLUMN metrics", view, "PRAGMA user_version = 1")
	model, old := rawPool(t, t.TempDir(), mayBuild), rawPool(t, dir, mayBuild)
	ctx := context.Background()
	if _, _, err := migrate(ctx, model, t.TempDir(), list[:1]); err != nil {
		t.Fatal(err)
	}
	const schema = "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema"
	want, err1 := readSchema(model.QueryContext(ctx, schema))
	got, err2 := readSchema(old.QueryContext(ctx, schema))
	if err := errors.Join(err1, err2); err != nil || !maps.Equal(want, got) {
		t.Fatalf("it is no record of version 1: %v, %v", got["table validation"], err)
	}
}

func TestARecordOfVersion1IsBroughtForwardWithWhatItHolds(t *testing.T) {
	ctx, dir := context.Background(), stateDir(t)
	s := reopen(t, Options{Dir: dir})
	a := started(t, s)
	old := work.Validation{
		ID: newID("val"), AttemptID: a.ID, StepID: a.StepID, RunID: a.RunID, Gate: "tests", N: 1, Plugin: work.PluginIdentity{Name: "command", Kind: "validator", Version: "1"},
		Command: []string{"true"}, Stdout: zeroDigest, Stderr: zeroDigest, Result: work.ResultFail, Message: "1 test failed",
		Findings: []work.Finding{{Rule: "r", Severity: "error", Message: "m"}}, Tree: "7ree", At: time.Unix(1_800_000_000, 123456789).UTC(),
	}
	must(t, s, work.RecordValidation{Validation: old})
	openGate(t, s, a, "tests")
	before := head(t, s)
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	asVersion1(t, dir)

	s = reopen(t, Options{Dir: dir})
	sound(t, s)
	if flaws, err := schemaFlaws(ctx, rawWriter(t, s)); err != nil || len(flaws) > 0 {
		t.Errorf("schema: %v, %v", flaws, err)
	}
	if after := head(t, s); after.Size != before.Size+1 {
		t.Errorf("%d events, want those %d and the migration's", after.Size, before.Size)
	}
	next := old
	next.ID, next.N, next.Inputs, next.Reused, next.Metrics = newID("val"), 2, digestOf([]byte("all of it")), old.ID, map[string]int64{"tests": 1_000_000}
	must(t, s, work.RecordValidation{Validation: next})
	page, err := s.Validations(ctx, ValidationFilter{AttemptID: a.ID})
	if err != nil || len(page.Items) != 2 || !reflect.DeepEqual(page.Items[0], old) || !reflect.DeepEqual(page.Items[1], next) {
		t.Errorf("got %s, %v", asText(page.Items), err)
	}
	sound(t, s)
}

func TestARecordWithoutItsOwnKeyIsRefused(t *testing.T) {
	other, err := audit.NewKey(audit.Origin(ident.New(ident.Instance)))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(path string) error{
		"missing":     os.Remove,
		"not a key":   func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) },
		"another's":   func(p string) error { return os.WriteFile(p, other.Secret(), 0o600) },
		"emptied out": func(p string) error { return os.Truncate(p, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := closedLog(t)
			if err := change(keyPath(dir)); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(context.Background(), Options{Dir: dir}); !fault.Is(err, fault.AuditFailed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestACrashBetweenKeyAndDatabaseIsNoLoss(t *testing.T) {
	dir := stateDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := makeKey(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	s := reopen(t, Options{Dir: dir})
	if s.Key() != key.Verifier() {
		t.Errorf("the key of the first start was not taken over")
	}
	// A key whose log is gone does not sign another beginning of it.
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, databaseName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Dir: dir}); !fault.Is(err, fault.AuditFailed) {
		t.Errorf("the log is gone, its checkpoint is there: %v", err)
	}
}

func TestACancelledOpenLeavesNothingLocked(t *testing.T) {
	dir := stateDir(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	sound(t, reopen(t, Options{Dir: dir}))
}
