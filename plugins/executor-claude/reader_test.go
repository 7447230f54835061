package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/sdktest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// replayed is what a recorded stream comes to: its events, one line each, and the claim.
func replayed(t testing.TB, stream []byte) string {
	t.Helper()
	var r reader
	var out strings.Builder
	tell := func(events []sdk.Event) {
		for _, e := range events {
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", e.Type, err)
			}
			fmt.Fprintf(&out, "%s item=%s parent=%s turn=%d %s\n", e.Type, e.ItemID, e.Parent, e.Turn, e.Data)
		}
	}
	for line := range bytes.Lines(stream) {
		tell(r.Line(bytes.TrimRight(line, "\n")))
		if r.asked != nil {
			fmt.Fprintf(&out, "? %s %s %s\n", r.asked.subtype, r.asked.toolID, r.asked.tool.title())
		}
	}
	tell(r.End())
	claim, err := json.MarshalIndent(r.claim, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "told=%t %s\n", r.told, claim)
	return out.String()
}

// The streams are what Claude Code 2.1.197 answered to scripts of ours; lists of its commands are left out.
func TestRecordedStreamsBecomeTheSameEvents(t *testing.T) {
	streams, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(streams) < 12 {
		t.Fatalf("%d streams, %v", len(streams), err)
	}
	for _, path := range streams {
		t.Run(filepath.Base(path), func(t *testing.T) {
			stream, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := replayed(t, stream)
			golden := strings.TrimSuffix(path, "jsonl") + "golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, "raw.unparsed") {
				t.Error("a line of its own is not understood")
			}
		})
	}
}

func lines(t *testing.T, all ...string) (*reader, []sdk.Event) {
	t.Helper()
	r := &reader{}
	var events []sdk.Event
	for _, l := range all {
		events = append(events, r.Line([]byte(l))...)
	}
	return r, append(events, r.End()...)
}

func types(events []sdk.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, string(e.Type))
	}
	return strings.Join(all, " ")
}

func TestWhatIsNotUnderstoodIsToldRaw(t *testing.T) {
	for _, line := range []string{
		"Warning: no JSON", `{"type":"news"}`, `{}`, `[]`, "\xff\xfe", `{"type":"assistant"}`, `{"type":"assistant","message":{"content":[{"type":"hologram"}]}}`,
		`{"type":"assistant","message":{"content":"text"}}`, `{"type":"user","message":{"content":[{"type":"x"}]}}`, `{"type":"system","subtype":"news"}`,
		`{"type":"system","subtype":"init","tools":"all"}`, `{"type":"result","num_turns":1,"modelUsage":[]}`, `{"type":"control_request"}`,
		`{"type":"control_cancel_request"}`, `{"type":"assistant","message":`, `{"type":"rate_limit_event"}`, `{"type":"stream_event"}`,
	} {
		r, events := lines(t, line)
		if len(events) == 0 || events[len(events)-1].Type != sdk.EventRaw || r.told {
			t.Errorf("%s: told %s", line, types(events))
		}
	}
	r := &reader{}
	if events := r.Long([]byte("xxx"), 100<<20); types(events) != "raw.unparsed" || !strings.Contains(string(events[0].Data), fmt.Sprint(100<<20)) {
		t.Errorf("a long line: %+v", events)
	}
}

func TestAMemberOfAnotherTypeDoesNotHideTheEnd(t *testing.T) {
	r, events := lines(t, `{"type":"result","subtype":"success","api_error_status":"none","modelUsage":[],"result":"fine","session_id":"s"}`)
	if !r.told || r.claim.Failed || r.claim.Summary != "fine" || types(events) != "turn.ended raw.unparsed" {
		t.Errorf("claim %+v, told %s", r.claim, types(events))
	}
	r, events = lines(t, `{"type":"system","subtype":"init","session_id":"s","tools":"all","claude_code_version":"3.0.0"}`)
	if r.claim.Version != "3.0.0" || types(events) != "session.started turn.started raw.unparsed" {
		t.Errorf("claim %+v, told %s", r.claim, types(events))
	}
}

func TestTheOrderOfKeysDoesNotMatter(t *testing.T) {
	a := `{"type":"assistant","message":{"id":"m","content":[{"type":"tool_use","id":"t","name":"Bash","input":{"command":"ls"}}]},"parent_tool_use_id":"p"}`
	b := `{"parent_tool_use_id":"p","message":{"content":[{"input":{"command":"ls"},"name":"Bash","id":"t","type":"tool_use"}],"id":"m"},"type":"assistant"}`
	_, first := lines(t, a)
	_, second := lines(t, b)
	if fmt.Sprint(first) != fmt.Sprint(second) || types(first) != "tool.started tool.ended" || first[0].Parent != "p" || !strings.Contains(string(first[0].Data), `"kind":"execute"`) {
		t.Errorf("told %v and %v", first, second)
	}
}

func TestTheTerminalRecordIsTheClaim(t *testing.T) {
	result := func(members string) string { return `{"type":"result","session_id":"s",` + members + `}` }
	for name, c := range map[string]struct{ line, stop, class string }{
		"success":          {result(`"subtype":"success","is_error":false,"stop_reason":"end_turn"`), "end_turn", ""},
		"refusal":          {result(`"subtype":"success","is_error":false,"stop_reason":"refusal"`), "refusal", "policy"},
		"tokens":           {result(`"subtype":"success","is_error":false,"stop_reason":"max_tokens"`), "max_tokens", "context"},
		"auth":             {result(`"subtype":"success","is_error":true,"api_error_status":401`), "error", "auth"},
		"limit":            {result(`"subtype":"success","is_error":true,"api_error_status":429`), "error", "rate_limit"},
		"overloaded":       {result(`"subtype":"success","is_error":true,"api_error_status":529`), "error", "overloaded"},
		"network":          {result(`"subtype":"success","is_error":true,"api_error_status":null,"result":"API Error: Unable to connect to API (ConnectionRefused)"`), "error", "network"},
		"context":          {result(`"subtype":"success","is_error":true,"api_error_status":400,"result":"Prompt is too long"`), "error", "context"},
		"quota":            {result(`"subtype":"success","is_error":true,"api_error_status":400,"result":"Credit balance is too low"`), "error", "quota"},
		"turns":            {result(`"subtype":"error_max_turns","is_error":true`), "max_turns", "budget"},
		"money":            {result(`"subtype":"error_max_budget_usd","is_error":true`), "budget", "budget"},
		"execution":        {result(`"subtype":"error_during_execution","is_error":true,"errors":["it broke"]`), "error", "unknown"},
		"without is_error": {result(`"subtype":"error_during_execution"`), "error", "unknown"},
		"interrupted":      {result(`"subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"`), "cancelled", ""},
		"a newer one":      {result(`"subtype":"success","is_error":true,"terminal_reason":"aborted_streaming"`), "cancelled", ""},
	} {
		r, _ := lines(t, c.line)
		if !r.told || r.claim.StopReason != c.stop || r.claim.Class != c.class || r.claim.Failed != (c.class != "") || r.claim.Session != "s" {
			t.Errorf("%s: %+v", name, r.claim)
		}
	}
}

func TestUsageIncludesTheCacheAndEveryModel(t *testing.T) {
	r, events := lines(t,
		`{"type":"assistant","message":{"id":"a","content":[{"type":"text","text":"x"}]}}`,
		`{"type":"assistant","message":{"id":"a","content":[{"type":"text","text":"y"}]}}`,
		`{"type":"assistant","message":{"id":"b","content":[{"type":"text","text":"z"}]}}`,
		`{"type":"assistant","message":{"id":"c","model":"<synthetic>","content":[]}}`,
		`{"type":"result","subtype":"success","total_cost_usd":0.5,"usage":{"input_tokens":1},"modelUsage":{"big":{"inputTokens":10,"outputTokens":4,"cacheReadInputTokens":3,"cacheCreationInputTokens":2,"costUSD":0.4},"small":{"inputTokens":1,"outputTokens":1}}}`)
	want := sdk.Usage{Input: 16, CachedRead: 3, CachedWrite: 2, Output: 5, Calls: 2, Cost: 0.5, Currency: "USD", Scope: "session", Basis: "reported"}
	if r.claim.Usage == nil || *r.claim.Usage != want || types(events) != "message message message usage usage turn.ended" {
		t.Errorf("usage = %+v, told %s", r.claim.Usage, types(events))
	}
	r, _ = lines(t, `{"type":"result","subtype":"success","usage":{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":3},"modelUsage":{}}`)
	if r.claim.Usage.Input != 4 || r.claim.Usage.Output != 2 {
		t.Errorf("usage without models = %+v", r.claim.Usage)
	}
}

func TestRefusalsAreClaimedAndUnansweredQuestionsAreNone(t *testing.T) {
	for tool, want := range map[string]bool{"Bash": true, "AskUserQuestion": false} {
		r, _ := lines(t, `{"type":"result","subtype":"success","permission_denials":[{"tool_name":"`+tool+`"}]}`)
		if r.claim.Denied != want {
			t.Errorf("%s: denied = %t", tool, r.claim.Denied)
		}
	}
}

func TestALimitSaysWhenItEnds(t *testing.T) {
	r, _ := lines(t, `{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1795341086}}`)
	if r.resetsAt.Unix() != 1795341086 {
		t.Errorf("resets at %v", r.resetsAt)
	}
	r, events := lines(t, `{"type":"rate_limit_event","rate_limit_info":{"status":"allowed","resetsAt":1795341086}}`)
	if !r.resetsAt.IsZero() || len(events) > 0 {
		t.Errorf("resets at %v, told %s", r.resetsAt, types(events))
	}
}

func FuzzLine(f *testing.F) {
	streams, err := filepath.Glob("testdata/*.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range streams {
		stream, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		replayed(t, stream)
	})
}

// BenchmarkNormalise reads what a busy session consists of: calls of tools, their results, and texts.
func BenchmarkNormalise(b *testing.B) {
	stream, err := os.ReadFile("testdata/edit.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	var all [][]byte
	for line := range bytes.Lines(stream) {
		if bytes.Contains(line, []byte(`"type":"assistant"`)) || bytes.Contains(line, []byte(`"type":"user"`)) {
			all = append(all, bytes.TrimRight(line, "\n"))
		}
	}
	b.Run("events", func(b *testing.B) {
		var r reader
		events := 0
		for b.Loop() {
			for _, line := range all {
				events += len(r.Line(line))
			}
		}
		b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("scan", func(b *testing.B) { sdktest.Scan(b, all) })
}
