package loader

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/pluginlock"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// builtin installs a plugin of the project's own, freshly built.
func (s *sandboxedSetup) builtin(name string) {
	s.t.Helper()
	cmd := exec.Command("go", "build", "-o", filepath.Join(s.dir, pluginlock.Prefix+name), "github.com/drawspan/drawspan/plugins/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	s.lock()
}

func (s *sandboxedSetup) configured(program, config, mode string) *Instance {
	s.t.Helper()
	kind, name, _ := strings.Cut(program, "-")
	i, err := s.loader.Start(s.t.Context(), Launch{
		Kind: kind, Name: name, Config: json.RawMessage(config), Policy: &work.SandboxPolicy{Name: "test", Level: "isolated"},
		AttemptID: "att_1", Tree: s.tree, Mode: mode,
	})
	if fault.Is(err, fault.SandboxUnavailable) {
		s.t.Skipf("no sandbox on this machine: %v", err)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

func TestInTheSandbox_ScriptedMisbehaviourIsContained(t *testing.T) {
	s := newSandboxed(t)
	s.builtin("executor-script")
	canary := filepath.Join(filepath.Dir(s.tree), "canary")
	if err := os.WriteFile(canary, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	play := fmt.Sprintf(`{"play":[
		{"edit":{"path":"ok","content":"x"}}, {"read":{"path":%[1]q}}, {"write":{"path":"/drawspan-test","content":"x"}},
		{"write":{"path":"/usr/x"}}, {"connect":{"address":%[2]q}}, {"environ":{}},
		{"spawn":{"count":100,"detach":true,"deaf":true,"sleep":"7m31s","keep_pipe":true}}, {"hang":{"ignore_cancel":true}}]}`,
		canary, listener.Addr().String())
	i := s.configured("executor-script", play, sandbox.TreeWritable)
	if !i.Identity().Simulated {
		t.Error("a simulator that is not marked as one")
	}
	e := &events{on: func(ev sdk.Event) {
		if strings.Contains(string(ev.Data), "hanging") {
			if n := marked(t); n != 100 {
				t.Errorf("%d processes run, want 100", n)
			}
			go i.Stop(t.Context(), 0) //nolint:errcheck // asked again below
		}
	}}
	if _, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Tree: s.tree}, e.take); !fault.Is(err, fault.PluginCrashed) {
		t.Errorf("Execute = %v, want plugin_crashed", err)
	}
	death, err := i.Stop(t.Context(), 0)
	if err != nil || !death.Proved || marked(t) != 0 {
		t.Errorf("Stop = %+v, %v, %d processes left", death, err, marked(t))
	}
	said := e.text()
	for _, want := range []string{
		"read " + canary + ": no such file", "write /drawspan-test: ", "write /usr/x: read-only file system", "connect " + listener.Addr().String() + ": ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the kernel did not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, ": ok") {
		t.Errorf("something succeeded:\n%s", said)
	}
	if _, err := os.Stat("/drawspan-test"); err == nil {
		t.Error("a file was written outside the tree")
	}
}

// marked counts the processes that the play above spawns: by how long they sleep.
func marked(t *testing.T) (n int) {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range environments {
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(`"Life":451000000000,"Children":0`)) {
			n++
		}
	}
	return n
}

func TestInTheSandbox_AFloodEndsWhenItsTakerHasEnough(t *testing.T) {
	s := newSandboxed(t)
	s.builtin("executor-script")
	i := s.configured("executor-script", `{"play":[{"flood":{}}]}`, sandbox.TreeWritable)
	enough, taken := errors.New("output cap"), 0
	_, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Tree: s.tree}, func(_ context.Context, ev sdk.Event) error {
		if taken += len(ev.Log); taken > 8<<20 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("Execute = %v, want the taker's own error", err)
	}
	if death, err := i.Stop(t.Context(), time.Second); err != nil || !death.Proved {
		t.Errorf("Stop = %+v, %v", death, err)
	}
}

func TestInTheSandbox_DeclaredProgramsRunAndJudge(t *testing.T) {
	s := newSandboxed(t)
	s.builtin("executor-command")
	s.builtin("validator-command")
	i := s.configured("executor-command", `{"program":["sh","-c","cat > said; echo \"$DRAWSPAN_STEP_FILE\"; cat \"$DRAWSPAN_STEP_FILE\"; env"],"file":true}`, sandbox.TreeWritable)
	e := &events{}
	r, err := i.Execute(t.Context(), sdk.Attempt{ID: "att_1", Tree: s.tree, Instruction: "the step's text"}, e.take)
	if err != nil || r.Failed || !strings.Contains(e.text(), "the step's text") || strings.Contains(e.text(), "PLUGIN_") {
		t.Errorf("result = %+v, %v, events %s", r, err, e.text())
	}
	if _, err := i.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	if said, err := os.ReadFile(filepath.Join(s.tree, "said")); err != nil || string(said) != "the step's text" {
		t.Errorf("said = %q, %v", said, err)
	}
	v := s.configured("validator-command", `{"run":["sh","-c","echo judging; test -e said && rm said && echo x > more"]}`, sandbox.TreeOverlay)
	verdict, err := v.Check(t.Context(), sdk.Check{AttemptID: "att_1", Tree: s.tree}, func(string, []byte) error { return nil })
	if err != nil || verdict.Outcome != sdk.Pass || verdict.Ran == nil {
		t.Errorf("verdict = %+v, %v", verdict, err)
	}
	if _, err := v.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.tree); err != nil || len(left) != 1 || left[0].Name() != "said" {
		t.Errorf("a judge changed the tree: %v, %v", left, err)
	}
}
