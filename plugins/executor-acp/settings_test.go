package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

func TestAConfigBlockThatMakesNoProfileIsRefusedByAttributeAndReason(t *testing.T) {
	for _, c := range []struct{ config, attribute, reason string }{
		{`{"profile":"amp"}`, "profile", `"amp" is none of claude-agent-acp, codex-acp, copilot, gemini, opencode, qwen, custom`},
		{`{"profile":"gemini","args":["x"]}`, "args", `where profile is "custom"`},
		{`{"profile":"gemini","usage":{"at":"response.usage"}}`, "usage", `where profile is "custom"`},
		{`{"profile":"gemini","model":"--yolo"}`, "model", "is not the name of a model"},
		{`{"profile":"custom","model":"m"}`, "model", "nothing in the profile says {model}"},
		{`{"profile":"custom","env":{"A=B":"x"}}`, "env", "cannot be set"},
		{`{"profile":"custom","args":["a\u0000"]}`, "args", "zero byte"},
		{`{"profile":"custom","files":{"../x":"y"}}`, "files", "not a path below the agent's home"},
		{`{"profile":"custom","files":{"/etc/x":"y"}}`, "files", "not a path below the agent's home"},
		{`{"profile":"custom","state":["[a"]}`, "state", "not a pattern"},
		{`{"profile":"custom","refuse":[".."]}`, "refuse", "not a path below the tree"},
		{`{"profile":"custom","wire":"grpc"}`, "wire", `"grpc" is none of responses, messages, chat, gemini`},
		{`{"profile":"custom","env":{"URL":"{url}"}}`, "wire", "say which wire"},
		{`{"profile":"custom","usage":{"at":"result.usage","input":"a","output":"b"}}`, "usage", `begins with "response." or "update."`},
		{`{"profile":"custom","usage":{"input":"a","output":"b"}}`, "usage", "set at"},
		{`{"profile":"custom","usage":{"at":"response.usage","input":"a.b","output":"b"}}`, "usage", `input = "a.b"`},
		{`{"profile":"custom","usage":{"at":"response.usage","input":"a"}}`, "usage", `output = ""`},
		{`{"profile":"custom","usage":{"at":"response.usage","input":"a","output":"b","cached":"maybe"}}`, "usage", `cached = "maybe"`},
		{`{"profile":"custom","usage":{"at":"response.usage","tokens":"a"}}`, "usage", "a key that is none of"},
	} {
		_, _, err := parse(json.RawMessage(c.config))
		var wrong *sdk.ConfigError
		if !errors.As(err, &wrong) || wrong.Attribute != c.attribute || !strings.Contains(wrong.Message, c.reason) {
			t.Errorf("%s: %v, want config.%s with %q", c.config, err, c.attribute, c.reason)
		}
	}
}

func TestEveryShippedProfileCanBeStarted(t *testing.T) {
	for _, p := range shipped() {
		s, p, err := parse(json.RawMessage(`{"profile":"` + p.Name + `","model":"some-model"}`))
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if p.Program == "" || p.Tested == "" || !strings.Contains(p.Install, "@") {
			t.Errorf("%s lacks something: %+v", p.Name, p)
		}
		for wire := range p.Wires {
			a := &sdk.Attempt{Tree: "/tree", Program: &sdk.Installed{Path: "/bin/agent"}, Gateway: &sdk.Gateway{URL: "http://127.0.0.1:9", Key: "dummy", Wire: wire}}
			st, err := plan(s, p, a, []string{"HOME=/home/u", "OPENAI_API_KEY=real", "GEMINI_API_KEY=real", "ANTHROPIC_AUTH_TOKEN=real", "COPILOT_GITHUB_TOKEN=real"})
			if err != nil {
				t.Errorf("%s over %s: %v", p.Name, wire, err)
				continue
			}
			all := strings.Join(slices.Concat(st.argv, st.env), "\n")
			for _, text := range st.files {
				all += text
			}
			for _, want := range []string{"http://127.0.0.1:9", "dummy", "some-model"} {
				if !strings.Contains(all, want) && (want != "some-model" || p.uses("{model}")) {
					t.Errorf("%s over %s does not say %s:\n%s", p.Name, wire, want, all)
				}
			}
			if strings.Contains(all, "real") || strings.Contains(strings.Join(st.argv, " "), "dummy") {
				t.Errorf("%s over %s lets a credential of the operator's through, or shows a key:\n%s", p.Name, wire, all)
			}
			if strings.Contains(all, "{url}") || strings.Contains(all, "{key}") || strings.Contains(all, "{model}") || strings.Contains(all, "{home}") {
				t.Errorf("%s over %s has placeholders left:\n%s", p.Name, wire, all)
			}
		}
	}
}

func TestAGatewayOfAnotherWireIsRefused(t *testing.T) {
	h := with(t, "plain", map[string]any{"wire": "chat"})
	h.attempt.Gateway = &sdk.Gateway{URL: "http://127.0.0.1:9", Key: "k", Wire: "gemini"}
	if r := h.run(t); r.Class != "policy" || !strings.Contains(r.Message, "it speaks chat") {
		t.Errorf("result = %+v", r)
	}
}

func TestARepositoryThatWouldRunCodeAtTheStartIsRefusedUntilItIsAllowed(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		h := with(t, "plain", map[string]any{"refuse": []string{".fake/hooks"}, "repository_config": allowed})
		if err := os.MkdirAll(filepath.Join(h.tree, ".fake", "hooks"), 0o700); err != nil {
			t.Fatal(err)
		}
		r := h.run(t)
		if allowed && r.Failed || !allowed && (r.Class != "policy" || !strings.Contains(r.Message, "repository_config = true")) {
			t.Errorf("allowed %v: result = %+v", allowed, r)
		}
	}
}

func TestTheHomeIsFurnishedAndALoginStays(t *testing.T) {
	for _, gateway := range []bool{false, true} {
		h := with(t, "plain", map[string]any{"wire": "chat", "files": map[string]string{"cfg/a": "new {home}", "b": "new"}})
		if err := os.WriteFile(filepath.Join(h.home, "b"), []byte("login"), 0o600); err != nil {
			t.Fatal(err)
		}
		want := "login"
		if gateway {
			h.attempt.Gateway, want = &sdk.Gateway{URL: "http://127.0.0.1:9", Key: "k", Wire: "chat"}, "new"
		}
		h.run(t)
		a, _ := os.ReadFile(filepath.Join(h.home, "cfg", "a"))
		b, _ := os.ReadFile(filepath.Join(h.home, "b"))
		if string(a) != "new "+h.home || string(b) != want {
			t.Errorf("gateway %v: files = %q, %q", gateway, a, b)
		}
	}
}

func TestAModeIsSelectedWhereTheAgentOffersIt(t *testing.T) {
	h := with(t, "plain", map[string]any{"mode": "careful", "auth_method": "key"})
	if r := h.run(t); r.Failed {
		t.Errorf("result = %+v", r)
	}
	h.has(t, sdk.EventModeChanged, `"mode":"careful"`)
	h = with(t, "plain", map[string]any{"mode": "yolo"})
	if r := h.run(t); r.Class != "policy" || !strings.Contains(r.Message, "it offers default, careful") {
		t.Errorf("result = %+v", r)
	}
	h = with(t, "plain", map[string]any{"auth_method": "oauth"})
	if r := h.run(t); r.Class != "auth" || !strings.Contains(r.Message, "it offers key") {
		t.Errorf("result = %+v", r)
	}
}

func TestAProgramWithoutAVersionFlagIsKnownByItsPackage(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "dist"), 0o700); err != nil {
		t.Fatal(err)
	}
	program := &sdk.Installed{Name: "claude-agent-acp", Path: filepath.Join(dir, "dist", "index.js")}
	probe := func() sdk.Probe {
		p, err := executor{environ: func() []string { return []string{"HOME=" + dir} }}.Probe(t.Context(), sdk.ProbeRequest{
			Config: json.RawMessage(`{"profile":"claude-agent-acp"}`), Program: program,
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := probe(); p.Version != "" || p.Tested || len(p.Notes) != 1 {
		t.Errorf("without a package: %+v", p)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"name":"x","version":"0.49.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := probe(); p.Version != "0.49.0" || !p.Tested || len(p.Notes) != 0 {
		t.Errorf("with one: %+v", p)
	}
}
