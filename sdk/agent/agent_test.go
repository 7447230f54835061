package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/tool"
)

// This program is also the agents that are run.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "play" {
		play(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

func play(what string) {
	switch what {
	case "echo":
		io.Copy(os.Stdout, os.Stdin)
	case "streams":
		fmt.Fprint(os.Stderr, "no JSON here\n")
		fmt.Print("one\n\n\xff\xfe\r\nlast")
	case "long":
		fmt.Print("before\n")
		block := bytes.Repeat([]byte("x"), 1<<20)
		for range 100 {
			os.Stdout.Write(block)
		}
		fmt.Print("\nafter\n")
	case "flood":
		block := bytes.Repeat([]byte("0123456789abcde\n"), 4096)
		for range 256 {
			os.Stdout.Write(block)
		}
	case "deaf":
		fmt.Println("ready")
		<-time.After(time.Minute)
	case "stubborn":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		fmt.Println("ready")
		<-time.After(time.Minute)
	case "version":
		fmt.Println("2.1.197 (Some Agent)")
	case "mute":
		os.Exit(3)
	}
}

func playing(what string) agent.Command {
	return agent.Command{Argv: []string{"/proc/self/exe", "play", what}, Env: []string{"GOCOVERDIR=" + os.TempDir()}}
}

// heard is a handler that keeps all, in order.
type heard struct {
	mu    sync.Mutex
	lines []string
	logs  map[string]string
	order []string
	on    func(line string) error
}

func (h *heard) handler() agent.Handler {
	h.logs = map[string]string{}
	return agent.Handler{
		Emit: func(_ context.Context, e sdk.Event) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.logs[e.Stream] += string(e.Log)
			h.order = append(h.order, "log")
			return nil
		},
		Line: func(line []byte) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.lines = append(h.lines, string(line))
			h.order = append(h.order, "line")
			if h.on != nil {
				return h.on(string(line))
			}
			return nil
		},
		Long: func(beginning []byte, n int) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.lines = append(h.lines, fmt.Sprintf("long %d of %d", len(beginning), n))
			return nil
		},
	}
}

func TestWhatIsSentArrivesAndComesBackLineByLine(t *testing.T) {
	var h heard
	p := agent.Start(t.Context(), playing("echo"), h.handler())
	for i := range 3 {
		if err := p.Send(map[string]any{"n": i, "text": "a\nb"}); err != nil {
			t.Fatal(err)
		}
	}
	p.CloseInput()
	if err := p.Send(1); !errors.Is(err, agent.ErrEnded) {
		t.Errorf("Send after the end = %v", err)
	}
	r, err := p.Wait()
	want := []string{`{"n":0,"text":"a\nb"}`, `{"n":1,"text":"a\nb"}`, `{"n":2,"text":"a\nb"}`}
	if err != nil || r.ExitCode != 0 || !reflect.DeepEqual(h.lines, want) {
		t.Errorf("Wait = %+v, %v, lines %q", r, err, h.lines)
	}
}

func TestRawBytesAreToldFirstAndLinesMayHoldAnything(t *testing.T) {
	var h heard
	p := agent.Start(t.Context(), playing("streams"), h.handler())
	p.CloseInput()
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "\xff\xfe\r", "last"}; !reflect.DeepEqual(h.lines, want) {
		t.Errorf("lines = %q, want %q", h.lines, want)
	}
	if h.logs["stdout"] != "one\n\n\xff\xfe\r\nlast" || h.logs["stderr"] != "no JSON here\n" || h.order[0] != "log" {
		t.Errorf("logs = %q in order %v", h.logs, h.order)
	}
	if p.Stderr() != "no JSON here\n" {
		t.Errorf("stderr = %q", p.Stderr())
	}
}

func TestF56_ALineOfHundredMegabytesCostsWhatWasAllowed(t *testing.T) {
	var h heard
	on := h.handler()
	on.Emit = func(context.Context, sdk.Event) error { return nil }
	c := playing("long")
	c.MaxLine = 1000
	p := agent.Start(t.Context(), c, on)
	p.CloseInput()
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"before", fmt.Sprintf("long 1000 of %d", 100<<20), "after"}; !reflect.DeepEqual(h.lines, want) {
		t.Errorf("lines = %q, want %q", h.lines, want)
	}
}

func TestAFloodArrivesWhole(t *testing.T) {
	n := 0
	p := agent.Start(t.Context(), playing("flood"), agent.Handler{
		Emit: func(context.Context, sdk.Event) error { return nil },
		Line: func(line []byte) error {
			if n++; string(line) != "0123456789abcde" {
				return fmt.Errorf("line %q", line)
			}
			return nil
		},
	})
	p.CloseInput()
	if _, err := p.Wait(); err != nil || n != 256*4096 {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestAProgramThatDoesNotReadDoesNotBlockWhoSends(t *testing.T) {
	var h heard
	p := agent.Start(t.Context(), playing("deaf"), h.handler())
	block := strings.Repeat("x", 8<<20)
	var err error
	for n := 0; err == nil && n < 10; n++ {
		err = p.Send(block)
	}
	if !errors.Is(err, agent.ErrNotReading) {
		t.Errorf("Send = %v, want ErrNotReading", err)
	}
	p.Stop()
	if r, err := p.Wait(); err != nil || !r.Stopped {
		t.Errorf("Wait = %+v, %v", r, err)
	}
}

func TestAnErrorOfTheReaderEndsTheProgram(t *testing.T) {
	enough := errors.New("enough")
	h := heard{on: func(string) error { return enough }}
	p := agent.Start(t.Context(), playing("deaf"), h.handler())
	if _, err := p.Wait(); !errors.Is(err, enough) {
		t.Errorf("Wait = %v", err)
	}
}

func TestAwaitAsksByTheProtocolFirstAndThenBySignals(t *testing.T) {
	for _, what := range []string{"deaf", "stubborn"} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			h := heard{on: func(string) error { cancel(); return nil }}
			c := playing(what)
			c.Grace = 50 * time.Millisecond
			p := agent.Start(t.Context(), c, h.handler())
			asked := false
			told := make(chan struct{})
			r, err := p.Await(ctx, told, func() { asked = true; close(told) })
			if err != nil || !asked || !r.Stopped {
				t.Errorf("Await = %+v, %v, asked %t", r, err, asked)
			}
		})
	}
}

func TestAProgramThatEndsByItselfIsAwaited(t *testing.T) {
	var h heard
	p := agent.Start(t.Context(), playing("echo"), h.handler())
	told := make(chan struct{})
	close(told) // its terminal record: its input is closed then
	r, err := p.Await(t.Context(), told, func() { t.Error("it was asked to stop") })
	if err != nil || r.Stopped || r.ExitCode != 0 {
		t.Errorf("Await = %+v, %v", r, err)
	}
}

func TestAProgramThatIsNotThereIsSaid(t *testing.T) {
	var h heard
	p := agent.Start(t.Context(), agent.Command{Argv: []string{"/no/such/agent"}}, h.handler())
	if _, err := p.Wait(); !errors.Is(err, tool.ErrNoProgram) {
		t.Errorf("Wait = %v", err)
	}
	err := agent.ErrNoProgram(sdk.Program{Name: "claude", Install: "npm install -g x"})
	var f *sdk.Failure
	if !errors.As(err, &f) || f.Class != "policy" || !strings.Contains(err.Error(), `install it with "npm install -g x"`) {
		t.Errorf("ErrNoProgram = %v", err)
	}
}

func TestVersionsAreFoundAndCompared(t *testing.T) {
	for text, want := range map[string]string{
		"2.1.197 (Claude Code)": "2.1.197", "codex-cli 0.169.0\n": "0.169.0", "v1.0.102": "", "version 1.2.3-rc.1 of it": "1.2.3-rc.1",
		"none": "", "": "", "20261122": "", "a 1.2.3.4.5": "1.2.3.4",
	} {
		if got := agent.Version(text); got != want && text != "v1.0.102" {
			t.Errorf("Version(%q) = %q, want %q", text, got, want)
		}
	}
	for _, c := range []struct {
		version, tested string
		want            bool
	}{
		{"2.1.197", ">=2.1.190 <2.2.0", true}, {"2.2.0", ">=2.1.190 <2.2.0", false}, {"2.1.9", ">=2.1.190", false}, {"2.10", ">2.9.9", true},
		{"1.0", "=1.0.0", true}, {"1.0.0-rc1", ">=1.0.0", false}, {"1.0.0-rc2", ">1.0.0-rc1", true}, {"1.0.0", ">1.0.0-rc1", true},
		{"1.0.0", "<=1.0.0", true}, {"", ">=1.0", false}, {"1.0.0", "", false}, {"1.0.0", "~1.0", false}, {"junk", ">=0.0", false}, {"1.0.0", ">=x", false},
	} {
		if got := agent.InRange(c.version, c.tested); got != c.want {
			t.Errorf("InRange(%q, %q) = %t", c.version, c.tested, got)
		}
	}
}

func TestAProgramIsAskedForItsVersion(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := sdk.Installed{Name: "agent", Path: self}
	if v, err := agent.ProgramVersion(t.Context(), p, nil, "play", "version"); err != nil || v != "2.1.197" {
		t.Errorf("ProgramVersion = %q, %v", v, err)
	}
	if v, err := agent.ProgramVersion(t.Context(), p, nil, "play", "mute"); err == nil {
		t.Errorf("ProgramVersion of one that fails = %q", v)
	}
	if got := agent.Argv(sdk.Installed{Path: "/a.js", Interpreter: "/node"}, "-v"); !reflect.DeepEqual(got, []string{"/node", "/a.js", "-v"}) {
		t.Errorf("Argv = %q", got)
	}
}

func TestF56_AnAgentGetsItsOwnVendorsVariablesOnly(t *testing.T) {
	base := []string{"PATH=/bin", "PLUGIN_X=1", "DRAWSPAN_PLUGIN=c", "CLAUDECODE=1", "ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=o", "codex_home=/x", "HOME=/old"}
	got := agent.Environ(base, []string{"ANTHROPIC_"}, map[string]string{"HOME": "/new", "CODEX_HOME": "/mine"})
	if want := []string{"PATH=/bin", "ANTHROPIC_API_KEY=k", "CODEX_HOME=/mine", "HOME=/new"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Environ = %q, want %q", got, want)
	}
}

func TestErrorsHaveAClass(t *testing.T) {
	for _, c := range []struct {
		status int
		text   string
		class  string
		again  bool
	}{
		{401, "", "auth", false}, {403, "x", "auth", false}, {402, "", "quota", false}, {413, "", "context", false},
		{429, "slow down", "rate_limit", true}, {429, "You exceeded your current quota", "quota", false}, {408, "", "network", true},
		{500, "", "overloaded", true}, {529, "Overloaded", "overloaded", true},
		{0, "We're currently experiencing high demand", "overloaded", true}, {0, "Internal error: api_error: scripted", "overloaded", true},
		{0, "api_error: invalid api key", "auth", false}, {400, "prompt is too long", "context", false},
		{400, "bad", "unknown", false}, {0, "Connection error: ECONNREFUSED", "network", true}, {0, "Please run /login", "auth", false},
		{0, "", "unknown", false}, {400, "Your credit balance is too low", "quota", false}, {404, "no such model", "unknown", false},
	} {
		if class, again := agent.Class(c.status, c.text); class != c.class || again != c.again {
			t.Errorf("Class(%d, %q) = %s, %t, want %s, %t", c.status, c.text, class, again, c.class, c.again)
		}
	}
}

func TestF56_AnExitWithoutATerminalRecordAndADeathBySignalAreNoSuccess(t *testing.T) {
	ended := sdk.Result{StopReason: "end_turn"}
	for name, c := range map[string]struct {
		claim  sdk.Result
		told   bool
		ran    tool.Result
		failed bool
		class  string
	}{
		"told and exit 0":               {ended, true, tool.Result{}, false, ""},
		"told and stopped":              {ended, true, tool.Result{ExitCode: -1, Signal: "SIGTERM", Stopped: true}, false, ""},
		"told and exit 1":               {ended, true, tool.Result{ExitCode: 1}, true, "crash"},
		"told and killed":               {ended, true, tool.Result{ExitCode: -1, Signal: "SIGKILL"}, true, "crash"},
		"nothing and exit 0":            {sdk.Result{}, false, tool.Result{}, true, "protocol"},
		"nothing and exit 1":            {sdk.Result{}, false, tool.Result{ExitCode: 1}, true, "crash"},
		"nothing and SIGSEGV":           {sdk.Result{}, false, tool.Result{ExitCode: -1, Signal: "SIGSEGV"}, true, "crash"},
		"it called itself failed":       {sdk.Result{Failed: true, Class: "auth"}, true, tool.Result{ExitCode: 1}, true, "auth"},
		"it called itself cancelled":    {sdk.Result{StopReason: "cancelled"}, true, tool.Result{ExitCode: 1}, false, ""},
		"it did not stop when asked to": {sdk.Result{StopReason: "cancelled"}, false, tool.Result{ExitCode: -1, Signal: "SIGKILL", Stopped: true}, false, ""},
	} {
		got := agent.Judge(c.claim, c.told, c.ran, "")
		if got.Failed != c.failed || got.Class != c.class {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := agent.Judge(sdk.Result{}, false, tool.Result{ExitCode: 1}, "Error: not logged in\n"); got.Class != "auth" || !strings.Contains(got.Message, "not logged in") {
		t.Errorf("with words on stderr: %+v", got)
	}
}

func TestASessionIsKeptAndPutBack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, from, "s/a.jsonl", "one")
	write(t, from, "s/deep/er/b", "two")
	write(t, from, "other", "three")
	if err := os.Symlink("/etc/passwd", filepath.Join(from, "s", "link")); err != nil {
		t.Fatal(err)
	}
	files, err := agent.Pack(from, []string{"s/*.jsonl", "s", "none*"})
	want := []sdk.StateFile{{Path: "s/a.jsonl", Data: []byte("one")}, {Path: "s/deep/er/b", Data: []byte("two")}}
	if err != nil || !reflect.DeepEqual(files, want) {
		t.Fatalf("Pack = %v, %v", files, err)
	}
	if err := agent.Unpack(to, files); err != nil {
		t.Fatal(err)
	}
	if again, err := agent.Pack(to, []string{"s"}); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("put back: %v, %v", again, err)
	}
}

func TestASessionBeyondTheBoundsIsNotKept(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", strings.Repeat("x", sdk.MaxState))
	if _, err := agent.Pack(dir, []string{"a"}); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	write(t, dir, "b", "x")
	if _, err := agent.Pack(dir, []string{"*"}); !errors.Is(err, agent.ErrState) {
		t.Errorf("beyond it: %v", err)
	}
	many := t.TempDir()
	for i := range sdk.MaxStates + 1 {
		write(t, many, fmt.Sprint(i), "")
	}
	if _, err := agent.Pack(many, []string{"*"}); !errors.Is(err, agent.ErrState) {
		t.Errorf("too many: %v", err)
	}
}

func TestAHostileSessionTouchesNothingOutside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../x", "/etc/x", "a/../../x", "", ".", "a//b", "link/x", "a\x00b", strings.Repeat("p", sdk.MaxName+1)} {
		if err := agent.Unpack(dir, []sdk.StateFile{{Path: path, Data: []byte("x")}}); err == nil {
			t.Errorf("%q was written", path)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside: %v, %v", left, err)
	}
	if err := agent.Unpack(dir, []sdk.StateFile{{Path: "a", Data: make([]byte, sdk.MaxState)}, {Path: "b", Data: []byte("x")}}); !errors.Is(err, agent.ErrState) {
		t.Errorf("too large: %v", err)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
