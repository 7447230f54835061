package loader

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Launcher starts confined processes. Sandboxed makes one of a sandbox.
type Launcher interface {
	Launch(ctx context.Context, r sandbox.Request) (Process, error)
}

// Process is one confined launch.
type Process interface {
	Enforced() json.RawMessage // what was enforced, not what was wished
	Level() string
	PID() int              // on the host, of the launch's first process
	Done() <-chan struct{} // closed when no process of the launch is alive
	Exit() sandbox.Exit    // of the plugin itself; blocks until Done
	Violations() int64
	Signal(unix.Signal) error    // the plugin
	SignalAll(unix.Signal) error // all processes of the launch
	Kill(ctx context.Context) (work.Death, error)
}

// samePaths is a Launcher some of whose launches have no view of their own.
type samePaths interface {
	SamePaths(ctx context.Context, p *work.SandboxPolicy) bool
}

// insideOf is where a launch sees its socket directory; "" is the host's path.
func (l *Loader) insideOf(ctx context.Context, p *work.SandboxPolicy) string {
	if s, ok := l.opts.Launch.(samePaths); ok && s.SamePaths(ctx, p) {
		return ""
	}
	return l.inside
}

// Sandboxed launches in a sandbox.
func Sandboxed(s *sandbox.Sandbox) Launcher { return sandboxed{s} }

type sandboxed struct{ s *sandbox.Sandbox }

func (l sandboxed) SamePaths(ctx context.Context, p *work.SandboxPolicy) bool {
	return l.s.SamePaths(ctx, p)
}

func (l sandboxed) Launch(ctx context.Context, r sandbox.Request) (Process, error) {
	p, err := l.s.Launch(ctx, r)
	if err != nil {
		return nil, err
	}
	enforced, err := json.Marshal(p.Enforced())
	if err != nil {
		return nil, fmt.Errorf("encode the enforced vector: %w", err)
	}
	return confined{p, enforced}, nil
}

type confined struct {
	*sandbox.Process
	enforced json.RawMessage
}

func (c confined) Enforced() json.RawMessage { return c.enforced }

// Program is a program of the operator's machine that a plugin drives, and what has to be shown of it.
type Program struct {
	Installed sdk.Installed
	Identity  work.ProgramIdentity
	Shown     []sandbox.Bind
	Search    []string // directories that come first in PATH
}

// Launch is one plugin to start.
type Launch struct {
	Kind        string // "executor" or "validator"
	Name        string // as the configuration names it: "command"
	Config      json.RawMessage
	Policy      *work.SandboxPolicy
	Tree        string       // the worktree; "" for none
	Mode        string       // sandbox.TreeWritable or sandbox.TreeOverlay
	Dev, Ino    uint64       // the tree's pinned identity
	Git         *sandbox.Git // the tree's git directory, nil for none
	BaseTree    string       // a second tree, read-only at its own path; "" for none
	AttemptID   string       // for the log
	Secrets     []sandbox.Secret
	Program     *Program // what the plugin drives; nil for none
	Binds       []sandbox.Bind
	Env         []string // variables for the plugin; those of the protocol cannot be among them
	OnViolation func(sandbox.Violation)
	OnExceeded  func(sandbox.Exceeded) // called before the launch is killed for it
	OnListener  func(net.Listener)     // where the policy's network is a proxy; the callee closes it
	OnGateway   func(net.Listener)     // nil: no gateway; the callee closes it

	describe bool // only to be asked what it is
}

func (l Launch) program() string { return l.Kind + "-" + l.Name }
