package worktree

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Who commits. It is fixed, so that nothing of the operator's configuration or the executor's gets in.
const (
	identityName  = "drawspan"
	identityEmail = "drawspan@localhost"
)

var (
	packFile  = regexp.MustCompile(`^pack-[0-9a-f]{40,64}\.(pack|idx|rev)$`)
	looseFile = regexp.MustCompile(`^[0-9a-f]{38}([0-9a-f]{24})?$`)
	fanOut    = regexp.MustCompile(`^[0-9a-f]{2}$`)
)

// linked is what linkObjects put somewhere.
type linked struct {
	paths []string // relative to the objects directory
}

// linkObjects makes every object of one objects directory available in another: by a hard link where the
// file system allows it, else by a copy. Only plain files with the names of objects are taken; nothing is
// followed. Single objects come before packs, since git moves them that way.
func linkObjects(ctx context.Context, from, to string) (linked, error) {
	var l linked
	src, err := unix.Open(from, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return l, fmt.Errorf("open objects: %w", err)
	}
	defer closeFD(src)
	dst, err := unix.Open(to, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return l, fmt.Errorf("open objects: %w", err)
	}
	defer closeFD(dst)
	dirs, err := readNames(src)
	if err != nil {
		return l, fmt.Errorf("list objects: %w", err)
	}
	slices.Sort(dirs)
	for _, d := range dirs {
		if err := ctx.Err(); err != nil {
			return l, context.Cause(ctx)
		}
		pattern := looseFile
		switch {
		case d == "pack":
			pattern = packFile
		case !fanOut.MatchString(d):
			continue
		}
		if err := l.dir(src, dst, d, pattern); err != nil {
			return l, fmt.Errorf("link objects of %s: %w", d, err)
		}
	}
	return l, nil
}

// dir links the objects of one directory. Indexes of packs come last: a pack without its index is
// ignored by git, an index without its pack is an error.
func (l *linked) dir(src, dst int, name string, pattern *regexp.Regexp) error {
	from, err := openDir(src, name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeFD(from)
	names, err := readNames(from)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !pattern.MatchString(n) })
	if len(names) == 0 {
		return nil
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(packOrder(a), packOrder(b)) })
	to, err := makeDirs(dst, name+"/x")
	if err != nil {
		return err
	}
	defer closeFD(to)
	for _, n := range names {
		if err := linkFile(from, to, n); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		l.paths = append(l.paths, name+"/"+n)
	}
	return nil
}

func packOrder(name string) string {
	if strings.HasSuffix(name, ".idx") {
		return "2" + name
	}
	return "1" + name
}

// linkFile links or copies one file. One that is there already is the same object; a source that vanished
// was packed meanwhile. A target directory that vanished is an error: git removes empty ones when it
// collects garbage.
func linkFile(from, to int, name string) error {
	var st unix.Stat_t
	err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || err == nil && kind(&st) != unix.S_IFREG {
		return nil
	}
	if err != nil {
		return err
	}
	err = unix.Linkat(from, name, to, name, 0)
	switch {
	case err == nil, errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.ENOENT) && unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil:
		return nil
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EPERM), errors.Is(err, unix.EMLINK), errors.Is(err, unix.EOPNOTSUPP):
		return copyFile(from, to, name)
	}
	return err
}

// copyFile copies a file under another name and renames it when it is whole. The name is not one that git
// takes for an unfinished object of its own: those it deletes when it collects garbage.
func copyFile(from, to int, name string) (err error) {
	in, err := openBeneath(from, name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	src := os.NewFile(uintptr(in), name)
	defer src.Close()
	tmp := "drawspan-" + rand.Text() + "-" + name
	out, err := openBeneath(to, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(out), tmp)
	defer func() {
		if e := dst.Close(); err == nil {
			err = e
		}
		if err == nil {
			err = unix.Renameat(to, tmp, to, name)
		} else {
			_ = unix.Unlinkat(to, tmp, 0) // the first error counts
		}
	}()
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	return startWriting(int(dst.Fd()))
}

// startWriting has the kernel write a file's data out now. The sync of the ref that comes later then
// finds it on its way, and one sync makes many objects durable.
func startWriting(fd int) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if err := unix.SyncFileRange(fd, 0, 0, all); err != nil {
		return unix.Fdatasync(fd)
	}
	return nil
}

// writeOut starts writing every object of a directory.
func (l linked) writeOut(objects string) error {
	dir, err := unix.Open(objects, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFD(dir)
	for _, p := range l.paths {
		fd, err := openBeneath(dir, p, unix.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		err = startWriting(fd)
		closeFD(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// present reports whether every linked object is still where it was put.
func (l linked) present(objects string) bool {
	for _, p := range l.paths {
		if !exists(filepath.Join(objects, p)) {
			return false
		}
	}
	return true
}

// maxMessage bounds a commit's message.
const maxMessage = 64 << 10

// commitText is what a commit says.
type commitText struct {
	tree, parent, message string
	when                  time.Time
}

// write writes the commit into an objects directory and returns its id.
func (c commitText) write(objects string, wide bool) (string, error) {
	who := identityName + " <" + identityEmail + "> " + strconv.FormatInt(max(c.when.Unix(), 0), 10) + " +0000"
	message := c.message[:min(len(c.message), maxMessage)]
	message = strings.ToValidUTF8(strings.ReplaceAll(message, "\x00", ""), "\uFFFD")
	body := "tree " + c.tree + "\nparent " + c.parent + "\nauthor " + who + "\ncommitter " + who + "\n\n" +
		strings.TrimRight(message, "\n") + "\n"
	data := append([]byte("commit "+strconv.Itoa(len(body))+"\x00"), body...)
	var sum hash.Hash = sha1.New()
	if wide {
		sum = sha256.New()
	}
	sum.Write(data)
	id := hex.EncodeToString(sum.Sum(nil))
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(data); err != nil {
		return "", fmt.Errorf("compress commit: %w", err)
	}
	if err := z.Close(); err != nil {
		return "", fmt.Errorf("compress commit: %w", err)
	}
	dir := filepath.Join(objects, id[:2])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("write commit: %w", err)
	}
	tmp := filepath.Join(dir, "tmp_obj_"+id[2:])
	if err := os.WriteFile(tmp, packed.Bytes(), 0o444); err != nil {
		return "", fmt.Errorf("write commit: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, id[2:])); err != nil {
		return "", fmt.Errorf("write commit: %w", err)
	}
	return id, nil
}

// readSmall reads a plain file of bounded size, without following a link at its end.
func readSmall(name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > limit {
		return nil, fmt.Errorf("read %s: not a plain file of at most %d bytes", name, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
