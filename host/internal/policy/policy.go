package policy

import (
	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Host is what Compile may know of the machine; the caller takes it from its environment.
type Host struct {
	Home       string
	Path       string // PATH, searched for the go command
	GoRoot     string // GOROOT, or ""
	GoModCache string // GOMODCACHE, or ""
	GoCache    string // GOCACHE, or ""
	GoPath     string // GOPATH, or ""
	CacheHome  string // XDG_CACHE_HOME, or ""
}

// Change is one difference between two configurations.
type Change struct {
	Block   string // workspace "api"
	Op      string // add, change or remove
	Detail  string
	Widens  bool // gives authority that was not there
	Restart bool // takes effect at the next start only
}

// Compile makes the policy. It is nil when the diagnostics have errors.
func Compile(cfg *config.Config, host Host) (*work.Policy, config.Diagnostics) { return nil, nil }

// Diff lists what changes from one configuration to another, in a stable order.
func Diff(old, next *config.Config) []Change { return nil }
