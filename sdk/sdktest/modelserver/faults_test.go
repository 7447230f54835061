package modelserver_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/drawspan/drawspan/sdk/sdktest/modelserver"
)

func TestEveryAttemptHasItsOwnScriptAndItsOwnFaults(t *testing.T) {
	limited := modelserver.Fault{Status: 429, RetryAfter: 3 * time.Second, Times: 1}
	s := modelserver.Start(t, modelserver.Script{
		Steps:    []modelserver.Step{modelserver.Fail(limited), modelserver.Text("usual")},
		Attempts: map[string][]modelserver.Step{"2": {modelserver.Text("other")}},
	})
	for _, c := range []struct {
		prefix string
		status int
		text   string
	}{{"/a/1", 429, ""}, {"/a/1", 200, "usual"}, {"/a/2", 200, "other"}, {"/a/3", 429, ""}, {"", 429, ""}, {"", 200, "usual"}} {
		r, b := post(t, s.URL+c.prefix+"/v1/messages", request("messages", agents["claude"].tools, true, 0))
		if r.StatusCode != c.status || c.status == 200 && read(t, "messages", b).text != c.text {
			t.Errorf("%q: %d %s", c.prefix, r.StatusCode, b)
		}
		if c.status == 429 && r.Header.Get("Retry-After") != "3" {
			t.Errorf("retry-after: %q", r.Header.Get("Retry-After"))
		}
	}
	if q := s.Requests()[0]; q.Attempt != "1" || q.Path != "/v1/messages" || q.Status != 429 {
		t.Errorf("logged as %+v", q)
	}
}

func TestAStatusHasTheErrorOfItsWire(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 413, 429, 500, 529} {
		s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Fail(modelserver.Fault{Status: status})}})
		for _, name := range []string{"codex", "claude", "qwen", "gemini"} {
			for range 2 { // for ever
				r, b := post(t, s.URL+agents[name].path, request(agents[name].wire, agents[name].tools, true, 0))
				e := unmarshal[struct {
					Error struct{ Message string }
				}](t, string(b))
				if r.StatusCode != status || e.Error.Message == "" || r.Header.Get("Retry-After") != "" {
					t.Errorf("%s %d: %d %s", name, status, r.StatusCode, b)
				}
			}
		}
	}
}

func TestAStreamThatLacksItsTerminalRecordLacksNothingElse(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Shell("ls").With(modelserver.Fault{NoTerminal: true})}})
	for name, a := range agents {
		_, b := post(t, s.URL+a.path, request(a.wire, a.tools, true, 0))
		if r := read(t, a.wire, b); r.ended || !slices.Equal(r.calls, []string{a.shell}) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestACutStreamBreaksAfterItsRecords(t *testing.T) {
	for after := range 2 {
		s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Text("x").With(modelserver.Fault{Cut: true, After: after})}})
		r, err := http.Post(s.URL+"/v1/messages", "application/json", strings.NewReader(request("messages", agents["claude"].tools, true, 0)))
		if after == 0 {
			if err == nil {
				t.Error("a connection that is cut at once gave an answer")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if !errors.Is(err, io.ErrUnexpectedEOF) || strings.Count(string(b), "data: ") != 1 {
			t.Errorf("%v after %s", err, b)
		}
	}
}

func TestSilenceLastsUntilTheClientLeavesOrTheServerEnds(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Text("x").With(modelserver.Fault{Silence: true, After: 1})}})
	r, err := http.Post(s.URL+"/v1/messages", "application/json", strings.NewReader(request("messages", agents["claude"].tools, true, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if line, err := bufio.NewReader(r.Body).ReadString('\n'); err != nil || line != "event: message_start\n" {
		t.Errorf("%q %v", line, err)
	}
	if err := s.Await(t.Context(), modelserver.Steps(0)); err != nil {
		t.Error(err)
	}
	// The test ends here: had the silence no end, the server could not be closed.
}

func TestWritesEndInsideOfCharacters(t *testing.T) {
	for what, f := range map[string]modelserver.Fault{"split": {SplitRunes: true}, "trickled": {Trickle: true}} {
		w := &writes{header: http.Header{}}
		s, err := modelserver.New(modelserver.Script{Steps: []modelserver.Step{modelserver.Text("aü€b😀").With(f)}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest("POST", "/v1/chat/completions", strings.NewReader(request("chat", agents["qwen"].tools, true, 0)))
		if err != nil {
			t.Fatal(err)
		}
		s.ServeHTTP(w, r)
		broken := slices.ContainsFunc(w.list, func(b []byte) bool { return !utf8.Valid(b) })
		if all := bytes.Join(w.list, nil); !broken || read(t, "chat", all).text != "aü€b😀" {
			t.Errorf("%s: broken %v, %s", what, broken, all)
		}
	}
}

// writes keeps every write apart.
type writes struct {
	header http.Header
	list   [][]byte
}

func (w *writes) Header() http.Header { return w.header }
func (w *writes) WriteHeader(int)     {}
func (w *writes) Write(b []byte) (int, error) {
	w.list = append(w.list, bytes.Clone(b))
	return len(b), nil
}

func TestArgumentsCanBeHugeOrBrokenAndToolsUnknown(t *testing.T) {
	big := modelserver.Step{Write: &modelserver.File{Path: "../out", Content: "0123456789", Times: 1 << 20}}
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{
		big, modelserver.Shell("ls").With(modelserver.Fault{BadArguments: true}), modelserver.Tool("no_such_tool", `{"a":1}`), modelserver.Ask("which?", "a", "b"),
	}})
	say := func(results int) (*http.Response, reply) {
		r, b := post(t, s.URL+"/v1/chat/completions", request("chat", agents["qwen"].tools, true, results))
		if r.StatusCode != 200 {
			return r, reply{}
		}
		return r, read(t, "chat", b)
	}
	_, r := say(0)
	args := unmarshal[map[string]string](t, strings.TrimPrefix(r.calls[0], "write_file "))
	if args["file_path"] != "/tree/../out" || len(args["content"]) != 10<<20 {
		t.Errorf("path %s, %d bytes", args["file_path"], len(args["content"]))
	}
	if _, r = say(1); json.Valid([]byte(strings.TrimPrefix(r.calls[0], "run_shell_command "))) {
		t.Errorf("broken arguments: %q", r.calls)
	}
	if _, r = say(2); r.calls[0] != `no_such_tool {"a":1}` {
		t.Errorf("unknown tool: %q", r.calls)
	}
	if h, _ := say(3); h.StatusCode != 501 || !strings.Contains(s.Requests()[3].Unmet, "which?") {
		t.Errorf("a question without a tool for it: %d %+v", h.StatusCode, s.Requests()[3].Unmet)
	}
}

func TestAnEndlessLoopHasNoEnd(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Steps: []modelserver.Step{modelserver.Text("a"), modelserver.Shell("ls").Endless()}})
	_, b := post(t, s.URL+"/v1/messages", request("messages", agents["claude"].tools, true, 5000, "a"))
	if r := read(t, "messages", b); len(r.calls) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestAKeyIsAskedForInEveryVendorsWay(t *testing.T) {
	s := modelserver.Start(t, modelserver.Script{Key: "sesame"})
	for header, want := range map[string]int{"Authorization: Bearer sesame": 200, "X-Api-Key: sesame": 200, "X-Goog-Api-Key: sesame": 200, "X-Api-Key: other": 401} {
		name, value, _ := strings.Cut(header, ": ")
		q, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/v1/messages", strings.NewReader(request("messages", "[]", false, 0)))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set(name, value)
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %d", header, r.StatusCode)
		}
	}
}

func TestAScriptThatNamesNoIntentIsRefused(t *testing.T) {
	for _, text := range []string{`{"steps":[{}]}`, `{"steps":[{"shell":"a","patch":"b"}]}`, `{"steps":[{"parallel":[{"text":"a"}]}]}`, `{`, `{"attempts":{"x":[{}]}}`} {
		if _, err := modelserver.ParseScript([]byte(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	s, err := modelserver.ParseScript([]byte(`{"steps":[{"write":{"path":"a","content":"b"}},{"text":"c","fault":{"status":500,"times":1}}]}`))
	if err != nil || len(s.Steps) != 2 || s.Steps[1].Fault.Status != 500 {
		t.Errorf("%+v %v", s, err)
	}
}

// FuzzRequest holds that whatever is sent is answered, and that an answer of a wire is valid JSON.
func FuzzRequest(f *testing.F) {
	for _, a := range agents {
		f.Add(a.path, request(a.wire, a.tools, false, 1))
	}
	f.Add("/a/x/v1/responses", `{"input":"text"}`)
	f.Add("/v1/messages", `{"messages":[{"content":3}]}`)
	f.Fuzz(func(t *testing.T, path, body string) {
		s, err := modelserver.New(modelserver.Script{Steps: []modelserver.Step{modelserver.Write("a", "b"), modelserver.Text("c")}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest("POST", path, strings.NewReader(body))
		if err != nil {
			t.Skip("no request")
		}
		w := &writes{header: http.Header{}}
		s.ServeHTTP(w, r)
		if len(w.list) == 0 {
			t.Errorf("%s %s: no answer", path, body)
		}
		if all := bytes.Join(w.list, nil); w.header.Get("Content-Type") == "application/json" && !json.Valid(all) {
			t.Errorf("%s %s: %s", path, body, all)
		}
	})
}
