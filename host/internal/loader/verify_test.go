package loader

import (
	"os"
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

// own gives the test a copy of the program that it may change.
func own(t *testing.T, s *setup, name string) string {
	t.Helper()
	path := s.install(name)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	copyFile(t, "/proc/self/exe", path)
	return path
}

func appendTo(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestS72_AnUnlockedProgramIsNotStarted(t *testing.T) {
	s := newSetup(t, "executor-good")
	s.loader.SetLock(&pluginlock.File{})
	_, err := s.start("executor-good")
	if !fault.Is(err, fault.PluginNotLocked) || !strings.Contains(fault.From(err).Hint, "drawspan plugin lock") {
		t.Errorf("Start = %v, want plugin_not_locked", err)
	}
	s.loader.SetLock(&pluginlock.File{Entries: []pluginlock.Entry{
		{Name: "executor-good", Hashes: map[string]string{"plan9_386": "sha256:" + strings.Repeat("0", 64)}},
	}})
	if _, err := s.start("executor-good"); !fault.Is(err, fault.PluginNotLocked) {
		t.Errorf("Start with another platform's digest = %v, want plugin_not_locked", err)
	}
	if _, err := s.start("executor-none"); !fault.Is(err, fault.PluginNotFound) {
		t.Errorf("Start of what is not installed = %v, want plugin_not_found", err)
	}
	for _, name := range []string{"executor-../good", "executor-", "executor-Good", "relay-good", "executor-a/b"} {
		if _, err := s.start(name); !fault.Is(err, fault.PluginNotFound) {
			t.Errorf("Start(%q) = %v, want plugin_not_found", name, err)
		}
	}
	if len(s.launch.requests) > 0 {
		t.Error("something was launched")
	}
}

func TestS72_AChangedProgramIsNotStarted(t *testing.T) {
	s := newSetup(t)
	path := own(t, s, "executor-good")
	s.lock()
	for change, f := range map[string]func(){
		"before the first start": func() { appendTo(t, path) },
		"replaced": func() {
			if err := os.WriteFile(path+".new", []byte("other"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		f()
		_, err := s.start("executor-good")
		if !fault.Is(err, fault.PluginMismatch) {
			t.Fatalf("%s: Start = %v, want plugin_mismatch", change, err)
		}
		message := fault.From(err).Message
		if strings.Count(message, "sha256:") != 2 || !strings.Contains(fault.From(err).Hint, "drawspan plugin lock") {
			t.Errorf("%s: %v does not tell expected, actual and remedy", change, err)
		}
		if len(s.launch.requests) > 0 {
			t.Fatalf("%s: it was launched", change)
		}
	}
}

func TestS72_AProgramThatChangesAfterItWasStartedOnceIsHashedAgain(t *testing.T) {
	s := newSetup(t)
	path := own(t, s, "executor-good")
	s.lock()
	if _, err := s.mustStart("executor-good").Stop(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// Same length, same times as far as anybody can set them.
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("X"), info.Size()-1); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.start("executor-good"); !fault.Is(err, fault.PluginMismatch) {
		t.Errorf("Start = %v, want plugin_mismatch", err)
	}
}

// The swap between check and exec: what is executed is the sealed copy, so there is nothing to swap.
func TestS72_ASwapBetweenCheckAndExecChangesNothing(t *testing.T) {
	s := newSetup(t)
	path := own(t, s, "executor-good")
	s.lock()
	s.launch.before = func(r sandbox.Request) {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 66\n"), 0o755); err != nil {
			t.Error(err)
		}
		fd := int(r.Program.Fd())
		const all = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
		if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || seals&all != all {
			t.Errorf("seals = %x, %v", seals, err)
		}
		if _, err := unix.Write(fd, []byte("x")); err == nil {
			t.Error("the program's descriptor is writable")
		}
	}
	i := s.mustStart("executor-good")
	if _, _, err := run(t, i, "x"); err != nil {
		t.Errorf("Execute = %v", err)
	}
	if _, err := s.start("executor-good"); !fault.Is(err, fault.PluginMismatch) {
		t.Errorf("the next Start = %v, want plugin_mismatch", err)
	}
}

// The host keeps a validator alive, feeds it and uses its verdicts again by what the lock file says of it.
func TestS72_AValidatorThatIsNotWhatTheLockSaysOfItIsNotUsed(t *testing.T) {
	locked := pluginlock.Nature{Feeds: []string{sdk.FeedFacts, sdk.FeedPatch}, Pure: true, Resident: true}
	less := map[string]pluginlock.Nature{
		"nothing":    {},
		"other food": {Feeds: []string{sdk.FeedPatch}, Pure: true, Resident: true},
		"more food":  {Feeds: sdk.Feeds(), Pure: true, Resident: true},
		"not pure":   {Feeds: locked.Feeds, Resident: true},
		"no stayer":  {Feeds: locked.Feeds, Pure: true},
	}
	s := newSetup(t, "validator-pure", "validator-plain")
	for _, known := range []bool{false, true} { // by an earlier start
		for name, says := range less {
			s.lockAs("validator-pure", says)
			if _, err := s.start("validator-pure"); !fault.Is(err, fault.PluginMismatch) || !strings.Contains(fault.From(err).Hint, "drawspan plugin lock") {
				t.Errorf("locked as %s, known %v: Start = %v, want plugin_mismatch", name, known, err)
			}
		}
		s.lockAs("validator-plain", pluginlock.Nature{Pure: true})
		if _, err := s.start("validator-plain"); !fault.Is(err, fault.PluginMismatch) {
			t.Errorf("locked as pure, known %v: Start = %v, want plugin_mismatch", known, err)
		}
		for program, says := range map[string]pluginlock.Nature{"validator-pure": locked, "validator-plain": {}} {
			s.lockAs(program, says)
			if _, err := s.mustStart(program).Stop(t.Context(), 5*time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestALockThatDropsAProgramStopsItsStarts(t *testing.T) {
	s := newSetup(t, "executor-good")
	i := s.mustStart("executor-good")
	s.loader.SetLock(&pluginlock.File{})
	if _, err := s.start("executor-good"); !fault.Is(err, fault.PluginNotLocked) {
		t.Errorf("Start = %v, want plugin_not_locked", err)
	}
	if _, _, err := run(t, i, "x"); err != nil {
		t.Errorf("what ran before the lock changed: %v", err)
	}
}

func TestALockMayChangeAtAnyMoment(t *testing.T) {
	s := newSetup(t, "executor-good")
	lock, stop := s.loader.lock, make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.loader.SetLock(&pluginlock.File{})
				s.loader.SetLock(lock)
			}
		}
	})
	for range 5 {
		i, err := s.start("executor-good")
		if err == nil {
			_, err = i.Stop(t.Context(), time.Second)
		}
		if err != nil && !fault.Is(err, fault.PluginNotLocked) {
			t.Error(err)
		}
	}
	close(stop)
	changes.Wait()
}

func TestInspectLooksAtWhatIsNotLocked(t *testing.T) {
	s := newSetup(t, "executor-good")
	s.loader.SetLock(&pluginlock.File{})
	m, digest, err := s.loader.Inspect(t.Context(), "executor", "good")
	if err != nil || m.Name != "good" {
		t.Fatalf("Inspect = %+v, %v", m, err)
	}
	if want, err := pluginlock.DigestFile("/proc/self/exe"); err != nil || digest != want {
		t.Errorf("digest = %s, %v, want %s", digest, err, want)
	}
	if len(s.loader.seals) > 0 {
		t.Error("an unlocked program was kept")
	}
}
