package loader

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

func TestAPluginIsConnectedToOnce(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	_, err := i.client.Hello(t.Context(), wire.Greeting{})
	if err != nil {
		t.Fatal(err)
	}
	second := newLink()
	second.found(filepath.Join(i.room.path, "plugin"), i.process.PID())
	stranger, err := second.connect(i.room.secret)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := wire.NewClient(stranger, wire.ClientOptions{}).Hello(t.Context(), wire.Greeting{}); !errors.Is(err, wire.ErrBroken) {
		t.Errorf("a second connection, with the secret: Hello = %v, want no connection", err)
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

func TestARefusedConfigurationNamesItsAttribute(t *testing.T) {
	s := newSetup(t, "executor-good")
	for config, attribute := range map[string]string{
		`{"word":"forbidden"}`: "word", `{"world":"x"}`: "world", `{"word":1}`: "word",
	} {
		_, err := s.loader.Start(t.Context(), Launch{Kind: "executor", Name: "good", Config: json.RawMessage(config)})
		var e *sdk.ConfigError
		if !fault.Is(err, fault.PluginConfig) || !errors.As(err, &e) || e.Attribute != attribute || !strings.Contains(err.Error(), e.Error()) {
			t.Errorf("%s: Start = %v, want plugin_config for %s", config, err, attribute)
		}
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
