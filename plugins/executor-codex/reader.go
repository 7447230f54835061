package main

import (
	"math"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// maxThreads is how many threads, the agent's own sub-agents among them, are counted one by one.
const maxThreads = 64

// reader makes events of the lines of an app-server. It does no I/O. Requests of the server's are the
// conversation's business and no events: the host tells what was asked and how it was answered.
type reader struct {
	teller
	thread string // the attempt's own; other threads are sub-agents of it
	dir    string // where the thread works
	turn   string // the turn that the attempt asked for
	spent  map[string]*meter
	done   *outcome // how the turn ended
	fault  trouble  // the last error that ended something
}

// outcome is the terminal record of a turn.
type outcome struct {
	status string // completed, interrupted, failed
	fault  trouble
}

// meter counts the tokens of one thread. Codex tells sums of the whole thread, which for one that is
// resumed begin with what was spent before.
type meter struct {
	base, total sdk.Usage
	begun       bool
	calls       int64
}

// quiet are the notifications that tell nothing which the events do not tell as well.
var quiet = map[string]bool{
	"thread/status/changed": true, "thread/readState/changed": true, "account/rateLimits/updated": true, "account/updated": true,
	"remoteControl/status/changed": true, "serverRequest/resolved": true, "thread/name/updated": true, "thread/settings/updated": true,
	"thread/goal/cleared": true, "thread/closed": true, "skills/changed": true, "item/reasoning/summaryPartAdded": true,
	"item/fileChange/outputDelta": true, "item/fileChange/patchUpdated": true, "thread/queue/changed": true, "thread/environment/connected": true,
}

var lineMembers = []string{"method", "id", "params", "result", "error"}

// message is one line of the protocol, taken apart.
type message struct {
	method             string
	id                 []byte
	params, result, er []byte
}

// parts takes a line apart: a notification has a method, a request of the server's a method and an id, a
// response only an id. The two sides count their ids apart.
func parts(line []byte) (message, bool) {
	var m [5][]byte
	if !agent.Pick(line, lineMembers, m[:]) || len(m[0]) == 0 && len(m[1]) == 0 {
		return message{}, false
	}
	return message{agent.Text(m[0]), m[1], m[2], m[3], m[4]}, true
}

// Line is the events of one line.
func (r *reader) Line(line []byte) []sdk.Event {
	m, ok := parts(line)
	switch {
	case !ok:
		r.Unparsed(line, len(line))
	case m.method == "":
		r.response(m.result)
	case len(m.id) > 0: // the server asks
	case !r.notified(m.method, m.params):
		r.Unparsed(line, len(line))
	}
	return r.Take()
}

// response looks for the thread in the answer to thread/start and thread/resume.
func (r *reader) response(result []byte) {
	var m [4][]byte
	if !agent.Pick(result, []string{"thread", "model", "cwd", "approvalPolicy"}, m[:]) || len(m[0]) == 0 || r.thread != "" {
		return
	}
	var t [2][]byte
	if !agent.Pick(m[0], []string{"id", "cliVersion"}, t[:]) {
		return
	}
	r.thread, r.dir = agent.Text(t[0]), agent.Text(m[2])
	r.SessionStarted(sdk.SessionStarted{NativeID: r.thread, Model: agent.Text(m[1]), Mode: agent.Text(m[3]), Dir: r.dir, Version: agent.Text(t[1])})
}

// parent is the thread of an event that is not the attempt's own.
func (r *reader) parent(thread string) string {
	if thread == r.thread || r.thread == "" {
		return ""
	}
	return thread
}

// notified tells a notification; false for one that is not known.
func (r *reader) notified(method string, params []byte) bool {
	switch method {
	case "item/agentMessage/delta", "item/commandExecution/outputDelta", "item/reasoning/summaryTextDelta", "item/reasoning/textDelta",
		"item/plan/delta", "item/mcpToolCall/progress":
		return r.delta(method, params)
	case "item/started", "item/completed":
		return r.item(method, params)
	case "turn/started", "turn/completed":
		return r.turned(method, params)
	case "thread/tokenUsage/updated":
		return r.usage(params)
	case "thread/started":
		return r.subagent(params)
	case "error":
		return r.failed(params)
	}
	return r.rare(method, params)
}

func (r *reader) rare(method string, params []byte) bool {
	var m [2][]byte
	if !agent.Pick(params, []string{"plan", "diff"}, m[:]) {
		return false
	}
	switch method {
	case "turn/plan/updated":
		r.plan(m[0])
	case "turn/diff/updated":
		r.diff(agent.Text(m[1]), r.dir)
	case "thread/compacted":
		r.Event(sdk.EventCompacted, "", "", struct{}{})
	default:
		return quiet[method]
	}
	return true
}

var deltaMembers = []string{"delta", "itemId", "threadId", "message"}

func (r *reader) delta(method string, params []byte) bool {
	var m [4][]byte
	if !agent.Pick(params, deltaMembers, m[:]) {
		return false
	}
	text, id, parent := agent.Text(m[0]), agent.Text(m[1]), r.parent(agent.Text(m[2]))
	switch method {
	case "item/agentMessage/delta":
		r.Text(sdk.EventMessageDelta, id, parent, sdk.Text{Role: "assistant", Text: text})
	case "item/plan/delta":
		r.Text(sdk.EventMessageDelta, id, parent, sdk.Text{Role: "assistant", Channel: "commentary", Text: text})
	case "item/commandExecution/outputDelta":
		r.ToolProgress(id, text)
	case "item/mcpToolCall/progress":
		r.ToolProgress(id, agent.Text(m[3]))
	default:
		r.Text(sdk.EventThoughtDelta, id, parent, sdk.Text{Text: text})
	}
	return true
}

func (r *reader) item(method string, params []byte) bool {
	var m [2][]byte
	if !agent.Pick(params, []string{"item", "threadId"}, m[:]) {
		return false
	}
	i, ok := itemOf(m[0])
	if !ok {
		return false
	}
	parent := r.parent(agent.Text(m[1]))
	if method == "item/started" {
		return r.started(&i, parent)
	}
	return r.completed(&i, parent)
}

func (r *reader) turned(method string, params []byte) bool {
	var m [2][]byte
	if !agent.Pick(params, []string{"turn", "threadId"}, m[:]) {
		return false
	}
	var t [3][]byte
	if !agent.Pick(m[0], []string{"id", "status", "error"}, t[:]) {
		return false
	}
	id, status, parent := agent.Text(t[0]), agent.Text(t[1]), r.parent(agent.Text(m[1]))
	data := sdk.Turn{NativeID: agent.ID(id), Status: agent.Clip(status, sdk.MaxName)}
	if method == "turn/started" {
		if parent == "" {
			r.Turn++
			r.turn = id
		}
		r.Event(sdk.EventTurnStarted, "", parent, data)
		return true
	}
	if parent == "" && r.done == nil {
		r.done = &outcome{status: status, fault: troubleOf(t[2])}
		if status == "failed" && r.done.fault.message == "" {
			r.done.fault = r.fault
		}
	}
	r.Event(sdk.EventTurnEnded, "", parent, data)
	return true
}

// subagent tells a thread that the attempt's own has started.
func (r *reader) subagent(params []byte) bool {
	var m, t [1][]byte
	if !agent.Pick(params, []string{"thread"}, m[:]) || !agent.Pick(m[0], []string{"id"}, t[:]) {
		return false
	}
	if id := agent.Text(t[0]); r.parent(id) != "" {
		r.Event(sdk.EventSubagentStarted, id, "", map[string]string{"native_id": agent.ID(id)})
	}
	return true
}

// failed tells an error, or that Codex will try again after one.
func (r *reader) failed(params []byte) bool {
	var m [3][]byte
	if !agent.Pick(params, []string{"error", "willRetry", "threadId"}, m[:]) {
		return false
	}
	t := troubleOf(m[0])
	if t.class == "" {
		return false
	}
	if agent.Bool(m[1]) {
		r.Event(sdk.EventRetry, "", "", sdk.Retry{Status: t.status, Class: t.class})
		return true
	}
	r.fault = t
	r.Trouble("turn", t.class, t.retryable, t.message)
	return true
}

func (r *reader) usage(params []byte) bool {
	var m, u [2][]byte
	if !agent.Pick(params, []string{"tokenUsage", "threadId"}, m[:]) || !agent.Pick(m[0], []string{"total", "last"}, u[:]) {
		return false
	}
	total, ok := usageOf(u[0])
	last, okLast := usageOf(u[1])
	if !ok || !okLast {
		return false
	}
	thread := agent.Text(m[1])
	p := r.meter(thread)
	switch {
	case p == nil:
	case r.turn == "": // what was spent before this attempt
		p.base, p.total, p.begun = total, total, true
		return true
	case !p.begun:
		p.base, p.begun = less(total, last), true
	}
	if p != nil && total != p.total {
		p.total = total
		p.calls++
	}
	last.Scope = "call"
	r.Event(sdk.EventUsage, "", r.parent(thread), last)
	return true
}

func (r *reader) meter(thread string) *meter {
	if p := r.spent[thread]; p != nil || len(r.spent) >= maxThreads {
		return p
	}
	if r.spent == nil {
		r.spent = map[string]*meter{}
	}
	p := &meter{}
	r.spent[thread] = p
	return p
}

// Usage is what the attempt spent, of all its threads; nil where nothing was told.
func (r *reader) Usage() *sdk.Usage {
	sum := sdk.Usage{Basis: "reported", Scope: "session"}
	for _, p := range r.spent {
		sum = plus(sum, less(p.total, p.base))
		sum.Calls += p.calls
	}
	if sum.Calls == 0 {
		return nil
	}
	return &sum
}

func less(a, b sdk.Usage) sdk.Usage {
	a.Input, a.CachedRead, a.CachedWrite = max(0, a.Input-b.Input), max(0, a.CachedRead-b.CachedRead), max(0, a.CachedWrite-b.CachedWrite)
	a.Output, a.Reasoning = max(0, a.Output-b.Output), max(0, a.Reasoning-b.Reasoning)
	return a
}

func plus(a, b sdk.Usage) sdk.Usage {
	a.Input, a.CachedRead, a.CachedWrite = sum(a.Input, b.Input), sum(a.CachedRead, b.CachedRead), sum(a.CachedWrite, b.CachedWrite)
	a.Output, a.Reasoning = sum(a.Output, b.Output), sum(a.Reasoning, b.Reasoning)
	return a
}

// sum of two numbers that are not negative, without overflow: the agent may say anything.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
