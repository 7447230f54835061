package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

// driving is the plugin with the program that the host would hand over.
type driving struct {
	executor
	program sdk.Installed
}

// Run performs.
func (d driving) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	a.Program = &d.program
	return d.executor.Run(ctx, a)
}

func TestTheContractOfExecutors(t *testing.T) {
	h := with(t, "edit", nil)
	sdktest.RunExecutor(t, sdktest.ExecutorSuite{
		Manifest: manifest(), New: func() any { return driving{h.executor(), *h.attempt.Program} },
		Config: ownConfig(t, "plain", nil), Text: "write a.txt",
		SlowConfig: ownConfig(t, "slow", nil), SlowText: "be slow",
	})
}

func TestAnAttemptIsToldFromItsBeginningToItsUsage(t *testing.T) {
	h := with(t, "edit", nil)
	r := h.run(t)
	if r.Failed || r.StopReason != "end_turn" || r.Denied || r.Session != "ses_1" || r.Version != "1.2.3" {
		t.Fatalf("result = %+v\n%s", r, h.dump())
	}
	if r.Usage == nil || *r.Usage != (sdk.Usage{Input: 100, CachedRead: 20, Output: 20, Reasoning: 5, Cost: 0.5, Currency: "USD", Scope: "turn", Basis: "reported"}) {
		t.Errorf("usage = %+v", r.Usage)
	}
	if !strings.HasPrefix(r.Summary, "done, answer ") {
		t.Errorf("summary = %q", r.Summary)
	}
	h.has(t, sdk.EventSessionStarted, `"native_id":"ses_1"`, `"mode":"default"`, `"version":"1.2.3"`)
	h.has(t, sdk.EventThought, `"text":"hm"`)
	h.has(t, sdk.EventPlanUpdated, `"text":"write it"`, `"priority":"high"`)
	h.has(t, sdk.EventToolStarted, "t1 ", `"kind":"edit"`, `"title":"Write a.txt"`, `"paths":["a.txt"]`)
	h.has(t, sdk.EventToolEnded, "t1 ", `"status":"ok"`)
	h.has(t, sdk.EventFileChanged, "t1 ", `"path":"a.txt"`, `"op":"add"`, `"basis":"reported"`)
	h.has(t, sdk.EventMessage, `"channel":"final"`, "done, answer")
	h.has(t, sdk.EventTurnEnded, `"status":"end_turn"`)
	h.has(t, sdk.EventSessionEnded, `"exit_code":0`)
	if data, err := os.ReadFile(filepath.Join(h.tree, "a.txt")); err != nil || string(data) != "hi" {
		t.Errorf("a.txt = %q, %v", data, err)
	}
	if raw := h.output("stdout"); strings.Count(raw, "\n") < 9 || !strings.Contains(raw, `"sessionUpdate":"plan"`) {
		t.Errorf("the raw stream = %q", raw)
	}
}

func TestALineIsToldAsItCameBeforeWhatItMeans(t *testing.T) {
	h := with(t, "edit", nil)
	h.run(t)
	for _, e := range h.events {
		switch e.Type {
		case sdk.EventLog:
			if strings.Contains(string(e.Log), `"plan"`) {
				return
			}
		case sdk.EventPlanUpdated:
			t.Fatal("the plan was told before its line")
		}
	}
}

func TestLeaveIsAskedForWithWhatRulesLookAt(t *testing.T) {
	h := with(t, "edit", nil)
	h.run(t)
	if len(h.asked) != 1 {
		t.Fatalf("asked %+v", h.asked)
	}
	p := h.asked[0]
	if p.ID != "t1" || p.Tool != "edit" || p.Title != "Write a.txt" || strings.Join(p.Paths, " ") != "a.txt" || !strings.Contains(string(p.Input), `"file_path"`) {
		t.Errorf("asked for %+v, input %s", p, p.Input)
	}
	h = with(t, "silent permission", nil)
	h.run(t)
	if p := h.asked[0]; p.Tool != "execute" || p.Command != "rm -rf x" {
		t.Errorf("asked for %+v, want the script of the shell as the command", p)
	}
	h.has(t, sdk.EventToolStarted, "c1 ", `"synthesized":true`, `"kind":"execute"`)
}

func TestAnOptionIsChosenByItsKindAndNeverForGood(t *testing.T) {
	for _, c := range []struct {
		part   string
		allow  bool
		option string
		denied bool
	}{
		{"silent permission", true, `"optionId":"x1"`, false},
		{"silent permission", false, `"optionId":"allow_once"`, true}, // that is the id of a rejection
		{"for good only", true, `"optionId":"r"`, true},
		{"for good only", false, `"optionId":"r"`, true},
	} {
		h := with(t, c.part, nil)
		h.permit = newRecorder(c.allow).permit
		r := h.run(t)
		if !strings.Contains(r.Summary, c.option) || r.Denied != c.denied {
			t.Errorf("%s, allowed %v: answer %s, denied %v; want %s, %v", c.part, c.allow, r.Summary, r.Denied, c.option, c.denied)
		}
	}
}

func TestADeniedToolEndsAsDeniedWhateverTheAgentSays(t *testing.T) {
	for _, part := range []string{"edit", "silent permission"} {
		h := with(t, part, nil)
		h.permit = newRecorder(false).permit
		if r := h.run(t); !r.Denied || r.Failed {
			t.Errorf("%s: result = %+v", part, r)
		}
		h.has(t, sdk.EventToolEnded, `"status":"denied"`)
		if changed := h.of(sdk.EventFileChanged); len(changed) > 0 {
			t.Errorf("%s: told %q", part, changed)
		}
	}
}

func TestACancelledAttemptEndsByTheProtocol(t *testing.T) {
	h := with(t, "slow", nil)
	ctx, cancel := context.WithCancel(t.Context())
	h.on = func(e sdk.Event) {
		if e.Type == sdk.EventToolStarted {
			cancel()
		}
	}
	r := h.runIn(ctx, t)
	if r.StopReason != "cancelled" || r.Failed || r.Signal != "" {
		t.Errorf("result = %+v\n%s", r, h.dump())
	}
	h.has(t, sdk.EventToolEnded, "t1 ", `"status":"cancelled"`) // though the agent said completed
	h.has(t, sdk.EventTurnEnded, `"status":"cancelled"`)
}

func TestAnAgentThatDoesNotListenIsEndedBySignals(t *testing.T) {
	h := with(t, "deaf", nil)
	ctx, cancel := context.WithCancel(t.Context())
	h.on = func(e sdk.Event) {
		if e.Type == sdk.EventMessageDelta {
			cancel()
		}
	}
	if r := h.runIn(ctx, t); r.StopReason != "cancelled" || r.Failed {
		t.Errorf("result = %+v\n%s", r, h.dump())
	}
}

func TestARequestThatNobodyDecidesIsTakenBackWithTheAttempt(t *testing.T) {
	h := with(t, "waits for leave", nil)
	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan struct{})
	h.permit = func(sdk.Permission) (sdk.Decision, error) {
		cancel()
		<-blocked
		return sdk.Decision{}, context.Canceled
	}
	context.AfterFunc(ctx, func() { close(blocked) })
	if r := h.runIn(ctx, t); r.StopReason != "cancelled" || r.Failed {
		t.Errorf("result = %+v\n%s", r, h.dump())
	}
	h.has(t, sdk.EventMessage, "session/cancel")
}

func TestAProgramThatIsMissingIsSaidWithItsRemedy(t *testing.T) {
	for config, remedy := range map[string]string{
		`{"profile":"gemini"}`:                "npm install -g @google/gemini-cli@",
		`{"profile":"custom","args":["acp"]}`: `program = "NAME"`,
	} {
		_, err := executor{environ: os.Environ}.Run(t.Context(), &sdk.Attempt{Config: json.RawMessage(config), Tree: t.TempDir()})
		var f *sdk.Failure
		if !errors.As(err, &f) || f.Class != "policy" || !strings.Contains(f.Message, remedy) {
			t.Errorf("%s: %v, want a failure that says %q", config, err, remedy)
		}
	}
}
