package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/drawspan/drawspan/host/fault"
)

const databaseName = "state.db"

// readers is how many reads run at once.
const readers = 4

// access is what a connection may do.
type access int

const (
	mayRead  access = iota // the readers' pool
	mayWrite               // the one writer
	mayBuild               // migrations and copies; open only as long as they run
)

// openPool opens connections to the database of a state directory with exactly the given power.
func openPool(dir string, a access) (*sql.DB, error) { return openPoolAs(dir, a, "FULL") }

// openPoolAs is openPool with what a commit waits for.
func openPoolAs(dir string, a access, synchronous string) (*sql.DB, error) {
	if _, err := sqlite.OFDLocking(true); err != nil && !errors.Is(err, sqlite.ErrOFDLockingUnavailable) {
		return nil, fmt.Errorf("choose lock kind: %w", err)
	}
	sqlite.StrictPragmas(true)
	d := &sqlite.Driver{}
	if a != mayBuild {
		d.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, _ string) error {
			r, ok := conn.(sqlite.AuthorizerRegisterer)
			if !ok {
				return errors.New("the driver has no authorizer")
			}
			return r.RegisterAuthorizer(policy(a))
		})
	}
	db := sql.OpenDB(dialer{driver: d, dsn: dsn(filepath.Join(dir, databaseName), a, synchronous)})
	db.SetMaxOpenConns(1)
	if a == mayRead {
		db.SetMaxOpenConns(readers)
		db.SetMaxIdleConns(readers)
	}
	return db, nil
}

// pool is openPool for this record.
func (s *Store) pool(a access) (*sql.DB, error) {
	if s.passing {
		return openPoolAs(s.dir, a, "OFF")
	}
	return openPool(s.dir, a)
}

// dialer opens connections of a driver that is not registered process-wide.
type dialer struct {
	driver *sqlite.Driver
	dsn    string
}

// Connect opens one connection.
func (d dialer) Connect(context.Context) (driver.Conn, error) { return d.driver.Open(d.dsn) }

// Driver is the dialer's driver.
func (d dialer) Driver() driver.Driver { return d.driver }

// dsn spells the settings of every connection. Checkpoints of the write-ahead log are the writer's own
// work (wal_autocheckpoint=0), because SQLite hides the errors of its automatic ones.
func dsn(path string, a access, synchronous string) string {
	q := url.Values{
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_busy_timeout": {"5000"},
		"_foreign_keys": {"1"},
		"_pragma": {
			"recursive_triggers(1)", "trusted_schema(0)", "cell_size_check(1)", "mmap_size(0)",
			"secure_delete(1)", "wal_autocheckpoint(0)", "journal_size_limit(67108864)",
		},
	}
	if a == mayRead {
		q.Set("_query_only", "1")
	} else {
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", synchronous)
		q.Set("_txlock", "immediate")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// What the writer may do to which table. Everything that is not named is refused.
var (
	insertable = map[string]bool{
		"event": true, "event_body": true, "node": true, "checkpoint": true, "run": true, "step": true, "step_spec": true,
		"attempt": true, "attempt_part": true, "artifact": true, "artifact_body": true, "validation": true, "gate": true,
		"approval": true, "idempotency": true,
	}
	updatable  = map[string]bool{"run": true, "step": true, "attempt": true, "attempt_part": true, "gate": true, "approval": true}
	deletable  = map[string]bool{"event_body": true, "artifact_body": true}
	askPragmas = map[string]bool{"user_version": true, "application_id": true}
	runPragmas = map[access]string{mayRead: "quick_check", mayWrite: "wal_checkpoint"}
)

// policy is the authorizer of a connection.
func policy(a access) sqlite.AuthorizerFn {
	return func(action sqlite.AuthorizerActionCode, arg1, arg2, _, _ string) sqlite.AuthorizerReturnCode {
		ok := false
		switch action {
		case sqlite.AuthSelect, sqlite.AuthRead, sqlite.AuthFunction, sqlite.AuthRecursive, sqlite.AuthTransaction:
			ok = true
		case sqlite.AuthPragma:
			ok = (askPragmas[arg1] && arg2 == "") || arg1 == runPragmas[a]
		case sqlite.AuthSavepoint:
			ok = a == mayWrite
		case sqlite.AuthInsert:
			ok = a == mayWrite && insertable[arg1]
		case sqlite.AuthUpdate:
			ok = a == mayWrite && updatable[arg1]
		case sqlite.AuthDelete:
			ok = a == mayWrite && deletable[arg1]
		}
		if ok {
			return sqlite.AuthorizerOK
		}
		return sqlite.AuthorizerDeny
	}
}

// sqlCode is the primary result code of an SQLite error, 0 for any other error.
func sqlCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// spent reports that the transaction is over for everybody in it: SQLite may have rolled it back.
func spent(err error) bool {
	switch sqlCode(err) {
	case lib.SQLITE_FULL, lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_INTERRUPT:
		return true
	}
	return fatal(err)
}

// fatal reports that the file or the disk under it can no longer be trusted.
func fatal(err error) bool {
	switch sqlCode(err) {
	case lib.SQLITE_IOERR, lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_NOMEM, lib.SQLITE_CANTOPEN,
		lib.SQLITE_READONLY, lib.SQLITE_PROTOCOL, lib.SQLITE_MISUSE:
		return true
	}
	return errors.Is(err, errTorn)
}

// writeFault is what a caller of Apply is told about a failed write.
func writeFault(err error) error {
	var f *fault.Fault
	switch {
	case err == nil, errors.As(err, &f):
		return err
	case sqlCode(err) == lib.SQLITE_FULL:
		return fault.Wrap(err, fault.NoSpace, "the disk that holds the record is full; nothing was written").
			Fix("free space on the disk of the state directory; the daemon needs no restart")
	case sqlCode(err) == lib.SQLITE_BUSY:
		return fault.Wrap(err, fault.Unavailable, "another program holds the record locked").
			Fix("end the program that has state.db open")
	case sqlCode(err) == lib.SQLITE_CONSTRAINT:
		return fault.Wrap(err, fault.Conflict, "the change contradicts what is recorded")
	}
	return err
}

// readFault is what a caller of a read is told.
func readFault(what string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, "%s is not known here", what).At(what)
	}
	return fmt.Errorf("read %s: %w", what, err)
}
