package loader

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
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
			_, e, err := run(t, i, text)
			if text == "panic" && !strings.Contains(e.text(), "about to panic") {
				t.Errorf("what was told before the crash is lost: %s", e.text())
			}
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

// peak is the peak resident size of this process in KiB. Sealed copies of programs are not part of it.
// The canary of F2: what is in the daemon's environment is not in a plugin's.
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
	const cycles = 6
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

func TestInstalledNeedsNoLaunch(t *testing.T) {
	s := newSetup(t, "executor-good", "validator-good")
	got, err := s.loader.Installed()
	if err != nil || len(got) != 2 || got[0].Name != "executor-good" || len(s.launch.requests) > 0 {
		t.Errorf("Installed = %+v, %v", got, err)
	}
	var _ []pluginlock.Program = got
}
