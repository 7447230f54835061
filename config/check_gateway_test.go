package config

import (
	"slices"
	"strings"
	"testing"
)

// gate is a gateway block of these lines.
func gate(lines ...string) string {
	return "gateway \"g\" {\n  " + strings.Join(lines, "\n  ") + "\n}\n"
}

var badGateways = []bad{
	// Gateways.
	{"an upstream that is not encrypted", "top", gate(`upstream = "http://api.example.com"`, `wire = "messages"`), []string{"invalid_value 16:14"}, "use https"},
	{"an upstream by a name for loopback", "top", gate(`upstream = "http://localhost:8080"`, `wire = "chat"`), []string{"invalid_value 16:14"}, "127.0.0.1:8080"},
	{"an upstream with a user", "top", gate(`upstream = "https://me:secret@api.example.com"`, `wire = "chat"`), []string{"invalid_value 16:14"}, "credential"},
	{"an upstream with a query", "top", gate(`upstream = "https://api.example.com/?key=x"`, `wire = "gemini"`), []string{"invalid_value 16:14"}, "leave them out"},
	{"an upstream that climbs", "top", gate(`upstream = "https://api.example.com/a/../b"`, `wire = "chat"`), []string{"invalid_value 16:14"}, "for example"},
	{"an upstream with an escape", "top", gate(`upstream = "https://api.example.com/a%2fb"`, `wire = "chat"`), []string{"invalid_value 16:14"}, "for example"},
	{"an upstream of another kind", "top", gate(`upstream = "unix:///run/x"`, `wire = "chat"`), []string{"invalid_value 16:14"}, "for example"},
	{"an upstream without a host", "top", gate(`upstream = "https:///v1"`, `wire = "chat"`), []string{"invalid_value 16:14"}, "for example"},
	{"an upstream with a wrong port", "top", gate(`upstream = "https://api.example.com:99999"`, `wire = "chat"`), []string{"invalid_value 16:14"}, "for example"},
	{"an upstream that is the daemon", "top", "daemon {\n  listen = \"127.0.0.1:7070\"\n}\n" + gate(`upstream = "http://127.0.0.1:7070"`, `wire = "chat"`), []string{"invalid_value 19:14"}, "the model's service"},
	{"an unknown wire", "top", gate(`upstream = "https://api.example.com"`, `wire = "message"`), []string{"invalid_value 17:10"}, `did you mean "messages"?`},
	{"a gateway without a wire", "top", gate(`upstream = "https://api.example.com"`), []string{"missing_attribute 15:1"}, "add: wire"},
	{"a model with a blank", "top", gate(`upstream = "https://api.example.com"`, `wire = "chat"`, `models = ["a", "b c"]`), []string{"invalid_value 18:18"}, "claude-*"},
	{"a credential without a source", "top", gate(`upstream = "https://api.example.com"`, `wire = "chat"`, `credential {}`), []string{"missing_attribute 18:3"}, "from_env"},
	{"a credential with two sources", "top", gate(`upstream = "https://api.example.com"`, `wire = "chat"`, "credential {\nfrom_env = \"A\"\nfrom_file = \"~/b\"\n}"), []string{"duplicate_attribute 20:13"}, "keep one"},
	{"a credential by no name", "top", gate(`upstream = "https://api.example.com"`, `wire = "chat"`, "credential {\nfrom_env = \"$A\"\n}"), []string{"invalid_name 19:12"}, "without $"},
	{"a budget of nothing", "top", gate(`upstream = "https://api.example.com"`, `wire = "chat"`, "budget {\ncalls = 0\n}"), []string{"invalid_value 19:9"}, "from 1"},
	{"a gateway that is not declared", "executor", "  gateway = \"x\"", []string{"unknown_reference 8:13"}, "declare it first"},
}

func TestABadGatewayIsRefusedAtItsPlace(t *testing.T) { refuseAll(t, newWorld(t), badGateways) }

// A gateway on the machine's own loopback could be called by every program of the machine.
func TestAGatewayNeedsANetworkOfTheLaunchsOwn(t *testing.T) {
	w := newWorld(t)
	good := gate(`upstream = "https://api.example.com"`, `wire = "messages"`)
	for sandbox, refused := range map[string]bool{
		"": false, "level = \"guarded\"": false, "backend = \"bwrap\"": false,
		"network {\nmode = \"proxy\"\nallow = [\"a.example\"]\n}":                   false,
		"level = \"guarded\"\nnetwork {\nmode = \"host\"\n}":                        true,
		"level = \"guarded\"\nbackend = \"landlock\"":                               true,
		"level = \"off\"\naccept_unsandboxed = true":                                true,
		"level = \"off\"\naccept_unsandboxed = true\nnetwork {\nmode = \"host\"\n}": true,
	} {
		text := strings.Replace(minimal, `sandbox "box" {}`, "sandbox \"box\" {\n"+sandbox+"\n}", 1)
		text = strings.Replace(text, "sandbox = \"box\"\n", "sandbox = \"box\"\n  gateway = \"g\"\n", 1) + good
		_, diags := w.load(text)
		got := slices.ContainsFunc(diags, func(d Diagnostic) bool {
			return d.Code == codeNoEffect && strings.Contains(d.Summary, "no network of its own")
		})
		if got != refused || diags.HasErrors() != refused {
			t.Errorf("%s: refused %v, want %v: %q", sandbox, got, refused, brief(diags))
		}
	}
}

func TestAGatewayIsReadWithItsCredentialAndBudget(t *testing.T) {
	w := newWorld(t)
	cfg := w.good(minimal + gate(`upstream = "https://API.example.com:8443/base/"`, `wire = "chat"`, `models = ["vendor/m-*", "x"]`,
		"credential {\nfrom_env = \"MODEL_KEY\"\n}", "budget {\ncalls = 5\noutput_tokens = 7\n}"))
	g := cfg.Gateway("g")
	c := g.Credential()
	if g.Upstream != "https://API.example.com:8443/base" || g.Calls != 5 || g.InputTokens != 0 || g.OutputTokens != 7 || len(g.Models) != 2 {
		t.Errorf("%+v", g)
	}
	if c == nil || c.FromEnv != "MODEL_KEY" || c.Name != "g" || c.Declared() == "" {
		t.Errorf("credential %+v", c)
	}
	if local := w.good(minimal + gate(`upstream = "http://127.0.0.1:11434"`, `wire = "chat"`)).Gateway("g"); local.Credential() != nil {
		t.Errorf("a local model has a credential: %+v", local.Credential())
	}
}

func TestACredentialThatComesInByAnotherDoorIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	text := strings.Replace(minimal, `sandbox "box" {}`, "sandbox \"box\" {\ncredential \"k\" {\nfrom_env = \"MODEL_KEY\"\n}\n}", 1)
	text = strings.Replace(text, "sandbox = \"box\"\n", "sandbox = \"box\"\n  gateway = \"g\"\n", 1)
	_, diags := w.load(text + gate(`upstream = "https://api.example.com"`, `wire = "chat"`, "credential {\nfrom_env = \"MODEL_KEY\"\n}"))
	if diags.HasErrors() || len(diags) != 1 || !strings.Contains(diags[0].Summary, "keeps a credential outside") {
		t.Errorf("got %q", brief(diags))
	}
}

func TestASecretOfAGatewayLiesInNoRepository(t *testing.T) {
	w := newWorld(t)
	w.write("home/src/api/key", "secret")
	text := minimal + gate(`upstream = "https://api.example.com"`, `wire = "chat"`, "credential {\nfrom_file = \"~/src/api/key\"\n}")
	_, diags := w.load(text)
	if !slices.ContainsFunc(diags, func(d Diagnostic) bool { return d.Code == codeRepository || d.Code == codeExposed }) {
		t.Errorf("got %q", brief(diags))
	}
}
