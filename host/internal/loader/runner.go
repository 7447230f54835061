package loader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// drain is how long the pipes of a dead plugin are still read: what it wrote is there already, and
// whoever else holds the other end must not keep us.
const drain = 50 * time.Millisecond

// confinedRunner is go-plugin's view of one launch: the library does the handshake, the process is the
// sandbox's. Everything here runs at most once.
type confinedRunner struct {
	loader    *Loader
	launch    Launch
	seal      *seal
	env       []string
	room      *room
	handshake *handshake
	link      *link
	conn      *grpc.ClientConn // set by Start, while the plugin makes its way to the handshake
	stderr    *tailLog
	caller    func() error // why the caller has given up, nil while it has not

	mu       sync.Mutex
	process  Process
	launched error
}

var _ runner.Runner = (*confinedRunner)(nil)

// Start launches the sealed program.
func (r *confinedRunner) Start(ctx context.Context) error {
	if err := r.caller(); err != nil {
		return err
	}
	if err := r.room.furnish(); err != nil {
		return err
	}
	p, err := newPipes()
	if err != nil {
		return err
	}
	defer closeAll(p.stdoutW, p.stderrW)
	process, err := r.launchWith(ctx, p)
	r.mu.Lock()
	r.process, r.launched = process, err
	r.mu.Unlock()
	if err != nil {
		closeAll(p.stdoutR, p.stderrR)
		return err
	}
	go r.handshake.run(p.stdoutR)
	go r.stderr.run(p.stderrR)
	go func() {
		<-process.Done()
		endOf(p.stdoutR)
		endOf(p.stderrR)
	}()
	if r.conn, err = r.link.connect(r.room.secret); err != nil {
		_, killed := kill(ctx, process, r.loader.opts.Times.Kill)
		return withCause(err, killed)
	}
	return nil
}

// endOf bounds the reading of a pipe whose writer is dead.
func endOf(f *os.File) {
	if err := f.SetReadDeadline(time.Now().Add(drain)); err != nil {
		closeAll(f)
		return
	}
	time.AfterFunc(2*drain, func() { closeAll(f) })
}

func (r *confinedRunner) launchWith(ctx context.Context, p *pipes) (Process, error) {
	binds := append([]sandbox.Bind{{Host: r.room.path, Inside: r.room.inside, Mode: "rw"}}, r.launch.Binds...)
	var search []string
	if p := r.launch.Program; p != nil {
		binds, search = append(binds, p.Shown...), p.Search
	}
	if base := r.launch.BaseTree; base != "" {
		binds = append(binds, sandbox.Bind{Host: base, Mode: "ro", Label: "base"})
	}
	process, err := r.loader.opts.Launch.Launch(ctx, sandbox.Request{
		Policy: r.launch.Policy,
		Tree:   sandbox.Tree{Path: r.launch.Tree, Mode: r.launch.Mode, Dev: r.launch.Dev, Ino: r.launch.Ino},
		Git:    r.launch.Git,
		Binds:  binds, Search: search,
		Program: r.seal.file, Argv: []string{r.Name()}, Env: slices.Concat(r.launch.Env, r.env), // the last one counts
		Secrets: r.launch.Secrets,
		Stdout:  p.stdoutW, Stderr: p.stderrW, OnViolation: r.launch.OnViolation, OnExceeded: r.launch.OnExceeded, OnListener: r.launch.OnListener, OnGateway: r.launch.OnGateway,
	})
	if err != nil {
		return nil, err
	}
	return process, nil
}

// started is the process, nil where the launch failed.
func (r *confinedRunner) started() (Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process, r.launched
}

// Wait blocks until no process of the launch is alive.
func (r *confinedRunner) Wait(context.Context) error {
	if p, _ := r.started(); p != nil {
		<-p.Done()
	}
	return nil
}

// Kill ends the launch; it is called by go-plugin when the handshake fails.
func (r *confinedRunner) Kill(ctx context.Context) error {
	p, _ := r.started()
	if p == nil {
		return nil
	}
	r.note(p)
	_, err := kill(ctx, p, r.loader.opts.Times.Kill)
	return err
}

// note keeps why the handshake failed, before the kill blurs it.
func (r *confinedRunner) note(p Process) {
	if failure, closed := r.handshake.verdict(); failure == nil {
		r.handshake.fail(r.silence(p, closed))
	}
}

// kill is bounded, whatever the context says.
func kill(ctx context.Context, p Process, most time.Duration) (work.Death, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	death, err := p.Kill(ctx)
	if err != nil {
		return death, fmt.Errorf("kill plugin: %w", err)
	}
	return death, nil
}

// Stdout is the judged handshake and nothing else.
func (r *confinedRunner) Stdout() io.ReadCloser { return r.handshake.reader }

// Stderr is empty: the loader reads standard error itself.
func (r *confinedRunner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the program's.
func (r *confinedRunner) Name() string { return "drawspan-" + r.launch.program() }

// ID is the launch's process.
func (r *confinedRunner) ID() string {
	if p, _ := r.started(); p != nil {
		return fmt.Sprintf("pid:%d", p.PID())
	}
	return ""
}

// Diagnose has nothing for go-plugin, which would put it into a text.
func (r *confinedRunner) Diagnose(context.Context) string { return "" }

// found takes the address that the plugin named: it must be its own socket. The connection is made
// while go-plugin still reads the line.
func (r *confinedRunner) found(network, address string) *StartError {
	resolved, err := r.room.resolve(network, address)
	if err != nil {
		return &StartError{
			Reason: BadAddress, Line: printable(network+"|"+address, 200),
			Detail: fmt.Sprintf(`it names %s "%s" as its socket`, printable(network, 20), printable(address, 120)),
		}
	}
	p, _ := r.started()
	r.link.found(resolved, p.PID())
	return nil
}

// PluginToHost only sees addresses that were found to be the plugin's own.
func (r *confinedRunner) PluginToHost(network, _ string) (string, string, error) {
	return network, r.room.address(), nil
}

// HostToPlugin is for go-plugin's broker, which is not used.
func (r *confinedRunner) HostToPlugin(string, string) (string, string, error) {
	return "", "", errors.New("there is no broker")
}

// diagnosis says why the start failed, from what was seen and not from the library's words.
func (r *confinedRunner) diagnosis(library error) error {
	if err := r.caller(); err != nil {
		return err
	}
	p, launched := r.started()
	if launched != nil {
		return r.launchDiagnosis(launched)
	}
	if p == nil || r.conn == nil {
		return library // it is not the plugin's doing
	}
	r.note(p)
	failure, _ := r.handshake.verdict()
	failure.Stderr = lastLines(r.stderr.final(), 5)
	return startFault("drawspan-"+r.launch.program(), failure)
}

func (r *confinedRunner) launchDiagnosis(err error) error {
	if fault.CodeOf(err) != fault.Internal {
		return err // the sandbox's own words
	}
	return fault.Wrap(err, fault.PluginStart, "plugin drawspan-%s could not be launched", r.launch.program())
}

// silence tells apart the ways of saying nothing.
func (r *confinedRunner) silence(p Process, closed bool) *StartError {
	if closed {
		select { // the end of the output comes just before the end of the process
		case <-p.Done():
		case <-time.After(10 * drain):
			return &StartError{Reason: NoHandshake, Detail: "it closed standard output without a handshake"}
		}
	}
	select {
	case <-p.Done():
		exit := p.Exit()
		return &StartError{Reason: Exited, Exit: exit, Detail: "it " + exitText(exit) + " before the handshake"}
	default:
		return &StartError{Reason: TimedOut, Detail: fmt.Sprintf("no handshake came within %v", r.loader.opts.Times.Start)}
	}
}
