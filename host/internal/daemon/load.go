package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/policy"
	"github.com/drawspan/drawspan/host/internal/work"
)

// loaded is a configuration in force, with what was made of it.
type loaded struct {
	cfg    *config.Config
	policy *work.Policy
	lock   *pluginlock.File
	at     time.Time
}

// load reads configuration and lock file and compiles them. All diagnostics come in one error.
func load(o Options) (*loaded, error) {
	lock, err := readLock(o)
	if err != nil {
		return nil, err
	}
	return compile(o, o.Source, lock)
}

// compile makes a policy of what a source holds, with the plugins that are locked.
func compile(o Options, source config.Source, lock *pluginlock.File) (*loaded, error) {
	source.Attributes = func(kind, plugin string) ([]config.Attribute, bool) { return attributesOf(lock, kind, plugin) }
	source.Plugins = lock.Names
	source.Operations = grantable()
	cfg, diags := config.Load(source)
	if diags.HasErrors() {
		return nil, &diagnosed{Fault: fault.From(diags.Err()), Diagnostics: diags}
	}
	host := o.Host
	host.Socket = o.Socket
	compiled, more := policy.Compile(cfg, host)
	if more.HasErrors() {
		return nil, &diagnosed{Fault: fault.From(more.Err()), Diagnostics: append(diags, more...)}
	}
	for _, ex := range compiled.Executors {
		if entry, ok := lock.Find("executor", ex.Plugin); ok {
			ex.Simulated = entry.Simulated
			drives(ex, entry)
		}
	}
	for _, ws := range compiled.Workspaces {
		for i := range ws.Gates {
			known(&ws.Gates[i], lock)
		}
	}
	return &loaded{cfg: cfg, policy: compiled, lock: lock, at: time.Now().UTC()}, nil
}

// grantable are the operations that a client on this machine can be granted.
func grantable() []string {
	var names []string
	for _, o := range api.Operations() {
		if o.Surfaces.Has(api.Local) {
			names = append(names, string(o.Name))
		}
	}
	return names
}

// known fills in what the lock file knows of a gate's validator.
func known(rule *work.GateRule, lock *pluginlock.File) {
	if rule.Validator == "" || rule.Builtin {
		return
	}
	if entry, ok := lock.Find("validator", rule.Validator); ok {
		rule.Digest, rule.Feeds, rule.Pure, rule.Resident = entry.Digest(), slices.Clone(entry.Nature.Feeds), entry.Nature.Pure, entry.Nature.Resident
	}
}

// Validate reads a configuration as the daemon would, and changes nothing.
func Validate(o Options) (*config.Config, config.Diagnostics, error) {
	l, err := load(o)
	if diags := Diagnostics(err); diags != nil {
		return nil, diags, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return l.cfg, nil, nil
}

// LockPath is where the lock file of these options is.
func LockPath(o Options) string {
	if o.Lock != "" || len(o.Source.Paths) == 0 {
		return o.Lock
	}
	first := o.Source.Paths[0]
	if !filepath.IsAbs(first) {
		first = filepath.Join(o.Source.Dir, first)
	}
	if info, err := os.Stat(first); err == nil && info.IsDir() {
		return filepath.Join(first, LockName)
	}
	return filepath.Join(filepath.Dir(first), LockName)
}

// readLock reads the lock file; one that is not there locks nothing.
func readLock(o Options) (*pluginlock.File, error) {
	path := LockPath(o)
	if path == "" {
		return &pluginlock.File{}, nil
	}
	return pluginlock.Read(path)
}

// configView is the effective configuration as plain data.
func configView(cfg *config.Config) json.RawMessage { return cfg.Effective() }
