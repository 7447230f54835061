package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/work"
)

// forGates is where the outputs of commands are kept that prepare a tree to be judged.
const forGates = "gates"

// reserve takes what is the attempt's own while it lives: its ports, and its use of the caches.
func (a *drive) reserve() (release func(), err error) {
	free := func() {}
	if a.ws.Provision.Ports > 0 {
		if a.ports, free, err = a.d.ports.Take(a.ws.Provision.Ports); err != nil {
			return nil, err
		}
	}
	a.lease = a.d.caches.Use(a.ws.Name)
	return func() { free(); a.lease.Release() }, nil
}

// provision prepares the tree as it is now, for an executor or, with a name of the occasion, for gates. The
// commands of a tree that holds nothing unjudged may fill the caches.
func (a *drive) provision(ctx context.Context, occasion string, fill bool) error {
	declared := a.ws.Provision
	if len(declared.Link) == 0 && len(declared.Runs) == 0 && len(declared.Caches) == 0 && len(a.ports) == 0 {
		return nil
	}
	if a.d.opt.Provision == nil {
		return fault.New(fault.NotSupported, "nothing here can prepare the trees of workspace %q", a.ws.Name).At(a.ws.Declared)
	}
	place, outputs, err := provision.Prepare(ctx, provision.Request{
		Workspace: a.ws.Name, Provision: declared, Tree: a.tree, Host: a.d.opt.Provision, Ports: a.ports, AttemptID: a.at.ID, Kept: true, Fill: fill,
		Lease: a.lease, Found: func(f provision.Finding) { a.foundCache(context.WithoutCancel(ctx), f) },
		At: func(s provision.Stage) { a.staged(context.WithoutCancel(ctx), s, occasion) },
	})
	a.d.stage(a.at.ID, nil)
	if kept := a.keepOutputs(context.WithoutCancel(ctx), occasion, outputs); err == nil {
		err = kept
	}
	a.place, a.git = place, nil // the commands had it
	return err
}

// Stage is what the preparation of an attempt's tree is at, and since when.
type Stage struct {
	provision.Stage
	Since time.Time
}

// Stage answers for a live attempt, and with nil while its tree is not prepared.
func (d *Dispatcher) Stage(attemptID string) *Stage {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.live[attemptID]; c != nil {
		return c.stage
	}
	return nil
}

func (d *Dispatcher) stage(attemptID string, s *Stage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.live[attemptID]; c != nil {
		c.stage = s
	}
}

// staged notes what the preparation is at, and writes it into the log: there it wakes those who follow.
func (a *drive) staged(ctx context.Context, s provision.Stage, occasion string) {
	at := &Stage{s, a.d.now()}
	a.d.stage(a.at.ID, at)
	kind, body := "provision.started", map[string]any{"run": s.Run}
	if s.Waits {
		kind, body = "provision.waiting", map[string]any{"why": "another attempt fills the caches"}
	}
	body["before"] = cmp.Or(occasion, "executor")
	err := a.d.opt.Record.Apply(ctx, work.Fact{
		Kind: kind, Actor: daemonActor(), RunID: a.at.RunID, StepID: a.at.StepID, AttemptID: a.at.ID, At: at.Since, Body: body,
	})
	if err != nil {
		a.d.report(ctx, "record how a tree is prepared", err, "attempt", a.at.ID)
	}
}

// CacheUnused calls take while no attempt uses the workspace's caches, and reports whether it did.
func (d *Dispatcher) CacheUnused(workspace string, take func() error) (bool, error) {
	return d.caches.Unused(workspace, take)
}

// keepOutputs records what the commands wrote, under names that are not taken yet.
func (a *drive) keepOutputs(ctx context.Context, occasion string, outputs []provision.Output) error {
	if len(outputs) == 0 {
		return nil
	}
	known, err := a.d.opt.Record.Artifacts(ctx, a.at.ID)
	if err != nil {
		return err
	}
	taken := func(dir string) bool {
		return slices.ContainsFunc(known, func(k work.Artifact) bool { return path.Dir(k.Name) == dir })
	}
	var rows []work.Mutation
	for _, out := range outputs {
		dir := path.Join("provision", out.Run, occasion)
		for n := 2; taken(dir); n++ {
			dir = path.Join("provision", out.Run, occasion+"-"+strconv.Itoa(n))
		}
		for _, s := range []struct {
			name string
			from *provision.Stream
		}{{"stdout.log", out.Stdout}, {"stderr.log", out.Stderr}} {
			row, err := a.keep(path.Join(dir, s.name), "provision", "text/plain; charset=utf-8", s.from.Bytes())
			if err != nil {
				return fmt.Errorf("keep output of provision run %s: %w", out.Run, err)
			}
			row.Truncated = row.Truncated || s.from.Cut()
			rows = append(rows, work.KeepArtifact{Artifact: row})
		}
	}
	if err := a.d.opt.Record.Apply(ctx, rows...); err != nil {
		return fmt.Errorf("record outputs of provision: %w", err)
	}
	return nil
}

// foundCache writes into the log what became of a cache that holds more than its size.
func (a *drive) foundCache(ctx context.Context, f provision.Finding) {
	done := "nothing is added to it while another attempt uses it"
	if f.Emptied {
		done = "it was emptied"
	}
	a.d.opt.Log.Warn("a cache held more than its size", "workspace", a.ws.Name, "cache", f.Cache, "size", work.SizeText(f.Size), "then", done)
	err := a.d.opt.Record.Apply(ctx, work.Fact{
		Kind: "cache.oversize", Actor: daemonActor(), RunID: a.at.RunID, StepID: a.at.StepID, AttemptID: a.at.ID, At: a.d.now(),
		Body: map[string]any{"workspace": a.ws.Name, "cache": f.Cache, "held_at_least": f.Held, "size": f.Size, "emptied": f.Emptied},
	})
	if err != nil {
		a.d.report(ctx, "record an oversize cache", err, "attempt", a.at.ID)
	}
}
