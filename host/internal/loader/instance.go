package loader

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

// Instance is one running plugin.
type Instance struct {
	loader   *Loader
	launch   Launch
	log      hclog.Logger
	room     *room
	process  Process
	stderr   *tailLog
	link     *link
	conn     *grpc.ClientConn
	client   *wire.Client
	manifest sdk.Manifest
	identity work.PluginIdentity
	attempt  atomic.Value  // string: what Execute performs
	ended    chan struct{} // closed when the process is dead and everything of it is gone

	vacated   chan struct{} // closed when the plugin's directory is gone
	vacateErr error

	stopOnce sync.Once
	stopped  chan struct{} // closed when death and stopErr are set
	death    work.Death
	stopErr  error
}

func (i *Instance) program() string { return i.launch.program() }

// Identity is which program runs: the digest is that of the bytes that are executed.
func (i *Instance) Identity() work.PluginIdentity { return i.identity }

// Manifest is what the plugin says of itself.
func (i *Instance) Manifest() sdk.Manifest { return i.manifest }

// Level is the sandbox level that was enforced.
func (i *Instance) Level() string { return i.process.Level() }

// Enforced is the vector of what was enforced.
func (i *Instance) Enforced() json.RawMessage { return i.process.Enforced() }

// Violations is how many refusals the kernel has reported so far.
func (i *Instance) Violations() int64 { return i.process.Violations() }

// Done is closed when no process of the plugin is alive and its directory is gone.
func (i *Instance) Done() <-chan struct{} { return i.ended }

// Exit is how the plugin's own process ended; it blocks until Done.
func (i *Instance) Exit() sandbox.Exit {
	<-i.ended
	return i.process.Exit()
}

// Stderr is the end of what the plugin wrote to standard error, at most 64 KiB.
func (i *Instance) Stderr() []byte { return i.stderr.tail() }

// bury waits for the death and cleans up after it.
func (i *Instance) bury() {
	<-i.process.Done()
	if err := i.conn.Close(); err != nil {
		i.log.Debug("close connection of a dead plugin", "error", err)
	}
	if err := i.room.remove(); err != nil {
		i.log.Error("plugin left something behind", "error", err)
	}
	i.loader.dismiss(i)
	close(i.ended)
}

// vacate takes the plugin's directory away; nothing is asked of the plugin before.
func (i *Instance) vacate() {
	i.vacateErr = i.room.vacate()
	close(i.vacated)
}

// errProcessDied is the cause of a call whose plugin died without its connection noticing.
var errProcessDied = errors.New("the plugin's process is dead")

// while runs a call under a context that ends when the process dies, after what the process still sent
// has had its moment.
func (i *Instance) while(ctx context.Context, call func(context.Context) error) error {
	if <-i.vacated; i.vacateErr != nil {
		return i.translate(i.vacateErr)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-i.process.Done():
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * drain):
			cancel(errProcessDied)
		}
	}()
	return i.translate(call(ctx))
}

// dead waits a moment for the end of a process whose connection broke.
func (i *Instance) dead() bool {
	select {
	case <-i.process.Done():
		return true
	case <-time.After(4 * drain):
		return false
	}
}

// Execute performs an attempt and hands every event to sink, in order; while sink works, the plugin
// waits. The error is the sink's or the context's own, or a fault: plugin_crashed, plugin_unresponsive,
// plugin_protocol. Ending ctx does not stop the plugin; Cancel and Stop do.
func (i *Instance) Execute(ctx context.Context, a sdk.Attempt, sink func(context.Context, sdk.Event) error) (sdk.Result, error) {
	i.attempt.Store(a.ID)
	a.Program = i.installed()
	var result sdk.Result
	err := i.while(ctx, func(ctx context.Context) (err error) {
		result, err = i.client.Execute(ctx, a, sink)
		return err
	})
	return result, err
}

// installed is the program that the plugin drives, nil for none.
func (i *Instance) installed() *sdk.Installed {
	if i.launch.Program == nil {
		return nil
	}
	return &i.launch.Program.Installed
}

// Probe has the plugin look at the program that it drives. A plugin that drives none answers with
// fault.NotSupported.
func (i *Instance) Probe(ctx context.Context, gateway *sdk.Gateway) (sdk.Probe, error) {
	var probe sdk.Probe
	err := i.while(ctx, func(ctx context.Context) (err error) {
		probe, err = i.client.Probe(ctx, sdk.ProbeRequest{Config: i.launch.Config, Program: i.installed(), Gateway: gateway})
		return err
	})
	return probe, err
}

// Check has a tree judged and hands every piece of the validator's output to output, in order. An
// error means that there is no verdict.
func (i *Instance) Check(ctx context.Context, c sdk.Check, output func(stream string, p []byte) error) (sdk.Verdict, error) {
	var verdict sdk.Verdict
	err := i.while(ctx, func(ctx context.Context) (err error) {
		verdict, err = i.client.Check(ctx, c, output)
		return err
	})
	if err != nil {
		return sdk.Verdict{}, err
	}
	return verdict, nil
}

func (i *Instance) performing() string {
	id, _ := i.attempt.Load().(string)
	return id
}

// Input answers an open question by answer, or an open permission request by decision.
func (i *Instance) Input(ctx context.Context, itemID string, answer sdk.Answer, decision sdk.Decision) error {
	return i.while(ctx, func(ctx context.Context) error {
		return i.client.Input(ctx, i.performing(), itemID, answer, decision)
	})
}

// Cancel asks the attempt to stop, in the plugin's own way. It says nothing about the processes.
func (i *Instance) Cancel(ctx context.Context, reason string) error {
	return i.while(ctx, func(ctx context.Context) error {
		return i.client.Cancel(ctx, i.performing(), reason)
	})
}

// Interrupt sends SIGINT to every process of the plugin.
func (i *Instance) Interrupt(context.Context) error { return i.process.SignalAll(unix.SIGINT) }

// Terminate sends SIGTERM to every process of the plugin.
func (i *Instance) Terminate(context.Context) error { return i.process.SignalAll(unix.SIGTERM) }

// Stop ends the plugin and returns the sandbox's proof: it asks for a shutdown, waits for at most
// grace, then kills. It is safe to call it again, and from several places: all get the one answer.
func (i *Instance) Stop(ctx context.Context, grace time.Duration) (work.Death, error) {
	i.stopOnce.Do(func() {
		if grace > 0 {
			i.askToEnd(ctx, grace)
		}
		i.death, i.stopErr = kill(ctx, i.process, i.loader.opts.Times.Kill)
		close(i.stopped)
	})
	<-i.stopped
	if i.stopErr == nil {
		<-i.ended
	}
	return i.death, i.stopErr
}

// askToEnd gives the plugin grace to end by itself.
func (i *Instance) askToEnd(ctx context.Context, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if err := i.client.Shutdown(ctx, "the host is done with it"); err != nil {
		i.log.Debug("plugin did not take its shutdown", "error", err)
		return
	}
	select {
	case <-i.process.Done():
	case <-ctx.Done():
	}
}
