package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
)

var pluginName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]+)*$`)

// find opens the program of a plugin in the first directory that has one.
func (l *Loader) find(kind, name string) (*os.File, error) {
	if kind != "executor" && kind != "validator" || !pluginName.MatchString(name) {
		return nil, fault.New(fault.PluginNotFound, "%.80q is not the name of a plugin", kind+"-"+name)
	}
	file := pluginlock.Prefix + kind + "-" + name
	for _, dir := range l.opts.Dirs {
		f, err := os.Open(filepath.Join(dir, file))
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Wrap(err, fault.PluginNotFound, "plugin program %s cannot be opened", file).At(dir)
		}
	}
	return nil, fault.New(fault.PluginNotFound, "no program %s is installed", file).
		At(strings.Join(l.opts.Dirs, ":")).Fix("install it into one of these directories, then run: drawspan plugin lock")
}

// verified is the sealed program of a plugin whose bytes have the digest of the lock file, and the
// entry that says so. The caller releases it.
func (l *Loader) verified(kind, name string) (*seal, pluginlock.Entry, error) {
	l.mu.Lock()
	lock := l.lock
	l.mu.Unlock()
	f, err := l.find(kind, name)
	if err != nil {
		return nil, pluginlock.Entry{}, err
	}
	defer f.Close()
	entry, _ := lock.Find(kind, name)
	want := entry.Digest()
	if want == "" {
		return nil, entry, fault.New(fault.PluginNotLocked, "plugin %s-%s is not in the lock file for %s", kind, name, pluginlock.Platform()).
			At(f.Name()).Fix("if you trust this program, run: drawspan plugin lock")
	}
	s, err := l.sealed(f, want)
	return s, entry, err
}

// sealed is the sealed copy of an opened program. With want it must have that digest, and is kept for
// the next launch; the file is hashed again only when it is not the same any more. The caller releases
// it.
func (l *Loader) sealed(f *os.File, want string) (*seal, error) {
	id, err := identityOf(f)
	if err != nil {
		return nil, fault.Wrap(err, fault.PluginNotFound, "plugin program cannot be used").At(f.Name())
	}
	if s, err := l.cached(f.Name(), id, want); s != nil || err != nil {
		return s, err
	}
	s, err := sealProgram(filepath.Base(f.Name()), f)
	if err != nil {
		return nil, fmt.Errorf("verify plugin program %s: %w", f.Name(), err)
	}
	if want != "" && s.digest != want {
		s.release()
		return nil, fault.New(fault.PluginMismatch, "plugin program is not the one in the lock file: expected %s, found %s", want, s.digest).
			At(f.Name()).Fix("find out who changed it; if you trust this program, run: drawspan plugin lock")
	}
	if err := checkFormat(s.file); err != nil {
		s.release()
		return nil, startFault(filepath.Base(f.Name()), err)
	}
	if want == "" {
		return s, nil
	}
	if err := l.keep(f.Name(), id, s); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// cached is the sealed copy made earlier, if the file has not been touched since.
func (l *Loader) cached(path string, id identity, want string) (*seal, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, hashed := l.seen[path]
	kept, ok := l.seals[want]
	if !hashed || !ok || !before.same(id) || before.digest != want {
		return nil, nil
	}
	return kept.again()
}

// keep keeps a sealed copy for the next launches.
func (l *Loader) keep(path string, id identity, s *seal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	id.digest = s.digest
	l.seen[path] = id
	if _, ok := l.seals[s.digest]; ok {
		return nil
	}
	kept, err := s.again()
	if err != nil {
		return err
	}
	l.seals[s.digest] = kept
	return nil
}
