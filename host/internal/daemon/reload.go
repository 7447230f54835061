package daemon

import (
	"context"
	"time"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/policy"
	"github.com/drawspan/drawspan/host/internal/work"
)

func daemonActor() work.Actor { return work.Actor{Kind: "daemon", ID: "drawspan"} }

// attributesOf is the schema of a plugin's config block as the lock file has it.
func attributesOf(lock *pluginlock.File, kind, plugin string) ([]config.Attribute, bool) {
	entry, ok := lock.Find(kind, plugin)
	if !ok {
		return nil, false
	}
	out := make([]config.Attribute, 0, len(entry.Attributes))
	for _, a := range entry.Attributes {
		out = append(out, config.Attribute{Name: a.Name, Type: a.Type, Required: a.Required})
	}
	return out, true
}

func changesOf(changes []policy.Change) []api.ConfigChange {
	return mapAll(changes, func(c policy.Change) api.ConfigChange {
		return api.ConfigChange{Block: c.Block, Op: c.Op, Detail: c.Detail, Widens: c.Widens, Restart: c.Restart}
	})
}

func (d *Daemon) configShow(context.Context, api.Actor, api.Empty) (api.ConfigShown, error) {
	l := d.config()
	return api.ConfigShown{Files: l.cfg.Files, GateFiles: l.cfg.GateFiles(), PolicySum: l.policy.Digest, LoadedAt: l.at, Config: configView(l.cfg)}, nil
}

func (d *Daemon) configPlan(context.Context, api.Actor, api.Empty) (api.ConfigPlan, error) {
	next, err := load(d.opt)
	if diags := Diagnostics(err); diags != nil {
		return api.ConfigPlan{Changes: []api.ConfigChange{}, Diagnostics: jsonOf(diags)}, nil
	}
	if err != nil {
		return api.ConfigPlan{}, err
	}
	changes := changesOf(policy.Diff(d.config().cfg, next.cfg))
	return api.ConfigPlan{Valid: true, Same: len(changes) == 0, Changes: changes}, nil
}

func (d *Daemon) configReload(ctx context.Context, a api.Actor, _ api.Empty) (api.ConfigReloaded, error) {
	return d.reload(ctx, work.Actor(a))
}

// reload puts the files in force, all of them or nothing. It is recorded, with every change and whether
// it widens authority, and every new widening of a sandbox as a fact of its own, before it takes effect.
func (d *Daemon) reload(ctx context.Context, actor work.Actor) (api.ConfigReloaded, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	next, err := load(d.opt)
	if err != nil {
		return api.ConfigReloaded{}, err
	}
	changes := changesOf(policy.Diff(d.config().cfg, next.cfg))
	out := api.ConfigReloaded{PolicySum: next.policy.Digest, Changes: changes}
	for _, c := range changes {
		if c.Restart {
			out.Pending = append(out.Pending, c.Block+": "+c.Detail)
		}
	}
	// What needs a restart stays as it is running, or the state directory would change under the daemon.
	running := d.config().cfg.Daemon
	next.cfg.Daemon.StateDir, next.cfg.Daemon.Listen, next.cfg.Daemon.RunAs = running.StateDir, running.Listen, running.RunAs
	next.cfg.Daemon.LogFile, next.cfg.Daemon.LogFormat = running.LogFile, running.LogFormat
	before, now := d.config().policy, time.Now().UTC()
	facts := append([]work.Mutation{work.Fact{
		Kind: "config.reloaded", Actor: actor, At: now,
		Body: map[string]any{"policy_digest": next.policy.Digest, "before": before.Digest, "files": next.cfg.Files, "gate_files": next.cfg.GateFiles(), "changes": changes},
	}}, widened(actor, now, policy.NewWidenings(before, next.policy))...)
	if err := d.record(ctx, facts...); err != nil {
		return api.ConfigReloaded{}, err
	}
	d.loaded.Store(next)
	d.loader.SetLock(next.lock)
	d.dispatch.SetPolicy(next.policy)
	go d.panel.Release(context.WithoutCancel(ctx)) // ends when the validators of the old policy have; closing kills them
	d.log.Info("configuration reloaded", "policy", next.policy.Digest, "changes", len(changes))
	return out, nil
}
