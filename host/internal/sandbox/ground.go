package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

const (
	livePrefix   = "live-"
	canaryPrefix = ".drawspan-canary-"
)

// ground is what one Sandbox keeps on disk: the view's /etc and the canaries. It is locked while the
// Sandbox lives, so that a later one can tell what a killed daemon left behind and remove it.
type ground struct {
	dir         string
	etc         string
	etcMounts   []spec.Mount // what is mounted into etc
	stateCanary string
	homeCanary  string // "" where the state directory's canary is in the home already, or none could be made
	locks       []*os.File
}

func prepareGround(stateDir, home string) (*ground, error) {
	parent := filepath.Join(stateDir, "sandbox")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	entrance, err := lockDir(parent)
	if err != nil {
		return nil, err
	}
	defer entrance.Close()
	if err := removeUnlocked(parent, livePrefix); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, livePrefix)
	if err != nil {
		return nil, err
	}
	g := &ground{dir: dir, etc: filepath.Join(dir, "etc"), stateCanary: filepath.Join(dir, "canary")}
	if err := g.fill(stateDir, home); err != nil {
		return nil, errors.Join(err, g.remove())
	}
	return g, nil
}

// lockDir keeps two preparations apart: the second must not take the first one's directory, not locked
// yet, for one that was left behind.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}

func (g *ground) fill(stateDir, home string) error {
	if err := g.lock(g.dir); err != nil {
		return err
	}
	if err := os.WriteFile(g.stateCanary, []byte("canary\n"), 0o600); err != nil {
		return err
	}
	if err := g.plantHomeCanary(stateDir, home); err != nil {
		return err
	}
	var err error
	g.etcMounts, err = buildEtc(g.etc)
	return err
}

// plantHomeCanary puts a file into the operator's home, unless the state directory with its canary is
// there. A home that cannot be written to has none; its identity is probed all the same.
func (g *ground) plantHomeCanary(stateDir, home string) error {
	switch {
	case home == "":
		return nil
	case within(stateDir, home):
		g.homeCanary = g.stateCanary
		return nil
	}
	if err := removeUnlocked(home, canaryPrefix); err != nil {
		return err
	}
	f, err := os.CreateTemp(home, canaryPrefix)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return nil
	}
	if err != nil {
		return err
	}
	g.homeCanary = f.Name()
	return errors.Join(f.Close(), g.lock(g.homeCanary))
}

func (g *ground) lock(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	g.locks = append(g.locks, f)
	return nil
}

// remove takes everything away again.
func (g *ground) remove() error {
	var all []error
	if g.homeCanary != "" && g.homeCanary != g.stateCanary {
		all = append(all, os.Remove(g.homeCanary))
	}
	all = append(all, os.RemoveAll(g.dir))
	for _, l := range g.locks {
		all = append(all, l.Close())
	}
	return errors.Join(all...)
}

// removeUnlocked removes what a Sandbox that no longer lives left in dir.
func removeUnlocked(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if err := removeIfUnlocked(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func removeIfUnlocked(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil // gone meanwhile, or not one of ours
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // its Sandbox lives
	}
	return os.RemoveAll(path)
}

// within reports whether path is dir or below it; both are absolute and clean.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}
