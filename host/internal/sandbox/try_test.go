package sandbox_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
)

func itoa(n int) string { return strconv.Itoa(n) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestTryTellsWhatTheMachineCanDo(t *testing.T) {
	f := newFixture(t)
	checks := f.box.Try(deadline(t))
	state := make(map[string]string)
	for _, c := range checks {
		state[c.Name] = c.State
		if c.Detail == "" || (c.State != "ok") != (c.Fix != "") || strings.Contains(c.Fix, "\n") {
			t.Errorf("not fit to print: %+v", c)
		}
	}
	for _, name := range []string{"kernel", "sandbox", "back-end native", "back-end landlock", "landlock", "violation feed", "throw-away layers"} {
		if state[name] != "ok" {
			t.Errorf("%s is %q: %+v", name, state[name], checks)
		}
	}
	if state["cgroup v2"] == "" {
		t.Error("nothing is said of cgroups")
	}
	left, err := filepath.Glob(filepath.Join(f.state, "trial-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestALauncherThatCannotBeTrustedIsRefused(t *testing.T) {
	dir := realTemp(t)
	loose := write(t, filepath.Join(dir, "loose"), "x")
	if err := os.Chmod(loose, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"missing": filepath.Join(dir, "missing"), "a directory": dir, "writable by anybody": loose,
	} {
		_, err := sandbox.New(sandbox.Options{Launcher: path, StateDir: dir, Home: dir})
		if !fault.Is(err, fault.SandboxUnavailable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestTheLauncherIsTheOneThatWasThereAtTheStart(t *testing.T) {
	needSandbox(t)
	program, err := os.ReadFile(os.Getenv(launcherVariable))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(realTemp(t), "launcher")
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.New(sandbox.Options{Launcher: copied, StateDir: realTemp(t), Home: realTemp(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	if err := os.WriteFile(copied, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := box.Launch(deadline(t), sandbox.Request{Policy: isolated(), Path: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	if end := p.Exit(); end.Code != 0 || end.Lost != "" {
		t.Errorf("exit: %+v", end)
	}
	if got := vector(t, p).LauncherSHA256; len(got) != 64 {
		t.Errorf("digest %q", got)
	}
}

func TestWhatAKilledDaemonLeftIsRemoved(t *testing.T) {
	needSandbox(t)
	state, home := realTemp(t), realTemp(t)
	options := sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: state, Home: home}
	first, err := sandbox.New(options)
	if err != nil {
		t.Fatal(err)
	}
	// What a daemon that was killed leaves: the same names, and nobody who holds the locks.
	orphan := filepath.Join(state, "sandbox", "live-orphan")
	canary := filepath.Join(home, ".drawspan-canary-orphan")
	write(t, filepath.Join(orphan, "canary"), "x")
	write(t, canary, "x")
	second, err := sandbox.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if exists(orphan) || exists(canary) {
		t.Error("what was left behind is still there")
	}
	p, err := first.Launch(deadline(t), sandbox.Request{Policy: isolated(), Path: "/bin/true"})
	if err != nil {
		t.Fatalf("the living one lost its files: %v", err)
	}
	p.Exit()
	for _, s := range []*sandbox.Sandbox{first, second} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{filepath.Join(state, "sandbox"), home} {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 0 {
			t.Errorf("%s holds %v, %v", dir, entries, err)
		}
	}
}
