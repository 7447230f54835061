// Command drawspan-executor-acp performs a step by a coding agent that speaks the Agent Client Protocol,
// version 1.
//
//	executor "gemini" {
//		plugin  = "acp"
//		gateway = "google"
//		config {
//			profile = "gemini"
//		}
//	}
//
// A profile is data: the program, how it is started, what its home holds, how its usage is read. Six are
// shipped; "custom" is one that the config block itself describes, see host/docs/acp.md.
//
// The agent's bytes are told as they came, then as events, and only then does anything answer them. It is
// offered no file system and no terminal of ours, because its own tools work in the sandbox, and no MCP
// server. What it says of itself is a claim.
package main

import (
	"os"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

const version = "0.1.0"

// attributes are the config block.
var attributes = []sdk.Attribute{
	{Name: "profile", Type: sdk.TypeString, Required: true, Doc: "the agent: gemini, qwen, opencode, copilot, codex-acp, claude-agent-acp, or custom"},
	{Name: "model", Type: sdk.TypeString, Doc: "the model that the agent asks for (default: the profile's)"},
	{Name: "mode", Type: sdk.TypeString, Doc: "the session mode to select, by the agent's own id (default: the one in which it asks leave)"},
	{Name: "env", Type: sdk.TypeMapString, Doc: "variables for the agent, in addition to the profile's"},
	{Name: "repository_config", Type: sdk.TypeBool, Doc: "let the agent run what the repository configures for it: hooks, MCP servers, plugins (default false)"},
	{Name: "args", Type: sdk.TypeListString, Doc: "custom: the arguments that make the program speak the protocol on its standard streams"},
	{Name: "files", Type: sdk.TypeMapString, Doc: "custom: files to write below the agent's home before it starts, path to content"},
	{Name: "wire", Type: sdk.TypeString, Doc: "custom: what the agent speaks to its model: responses, messages, chat or gemini"},
	{Name: "auth_method", Type: sdk.TypeString, Doc: "custom: the method to authenticate by, by the agent's own id"},
	{Name: "usage", Type: sdk.TypeMapString, Doc: "custom: where the agent tells what it used, and under which names"},
	{Name: "state", Type: sdk.TypeListString, Doc: "custom: patterns below the agent's home of what a follow-up needs; {session} is the session's id"},
	{Name: "refuse", Type: sdk.TypeListString, Doc: "custom: paths of a repository that the agent would run code from; with one of them present it is not started"},
}

func main() { plugin.Serve(manifest(), executor{environ: os.Environ}) }

func manifest() sdk.Manifest {
	m := sdk.Manifest{
		Name: "acp", Version: version, Config: attributes,
		Summary: "drives a coding agent that speaks the Agent Client Protocol (gemini, qwen, opencode, copilot, and others)",
	}
	for _, p := range shipped() {
		m.Programs = append(m.Programs, sdk.Program{Name: p.Program, Profile: p.Name, Tested: p.Tested, Install: p.Install})
	}
	return m
}
