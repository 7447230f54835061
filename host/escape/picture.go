package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// entry is one file as it was, with all that is needed to make it so again.
type entry struct {
	mode  fs.FileMode
	links uint64
	data  string
	ino   uint64
}

// picture is what lies on the disk.
type picture map[string]entry

// look takes a picture of the world, of the files that are elsewhere, and of settings of the machine.
func (w *world) look() (picture, error) {
	p := make(picture)
	for _, root := range append([]string{w.outer}, w.elsewhere()...) {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				p[name] = entry{mode: fs.ModeIrregular, data: err.Error()}
				return nil
			case d.IsDir() && (name == w.target.State+"/sandbox" || name == w.handlingDir()):
				return fs.SkipDir // the sandbox's own, the host's own
			case strings.HasPrefix(d.Name(), ".drawspan-canary-"):
				return nil
			}
			return p.add(name)
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/user/max_user_namespaces"} {
		text, err := os.ReadFile(name)
		if err == nil {
			p[name] = entry{data: string(text)}
		}
	}
	return p, nil
}

// elsewhere are places outside of the world where a probe leaves something when it gets through.
func (w *world) elsewhere() []string {
	places := []string{"/usr/planted", "/etc/planted", "/planted", "/run/planted"}
	for _, f := range w.tmp {
		places = append(places, f, f+".planted")
	}
	return places
}

func (p picture) add(name string) error {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return nil // gone meanwhile
	}
	info, err := os.Lstat(name)
	if err != nil {
		return nil // gone meanwhile
	}
	e := entry{mode: info.Mode(), ino: st.Ino}
	switch {
	case info.Mode().IsRegular():
		e.links = st.Nlink
		if info.Size() > 1<<20 {
			e.data = fmt.Sprintf("%d bytes", info.Size())
			break
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		e.data = string(text)
	case info.Mode()&fs.ModeSymlink != 0:
		if e.data, err = os.Readlink(name); err != nil {
			return err
		}
	}
	p[name] = e
	return nil
}

// inside reports what belongs to the attempt, which may change it as it likes.
func (w *world) inside(name string) bool {
	t := w.target
	if name == t.Tree+"/.git" {
		return false
	}
	for _, protected := range w.git.Protect {
		if name == protected || strings.HasPrefix(name, protected+"/") {
			return false
		}
	}
	return strings.HasPrefix(name, t.Tree+"/") || strings.HasPrefix(name, t.Shadow+"/")
}

// changes lists what is different from before, where nothing may be.
func (w *world) changes(now picture) []string {
	var list []string
	for name, was := range w.before {
		is, ok := now[name]
		switch {
		case w.inside(name):
		case !ok:
			list = append(list, name+" is gone")
		case is.data != was.data:
			list = append(list, name+" has other contents")
		case is.mode != was.mode:
			list = append(list, fmt.Sprintf("%s has mode %v", name, is.mode))
		case is.links > was.links:
			list = append(list, name+" has another name")
		case is.ino != was.ino && is.ino != 0:
			list = append(list, name+" is another file")
		}
	}
	for name := range now {
		if _, ok := w.before[name]; !ok && !w.inside(name) {
			list = append(list, name+" is new")
		}
	}
	list = append(list, w.dangerous(now)...)
	slices.Sort(list)
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], w.outer+"/w", "")
	}
	return list
}

// dangerous finds what must not even be in the tree: the host's disk keeps it.
func (w *world) dangerous(now picture) []string {
	var list []string
	for name, is := range now {
		if !w.inside(name) {
			continue
		}
		if is.mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeDevice) != 0 {
			list = append(list, fmt.Sprintf("%s has mode %v", name, is.mode))
		}
		for _, attribute := range []string{"security.capability", "security.ima", "trusted.overlay.redirect"} {
			if n, err := unix.Lgetxattr(name, attribute, nil); err == nil && n > 0 {
				list = append(list, name+" has "+attribute)
			}
		}
	}
	return list
}

// restore makes everything as it was.
func (w *world) restore(now picture) error {
	var all []error
	for name := range now {
		if _, ok := w.before[name]; !ok && !strings.HasPrefix(name, "/proc/") {
			all = append(all, removeAll(name))
		}
	}
	for _, name := range sortedNames(w.before) {
		was, is := w.before[name], now[name]
		if strings.HasPrefix(name, "/proc/") || was == is || was.mode&fs.ModeSocket != 0 {
			continue
		}
		all = append(all, was.make(name))
	}
	for name, was := range w.before { // a file that was made again is another one now
		if is := (picture{}); was.data != "" && !strings.HasPrefix(name, "/proc/") && is.add(name) == nil {
			w.before[name] = is[name]
		}
	}
	again, err := w.look()
	if err == nil {
		w.before = again
	}
	return errors.Join(append(all, err)...)
}

func sortedNames(p picture) []string {
	names := make([]string, 0, len(p))
	for n := range p {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (e entry) make(name string) error {
	if e.mode.IsDir() {
		if info, err := os.Lstat(name); err == nil && info.IsDir() {
			return os.Chmod(name, e.mode.Perm())
		}
		return errors.Join(removeAll(name), os.MkdirAll(name, e.mode.Perm()))
	}
	if err := removeAll(name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if e.mode&fs.ModeSymlink != 0 {
		return os.Symlink(e.data, name)
	}
	if err := os.WriteFile(name, []byte(e.data), 0o600); err != nil {
		return err
	}
	return os.Chmod(name, e.mode.Perm())
}
