package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// pluginsPort joins the loader to the dispatcher.
type pluginsPort struct{ loader *loader.Loader }

func (p pluginsPort) Start(ctx context.Context, l dispatch.Launch) (dispatch.Plugin, error) {
	mode := sandbox.TreeWritable
	if l.Sealed {
		mode = sandbox.TreeOverlay
	}
	launch := loader.Launch{
		Kind: l.Kind, Name: l.Name, Config: l.Config, Policy: l.Policy, Tree: l.Tree, Mode: mode, Dev: l.Dev, Ino: l.Ino, AttemptID: l.AttemptID,
	}
	if g := l.Git; g != nil {
		launch.Git = &sandbox.Git{Dir: g.Dir, Protect: g.Protect, Objects: g.Objects}
	}
	if l.OnViolation != nil {
		launch.OnViolation = func(v sandbox.Violation) {
			l.OnViolation(dispatch.Violation{Syscall: v.Name, PID: v.PID, Comm: v.Comm, Count: v.Count})
		}
	}
	i, err := p.loader.Start(ctx, launch)
	if err != nil {
		return nil, err
	}
	return pluginPort{i}, nil
}

// pluginPort is one started plugin.
type pluginPort struct{ *loader.Instance }

// Leftovers is how many processes were alive beside the plugin when it ended; asked after Stop.
func (p pluginPort) Leftovers() int { return p.Instance.Exit().Leftovers }

// endWithin is how long a plugin that has answered may take to end by itself before it is killed.
const endWithin = 500 * time.Millisecond

func (p pluginPort) Stop(ctx context.Context) (work.Death, error) {
	return p.Instance.Stop(ctx, endWithin)
}

// lockState is what the lock file says of a plugin.
func (d *Daemon) lockState(kind, name string) (simulated, locked bool, digest string) {
	entry, ok := d.config().lock.Find(kind, name)
	if !ok || entry.Digest() == "" {
		return false, false, ""
	}
	return entry.Simulated, true, entry.Digest()
}

// simulators are the declared executors that only play a part.
func (d *Daemon) simulators() []string {
	var out []string
	policy := d.dispatch.Policy()
	for _, name := range sortedKeys(policy.Executors) {
		if simulated, _, _ := d.lockState("executor", policy.Executors[name].Plugin); simulated {
			out = append(out, name)
		}
	}
	return out
}

// levels are the sandbox levels that an operator can require of this version.
func (d *Daemon) levels() []string { return []string{"guarded", "isolated"} }

func problemText(p audit.Problem) string {
	text := p.What
	if p.Seq >= 0 {
		text = fmt.Sprintf("event %d: %s", p.Seq, text)
	}
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	return text
}

func (d *Daemon) pluginList(context.Context, api.Actor, api.Empty) (api.List[api.Plugin], error) {
	l := d.config()
	rows, err := Plugins(PluginDirs(l.cfg, d.opt.Libexec), used(l.cfg), l.lock)
	return api.List[api.Plugin]{Items: rows}, err
}

func (d *Daemon) pluginVerify(ctx context.Context, a api.Actor, e api.Empty) (api.List[api.Plugin], error) {
	return d.pluginList(ctx, a, e)
}

// Plugins compares the named programs with the lock file. Every file is hashed anew.
func Plugins(dirs, names []string, lock *pluginlock.File) ([]api.Plugin, error) {
	programs, err := pluginlock.Installed(dirs)
	if err != nil {
		return nil, err
	}
	rows := []api.Plugin{}
	for _, name := range names {
		p := pluginlock.Program{Name: name}
		if i := slices.IndexFunc(programs, func(q pluginlock.Program) bool { return q.Name == name }); i >= 0 {
			p = programs[i]
		}
		row, err := pluginRow(p, lock)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func pluginRow(p pluginlock.Program, lock *pluginlock.File) (api.Plugin, error) {
	row := api.Plugin{Name: p.Plugin(), Kind: p.Kind(), Path: p.Path, State: "missing"}
	entry, locked := lock.Find(p.Kind(), p.Plugin())
	if locked {
		row.Version, row.Simulated, row.Locked = entry.Version, entry.Simulated, entry.Digest()
	}
	if p.Path == "" {
		return row, nil
	}
	var err error
	if row.Digest, err = pluginlock.DigestFile(p.Path); err != nil {
		return row, err
	}
	switch row.Locked {
	case "":
		row.State = "not_locked"
	case row.Digest:
		row.State = "ok"
	default:
		row.State = "mismatch"
	}
	return row, nil
}
