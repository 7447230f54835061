package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/artifact"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
)

// smallArtifact is the size up to which an artifact's bytes are in the record itself.
const smallArtifact = artifact.InlineLimit

func digestOf(p []byte) string { return artifact.Digest(p) }

// blobAge is how old unreferenced bytes must be before gc removes them: younger ones may belong to an
// attempt whose row is not written yet.
const blobAge = time.Hour

// gc removes trees whose state is kept and that nothing holds, bytes that no artifact names, and caches that
// nobody declares.
func (d *Daemon) gc(ctx context.Context, a api.Actor, r api.GCRequest) (api.GCReport, error) {
	report := api.GCReport{DryRun: r.DryRun}
	found, err := d.git.List(ctx)
	if err != nil {
		return report, err
	}
	for _, f := range found {
		if !d.removable(ctx, f.ID, f.Kept) {
			report.KeptTrees++
			continue
		}
		report.Trees++
		if !r.DryRun {
			if err := d.trees.remove(ctx, d.dispatch.Policy(), f); err != nil {
				return report, err
			}
		}
	}
	named, err := d.digests(ctx)
	if err != nil {
		return report, err
	}
	keep := func(digest string) bool { return r.DryRun || named[digest] }
	swept, err := d.artifacts.Sweep(ctx, keep, time.Now().Add(-blobAge))
	if err != nil {
		return report, err
	}
	report.Blobs, report.Bytes = swept.Files, swept.Bytes
	if err := d.sweepCaches(&report); err != nil {
		return report, err
	}
	if r.DryRun {
		return report, nil
	}
	return report, d.record(ctx, work.Fact{Kind: "host.cleaned", Actor: work.Actor(a), At: time.Now().UTC(), Body: report})
}

func (d *Daemon) removable(ctx context.Context, id, kept string) bool {
	at, err := d.store.Attempt(ctx, id)
	return err == nil && kept != "" && !at.State.Live() && !d.heldBy(ctx, at)
}

// digests is the set of all that artifacts name.
func (d *Daemon) digests(ctx context.Context) (map[string]bool, error) {
	named := map[string]bool{}
	attempts, err := all(func(cursor string) (store.Page[work.Attempt], error) {
		return d.store.Attempts(ctx, store.AttemptFilter{Cursor: cursor})
	})
	if err != nil {
		return nil, err
	}
	for _, at := range attempts {
		rows, err := d.store.Artifacts(ctx, at.ID)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			named[row.Digest] = true
		}
	}
	return named, nil
}

// copyState writes a copy of record and content store to a new directory.
func (d *Daemon) copyState(ctx context.Context, dir string) (api.BackupReport, error) {
	if !filepath.IsAbs(dir) {
		return api.BackupReport{}, fault.New(fault.InvalidRequest, "the backup directory must be an absolute path").At("dir")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return api.BackupReport{}, fault.New(fault.Conflict, "%s exists; a backup goes to a new directory", dir).At("dir")
		}
		return api.BackupReport{}, fault.Wrap(err, fault.InvalidRequest, "the backup directory cannot be made").At("dir")
	}
	if err := d.store.Backup(ctx, dir); err != nil {
		return api.BackupReport{}, err
	}
	head, err := d.store.Head(ctx)
	if err != nil {
		return api.BackupReport{}, err
	}
	report := api.BackupReport{Dir: dir, Events: head.Size, Head: head.Position.String()}
	err = copyTree(ctx, filepath.Join(d.config().cfg.Daemon.StateDir, "cas"), filepath.Join(dir, "cas"), &report)
	return report, err
}

// copyTree links the files of the content store, which never change, or copies them to another file
// system.
func copyTree(ctx context.Context, from, to string, report *api.BackupReport) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		if err := os.Link(path, target); err != nil {
			body, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("read %s: %w", rel, err)
			}
			if err := os.WriteFile(target, body, 0o400); err != nil {
				return fmt.Errorf("copy %s: %w", rel, err)
			}
		}
		report.Blobs++
		report.Bytes += info.Size()
		return nil
	})
}
