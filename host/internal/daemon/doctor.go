package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/worktree"
)

// lowDisk is the room below which doctor warns, in bytes.
const lowDisk = 2 << 30

func (d *Daemon) doctor(ctx context.Context, _ api.Actor, _ api.Empty) (api.Doctor, error) {
	return Doctor(ctx, d.opt), nil
}

// Doctor tries what a daemon with these options would need. It needs no running daemon and changes
// nothing but a directory of its own under the temporary one.
func Doctor(ctx context.Context, o Options) api.Doctor {
	var checks []api.Check
	l, err := load(o)
	if err != nil {
		checks = append(checks, failed("configuration", "files", err))
	} else {
		checks = append(checks, api.Check{Group: "configuration", Name: "files", State: "ok", Detail: strings.Join(l.cfg.Files, ", ")})
		checks = append(checks, stateChecks(l)...)
		checks = append(checks, workspaceChecks(ctx, o, l)...)
	}
	checks = append(checks, sandboxChecks(ctx, o, l)...)
	checks = append(checks, pluginChecks(o, l)...)
	if l != nil {
		checks = append(checks, executorChecks(ctx, o, l)...)
	}
	out := api.Doctor{OK: true, Checks: checks}
	for _, c := range checks {
		out.OK = out.OK && c.State != "fail"
	}
	return out
}

func failed(group, name string, err error) api.Check {
	f := fault.From(err)
	detail := f.Message
	if f.Where != "" {
		detail = f.Where + ": " + detail
	}
	return api.Check{Group: group, Name: name, State: "fail", Detail: detail, Fix: f.Hint}
}

func stateChecks(l *loaded) []api.Check {
	dir := l.cfg.Daemon.StateDir
	c := api.Check{Group: "state", Name: "directory", State: "ok", Detail: dir}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.State, c.Detail, c.Fix = "fail", fmt.Sprintf("%s has mode %o", dir, info.Mode().Perm()), "chmod 700 "+dir
	}
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || at == "/" {
			break
		}
		at = filepath.Dir(at)
	}
	var fs unix.Statfs_t
	disk := api.Check{Group: "state", Name: "room", State: "ok"}
	if err := unix.Statfs(at, &fs); err != nil {
		disk.State, disk.Detail = "warn", "the file system cannot be asked: "+err.Error()
		return []api.Check{c, disk}
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	disk.Detail = fmt.Sprintf("%.1f GiB and %d inodes free", float64(free)/(1<<30), fs.Ffree)
	if free < lowDisk {
		disk.State, disk.Fix = "warn", "free some room, or move daemon { state_dir }"
	}
	return []api.Check{c, disk}
}

// workspaceChecks anchors every workspace in a throw-away state directory.
func workspaceChecks(ctx context.Context, o Options, l *loaded) []api.Check {
	dir, err := os.MkdirTemp("", "drawspan-doctor-")
	if err != nil {
		return []api.Check{failed("workspaces", "try", err)}
	}
	defer os.RemoveAll(dir)
	trees, err := worktree.Open(ctx, worktree.Options{Dir: dir, Path: o.Host.Path, Log: hclog.NewNullLogger()})
	if err != nil {
		return []api.Check{failed("git", "program", err)}
	}
	version, path := trees.GitVersion()
	checks := []api.Check{{Group: "git", Name: "program", State: "ok", Detail: path + " " + version}}
	for _, name := range sortedKeys(l.policy.Workspaces) {
		ws := l.policy.Workspaces[name]
		w, err := trees.Workspace(ctx, name, ws.Root)
		if err == nil {
			_, err = w.Resolve(ctx, ws.Base)
			_ = w.Close() // only an anchor in a directory that goes away
		}
		if err != nil {
			checks = append(checks, failed("workspaces", name, err))
			continue
		}
		checks = append(checks, api.Check{Group: "workspaces", Name: name, State: "ok", Detail: ws.Root + " at " + ws.Base})
	}
	return checks
}

func sandboxChecks(ctx context.Context, o Options, l *loaded) []api.Check {
	launcher, err := findProgram(o.Libexec, LauncherName)
	if err != nil {
		return []api.Check{failed("sandbox", "launcher", err)}
	}
	dir, err := os.MkdirTemp("", "drawspan-doctor-")
	if err != nil {
		return []api.Check{failed("sandbox", "try", err)}
	}
	defer os.RemoveAll(dir)
	box, err := sandbox.New(sandbox.Options{Launcher: launcher, StateDir: dir, Home: o.Host.Home, Log: hclog.NewNullLogger()})
	if err != nil {
		return []api.Check{failed("sandbox", "launcher", err)}
	}
	defer box.Close()
	checks := []api.Check{{Group: "sandbox", Name: "launcher", State: "ok", Detail: launcher}}
	for _, c := range box.Try(ctx) {
		checks = append(checks, api.Check{Group: "sandbox", Name: c.Name, State: c.State, Detail: c.Detail, Fix: c.Fix})
	}
	if l == nil {
		return checks
	}
	return append(checks, demandChecks(ctx, box, l)...)
}

func pluginChecks(o Options, l *loaded) []api.Check {
	dirs := o.Libexec
	if l != nil {
		dirs = PluginDirs(l.cfg, o.Libexec)
	}
	checks := []api.Check{{Group: "plugins", Name: "directories", State: "ok", Detail: strings.Join(dirs, ", ")}}
	if l == nil {
		return checks
	}
	rows, err := Plugins(PluginDirs(l.cfg, o.Libexec), used(l.cfg), l.lock)
	if err != nil {
		return append(checks, failed("plugins", "programs", err))
	}
	if len(rows) == 0 {
		return append(checks, api.Check{Group: "plugins", Name: "programs", State: "ok", Detail: "the configuration uses none"})
	}
	for _, p := range rows {
		c := api.Check{Group: "plugins", Name: p.Kind + "-" + p.Name, State: "ok", Detail: p.State}
		if p.Simulated {
			c.Detail += ", simulated"
		}
		switch p.State {
		case "ok":
		case "missing":
			c.State, c.Detail = "warn", pluginlock.Prefix+c.Name+" is in none of these directories"
			c.Fix = "install it, or correct the name in the configuration"
		default:
			c.State, c.Fix = "warn", "run: drawspan plugin lock"
		}
		checks = append(checks, c)
	}
	return checks
}
