package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// addGit attaches the tree's shadow git directory: writable, or with a throw-away layer where the tree
// has one; its configuration, its hooks and the file in the tree that points to it stay read-only.
func (p *planner) addGit(r Request) error {
	g := r.Git
	if g == nil {
		return nil
	}
	if r.Tree.Mode == "" {
		return fault.New(fault.InvalidRequest, "a git directory without a tree")
	}
	if !within(g.Dir, p.sandbox.stateDir) || within(g.Dir, r.Tree.Path) || within(r.Tree.Path, g.Dir) {
		return fault.New(fault.InvalidRequest, "the git directory is not beside the tree").At(g.Dir)
	}
	mode := spec.Writable
	if r.Tree.Mode == TreeOverlay {
		mode = spec.Overlay
	}
	if err := p.attachGit(g.Dir, mode); err != nil {
		return err
	}
	for _, path := range g.Protect {
		if !within(path, g.Dir) || path == g.Dir {
			return fault.New(fault.InvalidRequest, "not a part of the git directory").At(path)
		}
		if err := p.attachGit(path, spec.ReadOnly); err != nil {
			return err
		}
	}
	for _, path := range g.Objects {
		if err := p.attachGit(path, spec.ReadOnly); err != nil {
			return err
		}
	}
	p.protected = append(p.protected, "git pointer", "git configuration")
	return p.attachGit(filepath.Join(r.Tree.Path, ".git"), spec.ReadOnly)
}

// attachGit takes a path as the host made it: no component may be a link.
func (p *planner) attachGit(path, mode string) error {
	if !cleanAbsolute(path) {
		return fault.New(fault.InvalidRequest, "not a clean absolute path").At(path)
	}
	id, err := identify(path)
	if err != nil {
		return fault.Wrap(err, fault.TreeRefused, "the tree's git directory is incomplete").At(path)
	}
	return p.add(spec.Mount{Host: path, Inside: path, Mode: mode, Dev: id.dev, Ino: id.ino, Git: true})
}

// addProtected keeps paths of a writable tree read-only. What is not there has no place that could be
// covered: the gate for sensitive paths sees it made.
func (p *planner) addProtected(r Request) error {
	if r.Tree.Mode != TreeWritable {
		return nil
	}
	for i, name := range r.Policy.Protect {
		if !filepath.IsLocal(name) || filepath.Clean(name) != name || name == "." {
			return fault.New(fault.ConfigInvalid, "%q is not a path below the tree", name).At(r.Policy.Declared)
		}
		label := fmt.Sprintf("protect %d", i+1)
		m, err := pinBelow(r.Tree, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, unix.ELOOP):
			p.notes = append(p.notes, label+": not protected, a symbolic link is in the way")
			continue
		case err != nil:
			return fault.Wrap(err, fault.TreeRefused, "%q of the tree cannot be protected", name).At(r.Policy.Declared)
		}
		m.Mode = spec.ReadOnly
		if err := p.add(m); err != nil {
			return err
		}
		p.protected = append(p.protected, label)
	}
	return nil
}

// pinBelow finds a path of the tree without leaving it and without following a link.
func pinBelow(t Tree, name string) (spec.Mount, error) {
	tree, err := unix.Open(t.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return spec.Mount{}, err
	}
	defer unix.Close(tree)
	fd, err := unix.Openat2(tree, name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err == unix.ENOSYS {
		fd, err = walkBeneath(tree, name)
	}
	if err != nil {
		return spec.Mount{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return spec.Mount{}, err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFREG {
		return spec.Mount{}, errors.New("neither a file nor a directory")
	}
	path := filepath.Join(t.Path, name)
	return spec.Mount{Host: path, Inside: path, Dev: uint64(st.Dev), Ino: st.Ino}, nil
}

// walkBeneath is for machines without openat2: a local path, one component after the other.
func walkBeneath(dir int, local string) (int, error) {
	at := -1
	for _, name := range strings.Split(local, "/") {
		from := dir
		if at >= 0 {
			from = at
		}
		next, err := unix.Openat(from, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if at >= 0 {
			err = errors.Join(err, unix.Close(at))
		}
		if err != nil {
			return -1, err
		}
		at = next
		var st unix.Stat_t
		if err := unix.Fstat(at, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return -1, errors.Join(err, unix.ELOOP, unix.Close(at))
		}
	}
	return at, nil
}

// addWrites attaches what the operator lets an attempt write to outside of its tree.
func (p *planner) addWrites(r Request) error {
	for i, host := range r.Policy.Write {
		m, err := p.resolve(host, host)
		if err != nil {
			return err
		}
		if err := p.checkDeclared(m); err != nil {
			return err
		}
		m.Mode, m.Shared = spec.Writable, true
		p.rw = append(p.rw, fmt.Sprintf("write %d", i+1))
		if err := p.add(m); err != nil {
			return err
		}
	}
	return nil
}

// maxSecrets bounds what travels in one specification.
const maxSecrets = 64 << 10

// addSecrets hands in the files of secrets; variables are set with the environment.
func (p *planner) addSecrets(r Request) error {
	total := 0
	for _, s := range r.Secrets {
		total += len(s.Value)
		switch {
		case s.Deliver != "env" && s.Deliver != "file":
			return fault.New(fault.InvalidRequest, "%q is not a way to deliver a credential", s.Deliver)
		case s.Name == "" || filepath.Base(s.Name) != s.Name || s.Name == "." || s.Name == "..":
			return fault.New(fault.InvalidRequest, "%q is not a name of a credential", s.Name)
		case s.Deliver == "file" && slices.ContainsFunc(p.spec.Secrets, func(o spec.Secret) bool { return o.Name == s.Name }):
			return fault.New(fault.InvalidRequest, "the credential %q is handed in twice", s.Name)
		case s.Deliver == "file":
			p.spec.Secrets = append(p.spec.Secrets, spec.Secret{Name: s.Name, Value: s.Value})
		case slices.Contains(s.Value, 0):
			return fault.New(fault.InvalidRequest, "the credential %q holds a zero byte, which no variable can", s.Name).
				At(r.Policy.Declared).Fix(`say deliver = "file"`)
		}
	}
	if total > maxSecrets {
		return fault.New(fault.TooLarge, "the credentials of one launch exceed %d bytes", maxSecrets).At(r.Policy.Declared)
	}
	return nil
}

// allowableCalls are the only refused system calls that a policy may allow: what debuggers need, within
// the launch. All others reach beyond it, or are kernel code that others were hurt by.
func allowableCalls() []string {
	return []string{"ptrace", "process_vm_readv", "process_vm_writev", "kcmp"}
}

func (p *planner) checkCalls(r Request) error {
	for _, name := range r.Policy.Calls {
		if !slices.Contains(allowableCalls(), name) {
			return fault.New(fault.ConfigInvalid, "the system call %q cannot be allowed", name).At(r.Policy.Declared)
		}
	}
	return nil
}

// creds are the launch's credentials by name.
func creds(secrets []Secret) []spec.Cred {
	var out []spec.Cred
	for _, s := range secrets {
		out = append(out, spec.Cred{Name: s.Name, Deliver: s.Deliver})
	}
	return out
}
