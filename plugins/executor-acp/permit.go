package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/coder/acp-go-sdk"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

const (
	maxAsked    = 32       // permission requests that may be open at a time
	mostCommand = 40 << 10 // more than what rules read; a command that is cut is never taken for the whole
)

// asked tells the start of a tool that leave is asked for: some agents say nothing of it before. False is
// for a request that names no tool.
func (r *reader) asked(params []byte) bool {
	u, _, ok := readRequest(params)
	if !ok {
		return false
	}
	r.flush("commentary")
	id := agent.Text(u[uToolID])
	known := r.calls[id] != nil
	c := r.learn(id, u)
	if !r.Open(id) {
		start := c.start
		start.Synthesized = !known
		r.ToolStarted(id, c.parent, start)
	}
	return true
}

// requested is what a permission request asks for, and the agent's id of the tool.
func (r *reader) requested(params []byte) (p sdk.Permission, tool string) {
	u, _, ok := readRequest(params)
	if !ok {
		return p, ""
	}
	tool = agent.Text(u[uToolID])
	c := r.learn(tool, u)
	c.asked++
	p = sdk.Permission{
		ID: agent.ID(tool), Tool: c.start.Kind, Title: agent.Clip(c.start.Title, 1<<10),
		Paths: c.start.Paths, Command: command(c, r.profile.TitleIsCommand), Input: r.shown(c),
	}
	if c.asked > 1 {
		p.ID = agent.ID(fmt.Sprintf("%s#%d", tool, c.asked))
	}
	if p.Title == "" {
		p.Title = c.start.Kind
	}
	return p, tool
}

// decided learns how a request was decided.
func (r *reader) decided(tool string, allowed bool) {
	if allowed {
		return
	}
	r.denied = true
	if c := r.calls[tool]; c != nil {
		c.denied = true
	}
}

// shown is what people see of a request: the tool's input, or what its diffs say.
func (r *reader) shown(c *call) json.RawMessage {
	var shown any = agent.Input(c.input)
	if len(c.input) == 0 {
		const most = 4 << 10
		all := []map[string]string{}
		for _, d := range c.changes[:min(len(c.changes), 3)] {
			all = append(all, map[string]string{"path": agent.Clip(d.path, most), "old": agent.Clip(d.old, most), "new": agent.Clip(d.new, most)})
		}
		shown = map[string]any{"changes": all, "text": agent.Clip(c.words, most)}
	}
	raw, err := json.Marshal(shown)
	if err != nil {
		return nil // it was made of valid parts
	}
	return raw
}

// command is the command line that a call would run, as rules see it.
func command(c *call, titled bool) string {
	var m [3][]byte
	agent.Pick(c.input, []string{"command", "cmd", "script"}, m[:])
	for _, raw := range m {
		if len(raw) > 0 && raw[0] == '[' {
			return joined(raw)
		}
		if text := agent.Text(raw); text != "" {
			return agent.Clip(text, mostCommand)
		}
	}
	if titled && c.start.Kind == "execute" {
		return agent.Clip(c.start.Title, mostCommand)
	}
	return ""
}

// joined is an argument vector as a command line; the script of a shell stands for itself.
func joined(array []byte) string {
	var args []string
	if json.Unmarshal(array, &args) != nil {
		return ""
	}
	if len(args) == 3 && strings.HasSuffix(args[0], "sh") && (args[1] == "-c" || args[1] == "-lc") {
		return agent.Clip(args[2], mostCommand)
	}
	for i, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n\r'\"\\$`*?[]{}()<>|&;#~!") {
			args[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return agent.Clip(strings.Join(args, " "), mostCommand)
}

// readRequest takes a permission request apart: its tool call, and the options by their kinds.
func readRequest(params []byte) (u *update, options map[string]string, ok bool) {
	var m [2][]byte
	u = &update{}
	if !agent.Pick(params, []string{"toolCall", "options"}, m[:]) || !agent.Pick(m[0], updateNames, u[:]) || agent.Text(u[uToolID]) == "" {
		return nil, nil, false
	}
	options = map[string]string{}
	agent.Each(m[1], func(option []byte) {
		var o [2][]byte
		if agent.Pick(option, []string{"kind", "optionId"}, o[:]) && len(options) < maxPending {
			if kind := agent.Text(o[0]); options[kind] == "" {
				options[kind] = agent.Text(o[1])
			}
		}
	})
	return u, options, true
}

// permit answers a permission request of the agent.
func (s *session) permit(ctx context.Context, params json.RawMessage) (any, *acp.RequestError) {
	_, options, ok := readRequest(params)
	if !ok {
		return nil, acp.NewInvalidParams("the request names no tool call")
	}
	if s.asking.Add(1) > maxAsked {
		s.asking.Add(-1)
		return nil, acp.NewInternalError(fmt.Sprintf("more than %d requests are open", maxAsked))
	}
	defer s.asking.Add(-1)
	request, tool := s.request(params)
	// The request ends with the agent's interest in it and with the attempt.
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.until(cancel)()
	decision, err := s.attempt.Host.Permit(asking, request)
	if err != nil || asking.Err() != nil {
		return answer(acp.NewRequestPermissionOutcomeCancelled()), nil
	}
	allowed := decision.Allowed && options["allow_once"] != ""
	s.decided(tool, allowed)
	switch {
	case allowed:
		return choose(options["allow_once"]), nil
	case decision.Allowed: // what would be allowed for good was not asked for
		s.note("policy", "the agent offers no way to allow "+agent.Clip(request.Title, sdk.MaxName)+" once; it was refused")
	}
	for _, kind := range []string{"reject_once", "reject_always"} {
		if options[kind] != "" {
			return choose(options[kind]), nil
		}
	}
	return answer(acp.NewRequestPermissionOutcomeCancelled()), nil
}

func choose(option string) acp.RequestPermissionResponse {
	return answer(acp.NewRequestPermissionOutcomeSelected(acp.PermissionOptionId(option)))
}

func answer(o acp.RequestPermissionOutcome) acp.RequestPermissionResponse {
	return acp.RequestPermissionResponse{Outcome: o}
}
