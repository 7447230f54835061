package worktree

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// Where trees and mirrors lie, below the directory of Options.
const (
	TreesDir   = "trees"
	MirrorsDir = "mirrors"
)

// Directories beside it, all 0700.
const (
	trashDir      = "trash"
	quarantineDir = "quarantine"
	scratchDir    = "scratch" // indexes of restores
	emptyDir      = "empty"   // where git runs when it needs no tree, and its HOME
)

// Trees owns the directories below Options.Dir: no other process may use them at the same time.
type Trees struct {
	dir     string
	passing bool // nothing outlives the process
	git     *program
	log     hclog.Logger
	trash   chan struct{} // a token: there is something to delete
	bin     sync.Mutex    // one deletion at a time

	mu      sync.Mutex
	mirrors map[string]*mirror
}

// Open finds git, checks its version and prepares the directories.
func Open(ctx context.Context, o Options) (*Trees, error) {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" || strings.ContainsAny(dir, "\n\x00") {
		return nil, fault.Wrap(err, fault.InvalidRequest, "the state directory has no usable path")
	}
	if err := os.RemoveAll(filepath.Join(dir, scratchDir)); err != nil {
		return nil, fmt.Errorf("clear scratch directory: %w", err)
	}
	for _, d := range []string{TreesDir, MirrorsDir, trashDir, quarantineDir, scratchDir, emptyDir} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("make directory of trees: %w", err)
		}
	}
	// What is attached to a sandbox may not be reached through a link.
	if dir, err = filepath.EvalSymlinks(dir); err != nil || strings.ContainsAny(dir, "\n\x00") {
		return nil, fault.Wrap(err, fault.InvalidRequest, "the state directory has no usable path")
	}
	spread(filepath.Join(dir, TreesDir), o.Log)
	git, err := findGit(ctx, o, filepath.Join(dir, emptyDir))
	if err != nil {
		return nil, err
	}
	return &Trees{
		dir: dir, passing: o.Passing, git: git, log: o.Log, trash: make(chan struct{}, 1), mirrors: make(map[string]*mirror),
	}, nil
}

// GitVersion is the version of the git program in use, and where it is.
func (t *Trees) GitVersion() (version, path string) { return t.git.version, t.git.path }

const topDir = 0x00020000 // FS_TOPDIR_FL

// spread asks ext4 to put each new directory below dir into a part of the disk of its own. Without it,
// making files after many were deleted takes up to eight times as long there. Elsewhere the flag is
// unknown, which harms nothing.
func spread(dir string, log hclog.Logger) {
	f, err := os.Open(dir)
	if err != nil {
		log.Debug("open directory to spread it", "error", err)
		return
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&topDir == 0 {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir)
	}
	if err != nil {
		log.Debug("mark directory to be spread", "error", err)
	}
}

// home is the directory of an attempt: its tree, index, record and what was taken out of the tree.
func (t *Trees) home(id string) string { return filepath.Join(t.dir, TreesDir, id) }

// List is every tree on disk, by id.
func (t *Trees) List(ctx context.Context) ([]Found, error) {
	entries, err := os.ReadDir(filepath.Join(t.dir, TreesDir))
	if err != nil {
		return nil, fmt.Errorf("list trees: %w", err)
	}
	found := make([]Found, 0, len(entries))
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		f := Found{ID: e.Name()}
		m, err := readRecord(t.home(e.Name()))
		if err != nil {
			f.Broken = err.Error()
		} else {
			f.Workspace, f.Root, f.Start, f.Kept, f.Sealed = m.Workspace, m.Root, m.Start, m.Kept, m.Sealed
		}
		found = append(found, f)
	}
	return found, nil
}

// Sweep moves every tree that aside has a reason for into quarantine and says which. Nothing is deleted: a
// tree that nobody knows may hold work that nobody kept.
func (t *Trees) Sweep(ctx context.Context, aside func(f Found) (why string)) ([]Found, error) {
	all, err := t.List(ctx)
	if err != nil {
		return nil, err
	}
	var moved []Found
	for _, f := range all {
		why := aside(f)
		if ctx.Err() != nil {
			return moved, context.Cause(ctx)
		}
		if why == "" {
			continue
		}
		to, err := moveAside(unix.AT_FDCWD, t.home(f.ID), filepath.Join(t.dir, quarantineDir), f.ID)
		if err != nil {
			return moved, fmt.Errorf("quarantine tree %q: %w", f.ID, err)
		}
		t.log.Warn("a tree was put aside", "tree", f.ID, "to", to, "why", why)
		moved = append(moved, f)
	}
	return moved, nil
}

// moveAside renames an entry of a directory into another under a free name that begins with as.
func moveAside(dir int, name, into, as string) (string, error) {
	to := filepath.Join(into, as)
	for {
		err := unix.Renameat2(dir, name, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		if err == nil || !errors.Is(err, unix.EEXIST) {
			return to, err
		}
		to = filepath.Join(into, as+"."+rand.Text())
	}
}

// exists reports whether something is at path, without following a link.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
