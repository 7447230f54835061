package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Limits where the policy names none.
const (
	defaultProcesses = 1024
	defaultOpenFiles = 4096
	defaultFileSize  = 4 << 30
	defaultTmp       = 512 << 20
)

// plan is one launch, worked out and checked, before anything is started.
type plan struct {
	policy *work.SandboxPolicy
	spec   spec.Spec
	tree   string // the tree's mode, "" without one
	git    bool   // the tree has a shadow git directory
	creds  []spec.Cred
	// Labels of what is attached, for the record: no host paths.
	rw, ro, overlay []string
	protected       []string // what stays read-only in a writable tree
	notes           []string // what was asked for and is not given
	unmet           []string // the same, where the policy declares it: a shortfall
	wrapper         *bubblewrap
	group           *cgroup // nil where limits are watched; tidy removes it
	private         string  // the directory of this launch, where it has no view; tidy removes it
}

// planner collects the mounts of one plan.
type planner struct {
	*plan
	sandbox *Sandbox
	taken   map[string]string // inside path -> mode
}

func (s *Sandbox) plan(ctx context.Context, r Request) (*plan, error) {
	if err := checkRequest(r); err != nil {
		return nil, err
	}
	backend, err := s.choose(ctx, r.Policy)
	if err != nil {
		return nil, err
	}
	p := &planner{
		plan:    &plan{policy: r.Policy, tree: r.Tree.Mode, git: r.Git != nil, creds: creds(r.Secrets)},
		sandbox: s,
		taken:   make(map[string]string),
	}
	p.rw = []string{"tmp", "home"}
	p.ro = []string{"system", "etc"}
	p.spec = spec.Spec{
		UID: os.Geteuid(), GID: os.Getegid(),
		Hostname: hostname, System: s.system, Etc: s.ground.etc, Home: insideHome,
		Mounts:  slices.Clone(s.ground.etcMounts),
		Scratch: cmp.Or(r.Policy.Tmp, defaultTmp),
		Backend: backend, Network: cmp.Or(r.Policy.Network.Mode, spec.NetworkNone), Calls: r.Policy.Calls,
		Limits: spec.Limits{
			Processes: cmp.Or(r.Policy.Processes, defaultProcesses),
			OpenFiles: cmp.Or(r.Policy.OpenFiles, defaultOpenFiles),
			FileSize:  cmp.Or(r.Policy.FileSize, defaultFileSize),
			Memory:    r.Policy.Memory, Disk: r.Policy.Disk,
			CPUs: r.Policy.CPUs, CPUTimeMS: r.Policy.CPUTime.Milliseconds(),
		},
		Probe: spec.Probe{
			StateCanary: s.ground.stateCanary, HomeCanary: s.ground.homeCanary,
			Home: s.home, HomeDev: s.homeID.dev, HomeIno: s.homeID.ino,
		},
		Program: r.Program != nil,
		Path:    r.Path,
		Argv:    r.Argv,
		Dir:     cmp.Or(r.Dir, treeDir(r.Tree), "/"),
	}
	if len(p.spec.Argv) == 0 {
		p.spec.Argv = []string{cmp.Or(r.Path, "program")}
	}
	for _, add := range []func(Request) error{
		p.addTree, p.addGit, p.addProtected, p.addBinds, p.addToolchains, p.addReads, p.addWrites, p.addSecrets, p.checkCalls,
		p.addNetworkFiles, p.checkGateway,
	} {
		if err := add(r); err != nil {
			return nil, err
		}
	}
	p.spec.Env = environment(r)
	for _, adapt := range []func(Request) error{p.placeOnHost, p.placeWrapped} {
		if err := adapt(r); err != nil {
			return nil, errors.Join(err, p.tidy())
		}
	}
	slices.SortFunc(p.spec.Mounts, func(a, b spec.Mount) int { return strings.Compare(a.Inside, b.Inside) })
	return p.plan, nil
}

// checkRequest refuses what no launch can mean.
func checkRequest(r Request) error {
	switch {
	case r.Policy == nil:
		return fault.New(fault.InvalidRequest, "a launch without a sandbox policy")
	case !spec.AtLeast(r.Policy.Level, spec.LevelOff):
		return fault.New(fault.ConfigInvalid, "%q is not a sandbox level", r.Policy.Level).At(r.Policy.Declared)
	case (r.Program == nil) == (r.Path == ""):
		return fault.New(fault.InvalidRequest, "a launch needs either a program or a path")
	case r.Dir != "" && !cleanAbsolute(r.Dir):
		return fault.New(fault.InvalidRequest, "the working directory %q is not a clean absolute path", r.Dir)
	}
	for _, text := range append(append([]string{r.Path}, r.Argv...), r.Env...) {
		if strings.ContainsRune(text, 0) {
			return fault.New(fault.InvalidRequest, "an argument or variable holds a zero byte")
		}
	}
	return nil
}

func treeDir(t Tree) string {
	if t.Mode == "" {
		return ""
	}
	return t.Path
}

func (p *planner) addTree(r Request) error {
	t := r.Tree
	m := spec.Mount{Host: t.Path, Inside: t.Path, Dev: t.Dev, Ino: t.Ino, Tree: true}
	switch t.Mode {
	case "":
		return nil
	case TreeWritable:
		m.Mode = spec.Writable
		p.rw = append(p.rw, "worktree")
	case TreeOverlay:
		m.Mode = spec.Overlay
		p.overlay = append(p.overlay, "worktree")
	default:
		return fault.New(fault.InvalidRequest, "%q is not a mode of a tree", t.Mode)
	}
	if !cleanAbsolute(t.Path) {
		return fault.New(fault.TreeRefused, "the tree is not a clean absolute path").At(t.Path)
	}
	if t.Ino == 0 {
		id, err := identify(t.Path)
		if err != nil {
			return fault.Wrap(err, fault.TreeRefused, "the tree cannot be opened").At(t.Path)
		}
		m.Dev, m.Ino = id.dev, id.ino
	}
	return p.add(m)
}

func (p *planner) addBinds(r Request) error {
	for i, b := range r.Binds {
		m, err := p.resolve(b.Host, cmp.Or(b.Inside, b.Host))
		if err != nil {
			return err
		}
		if b.Ino != 0 && (m.Dev != b.Dev || m.Ino != b.Ino) {
			return fault.New(fault.ProgramChanged, "what was looked at is not there any more").At(b.Host).Fix("try again")
		}
		m.Mode = b.Mode
		label := cmp.Or(b.Label, fmt.Sprintf("bind %d", i+1))
		switch b.Mode {
		case spec.ReadOnly:
			p.ro = append(p.ro, label)
		case spec.Writable:
			p.rw = append(p.rw, label)
		case spec.Overlay:
			p.overlay = append(p.overlay, label)
		default:
			return fault.New(fault.InvalidRequest, "%q is not a mode of a bind", b.Mode)
		}
		if err := p.checkInTree(m, r.Tree); err != nil {
			return err
		}
		if err := p.add(m); err != nil {
			return err
		}
	}
	return nil
}

// checkInTree refuses a bind that would have to be made in the writable tree, where it would stay.
func (p *planner) checkInTree(m spec.Mount, t Tree) error {
	if t.Mode != TreeWritable || !within(m.Inside, t.Path) {
		return nil
	}
	if _, err := os.Lstat(m.Inside); err != nil {
		return fault.New(fault.InvalidRequest, "there is nothing in the tree to bind over").At(m.Inside)
	}
	return nil
}

func (p *planner) addToolchains(r Request) error {
	for _, t := range r.Policy.Toolchains {
		label := "toolchain " + t.Name
		for _, host := range t.Read {
			if err := p.addRead(host, label); err != nil {
				return err
			}
		}
		for _, host := range t.Overlay {
			if err := p.addCache(host, label); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *planner) addReads(r Request) error {
	for i, host := range r.Policy.Read {
		if err := p.addRead(host, fmt.Sprintf("read %d", i+1)); err != nil {
			return err
		}
	}
	return nil
}

// addRead attaches a declared path read-only, unless the view shows it already.
func (p *planner) addRead(host, label string) error {
	m, err := p.resolve(host, host)
	if err != nil {
		return err
	}
	if err := p.checkDeclared(m); err != nil {
		return err
	}
	p.ro = append(p.ro, label)
	if p.shown(m) {
		return nil
	}
	m.Mode = spec.ReadOnly
	return p.add(m)
}

// shown reports that a system mount shows the path already.
func (p *planner) shown(m spec.Mount) bool {
	return m.Host == m.Inside && slices.ContainsFunc(p.spec.System, func(s spec.Mount) bool {
		return s.Mode == spec.ReadOnly && within(m.Host, s.Host)
	})
}

// addCache attaches a directory with a throw-away layer. One that does not exist is empty.
func (p *planner) addCache(host, label string) error {
	p.overlay = append(p.overlay, label)
	m := spec.Mount{Inside: host, Mode: spec.Overlay, Empty: true}
	if _, err := os.Stat(host); err == nil || !os.IsNotExist(err) {
		if m, err = p.resolve(host, host); err != nil {
			return err
		}
		if err := p.checkDeclared(m); err != nil {
			return err
		}
		m.Mode = spec.Overlay
	}
	return p.add(m)
}

// resolve finds what a path names now and pins it.
func (p *planner) resolve(host, inside string) (spec.Mount, error) {
	if !cleanAbsolute(host) {
		return spec.Mount{}, fault.New(fault.ConfigInvalid, "not a clean absolute path").At(host)
	}
	real, err := filepath.EvalSymlinks(host)
	if err != nil {
		return spec.Mount{}, fault.Wrap(err, fault.ConfigInvalid, "a path of the sandbox cannot be opened").
			At(host).Fix("make it, or remove it from the sandbox block %s", p.policy.Name)
	}
	id, err := identify(real)
	if err != nil {
		return spec.Mount{}, fault.Wrap(err, fault.ConfigInvalid, "a path of the sandbox cannot be opened").At(host)
	}
	return spec.Mount{Host: real, Inside: inside, Dev: id.dev, Ino: id.ino}, nil
}

// add takes one mount, and refuses places and sources that would break the view.
func (p *planner) add(m spec.Mount) error {
	if !cleanAbsolute(m.Inside) || reserved(m.Inside) {
		return fault.New(fault.ConfigInvalid, "the sandbox has its own %s", m.Inside).At(m.Inside)
	}
	if m.Host != "" && p.sandbox.exposes(m.Host) {
		return fault.New(fault.ConfigInvalid, "it would show the home or the state directory inside the sandbox").
			At(m.Host).Fix("name the directory below it that is needed")
	}
	mode, ok := p.taken[m.Inside]
	switch {
	case ok && m.Mode == spec.ReadOnly:
		return nil // it is there already, with more rights
	case ok && mode == spec.ReadOnly:
		p.spec.Mounts = slices.DeleteFunc(p.spec.Mounts, func(o spec.Mount) bool { return o.Inside == m.Inside })
	case ok:
		return fault.New(fault.ConfigInvalid, "the sandbox is told twice what to put there").At(m.Inside)
	}
	p.taken[m.Inside] = m.Mode
	p.spec.Mounts = append(p.spec.Mounts, m)
	return nil
}

// checkDeclared keeps a policy from naming anything of the daemon's own, and anything else than what its
// path named when the configuration was checked: who may write to a directory could put a link there.
func (p *planner) checkDeclared(m spec.Mount) error {
	if m.Host != m.Inside {
		return fault.New(fault.ConfigInvalid, "%s leads through a symbolic link to %s, which the configuration does not name", m.Inside, m.Host).
			At(p.policy.Declared).Fix("remove the link, or name where it leads and reload")
	}
	if within(m.Host, p.sandbox.stateDir) {
		return fault.New(fault.ConfigInvalid, "a sandbox cannot be given the daemon's own files").At(m.Host)
	}
	var st unix.Stat_t
	if err := unix.Stat(m.Host, &st); err != nil {
		return fault.Wrap(err, fault.ConfigInvalid, "a path of the sandbox cannot be opened").At(m.Host)
	}
	switch fs.FileMode(st.Mode & unix.S_IFMT) {
	case unix.S_IFDIR, unix.S_IFREG:
		return nil
	}
	return fault.New(fault.ConfigInvalid, "neither a file nor a directory").At(m.Host)
}

// exposes reports that a mount of path would show the operator's home, the state directory or what the
// sandbox keeps there.
func (s *Sandbox) exposes(path string) bool {
	return within(s.stateDir, path) || s.home != "" && within(s.home, path) ||
		within(path, filepath.Dir(s.ground.dir))
}

// reserved reports the places that belong to the view itself.
func reserved(inside string) bool {
	for _, dir := range []string{"/proc", "/dev", "/etc", "/sys"} {
		if within(inside, dir) {
			return true
		}
	}
	return slices.Contains([]string{
		"/", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
		"/tmp", "/var", "/var/tmp", "/run", "/home", insideHome,
	}, inside)
}

func cleanAbsolute(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path
}
