package loader

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

func run(t *testing.T, i *Instance, text string) (sdk.Result, *events, error) {
	t.Helper()
	e := &events{}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := i.Execute(ctx, sdk.Attempt{ID: "att_1", Instruction: text}, e.take)
	return r, e, err
}

func TestAnAttemptRunsInItsOwnProcess(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	r, e, err := run(t, i, "the thing")
	if err != nil || r.StopReason != "end_turn" || !strings.Contains(e.text(), "did the thing") {
		t.Errorf("result = %+v, %v, events %s", r, err, e.text())
	}
	id := i.Identity()
	if id.Name != "good" || id.Kind != "executor" || id.Version != "1.0.0" || id.Protocol != "v1alpha" ||
		!strings.HasPrefix(id.Digest, "sha256:") {
		t.Errorf("identity = %+v", id)
	}
	death, err := i.Stop(t.Context(), 5*time.Second)
	if err != nil || !death.Proved {
		t.Errorf("Stop = %+v, %v", death, err)
	}
	if exit := i.Exit(); exit.Code != 0 || exit.Signal != 0 {
		t.Errorf("exit after a shutdown = %+v, want 0", exit)
	}
	again, err := i.Stop(t.Context(), time.Second)
	if err != nil || again.Took != death.Took {
		t.Errorf("Stop again = %+v, %v, want the same answer", again, err)
	}
}

func TestAPluginServedByGoPluginsOwnLibraryIsAsGood(t *testing.T) {
	s := newSetup(t, "executor-stock")
	i := s.mustStart("executor-stock")
	r, e, err := run(t, i, "the thing")
	if err != nil || r.StopReason != "end_turn" || !strings.Contains(e.text(), "did the thing") {
		t.Errorf("result = %+v, %v, events %s", r, err, e.text())
	}
	if death, err := i.Stop(t.Context(), 100*time.Millisecond); err != nil || !death.Proved {
		t.Errorf("Stop = %+v, %v", death, err)
	}
}

func TestAPluginIsConnectedToOnce(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	_, err := i.client.Hello(t.Context(), wire.Greeting{})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := connect(i.room, &net.UnixAddr{Net: "unix", Name: filepath.Join(i.room.path, "plugin")}, i.process.PID())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := wire.NewClient(stranger, wire.ClientOptions{}).Hello(t.Context(), wire.Greeting{}); !errors.Is(err, wire.ErrBroken) {
		t.Errorf("a second connection, with the secret: Hello = %v, want no connection", err)
	}
}

func TestAValidatorJudgesAndAnErrorIsNoPass(t *testing.T) {
	s := newSetup(t, "validator-good")
	i := s.mustStart("validator-good")
	var out strings.Builder
	v, err := i.Check(t.Context(), sdk.Check{Gate: "g"}, func(_ string, p []byte) error { out.Write(p); return nil })
	if err != nil || v.Outcome != sdk.Pass || out.String() != "judged g" {
		t.Errorf("verdict = %+v, %v, output %q", v, err, out.String())
	}
	if v, err := i.Check(t.Context(), sdk.Check{Gate: "error"}, nil); err != nil || v.Outcome != sdk.Error {
		t.Errorf("verdict = %+v, %v, want error", v, err)
	}
	v, err = i.Check(t.Context(), sdk.Check{Gate: "crash"}, nil)
	if !fault.Is(err, fault.PluginCrashed) || v.Outcome != "" {
		t.Errorf("verdict = %+v, %v, want plugin_crashed", v, err)
	}
}

func TestAQuestionIsAnsweredByInput(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	e := &events{on: func(ev sdk.Event) {
		if err := i.Input(t.Context(), ev.ItemID, sdk.Answer{Text: "this one", Answered: true}, sdk.Decision{}); err != nil {
			t.Error(err)
		}
		if err := i.Input(t.Context(), "other", sdk.Answer{}, sdk.Decision{}); !fault.Is(err, fault.NotFound) {
			t.Errorf("Input to an item that is not open = %v, want not_found", err)
		}
	}}
	r, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Instruction: "ask"}, e.take)
	if err != nil || r.Summary != "this one" {
		t.Errorf("result = %+v, %v", r, err)
	}
}

func TestCancelIsTheProtocolsAndStopIsTheKernels(t *testing.T) {
	s := newSetup(t, "executor-good")
	for text, wantCancelled := range map[string]bool{"hang": true, "ignore": false} {
		i := s.mustStart("executor-good")
		e := &events{on: func(sdk.Event) {
			if err := i.Cancel(t.Context(), "test"); err != nil {
				t.Error(err)
			}
			if !wantCancelled {
				go i.Stop(t.Context(), 0) //nolint:errcheck // asked again below
			}
		}}
		r, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Instruction: text}, e.take)
		if wantCancelled && (err != nil || r.StopReason != "cancelled") {
			t.Errorf("%s: result = %+v, %v, want cancelled", text, r, err)
		}
		if !wantCancelled && !fault.Is(err, fault.PluginCrashed) {
			t.Errorf("%s: %v, want plugin_crashed", text, err)
		}
		if death, err := i.Stop(t.Context(), time.Second); err != nil || !death.Proved {
			t.Errorf("%s: Stop = %+v, %v", text, death, err)
		}
	}
}

func TestHowAPluginDiesIsTold(t *testing.T) {
	s := newSetup(t, "executor-good")
	for text, want := range map[string]struct {
		exit  sandbox.Exit
		words string
	}{
		"panic":   {sandbox.Exit{Code: 2}, "panic: executor panic"},
		"exit0":   {sandbox.Exit{Code: 0}, ""},
		"exit3":   {sandbox.Exit{Code: 3}, "last words"},
		"sigkill": {sandbox.Exit{Signal: unix.SIGKILL}, ""},
	} {
		t.Run(text, func(t *testing.T) {
			i := s.mustStart("executor-good")
			_, _, err := run(t, i, text)
			var crash *Crash
			if !fault.Is(err, fault.PluginCrashed) || !errors.As(err, &crash) {
				t.Fatalf("Execute = %v, want plugin_crashed", err)
			}
			if crash.Exit != want.exit || !strings.Contains(string(crash.Stderr), want.words) {
				t.Errorf("crash = %+v with stderr %q, want %+v with %q", crash.Exit, crash.Stderr, want.exit, want.words)
			}
		})
	}
}

// A dead plugin ends its stream at once, even while a grandchild in a session of its own holds the
// pipes that it inherited. go-plugin's own runner needed 4.02 s for a grandchild of 4 s.
func TestADeathIsSeenAtOnceWithAGrandchildOnThePipes(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	var killed time.Time
	var grandchild int
	e := &events{on: func(ev sdk.Event) {
		var m struct{ Text string }
		if err := json.Unmarshal(ev.Data, &m); err != nil {
			t.Error(err)
		}
		grandchild, _ = strconv.Atoi(m.Text)
		killed = time.Now()
		if err := unix.Kill(i.process.PID(), unix.SIGKILL); err != nil {
			t.Error(err)
		}
	}}
	_, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Instruction: "grandchild"}, e.take)
	took := time.Since(killed)
	defer unix.Kill(grandchild, unix.SIGKILL) //nolint:errcheck // it may be gone
	if !fault.Is(err, fault.PluginCrashed) {
		t.Fatalf("Execute = %v, want plugin_crashed", err)
	}
	if unix.Kill(grandchild, 0) != nil {
		t.Error("the grandchild is gone already: nothing was tested")
	}
	t.Logf("seen after %v", took)
	if took > time.Second {
		t.Errorf("seen after %v", took)
	}
}

func TestTheStopOfAFrozenPluginIsBounded(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	frozen := make(chan struct{})
	e := &events{on: func(sdk.Event) { freeze(t, i); close(frozen) }}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go i.Execute(ctx, sdk.Attempt{ID: "att_1", Instruction: "hang"}, e.take) //nolint:errcheck // judged by Stop
	<-frozen
	const grace = 300 * time.Millisecond
	started := time.Now()
	death, err := i.Stop(t.Context(), grace)
	took := time.Since(started)
	t.Logf("stopped after %v at a grace of %v", took, grace)
	if err != nil || !death.Proved {
		t.Errorf("Stop = %+v, %v", death, err)
	}
	if took > grace+2*time.Second { // the bar is grace + 100 ms; a loaded machine gets slack
		t.Errorf("Stop took %v", took)
	}
}

func freeze(t *testing.T, i *Instance) {
	if err := unix.Kill(i.process.PID(), unix.SIGSTOP); err != nil {
		t.Error(err)
	}
}

func TestAFrozenPluginIsUnresponsive(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	e := &events{on: func(sdk.Event) { freeze(t, i) }}
	_, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Instruction: "hang"}, e.take)
	if !fault.Is(err, fault.PluginUnresponsive) {
		t.Errorf("Execute = %v, want plugin_unresponsive", err)
	}
}

func TestEveryWayNotToStartIsTyped(t *testing.T) {
	for program, want := range map[string]struct{ reason, words string }{
		"noise":   {StdoutPolluted, `hello \x1b[31mfrom a print`},
		"quit":    {Exited, "exited with code 7"},
		"mute":    {NoHandshake, ""},
		"slow":    {TimedOut, ""},
		"old":     {ProtocolMismatch, "protocol 99"},
		"netrpc":  {ProtocolMismatch, "netrpc"},
		"docker":  {BadAddress, "/run/docker.sock"},
		"tcp":     {BadAddress, "127.0.0.1:1"},
		"symlink": {BadAddress, "plugin1"},
		"file":    {BadAddress, "plugin1"},
		"sub":     {BadAddress, ""},
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, "executor-"+program)
			if program == "slow" {
				s.loader.opts.Times.Start = 300 * time.Millisecond
			}
			_, err := s.start("executor-" + program)
			var e *StartError
			if !fault.Is(err, fault.PluginStart) || !errors.As(err, &e) || e.Reason != want.reason {
				t.Fatalf("Start = %v, want plugin_start for %s", err, want.reason)
			}
			f := fault.From(err)
			if !strings.Contains(f.Message, want.words) || f.Hint == "" {
				t.Errorf("message %q, hint %q, want %q in the message", f.Message, f.Hint, want.words)
			}
			if program == "quit" && (e.Exit.Code != 7 || !strings.Contains(f.Hint, "no licence found")) {
				t.Errorf("exit %+v, hint %q", e.Exit, f.Hint)
			}
			if strings.ContainsRune(f.Error(), 0x1b) {
				t.Errorf("an escape sequence got through: %q", f.Error())
			}
		})
	}
}

func TestAFileThatIsNoProgramOfThisMachineIsNotLaunched(t *testing.T) {
	s := newSetup(t)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(self[:1<<16])
	other[18], other[19] = 22, 0 // the machine of the ELF header: S390
	for name, content := range map[string][]byte{
		"script": []byte("#!/bin/sh\necho hi\n"), "text": []byte("hello"), "empty": {}, "foreign": other,
	} {
		if err := os.WriteFile(filepath.Join(s.dir, "drawspan-executor-"+name), content, 0o755); err != nil {
			t.Fatal(err)
		}
		s.lock()
		_, err := s.start("executor-" + name)
		var e *StartError
		if !errors.As(err, &e) || e.Reason != BadFormat || !fault.Is(err, fault.PluginStart) {
			t.Errorf("%s: Start = %v, want %s", name, err, BadFormat)
		}
	}
	if len(s.launch.requests) > 0 {
		t.Error("something was launched")
	}
}

func TestARawPluginCannotMisleadTheDaemon(t *testing.T) {
	for how, code := range map[string]fault.Code{
		"raw-twice": fault.PluginProtocol, "raw-gap": fault.PluginProtocol, "raw-host": fault.PluginProtocol,
		"raw-drop": fault.PluginProtocol, "raw-cert": "",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, "executor-"+how)
			i := s.mustStart("executor-" + how)
			_, _, err := run(t, i, "x")
			if code == "" && err != nil || code != "" && !fault.Is(err, code) {
				t.Errorf("Execute = %v, want %s", err, code)
			}
		})
	}
	for how, code := range map[string]fault.Code{
		"raw-mute": fault.PluginStart, "raw-untyped": fault.PluginProtocol, "liar": fault.PluginProtocol,
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, "executor-"+how)
			if how == "raw-mute" {
				s.loader.opts.Times.Start = time.Second
			}
			_, err := s.start("executor-" + how)
			if !fault.Is(err, code) {
				t.Errorf("Start = %v, want %s", err, code)
			}
			if strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("an escape sequence got through: %q", err)
			}
		})
	}
}

func TestAReplyOf512MegabytesCostsTheDaemonLittle(t *testing.T) {
	s := newSetup(t, "executor-raw-big")
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // resets the peak
		t.Fatal(err)
	}
	before := peak(t)
	_, err := s.start("executor-raw-big")
	grown := peak(t) - before
	if !fault.Is(err, fault.PluginProtocol) {
		t.Errorf("Start = %v, want plugin_protocol", err)
	}
	t.Logf("peak resident size grew by %d KiB", grown)
	if grown > 16<<10 {
		t.Errorf("peak resident size grew by %d KiB", grown)
	}
}

// peak is the peak resident size of this process in KiB. Sealed copies of programs are not part of it.
func peak(t *testing.T) int {
	t.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The canary of F2: what is in the daemon's environment is not in a plugin's.
func TestF2_APluginGetsNothingOfTheDaemonsEnvironment(t *testing.T) {
	t.Setenv("DRAWSPAN_CANARY", "secret-canary")
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	r, _, err := run(t, i, "env")
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range strings.Split(r.Summary, "\n") {
		key, _, _ := strings.Cut(pair, "=")
		if !slices.Contains([]string{"DRAWSPAN_PLUGIN", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR"}, key) {
			t.Errorf("the plugin has %q", pair)
		}
	}
	if strings.Contains(r.Summary, "canary") {
		t.Errorf("the plugin's environment: %s", r.Summary)
	}
}

func TestWhatAPluginStartsFindsNeitherSecretNorSocket(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	r, _, err := run(t, i, "dir")
	if err != nil || !strings.Contains(r.Summary, "no such file or directory") {
		t.Errorf("the socket directory holds %q, %v, want it gone", r.Summary, err)
	}
}

func TestPrintsNeitherBlockNorFloodNorReachTheHandshake(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	if _, e, err := run(t, i, "print"); err != nil || !strings.Contains(e.text(), "printed") {
		t.Fatalf("Execute = %v after %s", err, e.text())
	}
	if _, err := i.Stop(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if tail := string(i.stderr.final()); !strings.Contains(tail, "print 19999\nto stderr 19999\n") || len(tail) > maxTail {
		t.Errorf("the end of standard error: %d bytes, %.200q", len(tail), tail[max(0, len(tail)-200):])
	}
	lines := strings.Count(s.log.String(), "\n")
	if lines > 3*logBurst || !strings.Contains(s.log.String(), "dropped_lines") {
		t.Errorf("%d lines were logged for 40001", lines)
	}
	if !strings.Contains(s.log.String(), "plugin=executor-good") || !strings.Contains(s.log.String(), "attempt=att_1") {
		t.Errorf("the log does not name plugin and attempt: %.300s", s.log.String())
	}
}

func TestTheDirectoryGoesWhateverThePluginDidToIt(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	if _, _, err := run(t, i, "litter"); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.loader.opts.RunDir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestLeftoversAreSweptWhenTheLoaderIsMade(t *testing.T) {
	s := newSetup(t)
	run := filepath.Join(shortDir(t), "run")
	if err := os.MkdirAll(filepath.Join(run, runPrefix+"123", "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run, "other"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := s.loader.opts
	o.RunDir = run
	if _, err := New(o); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(run)
	if err != nil || len(left) != 1 || left[0].Name() != "other" {
		t.Errorf("left: %v, %v, want what is not ours", left, err)
	}
}

func TestARefusedConfigurationNamesItsAttribute(t *testing.T) {
	s := newSetup(t, "executor-good")
	for config, attribute := range map[string]string{
		`{"word":"forbidden"}`: "word", `{"world":"x"}`: "world", `{"word":1}`: "word",
	} {
		_, err := s.loader.Start(t.Context(), Launch{Kind: "executor", Name: "good", Config: json.RawMessage(config)})
		var e *sdk.ConfigError
		if !fault.Is(err, fault.PluginConfig) || !errors.As(err, &e) || e.Attribute != attribute {
			t.Errorf("%s: Start = %v, want plugin_config for %s", config, err, attribute)
		}
	}
}

func TestTheManifestIsAskedOnceForEachProgram(t *testing.T) {
	s := newSetup(t, "executor-good")
	for range 3 {
		m, digest, err := s.loader.Manifest(t.Context(), "executor", "good")
		if err != nil || m.Version != "1.0.0" || len(m.Config) != 1 || digest == "" {
			t.Fatalf("Manifest = %+v, %s, %v", m, digest, err)
		}
	}
	if n := len(s.launch.requests); n != 1 {
		t.Errorf("%d launches for three questions", n)
	}
	r := s.launch.last()
	if r.Policy != s.loader.opts.DescribePolicy || r.Tree.Path != "" || len(r.Binds) != 1 {
		t.Errorf("asked in %+v", r)
	}
}

func TestAManyfoldStartOfOneProgramHashesItOnce(t *testing.T) {
	s := newSetup(t, "executor-good")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			i, err := s.start("executor-good")
			if err != nil {
				t.Error(err)
				return
			}
			if _, _, err := run(t, i, "x"); err != nil {
				t.Error(err)
			}
			if _, err := i.Stop(t.Context(), time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(s.loader.seals); n != 1 {
		t.Errorf("%d sealed copies", n)
	}
}

func TestNothingLeaksOverManyStarts(t *testing.T) {
	s := newSetup(t, "executor-good", "executor-quit", "executor-noise")
	cycle := func() {
		i := s.mustStart("executor-good")
		if _, _, err := run(t, i, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Stop(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"executor-quit", "executor-noise"} {
			if _, err := s.start(bad); err == nil {
				t.Fatal("it started")
			}
		}
	}
	cycle()
	files, routines := settled(t, 0, 0)
	const cycles = 12
	for range cycles {
		cycle()
	}
	afterFiles, afterRoutines := settled(t, files, routines)
	if afterFiles > files+2 || afterRoutines > routines+2 {
		t.Errorf("descriptors %d -> %d, goroutines %d -> %d over %d cycles", files, afterFiles, routines, afterRoutines, cycles)
	}
}

// settled counts descriptors and goroutines, once what is on its way out had its time.
func settled(t *testing.T, wantFiles, wantRoutines int) (files, routines int) {
	t.Helper()
	for deadline := time.After(5 * time.Second); ; {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		files, routines = len(entries), runtime.NumGoroutine()
		if wantFiles > 0 && files <= wantFiles && routines <= wantRoutines {
			return files, routines
		}
		select {
		case <-deadline:
			return files, routines
		case <-time.After(4 * drain):
			if wantFiles == 0 {
				return files, routines
			}
		}
	}
}

func TestAClosedLoaderStartsNothing(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	if err := s.loader.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-i.Done():
	default:
		t.Error("Close returned with a plugin alive")
	}
	if _, err := s.start("executor-good"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Start after Close = %v, want unavailable", err)
	}
}

func TestACallerThatGivesUpEndsTheStart(t *testing.T) {
	s := newSetup(t, "executor-slow")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("cancelled by the operator")
	s.launch.before = func(sandbox.Request) { time.AfterFunc(100*time.Millisecond, func() { cancel(why) }) }
	started := time.Now()
	_, err := s.loader.Start(ctx, Launch{Kind: "executor", Name: "slow"})
	if !errors.Is(err, why) || time.Since(started) > 5*time.Second {
		t.Errorf("Start = %v after %v, want the cause", err, time.Since(started))
	}
}

func TestALaunchThatIsRefusedIsToldInTheSandboxsWords(t *testing.T) {
	s := newSetup(t, "executor-good")
	s.launch.fail = fault.New(fault.SandboxUnavailable, "no user namespaces")
	if _, err := s.start("executor-good"); !fault.Is(err, fault.SandboxUnavailable) {
		t.Errorf("Start = %v, want sandbox_unavailable", err)
	}
	s.launch.fail = errors.New("odd")
	if _, err := s.start("executor-good"); !fault.Is(err, fault.PluginStart) {
		t.Errorf("Start = %v, want plugin_start", err)
	}
}

func TestInstalledNeedsNoLaunch(t *testing.T) {
	s := newSetup(t, "executor-good", "validator-good")
	got, err := s.loader.Installed()
	if err != nil || len(got) != 2 || got[0].Name != "executor-good" || len(s.launch.requests) > 0 {
		t.Errorf("Installed = %+v, %v", got, err)
	}
	var _ []pluginlock.Program = got
}
