package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/loader"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

// PluginDirs are the directories in which plugins of a configuration are looked for, in order.
func PluginDirs(cfg *config.Config, libexec []string) []string {
	var dirs []string
	for _, p := range cfg.Plugins {
		if p.Dir != "" {
			dirs = append(dirs, p.Dir)
		}
	}
	return append(slices.Compact(dirs), libexec...)
}

// used are the programs that a configuration names, such as "executor-command", sorted.
func used(cfg *config.Config) []string {
	var names []string
	for _, e := range cfg.Executors {
		names = append(names, "executor-"+e.Plugin)
	}
	for _, w := range cfg.Workspaces {
		for _, g := range w.Gates {
			if plugin := g.Plugin(); plugin != "" {
				names = append(names, "validator-"+plugin)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Describe asks a plugin program that is not locked yet what it is, for the lock file.
func Describe(ctx context.Context, o Options, p pluginlock.Program) (pluginlock.Facts, error) {
	m, digest, err := inspect(ctx, o, p)
	if err != nil {
		return pluginlock.Facts{}, err
	}
	facts := pluginlock.Facts{
		Digest: digest, Version: m.Version, Protocol: []string{wire.Protocol}, Simulated: m.Simulated,
		Nature: pluginlock.Nature{Feeds: m.Feeds, Pure: m.Pure, Resident: m.Resident},
	}
	for _, a := range m.Config {
		facts.Attributes = append(facts.Attributes, pluginlock.Attribute{Name: a.Name, Type: a.Type, Required: a.Required})
	}
	for _, p := range m.Programs {
		facts.Drives = append(facts.Drives, pluginlock.Driven(p))
	}
	return facts, nil
}

// inspect starts the program in a sandbox that holds nothing.
func inspect(ctx context.Context, o Options, p pluginlock.Program) (m sdk.Manifest, digest string, err error) {
	launcher, err := findProgram(o.Libexec, LauncherName)
	if err != nil {
		return sdk.Manifest{}, "", err
	}
	scratch, err := os.MkdirTemp("", "drawspan-inspect-")
	if err != nil {
		return sdk.Manifest{}, "", fmt.Errorf("make a scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	box, err := sandbox.New(sandbox.Options{Launcher: launcher, StateDir: scratch, Home: o.Host.Home, Log: hclog.NewNullLogger()})
	if err != nil {
		return sdk.Manifest{}, "", err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	l, err := loader.New(loader.Options{
		Dirs: []string{filepath.Dir(p.Path)}, RunDir: filepath.Join(scratch, "run"), Launch: loader.Sandboxed(box),
		Version: o.Version, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		return sdk.Manifest{}, "", err
	}
	defer func() { err = errors.Join(err, l.Close(ctx)) }()
	return l.Inspect(ctx, p.Kind(), p.Plugin())
}
