// Command drawspan-executor-codex performs a step with the operator's installed Codex CLI.
//
//	executor "codex" {
//		plugin  = "codex"
//		gateway = "openai"
//		config {
//			model    = "gpt-5.5"
//			approval = "untrusted"
//		}
//	}
//
// It speaks to `codex app-server`, which asks before it runs commands and changes files; `codex exec` never
// asks, and is driven only where the operator said so: by mode = "exec", or by approval = "never" where the
// installed version has no app-server.
//
// Every attempt has a configuration of its own in a directory of its own: telemetry, updates, plugins,
// hooks, apps and hosted search are off, and the tree is named as untrusted, because Codex would otherwise
// come to trust it by itself and run what the repository's own configuration names. The step's text goes by
// the protocol, or by standard input, never by an argument.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/plugin"
)

var manifest = sdk.Manifest{
	Name:    "codex",
	Version: "0.1.0",
	Summary: "performs a step with the installed Codex CLI, by its app-server",
	Config: []sdk.Attribute{
		{Name: "model", Type: sdk.TypeString, Doc: "the model's name (default: Codex's own)"},
		{Name: "effort", Type: sdk.TypeString, Doc: "the reasoning effort, as the model knows it: low, medium, high"},
		{Name: "approval", Type: sdk.TypeString, Doc: "when Codex asks: untrusted (default; all but commands that only read), on-request (when the model wants to), never"},
		{Name: "mode", Type: sdk.TypeString, Doc: "how Codex is driven: auto (default), app-server, or exec, which never asks"},
		{Name: "sandbox", Type: sdk.TypeString, Doc: "which side confines commands: host (default, Codex's own sandbox is off), or Codex's own as well: workspace-write, read-only; those need the back-end native or bwrap"},
	},
	Programs: []sdk.Program{{Name: "codex", Tested: ">=0.166.0 <0.170.0", Install: "npm install -g @openai/codex@0.169.0"}},
}

func main() { plugin.Serve(manifest, codex{}) }

// The values of the attributes.
const (
	modeAuto, modeServer, modeExec                  = "auto", "app-server", "exec"
	approveUntrusted, approveOnRequest, approveNone = "untrusted", "on-request", "never"
	confinedByHost                                  = "host"
)

// settings are the config block.
type settings struct {
	Model    string `json:"model"`
	Effort   string `json:"effort"`
	Approval string `json:"approval"`
	Mode     string `json:"mode"`
	Sandbox  string `json:"sandbox"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Message: "not an object of strings"}
		}
	}
	for _, a := range []struct {
		name  string
		value *string
		known []string
	}{
		{"approval", &s.Approval, []string{approveUntrusted, approveOnRequest, approveNone}},
		{"mode", &s.Mode, []string{modeAuto, modeServer, modeExec}},
		{"sandbox", &s.Sandbox, []string{confinedByHost, "workspace-write", "read-only"}},
	} {
		if *a.value == "" {
			continue
		}
		if !slices.Contains(a.known, *a.value) {
			return settings{}, &sdk.ConfigError{Attribute: a.name, Message: "must be one of " + strings.Join(a.known, ", ")}
		}
	}
	for name, value := range map[string]string{"model": s.Model, "effort": s.Effort} {
		if len(value) > sdk.MaxName || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return settings{}, &sdk.ConfigError{Attribute: name, Message: "must be one word"}
		}
	}
	if s.Mode == modeExec && s.Approval != "" && s.Approval != approveNone {
		return settings{}, &sdk.ConfigError{Attribute: "approval", Message: `must be "never" where mode is "exec", which never asks`}
	}
	return s.complete(), nil
}

// complete sets what is not set.
func (s settings) complete() settings {
	if s.Mode == "" {
		s.Mode = modeAuto
	}
	if s.Approval == "" {
		s.Approval = approveUntrusted
		if s.Mode == modeExec {
			s.Approval = approveNone
		}
	}
	if s.Sandbox == "" {
		s.Sandbox = confinedByHost
	}
	return s
}

// policy is Codex's word for what confines a command.
func (s settings) policy() string {
	if s.Sandbox == confinedByHost {
		return "danger-full-access"
	}
	return s.Sandbox
}

type codex struct{}

// Configure refuses what could not run.
func (codex) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Run performs one attempt.
func (codex) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	s, err := parse(a.Config)
	if err != nil {
		return sdk.Result{}, err
	}
	if a.Program == nil {
		return sdk.Result{}, agent.ErrNoProgram(manifest.Programs[0])
	}
	h, err := makeHome(os.Environ(), s, a)
	if err != nil {
		return sdk.Result{}, err
	}
	defer h.remove()
	job := job{attempt: a, settings: s, home: h, program: native(*a.Program)}
	if s.Mode == modeExec {
		return job.exec(ctx, "")
	}
	r, err := job.serve(ctx)
	if !errors.Is(err, errNoServer) {
		return r, err
	}
	if s.Mode == modeServer || s.Approval != approveNone {
		return sdk.Result{}, &sdk.Failure{Class: "policy", Message: "this codex offers no app-server, and codex exec never asks: install " +
			manifest.Programs[0].Tested + ", or accept that it does not ask by mode = \"exec\" in the executor's config", Err: err}
	}
	return job.exec(ctx, "the installed codex offers no app-server; it was driven by codex exec, which never asks")
}

// job is one attempt on its way.
type job struct {
	attempt  *sdk.Attempt
	settings settings
	home     *home
	program  sdk.Installed
}

// tell emits events whatever has become of ctx: what is told after a cancellation is told all the same.
func (j job) tell(ctx context.Context, events []sdk.Event) error {
	return agent.Emit(j.attempt.Host.Emit).All(ctx, events)
}

// Probe looks at the installed program.
func (codex) Probe(ctx context.Context, r sdk.ProbeRequest) (sdk.Probe, error) {
	if r.Program == nil {
		return sdk.Probe{}, agent.ErrNoProgram(manifest.Programs[0])
	}
	s, err := parse(r.Config)
	if err != nil {
		return sdk.Probe{}, err
	}
	program, env := native(*r.Program), agent.Environ(os.Environ(), nil, nil)
	version, err := agent.ProgramVersion(ctx, program, env, "--version")
	if err != nil {
		return sdk.Probe{}, err
	}
	p := sdk.Probe{Version: version, Tested: agent.InRange(version, manifest.Programs[0].Tested), Login: "ready"}
	if _, _, err := model(os.Environ(), r.Gateway); err != nil {
		p.Login, p.Notes = "missing", append(p.Notes, err.Error())
	}
	switch offered := offersServer(ctx, program, env); {
	case offered && s.Mode != modeExec && s.Approval != approveNone: // it asks
	case offered && s.Mode != modeExec:
		p.Notes = append(p.Notes, "approval = \"never\": it asks for nothing")
	case s.Mode == modeExec || s.Mode == modeAuto && s.Approval == approveNone:
		p.Notes = append(p.Notes, "it is driven by codex exec, which never asks")
	default:
		p.Notes = append(p.Notes, "it offers no app-server, and codex exec never asks: attempts are refused until mode = \"exec\" accepts that")
	}
	return p, nil
}
