package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/wire"
)

// The processes that spawn starts are this program again.
func TestMain(m *testing.M) {
	if spawned() {
		return
	}
	os.Exit(m.Run())
}

func TestContract(t *testing.T) {
	sdktest.RunExecutor(t, sdktest.ExecutorSuite{
		Manifest: manifest, New: func() any { return script{} },
		Config: json.RawMessage(`{"play":[
			{"edit":{"path":"a/b.txt","content":"x"}}, {"output":{"text":"hello\n","repeat":3}}, {"message":{"text":"done"}}
		]}`),
		SlowConfig: json.RawMessage(`{"play":[{"hang":{}}]}`),
	})
}

// played plays a list, and answers what it asks.
func played(t *testing.T, tree, list string) (sdk.Result, *sdktest.Harness) {
	t.Helper()
	h := sdktest.Serve(t, manifest, script{})
	h.Configure(t, json.RawMessage(`{"play":[`+list+`]}`))
	h.Events.On = func(e sdk.Event) {
		if e.Type != sdk.EventQuestionAsked && e.Type != sdk.EventPermissionAsked {
			return
		}
		answer, decision := sdk.Answer{Text: "the second", Answered: e.ItemID != "silence"}, sdk.Decision{Allowed: e.ItemID == "yes", Rule: "test"}
		if err := h.Client.Input(t.Context(), "att_1", e.ItemID, answer, decision); err != nil {
			t.Error(err)
		}
	}
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Tree: tree})
	if err != nil {
		t.Fatal(err)
	}
	return r, h
}

// said is the texts of the messages.
func said(t *testing.T, h *sdktest.Harness) []string {
	t.Helper()
	var all []string
	for _, e := range h.Events.Of(sdk.EventMessage) {
		var m struct{ Text string }
		if err := json.Unmarshal(e.Data, &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m.Text)
	}
	return all
}

func TestEditsChangeTheTreeAndNeverLeaveIt(t *testing.T) {
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "old"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, _ := played(t, tree, `
		{"edit":{"path":"dir/new","content":"new"}}, {"edit":{"path":"old","append":"er"}}, {"edit":{"path":"old","mode":"0755"}},
		{"edit":{"path":"gone","content":""}}, {"edit":{"path":"gone","delete":true}}, {"edit":{"path":"link","symlink":"../../out"}},
		{"edit":{"path":"run","content":"#!","mode":"0700"}}`)
	if r.Failed {
		t.Fatalf("result = %+v", r)
	}
	got := map[string]string{}
	for _, name := range []string{"dir/new", "old", "run", "gone"} {
		content, err := os.ReadFile(filepath.Join(tree, name))
		if info, statErr := os.Stat(filepath.Join(tree, name)); statErr == nil {
			got[name] = fmt.Sprintf("%s %v", content, info.Mode().Perm())
		} else {
			got[name] = fmt.Sprint(os.IsNotExist(err))
		}
	}
	want := map[string]string{"dir/new": "new -rw-r--r--", "old": "older -rwxr-xr-x", "run": "#! -rwx------", "gone": "true"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("tree = %v, want %v", got, want)
	}
	if target, err := os.Readlink(filepath.Join(tree, "link")); err != nil || target != "../../out" {
		t.Errorf("link = %q, %v", target, err)
	}
	for _, path := range []string{"../x", "/tmp/x", "link/x"} {
		if r, _ := played(t, tree, `{"edit":{"path":"`+path+`","content":"x"}}`); !r.Failed || !strings.Contains(r.Message, "entry 1") {
			t.Errorf("edit of %s: result = %+v", path, r)
		}
	}
}

func TestQuestionsAndPermissionsTellWhatCame(t *testing.T) {
	r, h := played(t, t.TempDir(), `
		{"ask":{"text":"which?","options":["a","b"]}}, {"ask":{"id":"silence","text":"anybody?"}},
		{"permit":{"id":"yes","tool":"execute","title":"run"}}, {"permit":{"id":"no","tool":"fetch"}},
		{"permit":{"id":"no","tool":"fetch","needed":true}}, {"message":{"text":"never"}}`)
	want := []string{"the answer was: the second", "the question was not answered", "the request was allowed by test",
		"the request was denied by test", "the request was denied by test"}
	if got := said(t, h); !reflect.DeepEqual(got, want) {
		t.Errorf("said %q, want %q", got, want)
	}
	if !r.Failed || !r.Denied || r.Class != "policy" {
		t.Errorf("result = %+v, want a denial", r)
	}
}

func TestTheEndIsTheOneThatIsPlayed(t *testing.T) {
	three := 3
	for list, want := range map[string]sdk.Result{
		``: {StopReason: "end_turn", Summary: "played 0 actions"},
		`{"exit":{"code":3}},{"message":{"text":"x"}}`: {StopReason: "error", ExitCode: &three, Failed: true, Class: "unknown",
			Message: "the simulated program exited with code 3", Summary: "played 2 actions"},
		`{"fail":{"class":"auth","message":"no key","retryable":true}}`: {StopReason: "error", Failed: true, Class: "auth",
			Message: "no key", Retryable: true, Summary: "played 1 actions"},
		`{"result":{"summary":"I changed everything","stop_reason":"end_turn"}}`: {StopReason: "end_turn", Summary: "I changed everything"},
	} {
		if r, _ := played(t, t.TempDir(), list); !reflect.DeepEqual(r, want) {
			t.Errorf("%s: result = %+v, want %+v", list, r, want)
		}
	}
}

func TestTriesTellWhatTheKernelSaid(t *testing.T) {
	dir := t.TempDir()
	file, missing := filepath.Join(dir, "file"), filepath.Join(dir, "no", "file")
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, h := played(t, dir, fmt.Sprintf(`
		{"write":{"path":%[1]q,"content":"12345"}}, {"read":{"path":%[1]q}}, {"read":{"path":%[2]q}}, {"write":{"path":%[2]q}},
		{"connect":{"network":"unix","address":%[3]q}}, {"connect":{"network":"unix","address":%[2]q}}`, file, missing, socket))
	want := []string{
		"write " + file + ": ok", "read " + file + ": ok, 5 bytes", "read " + missing + ": no such file or directory",
		"write " + missing + ": no such file or directory", "connect " + socket + ": ok",
		"connect " + missing + ": no such file or directory",
	}
	if got := said(t, h); !reflect.DeepEqual(got, want) {
		t.Errorf("said %q\nwant %q", got, want)
	}
}

func TestTheEnvironmentIsTold(t *testing.T) {
	t.Setenv("CANARY", "bird")
	_, h := played(t, t.TempDir(), `{"environ":{}}`)
	if got := said(t, h); len(got) != 1 || !strings.Contains(got[0], "CANARY=bird") {
		t.Errorf("said %q", got)
	}
}

func TestAFloodHasItsSize(t *testing.T) {
	_, h := played(t, t.TempDir(), `{"flood":{"bytes":1000001}},{"output":{"stream":"stderr","text":"e"}}`)
	if n := len(h.Events.Output("stdout")); n != 1000001 || h.Events.Output("stderr") != "e" {
		t.Errorf("%d bytes", n)
	}
}

func TestAnEventOfAnyTypeIsSentAndLeftToTheHost(t *testing.T) {
	h := sdktest.Serve(t, manifest, script{})
	h.Configure(t, json.RawMessage(`{"play":[{"event":{"type":"host.sandbox.denied"}}]}`))
	_, err := h.Execute(t, sdk.Attempt{ID: "att_1", Tree: t.TempDir()})
	if _, ok := err.(*wire.Violation); !ok {
		t.Errorf("Execute = %v, want the host to call it a violation", err)
	}
}

func TestADelayEndsWithTheAttempt(t *testing.T) {
	h := sdktest.Serve(t, manifest, script{})
	h.Configure(t, json.RawMessage(`{"play":[{"message":{"text":"x"}},{"delay":{"duration":"1h"}}]}`))
	h.Events.On = func(sdk.Event) {
		if err := h.Client.Cancel(t.Context(), "att_1", "test"); err != nil {
			t.Error(err)
		}
	}
	if r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Tree: t.TempDir()}); err != nil || r.StopReason != "cancelled" {
		t.Errorf("result = %+v, %v", r, err)
	}
}

func TestSpawnedProcessesLiveOn(t *testing.T) {
	for _, detach := range []bool{false, true} {
		before := spawnedProcesses(t)
		r, h := played(t, t.TempDir(), fmt.Sprintf(`{"spawn":{"count":5,"detach":%t,"sleep":"1m","deaf":true}}`, detach))
		after := spawnedProcesses(t)
		if r.Failed || len(after) != len(before)+5 {
			t.Errorf("detach %t: %d processes after %d: %+v, %q", detach, len(after), len(before), r, said(t, h))
		}
		for pid, parent := range after {
			if detach && parent == os.Getpid() {
				t.Errorf("process %d is still our child", pid)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		for deadline := time.After(10 * time.Second); len(spawnedProcesses(t)) > 0; {
			select {
			case <-deadline:
				t.Fatal("spawned processes do not die")
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// spawnedProcesses are the live processes of the action spawn, with their parents.
func spawnedProcesses(t *testing.T) map[int]int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	session := fmt.Sprintf("%s=", spawnKey)
	all := map[int]int{}
	for _, stat := range stats {
		environment, err := os.ReadFile(filepath.Join(filepath.Dir(stat), "environ"))
		if err != nil || !strings.HasPrefix(string(environment), session) {
			continue
		}
		raw, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parent, _ := strconv.Atoi(fields[1])
		if fields[0] != "Z" {
			all[pid] = parent
		}
	}
	return all
}

func TestTheTextCanBringItsOwnPlayWhereItMay(t *testing.T) {
	text := `{"play":[{"message":{"text":"from the text"}}]}`
	for config, want := range map[string]string{
		`{"play":[{"message":{"text":"declared"}}]}`:                        "declared",
		`{"play":[{"message":{"text":"declared"}}],"allow_text_play":true}`: "from the text",
		`{"allow_text_play":true}`:                                          "from the text",
	} {
		h := sdktest.Serve(t, manifest, script{})
		h.Configure(t, json.RawMessage(config))
		if _, err := h.Execute(t, sdk.Attempt{ID: "att_1", Instruction: text, Tree: t.TempDir()}); err != nil {
			t.Fatal(err)
		}
		if got := said(t, h); len(got) != 1 || got[0] != want {
			t.Errorf("%s: said %q, want %q", config, got, want)
		}
	}
	h := sdktest.Serve(t, manifest, script{})
	h.Configure(t, json.RawMessage(`{"allow_text_play":true}`))
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Instruction: `{"play":[{"dance":{}}]}`, Tree: t.TempDir()})
	if err != nil || !r.Failed || !strings.Contains(r.Message, `no action "dance"`) {
		t.Errorf("a text that cannot be played: %+v, %v", r, err)
	}
}

func TestAPlayThatCannotBePlayedIsRefusedByItsEntry(t *testing.T) {
	for list, want := range map[string]string{
		`{}`:                                          "entry 1: must be an object with one key",
		`{"message":{"text":"x"}},{"dance":{}}`:       `entry 2: there is no action "dance"`,
		`{"message":{"txt":"x"}}`:                     "entry 1: message: ",
		`{"edit":{"content":"x"}}`:                    "entry 1: edit: path is required",
		`{"edit":{"path":"x","mode":"rwx"}}`:          "entry 1: edit: mode must be octal",
		`{"delay":{"duration":"soon"}}`:               "entry 1: delay: ",
		`{"delay":{"duration":5}}`:                    "entry 1: delay: ",
		`{"crash":{"how":"loudly"}}`:                  "entry 1: crash: how must be",
		`{"spawn":{}}`:                                "entry 1: spawn: count must be",
		`{"output":{"stream":"printer"}}`:             "entry 1: output: ",
		`{"edit":{"path":"a"},"message":{"text":""}}`: "entry 1: must be an object with one key",
		`"x"`: "entry 1: must be an object with one key",
	} {
		h := sdktest.Serve(t, manifest, script{})
		err := h.Client.Configure(t.Context(), json.RawMessage(`{"play":[`+list+`]}`))
		refusal := sdktest.Refused(t, err, wire.CodeConfig)
		if refusal.Config[0].Attribute != "play" || !strings.HasPrefix(refusal.Config[0].Message, want) {
			t.Errorf("%s: %+v, want %q", list, refusal.Config[0], want)
		}
	}
	for _, config := range []string{`{}`, `{"play":"x"}`, `{"play":{"message":{}}}`} {
		h := sdktest.Serve(t, manifest, script{})
		sdktest.Refused(t, h.Client.Configure(t.Context(), json.RawMessage(config)), wire.CodeConfig)
	}
}

func TestEveryActionIsDocumented(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range actions {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not name %s", name)
		}
	}
}
