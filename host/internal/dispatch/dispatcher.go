package dispatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Options of a Dispatcher.
type Options struct {
	Record    Record
	Trees     Trees
	Plugins   Plugins
	Provision provision.Host // nil: workspaces that prepare their trees cannot be worked in
	Artifacts Artifacts
	Journals  Journals
	Panel     *panel.Panel // judges what attempts leave
	Policy    *work.Policy
	Version   string // the daemon's, for result.json
	Now       func() time.Time
	Wake      func(key string) // told the id of every step, run and attempt that changed
	Log       hclog.Logger
	// ShutdownGrace is how long live attempts may go on when the daemon stops, before they are cancelled. One that
	// waits for a person is cancelled at once: nobody can answer any more.
	ShutdownGrace time.Duration
}

// Dispatcher drives all runs of one daemon. Run must be called once; requests are taken from the moment
// it has recovered.
type Dispatcher struct {
	opt    Options
	policy atomic.Pointer[work.Policy]
	slots  *slots
	ports  provision.Ports
	caches provision.Caches
	group  sync.WaitGroup

	tasks   chan func(ctx context.Context) // taken by Run; see start
	stopped chan struct{}
	ended   chan struct{} // one slot: an attempt has ended

	mu      sync.Mutex
	runs    map[string]*runQueue
	live    map[string]*control           // by attempt id
	pending map[string]chan work.Approval // open approvals of live attempts, by id
	closing map[string]bool               // runs that are being cancelled
}

// control is how others reach a live attempt.
type control struct {
	stepID string
	cancel context.CancelCauseFunc
	stage  *Stage // of its tree's preparation; nil otherwise
}

// New makes a Dispatcher.
func New(o Options) *Dispatcher {
	d := &Dispatcher{
		opt: o, slots: newSlots(), tasks: make(chan func(context.Context)), stopped: make(chan struct{}), ended: make(chan struct{}, 1),
		runs: map[string]*runQueue{}, live: map[string]*control{}, pending: map[string]chan work.Approval{},
		closing: map[string]bool{},
	}
	d.policy.Store(o.Policy)
	return d
}

// Policy is the policy in force.
func (d *Dispatcher) Policy() *work.Policy { return d.policy.Load() }

// SetPolicy puts a new policy in force for everything that begins from now on. Live attempts keep the
// one they started under.
func (d *Dispatcher) SetPolicy(p *work.Policy) { d.policy.Store(p); d.slots.wake() }

// Live is the number of live attempts.
func (d *Dispatcher) Live() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.live)
}

// Stop causes of attempts.
var (
	errCancel   = errors.New("cancel")
	errShutdown = errors.New("shutdown")
	errWall     = errors.New("wall")
	errOutput   = errors.New("output")
	errLimit    = errors.New("limit")        // of the sandbox; the cause has its code
	errBudget   = errors.New("model budget") // of the gateway; so has this
)

// stopCause is why an attempt is being stopped, with who asked.
type stopCause struct {
	kind   error  // one of the causes above
	code   string // of errLimit and errBudget: which one
	actor  work.Actor
	reason string
}

func (s *stopCause) Error() string {
	if s.code != "" {
		return s.code
	}
	return s.kind.Error()
}
func (s *stopCause) Unwrap() error { return s.kind }

func shutdown() *stopCause {
	return &stopCause{kind: errShutdown, actor: daemonActor(), reason: "the daemon stops"}
}

// daemonActor is who acts when no caller did.
func daemonActor() work.Actor { return work.Actor{Kind: "daemon", ID: "drawspan"} }

// Recover puts the record right after the last daemon: every live attempt is recorded as lost, open
// questions of dead attempts are closed, cut-off steps end, and holds get their deadlines back. It must
// be called before Run and before any listener opens.
func (d *Dispatcher) Recover(ctx context.Context) error { return d.recover(ctx) }

// Run drives until ctx ends, then cancels what is live, waits for every proof, and returns.
func (d *Dispatcher) Run(ctx context.Context) error {
	base, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	err := d.resume(ctx, base)
	for err == nil && ctx.Err() == nil {
		select {
		case task := <-d.tasks:
			d.group.Go(func() { task(base) })
		case <-ctx.Done():
		}
	}
	close(d.stopped)
	d.drain()
	d.mu.Lock()
	for _, c := range d.live {
		c.cancel(shutdown())
	}
	d.mu.Unlock()
	stop(errShutdown)
	d.group.Wait()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // told to stop before it had looked around
	}
	return err
}

// drain waits for live attempts to end by themselves, within the grace. No further step is taken.
func (d *Dispatcher) drain() {
	over := time.NewTimer(d.opt.ShutdownGrace)
	defer over.Stop()
	for d.Live() > 0 {
		select {
		case <-d.ended:
		case <-over.C:
			return
		}
	}
}

// start runs a task in the dispatcher's group, with the context that ends at shutdown. It reports false
// when the dispatcher stops. It must not be called with d.mu held.
func (d *Dispatcher) start(task func(ctx context.Context)) bool {
	select {
	case d.tasks <- task:
		return true
	case <-d.stopped:
		return false
	}
}

func (d *Dispatcher) now() time.Time { return d.opt.Now().UTC() }

func (d *Dispatcher) wake(ids ...string) {
	for _, id := range ids {
		if id != "" {
			d.opt.Wake(id)
		}
	}
}
