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

var renew = flag.Bool("update", false, "write the golden files anew from what is seen")

// replay reads a recorded conversation: "> " went to the agent, "< " came from it. What was answered to a
// request for leave is read from the answer, where ids of refusals are known.
func replay(r *reader, recording []byte) (events []sdk.Event) {
	asked := map[string]json.RawMessage{}
	for line := range bytes.Lines(recording) {
		line = bytes.TrimRight(line, "\n")
		if len(line) < 2 {
			continue
		}
		direction, line := line[0], line[2:]
		var m message
		known := json.Unmarshal(line, &m) == nil
		if direction == '<' {
			told, is := r.Line(line)
			events = append(events, told...)
			if is == request && known {
				asked[string(m.ID)] = m.Params
			}
			continue
		}
		events = append(events, r.Sent(line)...)
		if params := asked[string(m.ID)]; known && m.Method == "" && params != nil {
			_, tool := r.requested(params)
			_, options, _ := readRequest(params)
			r.decided(tool, strings.Contains(string(m.Result), `"`+options["allow_once"]+`"`))
		}
	}
	return events
}

func profileNamed(t testing.TB, name string) profile {
	t.Helper()
	for _, p := range shipped() {
		if strings.HasPrefix(name, p.Name) {
			return p
		}
	}
	t.Fatalf("no profile %s", name)
	return profile{}
}

func TestTheEventsOfEveryRecordedAgentAreTheGoldenOnes(t *testing.T) {
	recordings, err := filepath.Glob("testdata/*.raw")
	if err != nil || len(recordings) < 7 {
		t.Fatalf("recordings: %v, %v", recordings, err)
	}
	for _, name := range recordings {
		recording, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for _, e := range replay(&reader{profile: profileNamed(t, filepath.Base(name))}, recording) {
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			fmt.Fprintf(&got, "%d %s %s %s\n", e.Turn, e.Type, e.ItemID, e.Data)
		}
		golden := strings.TrimSuffix(name, ".raw") + ".events"
		if *renew {
			if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got.Bytes(), want)
		}
	}
}

func TestTheOrderOfKeysDoesNotMatter(t *testing.T) {
	one, _ := (&reader{}).Line([]byte(`{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"tool_call","toolCallId":"t","kind":"read","status":"in_progress"}}}`))
	other, _ := (&reader{}).Line([]byte(`{"params":{"update":{"status":"in_progress","kind":"read","toolCallId":"t","sessionUpdate":"tool_call"},"sessionId":"s"},"method":"session/update","jsonrpc":"2.0"}`))
	if len(one) != 1 || len(other) != 1 || string(one[0].Data) != string(other[0].Data) || one[0].ItemID != other[0].ItemID {
		t.Errorf("got %+v and %+v", one, other)
	}
}

func TestUsageIsReadAsEveryAgentMeansIt(t *testing.T) {
	for _, c := range []struct {
		profile, response string
		want              sdk.Usage
	}{
		{"copilot", `{"usage":{"inputTokens":200,"outputTokens":40,"thoughtTokens":10,"cachedReadTokens":20}}`, sdk.Usage{Input: 200, Output: 40, Reasoning: 10, CachedRead: 20, Scope: "turn"}},
		{"claude-agent-acp", `{"usage":{"inputTokens":180,"outputTokens":40,"cachedReadTokens":20,"cachedWriteTokens":3}}`, sdk.Usage{Input: 203, Output: 40, CachedRead: 20, CachedWrite: 3, Scope: "turn"}},
		{"codex-acp", `{"usage":{"inputTokens":180,"outputTokens":40,"thoughtTokens":10,"cachedReadTokens":20}}`, sdk.Usage{Input: 200, Output: 40, Reasoning: 10, CachedRead: 20, Scope: "turn"}},
		{"opencode", `{"usage":{"inputTokens":90,"outputTokens":15,"thoughtTokens":5,"cachedReadTokens":10}}`, sdk.Usage{Input: 100, Output: 20, Reasoning: 5, CachedRead: 10, Scope: "call"}},
		{"gemini", `{"_meta":{"quota":{"token_count":{"input_tokens":200,"output_tokens":40}}}}`, sdk.Usage{Input: 200, Output: 40, Scope: "turn"}},
		{"gemini", `{"_meta":{"quota":{"token_count":{"input_tokens":-5,"output_tokens":1e300}}}}`, sdk.Usage{Scope: "turn"}},
	} {
		var a account
		got := a.total(profileNamed(t, c.profile).Usage, []byte(c.response))
		c.want.Basis = "reported"
		if got == nil || *got != c.want {
			t.Errorf("%s: %+v, want %+v", c.profile, got, c.want)
		}
	}
	var a account
	if got := a.total(profileNamed(t, "codex-acp").Usage, []byte(`{"usage":null}`)); got != nil {
		t.Errorf("no usage is %+v", got)
	}
}

func TestAGoodEndWithoutAnAnswerOfAModelIsAnError(t *testing.T) {
	for _, c := range []struct {
		profile, final, class string
		used                  *sdk.Usage
	}{
		{"codex-acp", "exceeded retry limit, last status: 429 Too Many Requests\n\n", "rate_limit", nil},
		{"codex-acp", "exceeded retry limit, last status: 503 Service Unavailable", "overloaded", &sdk.Usage{Input: 5}},
		{"copilot", "Error: Authentication failed with provider at http://127.0.0.1:1/v1 (HTTP 401).", "auth", nil},
		{"copilot", "All is done. There was an error 401 in the log.", "", &sdk.Usage{Input: 5}},
		{"gemini", "I saw HTTP 401", "", nil},
	} {
		s := &session{profile: profileNamed(t, c.profile)}
		var r sdk.Result
		s.stopped(&r, seen{end: &ending{Stop: "end_turn"}, final: c.final, used: c.used})
		if r.Failed != (c.class != "") || r.Class != c.class {
			t.Errorf("%s, %q: %+v, want class %q", c.profile, c.final, r, c.class)
		}
	}
}

func TestACommandIsTakenWhole(t *testing.T) {
	for input, want := range map[string]string{
		`{"command":"go test ./... && rm x"}`:              "go test ./... && rm x",
		`{"command":["go","test","-run","A B"]}`:           "go test -run 'A B'",
		`{"command":["/bin/bash","-lc","a; b"]}`:           "a; b",
		`{"command":["sh","-c","a","b"]}`:                  "sh -c a b",
		`{"cmd":"make"}`:                                   "make",
		`{"command":["a",1]}`:                              "",
		`{"command":["it's"]}`:                             `'it'\''s'`,
		`{"commands":["ls"]}`:                              "",
		`{"command":"` + strings.Repeat("x", 50000) + `"}`: strings.Repeat("x", mostCommand-3) + "...",
	} {
		if got := command(&call{input: []byte(input)}, false); got != want {
			t.Errorf("%.60s: %.60q, want %.60q", input, got, want)
		}
	}
}

func TestPathsBeyondTheBoundAreNotLeftOutUnseen(t *testing.T) {
	var b strings.Builder
	for i := range maxPaths + 10 {
		fmt.Fprintf(&b, `{"path":"src/%d"},`, i)
	}
	got := (&call{}).paths([]byte("[" + strings.TrimSuffix(b.String(), ",") + "]"))
	if len(got) != maxPaths+1 || got[0] != "/" {
		t.Errorf("%d paths, the first is %q; want the root among them, which no rule allows", len(got), got[0])
	}
}

func FuzzLine(f *testing.F) {
	recordings, err := filepath.Glob("testdata/*.raw")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range recordings {
		recording, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(recording)
	}
	f.Add([]byte("< {\"method\":\"session/update\",\"params\":{\"update\":{\"sessionUpdate\":\"tool_call\",\"toolCallId\":\"\xff\"}}}\n"))
	all := shipped()
	f.Fuzz(func(t *testing.T, recording []byte) {
		r := &reader{profile: all[len(recording)%len(all)]}
		events := replay(r, recording)
		r.close("unknown")
		open := map[string]bool{}
		for _, e := range append(events, r.Take()...) {
			if err := e.Validate(); err != nil {
				t.Fatalf("%v: %s", err, e.Data)
			}
			switch e.Type {
			case sdk.EventToolStarted:
				open[e.ItemID] = true
			case sdk.EventToolEnded:
				if !open[e.ItemID] {
					t.Fatalf("tool %q ended and had not started", e.ItemID)
				}
				delete(open, e.ItemID)
			}
		}
		if len(open) > 0 {
			t.Fatalf("tools %v never ended", open)
		}
	})
}

// stream is what a busy agent sends: mostly pieces of messages, and tools.
func stream() [][]byte {
	lines := [][]byte{}
	for i := range 100 {
		lines = append(lines,
			fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"01a202ad-ba97-7731-82ee-460e03cf5844","update":{"sessionUpdate":"tool_call","toolCallId":"call_%d","title":"Read main.go","kind":"read","status":"in_progress","rawInput":{"path":"src/main.go"},"locations":[{"path":"src/main.go"}]}}}`, i),
			fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"01a202ad-ba97-7731-82ee-460e03cf5844","update":{"sessionUpdate":"tool_call_update","toolCallId":"call_%d","status":"completed","content":[{"type":"content","content":{"type":"text","text":"package main"}}]}}}`, i))
		for range 8 {
			lines = append(lines, []byte(`{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"01a202ad-ba97-7731-82ee-460e03cf5844","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"a few words "}}}}`))
		}
	}
	return lines
}

// BenchmarkNormalise reads that stream.
func BenchmarkNormalise(b *testing.B) {
	lines, p := stream(), profileNamed(b, "copilot")
	b.Run("events", func(b *testing.B) {
		b.ReportAllocs()
		events := 0
		for b.Loop() {
			r := &reader{profile: p}
			for _, line := range lines {
				told, _ := r.Line(line)
				events += len(told)
			}
		}
		b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("scan", func(b *testing.B) { sdktest.Scan(b, lines) })
}
