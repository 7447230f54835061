package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/sdktest"
	"github.com/drawspan/drawspan/sdk/sdktest/modelserver"
)

// realProgram is the Claude Code that scripts/agents installed.
func realProgram(t *testing.T) *sdk.Installed {
	t.Helper()
	agents := os.Getenv("DRAWSPAN_AGENTS")
	if agents == "" {
		t.Skip("DRAWSPAN_AGENTS is not set: scripts/agents test drives the real programs")
	}
	path, err := filepath.EvalSymlinks(filepath.Join(agents, "claude/node_modules/@anthropic-ai/claude-code/bin/claude.exe"))
	if err != nil {
		t.Skipf("Claude Code is not installed: %v", err)
	}
	return &sdk.Installed{Name: "claude", Path: path}
}

// realRun is one attempt of the real Claude Code against a scripted model.
type realRun struct {
	steps  []modelserver.Step
	config string
	text   string
	tree   string
	resume *sdk.Resume
	on     func(*sdktest.Harness, sdk.Event)
}

func (r realRun) perform(t *testing.T) (sdk.Result, *sdktest.Harness, *modelserver.Server) {
	t.Helper()
	program := realProgram(t)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	if r.tree == "" {
		r.tree = t.TempDir()
	}
	if r.config == "" {
		r.config = `{}`
	}
	s := modelserver.Start(t, modelserver.Script{Steps: r.steps, Dir: r.tree, Key: "dummy"})
	h := sdktest.Serve(t, manifest, claude{})
	h.Configure(t, json.RawMessage(r.config))
	if r.on != nil {
		h.Events.On = func(e sdk.Event) { r.on(h, e) }
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	result, err := h.Client.Execute(ctx, sdk.Attempt{
		ID: "att_1", Instruction: r.text, Tree: r.tree, Program: program, Resume: r.resume,
		Gateway: &sdk.Gateway{URL: s.URL, Key: s.Key, Wire: sdk.WireMessages},
	}, h.Events.Take)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range h.Events.Of(sdk.EventRaw) {
		t.Errorf("a line of its own is not understood: %s", e.Data)
	}
	return result, h, s
}

func TestRealEditIsMadeAndTold(t *testing.T) {
	tree := t.TempDir()
	r, h, _ := realRun{
		tree: tree, text: "/write hello", config: `{"permission_mode":"acceptEdits"}`,
		steps: []modelserver.Step{modelserver.Write("hello.txt", "hi\n"), modelserver.Text("done")},
	}.perform(t)
	if got := read(t, tree, "hello.txt"); r.Failed || r.StopReason != "end_turn" || r.Summary != "done" || got != "hi\n" {
		t.Errorf("result %+v, file %q", r, got)
	}
	if !agent.InRange(r.Version, manifest.Programs[0].Tested) || r.Session == "" || len(r.State) != 1 || r.Usage == nil || r.Usage.Calls != 2 || r.Usage.Input == 0 {
		t.Errorf("version %q, session %q with %d files, usage %+v", r.Version, r.Session, len(r.State), r.Usage)
	}
	var kinds []string
	for _, e := range h.Events.All() {
		if e.Type != sdk.EventLog {
			kinds = append(kinds, string(e.Type))
		}
	}
	if got, want := strings.Join(kinds, " "), "session.started turn.started tool.started tool.ended file.changed message usage turn.ended session.ended"; got != want {
		t.Errorf("told %s\nwant %s", got, want)
	}
}

func TestRealPermissionsAreAsked(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		t.Run(fmt.Sprint("allowed ", allowed), func(t *testing.T) {
			tree := t.TempDir()
			r, h, _ := realRun{
				tree: tree, text: "go on", on: decide(t, sdk.Decision{Allowed: allowed, Rule: "rule writes"}),
				steps: []modelserver.Step{modelserver.Write("hello.txt", "hi\n"), modelserver.Shell("touch made"), modelserver.Text("done")},
			}.perform(t)
			var asked []string
			for _, e := range h.Events.Of(sdk.EventPermissionAsked) {
				p, err := sdk.PermissionOf(e)
				if err != nil {
					t.Fatal(err)
				}
				asked = append(asked, fmt.Sprint(p.Tool, p.Paths, p.Command))
			}
			if want := []string{"edit[" + tree + "/hello.txt]", "execute[]touch made"}; strings.Join(asked, "|") != strings.Join(want, "|") {
				t.Errorf("asked %q, want %q", asked, want)
			}
			files, err := os.ReadDir(tree)
			if want := map[bool]int{true: 2, false: 0}[allowed]; err != nil || r.Failed || r.Denied == allowed || len(files) != want {
				t.Errorf("result %+v, tree %v", r, files)
			}
			status := map[bool]string{true: `"status":"ok"`, false: `"status":"denied"`}[allowed]
			for _, e := range h.Events.Of(sdk.EventToolEnded) {
				if !strings.Contains(string(e.Data), status) {
					t.Errorf("ended %s", e.Data)
				}
			}
		})
	}
}

func TestRealQuestionsAreAsked(t *testing.T) {
	answer := sdk.Answer{Text: "sqlite", Answered: true}
	on := func(h *sdktest.Harness, e sdk.Event) {
		if e.Type == sdk.EventQuestionAsked {
			if err := h.Client.Input(t.Context(), "att_1", e.ItemID, answer, sdk.Decision{}); err != nil {
				t.Errorf("Input: %v", err)
			}
		}
	}
	run := realRun{text: "ask me", on: on, steps: []modelserver.Step{modelserver.Ask("Which store?", "postgres", "sqlite"), modelserver.Text("done")}}
	r, h, s := run.perform(t)
	if last := s.Requests()[len(s.Requests())-1].Last; r.Failed || r.Denied || len(h.Events.Of(sdk.EventQuestionAsked)) != 1 || !strings.Contains(last, "sqlite") {
		t.Errorf("result %+v, the model was told %q", r, last)
	}
	answer = sdk.Answer{}
	if r, _, s = run.perform(t); r.Failed || r.Denied || !strings.Contains(s.Requests()[len(s.Requests())-1].Last, "did not answer") {
		t.Errorf("without an answer: %+v", r)
	}
}

func TestRealErrorsOfTheModelHaveAClass(t *testing.T) {
	for name, c := range map[string]struct {
		fault modelserver.Fault
		class string
		again bool
	}{
		"401": {modelserver.Fault{Status: 401}, "auth", false},
		"429": {modelserver.Fault{Status: 429, RetryAfter: time.Second}, "rate_limit", true},
		"529": {modelserver.Fault{Status: 529}, "overloaded", true},
		"cut": {modelserver.Fault{Cut: true}, "network", true},
	} {
		t.Run(name, func(t *testing.T) {
			r, h, _ := realRun{text: "go on", steps: []modelserver.Step{modelserver.Fail(c.fault)}}.perform(t)
			if !r.Failed || r.Class != c.class || r.Retryable != c.again || r.ExitCode == nil || *r.ExitCode != 1 {
				t.Errorf("result %+v", r)
			}
			if n := len(h.Events.Of(sdk.EventRetry)); n < 1 || n > 4 {
				t.Errorf("%d retries", n)
			}
			if c.class == "rate_limit" && (r.RetryAfter < time.Second || r.RetryAfter > 5*time.Second) {
				t.Errorf("retry after %v", r.RetryAfter)
			}
		})
	}
}

func TestRealStreamThatIsCutOnceIsTriedAgain(t *testing.T) {
	tree := t.TempDir()
	r, _, _ := realRun{
		tree: tree, text: "go on", config: `{"permission_mode":"acceptEdits"}`,
		steps: []modelserver.Step{
			modelserver.Write("hello.txt", "hi\n"),
			{Text: "done", Fault: &modelserver.Fault{Cut: true, After: 3, Times: 1}},
		},
	}.perform(t)
	if got := read(t, tree, "hello.txt"); r.Failed || got != "hi\n" {
		t.Errorf("result %+v, file %q", r, got)
	}
}

func TestRealTurnsAreBounded(t *testing.T) {
	r, _, _ := realRun{
		text: "go on", config: `{"max_turns":2}`, on: decide(t, sdk.Decision{Allowed: true}),
		steps: []modelserver.Step{{Shell: "echo again", Repeat: -1}},
	}.perform(t)
	if r.StopReason != "max_turns" || r.Class != "budget" {
		t.Errorf("result %+v", r)
	}
}

func TestRealCancelEndsARunningTool(t *testing.T) {
	tree := t.TempDir()
	runs := filepath.Join(tree, "runs")
	if err := syscall.Mkfifo(runs, 0o600); err != nil {
		t.Fatal(err)
	}
	asked := make(chan time.Time, 1)
	on := func(h *sdktest.Harness, e sdk.Event) {
		if e.Type != sdk.EventPermissionAsked {
			return
		}
		decide(t, sdk.Decision{Allowed: true})(h, e)
		go func() {
			if _, err := os.ReadFile(runs); err != nil { // until the tool has opened and closed it
				t.Error(err)
			}
			asked <- time.Now()
			if err := h.Client.Cancel(t.Context(), "att_1", "test"); err != nil {
				t.Errorf("Cancel: %v", err)
			}
		}()
	}
	r, h, _ := realRun{tree: tree, text: "go on", on: on, steps: []modelserver.Step{modelserver.Shell("echo > runs; sleep 100"), modelserver.Text("done")}}.perform(t)
	if took := time.Since(<-asked); r.StopReason != "cancelled" || r.Failed || took > 5*time.Second {
		t.Errorf("result %+v, %v after it was asked", r, took)
	}
	if ended := h.Events.Of(sdk.EventToolEnded); len(ended) != 1 || !strings.Contains(string(ended[0].Data), "cancelled") {
		t.Errorf("tools ended: %+v", ended)
	}
}

func TestRealSessionIsContinuedInAnotherTree(t *testing.T) {
	steps := []modelserver.Step{modelserver.Write("one.txt", "1\n"), modelserver.Text("first done"), modelserver.Write("two.txt", "2\n"), modelserver.Text("second done")}
	first, _, _ := realRun{text: "the first thing", config: `{"permission_mode":"acceptEdits"}`, steps: steps}.perform(t)
	if first.Failed || first.Summary != "first done" {
		t.Fatalf("first: %+v", first)
	}
	tree := t.TempDir()
	second, _, s := realRun{
		tree: tree, text: "the second thing", config: `{"permission_mode":"acceptEdits"}`, steps: steps,
		resume: &sdk.Resume{Session: first.Session, State: first.State, Summary: first.Summary},
	}.perform(t)
	if second.Failed || second.Session != first.Session || !strings.Contains(string(s.Requests()[len(s.Requests())-1].Body), "the first thing") {
		t.Errorf("second: %+v", second)
	}
	if got := read(t, tree, "two.txt"); got != "2\n" {
		t.Errorf("two.txt = %q", got)
	}
	// A session that it does not know begins anew, with what was said last.
	unknown := strings.Repeat("9", 8) + first.Session[8:]
	third, _, s := realRun{text: "the third thing", config: `{"permission_mode":"acceptEdits"}`, steps: steps,
		resume: &sdk.Resume{Session: unknown, State: first.State, Summary: "it was green"}}.perform(t)
	if third.Failed || !strings.Contains(string(s.Requests()[len(s.Requests())-1].Body), "it was green") {
		t.Errorf("third: %+v", third)
	}
}

func TestRealRepositoryRunsNothing(t *testing.T) {
	tree, mark := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	hook := `[{"matcher":"","hooks":[{"type":"command","command":"touch ` + mark + `"}]}]`
	settings := `{"hooks":{"SessionStart":` + hook + `,"UserPromptSubmit":` + hook + `,"PreToolUse":` + hook + `,"Stop":` + hook + `},
		"apiKeyHelper":"touch ` + mark + `","statusLine":{"type":"command","command":"touch ` + mark + `"},
		"env":{"ANTHROPIC_BASE_URL":"http://127.0.0.1:1"},"enableAllProjectMcpServers":true,"permissions":{"allow":["Bash(*)","Write(*)"]}}`
	for name, text := range map[string]string{
		".claude/settings.json": settings, ".claude/settings.local.json": settings,
		".mcp.json":                     `{"mcpServers":{"x":{"command":"touch","args":["` + mark + `"]}}}`,
		".claude/skills/x/SKILL.md":     "---\nname: x\ndescription: x\n---\n!`touch " + mark + "`\n",
		".claude/commands/x.md":         "---\ndescription: x\n---\n!`touch " + mark + "`\n",
		".claude-plugin/plugin.json":    `{"name":"x","hooks":{"SessionStart":` + hook + `}}`,
		".claude/agents/x.md":           "---\nname: x\ndescription: x\n---\nx\n",
		"CLAUDE.md":                     "the repository's own instructions",
		".claude/output-styles/loud.md": "---\nname: loud\n---\nshout\n",
	} {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, h, s := realRun{
		tree: tree, text: "/x", on: decide(t, sdk.Decision{Allowed: true}),
		steps: []modelserver.Step{modelserver.Shell("echo hi > hello.txt"), modelserver.Text("done")},
	}.perform(t)
	if _, err := os.Stat(mark); err == nil {
		t.Error("a file of the repository ran")
	}
	// Its permissions count for nothing either: the command was asked for.
	if got := read(t, tree, "hello.txt"); r.Failed || got != "hi\n" || len(h.Events.Of(sdk.EventPermissionAsked)) != 1 {
		t.Errorf("result %+v, file %q, asked %d times", r, got, len(h.Events.Of(sdk.EventPermissionAsked)))
	}
	// What keeps the repository's code out leaves the tools in.
	offered := s.Requests()[len(s.Requests())-1].Tools
	for _, want := range []string{"AskUserQuestion", "Bash", "Edit", "Read", "Write"} {
		if !slices.Contains(offered, want) {
			t.Errorf("%s is not among its tools %q", want, offered)
		}
	}
}

func TestRealProbe(t *testing.T) {
	program := realProgram(t)
	t.Setenv("TMPDIR", t.TempDir())
	h := sdktest.Serve(t, manifest, claude{})
	h.Configure(t, nil)
	p, err := h.Client.Probe(t.Context(), sdk.ProbeRequest{Program: program, Gateway: &sdk.Gateway{URL: "http://127.0.0.1:1", Wire: sdk.WireMessages}})
	if err != nil || !p.Tested || p.Login != "ready" || len(p.Notes) > 0 {
		t.Errorf("Probe = %+v, %v", p, err)
	}
}
