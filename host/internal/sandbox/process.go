package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

const (
	launchLimit = 30 * time.Second // a launch takes milliseconds; a machine may be very busy
	maxMessage  = 16 << 10         // bytes of the largest packet that the launcher sends
)

// Process is one launch whose payload was started. Its methods may be called from several goroutines.
type Process struct {
	os          *os.Process
	control     *os.File
	lastWords   *os.File
	onViolation func(Violation)
	onExceeded  func(Exceeded)
	onListener  func(net.Listener)
	onGateway   func(net.Listener)
	done        chan struct{}
	onHost      bool         // there is no namespace: the launcher must live to end what it started
	tidy        func() error // removes what the launch had on disk
	group       *cgroup      // of this launch, nil without
	first       *leader      // PID 1 of the namespace, where it is not the daemon's own child

	enforced   spec.Enforced
	violations atomic.Int64
	killed     atomic.Bool
	exceeded   *Exceeded // of begin and follow, then of watch
	exit       Exit      // written before done is closed
	proved     bool      // likewise: nothing of the launch is alive
	left       int       // likewise: how many were, where that is not proved
}

// begin tells the launcher what to do, judges its report, which it has so long for, and lets the payload
// start.
func (p *Process) begin(ctx context.Context, s *Sandbox, l launch, patience time.Duration) error {
	stop := context.AfterFunc(ctx, func() { p.expire(time.Now()) })
	defer stop()
	p.allow(ctx, patience)
	pl := l.plan
	if err := p.propose(pl, l.request); err != nil {
		return err
	}
	buf := make([]byte, maxMessage)
	m, listeners, err := p.receiveReport(buf)
	if err != nil || m.Report == nil {
		return &unfit{errors.Join(p.silence("a report", err), closeAll(listeners))}
	}
	if p.enforced, err = s.judge(pl, m.Report); err != nil {
		err = errors.Join(err, closeAll(listeners))
		if sourceRefused(m.Report) {
			err = &unfit{err}
		}
		return err
	}
	p.allow(ctx, launchLimit)
	if err := p.handOn(pl, listeners); err != nil {
		return err
	}
	if err := p.command(spec.CommandStart, 0); err != nil {
		return err
	}
	// The payload runs before the launcher's word of it arrives, and may have been refused something.
	for m = (spec.Message{}); m.Started == nil; p.note(m) {
		if m, err = p.receive(buf); err != nil || m.Started == nil && m.Exceeded == nil && len(m.Violations) == 0 {
			return p.silence("the payload's start", err)
		}
	}
	if m.Started.Err != "" {
		return fault.New(fault.PluginStart, "the program could not be started in the sandbox: %s", m.Started.Err)
	}
	p.expire(time.Time{})
	return ctx.Err()
}

// allow gives the launcher time, unless the launch was given up.
func (p *Process) allow(ctx context.Context, patience time.Duration) {
	p.expire(time.Now().Add(patience))
	if ctx.Err() != nil { // maybe before this
		p.expire(time.Now())
	}
}

// expire bounds reads from the launcher. A control socket that is closed already needs no bound.
func (p *Process) expire(at time.Time) {
	_ = p.control.SetDeadline(at) // closed: the launch is over
}

func (p *Process) silence(what string, err error) error {
	if err == nil {
		err = errors.New("another message came")
	}
	words := p.words()
	if p.first != nil && p.enforced.Backend == "" { // nothing was reported: it is bubblewrap that failed
		return unavailable("bubblewrap could not build the sandbox%s", words).Fix("%s", namespaceRemedy(hostFacts()))
	}
	return fmt.Errorf("wait for %s of the sandbox launcher%s: %w", what, words, err)
}

// words is what the launcher's runtime wrote before it died.
func (p *Process) words() string {
	buf := make([]byte, 2048)
	n, err := p.lastWords.ReadAt(buf, 0)
	if n == 0 || err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return " (it said: " + strings.TrimSpace(strings.ToValidUTF8(string(buf[:n]), "?")) + ")"
}

func (p *Process) receive(buf []byte) (spec.Message, error) {
	var m spec.Message
	n, err := p.control.Read(buf)
	if errors.Is(err, unix.ECONNRESET) { // it left with a command unread, and the kernel says that before what it said last
		n, err = p.control.Read(buf)
	}
	if err != nil {
		return m, err
	}
	return m, m.Decode(buf[:n])
}

func (p *Process) command(kind byte, sig unix.Signal) error {
	if _, err := p.control.Write([]byte{kind, byte(sig)}); err != nil {
		return fmt.Errorf("send a command to the launcher: %w", err)
	}
	return nil
}

// abandon ends a launch whose payload must not, or could not, run.
func (p *Process) abandon(ctx context.Context, cause error) error {
	if ctx.Err() != nil && !errors.Is(cause, ctx.Err()) {
		cause = fmt.Errorf("launch: %w", context.Cause(ctx))
	}
	if p.onHost {
		return errors.Join(cause, p.hangUp(), p.lastWords.Close(), p.tidy())
	}
	p.kill()
	waitErr := p.first.wait()
	if _, err := p.os.Wait(); waitErr == nil {
		waitErr = err
	}
	return errors.Join(cause, waitErr, p.control.Close(), p.lastWords.Close(), p.tidy())
}

// watch takes the launcher's messages until it ends, then waits for the kernel to report PID 1 dead,
// which is when its namespace is empty.
func (p *Process) watch(log hclog.Logger) {
	defer close(p.done)
	ended := p.follow()
	if ended == nil {
		p.kill() // the control socket is broken: nothing must run on unseen
	}
	if err := p.first.wait(); err != nil {
		log.Error("wait for the first process", "error", err)
	}
	state, err := p.os.Wait()
	if err != nil {
		log.Error("wait for the sandbox launcher", "error", err)
	}
	p.settle(ended)
	p.blame()
	if err := p.tidy(); err != nil {
		log.Error("remove the launch's private directories", "error", err)
	}
	switch {
	case ended != nil && !ended.Ended:
		p.exit = Exit{
			Code: ended.Code, Signal: unix.Signal(ended.Signal), Leftovers: ended.Leftovers,
			UserUS: ended.UserUS, SystemUS: ended.SystemUS, MaxRSSKB: ended.MaxRSSKB,
		}
	case p.killed.Load():
		p.exit.Lost = "killed"
	default:
		p.exit.Lost = fmt.Sprintf("the launcher ended by itself: %v%s", state, p.words())
		log.Warn("sandbox launcher ended before the payload", "state", state, "words", p.words())
	}
	p.exit.Exceeded = p.exceeded
	if err := errors.Join(p.control.Close(), p.lastWords.Close()); err != nil {
		log.Debug("close the sandbox's descriptors", "error", err)
	}
}

// follow returns the payload's exit, or nil when the launcher ends without telling.
func (p *Process) follow() *spec.Exit {
	buf := make([]byte, maxMessage)
	for {
		m, err := p.receive(buf)
		if err != nil {
			return nil
		}
		p.note(m)
		if m.Exit != nil {
			return m.Exit
		}
	}
}

// note counts and hands on the refusals of a message, and ends the launch that went over a limit. Its
// processes are stopped by then, so nobody learns of their death before the reason is told.
func (p *Process) note(m spec.Message) {
	if m.Exceeded != nil {
		p.exceed(*m.Exceeded)
	}
	for _, v := range m.Violations {
		p.violations.Add(v.Count)
		v.Comm = printable(v.Comm) // the payload chose it
		if p.onViolation != nil {
			p.onViolation(v)
		}
	}
}

// exceed tells of the first limit and kills.
func (p *Process) exceed(x Exceeded) {
	if p.exceeded != nil {
		return
	}
	p.exceeded = &x
	if p.onExceeded != nil {
		p.onExceeded(x)
	}
	p.killed.Store(true)
	if p.onHost {
		p.order()
		return
	}
	p.kill()
}

// blame asks the kernel whether it was the one that killed.
func (p *Process) blame() {
	if p.group == nil {
		return
	}
	if x := p.group.exceeded(); x != nil {
		p.exceed(*x)
	}
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

func (p *Process) kill() {
	if p.first != nil {
		p.first.kill()
	}
	_ = p.os.Kill() // already dead is what is wanted
}

// Enforced is the vector to record: what was in force when the payload was started.
func (p *Process) Enforced() spec.Enforced { return p.enforced }

// Level is the enforced level's name.
func (p *Process) Level() string { return p.enforced.Enforced }

// PID is the launcher's process id on the host; inside it is 1.
func (p *Process) PID() int {
	if p.first != nil {
		return p.first.pid
	}
	return p.os.Pid
}

// Done is closed when no process of the launch is alive.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit waits for Done and says how the payload's main process ended.
func (p *Process) Exit() Exit {
	<-p.done
	return p.exit
}

// Violations is how many refusals the kernel reported so far.
func (p *Process) Violations() int64 { return p.violations.Load() }

// Signal sends sig to the payload's main process. One that has ended is no error.
func (p *Process) Signal(sig unix.Signal) error { return p.signal(spec.CommandSignal, sig) }

// SignalAll sends sig to every process of the launch.
func (p *Process) SignalAll(sig unix.Signal) error { return p.signal(spec.CommandSignalAll, sig) }

func (p *Process) signal(kind byte, sig unix.Signal) error {
	err := p.command(kind, sig)
	if errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return err
}

// Kill ends the launch and proves it: the kernel reports the end of PID 1 only when its namespace is
// empty. When ctx ends first, the death is not proved and the survivors are counted. Kill may be called
// again, and after a natural end.
func (p *Process) Kill(ctx context.Context) (work.Death, error) {
	begun := time.Now()
	d := work.Death{Method: p.enforced.Proc.Orphans}
	select {
	case <-p.done:
		return p.death(d)
	default:
	}
	p.killed.Store(true)
	if p.onHost {
		p.order()
	} else {
		p.kill()
	}
	d.Signals = []string{"SIGKILL"}
	select {
	case <-p.done:
		d.Took = time.Since(begun)
		return p.death(d)
	case <-ctx.Done():
		d.Survivors = survivors(p.os.Pid)
		d.Took = time.Since(begun)
		return d, fmt.Errorf("prove the sandbox empty: %w", context.Cause(ctx))
	}
}
