package cli

import (
	"os"
	"path/filepath"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/policy"
)

// daemonOptions is what this invocation's surroundings mean for a daemon.
func (s *shell) daemonOptions() DaemonOptions {
	o := DaemonOptions{
		Source: s.source(), Host: s.host(), Libexec: s.libexec(), Lock: s.lockPath(), Version: s.version().Version,
		UID: s.io.UID, Stderr: s.io.Err,
	}
	if s.g.socket != "" {
		o.Socket = s.absolute(s.g.socket)
	}
	return o
}

// host is what toolchain presets may see of this machine.
func (s *shell) host() policy.Host {
	env := s.io.Env
	return policy.Host{
		Home: s.io.Home, Path: env("PATH"), GoRoot: env("GOROOT"), GoPath: env("GOPATH"), GoModCache: env("GOMODCACHE"),
		GoCache: env("GOCACHE"), CacheHome: env("XDG_CACHE_HOME"),
		NpmCache: env("npm_config_cache"), CargoHome: env("CARGO_HOME"), RustupHome: env("RUSTUP_HOME"),
	}
}

// libexec are the directories of the launcher and the plugins: DRAWSPAN_LIBEXEC, else lib/drawspan
// beside the program's own directory, as scripts/install lays it out, then that directory itself.
func (s *shell) libexec() []string {
	if v := s.io.Env("DRAWSPAN_LIBEXEC"); v != "" {
		return filepath.SplitList(v)
	}
	if s.io.Program == "" {
		return nil
	}
	bin := filepath.Dir(s.io.Program)
	return []string{filepath.Join(filepath.Dir(bin), "lib", "drawspan"), bin}
}

// pluginDirs are where plugins are looked for: those that the configuration names, then libexec.
func (s *shell) pluginDirs(cfg *config.Config) []string {
	var dirs []string
	if cfg != nil {
		for _, p := range cfg.Plugins {
			dirs = append(dirs, p.Dir)
		}
	}
	return append(dirs, s.libexec()...)
}

// lockPath is the plugin lock file, beside the first configuration file.
func (s *shell) lockPath() string {
	paths := s.configPaths()
	if len(paths) == 0 {
		return ""
	}
	first := s.absolute(paths[0])
	if info, err := os.Stat(first); err == nil && info.IsDir() {
		return filepath.Join(first, pluginlock.FileName)
	}
	return filepath.Join(filepath.Dir(first), pluginlock.FileName)
}

// attributes is the config schema of each locked plugin, for validation.
func attributes(lock *pluginlock.File) func(kind, plugin string) ([]config.Attribute, bool) {
	return func(kind, plugin string) ([]config.Attribute, bool) {
		e, ok := lock.Find(kind, plugin)
		if !ok {
			return nil, false
		}
		all := make([]config.Attribute, len(e.Attributes))
		for i, a := range e.Attributes {
			all[i] = config.Attribute{Name: a.Name, Type: a.Type, Required: a.Required}
		}
		return all, true
	}
}

// judged loads the configuration as a daemon on this machine would, with the schemas of the locked
// plugins and what only this machine can tell. The configuration is nil when there are errors.
func (s *shell) judged() (*config.Config, config.Diagnostics, error) {
	lock, err := s.readLock()
	if err != nil {
		return nil, nil, err
	}
	src := s.source()
	src.Attributes, src.Plugins = attributes(lock), lock.Names
	cfg, diags := config.Load(src)
	if cfg == nil {
		return nil, diags, nil
	}
	_, more := policy.Compile(cfg, s.host())
	diags = append(diags, more...)
	if diags.HasErrors() {
		return nil, diags, nil
	}
	return cfg, diags, nil
}

// readLock reads the lock file; one that is not there locks nothing.
func (s *shell) readLock() (*pluginlock.File, error) {
	path := s.lockPath()
	if path == "" {
		return &pluginlock.File{}, nil
	}
	return pluginlock.Read(path)
}
