package main

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/drawspan/drawspan/config/guide"
	"github.com/drawspan/drawspan/sdk"
)

func TestTheProfileOfTheGuideDrivesAnAgent(t *testing.T) {
	config := guide.Config(t, guide.Example(t, "acp.md", "```hcl acp-custom\n(.*?)```"))
	if wrong := sdk.CheckConfig(attributes, config); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	var all map[string]any
	if err := json.Unmarshal(config, &all); err != nil {
		t.Fatal(err)
	}
	env, ok := all["env"].(map[string]any)
	if !ok {
		t.Fatal("the example sets no variables")
	}
	env[fakeVar], env["FAKE_TREE"] = "documented", "{tree}"
	h := with(t, "documented", all)
	h.attempt.Gateway = &sdk.Gateway{URL: "http://127.0.0.1:9", Key: "dummy", Wire: sdk.WireMessages}
	r := h.run(t)
	if r.Failed || r.Summary != "http://127.0.0.1:9 dummy "+filepath.Join(h.home, ".openclaw")+` {"model": "claude-sonnet", "telemetry": false, "update": false}` {
		t.Fatalf("result = %+v\n%s", r, h.dump())
	}
	if r.Usage == nil || r.Usage.Input != 100 || len(r.State) != 1 || r.State[0].Path != ".openclaw/sessions/ses_1.jsonl" {
		t.Errorf("usage %+v, state %+v", r.Usage, r.State)
	}
	// A follow-up goes on with that session, and tells nothing of it twice.
	again := with(t, "documented", all)
	again.attempt.Gateway = h.attempt.Gateway
	again.attempt.Resume = &sdk.Resume{Session: r.Session, State: r.State, Summary: r.Summary}
	r = again.run(t)
	if r.Failed || r.Session != "ses_1" || len(again.of(sdk.EventMessage)) != 1 {
		t.Errorf("result = %+v\n%s", r, again.dump())
	}
}

func TestASessionThatCannotBeContinuedBeginsWithWhatWasSaidLast(t *testing.T) {
	for name, resume := range map[string]*sdk.Resume{
		"no state":     {Session: "ses_0", Summary: "half is done"},
		"hostile":      {Session: "ses_0", Summary: "half is done", State: []sdk.StateFile{{Path: "../../x", Data: []byte("y")}}},
		"not loadable": {Session: "ses_0", Summary: "half is done", State: []sdk.StateFile{{Path: "x", Data: []byte("y")}}},
	} {
		h := with(t, "echo", nil)
		h.attempt.Resume = resume
		r := h.run(t)
		want := "The files are as earlier work left them. What was said at its end:\n\nhalf is done\n\nWhat is to be done now:\n\nwrite a.txt"
		if r.Failed || r.Session != "ses_new" || r.Summary != want {
			t.Errorf("%s: result = %+v\n%s", name, r, h.dump())
		}
	}
	h := with(t, "echo", nil)
	h.attempt.Instruction = "/logout now"
	if r := h.run(t); r.Summary != "What is to be done:\n\n/logout now" {
		t.Errorf("a step's text became a command of the agent's: %q", r.Summary)
	}
}
