package sandbox

import (
	"context"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Options say where things are.
type Options struct {
	Launcher string // path of drawspan-sandbox; read once, run from a sealed copy
	StateDir string // never visible inside
	Home     string // the operator's home; never visible inside
	Log      hclog.Logger
}

// Sandbox launches confined processes.
type Sandbox struct{ opts Options }

// Process is one launch.
type Process struct{}

// New prepares launches.
func New(o Options) (*Sandbox, error) { return nil, fault.New(fault.NotSupported, "not built yet") }

// Close removes what New prepared.
func (s *Sandbox) Close() error { return nil }

// Launch starts one confined process.
func (s *Sandbox) Launch(ctx context.Context, r Request) (*Process, error) {
	return nil, fault.New(fault.NotSupported, "not built yet")
}

// Try tries every feature for real.
func (s *Sandbox) Try(ctx context.Context) []Check { return nil }

// Enforced is the vector to record.
func (p *Process) Enforced() spec.Enforced { return spec.Enforced{} }

// Level is the enforced level.
func (p *Process) Level() string { return "" }

// PID is the launcher's process id on the host.
func (p *Process) PID() int { return 0 }

// Done is closed when no process of the launch is alive.
func (p *Process) Done() <-chan struct{} { return nil }

// Exit is how the payload ended; it blocks until Done is closed.
func (p *Process) Exit() Exit { return Exit{} }

// Violations is how many refusals the kernel reported so far.
func (p *Process) Violations() int64 { return 0 }

// Signal signals the payload's main process.
func (p *Process) Signal(sig unix.Signal) error { return nil }

// SignalAll signals every process of the launch.
func (p *Process) SignalAll(sig unix.Signal) error { return nil }

// Kill ends the launch and proves it.
func (p *Process) Kill(ctx context.Context) (work.Death, error) { return work.Death{}, nil }
