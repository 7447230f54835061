package main

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// update is one session/update by its members; tool calls of permission requests have the same.
type update [16][]byte

const (
	uKind = iota // of the update
	uContent
	uMessageID
	uToolID
	uTitle
	uToolKind
	uStatus
	uInput
	uOutput
	uLocations
	uEntries
	uMode
	uUsed
	uSize
	uCost
	uMeta
)

var updateNames = []string{
	"sessionUpdate", "content", "messageId", "toolCallId", "title", "kind", "status", "rawInput", "rawOutput", "locations",
	"entries", "currentModeId", "used", "size", "cost", "_meta",
}

// update tells what a session/update says; false is for what is not known.
func (r *reader) update(params []byte) bool {
	var outer [1][]byte
	var u update
	if !agent.Pick(params, []string{"update"}, outer[:]) || !agent.Pick(outer[0], updateNames, u[:]) {
		return false
	}
	kind := agent.Text(u[uKind])
	if r.loading && kind != "" {
		return true
	}
	if strings.HasPrefix(r.profile.Usage.At, "update.") && r.used.add(r.profile.Usage, outer[0]) {
		r.Event(sdk.EventUsage, "", "", r.used.last)
	}
	switch kind {
	case "agent_message_chunk", "agent_thought_chunk", "user_message_chunk":
		r.chunk(kind, &u)
	case "tool_call", "tool_call_update":
		if len(agent.Text(u[uToolID])) == 0 {
			return false
		}
		r.flush("commentary")
		r.tool(&u)
	case "plan":
		r.flush("commentary")
		r.plan(u[uEntries])
	case "current_mode_update":
		r.changed(agent.Text(u[uMode]))
	case "usage_update":
		r.context(&u)
	case "available_commands_update", "config_option_update", "session_info_update":
		// Nothing of the work: the raw stream keeps it.
	default:
		return false
	}
	return true
}

// text is the text of the one content block of a chunk.
func (u *update) text() string { return blockText(u[uContent]) }

func blockText(block []byte) string {
	var m [4][]byte
	if !agent.Pick(block, []string{"type", "text", "uri", "mimeType"}, m[:]) {
		return ""
	}
	switch kind := agent.Text(m[0]); kind {
	case "text":
		return agent.Text(m[1])
	case "resource_link":
		return agent.Text(m[2])
	case "":
		return ""
	default:
		return "[" + agent.Clip(kind+" "+agent.Text(m[3]), sdk.MaxName) + "]"
	}
}

func (r *reader) plan(entries []byte) {
	var p sdk.Plan
	agent.Each(entries, func(entry []byte) {
		var m [3][]byte
		if agent.Pick(entry, []string{"content", "status", "priority"}, m[:]) && len(p.Entries) < maxCalls {
			p.Entries = append(p.Entries, sdk.PlanEntry{Text: agent.Text(m[0]), Status: agent.Text(m[1]), Priority: agent.Text(m[2])})
		}
	})
	r.Plan(p)
}

// contextUsage is a usage event that says how full the context is, and no tokens.
type contextUsage struct {
	Context struct {
		Used int64 `json:"used"`
		Size int64 `json:"size"`
	} `json:"context"`
	Cost     float64 `json:"cost,omitempty"`
	Currency string  `json:"currency,omitempty"`
	Scope    string  `json:"scope"`
	Basis    string  `json:"basis"`
}

func (r *reader) context(u *update) {
	c := contextUsage{Scope: "session", Basis: "reported"}
	c.Context.Used, c.Context.Size = max(0, agent.Int(u[uUsed])), max(0, agent.Int(u[uSize]))
	var cost struct {
		Amount   float64 `json:"amount"`
		Currency string  `json:"currency"`
	}
	if len(u[uCost]) > 0 && json.Unmarshal(u[uCost], &cost) == nil && cost.Amount >= 0 {
		c.Cost, c.Currency = cost.Amount, agent.Clip(cost.Currency, 8)
		r.used.cost, r.used.currency = c.Cost, c.Currency
	}
	r.Event(sdk.EventUsage, "", "", c)
}

// call is what is known of one tool call; an update brings only what changed.
type call struct {
	start   sdk.ToolStarted
	parent  string
	input   []byte
	changes []change
	words   string // the text of its content
	asked   int    // permissions asked for
	denied  bool
}

// change is a diff of a tool call's content.
type change struct {
	path     string
	op       string
	old, new string
}

// tool tells what a tool_call or a tool_call_update says.
func (r *reader) tool(u *update) {
	id := agent.Text(u[uToolID])
	c := r.learn(id, u)
	status := agent.Text(u[uStatus])
	ended := status == "completed" || status == "failed"
	if !ended && !r.Open(id) && (status == "in_progress" || c.known(r.profile.TitleIsCommand)) {
		r.ToolStarted(id, c.parent, c.start)
	}
	switch {
	case ended:
		r.endTool(id, c, status, u)
	case len(u[uContent]) > 0 && c.words != "" && r.Open(id) && status != "pending":
		r.ToolProgress(id, c.words)
	}
}

// known reports whether enough is known of a call to tell its start: some announce it empty.
func (c *call) known(titled bool) bool {
	if c.start.Kind == "execute" {
		return command(c, titled) != ""
	}
	return len(c.input) > 0 || len(c.start.Paths) > 0
}

// learn adds what an update says to what is known of its call.
func (r *reader) learn(id string, u *update) *call {
	c := r.calls[id]
	if c == nil {
		c = &call{start: sdk.ToolStarted{Kind: "other"}}
		if r.calls == nil {
			r.calls = map[string]*call{}
		}
		if len(r.calls) < maxCalls {
			r.calls[id] = c
		}
	}
	if k := agent.Text(u[uToolKind]); k != "" {
		c.start.Kind = "other"
		if slices.Contains(sdk.ToolKinds(), k) {
			c.start.Kind = k
		}
	}
	if t := agent.Text(u[uTitle]); t != "" {
		c.start.Title = t
	}
	if in := u[uInput]; len(in) > 0 && string(in) != "null" && string(in) != "{}" {
		c.input = slices.Clone(in[:min(len(in), sdk.MaxData)])
		c.start.Input = agent.Input(in)
	}
	if len(u[uContent]) > 0 {
		changes, words := readContent(u[uContent])
		if c.words = words; len(changes) > 0 {
			c.changes = changes // some tell only at the beginning what they change
		}
	}
	if paths := c.paths(u[uLocations]); len(paths) > 0 {
		c.start.Paths = paths
	}
	c.named(u[uMeta])
	return c
}

// named reads the tool's own name and the call that it belongs to, which agents tell beside the protocol.
func (c *call) named(meta []byte) {
	var m, inner [3][]byte
	names := []string{"toolName", "parentToolUseId", "claudeCode"}
	if len(meta) == 0 || !agent.Pick(meta, names, m[:]) {
		return
	}
	if agent.Pick(m[2], names[:2], inner[:2]) {
		m = inner
	}
	if name := agent.Text(m[0]); name != "" {
		c.start.NativeName = name
	}
	if parent := agent.Text(m[1]); parent != "" {
		c.parent = parent
	}
}

// paths are the places of a call: its locations, its diffs, and what its input calls a path.
func (c *call) paths(locations []byte) []string {
	seen := map[string]bool{}
	see := func(path string) {
		if len(seen) >= maxPaths {
			path = "/" // no rule may take the ones that are told for all there are
		}
		seen[path] = true
	}
	agent.Each(locations, func(l []byte) {
		var m [1][]byte
		if agent.Pick(l, []string{"path"}, m[:]) {
			see(agent.Text(m[0]))
		}
	})
	for _, d := range c.changes {
		see(d.path)
	}
	var named [8][]byte
	if agent.Pick(c.input, []string{"path", "file_path", "filePath", "filepath", "fileName", "absolute_path", "notebook_path", "dir_path"}, named[:]) {
		for _, raw := range named {
			see(agent.Text(raw))
		}
	}
	delete(seen, "")
	return slices.Sorted(maps.Keys(seen))
}

// readContent is the diffs and the text of a tool call's content.
func readContent(content []byte) (changes []change, words string) {
	var text strings.Builder
	agent.Each(content, func(item []byte) {
		var m [6][]byte
		if !agent.Pick(item, []string{"type", "content", "path", "oldText", "newText", "_meta"}, m[:]) {
			return
		}
		switch agent.Text(m[0]) {
		case "content":
			if text.Len() <= sdk.MaxText {
				text.WriteString(blockText(m[1]))
			}
		case "diff":
			if len(changes) <= maxPaths {
				d := change{path: agent.Text(m[2]), op: "modify", old: agent.Text(m[3]), new: agent.Text(m[4])}
				if d.old == "" {
					d.op = "add"
				}
				changes = append(changes, d)
			}
		}
	})
	return changes, text.String()
}

// endTool tells the end of a tool, and what it says that it changed.
func (r *reader) endTool(id string, c *call, status string, u *update) {
	end := sdk.ToolEnded{Status: "ok", Output: c.words}
	switch {
	case c.denied:
		end.Status = "denied"
	case r.stop: // some report a cancelled tool as completed
		end.Status = "cancelled"
	case status == "failed":
		end.Status = "failed"
	}
	output, code := readOutput(u[uOutput])
	if end.Output == "" {
		end.Output = output
	}
	end.ExitCode = code
	delete(r.calls, id)
	r.ToolEnded(id, c.parent, c.start, end)
	if end.Status != "ok" {
		return
	}
	for _, d := range c.changed() {
		r.Event(sdk.EventFileChanged, id, "", sdk.FileChanged{Path: agent.Clip(d.path, sdk.MaxText), Op: d.op, Basis: "reported"})
	}
}

// changed is what a call that ended well says that it changed.
func (c *call) changed() []change {
	if len(c.changes) > 0 || c.start.Kind != "delete" && c.start.Kind != "edit" {
		for i, d := range c.changes { // some name the file alone, beside the place of the call
			if len(c.start.Paths) == 1 && !path.IsAbs(d.path) && path.Base(c.start.Paths[0]) == d.path {
				c.changes[i].path = c.start.Paths[0]
			}
		}
		return c.changes
	}
	op := "modify"
	if c.start.Kind == "delete" {
		op = "delete"
	}
	var all []change
	for _, p := range c.start.Paths {
		all = append(all, change{path: p, op: op})
	}
	return all
}

// readOutput is the text and the exit code of a raw output, in the forms that agents give it.
func readOutput(raw []byte) (text string, code *int) {
	if len(raw) == 0 {
		return "", nil
	}
	if raw[0] == '"' {
		return agent.Text(raw), nil
	}
	var m [7][]byte
	if !agent.Pick(raw, []string{"output", "content", "formatted_output", "exitCode", "exit_code", "metadata", "aggregated_output"}, m[:]) {
		return "", nil
	}
	for _, t := range [][]byte{m[2], m[6], m[0], m[1]} {
		if text = agent.Text(t); text != "" {
			break
		}
	}
	var inner [1][]byte
	agent.Pick(m[5], []string{"exit"}, inner[:])
	for _, n := range [][]byte{m[3], m[4], inner[0]} {
		if len(n) > 0 && (n[0] == '-' || n[0] >= '0' && n[0] <= '9') {
			value := int(agent.Int(n))
			return text, &value
		}
	}
	return text, nil
}

// close ends the calls that were not told to have ended.
func (r *reader) close(status string) {
	for _, id := range slices.Sorted(maps.Keys(r.calls)) {
		if c := r.calls[id]; c.denied {
			r.ToolEnded(id, c.parent, c.start, sdk.ToolEnded{Status: "denied"})
		}
	}
	r.calls = nil
	r.EndTools(status)
}
