package main

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// What a refused tool is told begins with this, by which the stream shows later that it was refused.
const notAllowed = "Not allowed: "

// What Claude Code says of a tool that was interrupted.
const interrupted = "The user doesn't want to proceed with this tool use."

// maxTasks bounds the plan that is followed.
const maxTasks = 200

// reader makes events out of the lines of Claude Code. It does no I/O.
type reader struct {
	agent.Tell

	claim    sdk.Result // what it said of itself so far
	told     bool       // the terminal record came
	resetsAt time.Time  // when a limit ends, as it says
	asked    *request   // what it wants to know from us, with the last line
	revoked  string     // the request that it does not want answered any more

	lastCall string
	calls    int64
	tasks    []task

	top, inner, block [16][]byte // room for members
}

// request is a control request of Claude Code.
type request struct {
	id      string
	subtype string
	toolID  string
	tool    use
}

type task struct {
	id    string
	entry sdk.PlanEntry
}

var lineNames = []string{
	"type", "subtype", "message", "parent_tool_use_id", "session_id", "request_id", "request", "event", "error", "tool_use_result",
	"rate_limit_info",
}

// Line is what one line says.
func (r *reader) Line(line []byte) []sdk.Event {
	r.asked, r.revoked = nil, ""
	top := r.top[:len(lineNames)]
	if !agent.Pick(line, lineNames, top) || !r.known(line, top) {
		r.Unparsed(line, len(line))
	}
	return r.Take()
}

// Long is what a line says that is too long to be read.
func (r *reader) Long(beginning []byte, n int) []sdk.Event {
	r.asked, r.revoked = nil, ""
	r.Unparsed(beginning, n)
	return r.Take()
}

// End is what is left to say when the stream is over.
func (r *reader) End() []sdk.Event {
	status := "unknown"
	if r.claim.StopReason == "cancelled" {
		status = "cancelled"
	}
	r.EndTools(status)
	return r.Take()
}

// known is false for a line that is not understood.
func (r *reader) known(line []byte, top [][]byte) bool {
	parent := agent.Text(top[3])
	switch string(agent.Word(top[0])) {
	case "assistant":
		return r.assistant(top[2], parent, agent.Text(top[8]))
	case "user":
		return r.user(top[2], parent, top[9])
	case "system":
		return r.system(line, agent.Text(top[1]))
	case "stream_event":
		return r.delta(top[7], parent)
	case "result":
		return r.result(line)
	default:
		return r.aside(top)
	}
}

// aside is a line that is no part of the conversation with the model.
func (r *reader) aside(top [][]byte) bool {
	switch string(agent.Word(top[0])) {
	case "control_request":
		return r.control(agent.Text(top[5]), top[6])
	case "control_cancel_request":
		r.revoked = agent.Text(top[5])
		return r.revoked != ""
	case "rate_limit_event":
		return r.limit(top[10])
	case "control_response", "keep_alive", "tool_progress":
		return true // answers to us, and signs of life
	default:
		return false
	}
}

var (
	messageNames = []string{"content", "id", "model"}
	blockNames   = []string{"type", "text", "thinking", "id", "name", "input", "tool_use_id", "content", "is_error"}
)

func (r *reader) assistant(message []byte, parent, problem string) bool {
	m := r.inner[:len(messageNames)]
	if !agent.Pick(message, messageNames, m) {
		return false
	}
	id, synthetic := agent.Text(m[1]), string(m[2]) == `"<synthetic>"`
	if !synthetic {
		if id != r.lastCall {
			r.lastCall = id
			r.calls++
		}
	}
	good := true
	ok := agent.Each(m[0], func(element []byte) {
		b := r.block[:len(blockNames)]
		good = agent.Pick(element, blockNames, b) && r.said(b, id, parent, problem) && good
	})
	return ok && good
}

// said is one block of what the model said.
func (r *reader) said(b [][]byte, id, parent, problem string) bool {
	switch kind := agent.Word(b[0]); string(kind) {
	case "text":
		text := agent.Text(b[1])
		if problem != "" {
			class, again := classOf(problem, 0, text)
			r.Trouble("turn", class, again, text)
			return true
		}
		r.Text(sdk.EventMessage, id, parent, sdk.Text{Role: "assistant", Text: text})
	case "thinking", "redacted_thinking":
		r.Text(sdk.EventThought, id, parent, sdk.Text{Text: agent.Text(b[2]), Redacted: string(kind) != "thinking"})
	case "tool_use", "server_tool_use", "mcp_tool_use":
		r.use(agent.Text(b[3]), parent, readUse(agent.Text(b[4]), b[5]))
	default:
		if !bytes.HasSuffix(kind, []byte("_tool_result")) {
			return false
		}
		r.ended(b, parent, nil)
	}
	return true
}

func (r *reader) use(id, parent string, u use) {
	r.ToolStarted(id, parent, u.started())
	switch u.name {
	case "TodoWrite":
		r.todos(u.input)
	case "TaskUpdate":
		r.updateTask(u.input)
	}
}

func (r *reader) user(message []byte, parent string, detail []byte) bool {
	m := r.inner[:len(messageNames)]
	if !agent.Pick(message, messageNames, m) {
		return false
	}
	if len(m[0]) > 0 && m[0][0] == '"' {
		r.Text(sdk.EventMessage, "", parent, sdk.Text{Role: "user", Text: agent.Text(m[0])})
		return true
	}
	good := true
	ok := agent.Each(m[0], func(element []byte) {
		b := r.block[:len(blockNames)]
		good = agent.Pick(element, blockNames, b) && r.heard(b, parent, detail) && good
	})
	return ok && good
}

// heard is one block of what the model was told.
func (r *reader) heard(b [][]byte, parent string, detail []byte) bool {
	switch kind := agent.Word(b[0]); string(kind) {
	case "tool_result":
		r.ended(b, parent, detail)
	case "text":
		r.Text(sdk.EventMessage, "", parent, sdk.Text{Role: "user", Text: agent.Text(b[1])})
	case "image", "document":
		r.Text(sdk.EventMessage, "", parent, sdk.Text{Role: "user", Text: "[" + string(kind) + "]"})
	default:
		return false
	}
	return true
}

var detailNames = []string{"type", "filePath", "task"}

// ended tells how a tool ended; b is its block, detail what Claude Code adds for its own use.
func (r *reader) ended(b [][]byte, parent string, detail []byte) {
	id, output := agent.Text(b[6]), textOf(b[7])
	end := sdk.ToolEnded{Status: "ok", Output: output}
	if agent.Bool(b[8]) {
		end.Status = "failed"
		switch {
		case strings.HasPrefix(output, notAllowed):
			end.Status = "denied"
		case strings.HasPrefix(output, interrupted):
			end.Status = "cancelled"
		default:
			end.ExitCode = exitCode(output)
		}
	}
	r.ToolEnded(id, parent, sdk.ToolStarted{}, end)
	var d [3][]byte
	if end.Status != "ok" || !agent.Pick(detail, detailNames, d[:]) {
		return
	}
	op, changed := changes[string(agent.Word(d[0]))]
	if path := agent.Text(d[1]); changed && path != "" {
		r.Event(sdk.EventFileChanged, id, parent, sdk.FileChanged{Path: agent.Clip(path, sdk.MaxText), Op: op, Basis: "reported"})
	}
	r.addTask(d[2])
}

// changes are the types of results that changed a file. One without a type is that of an edit.
var changes = map[string]string{"create": "add", "update": "modify", "": "modify"}

// textOf is the text of a tool's result: a string, or blocks of which some are text.
func textOf(content []byte) string {
	if len(content) > 0 && content[0] == '"' {
		return agent.Text(content)
	}
	var texts []string
	agent.Each(content, func(element []byte) {
		var b [2][]byte
		if agent.Pick(element, blockNames[:2], b[:]) && b[1] != nil {
			texts = append(texts, agent.Text(b[1]))
		}
	})
	return strings.Join(texts, "\n")
}

// exitCode reads what Claude Code writes before the output of a command that failed.
func exitCode(output string) *int {
	rest, ok := strings.CutPrefix(output, "Exit code ")
	if !ok {
		return nil
	}
	digits, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return nil
	}
	return &n
}

var controlNames = []string{"subtype", "tool_name", "input", "tool_use_id"}

func (r *reader) control(id string, raw []byte) bool {
	var m [4][]byte
	if id == "" || !agent.Pick(raw, controlNames, m[:]) {
		return false
	}
	r.asked = &request{id: id, subtype: agent.Text(m[0]), toolID: agent.Text(m[3])}
	// The line is gone when the request is answered.
	r.asked.tool = readUse(agent.Text(m[1]), append([]byte(nil), m[2]...))
	return true
}

var (
	eventNames = []string{"type", "delta"}
	deltaNames = []string{"type", "text", "thinking"}
)

func (r *reader) delta(event []byte, parent string) bool {
	var e [2][]byte
	var d [3][]byte
	if !agent.Pick(event, eventNames, e[:]) {
		return false
	}
	if string(e[0]) != `"content_block_delta"` {
		return true // the block as a whole follows
	}
	if !agent.Pick(e[1], deltaNames, d[:]) {
		return false
	}
	switch {
	case string(d[0]) == `"text_delta"`:
		r.Text(sdk.EventMessageDelta, r.lastCall, parent, sdk.Text{Role: "assistant", Text: agent.Text(d[1])})
	case string(d[0]) == `"thinking_delta"`:
		r.Text(sdk.EventThoughtDelta, r.lastCall, parent, sdk.Text{Text: agent.Text(d[2])})
	}
	return true
}
