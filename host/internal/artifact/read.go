package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/drawspan/drawspan/host/fault"
)

// until ends a read with its context.
func until(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		return r.Read(p)
	})
}

type readerFunc func(p []byte) (int, error)

// Read calls f.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Verified opens bytes that were verified as a whole: nothing is handed out before size and digest were
// recomputed, and what is read afterwards is read from the same open file. Content that does not match is
// put aside and answered with fault.ArtifactCorrupt, never with bytes.
func (s *Store) Verified(ctx context.Context, digest string, size int64) (io.ReadSeekCloser, error) {
	path, err := s.place(digest)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, s.corrupt(path, digest)
	} else if err != nil {
		return nil, missing(digest, err)
	}
	ok, err := matches(sizedFile{f, until(ctx, f)}, digest, size)
	if err == nil && ok {
		_, err = f.Seek(0, io.SeekStart)
	}
	switch {
	case err != nil:
		return nil, errors.Join(fmt.Errorf("verify content: %w", err), f.Close())
	case !ok:
		return nil, errors.Join(s.corrupt(path, digest), f.Close())
	}
	return f, nil
}

// sizedFile is a file that is read through something.
type sizedFile struct {
	file *os.File
	io.Reader
}

// Stat is the file's.
func (f sizedFile) Stat() (fs.FileInfo, error) { return f.file.Stat() }

// matches recomputes the content of an open file.
func matches(f interface {
	io.Reader
	Stat() (fs.FileInfo, error)
}, digest string, size int64) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() || info.Size() != size {
		return false, nil
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, size+1))
	return n == size && algorithm+":"+hex.EncodeToString(h.Sum(nil)) == digest, err
}

// corrupt puts content aside and says so.
func (s *Store) corrupt(path, digest string) error {
	f := fault.New(fault.ArtifactCorrupt, "the content of %s does not match its digest", digest).At(digest).Fix("run: drawspan audit verify")
	f.Err = s.putAside(path)
	return f
}

// putAside moves a file that is not what its name says out of the store and keeps it for whoever wants to
// know.
func (s *Store) putAside(path string) error {
	name := filepath.Base(filepath.Dir(path)) + filepath.Base(path) + "." + time.Now().UTC().Format("20060102T150405.000000000")
	if err := os.Rename(path, s.path(quarantine, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskFault("put corrupt content aside", err)
	}
	return nil
}

// Swept says what a sweep removed.
type Swept struct {
	Files int
	Bytes int64
}

// Sweep removes the content that keep does not want and that is older than olderThan. What is younger
// may belong to a row that is just being written.
func (s *Store) Sweep(ctx context.Context, keep func(digest string) bool, olderThan time.Time) (Swept, error) {
	var swept Swept
	err := filepath.WalkDir(s.path(algorithm), func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || entry.IsDir() {
			return err
		}
		digest := algorithm + ":" + filepath.Base(filepath.Dir(path)) + entry.Name()
		if !digestForm.MatchString(digest) || keep(digest) {
			return nil
		}
		size, err := s.removeOld(path, olderThan)
		if size >= 0 {
			swept.Files++
			swept.Bytes += size
		}
		return err
	})
	if err != nil {
		return swept, diskFault("sweep content", err)
	}
	return swept, nil
}

// removeOld removes a file that is older than the time and returns its size, -1 where it stays.
func (s *Store) removeOld(path string, olderThan time.Time) (int64, error) {
	s.naming.Lock()
	defer s.naming.Unlock()
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	} else if err != nil || !info.ModTime().Before(olderThan) {
		return -1, err
	}
	if err := os.Remove(path); err != nil {
		return -1, err
	}
	return info.Size(), nil
}
