package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// settle makes a finished copy durable under its name. The copy is not opened by SQLite at this time,
// so opening it plainly takes no locks away.
func settle(tmp, path string) error {
	f, err := os.OpenFile(tmp, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open copy: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync copy: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("place copy: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// cleanCopy removes what a failed copy left.
func cleanCopy(tmp string, err error) error {
	if err == nil {
		return nil
	}
	if gone := os.Remove(tmp); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("remove unfinished copy: %w", gone))
	}
	return err
}
