package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The bounds of what travels. The host refuses what exceeds them and ends the attempt.
const (
	MaxLog      = 64 << 10  // bytes of one log event or output piece; sdk/plugin splits longer ones
	MaxData     = 256 << 10 // bytes of one event's data
	MaxSummary  = 16 << 10  // bytes of a result's summary and message, and of a verdict's message
	MaxName     = 256       // bytes of an item id, a parent id, a rule
	MaxFindings = 1000      // findings of one verdict
	MaxMetrics  = 64        // metrics of one verdict
	MaxPatch    = 4 << 20   // bytes of the patch that a check is fed
	MaxState    = 6 << 20   // bytes of the files of a session's state
	MaxStates   = 1000      // files of it
	MaxText     = 16 << 10  // bytes of a text in the data of an event; the rest is in the output
)

// ErrTooLarge is the error of Emit for data beyond MaxData.
var ErrTooLarge = errors.New("event data is too large")

// NewEvent makes an event of a type with data encoded as its JSON object.
func NewEvent(kind EventType, data any) (Event, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode data of %s: %w", kind, err)
	}
	return Event{Type: kind, Data: raw}, nil
}

// Message makes a message event of the executor with a final text.
func Message(text string) Event {
	raw, err := json.Marshal(map[string]string{"role": "assistant", "channel": "final", "text": text})
	if err != nil {
		return Event{Type: EventMessage, Data: json.RawMessage(`{}`)} // strings always encode
	}
	return Event{Type: EventMessage, Data: raw}
}

// Log makes a log event of a piece of output.
func Log(stream string, piece []byte) Event {
	return Event{Type: EventLog, Stream: stream, Log: piece}
}

// Validate says what is wrong with an event that an executor sent, or nil. The host applies it to
// everything that arrives.
func (e Event) Validate() error {
	switch {
	case strings.HasPrefix(string(e.Type), "host."):
		return fmt.Errorf("event type %q is the host's own", clip(string(e.Type)))
	case !slices.Contains(EventTypes(), e.Type):
		return fmt.Errorf("event type %q is not in the set", clip(string(e.Type)))
	case len(e.ItemID) > MaxName || len(e.Parent) > MaxName:
		return fmt.Errorf("ids of a %s event are longer than %d bytes", e.Type, MaxName)
	case !utf8.ValidString(e.ItemID) || !utf8.ValidString(e.Parent):
		return fmt.Errorf("ids of a %s event are not UTF-8", e.Type)
	case e.Type == EventLog:
		return e.validateLog()
	case e.Stream != "" || len(e.Log) > 0:
		return fmt.Errorf("a %s event carries log bytes", e.Type)
	case len(e.Data) > MaxData:
		return fmt.Errorf("data of a %s event is %d bytes, more than %d", e.Type, len(e.Data), MaxData)
	case !isObject(e.Data):
		return fmt.Errorf("data of a %s event is not a JSON object", e.Type)
	}
	return e.validateItem()
}

func (e Event) validateLog() error {
	switch {
	case e.Stream != "stdout" && e.Stream != "stderr":
		return fmt.Errorf("stream %q of a log event is neither stdout nor stderr", clip(e.Stream))
	case len(e.Log) > MaxLog:
		return fmt.Errorf("a log event of %d bytes, more than %d", len(e.Log), MaxLog)
	case len(e.Data) > 0:
		return errors.New("a log event carries data")
	}
	return nil
}

// validateItem checks what the host has to understand in order to answer.
func (e Event) validateItem() error {
	switch e.Type {
	case EventQuestionAsked:
		_, err := QuestionOf(e)
		return err
	case EventPermissionAsked:
		_, err := PermissionOf(e)
		return err
	default:
		return nil
	}
}

type questionData struct {
	Text    string   `json:"text"`
	Options []string `json:"options,omitempty"`
}

type permissionData struct {
	Tool    string          `json:"tool"`
	Title   string          `json:"title"`
	Input   json.RawMessage `json:"input,omitempty"`
	Paths   []string        `json:"paths,omitempty"`
	Command string          `json:"command,omitempty"`
}

// QuestionEvent is the event that opens a question.
func QuestionEvent(q Question) (Event, error) {
	e, err := NewEvent(EventQuestionAsked, questionData{q.Text, q.Options})
	e.ItemID = q.ID
	return e, err
}

// QuestionOf reads the question of a question.asked event.
func QuestionOf(e Event) (Question, error) {
	var d questionData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return Question{}, fmt.Errorf("read data of %s: %w", e.Type, err)
	}
	if e.ItemID == "" || d.Text == "" {
		return Question{}, fmt.Errorf("a %s event has no id or no text", e.Type)
	}
	return Question{ID: e.ItemID, Text: d.Text, Options: d.Options}, nil
}

// PermissionEvent is the event that opens a permission request.
func PermissionEvent(p Permission) (Event, error) {
	e, err := NewEvent(EventPermissionAsked, permissionData{p.Tool, p.Title, p.Input, p.Paths, p.Command})
	e.ItemID = p.ID
	return e, err
}

// PermissionOf reads the request of a permission.requested event.
func PermissionOf(e Event) (Permission, error) {
	var d permissionData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return Permission{}, fmt.Errorf("read data of %s: %w", e.Type, err)
	}
	if e.ItemID == "" || d.Tool == "" {
		return Permission{}, fmt.Errorf("a %s event has no id or no tool", e.Type)
	}
	return Permission{ID: e.ItemID, Tool: d.Tool, Title: d.Title, Input: d.Input, Paths: d.Paths, Command: d.Command}, nil
}

func isObject(data []byte) bool {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(data) && utf8.Valid(data)
}

// clip bounds a plugin's own words in an error message.
func clip(s string) string {
	const most = 80
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
