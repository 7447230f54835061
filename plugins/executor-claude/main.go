// Command drawspan-executor-claude performs a step with the installed Claude Code.
//
//	executor "claude" {
//		plugin = "claude"
//		config {
//			model = "sonnet"
//		}
//	}
//
// It speaks the program's stream of JSON lines in both directions. What Claude Code would ask a person
// becomes a permission request or a question of the attempt. Its settings, hooks, skills and MCP servers
// of the repository do not run unless config.repository asks for it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/plugin"
	"github.com/drawspan/drawspan/sdk/tool"
)

var manifest = sdk.Manifest{
	Name:    "claude",
	Version: "0.1.0",
	Summary: "performs a step with the installed Claude Code",
	Config: []sdk.Attribute{
		{Name: "model", Type: sdk.TypeString, Doc: "the model, by its name or its alias (default Claude Code's own)"},
		{Name: "max_turns", Type: sdk.TypeNumber, Doc: "turns after which the attempt ends with max_turns (default none)"},
		{Name: "permission_mode", Type: sdk.TypeString, Doc: "what Claude Code does without asking: default, acceptEdits (edits of the tree) or plan (nothing but look)"},
		{Name: "repository", Type: sdk.TypeBool, Doc: "load the repository's own settings, hooks, skills, instructions and MCP servers: they run code (default false)"},
		{Name: "env", Type: sdk.TypeMapString, Doc: "variables for Claude Code"},
	},
	Programs: []sdk.Program{{
		Name: "claude", Tested: ">=2.1.190 <2.2.0", Install: "npm install -g @anthropic-ai/claude-code@2.1.197",
	}},
}

func main() { plugin.Serve(manifest, claude{}) }

// settings are the config block.
type settings struct {
	Model      string            `json:"model"`
	MaxTurns   float64           `json:"max_turns"`
	Mode       string            `json:"permission_mode"`
	Repository bool              `json:"repository"`
	Env        map[string]string `json:"env"`
}

// modes are the permission modes that leave the decision to the host. The others decide by themselves.
var modes = []string{"default", "acceptEdits", "plan"}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Message: err.Error()}
		}
	}
	if s.Mode == "" {
		s.Mode = "default"
	}
	return s, s.check()
}

func (s settings) check() error {
	switch {
	case strings.HasPrefix(s.Model, "-") || strings.ContainsAny(s.Model, " \t\n\x00"):
		return &sdk.ConfigError{Attribute: "model", Message: "must be a model's name"}
	case s.MaxTurns < 0 || s.MaxTurns != math.Trunc(s.MaxTurns) || s.MaxTurns > 1e6:
		return &sdk.ConfigError{Attribute: "max_turns", Message: "must be a whole number, 1 or more"}
	case !slices.Contains(modes, s.Mode):
		return &sdk.ConfigError{Attribute: "permission_mode", Message: "must be one of " + strings.Join(modes, ", ")}
	}
	return checkEnv(s.Env)
}

func checkEnv(env map[string]string) error {
	for key := range env {
		if _, ours := fixed[key]; ours || slices.Contains(credentials, key) {
			return &sdk.ConfigError{Attribute: "env", Message: key + " is set by the plugin, the gateway or a credential block"}
		}
	}
	return tool.CheckEnv("env", env)
}

type claude struct{}

// Configure refuses what could not run.
func (claude) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Probe says which Claude Code is installed and whether it could reach a model.
func (claude) Probe(ctx context.Context, r sdk.ProbeRequest) (sdk.Probe, error) {
	own := manifest.Programs[0]
	p := sdk.Probe{Login: login(r.Gateway)}
	if p.Login == "missing" {
		p.Notes = append(p.Notes, noCredential)
	}
	if r.Gateway != nil && r.Gateway.Wire != sdk.WireMessages {
		p.Login, p.Notes = "missing", append(p.Notes, fmt.Sprintf("the gateway speaks %s; Claude Code needs one of wire %s", r.Gateway.Wire, sdk.WireMessages))
	}
	if r.Program == nil {
		p.Notes = append(p.Notes, agent.ErrNoProgram(own).Error())
		return p, nil
	}
	home, err := os.MkdirTemp("", "claude-")
	if err != nil {
		return sdk.Probe{}, fmt.Errorf("make a home for Claude Code: %w", err)
	}
	defer os.RemoveAll(home) //nolint:errcheck // the private directory goes with the sandbox
	p.Version, err = agent.ProgramVersion(ctx, native(*r.Program), environment(settings{}, home, nil), "--version")
	if err != nil {
		p.Notes = append(p.Notes, err.Error())
		return p, nil
	}
	p.Tested = agent.InRange(p.Version, own.Tested)
	return p, nil
}

func login(g *sdk.Gateway) string {
	if g != nil {
		return "ready"
	}
	for _, key := range credentials {
		if os.Getenv(key) != "" {
			return "ready"
		}
	}
	if _, err := os.Stat(loginFile()); err == nil {
		return "ready"
	}
	return "missing"
}
