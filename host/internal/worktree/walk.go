package worktree

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Bounds of what is taken over from a tree.
const (
	maxDepth   = 256
	maxPath    = 2048
	maxFile    = 2 << 30
	maxNew     = 200_000 // files and links that the start did not have
	maxRefused = 1000    // entries that are named; more are counted
)

// Why an entry was refused.
const (
	whyNested    = "nested_git"    // .git, or a name that some file system takes for it
	whySpecial   = "special_file"  // a pipe, socket or device
	whyDeep      = "too_deep"      // more than maxDepth directories
	whyLong      = "name_too_long" // a path longer than maxPath
	whyLarge     = "too_large"
	whyMany      = "too_many"
	whyProvision = "provisioned"  // the bytes of a provisioned file under another name
	whySubmodule = "in_submodule" // the place of a submodule, whose files belong to another repository
	whySetID     = "set_id"       // the bit that makes a program run as its owner; the file is kept without it
	whyMore      = "and_more"     // the entry that counts those which are not named
)

// walk looks at every entry of a tree that an executor left, without opening a file or following a link,
// and moves out what may not be taken over. Nothing runs in the tree any more.
type walk struct {
	root    int
	index   map[string]*tracked
	refused string // directory that refused entries are moved to
	skip    map[string]bool
	prints  map[fingerprint]bool
	maxFile int64
	maxNew  int

	before int // entries that an earlier walk mentioned

	dev   uint64
	moved int // or mentioned
	found []work.Refused
	fresh int              // entries that the index does not have
	sizes map[string]int64 // of files that are new or changed
}

// dirWork is a directory still to be looked at.
type dirWork struct {
	path  string // "." for the root
	depth int
	sub   bool // the place of a submodule
}

func (w *walk) run(ctx context.Context) error {
	var st unix.Stat_t
	if err := unix.Fstat(w.root, &st); err != nil {
		return fmt.Errorf("look at tree: %w", err)
	}
	w.dev = st.Dev
	if st.Mode&0o700 != 0o700 {
		if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(w.root), 0o755); err != nil {
			return fmt.Errorf("open tree: %w", err)
		}
	}
	pending := []dirWork{{path: "."}}
	for len(pending) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d := pending[len(pending)-1]
		more, err := w.dir(d)
		if err != nil {
			return fmt.Errorf("walk %q: %w", d.path, err)
		}
		pending = append(pending[:len(pending)-1], more...)
	}
	slices.SortFunc(w.found, func(a, b work.Refused) int { return strings.Compare(a.Path, b.Path) })
	if extra := w.moved - len(w.found); extra > 0 {
		w.found = append(w.found, work.Refused{Path: strconv.Itoa(extra), Why: whyMore})
	}
	return nil
}

// dir looks at one directory and returns those below it.
func (w *walk) dir(d dirWork) ([]dirWork, error) {
	fd, err := openDir(w.root, d.path)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	names, err := readNames(fd)
	if err != nil {
		return nil, err
	}
	var below []dirWork
	for _, name := range names {
		rel := name
		if d.path != "." {
			rel = d.path + "/" + name
		}
		if w.skip[rel] {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, fmt.Errorf("look at %q: %w", name, err)
		}
		why, err := w.judge(d, fd, name, rel, &st)
		switch {
		case err != nil:
			return nil, err
		case why != "":
			if err := w.refuse(fd, name, rel, why, &st); err != nil {
				return nil, err
			}
		case kind(&st) == unix.S_IFDIR:
			e := w.index[rel]
			below = append(below, dirWork{rel, d.depth + 1, e != nil && e.mode == modeSub})
		}
	}
	return below, nil
}

// judge says why an entry is refused; empty when it is not.
func (w *walk) judge(d dirWork, dir int, name, rel string, st *unix.Stat_t) (string, error) {
	link := kind(st) == unix.S_IFLNK
	switch {
	case reserved(name), link && reservedLink(name):
		return whyNested, nil
	case d.sub:
		return whySubmodule, nil
	case len(rel) > maxPath:
		return whyLong, nil
	case kind(st) == unix.S_IFDIR:
		return w.judgeDir(d, dir, name, st)
	case kind(st) == unix.S_IFREG:
		return w.judgeFile(dir, name, rel, st)
	case link && w.crowded(rel):
		return whyMany, nil
	case link:
		return "", w.notice(dir, name, rel, st)
	}
	return whySpecial, nil
}

// crowded counts an entry that is new, and reports whether there are too many of those.
func (w *walk) crowded(rel string) bool {
	if w.index[rel] != nil {
		return false
	}
	w.fresh++
	return w.fresh > w.maxNew
}

func (w *walk) judgeDir(d dirWork, dir int, name string, st *unix.Stat_t) (string, error) {
	if d.depth+1 >= maxDepth {
		return whyDeep, nil
	}
	if st.Dev != w.dev {
		return "", fmt.Errorf("look at %q: it is on another file system", name)
	}
	if st.Mode&0o700 != 0o700 {
		return "", chmodAt(dir, name, st.Mode&0o777|0o700)
	}
	return "", nil
}

func (w *walk) judgeFile(dir int, name, rel string, st *unix.Stat_t) (string, error) {
	if w.unchanged(rel, st) {
		return "", nil
	}
	if st.Size > w.maxFile {
		return whyLarge, nil
	}
	if w.crowded(rel) {
		return whyMany, nil
	}
	if st.Mode&0o400 == 0 || st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		if err := chmodAt(dir, name, st.Mode&0o777|0o400); err != nil {
			return "", err
		}
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		w.mention(rel, whySetID)
	}
	copied, err := w.copied(dir, name, st.Size)
	if err != nil {
		return "", fmt.Errorf("read %q: %w", name, err)
	}
	if copied {
		return whyProvision, nil
	}
	return "", w.notice(dir, name, rel, st)
}

func (w *walk) unchanged(rel string, st *unix.Stat_t) bool {
	e := w.index[rel]
	if e == nil || !e.same(st) {
		return false
	}
	e.seen = true
	return true
}

// copied reports whether a file has the bytes of a provisioned one. Only files of such a size are read.
func (w *walk) copied(dir int, name string, size int64) (bool, error) {
	for f := range w.prints {
		if f.size == size {
			got, err := fingerprintOf(dir, name, size)
			return w.prints[got], err
		}
	}
	return false, nil
}

// notice notes the size of a new or changed entry, and dates one so that git, which compares seconds,
// sees the change too.
func (w *walk) notice(dir int, name, rel string, st *unix.Stat_t) error {
	if w.unchanged(rel, st) {
		return nil
	}
	w.sizes[rel] = st.Size
	e := w.index[rel]
	if e == nil || e.mtime[0] != uint32(st.Mtim.Sec) || e.size != uint32(st.Size) {
		return nil
	}
	other := unix.NsecToTimespec((st.Mtim.Sec + 1) * 1e9)
	if err := unix.UtimesNanoAt(dir, name, []unix.Timespec{other, other}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("date %q: %w", name, err)
	}
	return nil
}

// refuse moves an entry out of the tree.
func (w *walk) refuse(dir int, name, rel, why string, st *unix.Stat_t) error {
	to := filepath.Join(w.refused, strconv.Itoa(w.before+w.moved+1)+"-"+why)
	if err := moveOut(dir, name, st, to); err != nil {
		return fmt.Errorf("move %q out of the tree: %w", name, err)
	}
	w.mention(rel, why)
	return nil
}

// mention notes an entry that was not taken over as it was.
func (w *walk) mention(rel, why string) {
	w.moved++
	if len(w.found) < maxRefused {
		w.found = append(w.found, work.Refused{Path: rel, Why: why})
	}
}
