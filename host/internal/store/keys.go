package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/ident"
)

// identity is who this record is.
type identity struct {
	instance string
	epoch    int64
	key      audit.Key
}

func keyPath(dir string) string { return filepath.Join(dir, "keys", "log.key") }

// notePath holds the newest signed checkpoint beside the database, so that a database that was cut back
// together with its own checkpoints is noticed.
func notePath(dir string) string { return filepath.Join(dir, "log.checkpoint") }

// firstEpoch counts the lives of a log; a restore from a backup begins another.
const firstEpoch = 1

// establish reads the record's identity, or gives it one on the first start. The key's file comes first:
// a crash between the two leaves a key whose name the next start takes over.
func establish(ctx context.Context, db *sql.DB, dir string, durable bool) (identity, error) {
	id, err := readIdentity(ctx, db, dir)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	key, err := readKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(dir, durable)
	}
	if err != nil {
		return identity{}, err
	}
	instance := strings.TrimPrefix(key.Name(), audit.Origin(""))
	if err := ident.Check(ident.Instance, instance); err != nil {
		return identity{}, fmt.Errorf("read key's name: %w", err)
	}
	_, err = db.ExecContext(ctx, "INSERT INTO meta (key, value) VALUES ('instance_id', ?), ('epoch', ?)", instance, strconv.Itoa(firstEpoch))
	if err != nil {
		return identity{}, fmt.Errorf("record identity: %w", err)
	}
	return identity{instance: instance, epoch: firstEpoch, key: key}, nil
}

// readIdentity reads what the database says of itself and the key that belongs to it.
func readIdentity(ctx context.Context, db *sql.DB, dir string) (identity, error) {
	var id identity
	err := db.QueryRowContext(ctx, `SELECT (SELECT value FROM meta WHERE key = 'epoch'), value FROM meta WHERE key = 'instance_id'`).
		Scan(&id.epoch, &id.instance)
	if err != nil {
		return id, fmt.Errorf("read identity: %w", err)
	}
	id.key, err = readKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return id, fault.New(fault.AuditFailed, "the key that signs this log is missing").At(keyPath(dir)).
			Fix("put keys/log.key back from a copy of the state directory")
	} else if err != nil {
		return id, err
	}
	if id.key.Name() != audit.Origin(id.instance) {
		return id, fault.New(fault.AuditFailed, "the signing key belongs to %s, the record to %s", id.key.Name(), id.instance).At(keyPath(dir)).
			Fix("put back the key and the database that belong together")
	}
	return id, nil
}

func readKey(dir string) (audit.Key, error) {
	secret, err := os.ReadFile(keyPath(dir))
	if err != nil {
		return audit.Key{}, fmt.Errorf("read signing key: %w", err)
	}
	key, err := audit.ParseKey(secret)
	if err != nil {
		return audit.Key{}, fault.Wrap(err, fault.AuditFailed, "the signing key cannot be read").At(keyPath(dir)).
			Fix("put keys/log.key back from a copy of the state directory")
	}
	return key, nil
}

func makeKey(dir string, durable bool) (audit.Key, error) {
	key, err := audit.NewKey(audit.Origin(ident.New(ident.Instance)))
	if err != nil {
		return audit.Key{}, err
	}
	if err := os.MkdirAll(filepath.Dir(keyPath(dir)), 0o700); err != nil {
		return audit.Key{}, fmt.Errorf("make directory of keys: %w", err)
	}
	if err := writeFile(keyPath(dir), key.Secret(), durable); err != nil || !durable {
		return key, err
	}
	return key, syncDir(dir)
}

// bootID names this boot of the machine.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}
