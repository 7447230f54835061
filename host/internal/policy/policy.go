package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Host is what Compile may know of the machine; the caller takes it from its environment.
type Host struct {
	Home       string
	Path       string // PATH, searched for the go command
	GoRoot     string // GOROOT, or ""
	GoPath     string // GOPATH, or ""
	GoModCache string // GOMODCACHE, or ""
	GoCache    string // GOCACHE, or ""
	CacheHome  string // XDG_CACHE_HOME, or ""
	NpmCache   string // npm_config_cache, or ""
	CargoHome  string // CARGO_HOME, or ""
	RustupHome string // RUSTUP_HOME, or ""
	Socket     string // where the daemon listens, or "" for the state directory
}

// defaultOutput caps the stream of an attempt whose sandbox does not say; every declared one does.
const defaultOutput = 64 << 20

// Compile makes the policy. It is nil when the diagnostics have errors.
func Compile(cfg *config.Config, host Host) (*work.Policy, config.Diagnostics) {
	c := compiler{host: host, sandboxes: map[string]*work.SandboxPolicy{}}
	p := &work.Policy{
		Digest:      digest(cfg),
		Workspaces:  map[string]*work.Workspace{},
		Executors:   map[string]*work.ExecutorDecl{},
		MaxParallel: int(cfg.Daemon.MaxParallel),
		Output:      defaultOutput,
		Stop: work.StopLadder{
			Protocol: cfg.Daemon.StopProtocol, Interrupt: cfg.Daemon.StopInterrupt, Terminate: cfg.Daemon.StopTerminate,
		},
	}
	for _, s := range cfg.Sandboxes {
		c.sandboxes[s.Name] = c.sandbox(s)
	}
	for _, e := range cfg.Executors {
		p.Executors[e.Name] = &work.ExecutorDecl{
			Name: e.Name, Plugin: e.Plugin, Config: slices.Clone(e.Config), Sandbox: c.of(e.Sandbox), Declared: e.Declared(),
			Question:    work.QuestionPolicy{Deadline: e.QuestionDeadline, Default: e.QuestionDefault},
			Permissions: c.permissions(e),
		}
		giveGateway(p.Executors[e.Name], e, cfg.Gateway(e.Gateway))
		if e.Program != "" {
			p.Executors[e.Name].Program = &work.ProgramDecl{Name: e.Program, Declared: e.At("program").String()}
		}
	}
	for _, w := range cfg.Workspaces {
		p.Workspaces[w.Name] = c.workspace(w)
	}
	if c.diags.HasErrors() {
		return nil, c.diags
	}
	return p, c.diags
}

// digest names the effective configuration. Two files that mean the same have the same digest; sensitive
// values are masked first, so it tells nothing of them.
func digest(cfg *config.Config) string {
	sum := sha256.Sum256(cfg.Effective())
	return "sha256:" + hex.EncodeToString(sum[:])
}

type compiler struct {
	host      Host
	sandboxes map[string]*work.SandboxPolicy
	diags     config.Diagnostics
}

// of is an own copy of a compiled sandbox, nil for the name of none.
func (c *compiler) of(name string) *work.SandboxPolicy {
	s := c.sandboxes[name]
	if s == nil {
		return nil
	}
	own := *s
	own.Read, own.Write, own.Protect, own.Env = slices.Clone(s.Read), slices.Clone(s.Write), slices.Clone(s.Protect), maps.Clone(s.Env)
	own.Pass, own.Calls, own.Network.Allow = slices.Clone(s.Pass), slices.Clone(s.Calls), slices.Clone(s.Network.Allow)
	own.Credentials, own.Widenings = slices.Clone(s.Credentials), slices.Clone(s.Widenings)
	own.Toolchains = make([]work.Toolchain, 0, len(s.Toolchains))
	for _, t := range s.Toolchains {
		t.Read, t.Overlay, t.Path, t.Env = slices.Clone(t.Read), slices.Clone(t.Overlay), slices.Clone(t.Path), maps.Clone(t.Env)
		own.Toolchains = append(own.Toolchains, t)
	}
	return &own
}

func (c *compiler) workspace(w *config.Workspace) *work.Workspace {
	out := &work.Workspace{
		Name: w.Name, Root: w.Root, Base: w.Base, Bases: slices.Clone(w.Bases), Executors: slices.Clone(w.Executors),
		Provision: c.provision(w), Wall: w.Wall, Parallel: int(w.MaxParallel), Declared: w.Declared(),
		Paths: work.PathRules{Write: slices.Clone(w.Write), Forbid: slices.Clone(w.Forbid)},
	}
	if !slices.Contains(out.Bases, out.Base) {
		out.Bases = append(out.Bases, out.Base)
	}
	for _, g := range w.Gates {
		out.Gates = append(out.Gates, c.gate(g))
	}
	return out
}
