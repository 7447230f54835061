// Package artifact is the content store: bytes under the name of their SHA-256.
//
// It guarantees that what it has sealed is durable, that equal bytes are kept once, that a name never
// changes its bytes, and that no byte is handed out before the whole content was verified against its
// digest.
//
// It must not know what the bytes mean or who refers to them.
package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"

	"github.com/drawspan/drawspan/host/fault"
)

// InlineLimit is the size up to which bytes travel inside the record's transaction instead.
const InlineLimit = 16 << 10

const (
	algorithm  = "sha256"
	tempDir    = "tmp"
	quarantine = "quarantine"
)

// Ref names sealed bytes.
type Ref struct {
	Digest    string // "sha256:<hex>"
	Size      int64
	Truncated bool // more was written than the limit took
}

// Store is an open content store. It may be used by several goroutines, and holds no file open.
type Store struct {
	dir string
	// naming is held while a name comes or goes, so that a sweep cannot take away what a writer has
	// just found to be there.
	naming sync.Mutex
}

// Open opens the content store of a directory, or makes it. Unfinished files of a process that died are
// removed: one process owns the directory.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	for _, d := range []string{dir, s.path(algorithm), s.path(tempDir), s.path(quarantine)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, diskFault("make content store", err)
		}
	}
	left, err := os.ReadDir(s.path(tempDir))
	if err != nil {
		return nil, diskFault("look for unfinished files", err)
	}
	for _, f := range left {
		if err := os.Remove(s.path(tempDir, f.Name())); err != nil {
			return nil, diskFault("remove unfinished file", err)
		}
	}
	return s, nil
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// Digest is the name of bytes.
func Digest(p []byte) string {
	sum := sha256.Sum256(p)
	return algorithm + ":" + hex.EncodeToString(sum[:])
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// place is where the bytes of a digest are, and nothing else becomes a path.
func (s *Store) place(digest string) (string, error) {
	if !digestForm.MatchString(digest) {
		return "", fault.New(fault.InvalidRequest, "%q is not a digest", digest).Fix("digests look like sha256:<64 hex digits>")
	}
	name := digest[len(algorithm)+1:]
	return s.path(algorithm, name[:2], name[2:]), nil
}

// diskFault wraps an error of the file system.
func diskFault(what string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(err, fault.NoSpace, "the disk that holds the artifacts is full").Fix("free space on the disk of the state directory")
	}
	return fmt.Errorf("%s: %w", what, err)
}

func missing(digest string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "the content of %s is not here", digest).At(digest)
	}
	return diskFault("open content", err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
