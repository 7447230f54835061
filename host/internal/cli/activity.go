package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/internal/term"
)

// streamLine is one line of an attempt's stream (events.jsonl).
type streamLine struct {
	Seq    int64           `json:"seq"`
	Time   time.Time       `json:"time"`
	Source string          `json:"source"`
	Type   string          `json:"type"`
	Data   json.RawMessage `json:"data"`
}

// streamData are the fields of the event types that views show.
type streamData struct {
	Text    string `json:"text"`
	Stream  string `json:"stream"`
	Role    string `json:"role"`
	Title   string `json:"title"`
	Kind    string `json:"kind"`
	Name    string `json:"native_name"`
	Status  string `json:"status"`
	Path    string `json:"path"`
	Op      string `json:"op"`
	Message string `json:"message"`
	Class   string `json:"class"`
	Tool    string `json:"tool"`
	Syscall string `json:"syscall"`
	Comm    string `json:"comm"`
	Host    string `json:"host"`
	Refused string `json:"refused"`
	Reason  string `json:"reason"`
	Count   int64  `json:"count"`
	Limit   int64  `json:"limit_bytes"`
	Item    string `json:"-"`

	Decision  string      `json:"decision"`
	DecidedBy string      `json:"decided_by"`
	Rule      string      `json:"rule"`
	State     string      `json:"state"`
	Command   string      `json:"command"`
	Entries   []planEntry `json:"entries"`
	Input     int64       `json:"-"` // of usage: the same keys are texts elsewhere
	Produced  int64       `json:"-"`
	Basis     string      `json:"basis"`
	Attempt   int         `json:"attempt"`
	Max       int         `json:"max"`
	DelayMS   int64       `json:"delay_ms"`
	HTTP      int         `json:"http_status"`
	Mode      string      `json:"mode"`
	Model     string      `json:"model"`
}

// planEntry is one line of an executor's plan.
type planEntry struct {
	Text   string `json:"text"`
	Status string `json:"status"`
}

// parseStream reads one line of a stream.
func parseStream(line []byte) (streamLine, streamData, bool) {
	var l streamLine
	var d streamData
	if json.Unmarshal(line, &l) != nil || l.Type == "" {
		return l, d, false
	}
	if len(l.Data) > 0 && json.Unmarshal(l.Data, &d) != nil {
		// Data that is no object of the known kind: it is text, or nothing is shown of it.
		var s string
		if json.Unmarshal(l.Data, &s) == nil {
			d = streamData{Text: s}
		}
	}
	if l.Type == "usage" {
		var u struct{ Input, Output int64 }
		if json.Unmarshal(l.Data, &u) == nil {
			d.Input, d.Produced = u.Input, u.Output
		}
	}
	return l, d, true
}

// activityOf is what a line of the stream says about what the attempt is doing; false when it says
// nothing worth a line.
func activityOf(line []byte) (activity, bool) {
	l, d, ok := parseStream(line)
	if !ok {
		return activity{}, false
	}
	text := eventWords(l.Type, d)
	if text == "" || l.Type == "log" && strings.HasPrefix(text, "{") { // a protocol's line says nothing to a person
		return activity{}, false
	}
	return activity{At: l.Time, Text: text}, true
}

// eventWords is a stream event in a few words, cleaned, on one line; "" when it is not worth one.
func eventWords(kind string, d streamData) string {
	switch kind {
	case "message", "message.delta", "log":
		return lastLine(d.Text)
	case "thought", "thought.delta":
		return "thinking"
	case "tool.started", "tool.progress":
		return term.Line(firstOf(d.Title, d.Name, d.Kind, "a tool"))
	case "tool.ended":
		return term.Line(join(firstOf(d.Title, d.Name, d.Kind, "tool"), firstOf(d.Status, "ended")))
	case "file.changed":
		return term.Line(firstOf(d.Op, "changed") + " " + d.Path)
	case "plan.updated":
		return planWords(d.Entries)
	case "raw.unparsed":
		return firstLine("not understood: " + d.Text)
	}
	return talkWords(kind, d)
}

// talkWords is what an executor asks and reports of itself.
func talkWords(kind string, d streamData) string {
	switch kind {
	case "permission.requested":
		return term.Line("asks leave: " + join(firstOf(d.Title, d.Tool, d.Kind), d.Command))
	case "permission.resolved":
		by := firstOf(d.DecidedBy, "somebody")
		if d.Rule != "" && by == "policy" {
			by = "rule " + d.Rule
		}
		return term.Line(firstOf(map[string]string{"allow": "allowed", "deny": "denied"}[d.Decision], d.Decision, d.State) + " by " + by)
	case "question.asked":
		return firstLine("asks: " + d.Text)
	case "question.answered":
		return term.Line("question " + firstOf(d.State, "answered") + " by " + firstOf(d.DecidedBy, "somebody"))
	case "error":
		return firstLine("error: " + join(d.Class, firstOf(d.Message, "unknown")))
	case "retry":
		return retryWords(d)
	case "usage":
		return usageWords(d)
	}
	return sessionWords(kind, d)
}

// sessionWords is how an executor's session goes.
func sessionWords(kind string, d streamData) string {
	switch kind {
	case "session.started":
		return term.Line(join("session started", d.Model))
	case "mode.changed":
		return term.Line("mode " + firstOf(d.Mode, "changed"))
	case "subagent.started":
		return term.Line("subagent: " + firstOf(d.Title, d.Name, "started"))
	case "context.compacted":
		return "context compacted"
	}
	return hostWords(kind, d)
}

// planWords is where a plan stands: how much is done, and what is going on.
func planWords(entries []planEntry) string {
	done, now := 0, ""
	for _, e := range entries {
		switch e.Status {
		case "completed":
			done++
		case "in_progress":
			now = e.Text
		}
	}
	if len(entries) == 0 {
		return ""
	}
	text := fmt.Sprintf("plan: %d of %d done", done, len(entries))
	if now != "" {
		text += ", " + now
	}
	return firstLine(text)
}

func retryWords(d streamData) string {
	text := "tries again"
	if d.Attempt > 0 && d.Max > 0 {
		text += fmt.Sprintf(" (%d of %d)", d.Attempt, d.Max)
	}
	if d.DelayMS > 0 {
		text += " in " + span(time.Duration(min(d.DelayMS, maxDelay))*time.Millisecond)
	}
	why := d.Class
	if d.HTTP > 0 {
		why = join(why, fmt.Sprint(d.HTTP))
	}
	return term.Line(text + ": " + firstOf(why, "unknown reason"))
}

// maxDelay is the longest delay that is shown as it is said, in milliseconds.
const maxDelay = 30 * 24 * 3600 * 1000

// usageWords is what models were used for so far, with who says so.
func usageWords(d streamData) string {
	if d.Input == 0 && d.Produced == 0 {
		return ""
	}
	return term.Line(fmt.Sprintf("%d tokens in, %d out (%s)", d.Input, d.Produced, firstOf(d.Basis, "reported")))
}

// hostWords is what the host itself saw.
func hostWords(kind string, d streamData) string {
	switch kind {
	case "host.network.request":
		return term.Line("reached " + firstOf(d.Host, "the network"))
	case "host.sandbox.denied":
		if d.Host != "" {
			return term.Line(fmt.Sprintf("the proxy refused %s: %s", d.Host, firstOf(d.Reason, "not allowed")))
		}
		if d.Refused != "" {
			return term.Line(strings.TrimSpace(fmt.Sprintf("the gateway refused a call (%s) %s", d.Refused, d.Model)))
		}
		return term.Line(strings.TrimSpace(fmt.Sprintf("the kernel refused %s %s", firstOf(d.Syscall, "a call"), d.Comm)))
	case "host.process.leftover":
		return "processes were left behind"
	case "host.budget.exceeded":
		return term.Line("stopped: " + firstOf(d.Reason, "the budget is exhausted"))
	case "host.output.truncated":
		return fmt.Sprintf("output cut at %s", bytesOf(d.Limit))
	}
	return ""
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// lastLine is the last line of s that holds something, cleaned.
func lastLine(s string) string {
	s = strings.TrimRight(term.Text(s), "\n\t ")
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return strings.Join(strings.Fields(s), " ")
}
