package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

// withProgram is the plugin with a program in its hand, as the host gives it one.
type withProgram struct {
	claude
	path string
}

func (w withProgram) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	a.Program = &sdk.Installed{Name: "claude", Path: w.path}
	return w.claude.Run(ctx, a)
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	if os.Getenv("ANTHROPIC_API_KEY") == "" {
		t.Setenv("ANTHROPIC_API_KEY", "k")
	}
	return path
}

func playing(part string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"env":{"FAKE":%q,"GOCOVERDIR":%q}}`, part, os.TempDir()))
}

func TestContract(t *testing.T) {
	path := self(t)
	sdktest.RunExecutor(t, sdktest.ExecutorSuite{
		Manifest: manifest, New: func() any { return withProgram{path: path} },
		Config: playing("edit"), Text: "the step", SlowConfig: playing("slow"), SlowText: "the step",
	})
}

// drive has the agent that plays a part perform an attempt.
func drive(t *testing.T, config json.RawMessage, a sdk.Attempt, on func(*sdktest.Harness, sdk.Event)) (sdk.Result, *sdktest.Harness) {
	t.Helper()
	path := self(t)
	h := sdktest.Serve(t, manifest, claude{})
	h.Configure(t, config)
	if on != nil {
		h.Events.On = func(e sdk.Event) { on(h, e) }
	}
	a.ID = "att_1"
	if a.Tree == "" {
		a.Tree = t.TempDir()
	}
	a.Program = &sdk.Installed{Name: "claude", Path: path}
	r, err := h.Execute(t, a)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return r, h
}

func read(t *testing.T, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestF22_TheStepsTextIsNoArgumentAndNoCommand(t *testing.T) {
	for _, text := range []string{"--yolo; $(touch x)\n'\" größer", "/clear", "-p\x00"} {
		tree := t.TempDir()
		r, _ := drive(t, playing("edit"), sdk.Attempt{Instruction: text, Tree: tree}, nil)
		if said := read(t, tree, "said.txt"); r.Failed || strings.TrimPrefix(said, " ") != text || strings.HasPrefix(said, "/") {
			t.Errorf("%q: result %+v, said %q", text, r, said)
		}
		if args := read(t, tree, "args.txt"); strings.Contains(args, text) {
			t.Errorf("%q is among the arguments: %q", text, args)
		}
	}
}

func TestClaudeCodeIsStartedWithoutTheRepositorysCode(t *testing.T) {
	tree := t.TempDir()
	t.Setenv("OPENAI_API_KEY", "foreign")
	t.Setenv("CLAUDECODE", "1")
	t.Setenv("ANTHROPIC_API_KEY", "own")
	config := strings.Replace(string(playing("edit")), "{", `{"model":"sonnet","max_turns":7,"permission_mode":"acceptEdits",`, 1)
	drive(t, json.RawMessage(config), sdk.Attempt{Tree: tree}, nil)
	args := strings.Split(read(t, tree, "args.txt"), "\n")
	for _, want := range [][]string{
		{"--setting-sources", "user"}, {"--strict-mcp-config"}, {"--model", "sonnet"}, {"--max-turns", "7"}, {"--permission-mode", "acceptEdits"},
		{"--permission-prompt-tool", "stdio"}, {"--input-format", "stream-json"}, {"--disallowedTools", "EnterWorktree,ExitWorktree"},
	} {
		at := slices.Index(args, want[0])
		if at < 0 || len(want) > 1 && args[at+1] != want[1] {
			t.Errorf("arguments %q have no %q", args, want)
		}
	}
	env := strings.Split(read(t, tree, "env.txt"), "\n")
	for _, want := range []string{"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_MAX_RETRIES=2", "ANTHROPIC_API_KEY=own"} {
		if !slices.Contains(env, want) {
			t.Errorf("the environment has no %s", want)
		}
	}
	for _, pair := range env {
		if strings.HasPrefix(pair, "OPENAI_") || strings.HasPrefix(pair, "CLAUDECODE=") || strings.HasPrefix(pair, "PLUGIN_") {
			t.Errorf("the environment has %s", pair)
		}
		if dir, ok := strings.CutPrefix(pair, "CLAUDE_CONFIG_DIR="); ok {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("its home %s is left", dir)
			}
		}
	}
	drive(t, json.RawMessage(strings.Replace(string(playing("edit")), "{", `{"repository":true,`, 1)), sdk.Attempt{Tree: tree}, nil)
	if args := read(t, tree, "args.txt"); strings.Contains(args, "setting-sources") || strings.Contains(args, "strict-mcp") {
		t.Errorf("with the repository's settings: %q", args)
	}
}

func TestWithAGatewayNoOtherCredentialIsThere(t *testing.T) {
	tree := t.TempDir()
	t.Setenv("ANTHROPIC_API_KEY", "real")
	t.Setenv("ANTHROPIC_AUTH_TOKEN", "real")
	t.Setenv("CLAUDE_CODE_OAUTH_TOKEN", "real")
	drive(t, playing("edit"), sdk.Attempt{Tree: tree, Gateway: &sdk.Gateway{URL: "http://127.0.0.1:7", Key: "dummy", Wire: "messages"}}, nil)
	env := read(t, tree, "env.txt")
	if strings.Contains(env, "=real") || !strings.Contains(env, "ANTHROPIC_API_KEY=dummy") || !strings.Contains(env, "ANTHROPIC_BASE_URL=http://127.0.0.1:7\n") {
		t.Errorf("environment: %s", env)
	}
	r, _ := drive(t, playing("edit"), sdk.Attempt{Gateway: &sdk.Gateway{URL: "http://127.0.0.1:7", Wire: "chat"}}, nil)
	if !r.Failed || r.Class != "policy" || !strings.Contains(r.Message, "messages") {
		t.Errorf("with another wire: %+v", r)
	}
}

func TestALoginThatWasHandedInIsTakenAlong(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".claude"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".claude", ".credentials.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	dir, err := configDir()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if got := read(t, dir, ".credentials.json"); got != "{}" {
		t.Errorf("login = %q", got)
	}
}

// decide answers every permission request.
func decide(t *testing.T, d sdk.Decision) func(*sdktest.Harness, sdk.Event) {
	return func(h *sdktest.Harness, e sdk.Event) {
		if e.Type == sdk.EventPermissionAsked {
			if err := h.Client.Input(t.Context(), "att_1", e.ItemID, sdk.Answer{}, d); err != nil {
				t.Errorf("Input: %v", err)
			}
		}
	}
}

func TestWhatItWantsToDoIsAsked(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		tree := t.TempDir()
		r, h := drive(t, playing("command"), sdk.Attempt{Tree: tree}, decide(t, sdk.Decision{Allowed: allowed, Rule: "rule builds"}))
		asked := h.Events.Of(sdk.EventPermissionAsked)
		if len(asked) != 1 {
			t.Fatalf("asked %d times", len(asked))
		}
		p, err := sdk.PermissionOf(asked[0])
		if err != nil || p.ID != "t1" || p.Tool != "execute" || p.Command != "make" || p.Title != "Bash: make" || p.Paths != nil || !strings.Contains(string(p.Input), `"make"`) {
			t.Errorf("asked %+v, %v", p, err)
		}
		_, err = os.Stat(filepath.Join(tree, "made"))
		ended := h.Events.Of(sdk.EventToolEnded)
		status := map[bool]string{true: `"ok"`, false: `"denied"`}[allowed]
		if r.Failed || r.Denied == allowed || (err == nil) != allowed || len(ended) != 1 || !strings.Contains(string(ended[0].Data), status) {
			t.Errorf("allowed %t: result %+v, made %v, ended %s", allowed, r, err, ended[0].Data)
		}
	}
}

func TestS80_QuestionsAreAskedAndWhatNobodyAnswersKeepsNobodyWaiting(t *testing.T) {
	r, h := drive(t, playing("question"), sdk.Attempt{}, func(h *sdktest.Harness, e sdk.Event) {
		if e.Type != sdk.EventQuestionAsked {
			return
		}
		q, err := sdk.QuestionOf(e)
		if err != nil {
			t.Error(err)
		}
		answer := sdk.Answer{Text: "b", Answered: true}
		if q.Text == "Why?" {
			answer = sdk.Answer{} // nobody answered in time
		} else if !slices.Equal(q.Options, []string{"a", "b"}) {
			t.Errorf("options = %q", q.Options)
		}
		if err := h.Client.Input(t.Context(), "att_1", e.ItemID, answer, sdk.Decision{}); err != nil {
			t.Errorf("Input: %v", err)
		}
	})
	if n := len(h.Events.Of(sdk.EventQuestionAsked)); n != 2 || r.Failed || r.Denied || r.Summary != "{'Which?':'b'}" {
		t.Errorf("%d questions, result %+v", n, r)
	}
}

func TestARequestThatIsNotKnownIsAnsweredAndOnesBeyondTheBoundAreRefused(t *testing.T) {
	if r, _ := drive(t, playing("other-request"), sdk.Attempt{}, nil); r.Failed || r.Summary != "error" {
		t.Errorf("result %+v", r)
	}
	r, h := drive(t, playing("many-requests"), sdk.Attempt{}, nil)
	if n := len(h.Events.Of(sdk.EventPermissionAsked)); n != maxAsked || r.Failed || r.Summary != fmt.Sprint("refused ", 2*maxAsked) {
		t.Errorf("asked %d, result %+v", n, r)
	}
}

// cancelAt cancels the attempt at the first event of a type.
func cancelAt(t *testing.T, kind sdk.EventType) func(*sdktest.Harness, sdk.Event) {
	done := false
	return func(h *sdktest.Harness, e sdk.Event) {
		if e.Type == kind && !done {
			done = true
			if err := h.Client.Cancel(t.Context(), "att_1", "test"); err != nil {
				t.Errorf("Cancel: %v", err)
			}
		}
	}
}

func TestCancellingAsksByTheProtocolFirst(t *testing.T) {
	r, h := drive(t, playing("slow"), sdk.Attempt{}, cancelAt(t, sdk.EventToolStarted))
	if r.StopReason != "cancelled" || r.Failed || r.ExitCode == nil || *r.ExitCode != 1 {
		t.Errorf("result %+v", r)
	}
	if ended := h.Events.Of(sdk.EventToolEnded); len(ended) != 1 || !strings.Contains(string(ended[0].Data), "cancelled") {
		t.Errorf("tools ended: %+v", ended)
	}
}

func TestCancellingEndsAnOpenRequest(t *testing.T) {
	r, h := drive(t, playing("waits"), sdk.Attempt{}, cancelAt(t, sdk.EventPermissionAsked))
	if r.StopReason != "cancelled" || len(h.Events.Of(sdk.EventMessage)) > 0 {
		t.Errorf("result %+v, told %+v", r, h.Events.Of(sdk.EventMessage))
	}
}

func TestAnAgentThatDoesNotListenIsStopped(t *testing.T) {
	started := time.Now()
	r, h := drive(t, playing("deaf"), sdk.Attempt{}, cancelAt(t, sdk.EventMessage))
	if took := time.Since(started); r.StopReason != "cancelled" || took > 15*time.Second {
		t.Errorf("result %+v after %v", r, took)
	}
	if ended := h.Events.Of(sdk.EventSessionEnded); len(ended) != 1 || !strings.Contains(string(ended[0].Data), "cancelled") {
		t.Errorf("session ended: %+v", ended)
	}
}

func TestF56_HowAnAgentMisbehavesIsSaid(t *testing.T) {
	for part, want := range map[string]struct {
		failed         bool
		class, message string
	}{
		"nothing":        {true, "protocol", "without a terminal record"},
		"no-end":         {true, "protocol", "without a terminal record"},
		"half-line":      {true, "protocol", "without a terminal record"},
		"crash":          {true, "crash", "exited with code 3: fatal: it broke"},
		"killed":         {true, "crash", "was ended by SIGKILL"},
		"fails-after":    {true, "crash", "called itself done and then exited with code 9"},
		"silent-success": {false, "", ""}, // the tree says that nothing was done
		"lies":           {false, "", ""}, // as above
		"lingers":        {false, "", ""},
		"flood":          {false, "", ""},
		"long-line":      {false, "", ""},
		"bytes":          {false, "", ""},
	} {
		t.Run(part, func(t *testing.T) {
			tree := t.TempDir()
			r, h := drive(t, playing(part), sdk.Attempt{Tree: tree}, nil)
			if r.Failed != want.failed || r.Class != want.class || !strings.Contains(r.Message, want.message) {
				t.Errorf("result %+v", r)
			}
			if left, err := os.ReadDir(tree); err != nil || len(left) > 0 {
				t.Errorf("the tree holds %v, %v", left, err)
			}
			raw := len(h.Events.Of(sdk.EventRaw))
			if want := map[string]int{"flood": 8 * 4096, "long-line": 1, "bytes": 1, "half-line": 1}[part]; raw != want {
				t.Errorf("%d lines are told raw, want %d", raw, want)
			}
		})
	}
}

func TestASessionIsContinued(t *testing.T) {
	tree := t.TempDir()
	first, _ := drive(t, playing("session"), sdk.Attempt{Instruction: "one. ", Tree: tree}, nil)
	if first.Session != fakeSession || len(first.State) != 1 || first.State[0].Path != "session/"+fakeSession+".jsonl" {
		t.Fatalf("session %q with %+v", first.Session, first.State)
	}
	// Another attempt has its tree elsewhere.
	other := t.TempDir()
	second, h := drive(t, playing("session"), sdk.Attempt{
		Instruction: "two.", Tree: other, Resume: &sdk.Resume{Session: first.Session, State: first.State, Summary: first.Summary},
	}, nil)
	if got := read(t, other, "session.txt"); second.Failed || got != "one. two." || len(h.Events.Of(sdk.EventError)) > 0 {
		t.Errorf("result %+v, session %q", second, got)
	}
}

func TestASessionThatCannotBeContinuedBeginsWithItsSummary(t *testing.T) {
	state := []sdk.StateFile{{Path: "session/" + fakeSession + ".jsonl", Data: []byte("x")}}
	for name, c := range map[string]struct {
		part   string
		resume sdk.Resume
	}{
		"nothing was kept":  {"session", sdk.Resume{Session: fakeSession, Summary: "it was green"}},
		"no id of its own":  {"session", sdk.Resume{Session: "--help", State: state, Summary: "it was green"}},
		"a foreign state":   {"session", sdk.Resume{Session: fakeSession, State: []sdk.StateFile{{Path: "settings.json"}}, Summary: "it was green"}},
		"a path outside":    {"session", sdk.Resume{Session: fakeSession, State: []sdk.StateFile{{Path: "session/../../x"}}, Summary: "it was green"}},
		"it is not known":   {"session", sdk.Resume{Session: "99999999-2222-4333-8444-555555555555", State: state, Summary: "it was green"}},
		"it breaks with it": {"resume-breaks", sdk.Resume{Session: fakeSession, State: state, Summary: "it was green"}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := t.TempDir()
			r, _ := drive(t, playing(c.part), sdk.Attempt{Instruction: "go on", Tree: tree, Resume: &c.resume}, nil)
			file := map[string]string{"session": "session.txt", "resume-breaks": "said.txt"}[c.part]
			if got := read(t, tree, file); r.Failed || !strings.Contains(got, "it was green") || !strings.HasSuffix(got, "go on") {
				t.Errorf("result %+v, said %q", r, got)
			}
		})
	}
}

func TestWithoutAProgramTheAttemptSaysWhatToInstall(t *testing.T) {
	h := sdktest.Serve(t, manifest, claude{})
	h.Configure(t, nil)
	r, err := h.Execute(t, sdk.Attempt{ID: "att_1", Tree: t.TempDir()})
	if err != nil || !r.Failed || r.Class != "policy" || !strings.Contains(r.Message, "npm install -g @anthropic-ai/claude-code@") {
		t.Errorf("result %+v, %v", r, err)
	}
	t.Setenv("ANTHROPIC_API_KEY", "k")
	r, err = driveAt(t, "/no/such/claude")
	if err != nil || !r.Failed || r.Class != "policy" || !strings.Contains(r.Message, "cannot be started") {
		t.Errorf("result %+v, %v", r, err)
	}
}

func TestWithoutACredentialTheAttemptSaysWhereToPutOne(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, key := range credentials {
		t.Setenv(key, "")
	}
	r, err := driveAt(t, "/no/such/claude")
	if err != nil || !r.Failed || r.Class != "auth" || !strings.Contains(r.Message, "credential block") {
		t.Errorf("result %+v, %v", r, err)
	}
}

func driveAt(t *testing.T, path string) (sdk.Result, error) {
	t.Helper()
	h := sdktest.Serve(t, manifest, claude{})
	h.Configure(t, nil)
	return h.Execute(t, sdk.Attempt{ID: "att_1", Tree: t.TempDir(), Program: &sdk.Installed{Name: "claude", Path: path}})
}

func TestAProbeSaysWhatIsThereAndWhatIsMissing(t *testing.T) {
	path := self(t)
	for _, key := range credentials {
		t.Setenv(key, "")
	}
	h := sdktest.Serve(t, manifest, claude{})
	h.Configure(t, nil)
	probe := func(r sdk.ProbeRequest) sdk.Probe {
		t.Helper()
		p, err := h.Client.Probe(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := probe(sdk.ProbeRequest{}); p.Login != "missing" || p.Version != "" || len(p.Notes) != 2 || !strings.Contains(p.Notes[1], "npm install") {
		t.Errorf("without anything: %+v", p)
	}
	t.Setenv("FAKE", "version")
	t.Setenv("FAKE_VERSION", "2.1.197")
	program := &sdk.Installed{Name: "claude", Path: path}
	gateway := &sdk.Gateway{URL: "http://127.0.0.1:1", Wire: "messages"}
	if p := probe(sdk.ProbeRequest{Program: program, Gateway: gateway}); p.Login != "ready" || p.Version != "2.1.197" || !p.Tested || len(p.Notes) > 0 {
		t.Errorf("with all: %+v", p)
	}
	t.Setenv("FAKE_VERSION", "3.0.1")
	t.Setenv("ANTHROPIC_API_KEY", "k")
	if p := probe(sdk.ProbeRequest{Program: program}); p.Login != "ready" || p.Version != "3.0.1" || p.Tested || len(p.Notes) > 0 {
		t.Errorf("a newer one: %+v", p)
	}
	if p := probe(sdk.ProbeRequest{Program: program, Gateway: &sdk.Gateway{Wire: "gemini"}}); p.Login != "missing" {
		t.Errorf("another wire: %+v", p)
	}
	if p := probe(sdk.ProbeRequest{Program: &sdk.Installed{Name: "claude", Path: "/bin/false"}}); p.Version != "" || len(p.Notes) == 0 {
		t.Errorf("no Claude Code: %+v", p)
	}
}

func TestTheProgramItselfIsStartedNotItsScript(t *testing.T) {
	modules := t.TempDir()
	script := filepath.Join(modules, "@anthropic-ai", "claude-code", "bin", "claude.exe")
	binary := filepath.Join(modules, "@anthropic-ai", "claude-code-linux-x64", "claude")
	for path, text := range map[string]string{script: "#!/usr/bin/env node\n", binary: "\x7fELF"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := sdk.Installed{Name: "claude", Path: script, Interpreter: "/usr/bin/node"}
	if got := native(p); got.Path != binary || got.Interpreter != "" {
		t.Errorf("native = %+v", got)
	}
	if err := os.Remove(binary); err != nil {
		t.Fatal(err)
	}
	if got := native(p); got != p {
		t.Errorf("without a binary: %+v", got)
	}
	other := sdk.Installed{Name: "claude", Path: "/usr/bin/claude"}
	if got := native(other); got != other {
		t.Errorf("elsewhere: %+v", got)
	}
}

func TestAConfigThatCannotRunIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"model":"--help"}`:                      "model",
		`{"model":"a b"}`:                         "model",
		`{"max_turns":-1}`:                        "max_turns",
		`{"max_turns":1.5}`:                       "max_turns",
		`{"permission_mode":"bypassPermissions"}`: "permission_mode",
		`{"permission_mode":"auto"}`:              "permission_mode",
		`{"env":{"A=B":"x"}}`:                     "env",
		`{"env":{"ANTHROPIC_API_KEY":"x"}}`:       "env",
		`{"env":{"CLAUDE_CONFIG_DIR":"x"}}`:       "env",
		`{"args":["--yolo"]}`:                     "args",
	} {
		sdktest.RefusedFor(t, manifest, claude{}, config, attribute)
	}
}
