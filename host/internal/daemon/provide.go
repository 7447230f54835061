package daemon

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// cachesDir holds the caches of workspaces, in the state directory.
const cachesDir = "caches"

// provisionPort runs the commands that prepare trees, with the credentials and the way out that their
// sandboxes have.
type provisionPort struct {
	pluginsPort
	box   func() *sandbox.Sandbox
	trees *worktree.Trees
	dir   string // the state directory
}

func (d *Daemon) provisionPort() provisionPort {
	return provisionPort{
		pluginsPort: d.pluginsPort(), box: func() *sandbox.Sandbox { return d.sandbox }, trees: d.git, dir: d.config().cfg.Daemon.StateDir,
	}
}

// Cache makes a cache's directory where it is not there yet. Both names are of the configuration's form.
func (p provisionPort) Cache(workspace, name string) (string, error) {
	dir := filepath.Join(p.dir, cachesDir, workspace, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// Empty moves a cache into the trash of trees, which is emptied beside.
func (p provisionPort) Empty(dir string) error { return p.trees.Discard(dir) }

// The end of a command that was killed is waited for so long, and asked for again after a while.
const (
	killWithin = 10 * time.Second
	killAgain  = 2 * time.Second
)

// mortal is a launch that can be killed.
type mortal interface {
	Kill(ctx context.Context) (work.Death, error)
}

// bury kills what is left of a command and returns when it is proved dead, however long that takes: nothing
// may be done to a tree, or believed of it, in which somebody is at work.
func (p provisionPort) bury(ctx context.Context, c provision.Command, process mortal) {
	for told := false; ; told = true {
		proof, cancel := context.WithTimeout(ctx, killWithin)
		death, err := process.Kill(proof)
		cancel()
		if err == nil && death.Proved {
			return
		}
		if !told {
			p.log.Error("the death of a provision run is not proved", "run", c.Name, "attempt", c.AttemptID, "survivors", death.Survivors, "error", err)
		}
		<-time.After(killAgain)
	}
}

// Run runs one command to its proved end.
func (p provisionPort) Run(ctx context.Context, c provision.Command) (provision.Exit, error) {
	secrets, err := p.vault.open(c.Policy)
	if err != nil {
		return provision.Exit{}, err
	}
	var refused string // the first; only the proxy writes it, until the way out ends
	out, err := p.ways(ctx, dispatch.Launch{Kind: "provision", Name: c.Name, Policy: c.Policy, AttemptID: c.AttemptID, OnTraffic: func(t dispatch.Traffic) {
		if !t.Allowed && refused == "" {
			refused = fmt.Sprintf("%s:%d, %s", t.Host, t.Port, t.Reason)
		}
	}})
	if err != nil {
		return provision.Exit{}, err
	}
	defer out.end()
	streams, err := p.streams(c)
	if err != nil {
		return provision.Exit{}, err
	}
	process, err := p.box().Launch(ctx, sandbox.Request{
		Policy: c.Policy, Tree: sandbox.Tree{Path: c.Tree, Mode: sandbox.TreeWritable, Dev: c.Dev, Ino: c.Ino},
		Git: &sandbox.Git{Dir: c.Git.Dir, Protect: c.Git.Protect, Objects: c.Git.Objects}, Binds: bindsOf(c.Binds),
		Secrets: secrets, Path: c.Argv[0], Argv: c.Argv, Env: slices.Concat(p.vault.pass(c.Policy), c.Env),
		Stdout: streams.ends[0], Stderr: streams.ends[1], OnListener: out.network.onListener(),
	})
	streams.close()
	if err != nil {
		streams.wait()
		return provision.Exit{}, p.vault.conceal(err)
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
	}
	p.bury(context.WithoutCancel(ctx), c, process)
	streams.wait()
	out.end()
	exit := exitOf(process.Exit())
	exit.Refused = refused
	return exit, nil
}

// exitOf says how a command ended.
func exitOf(x sandbox.Exit) provision.Exit {
	switch {
	case x.Exceeded != nil:
		return provision.Exit{Cause: fmt.Sprintf("was ended: it used %d of %s, and %d are allowed", x.Exceeded.Used, x.Exceeded.Limit, x.Exceeded.Cap)}
	case x.Lost != "":
		return provision.Exit{Cause: "was lost: " + x.Lost}
	case x.Signal != 0:
		return provision.Exit{Cause: "was ended by " + x.Signal.String()}
	}
	return provision.Exit{Code: x.Code}
}

// streams are the two pipes of a command, each read to its end.
type streams struct {
	ends [2]*os.File // the command's
	read sync.WaitGroup
}

// streams opens them. What is read is masked first.
func (p provisionPort) streams(c provision.Command) (*streams, error) {
	s := &streams{}
	for i, to := range []io.Writer{c.Stdout, c.Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			s.close()
			return nil, fmt.Errorf("make pipe for provision run %s: %w", c.Name, err)
		}
		s.ends[i] = w
		s.read.Go(func() { // ends when no process has the other end
			defer r.Close()
			masked := p.vault.Stream(to)
			if _, err := io.Copy(masked, r); err != nil {
				p.log.Warn("output of a provision run is not whole", "run", c.Name, "error", err)
			}
			if err := masked.Close(); err != nil {
				p.log.Warn("output of a provision run is not whole", "run", c.Name, "error", err)
			}
		})
	}
	return s, nil
}

func (s *streams) close() {
	for _, end := range s.ends {
		if end != nil {
			_ = end.Close() // only this side's copy; nothing was written to it
		}
	}
}

func (s *streams) wait() { s.read.Wait() }

// bindsOf are binds as a sandbox takes them.
func bindsOf(binds []provision.Bind) []sandbox.Bind {
	var out []sandbox.Bind
	for _, b := range binds {
		out = append(out, sandbox.Bind{Host: b.Host, Inside: b.Inside, Mode: b.Mode, Label: b.Label, Dev: b.Dev, Ino: b.Ino})
	}
	return out
}

// Links are the linked directories of a tree, for a launch.
func (t *treePort) Links() ([]provision.Bind, error) {
	links, err := t.Tree.Links()
	var out []provision.Bind
	for i, l := range links {
		out = append(out, provision.Bind{Host: l.Host, Inside: l.Inside, Dev: l.Dev, Ino: l.Ino, Label: fmt.Sprintf("link %d", i+1)})
	}
	return out, err
}
