package program

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of what is hashed.
const (
	maxFile    = 1 << 30 // bytes of one program
	maxBytes   = 4 << 30 // bytes of a package with all that was installed with it
	maxEntries = 200_000 // files, directories and links of it
	maxDepth   = 64
	maxHashed  = 4096 // remembered digests of files
)

// identity tells whether a file is still the one that was hashed: the kernel moves ctime with every
// change, and no unprivileged call sets it.
type identity struct {
	dev, ino     uint64
	size         int64
	mode         uint32
	mtime, ctime unix.Timespec
}

func identityOf(st *unix.Stat_t) identity {
	return identity{dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mode: st.Mode, mtime: st.Mtim, ctime: st.Ctim}
}

// digest is that of an opened file's bytes.
func (f *Finder) digest(src *os.File) (string, error) {
	id, err := identify(src)
	if err != nil {
		return "", err
	}
	if known, ok := f.hashed(id); ok {
		return known, nil
	}
	f.hashing.Lock()
	defer f.hashing.Unlock()
	if known, ok := f.hashed(id); ok {
		return known, nil
	}
	sum := sha256.New()
	if err := hashFile(sum, src, maxFile); err != nil {
		return "", err
	}
	after, err := identify(src)
	if err != nil {
		return "", err
	}
	if after != id {
		return "", errors.New("it changes while it is read")
	}
	digest := text(sum)
	if recent(time.Now(), id) {
		return digest, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.files) >= maxHashed {
		clear(f.files)
	}
	f.files[id] = digest
	return digest, nil
}

// tick is more than the kernel's clock for time stamps may be behind: within it, a change can leave no trace.
const tick = 100 * time.Millisecond

// recent reports a file that may change once more without a new time stamp, seen from when it was looked at.
// What seems to come from the future is no older.
func recent(now time.Time, id identity) bool { return now.Sub(time.Unix(id.ctime.Unix())) < tick }

func (f *Finder) hashed(id identity) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	digest, ok := f.files[id]
	return digest, ok
}

func identify(f *os.File) (identity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return identity{}, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return identity{}, errors.New("it is no regular file")
	}
	return identityOf(&st), nil
}

func hashFile(sum hash.Hash, src io.ReaderAt, most int64) error {
	n, err := io.Copy(sum, io.NewSectionReader(src, 0, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("it is larger than %d MiB", most>>20)
	}
	return err
}

func text(sum hash.Hash) string { return "sha256:" + hex.EncodeToString(sum.Sum(nil)) }

// summary is what Found.Files is made of.
type summary struct{ packages, interpreter string }

func (s summary) digest() string {
	if s == (summary{}) {
		return ""
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "package %s\ninterpreter %s\n", s.packages, s.interpreter)
	return text(sum)
}

// content is a directory that was hashed: digest holds while the stamp is the same.
type content struct{ stamp, digest string }

func shownAt(dir string) (Shown, error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return Shown{}, os.NewSyscallError("lstat", err)
	}
	return Shown{Path: dir, Dev: uint64(st.Dev), Ino: st.Ino}, nil
}

// contents is the digest of everything below a directory. All of it is looked at each time; the bytes are
// read again only when something is not as it was.
func (f *Finder) contents(ctx context.Context, dir string) (Shown, string, error) {
	at, err := shownAt(dir)
	if err != nil {
		return Shown{}, "", err
	}
	w := &walk{stopped: ctx.Err, finder: f, stamp: sha256.New(), began: time.Now()}
	if err := w.look(dir); err != nil {
		return Shown{}, "", err
	}
	stamp := text(w.stamp)
	if known := f.known(dir); known.stamp == stamp {
		return at, known.digest, nil
	}
	f.hashing.Lock()
	defer f.hashing.Unlock()
	if known := f.known(dir); known.stamp == stamp {
		return at, known.digest, nil
	}
	digest, err := w.hash(dir)
	if err != nil || w.recent {
		return at, digest, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trees[dir] = content{stamp, digest}
	return at, digest, nil
}

func (f *Finder) known(dir string) content {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trees[dir]
}

// walk looks at everything below a directory.
type walk struct {
	finder  *Finder
	stopped func() error // why the caller has given up
	stamp   hash.Hash
	found   []entry
	bytes   int64
	began   time.Time
	recent  bool // something was changed just now
}

// entry is one thing below the directory.
type entry struct {
	path string // relative
	link string // where a link leads
	id   identity
}

func (w *walk) look(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	return w.below(os.NewFile(uintptr(fd), dir), "", 0)
}

// below looks at one directory and closes it.
func (w *walk) below(dir *os.File, rel string, depth int) error {
	defer closeFile(dir)
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%s is too deep", rel)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.one(dir, rel, name, depth); err != nil {
			return err
		}
	}
	return w.stopped()
}

func (w *walk) one(dir *os.File, rel, name string, depth int) error {
	var st unix.Stat_t
	e := entry{path: filepath.Join(rel, name)}
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("%s: %w", e.path, err)
	}
	if err := w.finder.mayHold(e.path, &st); err != nil {
		return err
	}
	e.id = identityOf(&st)
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFLNK {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
		if err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
		e.link = string(buf[:n])
	}
	w.take(e)
	if len(w.found) > maxEntries || w.bytes > maxBytes {
		return fmt.Errorf("it holds more than %d files or %d MiB", maxEntries, int64(maxBytes)>>20)
	}
	if kind != unix.S_IFDIR {
		return nil
	}
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", e.path, err)
	}
	return w.below(os.NewFile(uintptr(fd), name), e.path, depth+1)
}

func (w *walk) take(e entry) {
	w.found = append(w.found, e)
	w.recent = w.recent || recent(w.began, e.id)
	if e.id.mode&unix.S_IFMT == unix.S_IFREG {
		w.bytes += e.id.size
	}
	head := make([]byte, 0, 96)
	for _, n := range []uint64{
		e.id.dev, e.id.ino, uint64(e.id.size), uint64(e.id.mode), uint64(e.id.mtime.Nano()), uint64(e.id.ctime.Nano()),
		uint64(len(e.path)), uint64(len(e.link)),
	} {
		head = binary.LittleEndian.AppendUint64(head, n)
	}
	w.stamp.Write(head)
	io.WriteString(w.stamp, e.path) //nolint:errcheck // a hash takes everything
	io.WriteString(w.stamp, e.link) //nolint:errcheck // a hash takes everything
}

// mayHold refuses what others could change in a package.
func (f *Finder) mayHold(path string, st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return nil
	case unix.S_IFREG, unix.S_IFDIR:
	default:
		return fmt.Errorf("%s is neither a file, a directory nor a link", path)
	}
	switch owner := int(st.Uid); {
	case owner != 0 && owner != f.opt.UID:
		return fmt.Errorf("%s belongs to user %d, neither to the daemon's nor to root", path, owner)
	case st.Mode&unix.S_IWOTH != 0:
		return fmt.Errorf("everybody may write to %s", path)
	}
	return nil
}

// hash reads every file that was seen, and insists that it is still the one that was seen.
func (w *walk) hash(dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	sum := sha256.New()
	for _, e := range w.found {
		var digest string
		switch e.id.mode & unix.S_IFMT {
		case unix.S_IFREG:
			if digest, err = w.file(root, e); err != nil {
				return "", fmt.Errorf("%s: %w", e.path, err)
			}
		case unix.S_IFLNK:
			digest = "-> " + e.link
		case unix.S_IFDIR:
			digest = "/"
		}
		// What runs is what counts: not who owns it and when it came.
		fmt.Fprintf(sum, "%d %s%d %s%t\n", len(e.path), e.path, len(digest), digest, e.id.mode&0o111 != 0)
	}
	return text(sum), w.stopped()
}

func (w *walk) file(root *os.Root, e entry) (string, error) {
	if err := w.stopped(); err != nil {
		return "", err
	}
	src, err := root.OpenFile(e.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer closeFile(src)
	id, err := identify(src)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	if err := hashFile(sum, src, maxBytes); err != nil {
		return "", err
	}
	if after, err := identify(src); err != nil || id != e.id || after != e.id {
		return "", errors.Join(errors.New("it changes while it is read"), err)
	}
	return text(sum), nil
}

// packageOf is the directory that holds a package and everything that was installed with it, "" for a
// program that is a file by itself. In npm's global directory every package holds what it needs.
func packageOf(path string) string {
	names := strings.Split(path, "/")
	for i, name := range names[:len(names)-1] {
		switch {
		case name == ".pnpm":
			return strings.Join(names[:i+1], "/")
		case name != "node_modules":
		case names[i-1] == "lib" && len(names) > i+2:
			end := i + 2
			if strings.HasPrefix(names[i+1], "@") {
				end++
			}
			return strings.Join(names[:min(end, len(names)-1)], "/")
		default:
			return strings.Join(names[:i+1], "/")
		}
	}
	return ""
}
