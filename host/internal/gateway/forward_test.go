package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/internal/redact"
)

// example is one call of a wire as its vendor answers it.
type example struct {
	wire, path, body string
	json, stream     string
	want             Usage
	model            string
}

var examples = []example{
	{
		"responses", "/v1/responses", `{"model":"m-1","input":[],"stream":true}`,
		`{"id":"r","model":"m-1-2026","usage":{"input_tokens":1200,"input_tokens_details":{"cached_tokens":200},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":7}}}`,
		"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"m-1-2026\",\"usage\":null}}\n\n" +
			"data: {\"type\":\"response.output_text.delta\",\"delta\":\"{\\\"usage\\\":{\\\"input_tokens\\\":1}}\"}\n\n" +
			"data: {\"type\":\"response.completed\",\"response\":{\"model\":\"m-1-2026\",\"usage\":{\"input_tokens\":1200,\"input_tokens_details\":{\"cached_tokens\":200},\"output_tokens\":30,\"output_tokens_details\":{\"reasoning_tokens\":7}}}}\n\n",
		Usage{Input: 1200, CachedRead: 200, Output: 30, Reasoning: 7}, "m-1-2026",
	},
	{
		"messages", "/v1/messages?beta=true", `{"model":"m-1","messages":[],"stream":true}`,
		`{"type":"message","model":"m-1-2026","content":[{"type":"tool_use","input":{"usage":{"output_tokens":9}}}],"usage":{"input_tokens":1000,"cache_creation_input_tokens":40,"cache_read_input_tokens":160,"output_tokens":30}}`,
		"event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m-1-2026\",\"usage\":{\"input_tokens\":1000,\"cache_creation_input_tokens\":40,\"cache_read_input_tokens\":160,\"output_tokens\":1}}}\r\n\r\n" +
			"event: message_delta\r\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":30}}\r\n\r\nevent: message_stop\r\ndata: {\"type\":\"message_stop\"}\r\n\r\n",
		Usage{Input: 1200, CachedRead: 160, CachedWrite: 40, Output: 30}, "m-1-2026",
	},
	{
		"chat", "/v1/chat/completions", `{"model":"m-1","messages":[],"stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"m-1-2026","choices":[],"usage":{"prompt_tokens":1200,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":200},"completion_tokens_details":{"reasoning_tokens":7}}}`,
		"data: {\"model\":\"m-1-2026\",\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\n\n" +
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1200,\"completion_tokens\":30,\"prompt_tokens_details\":{\"cached_tokens\":200},\"completion_tokens_details\":{\"reasoning_tokens\":7}}}\n\ndata: [DONE]\n\n",
		Usage{Input: 1200, CachedRead: 200, Output: 30, Reasoning: 7}, "m-1-2026",
	},
	{
		"gemini", "/v1beta/models/m-1:streamGenerateContent?alt=sse", `{"contents":[]}`,
		`[{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"usageMetadata":{"promptTokenCount":1}}}}]}}],"usageMetadata":{"promptTokenCount":1200,"candidatesTokenCount":3}},` +
			`{"modelVersion":"m-1-2026","usageMetadata":{"promptTokenCount":1200,"cachedContentTokenCount":200,"candidatesTokenCount":23,"thoughtsTokenCount":7,"totalTokenCount":1230}}]`,
		"data: {\"usageMetadata\":{\"promptTokenCount\":1200,\"candidatesTokenCount\":3}}\n\n" +
			"data: {\"modelVersion\":\"m-1-2026\",\"usageMetadata\":{\"promptTokenCount\":1200,\"cachedContentTokenCount\":200,\"candidatesTokenCount\":23,\"thoughtsTokenCount\":7}}\n\n",
		Usage{Input: 1200, CachedRead: 200, Output: 30, Reasoning: 7}, "m-1-2026",
	},
}

func TestEachWireGoesOnWithTheRealCredentialAndIsMetered(t *testing.T) {
	for _, e := range examples {
		for kind, text := range map[string]string{"application/json": e.json, "text/event-stream": e.stream, "text/plain": e.stream} {
			t.Run(e.wire+" "+kind, func(t *testing.T) {
				f := newFar(t, says(kind, text))
				n := newNear(t, f, Options{Wire: e.wire, Credential: realKey, Upstream: f.URL + "/base"})
				a, got := n.post(e.path, e.body, "Anthropic-Version", "1", "Cookie", "a=b", "X-Other-Token", "mine", "Openai-Organization", "mine")
				if a.StatusCode != http.StatusOK || got != text {
					t.Fatalf("%s: %q", a.Status, got)
				}
				seen := f.requests()
				if len(seen) != 1 {
					t.Fatalf("S1: %d requests went out for one call", len(seen))
				}
				name, dummy := keyHeader(e.wire)
				h, target := seen[0].Header, "/base"+e.path
				if h.Get(name) != strings.Replace(dummy, dummyKey, realKey, 1) || seen[0].URL.RequestURI() != target || string(f.body[0]) != e.body {
					t.Errorf("went out: %s %v", seen[0].URL.RequestURI(), h)
				}
				for _, gone := range []string{"Cookie", "X-Other-Token", "Openai-Organization"} {
					if h.Get(gone) != "" {
						t.Errorf("%s went out", gone)
					}
				}
				if h.Get("Anthropic-Version") != "1" || h.Get("Accept-Encoding") != "identity" || strings.Contains(fmt.Sprint(h), dummyKey) {
					t.Errorf("headers %v", h)
				}
				calls := n.calls()
				if len(calls) != 1 || calls[0].Usage != e.want || calls[0].Model != e.model || calls[0].Status != 200 || calls[0].Failed != "" {
					t.Errorf("told %+v", calls)
				}
				if c := calls[0]; c.Up != int64(len(e.body)) || c.Down != int64(len(text)) || c.Digest != digest([]byte(e.body)) {
					t.Errorf("told %+v", c)
				}
				if sum := n.Totals(); sum.Calls != 1 || sum.Usage != e.want || sum.Digest == "" || len(sum.Models) != 1 {
					t.Errorf("totals %+v", sum)
				}
			})
		}
	}
}

// An agent sees a record when the upstream has sent it, not when the answer is over.
func TestEveryRecordIsHandedOnAtOnce(t *testing.T) {
	next := make(chan struct{})
	f := newFar(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: {\"n\":%d}\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	})
	red, err := redact.Exact([]redact.Secret{{Name: "model", Value: realKey}})
	if err != nil {
		t.Fatal(err)
	}
	n := newNear(t, f, Options{Wire: "chat", Credential: realKey, Mask: red.Stream})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/v1/chat/completions", strings.NewReader(`{"model":"m"}`))
	r.Header.Set(keyHeader("chat"))
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	lines := bufio.NewScanner(a.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf(`data: {"n":%d}`, i) || !lines.Scan() || lines.Text() != "" {
			t.Fatalf("record %d: %q", i, lines.Text())
		}
		next <- struct{}{}
	}
}

func TestACanaryInTheUpstreamsAnswerDoesNotComeIn(t *testing.T) {
	red, err := redact.Exact([]redact.Secret{{Name: "model", Value: realKey}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFar(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
		for _, c := range "wrong key: " + r.Header.Get("Authorization") { // one byte at a time
			_, _ = io.WriteString(w, string(c)) // the test reads it
			w.(http.Flusher).Flush()
		}
	})
	n := newNear(t, f, Options{Wire: "chat", Credential: realKey, Mask: red.Stream})
	a, got := n.post("/v1/chat/completions", `{"model":"m"}`)
	if a.StatusCode != http.StatusUnauthorized || got != "wrong key: Bearer [redacted:model]" || a.Header.Get("X-Echo") != "Bearer [redacted:model]" {
		t.Errorf("%s %v: %q", a.Status, a.Header, got)
	}
	if c := n.calls(); len(c) != 1 || c[0].Usage != (Usage{}) || c[0].Status != 401 {
		t.Errorf("told %+v", c)
	}
}

func TestOnlyModelsOfTheListAreCalled(t *testing.T) {
	f := newFar(t, says("application/json", examples[1].json))
	n := newNear(t, f, Options{Wire: "messages", Models: []string{"some-*-x", "other"}})
	for body, ok := range map[string]bool{
		`{"model":"some-1-x"}`: true, `{"model":"other"}`: true, `{"max_tokens":1,"model" : "other"}`: true, `{"m":{"model":"y"},"model":"other"}`: true,
		`{"mod\u0065l":"other"}`: true, `{"model":"\u006fther"}`: true,
		`{"model":"other2"}`: false, `{"model":"some-x"}`: false, `{}`: false, `{"model":""}`: false, `{"model":null}`: false, `{"model":["other"]}`: false,
		`{"model":"other","model":"y"}`: false, `{"model":"other","mod\u0065l":"y"}`: false, `{"model":"other","Model":"y"}`: false, `{"messages":[],"MODEL":"other"}`: false,
		`[{"model":"other"}]`: false, `"other"`: false, `{"model":"other"`: false, `{"model":"other"}{}`: false, `nonsense`: false, ``: false, `{"x":{"model":"other"}}`: false,
		`{"model":"` + strings.Repeat("o", 400) + `"}`: false,
		`{"model":"other","models":["y"]}`:             false, `{"model":"other","Fallbacks":["y"]}`: false, `{"model":"other","fallback_m\u006fdels":[]}`: false,
		`{"model":"other","x":{"models":["y"]}}`: true,
	} {
		before := len(f.requests())
		a, got := n.post("/v1/messages", body)
		if forwarded := len(f.requests()) > before; forwarded != ok || ok != (a.StatusCode == 200) {
			t.Errorf("%s: %s, forwarded %v: %s", body, a.Status, forwarded, got)
		}
		if a.StatusCode == http.StatusTooManyRequests || a.StatusCode >= 500 || !ok && (!strings.Contains(got, `"type":"error"`) || a.Header.Get("X-Should-Retry") != "false") {
			t.Errorf("%s: an agent would repeat it: %s %s", body, a.Status, got)
		}
	}
	gemini := newNear(t, f, Options{Wire: "gemini", Models: []string{"m-*"}})
	for path, ok := range map[string]bool{
		"/v1beta/models/m-1:generateContent": true, "/v1beta/models/m-1:countTokens": true, "/v1beta/models/x:generateContent": false, "/v1beta/models/m-1/x:generateContent": false,
	} {
		if a, got := gemini.post(path, `{"contents":[]}`); ok != (a.StatusCode == 200) {
			t.Errorf("%s: %s %s", path, a.Status, got)
		}
	}
	if a, _ := gemini.post("/v1beta/models/m-1:generateContent", `{"model":"x"}`); a.StatusCode != http.StatusBadRequest {
		t.Errorf("two models: %s", a.Status)
	}
}

func TestACallThatGoesOnAfterItsAnswerIsRefused(t *testing.T) {
	f := newFar(t, says("application/json", examples[0].json))
	n := newNear(t, f, Options{Wire: "responses"})
	for body, ok := range map[string]bool{
		`{"model":"m","background":false}`: true, `{"model":"m","background":null}`: true, `{"model":"m","background":true}`: false, `{"model":"m","background":1}`: false,
		`{"model":"m","Background":true}`: false,
	} {
		if a, got := n.post("/v1/responses", body); ok != (a.StatusCode == 200) {
			t.Errorf("%s: %s %s", body, a.Status, got)
		}
	}
}

func TestLookUpsAreForwardedAndCostNothing(t *testing.T) {
	f := newFar(t, says("application/json", `{"input_tokens":5,"usage":{"input_tokens":5}}`))
	n := newNear(t, f, Options{Wire: "messages", Budget: Budget{Calls: 1}})
	for range 3 {
		if a, _ := n.post("/v1/messages/count_tokens", `{"model":"m"}`); a.StatusCode != 200 {
			t.Errorf("count: %s", a.Status)
		}
		if a, _ := n.do(http.MethodGet, "/v1/models", ""); a.StatusCode != 200 {
			t.Errorf("list: %s", a.Status)
		}
	}
	before := len(f.requests())
	if a, _ := n.do(http.MethodHead, "/", "", "X-Api-Key", ""); a.StatusCode != 200 || len(f.requests()) != before {
		t.Errorf("HEAD /: %s, and %d requests went out", a.Status, len(f.requests())-before)
	}
	n.calls()
	if sum := n.Totals(); sum.LookUps != 6 || sum.Calls != 0 || sum.Usage != (Usage{}) {
		t.Errorf("totals %+v", sum)
	}
}

func TestAnAgentsOwnCertificateIsNotTheUpstreams(t *testing.T) {
	f := newFar(t, says("application/json", "{}"))
	n := newNear(t, nil, Options{Wire: "chat", Upstream: f.URL}) // the system's roots do not know it
	a, got := n.post("/v1/chat/completions", `{"model":"m"}`)
	if a.StatusCode != http.StatusBadGateway || len(f.requests()) != 0 || strings.Contains(got, "x509") {
		t.Errorf("%s %s", a.Status, got)
	}
}

func TestMatches(t *testing.T) {
	for text, want := range map[string]bool{
		"a a": true, "a b": false, "* ": true, "* x": true, "a* a": true, "a* ab": true, "a* b": false, "*a ba": true, "*a b": false, "a*a a": false, "a*a aa": true,
		"a*b*c axbxc": true, "a*b*c acb": false, "*b* abc": true, "*b* ac": false, "claude-* claude-x-1": true, "claude-* xclaude-": false,
	} {
		pattern, name, _ := strings.Cut(text, " ")
		if matches(pattern, name) != want {
			t.Errorf("%q and %q: not %v", pattern, name, want)
		}
	}
	if w := wireOf("x"); w != nil || slices.Contains([]*wire{wireOf("chat"), wireOf("gemini")}, nil) {
		t.Error("wires by name")
	}
}
