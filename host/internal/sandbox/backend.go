package sandbox

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// treeReadOnly is what becomes of TreeOverlay where there are no throw-away layers.
const treeReadOnly = "read-only"

// Who ends what a payload leaves behind, as it is recorded.
const (
	orphansNamespace = "pid namespace"
	orphansReaper    = "subreaper"
	orphansBest      = "best effort"
)

// SamePaths reports that a launch under the policy has no view of its own: a bind cannot be put to another
// path than the host's.
func (s *Sandbox) SamePaths(ctx context.Context, p *work.SandboxPolicy) bool {
	b, err := s.choose(ctx, p)
	return err == nil && onHost(b)
}

// onHost reports a back-end without namespaces.
func onHost(backend string) bool { return backend == spec.Landlock || backend == spec.None }

// placeOnHost adapts a plan to a back-end that shows the host's own paths: what has a private place in a view
// gets a directory of this launch, and what would be a throw-away layer is read-only.
func (p *planner) placeOnHost(r Request) error {
	if !onHost(p.spec.Backend) {
		return nil
	}
	if err := p.checkOnHost(r); err != nil {
		return err
	}
	if err := p.makePrivate(); err != nil {
		return err
	}
	p.dropProtected()
	if p.spec.Backend == spec.None && p.spec.Limits.CPUs > 0 {
		p.unmet = append(p.unmet, "limits.cpus") // without a filter every program may choose its processors
	}
	p.spec.Etc = ""
	p.spec.Env = relocate(p.spec.Env, "HOME="+insideHome, "HOME="+p.spec.Home)
	p.spec.Env = relocate(p.spec.Env, "TMPDIR=/tmp", "TMPDIR="+p.tmp())
	if err := p.placeSecrets(); err != nil {
		return err
	}
	if err := p.flattenLayers(); err != nil {
		return err
	}
	p.spec.Mounts = append(p.spec.Mounts, etcOnHost()...)
	for _, dir := range []string{p.spec.Home, p.tmp()} {
		p.spec.Mounts = append(p.spec.Mounts, spec.Mount{Host: dir, Inside: dir, Mode: spec.Writable})
	}
	return nil
}

// checkOnHost refuses what needs a view or a network of its own.
func (p *planner) checkOnHost(r Request) error {
	for _, m := range p.spec.Mounts {
		if m.Host != m.Inside && !within(m.Inside, "/etc") && !m.Empty {
			return unavailable("the back-end %s cannot show %s at another path, %s", p.spec.Backend, m.Host, m.Inside).
				At(p.policy.Declared).Fix(`say backend = "native"`)
		}
	}
	for _, b := range r.Binds {
		if b.Mode == spec.Overlay {
			return unavailable("the back-end %s has no throw-away layers", p.spec.Backend).At(b.Host).Fix(`say backend = "native"`)
		}
	}
	if mode := cmp.Or(r.Policy.Network.Mode, spec.NetworkNone); mode != spec.NetworkNone && !(mode == spec.NetworkHost && p.spec.Backend == spec.None) {
		return unavailable("the back-end %s can only refuse every network, not give a part of it", p.spec.Backend).
			At(p.policy.Declared).Fix(`say backend = "native", or network mode = "none"`)
	}
	return nil
}

// dropProtected gives up what lies read-only in a writable directory: Landlock cannot take away a part of
// what it grants. The host never trusts the shadow git directory, so that is told; a protection that the
// operator declared is a shortfall.
func (p *planner) dropProtected() {
	for _, label := range p.protected {
		if strings.HasPrefix(label, "protect ") {
			p.unmet = append(p.unmet, label)
		} else if p.tree == TreeWritable {
			p.notes = append(p.notes, label+": writable inside")
		}
	}
	p.protected = nil
}

func (p *planner) tmp() string { return filepath.Join(p.private, "tmp") }

// makePrivate makes the directories of one launch, which tidy removes.
func (p *planner) makePrivate() error {
	dir, err := os.MkdirTemp(p.sandbox.ground.dir, "private-")
	if err != nil {
		return err
	}
	p.private = dir
	p.spec.Home = filepath.Join(dir, "home")
	return errors.Join(os.Mkdir(p.spec.Home, 0o700), os.Mkdir(p.tmp(), 0o700))
}

// flattenLayers makes throw-away layers read-only. A tool that insists on writing to its cache is told of an
// empty one of this launch.
func (p *planner) flattenLayers() error {
	kept := make([]spec.Mount, 0, 2*len(p.spec.Mounts)) // not in place: one mount may become two
	for _, m := range p.spec.Mounts {
		if m.Mode != spec.Overlay {
			kept = append(kept, m)
			continue
		}
		if !m.Tree && !m.Git {
			empty, err := os.MkdirTemp(p.private, "cache-")
			if err != nil {
				return err
			}
			for i, entry := range p.spec.Env {
				if name, value, ok := strings.Cut(entry, "="); ok && value == m.Inside {
					p.spec.Env[i] = name + "=" + empty
				}
			}
			kept = append(kept, spec.Mount{Host: empty, Inside: empty, Mode: spec.Writable})
		}
		if !m.Empty {
			m.Mode = spec.ReadOnly
			kept = append(kept, m)
		}
	}
	p.spec.Mounts = kept
	p.ro, p.overlay = append(p.ro, p.overlay...), nil
	if p.tree == TreeOverlay {
		p.tree = treeReadOnly
	}
	return nil
}

// placeSecrets puts the files of credentials into the private directory: there is no file system in memory.
func (p *planner) placeSecrets() error {
	dir := filepath.Join(p.private, "credentials")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, secret := range p.spec.Secrets {
		name := filepath.Join(dir, secret.Name)
		if err := os.WriteFile(name, secret.Value, 0o400); err != nil {
			return err
		}
		for i, entry := range p.spec.Env {
			if variable, value, ok := strings.Cut(entry, "="); ok && value == spec.SecretDir+"/"+secret.Name {
				p.spec.Env[i] = variable + "=" + name
			}
		}
	}
	p.spec.Secrets = nil
	p.spec.Mounts = append(p.spec.Mounts, spec.Mount{Host: dir, Inside: dir, Mode: spec.ReadOnly})
	return nil
}

// relocate replaces one entry of an environment.
func relocate(env []string, from, to string) []string {
	for i, entry := range env {
		if entry == from {
			env[i] = to
		}
	}
	return env
}

// etcOnHost is what of the host's /etc a launch may read that sees no other: settings of software, and the
// names of users. Nothing of the network, of keys and of the machine's identity.
func etcOnHost() []spec.Mount {
	var mounts []spec.Mount
	patterns := slices.Concat(etcCopied(), []string{"passwd", "group", "nsswitch.conf"})
	for _, pattern := range patterns {
		found, err := filepath.Glob("/etc/" + pattern)
		if err != nil {
			continue // the patterns are constants
		}
		for _, name := range found {
			if real, err := filepath.EvalSymlinks(name); err == nil {
				mounts = append(mounts, spec.Mount{Host: real, Inside: name, Mode: spec.ReadOnly})
			}
		}
	}
	return mounts
}

// tidy removes the private directories of a launch that is over.
func (pl *plan) tidy() error {
	if pl.group != nil {
		return errors.Join(pl.group.remove(), pl.tidyPrivate())
	}
	return pl.tidyPrivate()
}

func (pl *plan) tidyPrivate() error {
	if pl.private == "" || os.RemoveAll(pl.private) == nil {
		return nil
	}
	err := filepath.WalkDir(pl.private, func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(name, 0o700) // the payload took its own permissions away
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(pl.private)
}

// attributes start the launcher the way the back-end needs. Where there is no namespace it gets a session of
// its own, which marks what it started.
func attributes(pl *plan, without uintptr) *syscall.SysProcAttr {
	switch {
	case onHost(pl.spec.Backend):
		return &syscall.SysProcAttr{Setsid: true}
	case pl.spec.Network == spec.NetworkHost:
		without |= unix.CLONE_NEWNET
	}
	return spec.Namespaces(without)
}

// wanted are the refusals that a report must show, by back-end.
func wanted(pl *plan, rep *spec.Report) []string {
	want := []string{
		"unshare_refused", "mount_refused", "af_alg_refused", "setid_refused", "capabilities_empty",
		"terminal_left", "state_hidden", "system_write_refused",
	}
	if pl.spec.Network != spec.NetworkHost {
		want = append(want, "egress_refused")
	}
	switch {
	case pl.spec.Backend == spec.None:
		return nil
	case pl.spec.Backend == spec.Landlock:
		want = append(want, "home_closed", "unix_connect_refused", "shared_memory_refused", "modes_refused", "processors_held")
		if rep.Features.Scopes {
			want = append(want, "signals_refused")
		}
	default:
		want = append(want, "home_replaced", "host_processes_hidden", "limits_held")
	}
	switch pl.tree {
	case "":
	case treeReadOnly:
		want = append(want, "tree_sealed")
	default:
		want = append(want, "tree_writable")
	}
	return want
}

// describe completes the vector with what depends on the back-end.
func describe(e *spec.Enforced, pl *plan, rep *spec.Report) {
	e.Backend = pl.spec.Backend
	e.Proc.Orphans = orphansNamespace
	if pl.wrapper != nil {
		e.Bubblewrap = pl.wrapper.version + " sha256:" + pl.wrapper.digest
		e.Shortfall = append(e.Shortfall, "limits.tmp: for each private directory by itself, and without a bound of files")
	}
	if pl.spec.Network == spec.NetworkHost && !rep.Features.Scopes {
		e.Shortfall = append(e.Shortfall, "net: abstract unix sockets of the host can be reached")
	}
	if !onHost(pl.spec.Backend) {
		return
	}
	e.Limits.Tmp = 0
	e.Proc.Orphans = orphansReaper
	switch {
	case pl.spec.Backend == spec.None:
		e.FS.View, e.Net.Mode, e.Proc.Caps, e.Syscalls.Filter = "host", spec.NetworkHost, -1, "none"
		e.Proc.Orphans = orphansBest
		e.Shortfall = append(e.Shortfall, "off: the payload has every right of the daemon's user")
		return
	case !rep.Features.Scopes:
		e.Proc.Orphans = orphansBest
		e.Shortfall = append(e.Shortfall, "proc.signals: the payload can signal the user's other processes")
	}
	if !rep.Features.Notify {
		e.Shortfall = append(e.Shortfall, "fs.modes: modes and times cannot be changed at all: no violation feed to do it")
	}
	e.FS.View = "host, by Landlock rules"
	e.Proc.NestedUserns = "denied" // by the filter
	e.Shortfall = append(e.Shortfall,
		"proc: the machine's processes are visible in /proc, without their memory, environment and files",
		"fs: names, sizes and times of files outside are visible",
		"limits.tmp: the private directories lie on the disk, without a bound",
	)
}

// addNetworkFiles shows how the host finds names, where its network is shared.
func (p *planner) addNetworkFiles(r Request) error {
	if r.Policy.Network.Mode != spec.NetworkHost || onHost(p.spec.Backend) {
		return nil
	}
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"} {
		if real, err := filepath.EvalSymlinks(name); err == nil {
			p.spec.Mounts = append(p.spec.Mounts, spec.Mount{Host: real, Inside: name, Mode: spec.ReadOnly})
		}
	}
	return nil
}
