package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/event"
	"github.com/drawspan/drawspan/host/internal/gaterun"
	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/report"
	"github.com/drawspan/drawspan/host/internal/reuse"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// GateAsk is what `drawspan gate run` was asked.
type GateAsk struct {
	Base, Head []string // revisions, the first that is there
	Workspace  string
	Root       string // absolute; "" for the workspace's own, or the repository that holds the configuration
	Only       []string
	Baseline   string   // a file, absolute; "" for none
	Locked     bool     // every plugin must be as it is locked before anything runs
	Cache      string   // a directory of results to use again, absolute; "" for none
	Record     string   // a file that takes the record, absolute; "" for none
	Reports    []string // files that the caller is about to write, absolute
}

// gateRun is a daemon without a listener, for one judgement.
type gateRun struct {
	*Daemon
	ask     GateAsk
	dir     string
	repo    *worktree.Workspace
	sources *gaterun.Sources
	at      gaterun.Range
	facts   *comparison
}

// GateRun judges a range of commits and leaves nothing behind but the record, where one is asked for.
func GateRun(ctx context.Context, o Options, ask GateAsk) (doc *report.Document, err error) {
	if o.UID == 0 {
		return nil, fault.New(fault.RootRefused, "drawspan does not run as root, in CI neither").
			Fix("give the job a user of its own (container: options: --user 1000), or run: setpriv --reuid=1000 --regid=1000 --clear-groups drawspan gate run")
	}
	if info, err := os.Stat(filepath.Dir(ask.Record)); ask.Record != "" && (err != nil || !info.IsDir()) {
		return nil, fault.New(fault.InvalidRequest, "the record cannot be written: its directory is not there").At(ask.Record).Fix("make the directory first")
	}
	dir, err := scratch()
	if err != nil {
		return nil, err
	}
	g := &gateRun{ask: ask, dir: dir, Daemon: &Daemon{
		opt: o, passing: true, started: time.Now(), vault: newVault(o.Variable), bus: event.New(busQueue), stopping: make(chan struct{}),
	}}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		err = errors.Join(err, g.close(closeCtx), clearAway(dir))
	}()
	return g.run(ctx)
}

// maxScratch is how long the way to a state directory may be: sockets lie below it, and the kernel takes 107
// bytes for one.
const maxScratch = 48

// scratch makes a state directory, in the place for temporary files where that has a short name.
func scratch() (string, error) {
	within := os.TempDir()
	if len(within) > maxScratch {
		within = "/tmp"
	}
	dir, err := os.MkdirTemp(within, "dsgr")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "no state directory can be made").At(within).Fix("set TMPDIR to a writable directory with a short name")
	}
	return dir, nil
}

func (g *gateRun) run(ctx context.Context) (*report.Document, error) {
	if err := g.openGit(ctx); err != nil {
		return nil, err
	}
	l, err := g.openBeside(ctx)
	if err != nil {
		return nil, err
	}
	ws, err := gaterun.Choose(l.policy, g.ask.Workspace, g.repo.Root())
	if err != nil {
		return nil, err
	}
	if g.ask.Locked {
		if err := g.locked(l, ws); err != nil {
			return nil, err
		}
	}
	if err := g.openPlugins(ctx, l); err != nil {
		return nil, err
	}
	doc, err := g.judge(ctx, l, ws)
	if err != nil {
		return nil, err
	}
	g.clear()
	return doc, g.export(ctx, doc)
}

// clear begins to remove what git made: nobody looks at it any more, and the rest is closed meanwhile.
func (g *gateRun) clear() {
	parts := []string{worktree.TreesDir, worktree.MirrorsDir}
	cleared := make(chan error, len(parts))
	for _, part := range parts {
		go func() { cleared <- clearAway(filepath.Join(g.dir, part)) }()
	}
	last := func(context.Context) (err error) {
		for range parts {
			err = errors.Join(err, <-cleared)
		}
		return err
	}
	g.closers = slices.Insert(g.closers, 0, last) // waited for last
}

// openBeside prepares sandbox and record, which need nothing of the configuration, while git looks for it.
func (g *gateRun) openBeside(ctx context.Context) (*loaded, error) {
	early := &loaded{cfg: &config.Config{}}
	early.cfg.Daemon.StateDir = g.dir
	if err := g.startSandbox(ctx, early); err != nil {
		return nil, err
	}
	g.try(ctx)
	recorded := make(chan error, 1)
	go func() { recorded <- g.openRecord(ctx, early) }() // ends with the record open; it is waited for here
	l, err := g.find(ctx)
	err = cmp.Or(err, <-recorded)
	if g.repo != nil {
		g.closers = append(g.closers, func(context.Context) error { return g.repo.Close() })
	}
	if g.facts != nil {
		g.closers = append(g.closers, func(context.Context) error { <-g.facts.done; return nil })
	}
	if err != nil {
		return nil, err
	}
	l.cfg.Daemon.StateDir = g.dir
	g.loaded.Store(l)
	return l, nil
}

// try has the sandbox find out, while git works, what this machine gives: the first validator would wait for it.
func (g *gateRun) try(ctx context.Context) {
	tried := make(chan struct{})
	go func() { // its closer waits for it
		defer close(tried)
		if <-g.box.ready; g.box.err == nil {
			g.box.sand.Levels(ctx)
		}
	}()
	g.closers = append(g.closers, func(context.Context) error { <-tried; return nil })
}

// openGit opens the log and git: the repository comes before the configuration.
func (g *gateRun) openGit(ctx context.Context) error {
	if err := g.vault.learn(nil); err != nil {
		return err
	}
	level := hclog.Error
	if g.opt.LogLevel != "" {
		level = hclog.LevelFromString(g.opt.LogLevel)
	}
	g.log = hclog.New(&hclog.LoggerOptions{Name: "drawspan", Level: level, Output: g.vault.lines(g.opt.Stderr)})
	var err error
	g.git, err = worktree.Open(ctx, worktree.Options{Dir: g.dir, Path: g.opt.Host.Path, Passing: true, Log: g.log.Named("worktree")})
	return err
}

// find finds the repository, the commits and the rules. Where the configuration lies in a repository, that
// is the one that is judged, and the base's configuration is used.
func (g *gateRun) find(ctx context.Context) (*loaded, error) {
	o := g.opt
	paths := make([]string, 0, len(o.Source.Paths))
	for _, p := range o.Source.Paths {
		paths = append(paths, absoluteIn(o.Source.Dir, p))
	}
	root, err := g.judged(paths)
	if err != nil {
		return nil, err
	}
	base := g.ask.Base
	if root == "" { // the runner's own file says where the repository is, and what it is based on
		l, err := g.load(ctx, paths, "")
		if err != nil {
			return nil, err
		}
		ws, err := gaterun.Choose(l.policy, g.ask.Workspace, "")
		if err != nil {
			return nil, err
		}
		root = ws.Root
		if len(base) == 0 {
			base = []string{ws.Base}
		}
	}
	if g.repo, err = g.git.Workspace(ctx, "ci", gaterun.Real(root)); err != nil {
		return nil, err
	}
	if g.at, err = gaterun.Resolve(ctx, repository{Workspace: g.repo}, base, g.ask.Head); err != nil {
		return nil, err
	}
	g.facts = compare(ctx, g.repo, g.at)
	return g.load(ctx, paths, g.repo.Root())
}

// judged is the root that the invocation means; "" leaves it to the configuration. A configuration inside a
// repository has no say in which one is judged: the change could have written it.
func (g *gateRun) judged(paths []string) (string, error) {
	if g.ask.Root != "" {
		return g.ask.Root, nil
	}
	here, root := worktree.TopOf(gaterun.Real(g.opt.Source.Dir)), ""
	for _, p := range paths {
		top := topOf(p)
		if top != "" && top != here {
			return "", fault.New(fault.InvalidRequest, "the configuration lies in the repository %s, and this is run elsewhere", top).At(p).
				Fix("name what is judged: drawspan gate run --root DIR")
		}
		root = cmp.Or(root, top)
	}
	return root, nil
}

// topOf is the top of the repository that a configuration lies in, "" for none: the first that its name leads
// to, whatever a link in there makes of it.
func topOf(path string) string {
	for _, p := range gaterun.Ways(path) {
		if info, err := os.Stat(p); err != nil || !info.IsDir() {
			p = filepath.Dir(p)
		}
		if top := worktree.TopOf(p); top != "" {
			return gaterun.Real(top)
		}
	}
	return ""
}

func absoluteIn(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// load reads configuration and lock, those inside the repository from a commit.
func (g *gateRun) load(ctx context.Context, paths []string, root string) (*loaded, error) {
	var repo gaterun.Repository
	if root != "" {
		repo = repository{Workspace: g.repo}
	}
	var err error
	if g.sources, err = gaterun.NewSources(ctx, repo, root, g.at, g.ask.Baseline); err != nil {
		return nil, err
	}
	if err := g.straight(); err != nil {
		return nil, err
	}
	lock, err := g.readLock()
	if err != nil {
		return nil, err
	}
	src := g.opt.Source
	src.Read, src.Root, src.Workspace = g.sources.Read, root, g.ask.Workspace
	if src.VarFiles, err = g.varFiles(src); err != nil {
		return nil, err
	}
	if src.Paths, err = g.sources.Expand(paths); err != nil {
		return nil, err
	}
	if g.within(src.Paths) { // messages then name files as the repository does
		for i, p := range src.Paths {
			src.Paths[i], _ = g.sources.Rel(p) // all of them are inside
		}
		src.Dir = root
	} else if root != "" && g.ask.Root == "" {
		src.Root = ""
	}
	return compile(g.opt, src, lock)
}

// straight refuses to write to where a link of the change leads.
func (g *gateRun) straight() error {
	for _, file := range append(slices.Clone(g.ask.Reports), g.ask.Record) {
		if file != "" && g.sources.Diverted(file) {
			return fault.New(fault.InvalidRequest, "the way to it leads over a link in the repository, which the change could have put there").At(file).
				Fix("name a file outside of the repository")
		}
	}
	return nil
}

// within reports whether all configuration is the repository's.
func (g *gateRun) within(paths []string) bool {
	for _, p := range paths {
		if _, ok := g.sources.Rel(p); !ok {
			return false
		}
	}
	return true
}

// readLock reads the lock file where the configuration's is; without one no plugin is locked.
func (g *gateRun) readLock() (*pluginlock.File, error) {
	path := LockPath(g.opt)
	data, err := g.sources.Read(path)
	switch {
	case err == nil:
		return pluginlock.Parse(path, data)
	case !errors.Is(err, fs.ErrNotExist), g.ask.Locked:
		return nil, fault.Wrap(err, fault.PluginNotLocked, "the lock file cannot be read").At(path).Fix("run drawspan plugin lock, and commit the file to the base")
	}
	return &pluginlock.File{}, nil
}

// varFiles are the files of values, which must be the runner's own.
func (g *gateRun) varFiles(src config.Source) ([]string, error) {
	var out []string
	for _, p := range src.VarFiles {
		full := absoluteIn(src.Dir, p)
		if rel, inside := g.sources.Rel(full); inside {
			return nil, fault.New(fault.ConfigInvalid, "the file of values %s lies in the repository, where the change could write it", rel).
				Fix("name one outside of it, or set values with -var")
		}
		out = append(out, full)
	}
	return out, nil
}

// locked refuses plugins that are not what the lock file says.
func (g *gateRun) locked(l *loaded, ws *work.Workspace) error {
	var names []string
	for _, rule := range ws.Gates {
		if rule.Validator != "" && !rule.Builtin {
			names = append(names, "validator-"+rule.Validator)
		}
	}
	rows, err := Plugins(PluginDirs(l.cfg, g.opt.Libexec), names, l.lock)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.State != "ok" {
			return fault.New(fault.PluginNotLocked, "plugin %s-%s is %s", row.Kind, row.Name, row.State).Fix("run: drawspan plugin lock, and commit the lock file")
		}
	}
	return nil
}

// judge has the panel decide.
func (g *gateRun) judge(ctx context.Context, l *loaded, ws *work.Workspace) (*report.Document, error) {
	record := recordPort{g.store, g.vault}
	ask := gaterun.Ask{Range: g.at, Workspace: ws, Policy: l.policy, Only: g.ask.Only, Floor: l.cfg.CI.Floor, Sources: g.sources}
	plugins := gaterun.Advise(dispatch.Validators(g.pluginsPort()))
	if g.ask.Baseline != "" {
		data, err := g.sources.Read(g.ask.Baseline)
		if err == nil {
			ask.Baseline, err = report.ReadBaseline(data)
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.InvalidRequest, "the baseline cannot be used: %v", err).At(g.ask.Baseline).
				Fix("commit it to the base, or name a file outside of the repository")
		}
		ask.From, ask.Lifter = g.sources.Name(g.ask.Baseline), gaterun.Lift(plugins, ask.Baseline)
		plugins = ask.Lifter
	}
	results, err := g.results()
	if err != nil {
		return nil, err
	}
	g.panel = panel.New(panel.Options{
		Results: results, Record: record, Plugins: plugins, Artifacts: artifactsPort{g.artifacts, g.vault}, Actor: daemonActor(), Version: g.opt.Version,
		Now: time.Now, Log: g.log.Named("gates"),
	})
	g.closers = append(g.closers, func(ctx context.Context) error { g.panel.Release(ctx); return nil })
	return gaterun.Judge(ctx, gaterun.Options{
		Record: record, Repo: repository{g.repo, g.facts}, Trees: sealer{g, ws}, Artifacts: artifactsPort{g.artifacts, g.vault}, Now: time.Now, Panel: g.panel,
		Reuses: results != nil && !ws.Provision.Any(), Actor: work.Actor{Kind: "operator", ID: fmt.Sprintf("uid:%d", g.opt.UID)},
	}, ask)
}

// results are those of earlier runs, where they are kept. With a baseline none are used, and none are kept:
// what a lifted validator said means nothing elsewhere.
func (g *gateRun) results() (panel.Results, error) {
	if g.ask.Cache == "" || g.ask.Baseline != "" {
		return nil, nil
	}
	if _, inside := g.sources.Rel(g.ask.Cache); inside {
		return nil, fault.New(fault.InvalidRequest, "the cache lies in the repository, where the change could write to it").At(g.ask.Cache).Fix("name a directory outside of it")
	}
	return reuse.Open(g.ask.Cache)
}

// export writes the whole log of the run, for whoever may read reports, and its digest into the document.
func (g *gateRun) export(ctx context.Context, doc *report.Document) (err error) {
	if g.ask.Record == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(g.ask.Record), ".drawspan-record-*")
	if err != nil {
		return fault.Wrap(err, fault.InvalidRequest, "the record cannot be written").At(g.ask.Record)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	sum := sha256.New()
	if err := errors.Join(g.store.Export(ctx, "", io.MultiWriter(f, sum)), f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	if err := os.Rename(f.Name(), g.ask.Record); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	doc.Timing.Record = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return nil
}

// clearAway removes a state directory, whatever modes its trees have.
func clearAway(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(dir))
}
