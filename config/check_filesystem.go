package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (d *decoder) checkFilesystem(s *Sandbox) {
	for i, written := range s.Read {
		key := fmt.Sprintf("filesystem.read[%d]", i)
		if p, ok := d.hostPath(s, key, written); ok {
			s.Read[i] = p
		}
	}
	for i, written := range s.Write {
		key := fmt.Sprintf("filesystem.write[%d]", i)
		p, ok := d.hostPath(s, key, written)
		if !ok {
			s.Write[i] = "" // nothing below looks at it again
			continue
		}
		s.Write[i] = p
		d.mayWrite(&s.Origin, key, p)
	}
	for i, p := range s.Protect {
		d.checkProtected(s.element("filesystem.protect", i), p)
	}
}

// hostPath is a path of the host that the sandbox may see.
func (d *decoder) hostPath(s *Sandbox, key, written string) (string, bool) {
	p, info, ok := d.existing(&s.Origin, key, written)
	switch {
	case !ok:
		return "", false
	case !info.IsDir() && !info.Mode().IsRegular():
		d.rep.at(s.At(key), problem{code: codeExposed, summary: fmt.Sprintf("%s %s is neither a file nor a directory", key, quoted(p)),
			detail: "A socket, a pipe or a device leads to a program or a machine outside.", hint: "leave it out"})
		return "", false
	}
	return p, d.mayShow(&s.Origin, key, p)
}

// mayShow refuses host paths that no sandbox may see, even when asked to.
func (d *decoder) mayShow(o *Origin, key, p string) bool {
	where := o.At(key)
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run"} {
		if within(p, dir) {
			d.rep.at(where, problem{code: codeExposed, summary: fmt.Sprintf("%s shows %s, a window into the running system", key, dir), hint: "leave it out"})
			return false
		}
	}
	if p == "/" {
		d.rep.at(where, problem{code: codeExposed, summary: key + " shows the whole machine", hint: "name the directories that are needed"})
		return false
	}
	if strings.HasPrefix(d.src.Home, "/") && d.src.Home != "/" && within(resolved(d.src.Home), p) {
		d.rep.at(where, problem{code: codeExposed, summary: fmt.Sprintf("%s shows the whole home directory, keys and tokens included", key), hint: "name the directories in it that are needed"})
		return false
	}
	if within(p, "/etc") || slices.Contains([]string{"/tmp", "/var", "/var/tmp", "/home"}, p) {
		d.rep.at(where, problem{code: codeValue, summary: fmt.Sprintf("%s %s cannot be shown: a sandbox has its own", key, quoted(p)), hint: "name a directory elsewhere, or one inside it"})
		return false
	}
	return d.outsideState(o, key, p)
}

// outsideState refuses a path that contains the state directory or lies in it: the record, the socket,
// every other tree.
func (d *decoder) outsideState(o *Origin, key, p string) bool {
	state := d.state()
	if state == "" || !within(p, state) && !within(state, p) {
		return true
	}
	d.rep.at(o.At(key), problem{code: codeStateOverlap, summary: fmt.Sprintf("%s %s and the state directory %s contain one another", key, quoted(p), quoted(state)), hint: "move one of the two"})
	return false
}

// state is the state directory with symlinks resolved, or "" where it was refused.
func (d *decoder) state() string {
	if !strings.HasPrefix(d.cfg.Daemon.StateDir, "/") {
		return ""
	}
	return resolved(d.cfg.Daemon.StateDir)
}

// startup are places in a home where what is written runs later, outside of every sandbox.
var startup = []string{
	".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin",
	".ssh", ".gnupg", ".gitconfig", ".config/git", ".config/fish", ".config/systemd", ".config/autostart", ".config/environment.d",
	".local/bin", ".local/lib", ".local/libexec", ".local/share/systemd", ".local/share/applications", "bin", ".pam_environment", ".xprofile", ".xinitrc",
}

// mayWrite refuses places where a writer could give itself more than it was given. Workspaces, which are
// not checked yet, come in checkRepositories.
func (d *decoder) mayWrite(o *Origin, key, p string) {
	refuse := func(why, hint string) {
		d.rep.at(o.At(key), problem{code: codeExposed, summary: fmt.Sprintf("%s %s %s", key, quoted(p), why), hint: hint})
	}
	for _, dir := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot"} {
		if within(p, dir) {
			refuse("is part of the system, which every program outside runs from", "name a directory of your own")
			return
		}
	}
	for _, file := range d.sources() {
		if within(file, p) {
			refuse("holds the configuration "+file+", so what runs inside could rewrite its own rules", "name a directory without it")
			return
		}
	}
	if strings.HasSuffix(p, ".hcl") {
		refuse("is a configuration or lock file", "leave it out")
		return
	}
	for _, plugin := range d.cfg.Plugins {
		if dir := plugin.Dir; filepath.IsAbs(dir) && (within(dir, p) || within(p, dir)) {
			refuse("overlaps the directory of "+plugin.block, "name a directory without plugins")
			return
		}
	}
	if !filepath.IsAbs(d.src.Home) {
		return
	}
	for _, name := range startup {
		if place := filepath.Join(resolved(d.src.Home), name); within(p, place) || within(place, p) {
			refuse("reaches ~/"+name+", where what is written runs outside at the next login", "name a directory that only holds data")
			return
		}
	}
}

// sources are the files that this configuration was read from, by both names of each.
func (d *decoder) sources() []string {
	var out []string
	for _, name := range slices.Concat(d.cfg.Files, d.src.VarFiles) {
		full := filepath.Clean(d.absolute(name))
		out = append(out, full, resolved(full), filepath.Join(resolved(filepath.Dir(full)), filepath.Base(full)))
	}
	return out
}

// checkProtected accepts a clean path of the worktree.
func (d *decoder) checkProtected(where Range, p string) {
	switch {
	case !filepath.IsLocal(p) || climbs(p) || clean(p) != p || p == ".":
		d.rep.at(where, problem{code: codeOutside, summary: fmt.Sprintf("%s is not a path inside the worktree", quoted(p)), hint: "write it relative to the worktree, without .."})
	case strings.ContainsAny(p, "*?["):
		d.rep.at(where, problem{code: codeGlob, summary: fmt.Sprintf("%s: protect takes paths, not globs", quoted(p)), hint: "name each file or directory; globs work in paths { forbid = [...] }"})
	case filepath.Clean(p) != p:
		d.rep.at(where, problem{code: codeValue, summary: fmt.Sprintf("%s is not written plainly", quoted(p)), hint: fmt.Sprintf("write %q", filepath.Clean(p))})
	case strings.EqualFold(strings.Split(p, "/")[0], ".git"):
		d.rep.at(where, problem{code: codeNoEffect, summary: ".git is always protected", hint: "leave it out"})
	}
}

// checkRepositories keeps what a sandbox may write to apart from every repository and every secret: what
// is written there would run, or be handed in, outside.
func (d *decoder) checkRepositories() {
	for _, s := range d.cfg.Sandboxes {
		for i, p := range s.Write {
			if p == "" {
				continue
			}
			if why := d.repository(p); why != "" {
				key := fmt.Sprintf("filesystem.write[%d]", i)
				d.rep.at(s.At(key), problem{code: codeRepository, summary: fmt.Sprintf("%s %s %s", key, quoted(p), why),
					detail: "Changes of a repository come back as results that gates judge, and in no other way.", hint: "leave it out; the worktree is writable"})
			}
		}
		for _, c := range s.Credentials {
			d.checkSecretPlace(c)
		}
	}
	for _, g := range d.cfg.Gateways {
		if c := g.Credential(); c != nil {
			d.checkSecretPlace(c)
		}
	}
}

// repository says how a writable path and a repository overlap; "" where they do not.
func (d *decoder) repository(p string) string {
	for _, w := range d.cfg.Workspaces {
		switch {
		case w.Root == "":
		case within(w.Root, p):
			return fmt.Sprintf("is or contains the root of %s", w.block)
		case within(p, w.Root):
			return fmt.Sprintf("lies in %s", w.block)
		}
	}
	home := resolved(d.src.Home)
	for at := p; at != "/" && at != home; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil || filepath.Base(at) == ".git" {
			return fmt.Sprintf("lies in the repository %s", quoted(strings.TrimSuffix(at, "/.git")))
		}
	}
	return ""
}
