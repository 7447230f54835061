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
	Reason  string `json:"reason"`
	Count   int64  `json:"count"`
	Limit   int64  `json:"limit_bytes"`
	Item    string `json:"-"`
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
	if text == "" {
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
	case "permission.requested":
		return term.Line("asks leave: " + firstOf(d.Title, d.Tool, d.Kind))
	case "question.asked":
		return firstLine("asks: " + d.Text)
	case "error":
		return firstLine("error: " + firstOf(d.Message, d.Class, "unknown"))
	case "retry":
		return term.Line("tries again: " + firstOf(d.Class, "unknown reason"))
	}
	return hostWords(kind, d)
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
		return term.Line(strings.TrimSpace(fmt.Sprintf("the kernel refused %s %s", firstOf(d.Syscall, "a call"), d.Comm)))
	case "host.process.leftover":
		return "processes were left behind"
	case "host.budget.exceeded":
		return term.Line("stopped: " + firstOf(d.Reason, "the budget is exhausted"))
	case "host.output.truncated":
		return fmt.Sprintf("output cut at %s", bytesOf(d.Limit))
	case "session.started":
		return "session started"
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
