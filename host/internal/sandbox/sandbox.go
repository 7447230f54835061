package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// Options say where things are.
type Options struct {
	Launcher string // path of drawspan-sandbox; read once, run from a sealed copy
	StateDir string // never visible inside, except for a tree or bind that is named
	Home     string // the operator's home; never visible inside, except for what is named
	Log      hclog.Logger
}

// Sandbox launches confined processes. Its methods may be called from several goroutines.
type Sandbox struct {
	log      hclog.Logger
	launcher *pinned
	spawner  *spawner
	standing standing
	groups   *cgroups // nil where none is delegated
	ground   *ground
	system   []spec.Mount
	stateDir string // without symlinks
	home     string // without symlinks; "" where there is none
	homeID   identity
	trials   trials
	wrapper  atomic.Pointer[bubblewrap]
	without  uintptr // namespaces that Weaken leaves out
}

// New prepares launches: it seals a copy of the launcher, builds the view's /etc and puts the canaries
// that every launch must fail to read. Close removes all of that.
func New(o Options) (*Sandbox, error) {
	stateDir, err := filepath.EvalSymlinks(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("find the state directory: %w", err)
	}
	s := &Sandbox{log: o.Log, stateDir: stateDir, system: systemMounts()}
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	if home, err := filepath.EvalSymlinks(o.Home); err == nil && filepath.IsAbs(home) {
		s.home = home
		if s.homeID, err = identify(home); err != nil {
			return nil, fmt.Errorf("look at the home directory: %w", err)
		}
	}
	if s.launcher, err = pin(o.Launcher); err != nil {
		return nil, err
	}
	if s.ground, err = prepareGround(stateDir, s.home); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the sandbox's files: %w", err), s.launcher.close())
	}
	if s.groups, err = ownCgroups("/proc/self"); err != nil {
		s.log.Debug("limits of memory are watched", "why", err)
	}
	if s.spawner, err = startSpawner(s.launcher); err != nil {
		s.log.Warn("launches are slower than they could be", "error", err)
		s.spawner = &spawner{}
	}
	return s, nil
}

// Close removes what New prepared. Launches must have ended.
func (s *Sandbox) Close() error {
	return errors.Join(s.standing.close(), s.spawner.close(), s.ground.remove(), s.launcher.close())
}

// Launch starts one confined process. It returns when the payload runs, which is only after the
// launcher's report was compared with the required level and every verification in it was true;
// otherwise nothing of the payload was executed. ctx bounds the launch, not the process.
func (s *Sandbox) Launch(ctx context.Context, r Request) (*Process, error) {
	l, err := s.prepare(ctx, r)
	if err != nil {
		return nil, err
	}
	switch {
	case l.plan.spec.Backend == spec.None:
		return s.launchUnconfined(ctx, l)
	case !s.usual(l.plan):
		return s.launchFresh(ctx, l)
	}
	defer s.standReady()
	return s.launchUsual(ctx, l)
}

// launchTrial is Launch by a launcher of now: what one that stands ready could do says nothing of what this
// machine allows.
func (s *Sandbox) launchTrial(ctx context.Context, r Request) (*Process, error) {
	l, err := s.prepare(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.launchFresh(ctx, l)
}

// launch is one launch, worked out, with what was asked for.
type launch struct {
	plan    *plan
	request Request
}

func (s *Sandbox) prepare(ctx context.Context, r Request) (launch, error) {
	pl, err := s.plan(ctx, r)
	if err != nil {
		return launch{}, err
	}
	s.group(pl)
	return launch{pl, r}, nil
}

func (s *Sandbox) launchFresh(ctx context.Context, l launch) (*Process, error) {
	p, err := s.spawn(l.plan)
	if err != nil {
		return nil, errors.Join(err, l.plan.tidy())
	}
	if err := s.begin(ctx, p, l, launchLimit); err != nil {
		return nil, err
	}
	return p, nil
}

// begin gives a launcher its launch. One that fails is gone.
func (s *Sandbox) begin(ctx context.Context, p *Process, l launch, patience time.Duration) error {
	p.assign(l.plan, l.request)
	if err := p.begin(ctx, s, l, patience); err != nil {
		return p.abandon(ctx, err)
	}
	go p.watch(s.log)
	return nil
}

// systemMounts are the parts of the host that every view has. On most systems /bin and its like are
// links into /usr; where they are directories they are mounted.
func systemMounts() []spec.Mount {
	mounts := []spec.Mount{{Host: "/usr", Inside: "/usr", Mode: spec.ReadOnly}}
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		info, err := os.Lstat(dir)
		switch {
		case err != nil:
		case info.Mode()&os.ModeSymlink != 0:
			if target, err := os.Readlink(dir); err == nil {
				mounts = append(mounts, spec.Mount{Host: target, Inside: dir, Mode: spec.Link})
			}
		case info.IsDir():
			mounts = append(mounts, spec.Mount{Host: dir, Inside: dir, Mode: spec.ReadOnly})
		}
	}
	return mounts
}

// SystemDirs are the host's directories that every view shows, at their own paths.
func SystemDirs() []string {
	var dirs []string
	for _, m := range systemMounts() {
		if m.Mode == spec.ReadOnly {
			dirs = append(dirs, m.Host)
		}
	}
	return dirs
}

// identity is what a path names, whatever happens to the path.
type identity struct{ dev, ino uint64 }

func identify(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return identity{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return identity{uint64(st.Dev), st.Ino}, nil
}

func unavailable(format string, args ...any) *fault.Fault {
	return fault.New(fault.SandboxUnavailable, format, args...)
}
