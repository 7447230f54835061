package agent_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

func kinds(events []sdk.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, string(e.Type)+" "+e.ItemID)
	}
	return all
}

func TestAToolThatEndedHasStarted(t *testing.T) {
	var tell agent.Tell
	tell.ToolStarted("a", "p", sdk.ToolStarted{Kind: "edit"})
	tell.ToolStarted("a", "p", sdk.ToolStarted{Kind: "edit"})
	tell.ToolEnded("a", "", sdk.ToolStarted{}, sdk.ToolEnded{Status: "ok"})
	tell.ToolEnded("b", "", sdk.ToolStarted{}, sdk.ToolEnded{Status: "ok"})
	tell.ToolStarted("d", "", sdk.ToolStarted{Kind: "read"})
	tell.ToolStarted("c", "", sdk.ToolStarted{Kind: "read"})
	tell.EndTools("cancelled")
	events := tell.Take()
	want := []string{"tool.started a", "tool.ended a", "tool.started b", "tool.ended b", "tool.started d", "tool.started c", "tool.ended c", "tool.ended d"}
	if got := kinds(events); !reflect.DeepEqual(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if events[1].Parent != "p" || !strings.Contains(string(events[2].Data), `"synthesized":true`) {
		t.Errorf("told %+v", events)
	}
	if left := tell.Take(); left != nil {
		t.Errorf("told twice: %+v", left)
	}
}

func TestWhateverIsToldIsValidAndBounded(t *testing.T) {
	huge := strings.Repeat("\xff\xfeü\x00<", 200_000)
	many := make([]string, 100_000)
	for i := range many {
		many[i] = huge[:2000]
	}
	var tell agent.Tell
	tell.SessionStarted(sdk.SessionStarted{NativeID: huge, Model: huge, Mode: huge, Version: huge, Dir: huge, Tools: many})
	tell.Text(sdk.EventMessage, huge, huge, sdk.Text{Text: huge})
	tell.ToolStarted(huge, huge, sdk.ToolStarted{Kind: "edit", NativeName: huge, Title: huge, Paths: many, Input: agent.Input([]byte(`{"content":"` + strings.Repeat("x", 1<<20) + `","file_path":"/a"}`))})
	tell.ToolProgress(huge, huge)
	tell.ToolEnded(huge, "", sdk.ToolStarted{}, sdk.ToolEnded{Status: "ok", Output: huge})
	tell.Plan(sdk.Plan{Entries: make([]sdk.PlanEntry, 100_000)})
	tell.Trouble("turn", "unknown", false, huge)
	tell.Unparsed([]byte(huge), len(huge))
	tell.Event(sdk.EventModeChanged, "", "", map[string]string{"mode": strings.Repeat("x", 1<<20)})
	tell.Event(sdk.EventModeChanged, "", "", func() {})
	for _, e := range tell.Take() {
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", e.Type, err)
		}
	}
}

func TestALargeInputKeepsWhatIsSmall(t *testing.T) {
	got := agent.Input([]byte(`{"content":"` + strings.Repeat("x", 1<<20) + `","file_path":"/a","n":1}`))
	members, ok := got.(map[string]any)
	if !ok || members["file_path"] != "/a" || members["n"] != 1.0 || len(members["content"].(string)) > 4<<10 {
		t.Errorf("Input = %.200v", got)
	}
	if got := agent.Input([]byte(`{"a":1}`)); string(got.(json.RawMessage)) != `{"a":1}` {
		t.Errorf("Input = %v", got)
	}
	for _, raw := range []string{"", "{", "\xff"} {
		if got := agent.Input([]byte(raw)); got != nil {
			t.Errorf("Input(%q) = %v", raw, got)
		}
	}
}

func TestClippedTextsAreValidAndSayThatTheyAreCut(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{
		{"short", 10, "short"}, {"exactly10!", 10, "exactly10!"}, {"longer than it", 10, "longer ..."}, {"üüüüüü", 10, "üüü..."},
		{"a\xffb", 10, "a\uFFFDb"}, {strings.Repeat("\xff", 10), 10, "\uFFFD"}, {"", 0, ""},
	} {
		if got := agent.Clip(c.text, c.most); got != c.want || len(got) > c.most || !utf8.ValidString(got) {
			t.Errorf("Clip(%q, %d) = %q, want %q", c.text, c.most, got, c.want)
		}
	}
}

func TestLongIDsStayDifferent(t *testing.T) {
	long := strings.Repeat("i", 1000)
	a, b := agent.ID(long+"a"), agent.ID(long+"b")
	if a == b || len(a) > sdk.MaxName || agent.ID("x") != "x" || !utf8.ValidString(agent.ID("\xff")) {
		t.Errorf("ids %q and %q", a, b)
	}
}

func FuzzTell(f *testing.F) {
	f.Add("id", "text", []byte(`{"a":1}`))
	f.Fuzz(func(t *testing.T, id, text string, raw []byte) {
		var tell agent.Tell
		tell.ToolEnded(id, text, sdk.ToolStarted{Kind: "other", NativeName: text, Input: agent.Input(raw)}, sdk.ToolEnded{Status: "ok", Output: text})
		tell.Text(sdk.EventThought, id, id, sdk.Text{Text: text})
		tell.Unparsed(raw, len(raw))
		for _, e := range tell.Take() {
			if err := e.Validate(); err != nil {
				t.Errorf("%+v: %v", e, err)
			}
		}
	})
}
