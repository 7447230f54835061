package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/internal/work"
)

// sweepCaches takes away the caches that are not declared any more, of workspaces where no attempt is live.
func (d *Daemon) sweepCaches(report *api.GCReport) error {
	root := filepath.Join(d.config().cfg.Daemon.StateDir, cachesDir)
	workspaces, err := directories(root)
	if err != nil {
		return err
	}
	for _, workspace := range workspaces {
		home := filepath.Join(root, workspace)
		unused, err := d.dispatch.CacheUnused(workspace, func() error {
			return d.takeCaches(workspace, home, report)
		})
		if err == nil && !unused {
			err = d.eachUndeclared(workspace, home, func(name string) error {
				report.KeptCaches = append(report.KeptCaches, path.Join(workspace, name))
				return nil
			})
		}
		if err != nil {
			return fmt.Errorf("look through the caches of workspace %s: %w", workspace, err)
		}
	}
	return nil
}

// takeCaches takes away what is not declared of a workspace's caches, and their directory with the last one.
func (d *Daemon) takeCaches(workspace, home string, report *api.GCReport) error {
	err := d.eachUndeclared(workspace, home, func(name string) error {
		report.Caches = append(report.Caches, path.Join(workspace, name))
		if report.DryRun {
			return nil
		}
		return d.git.Discard(filepath.Join(home, name))
	})
	if err != nil || report.DryRun {
		return err
	}
	if err := os.Remove(home); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", home, err)
	}
	return nil
}

// eachUndeclared calls do with every cache of a workspace that the policy in force does not know.
func (d *Daemon) eachUndeclared(workspace, home string, do func(name string) error) error {
	names, err := directories(home)
	if err != nil {
		return err
	}
	declared := d.dispatch.Policy().Workspaces[workspace]
	for _, name := range names {
		if declared != nil && slices.ContainsFunc(declared.Provision.Caches, func(c work.Cache) bool { return c.Name == name }) {
			continue
		}
		if err := do(name); err != nil {
			return err
		}
	}
	return nil
}

// directories are the names of those in a directory, none where it is not there. Links are not followed.
func directories(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
