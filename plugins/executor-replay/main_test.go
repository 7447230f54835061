package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

// event is a line of a recording.
func event(seq int, source, kind, more string) string {
	return fmt.Sprintf(`{"v":1,"attempt_id":"att_old","seq":%d,"time":"2026-01-01T00:00:%02dZ","source":%q,"type":%q%s}`+"\n", seq, seq, source, kind, more)
}

// recorded is a whole recording.
func recorded() map[string]string {
	return map[string]string{
		"events.jsonl": event(1, "executor", "session.started", `,"data":{"native_id":"s1"}`) +
			event(2, "executor", "tool.started", `,"item_id":"t1","turn":1,"data":{"kind":"edit","title":"x.txt"}`) +
			event(3, "executor", "log", `,"data":{"stream":"stdout","text":"caf�"},"raw":{"artifact":"stdout.log","offset":2,"len":4}`) +
			event(4, "host", "host.sandbox.denied", `,"data":{"syscall":"mount"}`) +
			event(5, "executor", "question.asked", `,"item_id":"q1","data":{"text":"Which?","options":["a","b"]}`) +
			event(6, "host", "question.answered", `,"item_id":"q1","data":{"state":"answered"}`) +
			event(7, "executor", "permission.requested", `,"item_id":"p1","data":{"tool":"execute","title":"rm -rf build"}`) +
			event(8, "executor", "message", `,"data":"masked {"`) +
			event(9, "executor", "tool.ended", `,"item_id":"t1","turn":1,"data":{"status":"ok"}`),
		"stdout.log":  "--caf\xe9--",
		"diff.patch":  "diff --git a/x.txt b/x.txt\nnew file mode 100755\n--- /dev/null\n+++ b/x.txt\n@@ -0,0 +1 @@\n+x\n",
		"result.json": `{"schema":"drawspan/result/v1alpha","outcome":"succeeded","claim":{"stop_reason":"end_turn","exit_code":0,"summary":"I did it"},"evidence":{"diff":{"files":[{}],"insertions":1,"deletions":0}}}`,
	}
}

// put writes a recording into a directory.
func put(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func config(t *testing.T, s map[string]any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestContract(t *testing.T) {
	slow := recorded()
	slow["events.jsonl"] = event(1, "executor", "message", `,"data":{"text":"x"}`) + event(50, "executor", "message", `,"data":{"text":"x"}`)
	slow["events.jsonl"] = strings.Replace(slow["events.jsonl"], `"seq":50`, `"seq":2`, 1)
	sdktest.RunExecutor(t, sdktest.ExecutorSuite{
		Manifest: manifest, New: func() any { return executor{} }, Text: "anything",
		Config:     config(t, map[string]any{"recording": put(t, t.TempDir(), recorded())}),
		SlowConfig: config(t, map[string]any{"recording": put(t, t.TempDir(), slow), "pace": 1}),
	})
}

func replay(t *testing.T, tree string, s map[string]any) (sdk.Result, *sdktest.Harness) {
	t.Helper()
	h := sdktest.Serve(t, manifest, executor{})
	h.Configure(t, config(t, s))
	h.Events.On = func(e sdk.Event) {
		if e.Type == sdk.EventQuestionAsked || e.Type == sdk.EventPermissionAsked {
			if err := h.Client.Input(t.Context(), "att_1", e.ItemID, sdk.Answer{}, sdk.Decision{}); err != nil {
				t.Error(err)
			}
		}
	}
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Tree: tree, Instruction: "not looked at"})
	if err != nil {
		t.Fatal(err)
	}
	return r, h
}

func told(h *sdktest.Harness) []string {
	var all []string
	for _, e := range h.Events.All() {
		text := string(e.Type) + " " + e.ItemID
		if e.Type == sdk.EventMessage {
			var m sdk.Text
			if json.Unmarshal(e.Data, &m) == nil {
				text += m.Text
			}
		}
		all = append(all, text)
	}
	return all
}

func TestARecordedAttemptIsToldAgain(t *testing.T) {
	tree := t.TempDir()
	put(t, filepath.Join(tree, "recordings", "first"), recorded())
	for _, place := range []string{"recordings/first", filepath.Join(tree, "recordings", "first")} {
		tree := t.TempDir()
		put(t, filepath.Join(tree, "recordings", "first"), recorded())
		r, h := replay(t, tree, map[string]any{"recording": place})
		zero := 0
		if want := (sdk.Result{StopReason: "end_turn", ExitCode: &zero, Summary: "I did it"}); !reflect.DeepEqual(r, want) {
			t.Errorf("result = %+v, want %+v", r, want)
		}
		want := []string{
			"session.started ", "tool.started t1", "log ", "message The recorded executor asked: Which?",
			"message The recorded executor asked leave: execute: rm -rf build", "raw.unparsed ", "tool.ended t1",
			"message 2 events of the recording are the host's own and were left out",
		}
		if got := told(h); !reflect.DeepEqual(got, want) {
			t.Errorf("told %q\nwant %q", got, want)
		}
		if out := h.Events.Output("stdout"); out != "caf\xe9" {
			t.Errorf("output = %q, want the exact bytes of the log file", out)
		}
		info, err := os.Stat(filepath.Join(tree, "x.txt"))
		if err != nil || info.Mode().Perm()&0o111 != 0o111 {
			t.Errorf("x.txt: %v, %v", info, err)
		}
	}
}

func TestWithoutTheLogFileTheTextIsTold(t *testing.T) {
	files := recorded()
	delete(files, "stdout.log")
	delete(files, "result.json")
	delete(files, "diff.patch")
	r, h := replay(t, t.TempDir(), map[string]any{"recording": put(t, t.TempDir(), files)})
	if out := h.Events.Output("stdout"); out != "caf�" || r.StopReason != "end_turn" || r.Failed {
		t.Errorf("result = %+v, output = %q", r, out)
	}
}

func TestQuestionsAreAskedAgainWhereThatIsWanted(t *testing.T) {
	_, h := replay(t, t.TempDir(), map[string]any{"recording": put(t, t.TempDir(), recorded()), "ask": true})
	if q, p := h.Events.Of(sdk.EventQuestionAsked), h.Events.Of(sdk.EventPermissionAsked); len(q) != 1 || len(p) != 1 || q[0].ItemID != "q1" {
		t.Errorf("questions %v, permissions %v", q, p)
	}
}

func TestTheRecordedEndIsClaimedAgain(t *testing.T) {
	one := 1
	for text, want := range map[string]sdk.Result{
		`{"schema":"drawspan/result/v1alpha","outcome":"failed","retryable":true,"claim":{"stop_reason":"error","exit_code":1,"error":"no key","error_class":"auth"}}`: {
			StopReason: "error", ExitCode: &one, Failed: true, Class: "auth", Message: "no key", Retryable: true},
		`{"schema":"drawspan/result/v1alpha","outcome":"denied","claim":{"stop_reason":"end_turn"}}`: {StopReason: "end_turn", Denied: true},
		`{"schema":"drawspan/result/v1alpha","outcome":"lost","message":"the daemon died"}`: {
			StopReason: "error", Failed: true, Class: "crash", Message: "the recorded attempt ended without a claim, as lost: the daemon died"},
	} {
		files := recorded()
		files["result.json"] = text
		if r, _ := replay(t, t.TempDir(), map[string]any{"recording": put(t, t.TempDir(), files)}); !reflect.DeepEqual(r, want) {
			t.Errorf("%s: result = %+v, want %+v", text, r, want)
		}
	}
}

func TestABadRecordingIsRefusedBeforeAnythingHappens(t *testing.T) {
	good := func(seq int) string { return event(seq, "executor", "message", `,"data":{"text":"x"}`) }
	for name, c := range map[string]struct{ file, text, want string }{
		"a gap":                   {"events.jsonl", good(1) + good(3), "line 2: event 3 where 2 is due"},
		"a repetition":            {"events.jsonl", good(1) + good(1), "line 2: event 1 where 2 is due"},
		"a beginning that is not": {"events.jsonl", good(2), "line 1: event 2 where 1 is due"},
		"a foreign type":          {"events.jsonl", event(1, "executor", "agent_message", `,"data":{}`), `the unknown type "agent_message"`},
		"a foreign source":        {"events.jsonl", event(1, "somebody", "message", `,"data":{}`), `the unknown source "somebody"`},
		"a foreign version":       {"events.jsonl", strings.Replace(good(1), `"v":1`, `"v":2`, 1), "version 2 of the format"},
		"two attempts":            {"events.jsonl", good(1) + strings.Replace(good(2), "att_old", "att_other", 1), "line 2: an event of another attempt"},
		"no attempt":              {"events.jsonl", strings.Replace(good(1), "att_old", "", 1), "an event of another attempt, or of none"},
		"a cut last line":         {"events.jsonl", good(1) + good(2)[:40], "line 2: it has no end: the file was cut"},
		"no JSON":                 {"events.jsonl", good(1) + "{\n", "line 2: it is no event as JSON"},
		"an empty line":           {"events.jsonl", good(1) + "\n" + good(2), "line 2: it is no event as JSON"},
		"a huge line":             {"events.jsonl", good(1) + strings.Repeat("x", maxLine+1) + "\n", "line 2: longer than"},
		"huge data":               {"events.jsonl", event(1, "executor", "message", `,"data":{"text":"`+strings.Repeat("x", sdk.MaxData)+`"}`), "more than"},
		"nothing":                 {"events.jsonl", "", "line 1: EOF"},
		"data that is none":       {"events.jsonl", event(1, "executor", "message", `,"data":[1]`), "not a JSON object"},
		"a turn out of bounds":    {"events.jsonl", event(1, "executor", "message", `,"turn":-1,"data":{}`), "a turn out of bounds"},
		"output of no stream":     {"events.jsonl", event(1, "executor", "log", `,"data":{"stream":"printer","text":"x"}`), "output of no known stream"},
		"a question of nothing":   {"events.jsonl", event(1, "executor", "question.asked", `,"data":{}`), "no id or no text"},
		"a reference beyond": {"events.jsonl", event(1, "executor", "log", `,"data":{"stream":"stdout","text":"x"},"raw":{"artifact":"stdout.log","offset":7,"len":9}`),
			"stdout.log does not hold the output"},
		"a reference elsewhere": {"events.jsonl", event(1, "executor", "log", `,"data":{"stream":"stdout","text":"x"},"raw":{"artifact":"../x","offset":0,"len":1}`),
			"a reference to output that cannot be"},
		"a reference to much": {"events.jsonl", event(1, "executor", "log", `,"data":{"stream":"stdout","text":"x"},"raw":{"artifact":"stdout.log","offset":0,"len":99999999999}`),
			"a reference to output that cannot be"},
		"a result that is none":  {"result.json", "[]", "result.json is no JSON object"},
		"another schema":         {"result.json", "{}", "not drawspan/result"},
		"an unknown error class": {"result.json", `{"schema":"drawspan/result/v1","claim":{"error_class":"bad luck"}}`, `the unknown error class "bad luck"`},
		"an endless summary":     {"result.json", `{"schema":"drawspan/result/v1","claim":{"summary":"` + strings.Repeat("x", sdk.MaxSummary+1) + `"}}`, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			files := recorded()
			files[c.file] = c.text
			tree := t.TempDir()
			r, h := replay(t, tree, map[string]any{"recording": put(t, t.TempDir(), files)})
			if !r.Failed || r.Class != "protocol" || !strings.HasPrefix(r.Message, "bad recording: ") || !strings.Contains(r.Message, c.want) {
				t.Errorf("result = %+v, want %q", r, c.want)
			}
			if left, err := os.ReadDir(tree); err != nil || len(left) > 0 || len(h.Events.All()) > 0 {
				t.Errorf("tree %v, %v, events %v", left, err, h.Events.All())
			}
		})
	}
}

func TestARecordingThatIsNotThereOrNoneIsRefused(t *testing.T) {
	tree := t.TempDir()
	put(t, filepath.Join(tree, "empty"), nil)
	for link, to := range map[string]string{"out": put(t, t.TempDir(), recorded()), "up": ".."} {
		if err := os.Symlink(to, filepath.Join(tree, link)); err != nil {
			t.Fatal(err)
		}
	}
	pipe := put(t, filepath.Join(tree, "pipe"), nil)
	if err := syscall.Mkfifo(filepath.Join(pipe, "events.jsonl"), 0o600); err != nil {
		t.Fatal(err)
	}
	for recording, want := range map[string][2]string{
		"none": {"policy", "cannot be opened"}, "/no/such/place": {"policy", "filesystem { read }"}, "../x": {"policy", "cannot be opened"},
		"out": {"policy", "cannot be opened"}, "up": {"policy", "cannot be opened"},
		"empty": {"protocol", "has no events.jsonl"}, "pipe": {"protocol", "events.jsonl is no file"},
	} {
		r, _ := replay(t, tree, map[string]any{"recording": recording})
		if !r.Failed || r.Class != want[0] || !strings.Contains(r.Message, want[1]) {
			t.Errorf("%s: result = %+v, want %q", recording, r, want)
		}
	}
}

func TestAChangeThatDoesNotFitIsRefusedWhole(t *testing.T) {
	for _, patch := range []string{
		"--- a/y.txt\n+++ b/y.txt\n@@ -1 +1 @@\n-a\n+b\n",
		"--- /dev/null\n+++ b/fits.txt\n@@ -0,0 +1 @@\n+x\n--- /dev/null\n+++ b/../out.txt\n@@ -0,0 +1 @@\n+x\n",
		"--- /dev/null\n+++ b/.git/config\n@@ -0,0 +1 @@\n+x\n",
	} {
		files := recorded()
		files["diff.patch"] = patch
		delete(files, "result.json")
		tree := t.TempDir()
		r, _ := replay(t, tree, map[string]any{"recording": put(t, t.TempDir(), files)})
		if !r.Failed || r.Class != "policy" || !strings.Contains(r.Message, "does not fit this tree") {
			t.Errorf("%q: result = %+v", patch, r)
		}
		if left, err := os.ReadDir(tree); err != nil || len(left) > 0 {
			t.Errorf("%q: tree %v, %v", patch, left, err)
		}
	}
}

func TestAChangeThatWasCutIsRefused(t *testing.T) {
	patch := recorded()["diff.patch"]
	for _, cut := range []string{patch[:55], patch[:strings.Index(patch, "@@")], patch + "--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+y\n"} {
		files := recorded()
		files["diff.patch"] = cut
		tree := t.TempDir()
		r, _ := replay(t, tree, map[string]any{"recording": put(t, t.TempDir(), files)})
		if left, err := os.ReadDir(tree); !r.Failed || err != nil || len(left) > 0 {
			t.Errorf("%q: result = %+v, tree %v, %v", cut, r, left, err)
		}
	}
}

func TestAConfigThatCannotBeReplayedIsRefused(t *testing.T) {
	for text, attribute := range map[string]string{
		`{}`: "recording", `{"recording":""}`: "recording", `{"recording":"a\u0000b"}`: "recording", `{"recording":"a","pace":-1}`: "pace",
		`{"recording":"a","pace":1e9}`: "pace", `{"recording":"a","speed":1}`: "speed",
	} {
		sdktest.RefusedFor(t, manifest, executor{}, text, attribute)
	}
}

// Whatever a recording holds, it is told as events that the host takes, or refused.
func FuzzARecordingIsToldOrRefused(f *testing.F) {
	for _, seed := range []string{recorded()["events.jsonl"], event(1, "executor", "log", `,"data":{"stream":"stdout","text":"x"},"raw":{"artifact":"stdout.log","offset":1,"len":3}`), "{}\n", "\n"} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, events []byte) {
		put(t, dir, map[string]string{"events.jsonl": string(events), "stdout.log": "12345678"})
		rec, err := open("/", dir)
		if err != nil {
			t.Fatal(err)
		}
		defer rec.close()
		err = rec.each(func(_ line, e sdk.Event) error {
			if e.Type == sdk.EventLog && len(e.Log) > sdk.MaxLog {
				e.Log = e.Log[:sdk.MaxLog] // Emit cuts it
			}
			if err := e.Validate(); err != nil {
				t.Errorf("event %+v: %v", e, err)
			}
			return nil
		})
		if err != nil && !strings.HasPrefix(err.Error(), "bad recording: ") {
			t.Errorf("each: %v", err)
		}
	})
}
