package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/program"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Bounds of a probe.
const (
	probeWithin = time.Minute // an agent that takes longer to tell its version is of no use
	maxProbed   = 256
	loginGone   = "missing"
)

func (d *Daemon) executorProbe(ctx context.Context, _ api.Actor, r api.ExecutorRef) (api.ExecutorProbe, error) {
	ex, ok := d.dispatch.Policy().Executors[r.Executor]
	if !ok {
		return api.ExecutorProbe{}, fault.New(fault.NotFound, "executor %q is not declared in what the daemon has loaded", r.Executor).Fix("run: drawspan executor ls; after a change: drawspan config reload")
	}
	return d.pluginsPort().probe(ctx, ex), nil
}

// probe starts the plugin of an executor as an attempt would, but without a tree and a network, and asks it
// about its program. A program that is not the locked one is not started.
func (p pluginsPort) probe(ctx context.Context, ex *work.ExecutorDecl) api.ExecutorProbe {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	out := api.ExecutorProbe{Executor: ex.Name, Plugin: ex.Plugin, Sandbox: ex.Sandbox.Name, Simulated: ex.Simulated, Program: p.programs.look(ctx, ex), Notes: []string{}}
	if pr := out.Program; pr != nil && pr.State != programOK {
		out.Problem, out.Fix = pr.Detail, pr.Fix
	} else {
		p.question(ctx, ex, &out)
		p.lacking(ex, &out)
	}
	out.OK = out.Problem == ""
	out.TookMS = float64(time.Since(began)) / float64(time.Millisecond)
	return out
}

// question starts the plugin and asks it.
func (p pluginsPort) question(ctx context.Context, ex *work.ExecutorDecl, out *api.ExecutorProbe) {
	level, found, err := p.answer(ctx, ex)
	out.Level = level
	switch {
	case fault.Is(err, fault.NotSupported): // it drives nothing, or does not say what
		return
	case err != nil:
		f := fault.From(err)
		out.Problem, out.Fix = f.Message, f.Hint
		if f.Where != "" {
			out.Problem += ": " + f.Where
		}
		return
	}
	out.Notes = append(out.Notes, found.Notes...)
	if out.Program == nil {
		return
	}
	p.programs.told(out.Program, &found)
	if found.Version != "" && !found.Tested && out.Program.Tested != "" {
		out.Notes = append(out.Notes, fmt.Sprintf("version %s was not tried with this plugin: it was tested with %s", found.Version, out.Program.Tested))
	}
	if found.Login == loginGone {
		out.Problem = "it cannot reach a model: it has no login, no key, and no gateway that it speaks to"
		out.Fix = "add a credential to its sandbox, or a gateway of its wire to the executor; then run: drawspan config reload"
	}
}

// lacking is a gateway without its credential: the plugin sees the gateway, and cannot know.
func (p pluginsPort) lacking(ex *work.ExecutorDecl, out *api.ExecutorProbe) {
	if ex.Gateway == nil || out.Problem != "" {
		return
	}
	if _, err := p.vault.unlock(ex.Gateway.Credential); err != nil {
		f := fault.From(err)
		out.Problem, out.Fix = f.Message, f.Hint
		if out.Program != nil {
			out.Program.Login = loginGone
		}
	}
}

// answer is what the plugin says. Its process is dead when it returns.
func (p pluginsPort) answer(ctx context.Context, ex *work.ExecutorDecl) (level string, found sdk.Probe, err error) {
	policy := *ex.Sandbox
	if policy.Network.Mode == work.NetworkProxy { // a program that is only looked at has nothing to reach
		policy.Network = work.NetworkPolicy{}
	}
	started, err := p.Start(ctx, dispatch.Launch{
		Kind: "executor", Name: ex.Plugin, Executor: ex.Name, Program: ex.Program, Config: ex.Config, Policy: &policy, AttemptID: "probe",
	})
	if err != nil {
		return "", sdk.Probe{}, err
	}
	port, ok := started.(pluginPort)
	if !ok {
		return "", sdk.Probe{}, errors.New("a plugin of another kind was started")
	}
	defer func() {
		if _, stopped := port.Stop(context.WithoutCancel(ctx)); err == nil {
			err = stopped
		}
	}()
	if found, err = port.Instance.Probe(ctx, gatewayOf(ex)); err != nil {
		return port.Level(), sdk.Probe{}, p.vault.conceal(err)
	}
	found.Version = p.vault.Text(found.Version)
	found.Notes = mapAll(found.Notes, p.vault.Text)
	if port.driven != nil {
		p.programs.remember(ex.Name, port.driven.found, found)
	}
	return port.Level(), found, nil
}

// gatewayOf tells a probe that there is a way to a model. Nothing answers at it: a probe asks no model.
func gatewayOf(ex *work.ExecutorDecl) *sdk.Gateway {
	if ex.Gateway == nil {
		return nil
	}
	return &sdk.Gateway{URL: "http://127.0.0.1:9", Key: "probe", Wire: ex.Gateway.Wire}
}

// told adds to a program what a probe found out.
func (p *programs) told(to *api.Program, found *sdk.Probe) {
	if found != nil {
		to.Version, to.InRange, to.Login = found.Version, found.Tested, found.Login
	}
}

func (p *programs) key(executor string, f program.Found) probedProgram {
	return probedProgram{executor, p.config().policy.Digest, f.Digest, f.Files}
}

func (p *programs) remember(executor string, f program.Found, probe sdk.Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.probed) >= maxProbed {
		clear(p.probed)
	}
	p.probed[p.key(executor, f)] = probe
}

// recall is what the last probe of these very bytes said, nil before the first.
func (p *programs) recall(executor string, f program.Found) *sdk.Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if probe, ok := p.probed[p.key(executor, f)]; ok {
		return &probe
	}
	return nil
}

// executorChecks probe every declared executor that drives a program, without a daemon.
func executorChecks(ctx context.Context, o Options, l *loaded) (checks []api.Check) {
	var all []*work.ExecutorDecl
	for _, name := range sortedKeys(l.policy.Executors) {
		if ex := l.policy.Executors[name]; ex.Program != nil {
			all = append(all, ex)
		}
	}
	if len(all) == 0 {
		return nil
	}
	port, closed, err := aside(ctx, o, l)
	if err != nil {
		return []api.Check{failed("executors", "try", err)}
	}
	defer closed()
	for _, ex := range all {
		checks = append(checks, checkOf(port.probe(ctx, ex)))
	}
	return checks
}

// checkOf is a probe as the doctor tells it.
func checkOf(p api.ExecutorProbe) api.Check {
	c := api.Check{Group: "executors", Name: p.Executor, State: "ok", Fix: p.Fix}
	c.Detail = p.Program.Name
	if p.Program.Version != "" {
		c.Detail += " " + p.Program.Version
	}
	if p.Program.Path != "" {
		c.Detail += " at " + p.Program.Path
	}
	switch {
	case !p.OK && (p.Program.State == programNotLocked || p.Program.Login == loginGone):
		c.State, c.Detail = "warn", p.Problem
	case !p.OK:
		c.State, c.Detail = "fail", p.Problem
	case len(p.Notes) > 0:
		c.Detail += ": " + p.Notes[0]
		if !p.Program.InRange {
			c.State = "warn"
		}
	}
	return c
}

// aside is what starts plugins beside a daemon, or without one, in a throw-away state directory.
func aside(ctx context.Context, o Options, l *loaded) (p pluginsPort, closed func(), err error) {
	launcher, err := findProgram(o.Libexec, LauncherName)
	if err != nil {
		return p, nil, err
	}
	dir, err := os.MkdirTemp("", "dsd") // short: without a view, the path of a plugin's socket begins with it
	if err != nil {
		return p, nil, fmt.Errorf("make a scratch directory: %w", err)
	}
	closers := []func(){func() { _ = os.RemoveAll(dir) }} // the system cleans its temporary directory too
	closed = func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	defer func() {
		if err != nil {
			closed()
		}
	}()
	box, err := sandbox.New(sandbox.Options{Launcher: launcher, StateDir: dir, Home: o.Host.Home, Log: hclog.NewNullLogger()})
	if err != nil {
		return p, nil, err
	}
	closers = append(closers, func() { _ = box.Close() }) // only the scratch directory is behind it
	plugins, err := loader.New(loader.Options{
		Dirs: PluginDirs(l.cfg, o.Libexec), RunDir: filepath.Join(dir, "r"), Launch: loader.Sandboxed(box), Version: o.Version, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		return p, nil, err
	}
	closers = append(closers, func() { _ = plugins.Close(context.WithoutCancel(ctx)) }) // every probe has proved its own end
	plugins.SetLock(l.lock)
	return pluginsPort{
		loader: plugins, programs: newPrograms(o, l.cfg.Daemon.StateDir, func() *loaded { return l }), vault: newVault(o.Variable), log: hclog.NewNullLogger(),
	}, closed, nil
}
