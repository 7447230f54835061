package main

import (
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// printed makes events of the lines of codex exec --json. It does no I/O.
type printed struct {
	teller
	thread string
	spent  *sdk.Usage
	done   *outcome
	fault  trouble
}

// Line is the events of one line.
func (p *printed) Line(line []byte) []sdk.Event {
	var m [6][]byte
	if !agent.Pick(line, []string{"type", "thread_id", "item", "usage", "error", "message"}, m[:]) || !p.known(agent.Text(m[0]), m) {
		p.Unparsed(line, len(line))
	}
	return p.Take()
}

func (p *printed) known(kind string, m [6][]byte) bool {
	switch kind {
	case "thread.started":
		p.thread = agent.Text(m[1])
		p.SessionStarted(sdk.SessionStarted{NativeID: p.thread, Mode: approveNone})
	case "turn.started":
		p.Turn++
		p.Event(sdk.EventTurnStarted, "", "", sdk.Turn{})
	case "item.started", "item.updated", "item.completed":
		i, ok := itemOf(m[2])
		return ok && p.item(kind, &i)
	case "turn.completed":
		return p.completedTurn(m[3])
	case "turn.failed":
		var e [1][]byte
		if !agent.Pick(m[4], []string{"message"}, e[:]) {
			return false
		}
		p.fault = said(agent.Text(e[0]))
		p.end(outcome{"failed", p.fault})
	case "error":
		p.failed(agent.Text(m[5]))
	default:
		return false
	}
	return true
}

func (p *printed) item(kind string, i *item) bool {
	switch {
	case i.kind() == "todoList":
		p.checklist(i.raw[20])
		return true
	case kind == "item.completed":
		return p.completed(i, "")
	case kind == "item.updated" && p.Open(i.id()):
		p.ToolProgress(i.id(), i.end().Output)
		return true
	}
	return p.started(i, "")
}

func (p *printed) completedTurn(usage []byte) bool {
	u, ok := usageOf(usage)
	if ok {
		u.Scope = "session"
		p.spent = &u
		p.Event(sdk.EventUsage, "", "", u)
	}
	p.end(outcome{status: "completed"})
	return ok
}

func (p *printed) end(o outcome) {
	if p.done == nil {
		p.done = &o
	}
	p.Event(sdk.EventTurnEnded, "", "", sdk.Turn{Status: o.status})
}

// failed tells an error, or that Codex tries again: "Reconnecting... 2/5 (...)".
func (p *printed) failed(message string) {
	t := said(message)
	if strings.HasPrefix(message, "Reconnecting") {
		p.Event(sdk.EventRetry, "", "", sdk.Retry{Status: t.status, Class: t.class})
		return
	}
	p.fault = t
	p.Trouble("turn", t.class, t.retryable, message)
}
