package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/drawspan/drawspan/sdk"
)

// The bounds of an event's data that sdk does not set.
const (
	maxList    = 200     // paths, tools, entries of a plan
	maxItem    = 1 << 10 // bytes of one of them, and of a title
	maxMember  = 4 << 10 // bytes of a string in a tool's input that is too large as a whole
	maxOpen    = 4096    // tools that have started and not ended
	idKept     = 200     // bytes of an id that is too long
	clipEnding = "..."
)

// Tell makes events out of what an agent said: it bounds every text, makes all of it valid, and sees to it
// that a tool that ended has started. It does no I/O; Take hands over what was told. The zero value works.
type Tell struct {
	// Turn is put on every event.
	Turn int

	told []sdk.Event
	open map[string]string // tools that have started, and the parents of their events
}

// Take is what was told since the last time.
func (t *Tell) Take() []sdk.Event {
	told := t.told
	t.told = nil
	return told
}

// Event tells one event whose data has bounded texts already. Data that is too large all the same is
// replaced by a note.
func (t *Tell) Event(kind sdk.EventType, id, parent string, data any) {
	e, err := sdk.NewEvent(kind, data)
	if err != nil || len(e.Data) > sdk.MaxData {
		e = sdk.Event{Type: kind, Data: json.RawMessage(`{"truncated":true}`)}
	}
	e.ItemID, e.Parent, e.Turn = ID(id), ID(parent), t.Turn
	t.told = append(t.told, e)
}

// SessionStarted tells session.started.
func (t *Tell) SessionStarted(s sdk.SessionStarted) {
	s.NativeID, s.Model, s.Mode, s.Version = ID(s.NativeID), Clip(s.Model, maxItem), Clip(s.Mode, maxItem), Clip(s.Version, maxItem)
	s.Dir, s.Tools = Clip(s.Dir, sdk.MaxText), clipAll(s.Tools)
	t.Event(sdk.EventSessionStarted, "", "", s)
}

// Text tells a message, a thought or a delta of one: the kinds whose data is an sdk.Text.
func (t *Tell) Text(kind sdk.EventType, id, parent string, text sdk.Text) {
	text.Text = Clip(text.Text, sdk.MaxText)
	t.Event(kind, id, parent, text)
}

// ToolStarted tells tool.started. A tool that has started already is told once.
func (t *Tell) ToolStarted(id, parent string, s sdk.ToolStarted) {
	if _, again := t.open[id]; again {
		return
	}
	if t.open == nil {
		t.open = map[string]string{}
	}
	if len(t.open) < maxOpen {
		t.open[id] = parent
	}
	s.NativeName, s.Title, s.Paths = Clip(s.NativeName, maxItem), Clip(s.Title, maxItem), clipAll(s.Paths)
	t.Event(sdk.EventToolStarted, id, parent, s)
}

// ToolProgress tells tool.progress with a piece of a tool's output.
func (t *Tell) ToolProgress(id, output string) {
	t.Event(sdk.EventToolProgress, id, t.open[id], sdk.ToolEnded{Status: "unknown", Output: Clip(output, sdk.MaxText)})
}

// ToolEnded tells tool.ended; where the start was not told, start is told first, as synthesized.
func (t *Tell) ToolEnded(id, parent string, start sdk.ToolStarted, end sdk.ToolEnded) {
	if _, started := t.open[id]; !started {
		start.Synthesized = true
		if start.Kind == "" {
			start.Kind = "other"
		}
		t.ToolStarted(id, parent, start)
	}
	if parent == "" {
		parent = t.open[id]
	}
	delete(t.open, id)
	end.Output = Clip(end.Output, sdk.MaxText)
	t.Event(sdk.EventToolEnded, id, parent, end)
}

// SessionEnded tells session.ended: the last event of an attempt.
func (t *Tell) SessionEnded(r sdk.Result) {
	t.Event(sdk.EventSessionEnded, "", "", sdk.SessionEnded{StopReason: r.StopReason, ExitCode: r.ExitCode, Signal: r.Signal})
}

// Open says that a tool has started and not ended.
func (t *Tell) Open(id string) bool {
	_, open := t.open[id]
	return open
}

// EndTools ends every tool that has not ended, when the stream is over: status is cancelled or unknown.
func (t *Tell) EndTools(status string) {
	for _, id := range slices.Sorted(maps.Keys(t.open)) {
		t.Event(sdk.EventToolEnded, id, t.open[id], sdk.ToolEnded{Status: status})
	}
	t.open = nil
}

// Plan tells plan.updated.
func (t *Tell) Plan(p sdk.Plan) {
	p.Entries = append([]sdk.PlanEntry(nil), p.Entries[:min(len(p.Entries), maxList)]...)
	for i, e := range p.Entries {
		p.Entries[i] = sdk.PlanEntry{Text: Clip(e.Text, maxItem), Status: Clip(e.Status, maxItem), Priority: Clip(e.Priority, maxItem)}
	}
	t.Event(sdk.EventPlanUpdated, "", "", p)
}

// Trouble tells error.
func (t *Tell) Trouble(scope, class string, retryable bool, message string) {
	t.Event(sdk.EventError, "", "", sdk.Trouble{Scope: scope, Class: class, Retryable: retryable, Message: Clip(message, sdk.MaxText)})
}

// Unparsed tells raw.unparsed: a line that is not understood, n bytes as a whole.
func (t *Tell) Unparsed(line []byte, n int) {
	u := sdk.Unparsed{Text: Clip(string(line[:min(len(line), sdk.MaxText+utf8.UTFMax)]), sdk.MaxText)}
	if len(u.Text) < n {
		u.Bytes = n
	}
	t.Event(sdk.EventRaw, "", "", u)
}

// Input is a tool's input as data: as it is while it is small; otherwise with its strings cut, and without
// what is large all the same.
func Input(raw []byte) any {
	if len(raw) == 0 || !json.Valid(raw) {
		return nil
	}
	if len(raw) <= sdk.MaxText && utf8.Valid(raw) {
		return json.RawMessage(raw)
	}
	var members map[string]any
	if json.Unmarshal(raw, &members) != nil {
		return map[string]any{"bytes": len(raw)}
	}
	return small(members)
}

// small is what of an input fits into a text's room, its strings cut.
func small(members map[string]any) map[string]any {
	kept, room := map[string]any{}, sdk.MaxText
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if text, ok := value.(string); ok {
			value = Clip(text, maxMember)
		}
		encoded, err := json.Marshal(value)
		if size := len(name) + len(encoded); err == nil && size <= room && len(name) <= sdk.MaxName {
			kept[name], room = value, room-size
		}
	}
	return kept
}

// Clip is a text as valid UTF-8 of at most so many bytes; it ends in "..." where something was left out.
func Clip(text string, most int) string {
	if len(text) <= most && utf8.ValidString(text) {
		return text
	}
	// A byte that is not valid becomes three.
	text = strings.ToValidUTF8(text[:min(len(text), most+utf8.UTFMax)], "\uFFFD")
	if len(text) <= most {
		return text
	}
	cut := max(0, most-len(clipEnding))
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + clipEnding
}

// ID is an agent's id as an item id: as it is, or cut with a digest that keeps different ones different.
func ID(id string) string {
	if len(id) <= sdk.MaxName && utf8.ValidString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return fmt.Sprintf("%s-%s", strings.ToValidUTF8(id[:min(len(id), idKept)], ""), hex.EncodeToString(sum[:8]))
}

// clipAll is a list itself where nothing of it has to be left out.
func clipAll(list []string) []string {
	list = list[:min(len(list), maxList)]
	long := func(s string) bool { return len(s) > maxItem || !utf8.ValidString(s) }
	if !slices.ContainsFunc(list, long) {
		return list
	}
	kept := make([]string, len(list))
	for i, s := range list {
		kept[i] = Clip(s, maxItem)
	}
	return kept
}
