package main

import (
	"context"
	"encoding/json"
	"errors"
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

// self is this program as the installed one, with a home of its own.
func self(t *testing.T, offers string) *sdk.Installed {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("FAKE", offers)
	return &sdk.Installed{Name: "codex", Path: path}
}

var gateway = &sdk.Gateway{URL: "http://127.0.0.1:1", Key: "dummy", Wire: sdk.WireResponses}

// withProgram is the plugin with what the host hands it.
type withProgram struct {
	codex
	program *sdk.Installed
}

func (w withProgram) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	a.Program, a.Gateway = w.program, gateway
	return w.codex.Run(ctx, a)
}

func TestContract(t *testing.T) {
	for _, config := range []string{`{}`, `{"mode":"exec"}`} {
		program := self(t, "all")
		sdktest.RunExecutor(t, sdktest.ExecutorSuite{
			Manifest: manifest, New: func() any { return withProgram{program: program} },
			Config: json.RawMessage(config), Text: "the step", SlowConfig: json.RawMessage(config), SlowText: "slow",
		})
	}
}

// drive performs an attempt with a fake agent. Everything asked is answered by allow.
func drive(t *testing.T, offers, config string, a sdk.Attempt, allow bool) (sdk.Result, *sdktest.Harness) {
	t.Helper()
	a.ID, a.Tree, a.Program = "att_1", t.TempDir(), self(t, offers)
	if a.Gateway == nil {
		a.Gateway = gateway
	}
	h := sdktest.Serve(t, manifest, codex{})
	h.Configure(t, json.RawMessage(config))
	answer(t, h, allow)
	r, err := h.Execute(t, a)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"HOME", "TMPDIR"} {
		if left, err := os.ReadDir(os.Getenv(dir)); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
	return r, h
}

func step(text string) sdk.Attempt { return sdk.Attempt{Instruction: text} }

func TestHowATurnEndsIsWhatIsClaimed(t *testing.T) {
	for text, want := range map[string]sdk.Result{
		"the step": {StopReason: "end_turn", Summary: "the step"},
		"lies":     {StopReason: "end_turn", Summary: "lies"},
		"exit":     {StopReason: "error", Failed: true, Class: "protocol", Message: "ended without a terminal record"},
		"exit xxx": {StopReason: "error", Failed: true, Class: "crash", Message: "exited with code 3"},
		"killed":   {StopReason: "error", Failed: true, Class: "crash", Message: "SIGKILL", Signal: "SIGKILL"},
		`fails {"message":"m","codexErrorInfo":"usageLimitExceeded"}`:              {StopReason: "error", Failed: true, Class: "quota", Message: "m"},
		`fails {"message":"try again in 2s","codexErrorInfo":"rateLimitExceeded"}`: {StopReason: "error", Failed: true, Class: "rate_limit", Retryable: true, RetryAfter: 2 * time.Second, Message: "try again"},
		`fails {"message":"m","codexErrorInfo":"cyberPolicy"}`:                     {StopReason: "refusal", Failed: true, Class: "policy", Message: "m"},
		`fails null`:         {StopReason: "error", Failed: true, Class: "unknown", Message: "did not say why"},
		"status interrupted": {StopReason: "error", Failed: true, Class: "unknown", Message: "interrupted the turn by itself"},
		"status inventive":   {StopReason: "error", Failed: true, Class: "protocol", Message: "unknown status"},
	} {
		r, _ := drive(t, "all", `{}`, step(text), true)
		if r.StopReason != want.StopReason || r.Failed != want.Failed || r.Class != want.Class || r.Retryable != want.Retryable ||
			r.RetryAfter != want.RetryAfter || r.Signal != want.Signal || !strings.Contains(r.Message, want.Message) || !strings.HasPrefix(r.Summary, want.Summary) {
			t.Errorf("%s: result = %+v", text, brief(r))
		}
		if r.Version != "0.169.0" || r.Session != fakeThread {
			t.Errorf("%s: version %q, session %q", text, r.Version, r.Session)
		}
	}
}

func TestAClaimedChangeIsAClaimOnly(t *testing.T) {
	_, h := drive(t, "all", `{}`, step("lies"), true)
	if e := h.Events.Of(sdk.EventFileChanged); len(e) != 1 || !strings.Contains(string(e[0].Data), `"basis":"reported"`) {
		t.Errorf("file.changed: %v", e)
	}
}

func TestALineOfHundredMegabytesIsKeptInPart(t *testing.T) {
	r, h := drive(t, "all", `{}`, step("endless-line"), true)
	raw := h.Events.Of(sdk.EventRaw)
	if r.Failed || len(raw) != 1 || !strings.Contains(string(raw[0].Data), fmt.Sprintf(`"bytes":%d`, 100<<20)) {
		t.Errorf("result = %+v, raw %v", brief(r), raw)
	}
}

func TestAFloodIsTakenInOrder(t *testing.T) {
	r, h := drive(t, "all", `{}`, step("flood"), true)
	if n := len(h.Events.Of(sdk.EventMessageDelta)); r.Failed || n != 5_000 {
		t.Errorf("result = %+v, %d deltas", brief(r), n)
	}
}

func TestGarbageIsKeptAndEndsNothing(t *testing.T) {
	r, h := drive(t, "all", `{}`, step("garbage"), true)
	if r.Failed || r.Summary != "garbage" || r.Session != fakeThread {
		t.Errorf("result = %+v", brief(r))
	}
	if n := len(h.Events.Of(sdk.EventRaw)); n != 3 {
		t.Errorf("%d lines were not understood, want 3: %v", n, h.Events.Of(sdk.EventRaw))
	}
}

func TestAnAgentThatNeverEndsIsEnded(t *testing.T) {
	for _, c := range []struct{ offers, config, text string }{
		{"all", `{}`, "slow"}, {"deaf", `{}`, "slow"}, {"all", `{}`, "stubborn"}, {"all", `{"mode":"exec"}`, "slow"},
	} {
		a := step(c.text)
		a.ID, a.Tree, a.Program, a.Gateway = "att_1", t.TempDir(), self(t, c.offers), gateway
		h := sdktest.Serve(t, manifest, codex{})
		h.Configure(t, json.RawMessage(c.config))
		h.Events.On = func(e sdk.Event) {
			if e.Type == sdk.EventToolStarted {
				if err := h.Client.Cancel(t.Context(), "att_1", "test"); err != nil {
					t.Error(err)
				}
			}
		}
		r, err := h.Execute(t, a)
		if err != nil || r.StopReason != "cancelled" || r.Failed {
			t.Errorf("%v: result = %+v, %v", c, brief(r), err)
		}
		ended := h.Events.Of(sdk.EventToolEnded)
		if len(ended) != 1 || !strings.Contains(string(ended[0].Data), "cancelled") {
			t.Errorf("%v: tool.ended: %v", c, ended)
		}
	}
}

func TestWhatIsAskedIsWhatTheRulesLookAt(t *testing.T) {
	for text, want := range map[string]struct {
		asked   []string // tool, id, command, paths
		allowed string   // what the agent is told
		denied  string
	}{
		"command": {[]string{"execute c1 [go test ./...] "}, `{"decision":"accept"}`, `{"decision":"decline"}`},
		"typing":  {[]string{"execute c1 [] "}, `{"decision":"accept"}`, `{"decision":"decline"}`},
		"network": {[]string{"fetch c1 [] "}, `{"decision":"accept"}`, `{"decision":"decline"}`},
		"patch": {[]string{"delete f1 [] /tree/a /tree/c /tree/b /elsewhere", "delete f1#2 [] /tree/a /tree/c /tree/b", "edit unknown [] "},
			strings.Repeat(`{"decision":"accept"}`, 3), strings.Repeat(`{"decision":"decline"}`, 3)},
		"widen":   {[]string{"other w1 [] "}, `{"permissions":{"network":{"enabled":true}},"scope":"turn"}`, `{"permissions":{}}`},
		"strange": {nil, `{"code":-32601,"message":"not offered"}{"action":"decline"}`, `{"code":-32601,"message":"not offered"}{"action":"decline"}`},
	} {
		for _, allow := range []bool{true, false} {
			r, h := drive(t, "all", `{}`, step(text), allow)
			var asked []string
			for _, e := range h.Events.Of(sdk.EventPermissionAsked) {
				p, err := sdk.PermissionOf(e)
				if err != nil || p.Title == "" {
					t.Errorf("%s: %+v, %v", text, p, err)
				}
				asked = append(asked, fmt.Sprintf("%s %s [%s] %s", p.Tool, p.ID, p.Command, strings.Join(p.Paths, " ")))
			}
			told := want.allowed
			if !allow {
				told = want.denied
			}
			if !slices.Equal(asked, want.asked) || r.Summary != told || r.Failed || r.Denied != (!allow || text == "strange") {
				t.Errorf("%s: asked %q, the agent was told %s, result %+v", text, asked, r.Summary, brief(r))
			}
		}
	}
}

func TestQuestionsAreAskedOneByOneAndSecretsAreNot(t *testing.T) {
	r, h := drive(t, "all", `{}`, step("questions"), true)
	if r.Summary != `{"answers":{"a":{"answers":["blue"]},"b":{"answers":["blue"]}}}` {
		t.Errorf("the agent was told %s", r.Summary)
	}
	var asked []string
	for _, e := range h.Events.Of(sdk.EventQuestionAsked) {
		q, err := sdk.QuestionOf(e)
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, fmt.Sprintf("%s %q %q", q.ID, q.Text, q.Options))
	}
	want := []string{`q1/a "Color: Which?\n- red: warm" ["red" "blue"]`, `q1/b "Why?" []`}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestMoreThanTheBoundOfOpenRequestsIsDeclined(t *testing.T) {
	a := step("many")
	a.ID, a.Tree, a.Program, a.Gateway = "att_1", t.TempDir(), self(t, "all"), gateway
	h := sdktest.Serve(t, manifest, codex{})
	h.Configure(t, json.RawMessage(`{}`)) // nobody answers
	r, err := h.Execute(t, a)
	if err != nil || r.Summary != "10 declined" || !r.Denied {
		t.Errorf("result = %+v, %v", brief(r), err)
	}
}

func TestACodexThatWouldNotAskAsConfiguredGetsNoWork(t *testing.T) {
	r, h := drive(t, "lenient", `{}`, step("the step"), true)
	if !r.Failed || r.Class != "policy" || !strings.Contains(r.Message, "would not ask as configured") || len(h.Events.Of(sdk.EventTurnStarted)) > 0 {
		t.Errorf("result = %+v", brief(r))
	}
}

func TestRefusalsOfTheServerHaveAClass(t *testing.T) {
	for offers, want := range map[string]string{"refuses": "auth", "dead": "crash"} {
		r, _ := drive(t, offers, `{}`, step("the step"), true)
		if !r.Failed || r.Class != want {
			t.Errorf("%s: result = %+v", offers, brief(r))
		}
	}
}

func TestAnUntestedVersionIsSaid(t *testing.T) {
	r, h := drive(t, "old", `{}`, step("the step"), true)
	if e := h.Events.Of(sdk.EventError); r.Failed || r.Version != "0.99.0" || len(e) != 2 || !strings.Contains(string(e[0].Data), "tested range") {
		t.Errorf("result = %+v, errors %v", brief(r), e)
	}
}

func TestWithoutAnAppServerExecIsUsedOnlyWhereNobodyWantsToBeAsked(t *testing.T) {
	for _, config := range []string{`{}`, `{"approval":"on-request"}`, `{"mode":"app-server","approval":"never"}`} {
		r, _ := drive(t, "exec only", config, step("the step"), true)
		if !r.Failed || r.Class != "policy" || !strings.Contains(r.Message, "offers no app-server") {
			t.Errorf("%s: result = %+v", config, brief(r))
		}
	}
	r, h := drive(t, "exec only", `{"approval":"never"}`, step("the step"), true)
	mode := h.Events.Of(sdk.EventModeChanged)
	if r.Failed || !strings.Contains(r.Message, "driven by codex exec") || len(mode) != 1 || !strings.Contains(string(mode[0].Data), "no app-server") {
		t.Errorf("result = %+v, mode %v", brief(r), mode)
	}
}

func TestExecGetsTheTextByItsInputAlone(t *testing.T) {
	a := step("--yolo\nthe step")
	a.Resume = &sdk.Resume{Summary: "half done"}
	r, _ := drive(t, "all", `{"mode":"exec"}`, a, true)
	argv, prompt, _ := strings.Cut(r.Summary, "|")
	if r.Failed || !strings.HasSuffix(prompt, "--yolo\nthe step") || !strings.Contains(prompt, "half done") || strings.Contains(argv, "yolo") ||
		!strings.HasPrefix(argv, "exec --json --skip-git-repo-check --sandbox danger-full-access -C ") || !strings.HasSuffix(argv, " -") {
		t.Errorf("result = %+v", brief(r))
	}
	if r.Usage == nil || r.Usage.Input != 3 || r.Version != "0.169.0" {
		t.Errorf("usage %+v, version %q", r.Usage, r.Version)
	}
}

func TestHowExecEndsIsWhatIsClaimed(t *testing.T) {
	for text, want := range map[string]string{
		"exit": "protocol", "exit xx": "crash", "fails unexpected status 401 Unauthorized: x": "auth",
		"fails exceeded retry limit, last status: 429 Too Many Requests": "rate_limit",
	} {
		r, _ := drive(t, "all", `{"mode":"exec"}`, step(text), true)
		if !r.Failed || r.Class != want {
			t.Errorf("%s: result = %+v", text, brief(r))
		}
	}
}

func TestAFailingResumeBecomesANewSession(t *testing.T) {
	a := step("the step")
	a.Resume = &sdk.Resume{Session: fakeThread, Summary: "half done", State: []sdk.StateFile{{Path: "sessions/2026/01/01/rollout-" + fakeThread + ".jsonl", Data: []byte("{}")}}}
	r, h := drive(t, "all", `{}`, a, true)
	if r.Failed || !strings.Contains(r.Summary, "half done") || !strings.HasSuffix(r.Summary, "the step") {
		t.Errorf("result = %+v", brief(r))
	}
	if e := h.Events.Of(sdk.EventError); len(e) == 0 || !strings.Contains(string(e[0].Data), "cannot be resumed") {
		t.Errorf("errors: %v", e)
	}
}

func TestAStateCannotBringItsOwnConfiguration(t *testing.T) {
	for _, path := range []string{"config.toml", "sessions/../config.toml", "hooks.json", "auth.json"} {
		h := &home{dir: t.TempDir()}
		if h.restore(&sdk.Resume{Session: fakeThread, State: []sdk.StateFile{{Path: path, Data: []byte("x")}}}) {
			t.Errorf("%s was put back", path)
		}
		if left, err := os.ReadDir(h.dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", path, left, err)
		}
	}
}

func TestF56_TheAgentSeesNoVariableOfOthers(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-real")
	t.Setenv("CODEX_HOME", "/operator")
	t.Setenv("ANTHROPIC_API_KEY", "sk-other")
	t.Setenv("PLUGIN_SECRET", "handshake")
	r, _ := drive(t, "all", `{}`, step("environment"), true)
	for _, never := range []string{"sk-real", "sk-other", "handshake", "/operator"} {
		if strings.Contains(r.Summary, never) {
			t.Errorf("the agent saw %q", never)
		}
	}
	if !strings.Contains(r.Summary, keyVariable+"=dummy") || !strings.Contains(r.Summary, "CODEX_HOME="+os.Getenv("HOME")+"/.codex-") {
		t.Errorf("the agent's environment: %s", r.Summary)
	}
}

func TestWhatIsMissingIsSaidWithWhatHelps(t *testing.T) {
	run := func(a sdk.Attempt) *sdk.Failure {
		a.Tree = t.TempDir()
		_, err := codex{}.Run(t.Context(), &a)
		var f *sdk.Failure
		if !errors.As(err, &f) {
			t.Fatalf("Run = %v", err)
		}
		return f
	}
	program := self(t, "all")
	t.Setenv("OPENAI_API_KEY", "")
	t.Setenv("CODEX_API_KEY", "")
	if f := run(sdk.Attempt{Gateway: gateway}); f.Class != "policy" || !strings.Contains(f.Message, "npm install -g @openai/codex@") {
		t.Errorf("no program: %v", f)
	}
	if f := run(sdk.Attempt{Program: program}); f.Class != "auth" || !strings.Contains(f.Message, "gateway") {
		t.Errorf("no credential: %v", f)
	}
	if f := run(sdk.Attempt{Program: program, Gateway: &sdk.Gateway{URL: "http://127.0.0.1:1", Wire: sdk.WireMessages}}); f.Class != "policy" || !strings.Contains(f.Message, sdk.WireResponses) {
		t.Errorf("another wire: %v", f)
	}
	gone := &sdk.Installed{Name: "codex", Path: filepath.Join(t.TempDir(), "gone")}
	for _, config := range []string{`{}`, `{"mode":"exec"}`} {
		a := sdk.Attempt{Program: gone, Gateway: gateway, Config: json.RawMessage(config), Tree: t.TempDir(), Host: silent{}}
		_, err := codex{}.Run(t.Context(), &a)
		if r := sdk.ResultOf(sdk.Result{}, err); r.Class != "policy" {
			t.Errorf("%s: a program that is gone: %v", config, err)
		}
	}
}

// silent is a host that takes everything.
type silent struct{ sdk.Host }

func (silent) Emit(context.Context, sdk.Event) error { return nil }

func TestAConfigThatCannotRunIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"approval":"sometimes"}`:               "approval",
		`{"mode":"telepathy"}`:                   "mode",
		`{"sandbox":"danger-full-access"}`:       "sandbox",
		`{"model":"a b"}`:                        "model",
		`{"effort":"high\n[x]"}`:                 "effort",
		`{"mode":"exec","approval":"untrusted"}`: "approval",
		`{"model":1}`:                            "model",
		`{"profile":"x"}`:                        "profile",
	} {
		sdktest.RefusedFor(t, manifest, codex{}, config, attribute)
	}
}

func TestTheConfigurationIsWholeAndQuoted(t *testing.T) {
	s, err := parse(json.RawMessage(`{"model":"m\"1","effort":"high","sandbox":"read-only"}`))
	if err != nil {
		t.Fatal(err)
	}
	got := string(configuration(s, "http://127.0.0.1:1/v1", "/tree\"\n[x]\x7f"))
	for _, want := range []string{
		`model = "m\"1"`, `model_reasoning_effort = "high"`, `sandbox_mode = "read-only"`, `web_search = "disabled"`, "[analytics]\nenabled = false\n",
		"check_for_update_on_startup = false\n", "inherit = \"core\"\n", "plugins = false\n", "hooks = false\n", `base_url = "http://127.0.0.1:1/v1"`,
		"[projects.\"/tree\\\"\\n[x]\\u007f\"]\ntrust_level = \"untrusted\"\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestTheNativeProgramOfThePackageIsTaken(t *testing.T) {
	dir := t.TempDir()
	plant := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrapper := sdk.Installed{Name: "codex", Path: plant("node_modules/@openai/codex/bin/codex.js", 0o755), Interpreter: "/usr/bin/node"}
	if p := native(wrapper); p != wrapper {
		t.Errorf("without a native program: %+v", p)
	}
	plant("node_modules/@openai/codex-linux-arm64/vendor/x/bin/codex", 0o644)
	if p := native(wrapper); p != wrapper {
		t.Errorf("what cannot be executed was taken: %+v", p)
	}
	want := plant("node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex", 0o755)
	if p := native(wrapper); p.Path != want || p.Interpreter != "" {
		t.Errorf("native = %+v, want %s", p, want)
	}
	if binary := (sdk.Installed{Path: want}); native(binary) != binary {
		t.Errorf("a binary became %+v", native(binary))
	}
}

func TestProbeSaysWhatItFound(t *testing.T) {
	for _, c := range []struct {
		offers, config string
		gateway        *sdk.Gateway
		login, note    string
	}{
		{"all", `{}`, gateway, "ready", ""},
		{"all", `{"approval":"never"}`, gateway, "ready", "asks for nothing"},
		{"all", `{}`, nil, "missing", "no credential"},
		{"exec only", `{}`, gateway, "ready", "attempts are refused"},
		{"exec only", `{"approval":"never"}`, gateway, "ready", "driven by codex exec"},
	} {
		program := self(t, c.offers)
		t.Setenv("OPENAI_API_KEY", "")
		t.Setenv("CODEX_API_KEY", "")
		p, err := codex{}.Probe(t.Context(), sdk.ProbeRequest{Config: json.RawMessage(c.config), Program: program, Gateway: c.gateway})
		if err != nil || p.Version != "0.169.0" || !p.Tested || p.Login != c.login || !strings.Contains(strings.Join(p.Notes, "\n"), c.note) || len(p.Notes) > 0 && c.note == "" {
			t.Errorf("%+v: %+v, %v", c, p, err)
		}
	}
	if _, err := (codex{}).Probe(t.Context(), sdk.ProbeRequest{}); err == nil {
		t.Error("no program was found to be one")
	}
	if p, err := (codex{}).Probe(t.Context(), sdk.ProbeRequest{Program: self(t, "mute"), Gateway: gateway}); err == nil {
		t.Errorf("a program without a version: %+v", p)
	}
}
