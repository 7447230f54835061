package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
)

// The bounds of a process.
const (
	// DefaultMaxLine is how much of one line is kept where Command.MaxLine is 0.
	DefaultMaxLine = 4 << 20
	// CancelGrace is how long Await lets a program end by its protocol's own cancellation, and how long one
	// that has told its terminal record may take to exit. The host gives a plugin longer than this and
	// both signals take.
	CancelGrace = 3 * time.Second

	defaultGrace = 500 * time.Millisecond
	maxQueued    = 32 << 20 // bytes of input that the program has not read
	stderrBytes  = 4 << 10
)

// ErrNotReading is in the chain of the error of Send to a program that does not read its input.
var ErrNotReading = errors.New("the program does not read its input")

// ErrEnded is in the chain of the error of Send to a program whose input is closed.
var ErrEnded = errors.New("the program's input is closed")

// Emit sends one event; it is the Emit of an attempt's host.
type Emit func(ctx context.Context, e sdk.Event) error

// All sends events whatever has become of ctx: what is told after a cancellation is told all the same.
func (e Emit) All(ctx context.Context, events []sdk.Event) error {
	ctx = context.WithoutCancel(ctx)
	for _, one := range events {
		if err := e(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// Command is an agent program to start.
type Command struct {
	Argv    []string // see Argv
	Dir     string
	Env     []string      // its whole environment; see Environ
	MaxLine int           // bytes of one line that are kept; DefaultMaxLine where it is 0
	Grace   time.Duration // between SIGINT, SIGTERM and SIGKILL; 500 ms where it is 0
}

// Handler takes what a program prints. Its functions are called one at a time, in order; an error of one
// ends the program and is Wait's.
type Handler struct {
	// Emit gets the raw bytes of both streams as log events, before any line of them is looked at.
	Emit Emit
	// Line takes one line of standard output without its end. It is valid during the call only, may hold
	// anything, and is never empty. A last line without an end is one too.
	Line func(line []byte) error
	// Long takes the beginning of a line beyond Command.MaxLine and the length of the whole of it.
	Long func(beginning []byte, n int) error
}

// Process is a running agent program.
type Process struct {
	input *input
	stop  context.CancelFunc
	done  chan struct{}

	mu     sync.Mutex
	stderr []byte
	result tool.Result // set when done is closed, as is err
	err    error
}

// Start starts a program. When ctx ends, its process group gets SIGINT, SIGTERM and SIGKILL; an adapter
// that cancels by its protocol first gives a context without the attempt's cancellation, and calls Await.
func Start(ctx context.Context, c Command, on Handler) *Process {
	running, stop := context.WithCancel(ctx)
	p := &Process{input: newInput(), stop: stop, done: make(chan struct{})}
	if c.MaxLine == 0 {
		c.MaxLine = DefaultMaxLine
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	// What is told after a cancellation is told all the same.
	tell := context.WithoutCancel(ctx)
	lines := &splitter{most: c.MaxLine, line: on.Line, long: on.Long}
	output := func(stream string, b []byte) error {
		if err := on.Emit(tell, sdk.Log(stream, b)); err != nil {
			return err
		}
		if stream == "stderr" {
			p.keep(b)
			return nil
		}
		return lines.take(b)
	}
	go func() {
		defer close(p.done)
		defer stop()
		r, err := tool.Run(running, tool.Command{
			Argv: c.Argv, Dir: c.Dir, Env: c.Env, Stdin: p.input, Output: output, Grace: c.Grace,
		})
		p.input.close()
		switch {
		case err == nil:
			err = lines.end()
		case errors.Is(err, tool.ErrNoProgram):
			err = &sdk.Failure{Class: "policy", Message: "the agent's program cannot be started; drawspan executor probe shows what is installed", Err: err}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.result, p.err = r, err
	}()
	return p
}

// Send gives the program one JSON value on a line of its own. It does not wait for the program.
func (p *Process) Send(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode input: %w", err)
	}
	return p.input.put(append(line, '\n'))
}

// Put gives the program bytes as they are: the text of a step, to a program whose input is no protocol. It
// does not wait for the program.
func (p *Process) Put(text []byte) error { return p.input.put(text) }

// CloseInput ends the program's input behind what was sent.
func (p *Process) CloseInput() { p.input.close() }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop ends the program by signals. It does not wait.
func (p *Process) Stop() { p.stop() }

// Wait waits for the program's end. The error is about running it, or a Handler's own.
func (p *Process) Wait() (tool.Result, error) {
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.result, p.err
}

// Await waits for the end of a conversation and then of the program. The caller closes told when the
// program has told its terminal record: its input is closed then, and it has CancelGrace to exit before it
// is stopped. When ctx ends first, cancel asks for the end by the protocol, and the program has
// CancelGrace for both, its terminal record and its exit.
func (p *Process) Await(ctx context.Context, told <-chan struct{}, cancel func()) (tool.Result, error) {
	select {
	case <-told:
	case <-p.done:
	case <-ctx.Done():
		cancel()
		return p.endWithin(CancelGrace, told)
	}
	return p.End()
}

// End closes the program's input and waits for its exit; after CancelGrace it is stopped.
func (p *Process) End() (tool.Result, error) {
	p.CloseInput()
	return p.endWithin(CancelGrace, nil)
}

// endWithin stops the program when its time is over. Its input is closed when it has told its last.
func (p *Process) endWithin(grace time.Duration, told <-chan struct{}) (tool.Result, error) {
	over := time.NewTimer(grace)
	defer over.Stop()
	for {
		select {
		case <-told:
			p.CloseInput()
			told = nil
		case <-over.C:
			p.Stop()
		case <-p.done:
			return p.Wait()
		}
	}
}

// Stderr is the end of what the program said on standard error, valid UTF-8.
func (p *Process) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.ToValidUTF8(string(p.stderr[max(0, len(p.stderr)-stderrBytes):]), "\uFFFD")
}

func (p *Process) keep(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stderr = append(p.stderr, b...)
	if len(p.stderr) > 2*stderrBytes+sdk.MaxLog {
		p.stderr = append(p.stderr[:0], p.stderr[len(p.stderr)-stderrBytes:]...)
	}
}

// input is a reader that is filled while it is read: a program's standard input.
type input struct {
	mu     sync.Mutex
	ready  *sync.Cond
	queued []byte
	closed bool
}

func newInput() *input {
	i := &input{}
	i.ready = sync.NewCond(&i.mu)
	return i
}

func (i *input) put(p []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.closed:
		return ErrEnded
	case len(i.queued)+len(p) > maxQueued:
		return fmt.Errorf("%d bytes wait: %w", len(i.queued), ErrNotReading)
	}
	i.queued = append(i.queued, p...)
	i.ready.Signal()
	return nil
}

func (i *input) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.ready.Broadcast()
}
