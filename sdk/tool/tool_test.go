package tool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tool"
)

// This program is also the programs that are run.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "play" {
		play(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

func play(what string) {
	switch what {
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
	case "both":
		fmt.Print("to stdout\n")
		fmt.Fprint(os.Stderr, "to stderr\n")
		os.Exit(3)
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		dir, _ := os.Getwd()
		fmt.Println("dir", dir)
	case "flood":
		block := bytes.Repeat([]byte("0123456789abcde\n"), 4096)
		for range 1024 {
			os.Stdout.Write(block)
		}
	case "wait":
		fmt.Println("waiting")
		<-time.After(time.Minute)
	case "stubborn", "term":
		taken := make(chan os.Signal, 8)
		signal.Notify(taken, syscall.SIGINT)
		if what == "stubborn" {
			signal.Notify(taken, syscall.SIGTERM)
		}
		fmt.Println("waiting")
		for s := range taken {
			fmt.Println("got", s)
		}
	case "child", "daemon":
		p, err := os.StartProcess("/proc/self/exe", []string{"x", "play", "wait"}, &os.ProcAttr{
			Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: what == "daemon"},
		})
		if err != nil {
			panic(err)
		}
		fmt.Println("child", p.Pid)
		if what == "child" {
			<-time.After(time.Minute)
		}
	case "segv":
		signal.Reset()
		syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		<-time.After(10 * time.Second)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func playing(what string) tool.Command {
	return tool.Command{Argv: []string{"/proc/self/exe", "play", what}, Grace: 300 * time.Millisecond}
}

// collect is an output that keeps all.
type collect struct {
	mu  sync.Mutex
	out map[string]string
	on  func(text string)
}

func (c *collect) take(stream string, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		c.out = map[string]string{}
	}
	if len(p) > sdk.MaxLog {
		return fmt.Errorf("a piece of %d bytes", len(p))
	}
	c.out[stream] += string(p)
	if c.on != nil {
		c.on(c.out[stream])
	}
	return nil
}

func TestAProgramsOutputExitAndTimeAreTold(t *testing.T) {
	var c collect
	command := playing("both")
	command.Output, command.Env = c.take, []string{"GOCOVERDIR=" + t.TempDir()} // or a covered program says that it misses it
	r, err := tool.Run(t.Context(), command)
	if err != nil || r.ExitCode != 3 || r.Signal != "" || r.Stopped || r.Duration <= 0 {
		t.Errorf("Run = %+v, %v", r, err)
	}
	if c.out["stdout"] != "to stdout\n" || c.out["stderr"] != "to stderr\n" {
		t.Errorf("output = %q", c.out)
	}
	if !strings.Contains(r.Tail, "to stdout\n") || !strings.Contains(r.Tail, "to stderr\n") {
		t.Errorf("tail = %q", r.Tail)
	}
}

func TestStdinArrivesAndEnds(t *testing.T) {
	text := strings.Repeat("--flag 'quoted' $HOME\n", 20000)
	var c collect
	command := playing("cat")
	command.Stdin, command.Output = strings.NewReader(text), c.take
	if r, err := tool.Run(t.Context(), command); err != nil || r.ExitCode != 0 || c.out["stdout"] != text {
		t.Errorf("Run = %+v, %v, %d bytes of %d", r, err, len(c.out["stdout"]), len(text))
	}
}

func TestAProgramThatIgnoresItsStdinIsNotAnError(t *testing.T) {
	command := playing("both")
	command.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	if r, err := tool.Run(t.Context(), command); err != nil || r.ExitCode != 3 {
		t.Errorf("Run = %+v, %v", r, err)
	}
}

func TestTheProtocolsVariablesDoNotReachTheProgram(t *testing.T) {
	t.Setenv("INHERITED", "no")
	own := []string{"PLUGIN_UNIX_SOCKET_DIR=/run/plugin", "DRAWSPAN_PLUGIN=cookie", "KEPT=yes"}
	var c collect
	command := playing("env")
	command.Dir, command.Env, command.Output = t.TempDir(), tool.Environ(own, map[string]string{"ADDED": "1"}), c.take
	if _, err := tool.Run(t.Context(), command); err != nil {
		t.Fatal(err)
	}
	out := c.out["stdout"]
	if strings.Contains(out, "PLUGIN") || strings.Contains(out, "INHERITED") || !strings.Contains(out, "KEPT=yes") || !strings.Contains(out, "ADDED=1") ||
		!strings.Contains(out, "dir "+command.Dir) {
		t.Errorf("environment: %s", out)
	}
}

func TestAFloodIsStreamedAndOnlyItsEndIsKept(t *testing.T) {
	total := 0
	command := playing("flood")
	command.Output = func(stream string, p []byte) error {
		if stream == "stdout" {
			total += len(p)
		}
		return nil
	}
	r, err := tool.Run(t.Context(), command)
	if err != nil || total != 64<<20 || len(r.Tail) > 16<<10 {
		t.Errorf("Run = %v with %d bytes, tail of %d", err, total, len(r.Tail))
	}
}

func TestTheLadderEndsWhatDoesNotListen(t *testing.T) {
	for what, signal := range map[string]string{"wait": "SIGINT", "term": "SIGTERM", "stubborn": "SIGKILL"} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			c := collect{on: func(text string) {
				if strings.Contains(text, "waiting\n") {
					cancel()
				}
			}}
			command := playing(what)
			command.Output = c.take
			r, err := tool.Run(ctx, command)
			// The Go runtime turns an unhandled SIGINT and SIGTERM into that signal's own death.
			if err != nil || !r.Stopped || r.Signal != signal {
				t.Errorf("Run = %+v, %v, want it ended by %s", r, err, signal)
			}
		})
	}
}

func TestTheWholeGroupIsEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pid := 0
	c := collect{on: func(text string) {
		if strings.Contains(text, "waiting") {
			fmt.Sscanf(text, "child %d", &pid)
			cancel()
		}
	}}
	command := playing("child")
	command.Output = c.take
	if r, err := tool.Run(ctx, command); err != nil || !r.Stopped {
		t.Errorf("Run = %+v, %v", r, err)
	}
	for deadline := time.After(5 * time.Second); alive(pid); {
		select {
		case <-deadline:
			t.Fatalf("process %d of the group lives", pid)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// alive is false for a zombie, which only waits for its parent.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

func TestAProcessThatOutlivesTheProgramDoesNotKeepRun(t *testing.T) {
	pid := 0
	c := collect{on: func(text string) { fmt.Sscanf(text, "child %d", &pid) }}
	command := playing("daemon")
	command.Output = c.take
	started := time.Now()
	r, err := tool.Run(t.Context(), command)
	defer syscall.Kill(pid, syscall.SIGKILL)
	if err != nil || r.ExitCode != 0 || !alive(pid) {
		t.Errorf("Run = %+v, %v, child %d alive %t", r, err, pid, alive(pid))
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAnErrorOfTheOutputEndsTheProgram(t *testing.T) {
	full := errors.New("no room")
	command := playing("wait")
	command.Output = func(string, []byte) error { return full }
	if r, err := tool.Run(t.Context(), command); !errors.Is(err, full) || !r.Stopped {
		t.Errorf("Run = %+v, %v", r, err)
	}
}

func TestADeathBySignalIsTold(t *testing.T) {
	r, err := tool.Run(t.Context(), playing("kill"))
	if err != nil || r.Signal != "SIGKILL" || r.ExitCode != -1 || r.Stopped {
		t.Errorf("Run = %+v, %v", r, err)
	}
}

func TestAProgramThatCannotBeStartedIsAnError(t *testing.T) {
	for _, argv := range [][]string{nil, {""}, {"/no/such/program"}, {"no-such-program-in-path"}, {t.TempDir()}} {
		if r, err := tool.Run(t.Context(), tool.Command{Argv: argv}); !errors.Is(err, tool.ErrNoProgram) {
			t.Errorf("Run(%q) = %+v, %v, want ErrNoProgram", argv, r, err)
		}
	}
}

func TestLastLines(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a", "a\nb\nc\n": "b\nc", "\n\n": ""} {
		if got := tool.LastLines(in, 2); got != want {
			t.Errorf("LastLines(%q) = %q, want %q", in, got, want)
		}
	}
}
