package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Writer takes the bytes of one artifact. It is used by one goroutine, and ends with Seal or Abort.
type Writer struct {
	s         *Store
	file      *os.File
	tmp       string // its path
	hash      hash.Hash
	limit     int64
	size      int64
	truncated bool
	err       error
}

// Create begins an artifact of at most limit bytes.
func (s *Store) Create(limit int64) (*Writer, error) {
	f, err := os.CreateTemp(s.path(tempDir), "new-*") // O_EXCL, 0600
	if err != nil {
		return nil, diskFault("create content", err)
	}
	return &Writer{s: s, file: f, tmp: f.Name(), hash: sha256.New(), limit: limit}, nil
}

// Write takes bytes up to the limit. What is beyond is dropped and reported as taken, so that whoever
// streams is not stopped by it; Seal tells.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	taken := p
	if room := w.limit - w.size; int64(len(p)) > room {
		taken, w.truncated = p[:room], true
	}
	n, err := w.file.Write(taken)
	w.hash.Write(taken[:n])
	w.size += int64(n)
	if err != nil {
		w.err = diskFault("write content", err)
		return n, w.err
	}
	return len(p), nil
}

var errDone = errors.New("the artifact was sealed or aborted before")

// Seal makes the bytes durable under their digest and ends the writer, also when it fails.
func (w *Writer) Seal() (Ref, error) {
	if w.err != nil {
		err := w.err
		w.Abort()
		return Ref{}, err
	}
	defer w.Abort()
	ref := Ref{Digest: algorithm + ":" + hex.EncodeToString(w.hash.Sum(nil)), Size: w.size, Truncated: w.truncated}
	path, err := w.s.place(ref.Digest)
	if err != nil {
		return Ref{}, err
	}
	if err := errors.Join(w.file.Sync(), w.file.Chmod(0o444)); err != nil {
		return Ref{}, diskFault("sync content", err)
	}
	if err := w.s.install(w.tmp, path, ref); err != nil {
		return Ref{}, err
	}
	return ref, nil
}

// install gives a finished file its name, durably. Where the name is taken by the same bytes those stay.
func (s *Store) install(tmp, path string, ref Ref) error {
	s.naming.Lock()
	defer s.naming.Unlock()
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o700); err == nil {
		err = syncDir(filepath.Dir(dir))
		if err != nil {
			return diskFault("sync directory of content", err)
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return diskFault("make directory of content", err)
	}
	known, err := s.holds(path, ref)
	if err != nil {
		return err
	}
	if !known {
		if err := name(tmp, path); err != nil {
			return diskFault("name content", err)
		}
	}
	return diskError("sync directory of content", syncDir(dir))
}

// name links where it can: a link fails where a rename would replace.
func name(tmp, path string) error {
	err := os.Link(tmp, path)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) {
		return os.Rename(tmp, path) // a file system without links; naming is held
	}
	return err
}

// holds reports that the bytes are there already, and makes them young again for the sweep. A file that
// has the name but not the bytes is put aside.
func (s *Store) holds(path string, ref Ref) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	ok := false
	if err == nil {
		ok, err = matches(f, ref.Digest, ref.Size)
		err = errors.Join(err, f.Close())
	}
	if errors.Is(err, syscall.ELOOP) {
		err = nil // a link is not the bytes
	}
	if err != nil {
		return false, diskFault("look at content", err)
	}
	if !ok {
		return false, s.putAside(path)
	}
	now := time.Now()
	return true, diskError("touch content", os.Chtimes(path, now, now))
}

func diskError(what string, err error) error {
	if err == nil {
		return nil
	}
	return diskFault(what, err)
}

// Abort drops what was written. After Seal it does nothing.
func (w *Writer) Abort() {
	if errors.Is(w.err, errDone) {
		return
	}
	w.err = errDone
	_ = w.file.Close()   // the content is installed and synced, or not wanted
	_ = os.Remove(w.tmp) // what stays is removed at the next start
}

// Put keeps what r gives, up to limit bytes.
func (s *Store) Put(ctx context.Context, r io.Reader, limit int64) (Ref, error) {
	w, err := s.Create(limit)
	if err != nil {
		return Ref{}, err
	}
	defer w.Abort()
	// One byte more than the limit tells that there was more; the rest is not read.
	if _, err := io.Copy(w, io.LimitReader(until(ctx, r), limit+1)); err != nil {
		return Ref{}, fmt.Errorf("keep content: %w", err)
	}
	return w.Seal()
}
