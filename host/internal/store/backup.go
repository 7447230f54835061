package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/drawspan/drawspan/host/fault"
)

// Backup writes a verified copy of the record into an existing directory: state.db and the checkpoint
// that signs it. The signing key stays: who holds the copy can verify it and cannot extend it.
func (s *Store) Backup(ctx context.Context, dir string) error {
	if s.w == nil {
		return fault.New(fault.NotSupported, "the record is open for reading only")
	}
	path := filepath.Join(dir, databaseName)
	if _, err := os.Lstat(path); err == nil {
		return fault.New(fault.Conflict, "there is a copy already").At(path).Fix("choose an empty directory")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for an older copy: %w", err)
	}
	note, err := s.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if err := s.copyTo(ctx, path); err != nil {
		return err
	}
	if err := s.verifyCopy(ctx, dir, note); err != nil {
		return errors.Join(fmt.Errorf("verify copy: %w", err), os.Remove(path))
	}
	return nil
}

// copyTo copies the database through a connection of its own: it must attach the new file, which the
// other connections may not.
func (s *Store) copyTo(ctx context.Context, path string) error {
	db, err := openPool(s.dir, mayBuild)
	if err != nil {
		return err
	}
	err = vacuumInto(ctx, db, path)
	return errors.Join(writeFault(err), db.Close())
}

// verifyCopy recomputes the copy as its receiver would, with our public key.
func (s *Store) verifyCopy(ctx context.Context, dir string, note []byte) error {
	if err := writeFile(notePath(dir), note, true); err != nil {
		return err
	}
	reads, err := openPool(dir, mayRead)
	if err != nil {
		return err
	}
	c := &Store{identity: s.identity, dir: dir, reads: reads}
	v, err := c.Verify(ctx, nil)
	return errors.Join(err, v.Err(), reads.Close())
}
