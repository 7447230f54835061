package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/drawspan/drawspan/host/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks the file as ours: "drws".
const applicationID = 0x64727773

// steps lists the migrations in order; the number of one is its place, from 1.
func steps() ([]string, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var list []string
	for i, e := range entries {
		text, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%04d_", &n); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s is not number %d", e.Name(), i+1)
		}
		list = append(list, string(text))
	}
	return list, nil
}

// migrate brings the database forward, each step in one transaction, after a copy was put aside. It
// returns the versions before and after.
func migrate(ctx context.Context, db *sql.DB, dir string, list []string) (from, to int, err error) {
	from, err = schemaVersion(ctx, db)
	if err != nil {
		return 0, 0, err
	}
	if from > len(list) {
		return 0, 0, fault.New(fault.NotSupported, "the record has schema version %d, this program knows up to %d", from, len(list)).
			At(filepath.Join(dir, databaseName)).Fix("install the drawspan that wrote it, or a newer one")
	}
	if from > 0 && from < len(list) {
		if err := vacuumInto(ctx, db, filepath.Join(dir, fmt.Sprintf("state.before-%d.db", from+1))); err != nil {
			return 0, 0, fmt.Errorf("copy the record before migrating: %w", err)
		}
	}
	for i := from; i < len(list); i++ {
		if err := migrateStep(ctx, db, i+1, list[i]); err != nil {
			return 0, 0, fmt.Errorf("migrate to schema version %d: %w", i+1, err)
		}
	}
	return from, len(list), nil
}

func migrateStep(ctx context.Context, db *sql.DB, n int, text string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	for _, q := range []string{text, fmt.Sprintf("PRAGMA application_id = %d", applicationID), fmt.Sprintf("PRAGMA user_version = %d", n)} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// schemaVersion reads the version and refuses a database that is not a record.
func schemaVersion(ctx context.Context, db *sql.DB) (int, error) {
	var version, app, tables int
	err := db.QueryRowContext(ctx, "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version, pragma_application_id").
		Scan(&version, &app, &tables)
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	fresh := app == 0 && version == 0 && tables == 0
	if !fresh && (app != applicationID || version < 1) {
		return 0, fault.New(fault.ConfigInvalid, "state.db is not a record of drawspan").Fix("choose another state_dir")
	}
	return version, nil
}

// expectedSchema is what the migrations of this program make, by object.
var expectedSchema = sync.OnceValues(func() (map[string]string, error) {
	list, err := steps()
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file::memory:")
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	defer func() { _ = db.Close() }() // it is in memory
	db.SetMaxOpenConns(1)
	for _, text := range list {
		if _, err := db.Exec(text); err != nil {
			return nil, fmt.Errorf("build model: %w", err)
		}
	}
	return readSchema(db.Query("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema"))
})

func readSchema(rows *sql.Rows, err error) (map[string]string, error) {
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	found := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		found[name] = text
	}
	return found, rows.Err()
}

// schemaFlaws lists what somebody changed about tables, triggers and views.
func schemaFlaws(ctx context.Context, db *sql.DB) ([]string, error) {
	want, err := expectedSchema()
	if err != nil {
		return nil, err
	}
	got, err := readSchema(db.QueryContext(ctx, "SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema"))
	if err != nil {
		return nil, err
	}
	var flaws []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch text, ok := got[name]; {
		case !ok:
			flaws = append(flaws, name+" is missing")
		case text != want[name]:
			flaws = append(flaws, name+" was changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			flaws = append(flaws, name+" does not belong here")
		}
	}
	return flaws, nil
}

// vacuumInto writes a copy of the database to a new file, durably, or leaves none.
func vacuumInto(ctx context.Context, db *sql.DB, path string) error {
	tmp := path + ".part"
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", tmp); err != nil {
		return cleanCopy(tmp, fmt.Errorf("copy database: %w", err))
	}
	return cleanCopy(tmp, settle(tmp, path))
}
