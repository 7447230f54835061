package store

import (
	"context"
	"database/sql"
	"testing"
)

// rawWriter is the writer's pool with a second connection of the same power.
func rawWriter(t testing.TB, s *Store) *sql.DB {
	t.Helper()
	return rawPool(t, s.dir, mayWrite)
}

func rawPool(t testing.TB, dir string, a access) *sql.DB {
	t.Helper()
	db, err := openPool(dir, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// vandal is another tool with the file open: no authorizer, no defensive mode.
func vandal(t testing.TB, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+dir+"/state.db?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	db.SetMaxOpenConns(1)
	for _, q := range statements {
		if _, err := db.ExecContext(context.Background(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}
