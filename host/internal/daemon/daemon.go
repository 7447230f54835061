package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/artifact"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/event"
	"github.com/drawspan/drawspan/host/internal/httpapi"
	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/policy"
	"github.com/drawspan/drawspan/host/internal/reuse"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// Daemon is one running daemon.
type Daemon struct {
	opt       Options
	log       hclog.Logger
	started   time.Time
	passing   bool // the state directory goes with this process
	loaded    atomic.Pointer[loaded]
	reloading sync.Mutex

	bus       *event.Bus
	store     *store.Store
	artifacts *artifact.Store
	git       *worktree.Trees
	trees     *treesPort
	journals  journalsPort
	vault     *vault
	box       *box
	sandbox   *sandbox.Sandbox
	loader    *loader.Loader
	programs  *programs
	panel     *panel.Panel
	dispatch  *dispatch.Dispatcher
	api       *httpapi.Server

	listeners []string
	stopping  chan struct{} // closed when the daemon begins to stop
	closers   []func(ctx context.Context) error
}

// closeWithin bounds what happens after the last attempt is buried.
const closeWithin = 10 * time.Second

// Run is a whole life of a daemon: it returns when ctx has ended and everything that was started is
// dead, or when it could not start.
func Run(ctx context.Context, o Options) error {
	began := time.Now()
	l, err := load(o)
	if err != nil {
		return err
	}
	if err := asUser(o, l.cfg.Daemon.RunAs, l.policy); err != nil {
		return err
	}
	d := &Daemon{opt: o, started: began, vault: newVault(o.Variable), bus: event.New(busQueue), stopping: make(chan struct{})}
	d.loaded.Store(l)
	serveErr := d.open(ctx)
	if serveErr == nil {
		serveErr = d.serve(ctx)
	}
	closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	return errors.Join(serveErr, d.close(closeCtx))
}

// busQueue is how many events a subscriber may be behind before it reads the store again.
const busQueue = 256

// open makes every room, in the order in which they depend on each other, and puts the record right.
func (d *Daemon) open(ctx context.Context) error {
	l := d.config()
	for _, step := range []struct {
		what string
		do   func(context.Context, *loaded) error
	}{
		{"make the state directory", d.openState},
		{"open the log", d.openLog},
		{"find the launcher", d.startSandbox},
		{"open the record", d.openRecord},
		{"open the trees", d.openTrees},
		{"prepare plugins", d.openPlugins},
		{"recover", d.openDispatch},
	} {
		if err := step.do(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (d *Daemon) openState(_ context.Context, l *loaded) error {
	dir := l.cfg.Daemon.StateDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault.Wrap(err, fault.ConfigInvalid, "the state directory %s cannot be made", dir).Fix("set daemon { state_dir } to a directory of your own")
	}
	return os.MkdirAll(filepath.Join(dir, "run"), 0o700)
}

// openLog puts the vault's mask in front of every line.
func (d *Daemon) openLog(_ context.Context, l *loaded) error {
	if err := d.vault.learn(nil); err != nil {
		return err
	}
	out := d.opt.Stderr
	if path := l.cfg.Daemon.LogFile; path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return fault.Wrap(err, fault.ConfigInvalid, "the log file %s cannot be opened", path)
		}
		d.closers = append(d.closers, func(context.Context) error { return f.Close() })
		out = f
	}
	level := l.cfg.Daemon.LogLevel
	if d.opt.LogLevel != "" {
		level = d.opt.LogLevel
	}
	d.log = hclog.New(&hclog.LoggerOptions{
		Name: "drawspan", Level: hclog.LevelFromString(level), JSONFormat: l.cfg.Daemon.LogFormat == "json",
		Output: d.vault.lines(out), TimeFormat: "2006-01-02T15:04:05.000Z0700",
	})
	return nil
}

func (d *Daemon) openRecord(ctx context.Context, l *loaded) error {
	dir := l.cfg.Daemon.StateDir
	var err error
	d.store, err = store.Open(ctx, store.Options{Dir: dir, Log: d.log.Named("store"), Now: time.Now, OnCommit: published(d.bus), Passing: d.passing})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, d.store.Close)
	d.artifacts, err = artifact.Open(filepath.Join(dir, "cas"))
	return err
}

func (d *Daemon) openTrees(ctx context.Context, l *loaded) error {
	git, err := worktree.Open(ctx, worktree.Options{Dir: l.cfg.Daemon.StateDir, Path: d.opt.Host.Path, Log: d.log.Named("worktree")})
	if err != nil {
		return err
	}
	d.git, d.trees = git, newTreesPort(git, filepath.Join(l.cfg.Daemon.StateDir, "trees"), func() *sandbox.Sandbox { return d.sandbox }, d.log.Named("worktree"))
	d.closers = append(d.closers, func(context.Context) error { d.trees.closeAll(); return nil })
	d.journals = journalsPort{dir: filepath.Join(l.cfg.Daemon.StateDir, "live"), mask: d.vault, bus: d.bus}
	return nil
}

// box is a sandbox that is being prepared.
type box struct {
	ready chan struct{}
	sand  *sandbox.Sandbox
	err   error
}

// startSandbox prepares the sandbox beside the record: neither needs the other, and both wait for the
// disk.
func (d *Daemon) startSandbox(_ context.Context, l *loaded) error {
	launcher, err := findProgram(d.opt.Libexec, LauncherName)
	if err != nil {
		return err
	}
	b := &box{ready: make(chan struct{})}
	o := sandbox.Options{Launcher: launcher, StateDir: l.cfg.Daemon.StateDir, Home: d.opt.Host.Home, Log: d.log.Named("sandbox")}
	go func() { // ends when the sandbox is prepared, which its closer waits for
		defer close(b.ready)
		b.sand, b.err = sandbox.New(o)
	}()
	d.box = b
	d.closers = append(d.closers, func(context.Context) error {
		<-b.ready
		if b.sand == nil {
			return nil
		}
		return b.sand.Close()
	})
	return nil
}

func (d *Daemon) openPlugins(_ context.Context, l *loaded) error {
	<-d.box.ready
	if d.box.err != nil {
		return d.box.err
	}
	d.sandbox = d.box.sand
	var err error
	d.loader, err = loader.New(loader.Options{
		Dirs: PluginDirs(l.cfg, d.opt.Libexec), RunDir: filepath.Join(l.cfg.Daemon.StateDir, "run", "plugins"), Launch: loader.Sandboxed(d.sandbox),
		Version: d.opt.Version, Log: d.log.Named("plugin"), Mask: d.vault,
	})
	if err != nil {
		return err
	}
	d.loader.SetLock(l.lock)
	d.programs = newPrograms(d.opt, l.cfg.Daemon.StateDir, d.config)
	d.closers = append(d.closers, d.loader.Close)
	return nil
}

func (d *Daemon) openDispatch(ctx context.Context, l *loaded) error {
	record, artifacts, plugins := recordPort{d.store, d.vault}, artifactsPort{d.artifacts, d.vault}, d.pluginsPort()
	results, err := reuse.Open(filepath.Join(l.cfg.Daemon.StateDir, "results"))
	if err != nil {
		return err
	}
	d.panel = panel.New(panel.Options{
		Results: results, Parallel: min(l.policy.MaxParallel, runtime.NumCPU()), Record: record, Plugins: dispatch.Validators(plugins), Artifacts: artifacts, Actor: daemonActor(), Version: d.opt.Version, Now: time.Now, Log: d.log.Named("gates"),
	})
	d.closers = append(d.closers, func(ctx context.Context) error { d.panel.Release(ctx); return nil })
	d.dispatch = dispatch.New(dispatch.Options{
		Record: record, Trees: d.trees, Plugins: plugins, Provision: d.provisionPort(), Artifacts: artifacts, Journals: d.journals, Panel: d.panel,
		Policy: l.policy, Version: d.opt.Version, Now: time.Now, Wake: d.bus.Wake, Log: d.log.Named("dispatch"),
		ShutdownGrace: l.cfg.Daemon.ShutdownGrace,
	})
	if err := d.record(ctx, d.startFacts(l)...); err != nil {
		return err
	}
	if err := d.dispatch.Recover(ctx); err != nil {
		return err
	}
	if err := d.journals.sweep(); err != nil {
		return err
	}
	return d.sweepTrees(ctx)
}

// startFacts say who starts under which configuration, and everything that it gives beyond the defaults.
func (d *Daemon) startFacts(l *loaded) []work.Mutation {
	now := time.Now().UTC()
	actor := daemonActor()
	return append([]work.Mutation{
		work.Fact{Kind: "host.started", Actor: actor, At: now, Body: map[string]any{"version": d.opt.Version, "uid": d.opt.UID}},
		work.Fact{Kind: "config.loaded", Actor: actor, At: now, Body: map[string]any{"policy_digest": l.policy.Digest, "files": l.cfg.Files, "gate_files": l.cfg.GateFiles()}},
	}, widened(actor, now, policy.Widenings(l.policy))...)
}

// widened makes one fact of each widening.
func widened(actor work.Actor, at time.Time, all []work.Widening) []work.Mutation {
	return mapAll(all, func(w work.Widening) work.Mutation {
		return work.Fact{Kind: "policy.widened", Actor: actor, At: at, Body: w}
	})
}

// record writes facts.
func (d *Daemon) record(ctx context.Context, facts ...work.Mutation) error {
	_, err := d.store.Apply(ctx, d.vault.mutations(facts)...)
	return err
}

// sweepTrees removes the trees that the last daemon would have removed, and puts those aside that nothing is known of.
func (d *Daemon) sweepTrees(ctx context.Context) error {
	_, err := d.git.Sweep(ctx, func(f worktree.Found) string {
		at, err := d.store.Attempt(ctx, f.ID)
		switch {
		case err != nil:
			return "no attempt knows it"
		case at.State.Live() || at.Evidence == nil || at.Evidence.Commit == "" || d.heldBy(ctx, at):
			return ""
		}
		if err := d.trees.remove(ctx, d.dispatch.Policy(), f); err != nil {
			return "its attempt has ended, and it cannot be removed: " + fault.From(err).Message
		}
		return ""
	})
	return err
}

func (d *Daemon) heldBy(ctx context.Context, at work.Attempt) bool {
	step, err := d.store.Step(ctx, at.StepID)
	return err == nil && step.State == work.StepHeld
}

// close ends the rooms in the reverse of their order.
func (d *Daemon) close(ctx context.Context) error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i](ctx))
	}
	return errors.Join(errs...)
}

func (d *Daemon) config() *loaded { return d.loaded.Load() }

// findProgram is the first regular file of that name in the directories.
func findProgram(dirs []string, name string) (string, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fault.New(fault.PluginNotFound, "%s was not found in %v", name, dirs).Fix("run: scripts/install, or set DRAWSPAN_LIBEXEC")
}

// diagnosed is the fault of a configuration with errors; its diagnostics are for whoever shows it.
type diagnosed struct {
	*fault.Fault
	Diagnostics config.Diagnostics
}

// Unwrap lets the fault be found.
func (e *diagnosed) Unwrap() error { return e.Fault }

// Diagnostics are those of a configuration that was refused, nil for any other error.
func Diagnostics(err error) config.Diagnostics {
	var e *diagnosed
	if errors.As(err, &e) {
		return e.Diagnostics
	}
	return nil
}
