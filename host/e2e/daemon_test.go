package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait for something outside. What comes in time costs none of it.
const patience = 60 * time.Second

type stageName string

// stageKey is where a script finds its stage.
const stageKey stageName = "stage"

// stage is what one script has running.
type stage struct {
	daemon *job
	jobs   map[string]*job
}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey).(*stage) }

// strike ends everything that a script left running.
func (s *stage) strike() {
	for _, j := range s.jobs {
		j.end(syscall.SIGKILL)
	}
	if s.daemon != nil {
		s.daemon.end(syscall.SIGTERM)
	}
}

// job is a process that goes on while the script does.
type job struct {
	cmd      *exec.Cmd
	out, err transcript
	exited   chan struct{}
	code     int
}

// begin starts a program in the script's directory and environment.
func begin(ts *testscript.TestScript, args []string) *job {
	// env finds the program in the script's PATH and becomes it.
	j := &job{cmd: exec.Command("/usr/bin/env", args...), exited: make(chan struct{})}
	j.cmd.Dir, j.cmd.Env = ts.MkAbs("."), environ(ts)
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.err
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	ts.Check(j.cmd.Start())
	go func() {
		err := j.cmd.Wait()
		j.code = exitCode(err)
		j.out.close()
		j.err.close()
		close(j.exited)
	}()
	return j
}

// end signals a job and waits for its end; what does not end is killed.
func (j *job) end(sig syscall.Signal) bool {
	_ = j.cmd.Process.Signal(sig) // it may have ended already
	select {
	case <-j.exited:
		return true
	case <-time.After(patience):
		j.kill()
		return false
	}
}

// kill ends a job that should have done something long ago. A Go program says first what it was doing.
func (j *job) kill() {
	_ = j.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended already
	select {
	case <-j.exited:
		return
	case <-time.After(time.Second):
	}
	_ = j.cmd.Process.Kill() // as above
	<-j.exited
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	case errors.As(err, &exit):
		return 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	}
	return -1
}

// transcript collects what a process writes and lets others wait for a text in it.
type transcript struct {
	mu     sync.Mutex
	text   bytes.Buffer
	more   chan struct{}
	closed bool
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	t.tell()
	return len(p), nil
}

func (t *transcript) tell() {
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
}

func (t *transcript) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.tell()
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// until waits until enough accepts the text so far; false when the writer ended or patience did before.
func (t *transcript) until(enough func(string) bool) bool {
	over := time.After(patience)
	for {
		t.mu.Lock()
		if t.more == nil {
			t.more = make(chan struct{})
		}
		text, more, closed := t.text.String(), t.more, t.closed
		t.mu.Unlock()
		if enough(text) {
			return true
		}
		if closed {
			return false
		}
		select {
		case <-more:
		case <-over:
			return false
		}
	}
}

// cmdDaemon is: daemon start [FLAG...] | refuses CODE [FLAG...] | stop | kill | reload | log TEXT. After
// refuses its words are in stdout and stderr. "! daemon reload" is a reload that is refused.
func cmdDaemon(ts *testscript.TestScript, neg bool, args []string) {
	s := stageOf(ts)
	if len(args) == 0 {
		ts.Fatalf("usage: daemon start|refuses|stop|kill|reload|log")
	}
	switch {
	case args[0] == "start":
		s.start(ts, args[1:])
	case args[0] == "refuses" && len(args) > 1:
		refuses(ts, args[1], args[2:])
	case s.daemon == nil:
		ts.Fatalf("no daemon was started")
	case args[0] == "stop":
		if !s.daemon.end(syscall.SIGTERM) || s.daemon.code != 0 {
			ts.Fatalf("the daemon ended with %d\n%s", s.daemon.code, s.daemon.err.String())
		}
		s.daemon = nil
	case args[0] == "kill":
		s.daemon.end(syscall.SIGKILL)
		s.daemon = nil
	case args[0] == "reload":
		s.reload(ts, neg)
	case args[0] == "log" && len(args) == 2:
		if s.daemon.err.until(func(text string) bool { return strings.Contains(text, args[1]) }) == neg {
			ts.Fatalf("log has %q: %v\n%s", args[1], neg, s.daemon.err.String())
		}
	default:
		ts.Fatalf("usage: daemon start|refuses|stop|kill|reload|log")
	}
}

// ready reads the document that serve --json prints when it answers.
func ready(text string) bool {
	var doc struct{ Socket, Address string }
	return json.NewDecoder(strings.NewReader(text)).Decode(&doc) == nil && doc.Socket != ""
}

func serve(ts *testscript.TestScript, flags []string) *job {
	return begin(ts, append([]string{"drawspan", "serve", "--json"}, flags...))
}

func (s *stage) start(ts *testscript.TestScript, flags []string) {
	if s.daemon != nil {
		ts.Fatalf("a daemon is running")
	}
	j := serve(ts, flags)
	if !j.out.until(ready) {
		j.kill()
		ts.Fatalf("the daemon did not start (exit %d)\n%s%s", j.code, j.out.String(), j.err.String())
	}
	s.daemon = j
	var doc struct{ Socket, Address string }
	ts.Check(json.NewDecoder(strings.NewReader(j.out.String())).Decode(&doc))
	ts.Setenv("SOCKET", doc.Socket)
	ts.Setenv("ADDRESS", doc.Address)
	ts.Setenv("DAEMON", strconv.Itoa(j.cmd.Process.Pid))
}

// refuses starts a daemon that must not come up.
func refuses(ts *testscript.TestScript, code string, flags []string) {
	j := serve(ts, flags)
	up := j.out.until(ready)
	if up {
		j.end(syscall.SIGTERM)
		ts.Fatalf("the daemon started")
	}
	if !j.end(0) || strconv.Itoa(j.code) != code {
		ts.Fatalf("the daemon ended with %d, want %s\n%s%s", j.code, code, j.out.String(), j.err.String())
	}
	say(ts, j.out.String(), j.err.String())
}

// reload sends SIGHUP and waits for the daemon's word on it.
func (s *stage) reload(ts *testscript.TestScript, neg bool) {
	count := func(text, what string) int { return strings.Count(text, what) }
	const took, refused = "configuration reloaded", "reload refused"
	before := s.daemon.err.String()
	ts.Check(s.daemon.cmd.Process.Signal(syscall.SIGHUP))
	heard := s.daemon.err.until(func(text string) bool {
		return count(text, took) > count(before, took) || count(text, refused) > count(before, refused)
	})
	now := s.daemon.err.String()
	if !heard || (count(now, refused) > count(before, refused)) != neg {
		ts.Fatalf("reload: heard %v\n%s", heard, now)
	}
}

// cmdBackground is: background NAME PROGRAM ARG... It starts a program that the script goes on beside.
func cmdBackground(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: background NAME PROGRAM ARG...")
	}
	stageOf(ts).jobs[args[0]] = begin(ts, args[1:])
}

// cmdSaw is: saw NAME TEXT. It waits until a program in the background has written the text.
func cmdSaw(ts *testscript.TestScript, _ bool, args []string) {
	j := stageOf(ts).named(ts, args[0])
	both := func(string) bool { return strings.Contains(j.out.String()+j.err.String(), args[1]) }
	found := make(chan bool, 2)
	for _, t := range []*transcript{&j.out, &j.err} {
		go func() { found <- t.until(both) }()
	}
	if !<-found && !<-found {
		ts.Fatalf("%s never wrote %q\n%s%s", args[0], args[1], j.out.String(), j.err.String())
	}
}

// cmdEnds is: ends NAME CODE [SIGNAL]. It waits for the end of a program in the background, after a signal
// where one is given; its words are then in stdout and stderr.
func cmdEnds(ts *testscript.TestScript, _ bool, args []string) {
	j := stageOf(ts).named(ts, args[0])
	sig := syscall.Signal(0)
	if len(args) == 3 {
		sig = map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}[args[2]]
	}
	if !j.end(sig) || strconv.Itoa(j.code) != args[1] {
		ts.Fatalf("%s ended with %d, want %s\n%s%s", args[0], j.code, args[1], j.out.String(), j.err.String())
	}
	say(ts, j.out.String(), j.err.String())
	delete(stageOf(ts).jobs, args[0])
}

func (s *stage) named(ts *testscript.TestScript, name string) *job {
	j := s.jobs[name]
	if j == nil {
		ts.Fatalf("nothing named %q runs in the background", name)
	}
	return j
}

// say makes texts the stdout and stderr that the script's next commands look at.
func say(ts *testscript.TestScript, out, err string) {
	for _, w := range []struct {
		to   io.Writer
		text string
	}{{ts.Stdout(), out}, {ts.Stderr(), err}} {
		_, writeErr := io.WriteString(w.to, w.text)
		ts.Check(writeErr)
	}
}

// environ is the script's environment, which only a program that it runs can see.
func environ(ts *testscript.TestScript) []string {
	ts.Check(ts.Exec("env", "-0"))
	return strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\x00"), "\x00")
}
