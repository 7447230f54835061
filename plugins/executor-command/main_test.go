package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

func TestContract(t *testing.T) {
	sdktest.RunExecutor(t, sdktest.ExecutorSuite{
		Manifest: manifest, New: func() any { return command{} },
		Config: json.RawMessage(`{"program":["cat"]}`), Text: "the step",
		SlowConfig: json.RawMessage(`{"program":["sleep","60"]}`), SlowText: "the step",
	})
}

func perform(t *testing.T, config string, a sdk.Attempt) (sdk.Result, *sdktest.Harness) {
	t.Helper()
	h := sdktest.Serve(t, manifest, command{})
	h.Configure(t, json.RawMessage(config))
	a.ID = "att_1"
	if a.Tree == "" {
		a.Tree = t.TempDir()
	}
	r, err := h.Execute(t, a)
	if err != nil {
		t.Fatal(err)
	}
	return r, h
}

func TestTheStepsTextIsStandardInputAndNothingElse(t *testing.T) {
	text := "--version; $(touch pwned) `touch pwned`\n'\"\x00 größer"
	tree := t.TempDir()
	r, h := perform(t, `{"program":["cat"]}`, sdk.Attempt{Instruction: text, Tree: tree})
	if r.Failed || *r.ExitCode != 0 || h.Events.Output("stdout") != text {
		t.Errorf("result = %+v, output %q", r, h.Events.Output("stdout"))
	}
	if left, err := os.ReadDir(tree); err != nil || len(left) > 0 {
		t.Errorf("the tree holds %v, %v", left, err)
	}
	r, h = perform(t, `{"program":["cat"],"stdin":false}`, sdk.Attempt{Instruction: text})
	if r.Failed || h.Events.Output("stdout") != "" {
		t.Errorf("without stdin: result = %+v, output %q", r, h.Events.Output("stdout"))
	}
}

func TestTheStepsTextIsInAFileWhereItIsAskedFor(t *testing.T) {
	script := filepath.Join(t.TempDir(), "show")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ncat \"$DRAWSPAN_STEP_FILE\"; echo \"$ADDED\"; pwd\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"program": []string{script}, "file": true, "env": map[string]string{"ADDED": "yes"}})
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	t.Setenv("TMPDIR", t.TempDir())
	r, h := perform(t, string(config), sdk.Attempt{Instruction: "the text\n", Tree: tree})
	if out := h.Events.Output("stdout"); r.Failed || out != "the text\nyes\n"+tree+"\n" {
		t.Errorf("result = %+v, output %q", r, out)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestTheExitCodeDecidesWhatIsClaimed(t *testing.T) {
	for config, want := range map[string]struct {
		failed  bool
		code    int
		message string
	}{
		`{"program":["true"]}`:                                       {false, 0, ""},
		`{"program":["false"]}`:                                      {true, 1, "false exited with code 1"},
		`{"program":["false"],"ok_codes":[0,1]}`:                     {false, 1, ""},
		`{"program":["sh","-c","exit 7"],"ok_codes":[1]}`:            {true, 7, "sh exited with code 7"},
		`{"program":["sh","-c","echo a; echo b >&2"],"stdin":false}`: {false, 0, ""},
	} {
		r, h := perform(t, config, sdk.Attempt{})
		if r.Failed != want.failed || r.ExitCode == nil || *r.ExitCode != want.code || r.Message != want.message {
			t.Errorf("%s: result = %+v", config, r)
		}
		if n := len(h.Events.Of(sdk.EventToolEnded)); n != 1 {
			t.Errorf("%s: %d tool.ended events", config, n)
		}
	}
}

func TestADeathBySignalIsClaimedAsOne(t *testing.T) {
	r, _ := perform(t, `{"program":["sh","-c","echo dying; kill -9 $$"]}`, sdk.Attempt{})
	if !r.Failed || r.Signal != "SIGKILL" || r.ExitCode != nil || !strings.Contains(r.Summary, "dying") {
		t.Errorf("result = %+v", r)
	}
}

func TestAProgramThatIsNotThereFailsTheAttempt(t *testing.T) {
	r, _ := perform(t, `{"program":["/no/such/program"]}`, sdk.Attempt{})
	if !r.Failed || r.Class != "policy" || !strings.Contains(r.Message, "cannot be started") {
		t.Errorf("result = %+v", r)
	}
}

func TestTheSummaryIsTheEndOfTheOutput(t *testing.T) {
	r, _ := perform(t, `{"program":["seq","1","100000"]}`, sdk.Attempt{})
	if lines := strings.Split(r.Summary, "\n"); len(lines) != summaryLines || lines[summaryLines-1] != "100000" {
		t.Errorf("summary = %q", r.Summary)
	}
}

func TestAConfigThatCannotRunIsRefused(t *testing.T) {
	for config, attribute := range map[string]string{
		`{"program":[]}`:                         "program",
		`{"program":[""]}`:                       "program",
		"{\"program\":[\"a\\u0000b\"]}":          "program",
		`{"program":["a"],"env":{"A=B":"x"}}`:    "env",
		`{"program":["a"],"env":{"":"x"}}`:       "env",
		`{"program":["a"],"ok_codes":[1.5]}`:     "ok_codes",
		`{"program":["a"],"shell":true}`:         "shell",
		`{"program":"a b"}`:                      "program",
		`{"program":["a"],"ok_codes":["0"]}`:     "ok_codes",
		`{"program":["a"],"env":{"A":"\u0000"}}`: "env",
	} {
		sdktest.RefusedFor(t, manifest, command{}, config, attribute)
	}
}

func TestTheProgramFindsTheGateway(t *testing.T) {
	config := `{"program":["sh","-c","echo $DRAWSPAN_GATEWAY_URL $DRAWSPAN_GATEWAY_KEY $DRAWSPAN_GATEWAY_WIRE $ADDED"],"env":{"ADDED":"yes"}}`
	g := &sdk.Gateway{URL: "http://127.0.0.1:3129", Key: "worth-nothing", Wire: sdk.WireChat}
	if _, h := perform(t, config, sdk.Attempt{Gateway: g}); h.Events.Output("stdout") != "http://127.0.0.1:3129 worth-nothing chat yes\n" {
		t.Errorf("with a gateway: %q", h.Events.Output("stdout"))
	}
	if _, h := perform(t, config, sdk.Attempt{}); h.Events.Output("stdout") != "yes\n" {
		t.Errorf("without: %q", h.Events.Output("stdout"))
	}
}
