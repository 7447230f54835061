package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/drawspan/drawspan/host/fault"
)

const lockName = "lock"

// File systems on which locks or the write-ahead log do not hold what they promise.
var remote = map[int64]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB", 0x65735546: "FUSE",
}

// prepareDir makes the state directory, or refuses one that others could change. It returns its path
// without symbolic links.
func prepareDir(dir string, mayMake bool) (string, error) {
	if mayMake {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("make state directory: %w", err)
		}
	}
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.New(fault.NotFound, "there is no state directory here").At(dir).Fix("run: drawspan serve")
	} else if err != nil {
		return "", fmt.Errorf("find state directory: %w", err)
	}
	if err := checkParents(real); err != nil {
		return "", err
	}
	if err := checkMode(real); err != nil {
		return "", err
	}
	return real, checkFileSystem(real, remote)
}

// checkMode wants the directory to be ours alone. An empty one is simply closed.
func checkMode(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at state directory: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok {
		return fault.New(fault.ConfigInvalid, "the state directory is not a directory").At(dir)
	}
	if int(st.Uid) != os.Geteuid() {
		return fault.New(fault.ConfigInvalid, "the state directory belongs to uid %d, this is uid %d", st.Uid, os.Geteuid()).At(dir).
			Fix("run the daemon as its owner or choose another state_dir")
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into state directory: %w", err)
	}
	if len(entries) > 0 {
		return fault.New(fault.ConfigInvalid, "the state directory is open to others (mode %04o)", info.Mode().Perm()).At(dir).
			Fix("run: chmod 700 %s", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close state directory: %w", err)
	}
	return nil
}

// checkParents refuses a path on which somebody else could put another directory in place of ours.
func checkParents(dir string) error {
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Lstat(parent)
		if err != nil {
			return fmt.Errorf("look at parent of state directory: %w", err)
		}
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fault.New(fault.ConfigInvalid, "everybody may write to a parent of the state directory").At(parent).
				Fix("run: chmod o-w %s, or choose another state_dir", parent)
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}

func checkFileSystem(dir string, refused map[int64]string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at file system of state directory: %w", err)
	}
	if name, bad := refused[int64(st.Type)]; bad {
		return fault.New(fault.ConfigInvalid, "the state directory is on %s, where a durable record cannot be kept", name).At(dir).
			Fix("choose a state_dir on a local disk")
	}
	return nil
}

// fOFDSetlk takes a lock that belongs to the open file, not to the process (F_OFD_SETLK of fcntl.h).
const fOFDSetlk = 37

// How often and how long apart the lock is tried. A child that a killed daemon was just starting holds
// it until it sees that its parent is gone.
const (
	lockTries = 50
	lockPause = 20 * time.Millisecond
)

// lockDir makes this process the only owner of the directory until the file is closed.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	for range lockTries {
		if err = syscall.FcntlFlock(f.Fd(), fOFDSetlk, &lock); !elsewhere(err) {
			break
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock state directory: %w", context.Cause(ctx)), f.Close())
		}
	}
	if err == nil {
		// Who holds it, for the message that the next one gets. The lock counts, not the text.
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err == nil || errors.Is(err, syscall.ENOSPC) {
			return f, nil
		}
	}
	holder := make([]byte, 20)
	n, _ := f.ReadAt(holder, 0) // only for the message
	_ = f.Close()               // nothing was written to it
	if elsewhere(err) {
		pid, _, _ := strings.Cut(string(holder[:n]), "\n")
		return nil, fault.New(fault.StateLocked, "another daemon owns this state directory (pid %s)", pid).At(dir).
			Fix("run: drawspan doctor")
	}
	return nil, fmt.Errorf("lock state directory: %w", err)
}

// elsewhere reports that somebody else has the lock.
func elsewhere(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)
}

// shutDatabase makes the file of the database, or shuts it, before SQLite opens it: SQLite would let
// everybody read it. The files that SQLite puts beside it get its mode.
func shutDatabase(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, databaseName), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("shut database: %w", err)
	}
	return nil
}

// writeFile puts a small file in place with mode 0600; with durable set it is on the disk before it returns.
func writeFile(path string, content []byte, durable bool) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("make %s: %w", filepath.Base(path), err)
	}
	_, err = tmp.Write(content)
	if err == nil && durable {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(path), err), os.Remove(tmp.Name()))
	}
	if !durable {
		return nil
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
