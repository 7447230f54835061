package dispatch

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/work"
)

// forGates is where the outputs of commands are kept that prepare a tree to be judged.
const forGates = "gates"

// takePorts reserves the attempt's ports until they are released.
func (a *drive) takePorts() (release func(), err error) {
	if a.ws.Provision.Ports == 0 {
		return func() {}, nil
	}
	a.ports, release, err = a.d.ports.Take(a.ws.Provision.Ports)
	return release, err
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
		Workspace: a.ws.Name, Provision: declared, Tree: a.tree, Host: a.d.opt.Provision, Ports: a.ports, AttemptID: a.at.ID, Fill: fill,
	})
	if kept := a.keepOutputs(context.WithoutCancel(ctx), occasion, outputs); err == nil {
		err = kept
	}
	a.place, a.git = place, nil // the commands had it
	return err
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
