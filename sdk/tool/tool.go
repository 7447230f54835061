package tool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/drawspan/drawspan/sdk"
)

// Command is a program to run.
type Command struct {
	Argv  []string  // the program and its arguments; never a shell line
	Dir   string    // where it runs; "" is where the plugin runs
	Env   []string  // its whole environment, "KEY=value"; see Environ
	Stdin io.Reader // nil is /dev/null
	// Output takes the output in order, one call at a time, at most sdk.MaxLog bytes each, which are only
	// valid during the call. An error ends the program.
	Output func(stream string, p []byte) error
	// Grace is how long the program has to end after SIGINT, and again after SIGTERM, when the context
	// ends; 2 s each where it is 0.
	Grace time.Duration
}

// Result is how a program ended.
type Result struct {
	ExitCode int    // -1 when a signal ended it
	Signal   string // "SIGTERM"
	Duration time.Duration
	Tail     string // the end of its output, both streams, valid UTF-8
	Stopped  bool   // the context ended it
}

// The bounds of a run.
const (
	defaultGrace = 2 * time.Second
	drain        = time.Second // how long output is read after the program has ended
	tailBytes    = 8 << 10
)

// ErrNoProgram is in the chain of the error of a program that does not exist or cannot be executed.
var ErrNoProgram = errors.New("the program cannot be started")

// Run runs a program to its end. The error is about running it, or Output's own; a program that ran and
// failed is a Result.
func Run(ctx context.Context, c Command) (Result, error) {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return Result{}, fmt.Errorf("run nothing: %w", ErrNoProgram)
	}
	r := &running{output: c.Output, failed: make(chan struct{})}
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Dir, cmd.Env = c.Dir, append([]string{}, c.Env...) // nil would mean the plugin's own
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := r.connect(cmd, c.Stdin)
	if err != nil {
		return Result{}, err
	}
	started := time.Now()
	err = cmd.Start()
	closeAll(r.childEnds...)
	if err != nil {
		closeAll(r.ourEnds...)
		if errors.Is(err, exec.ErrNotFound) {
			return Result{}, fmt.Errorf("start %s: %w: it is nowhere in the PATH of its sandbox", c.Argv[0], ErrNoProgram)
		}
		return Result{}, fmt.Errorf("start %s: %w: %w", c.Argv[0], ErrNoProgram, err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { r.read("stdout", r.ourEnds[0]) })
	reading.Go(func() { r.read("stderr", r.ourEnds[1]) })
	if stdin != nil {
		go feed(stdin, c.Stdin)
	}
	stopped := r.wait(ctx, cmd, graceOf(c))
	duration := time.Since(started)
	r.endReading(&reading)
	closeAll(r.ourEnds...)
	result := resultOf(cmd.ProcessState)
	result.Duration, result.Stopped, result.Tail = duration, stopped, r.tail()
	return result, r.err
}

func graceOf(c Command) time.Duration {
	if c.Grace > 0 {
		return c.Grace
	}
	return defaultGrace
}

// Environ is a program's environment: the plugin's own, which main has from os.Environ, without the
// variables of the plugin protocol, and what is set in addition.
func Environ(own []string, set map[string]string) []string {
	var env []string
	for _, pair := range own {
		if !strings.HasPrefix(pair, "PLUGIN_") && !strings.HasPrefix(pair, "DRAWSPAN_PLUGIN=") {
			env = append(env, pair)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		env = append(env, key+"="+set[key])
	}
	return env
}

// running is one program with its pipes.
type running struct {
	output    func(string, []byte) error
	ourEnds   []*os.File // stdout, stderr and, where there is one, stdin
	childEnds []*os.File

	mu     sync.Mutex // orders the output of the two streams
	err    error      // Output's
	failed chan struct{}
	end    []byte
}

// connect makes the pipes of a program.
func (r *running) connect(cmd *exec.Cmd, stdin io.Reader) (*os.File, error) {
	for _, set := range []*io.Writer{&cmd.Stdout, &cmd.Stderr} {
		ours, childs, err := os.Pipe()
		if err != nil {
			closeAll(append(r.ourEnds, r.childEnds...)...)
			return nil, fmt.Errorf("make pipe: %w", err)
		}
		*set = childs
		r.ourEnds, r.childEnds = append(r.ourEnds, ours), append(r.childEnds, childs)
	}
	if stdin == nil {
		return nil, nil
	}
	childs, ours, err := os.Pipe()
	if err != nil {
		closeAll(append(r.ourEnds, r.childEnds...)...)
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	cmd.Stdin = childs
	r.ourEnds, r.childEnds = append(r.ourEnds, ours), append(r.childEnds, childs)
	return ours, nil
}

// feed writes the program's input; a program that does not want it all is no error.
func feed(w *os.File, stdin io.Reader) {
	io.Copy(w, stdin) //nolint:errcheck // the program may close it, or have ended
	w.Close()         //nolint:errcheck // a pipe keeps nothing back
}

// read streams one pipe until its end.
func (r *running) read(stream string, pipe *os.File) {
	buffer := make([]byte, sdk.MaxLog)
	for {
		n, err := pipe.Read(buffer)
		if n > 0 {
			r.take(stream, buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

func (r *running) take(stream string, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = append(r.end, p...)
	if len(r.end) > 2*tailBytes {
		r.end = append(r.end[:0], r.end[len(r.end)-tailBytes:]...)
	}
	if r.output == nil || r.err != nil {
		return
	}
	if r.err = r.output(stream, p); r.err != nil {
		close(r.failed)
	}
}

func (r *running) tail() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.ToValidUTF8(string(r.end[max(0, len(r.end)-tailBytes):]), "\uFFFD")
}

// wait reaps the program; when the context ends or the output is refused, it goes down the ladder.
func (r *running) wait(ctx context.Context, cmd *exec.Cmd, grace time.Duration) (stopped bool) {
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // the state says how it ended
		close(ended)
	}()
	select {
	case <-ended:
		return false
	case <-ctx.Done():
	case <-r.failed:
	}
	group := -cmd.Process.Pid
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		syscall.Kill(group, signal) //nolint:errcheck // it may have ended this instant
		select {
		case <-ended:
			syscall.Kill(group, syscall.SIGKILL) //nolint:errcheck // what is left of its group, if anything
			return true
		case <-time.After(grace):
		}
	}
	syscall.Kill(group, syscall.SIGKILL) //nolint:errcheck // as above
	<-ended
	return true
}

// endReading waits for the rest of the output, but not for processes that hold the pipes and live on.
func (r *running) endReading(reading *sync.WaitGroup) {
	limit := time.AfterFunc(drain, func() {
		for _, pipe := range r.ourEnds[:2] {
			pipe.SetReadDeadline(time.Now()) //nolint:errcheck // pipes have deadlines
		}
	})
	defer limit.Stop()
	reading.Wait()
}

func resultOf(state *os.ProcessState) Result {
	status, ok := state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return Result{ExitCode: -1, Signal: signalName(status.Signal())}
	}
	return Result{ExitCode: state.ExitCode()}
}

var signalNames = map[syscall.Signal]string{
	syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT", syscall.SIGQUIT: "SIGQUIT", syscall.SIGILL: "SIGILL",
	syscall.SIGTRAP: "SIGTRAP", syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE",
	syscall.SIGKILL: "SIGKILL", syscall.SIGSEGV: "SIGSEGV", syscall.SIGPIPE: "SIGPIPE", syscall.SIGALRM: "SIGALRM",
	syscall.SIGTERM: "SIGTERM", syscall.SIGXCPU: "SIGXCPU", syscall.SIGXFSZ: "SIGXFSZ", syscall.SIGSYS: "SIGSYS",
}

func signalName(s syscall.Signal) string {
	if name, ok := signalNames[s]; ok {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		f.Close() //nolint:errcheck // pipes keep nothing back
	}
}

// LastLines is the end of a text: at most n lines.
func LastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
