package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// maxChanges is how many changed files of one item, and of a whole stream, are told one by one.
const maxChanges = 1000

// change is one file that an item changes.
type change struct {
	path string
	op   string // add, modify, delete, rename
	from string // of a rename
}

// changesOf reads the files of an item. Kind is a word, or an object with the word and where it moves to.
func changesOf(raw []byte) (all []change) {
	agent.Each(raw, func(one []byte) {
		var m [2][]byte
		if len(all) == maxChanges || !agent.Pick(one, []string{"path", "kind"}, m[:]) {
			return
		}
		c := change{path: agent.Text(m[0]), op: "modify"}
		word, to := agent.Text(m[1]), ""
		if word == "" {
			var k [3][]byte
			if agent.Pick(m[1], []string{"type", "move_path", "movePath"}, k[:]) {
				word, to = agent.Text(k[0]), agent.Text(k[1])+agent.Text(k[2])
			}
		}
		switch {
		case word == "add" || word == "delete":
			c.op = word
		case to != "":
			c.path, c.from, c.op = to, c.path, "rename"
		}
		if c.path != "" {
			all = append(all, c)
		}
	})
	return all
}

// touched are the paths of changes, both ends of a rename, and the kind of tool that makes them: the
// gravest of several, since a rule about deleting is meant for every patch that deletes.
func touched(changes []change) (kind string, paths []string) {
	kind = "edit"
	for _, c := range changes {
		paths = append(paths, c.path)
		if c.from != "" {
			paths = append(paths, c.from)
		}
		switch {
		case c.op == "delete":
			kind = "delete"
		case c.op == "rename" && kind == "edit":
			kind = "move"
		}
	}
	return kind, paths
}

// The names that the two protocols have for the same member.
var itemMembers = []string{"id", "type", "status", "text", "command", "cwd", "exitCode", "exit_code", "aggregatedOutput", "aggregated_output",
	"changes", "server", "tool", "arguments", "error", "query", "path", "phase", "summary", "content", "items", "prompt"}

// item is one item of a thread, its members raw.
type item struct{ raw [22][]byte }

func itemOf(raw []byte) (item, bool) {
	var i item
	ok := agent.Pick(raw, itemMembers, i.raw[:])
	return i, ok && len(i.raw[0]) > 0 && len(i.raw[1]) > 0
}

func (i *item) id() string        { return agent.Text(i.raw[0]) }
func (i *item) status() string    { return agent.Text(i.raw[2]) }
func (i *item) text() string      { return agent.Text(i.raw[3]) }
func (i *item) command() string   { return agent.Text(i.raw[4]) }
func (i *item) changes() []change { return changesOf(i.raw[10]) }

// kind is the item's type, the same for both protocols: commandExecution and command_execution.
func (i *item) kind() string {
	word := agent.Text(i.raw[1])
	if !strings.Contains(word, "_") {
		return word
	}
	parts := strings.Split(word, "_")
	for n, p := range parts[1:] {
		if p != "" {
			parts[n+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

// either is the one of two raw members that is there.
func either(a, b []byte) []byte {
	if len(a) > 0 && string(a) != "null" {
		return a
	}
	return b
}

// start is how the item looks as a tool; false for what is none.
func (i *item) start() (sdk.ToolStarted, bool) {
	kind := i.kind()
	s := sdk.ToolStarted{Kind: "other", NativeName: kind}
	switch kind {
	case "commandExecution":
		s.Kind, s.Title = "execute", agent.Clip(script(i.command()), 1<<10)
		s.Input = map[string]any{"command": agent.Clip(i.command(), sdk.MaxText), "cwd": agent.Clip(agent.Text(i.raw[5]), sdk.MaxName)}
	case "fileChange":
		s.Kind, s.Paths = touched(i.changes())
		s.Title = "change " + strings.Join(s.Paths[:min(len(s.Paths), 3)], ", ")
	case "mcpToolCall":
		s.Kind, s.NativeName = "mcp", agent.Text(i.raw[11])+"/"+agent.Text(i.raw[12])
		s.Title, s.Input = s.NativeName, agent.Input(i.raw[13])
	case "dynamicToolCall":
		s.NativeName, s.Input = agent.Text(i.raw[12]), agent.Input(i.raw[13])
	case "webSearch":
		s.Kind, s.Title = "fetch", agent.Text(i.raw[15])
	case "imageView":
		s.Kind, s.Paths = "read", []string{agent.Text(i.raw[16])}
	case "collabAgentToolCall", "collabToolCall":
		s.Kind, s.NativeName, s.Title = "subagent", agent.Text(i.raw[12]), agent.Clip(agent.Text(i.raw[21]), 1<<10)
	case "imageGeneration", "sleep", "functionCallOutput":
	default:
		return s, false
	}
	return s, true
}

// end is how the tool ended.
func (i *item) end() sdk.ToolEnded {
	e := sdk.ToolEnded{Status: "ok", Output: agent.Text(either(i.raw[8], i.raw[9]))}
	if code := either(i.raw[6], i.raw[7]); len(code) > 0 && string(code) != "null" {
		n := int(agent.Int(code))
		e.ExitCode = &n
	}
	switch status := i.status(); {
	case status == "failed" || len(either(i.raw[14], nil)) > 0:
		e.Status = "failed"
	case status == "declined":
		e.Status = "denied"
	case status == "inProgress" || status == "in_progress":
		e.Status = "unknown"
	}
	if e.Output == "" && len(i.raw[14]) > 0 {
		var m [1][]byte
		if agent.Pick(i.raw[14], []string{"message"}, m[:]) {
			e.Output = agent.Text(m[0])
		}
	}
	return e
}

// thought is the text of a reasoning item: its summary, its content, or the text that codex exec has.
func (i *item) thought() string {
	var b strings.Builder
	for _, list := range [][]byte{i.raw[18], i.raw[19]} {
		agent.Each(list, func(part []byte) {
			if b.Len() < sdk.MaxText {
				if b.Len() > 0 {
					b.WriteByte('\n')
				}
				b.WriteString(agent.Text(part))
			}
		})
	}
	if b.Len() == 0 {
		return i.text()
	}
	return b.String()
}

// words is the text of a user's message.
func (i *item) words() string {
	var b strings.Builder
	agent.Each(i.raw[19], func(part []byte) {
		var m [1][]byte
		if agent.Pick(part, []string{"text"}, m[:]) && b.Len() < sdk.MaxText {
			b.WriteString(agent.Text(m[0]))
		}
	})
	return b.String()
}

// teller tells items, whichever protocol they came by.
type teller struct {
	agent.Tell
	reported map[string]bool // path and op of the changes that were told
	last     string          // the last final message
}

// started tells the beginning of an item; false for an item of a kind that is not known.
func (t *teller) started(i *item, parent string) bool {
	if s, tool := i.start(); tool {
		t.ToolStarted(i.id(), parent, s)
		return true
	}
	switch i.kind() {
	case "agentMessage", "reasoning", "userMessage", "plan", "contextCompaction", "enteredReviewMode", "exitedReviewMode", "todoList":
		return true
	}
	return false
}

// completed tells an item that is over; false for an item of a kind that is not known.
func (t *teller) completed(i *item, parent string) bool {
	if s, tool := i.start(); tool {
		end := i.end()
		t.ToolEnded(i.id(), parent, s, end)
		if i.kind() == "fileChange" && end.Status == "ok" {
			for _, c := range i.changes() {
				t.changed(c, i.id(), parent)
			}
		}
		return true
	}
	switch i.kind() {
	case "agentMessage":
		t.message(i, parent)
	case "reasoning":
		text := i.thought()
		t.Text(sdk.EventThought, i.id(), parent, sdk.Text{Text: text, Redacted: text == ""})
	case "userMessage":
		t.Text(sdk.EventMessage, i.id(), parent, sdk.Text{Role: "user", Text: i.words()})
	case "plan":
		t.Text(sdk.EventMessage, i.id(), parent, sdk.Text{Role: "assistant", Channel: "commentary", Text: i.text()})
	case "contextCompaction":
		t.Event(sdk.EventCompacted, i.id(), parent, struct{}{})
	case "enteredReviewMode", "exitedReviewMode":
		t.Event(sdk.EventModeChanged, i.id(), parent, map[string]string{"mode": i.kind()})
	case "todoList":
		t.checklist(i.raw[20])
	default:
		return false
	}
	return true
}

// message tells what the agent said. Its last words in the attempt's own thread are the summary.
func (t *teller) message(i *item, parent string) {
	channel, text := "final", i.text()
	if agent.Text(i.raw[17]) == "commentary" {
		channel = "commentary"
	}
	if parent == "" && text != "" {
		t.last = text
	}
	t.Text(sdk.EventMessage, i.id(), parent, sdk.Text{Role: "assistant", Channel: channel, Text: text})
}

// changed tells a change that was not told yet.
func (t *teller) changed(c change, id, parent string) {
	key := c.op + " " + filepath.Clean(c.path)
	if t.reported[key] || len(t.reported) >= maxChanges {
		return
	}
	if t.reported == nil {
		t.reported = map[string]bool{}
	}
	t.reported[key] = true
	t.Event(sdk.EventFileChanged, id, parent, sdk.FileChanged{Path: agent.Clip(c.path, 1<<10), Op: c.op, Basis: "reported"})
}

// plan tells a plan of a list whose entries hold text and status, by the names that they have there.
func (t *teller) plan(list []byte) {
	var p sdk.Plan
	agent.Each(list, func(entry []byte) {
		var m [2][]byte
		if len(p.Entries) < maxChanges && agent.Pick(entry, []string{"step", "status"}, m[:]) {
			status := agent.Text(m[1])
			if status == "inProgress" {
				status = "in_progress"
			}
			p.Entries = append(p.Entries, sdk.PlanEntry{Text: agent.Text(m[0]), Status: status})
		}
	})
	t.Plan(p)
}

func (t *teller) checklist(list []byte) {
	var p sdk.Plan
	agent.Each(list, func(entry []byte) {
		var m [2][]byte
		if len(p.Entries) < maxChanges && agent.Pick(entry, []string{"text", "completed"}, m[:]) {
			status := "pending"
			if agent.Bool(m[1]) {
				status = "completed"
			}
			p.Entries = append(p.Entries, sdk.PlanEntry{Text: agent.Text(m[0]), Status: status})
		}
	})
	t.Plan(p)
}

// diff tells the files of a unified diff that no item told, as below dir.
func (t *teller) diff(text, dir string) {
	for len(text) > 0 {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		name, found := strings.CutPrefix(line, "diff --git a/")
		if !found {
			continue
		}
		_, path, found := strings.Cut(name, " b/")
		if !found {
			continue
		}
		c := change{path: filepath.Join(dir, path), op: "modify"}
		head, _, _ := strings.Cut(text, "\n")
		switch {
		case strings.HasPrefix(head, "new file"):
			c.op = "add"
		case strings.HasPrefix(head, "deleted file"):
			c.op = "delete"
		}
		t.changed(c, "", "")
	}
}

// usageOf reads tokens, by the names of either protocol. Input includes what was cached, in both.
func usageOf(raw []byte) (sdk.Usage, bool) {
	var m [10][]byte
	if !agent.Pick(raw, []string{"inputTokens", "cachedInputTokens", "cacheWriteInputTokens", "outputTokens", "reasoningOutputTokens",
		"input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens"}, m[:]) {
		return sdk.Usage{}, false
	}
	n := func(i int) int64 { return max(0, agent.Int(either(m[i], m[i+5]))) }
	return sdk.Usage{Input: n(0), CachedRead: n(1), CachedWrite: n(2), Output: n(3), Reasoning: n(4), Basis: "reported"}, true
}

// compact is a raw value without what cannot be an event's data.
func compact(raw []byte) json.RawMessage {
	var b bytes.Buffer
	if len(raw) > sdk.MaxText || json.Compact(&b, raw) != nil {
		return nil
	}
	return bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD"))
}
