package main

import (
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// toolKinds says what the tools of Claude Code are.
var toolKinds = map[string]string{
	"Read": "read", "NotebookRead": "read", "LS": "read", "ListMcpResourcesTool": "read", "ReadMcpResourceTool": "read",
	"Glob": "search", "Grep": "search", "WebSearch": "search", "LSP": "search", "ToolSearch": "search",
	"Edit": "edit", "Write": "edit", "MultiEdit": "edit", "NotebookEdit": "edit",
	"Bash": "execute", "PowerShell": "execute", "BashOutput": "read", "KillShell": "execute", "TaskOutput": "read", "TaskStop": "execute",
	"WebFetch": "fetch",
	"Task":     "subagent", "Agent": "subagent", "Workflow": "subagent", "SendMessage": "subagent",
	"EnterPlanMode": "switch_mode", "ExitPlanMode": "switch_mode",
	"TodoWrite": "think", "TaskCreate": "think", "TaskGet": "think", "TaskList": "think", "TaskUpdate": "think",
}

func toolKind(name string) string {
	if kind, ok := toolKinds[name]; ok {
		return kind
	}
	if strings.HasPrefix(name, "mcp__") {
		return "mcp"
	}
	return "other"
}

// use is what a tool is about to do.
type use struct {
	name    string
	input   []byte
	path    string
	command string
	about   string // how Claude Code describes it
}

var useNames = []string{"file_path", "notebook_path", "path", "command", "description", "pattern", "url", "query", "prompt"}

func readUse(name string, input []byte) use {
	u := use{name: name, input: input}
	var got [9][]byte
	agent.Pick(input, useNames, got[:])
	for _, raw := range got[:3] {
		if u.path == "" {
			u.path = agent.Text(raw)
		}
	}
	if toolKind(name) == "execute" {
		u.command = agent.Text(got[3])
	}
	for _, raw := range got[4:] {
		if u.about == "" {
			u.about = agent.Text(raw)
		}
	}
	return u
}

// title is one line for people.
func (u use) title() string {
	for _, what := range []string{u.command, u.path, u.about} {
		if what != "" {
			return u.name + ": " + what
		}
	}
	return u.name
}

func (u use) paths() []string {
	if u.path == "" {
		return nil
	}
	return []string{u.path}
}

func (u use) started() sdk.ToolStarted {
	return sdk.ToolStarted{Kind: toolKind(u.name), NativeName: u.name, Title: u.title(), Input: agent.Input(u.input), Paths: u.paths()}
}
