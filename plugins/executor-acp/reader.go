package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// The bounds of what a reader remembers.
const (
	maxCalls   = 4096 // tools that have been heard of and not ended
	maxPending = 64   // our requests that are not answered, and entries of what an agent offers
	maxPaths   = 500  // of one tool
)

// reader makes events of an agent's lines. It does no I/O and knows no clock: the same lines, with the same
// Sent and Decided between them, make the same events.
type reader struct {
	agent.Tell
	profile profile

	pending map[string]string // the methods of our requests that wait for their answers, by id
	calls   map[string]*call
	speech  speech
	spoken  int    // messages so far
	final   string // the last one of the agent
	loading bool   // a session is being loaded: what is told is what was told before
	denied  bool
	used    account
	turn    *sdk.Usage // of the whole turn

	hello  hello
	opened opened
	mode   string // that was asked for
	end    *ending
	stop   bool // the turn was cancelled from here
}

// hello is what the agent said of itself.
type hello struct {
	Protocol int64
	Version  string
	Load     bool // it can load a session
	Auth     []string
}

// opened is the session.
type opened struct {
	ID    string
	Mode  string
	Modes []string
	// Option is the id of the config option that selects the mode, where the agent has no modes of their own.
	Option string
	Model  string
}

// ending is how the turn ended: the terminal record.
type ending struct {
	Stop  string // the agent's stop reason
	Error *rpcError
}

// rpcError is the error of an answer.
type rpcError struct {
	Method  string
	Code    int64
	Message string
}

// speech is the message that is being told in pieces.
type speech struct {
	kind string // agent_message_chunk, agent_thought_chunk, user_message_chunk; "" for none
	id   string
	text strings.Builder
}

// kind is what a line is.
type kind int

const (
	other    kind = iota // nothing that anybody waits for
	request              // the agent waits for an answer
	response             // the answer to a request of ours
)

var lineNames = []string{"id", "method", "params", "result", "error"}

// Line is the events of one line, and what the line is.
func (r *reader) Line(line []byte) ([]sdk.Event, kind) {
	var m [5][]byte
	if !agent.Pick(line, lineNames, m[:]) {
		r.Unparsed(line, len(line))
		return r.Take(), other
	}
	id, method := m[0], agent.Text(m[1])
	is := other
	switch known := len(id) > 0 && len(id) <= sdk.MaxName && string(id) != "null"; {
	case method == "session/update" && len(id) == 0:
		if !r.update(m[2]) {
			r.Unparsed(line, len(line))
		}
	case method != "" && known:
		is = request
		if method != "session/request_permission" || !r.asked(m[2]) {
			r.Unparsed(line, len(line))
		}
	case method == "" && known && r.pending[string(id)] != "":
		is = response
		method = r.pending[string(id)]
		delete(r.pending, string(id))
		r.answered(method, m[3], m[4])
	default:
		r.Unparsed(line, len(line))
	}
	return r.Take(), is
}

// Sent learns of a line that went to the agent.
func (r *reader) Sent(line []byte) []sdk.Event {
	var m [5][]byte
	if !agent.Pick(line, lineNames, m[:]) {
		return nil
	}
	method := agent.Text(m[1])
	if method == "session/cancel" {
		r.stop = true
	}
	if method == "" || len(m[0]) == 0 || len(r.pending) >= maxPending {
		return nil
	}
	if r.pending == nil {
		r.pending = map[string]string{}
	}
	r.pending[string(m[0])] = method
	switch method {
	case "session/load":
		r.loading = true
	case "session/set_mode", "session/set_config_option":
		var want [2][]byte
		agent.Pick(m[2], []string{"modeId", "value"}, want[:])
		r.mode = agent.Text(want[0]) + agent.Text(want[1])
	case "session/prompt":
		r.Turn++
		r.Event(sdk.EventTurnStarted, "", "", sdk.Turn{NativeID: r.opened.ID})
	}
	return r.Take()
}

// answered looks at the answer to a request of ours.
func (r *reader) answered(method string, result, failure []byte) {
	if len(failure) > 0 && string(failure) != "null" {
		r.refused(method, failure)
		return
	}
	switch method {
	case "initialize":
		r.hello = readHello(result)
	case "session/new", "session/load":
		id := r.opened.ID
		r.opened = readOpened(result)
		if r.opened.ID == "" {
			r.opened.ID = id
		}
		r.loading = false
		r.SessionStarted(sdk.SessionStarted{NativeID: r.opened.ID, Model: r.opened.Model, Mode: r.opened.Mode, Version: r.hello.Version})
	case "session/set_mode", "session/set_config_option":
		r.changed(r.mode)
	case "session/prompt":
		r.ended(result)
	}
}

func (r *reader) changed(mode string) {
	r.Event(sdk.EventModeChanged, "", "", map[string]string{"mode": agent.Clip(mode, sdk.MaxName)})
}

// ended is the answer to the prompt.
func (r *reader) ended(result []byte) {
	var m [1][]byte
	agent.Pick(result, []string{"stopReason"}, m[:])
	r.end = &ending{Stop: agent.Clip(agent.Text(m[0]), sdk.MaxName)}
	r.flush("final")
	status := "unknown"
	if r.stop || r.end.Stop == "cancelled" {
		status = "cancelled"
	}
	r.close(status)
	if r.turn = r.used.total(r.profile.Usage, result); r.turn != nil {
		r.Event(sdk.EventUsage, "", "", r.turn)
	}
	r.Event(sdk.EventTurnEnded, "", "", sdk.Turn{NativeID: r.opened.ID, Status: r.end.Stop})
}

func (r *reader) refused(method string, failure []byte) {
	e := readError(method, failure)
	class, again := e.class()
	scope := "session"
	switch method {
	case "session/load": // a new one takes its place
		r.loading = false
	case "session/prompt":
		scope = "turn"
		r.flush("commentary")
		r.close("unknown")
		r.end = &ending{Error: e}
	default:
		r.end = &ending{Error: e}
	}
	r.Trouble(scope, class, again, e.Error())
	if method == "session/prompt" {
		r.Event(sdk.EventTurnEnded, "", "", sdk.Turn{NativeID: r.opened.ID, Status: "failed"})
	}
}

// chunk adds a piece of a message.
func (r *reader) chunk(kind string, u *update) {
	text := u.text()
	if text == "" {
		return
	}
	id := agent.Text(u[uMessageID])
	if r.speech.kind != kind || id != "" && r.speech.id != id {
		r.flush("commentary")
		r.speech.kind, r.speech.id = kind, id
		if id == "" {
			r.spoken++
			r.speech.id = fmt.Sprintf("message-%d", r.spoken)
		}
	}
	if r.speech.text.Len() <= sdk.MaxText {
		r.speech.text.WriteString(text)
	}
	if event, role := chunkEvent(kind, true); event != "" {
		r.Text(event, r.speech.id, "", sdk.Text{Role: role, Text: text})
	}
}

// flush tells the message that was told in pieces as a whole.
func (r *reader) flush(channel string) {
	kind, id, text := r.speech.kind, r.speech.id, r.speech.text.String()
	r.speech = speech{}
	if text == "" {
		return
	}
	event, role := chunkEvent(kind, false)
	if kind == "agent_message_chunk" {
		r.final = text
	} else {
		channel = ""
	}
	r.Text(event, id, "", sdk.Text{Role: role, Channel: channel, Text: text})
}

func chunkEvent(kind string, delta bool) (sdk.EventType, string) {
	switch {
	case kind == "agent_thought_chunk" && delta:
		return sdk.EventThoughtDelta, ""
	case kind == "agent_thought_chunk":
		return sdk.EventThought, ""
	case kind == "user_message_chunk" && delta:
		return "", "user" // it is told as a whole
	case kind == "user_message_chunk":
		return sdk.EventMessage, "user"
	case delta:
		return sdk.EventMessageDelta, "assistant"
	default:
		return sdk.EventMessage, "assistant"
	}
}

func readHello(result []byte) hello {
	var m [4][]byte
	agent.Pick(result, []string{"protocolVersion", "agentInfo", "agentCapabilities", "authMethods"}, m[:])
	h := hello{Protocol: agent.Int(m[0])}
	var info, can [1][]byte
	agent.Pick(m[1], []string{"version"}, info[:])
	agent.Pick(m[2], []string{"loadSession"}, can[:])
	h.Version, h.Load = agent.Version(agent.Clip(agent.Text(info[0]), sdk.MaxName)), agent.Bool(can[0])
	agent.Each(m[3], func(method []byte) {
		var id [1][]byte
		if agent.Pick(method, []string{"id"}, id[:]) && len(h.Auth) < maxPending {
			h.Auth = append(h.Auth, agent.Clip(agent.Text(id[0]), sdk.MaxName))
		}
	})
	return h
}

func readOpened(result []byte) opened {
	var m [4][]byte
	agent.Pick(result, []string{"sessionId", "modes", "models", "configOptions"}, m[:])
	o := opened{ID: agent.Text(m[0])}
	var modes, models [2][]byte
	if agent.Pick(m[1], []string{"currentModeId", "availableModes"}, modes[:]) {
		o.Mode, o.Modes = agent.Text(modes[0]), members(modes[1], "id")
	}
	if agent.Pick(m[2], []string{"currentModelId"}, models[:1]) {
		o.Model = agent.Text(models[0])
	}
	agent.Each(m[3], func(option []byte) {
		var c [4][]byte
		if !agent.Pick(option, []string{"id", "category", "currentValue", "options"}, c[:]) {
			return
		}
		switch category := agent.Text(c[1]); {
		case category == "mode" && len(o.Modes) == 0:
			o.Option, o.Mode, o.Modes = agent.Text(c[0]), agent.Text(c[2]), members(c[3], "value")
		case category == "model" && o.Model == "":
			o.Model = agent.Text(c[2])
		}
	})
	return o
}

// members are the texts of one member of every element of an array.
func members(array []byte, name string) (all []string) {
	agent.Each(array, func(element []byte) {
		var m [1][]byte
		if agent.Pick(element, []string{name}, m[:]) && len(all) < maxPending {
			all = append(all, agent.Text(m[0]))
		}
	})
	return all
}

func readError(method string, failure []byte) *rpcError {
	var m [3][]byte
	agent.Pick(failure, []string{"code", "message", "data"}, m[:])
	e := &rpcError{Method: method, Code: agent.Int(m[0]), Message: agent.Text(m[1])}
	if data := strings.TrimSpace(string(m[2])); data != "" && data != "null" && json.Valid(m[2]) {
		e.Message += ": " + data
	}
	e.Message = agent.Clip(e.Message, sdk.MaxSummary/2)
	return e
}
