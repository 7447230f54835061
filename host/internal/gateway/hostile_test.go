package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Whatever a sandbox sends that is no call of its wire is refused, and nothing of it goes out.
func TestNothingButTheWiresCallsGoesOut(t *testing.T) {
	f := newFar(t, says("application/json", `{}`))
	n := newNear(t, f, Options{Wire: "messages", Credential: realKey})
	const key, body = "X-Api-Key: " + dummyKey + "\r\n", `{"model":"m"}`
	host := "Host: " + n.addr + "\r\n"
	sized := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for name, row := range map[string]struct{ text, want string }{
		"CONNECT":                     {"CONNECT api.example.com:443 HTTP/1.1\r\n" + host + key + "\r\n", "405"},
		"a proxy's request":           {"POST http://other.example/v1/messages HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "405"},
		"every resource":              {"OPTIONS * HTTP/1.1\r\n" + host + key + "\r\n", "405"},
		"another method":              {"PUT /v1/messages HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "405"},
		"GET":                         {"GET /v1/messages HTTP/1.1\r\n" + host + key + "\r\n", "405"},
		"TRACE":                       {"TRACE /v1/messages HTTP/1.1\r\n" + host + key + "\r\n", "405"},
		"another wire":                {"POST /v1/chat/completions HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "404"},
		"files":                       {"POST /v1/files HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "404"},
		"below":                       {"POST /v1/messages/batches HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "404"},
		"climbing":                    {"POST /v1/messages/../files HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "404"},
		"climbing, escaped":           {"POST /v1/messages/%2e%2e/files HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "404"},
		"an escape":                   {"POST /v1/%6dessages HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "404"},
		"two slashes":                 {"POST //v1/messages HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "404"},
		"a parameter in the path":     {"POST /v1/messages;x=1 HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "404"},
		"no key":                      {"POST /v1/messages HTTP/1.1\r\n" + host + sized + "\r\n" + body, "401"},
		"the real key":                {"POST /v1/messages HTTP/1.1\r\n" + host + "X-Api-Key: " + realKey + "\r\n" + sized + "\r\n" + body, "401"},
		"half of the key":             {"POST /v1/messages HTTP/1.1\r\n" + host + "X-Api-Key: " + dummyKey[:9] + "\r\n" + sized + "\r\n" + body, "401"},
		"the key of another wire":     {"POST /v1/messages HTTP/1.1\r\n" + host + "X-Goog-Api-Key: " + dummyKey + "\r\n" + sized + "\r\n" + body, "401"},
		"the key in the query":        {"POST /v1/messages?key=" + dummyKey + " HTTP/1.1\r\n" + host + sized + "\r\n" + body, "401"},
		"a key in the query, too":     {"POST /v1/messages?key=x HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "400"},
		"a parameter twice":           {"POST /v1/messages?beta=true&beta=false HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "400"},
		"a broken query":              {"POST /v1/messages?beta=%zz HTTP/1.1\r\n" + host + key + sized + "\r\n" + body, "400"},
		"another host":                {"POST /v1/messages HTTP/1.1\r\nHost: evil.example\r\n" + key + sized + "\r\n" + body, "421"},
		"another port":                {"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" + key + sized + "\r\n" + body, "421"},
		"no host":                     {"POST /v1/messages HTTP/1.0\r\n" + key + sized + "\r\n" + body, "421"},
		"an upgrade":                  {"POST /v1/messages HTTP/1.1\r\n" + host + key + "Connection: Upgrade\r\nUpgrade: websocket\r\n" + sized + "\r\n" + body, "400"},
		"HTTP/2 without being asked":  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
		"a compressed body":           {"POST /v1/messages HTTP/1.1\r\n" + host + key + "Content-Encoding: gzip\r\n" + sized + "\r\n" + body, "415"},
		"two lengths":                 {"POST /v1/messages HTTP/1.1\r\n" + host + key + "Content-Length: 3\r\n" + sized + "\r\n" + body, "400"},
		"an unknown transfer coding":  {"POST /v1/messages HTTP/1.1\r\n" + host + key + "Transfer-Encoding: gzip\r\n\r\n", "501"},
		"a space before the colon":    {"POST /v1/messages HTTP/1.1\r\n" + host + key + "Transfer-Encoding : chunked\r\n" + sized + "\r\n" + body, "400"},
		"a bare newline in a header":  {"POST /v1/messages HTTP/1.1\r\n" + host + key + "X-A: b\rX-C: d\r\n" + sized + "\r\n" + body, "400"},
		"a head without an end":       {"POST /v1/messages HTTP/1.1\r\n" + host + key + "X-A: " + strings.Repeat("a", 2*maxHead), "431"},
		"nonsense":                    {"\x16\x03\x01\x00\x00\r\n\r\n", "400"},
		"a body that is no JSON":      {"POST /v1/messages HTTP/1.1\r\n" + host + key + "Content-Length: 1\r\n\r\nx", "400"},
		"a body that is cut":          {"POST /v1/messages HTTP/1.1\r\n" + host + key + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
		"nested beyond what is read":  {"POST /v1/messages HTTP/1.1\r\n" + host + key + "Content-Length: 1610\r\n\r\n" + `{"model":"m","x":` + strings.Repeat("[", 796) + strings.Repeat("]", 796) + "}", "400"},
		"a look-up without a listing": {"GET /v1/models/x HTTP/1.1\r\n" + host + key + "\r\n", "404"},
	} {
		if got := n.raw(row.text); row.want != "" && !strings.HasPrefix(got, "HTTP/1.1 "+row.want) && !strings.HasPrefix(got, "HTTP/1.0 "+row.want) {
			t.Errorf("%s: %q, want %s", name, got, row.want)
		}
	}
	if seen := f.requests(); len(seen) != 0 {
		t.Errorf("%d requests went out, the first: %s %s", len(seen), seen[0].Method, seen[0].URL)
	}
	for _, c := range n.calls() {
		if c.Refused == "" || c.Usage != (Usage{}) {
			t.Errorf("told %+v", c)
		}
	}
	if sum := n.Totals(); sum.Calls != 0 || sum.Digest != "" {
		t.Errorf("totals %+v", sum)
	}
}

func TestAHeaderOfTheConnectionDoesNotGoOn(t *testing.T) {
	f := newFar(t, says("application/json", `{}`))
	n := newNear(t, f, Options{Wire: "messages", Credential: realKey})
	body := `{"model":"m"}`
	got := n.raw("POST /v1/messages HTTP/1.1\r\nHost: " + n.addr + "\r\nX-Api-Key: " + dummyKey + "\r\nX-Api-Key: other\r\nAuthorization: Bearer x\r\nConnection: close, X-Hop\r\n" +
		"X-Hop: 1\r\nTE: trailers\r\nProxy-Authorization: Basic x\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=x\r\nHost-Override: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
		fmt.Sprintf("%x\r\n%s\r\n0\r\nX-Api-Key: late\r\n\r\n", len(body), body))
	seen := f.requests()
	if !strings.HasPrefix(got, "HTTP/1.1 200") || len(seen) != 1 {
		t.Fatalf("%q, %d requests", got, len(seen))
	}
	h := seen[0].Header
	if v := h.Values("X-Api-Key"); len(v) != 1 || v[0] != realKey {
		t.Errorf("keys went out: %q", v)
	}
	for _, gone := range []string{"X-Hop", "Te", "Proxy-Authorization", "X-Forwarded-For", "Forwarded", "Authorization", "Transfer-Encoding"} {
		if h.Get(gone) != "" {
			t.Errorf("%s went out: %q", gone, h.Get(gone))
		}
	}
	if seen[0].ContentLength != int64(len(body)) || seen[0].Host == n.addr || len(seen[0].Trailer) != 0 {
		t.Errorf("length %d, host %s, trailer %v", seen[0].ContentLength, seen[0].Host, seen[0].Trailer)
	}
}

// Some services take another method, path or account out of a header, leave the usage out of the answer, or
// answer in pieces.
func TestAHeaderThatMakesAnotherCallOfThisOneDoesNotGoOn(t *testing.T) {
	f := newFar(t, says("application/json", `{}`))
	n := newNear(t, f, Options{Wire: "gemini", Credential: realKey})
	gone := []string{
		"X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Original-Host", "X-Forwarded-Prefix", "X_Forwarded_Host", "X-Real-IP",
		"X-Custom-Host", "Helicone-Target-URL", "X-Goog-FieldMask", "Range", "If-Range", "Prefer", "Chatgpt-Account-Id", "X-Goog-User-Project",
	}
	stay := []string{"Anthropic-Version", "Anthropic-Beta", "Anthropic-Dangerous-Direct-Browser-Access", "Openai-Beta", "Originator", "Session_id", "X-Goog-Api-Client", "X-Stainless-Runtime-Version"}
	var with []string
	for _, name := range append(gone, stay...) {
		with = append(with, name, "1")
	}
	a, _ := n.post("/v1beta/models/m:generateContent", `{}`, with...)
	seen := f.requests()
	if a.StatusCode != http.StatusOK || len(seen) != 1 {
		t.Fatalf("%s, %d requests", a.Status, len(seen))
	}
	for _, name := range gone {
		if seen[0].Header.Get(name) != "" {
			t.Errorf("%s went out", name)
		}
	}
	for _, name := range stay {
		if seen[0].Header.Get(name) != "1" {
			t.Errorf("%s did not go out", name)
		}
	}
}

// Whoever has taken every connection cannot hold up the end of the attempt.
func TestTheEndDoesNotWaitForConnectionsThatAreHeld(t *testing.T) {
	f := newFar(t, says("application/json", `{}`))
	n := newNear(t, f, Options{Wire: "chat"})
	held := make([]net.Conn, maxConns)
	for i := range held {
		var err error
		if held[i], err = (&net.Dialer{}).DialContext(t.Context(), "tcp", n.addr); err != nil {
			t.Fatal(err)
		}
		defer held[i].Close()
		_, _ = io.WriteString(held[i], "GET /v1/models HTTP/1.1\r\nHost: "+n.addr+"\r\nAuthorization: Bearer "+dummyKey+"\r\n\r\n") // it is judged by its answer
		if a, err := http.ReadResponse(bufio.NewReader(held[i]), nil); err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", a, err)
		}
	}
	done := make(chan struct{})
	go func() { n.end(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the end waits for the callers")
	}
	for _, c := range held {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second)) // the read fails
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("a connection outlives the gateway")
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := newFar(t, says("application/json", `{}`))
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		f := newFar(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL+"/v1/messages")
			w.WriteHeader(status)
		})
		n := newNear(t, f, Options{Wire: "messages", Credential: realKey})
		a, got := n.post("/v1/messages", `{"model":"m"}`)
		if a.StatusCode != http.StatusBadGateway || a.Header.Get("Location") != "" || !strings.Contains(got, "redirected") {
			t.Errorf("%d: %s %v %s", status, a.Status, a.Header, got)
		}
	}
	if seen := elsewhere.requests(); len(seen) != 0 {
		t.Errorf("the credential went elsewhere: %v", seen[0].Header)
	}
}

func TestAGiantBodyIsNotRead(t *testing.T) {
	f := newFar(t, says("application/json", `{}`))
	n := newNear(t, f, Options{Wire: "chat"})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/v1/chat/completions", io.LimitReader(zeros{}, maxBody+1))
	r.ContentLength = -1
	r.Header.Set(keyHeader("chat"))
	a, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusRequestEntityTooLarge || len(f.requests()) != 0 {
		t.Errorf("%s, %d requests went out", a.Status, len(f.requests()))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A caller that sends nothing more is not waited for, and others are served meanwhile.
func TestWhoSendsSlowlyIsNotWaitedFor(t *testing.T) {
	f := newFar(t, says("application/json", `{}`))
	n := newBounded(t, f, Options{Wire: "chat"}, func(b *bounds) { b.head, b.body = 50*time.Millisecond, 50*time.Millisecond })
	for _, beginning := range []string{
		"POST /v1/chat", "POST /v1/chat/completions HTTP/1.1\r\nHost: " + n.addr + "\r\nAuthorization: Bearer " + dummyKey + "\r\nContent-Length: 100\r\n\r\n{",
	} {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, beginning) // it is judged by its answer
		if a, _ := n.post("/v1/chat/completions", `{"model":"m"}`); a.StatusCode != 200 {
			t.Errorf("another caller got %s", a.Status)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second)) // the read fails
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%q is waited for: %v", beginning, err)
		}
	}
}

func TestAHostileUpstreamIsBounded(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(examples[2].json)) // a buffer takes everything
	_ = z.Close()                            // a buffer takes everything
	endless := func(w http.ResponseWriter, piece string) {
		for range 1 << 12 {
			if _, err := io.WriteString(w, piece); err != nil {
				return
			}
		}
	}
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		status int
		failed string
	}{
		"compressed though not asked": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes()) // the test reads it
		}, 502, "compressed"},
		"one line without an end":      {func(w http.ResponseWriter, _ *http.Request) { endless(w, "data: "+strings.Repeat("x", 1<<10)) }, 200, "endless"},
		"a stream without an end":      {func(w http.ResponseWriter, _ *http.Request) { endless(w, "data: {}\n\n"+strings.Repeat(":\n", 1<<9)) }, 200, "endless"},
		"lists without an end":         {func(w http.ResponseWriter, _ *http.Request) { endless(w, strings.Repeat("[", 1<<10)) }, 200, "endless"},
		"a head without an end":        {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", strings.Repeat("a", 4*maxHead)) }, 502, "unreachable"},
		"another type":                 {says("text/html", "<html>"), 200, ""},
		"nothing":                      {says("", ""), 200, ""},
		"numbers nobody can count":     {says("application/json", `{"usage":{"prompt_tokens":99999999999999999999999,"completion_tokens":-5}}`), 200, ""},
		"usage that is none":           {says("application/json", `{"usage":{"prompt_tokens":"7","completion_tokens":{"a":1}}}`), 200, ""},
		"a key that looks like a path": {says("application/json", `{"usage.prompt_tokens":0,"usage.completion_tokens":0,"usage[]":1}`), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := newBounded(t, newFar(t, row.answer), Options{Wire: "chat"}, func(b *bounds) { b.answer = 1 << 20 })
			a, _ := n.post("/v1/chat/completions", `{"model":"m"}`)
			c := n.calls()
			if a.StatusCode != row.status || len(c) != 1 || c[0].Failed != row.failed || c[0].Down > 2<<20 {
				t.Errorf("%s, told %+v", a.Status, c)
			}
			if row.status == 200 && (!c[0].Usage.Estimated || c[0].Usage.Input < 3) {
				t.Errorf("usage %+v", c[0].Usage)
			}
		})
	}
}

func TestAnUpstreamThatIsSilentIsNotWaitedFor(t *testing.T) {
	f := newFar(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	n := newBounded(t, f, Options{Wire: "chat"}, func(b *bounds) { b.idle = 50 * time.Millisecond })
	if _, got := n.post("/v1/chat/completions", `{"model":"m"}`); got != "(cut)" {
		t.Errorf("got %q", got)
	}
	if c := n.calls(); len(c) != 1 || c[0].Failed == "" {
		t.Errorf("told %+v", c)
	}
}

func TestNothingLeadsAroundTheDeclaredUpstream(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var dialled []string
	plain := httptest.NewServer(says("application/json", `{}`))
	defer plain.Close()
	n := newNear(t, nil, Options{Wire: "chat", Upstream: "http://upstream.example:80", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return (&net.Dialer{}).DialContext(ctx, network, plain.Listener.Addr().String())
	}})
	if a, _ := n.post("/v1/chat/completions", `{"model":"m"}`, "X-Forwarded-Host", "evil.example"); a.StatusCode != 200 || len(dialled) != 1 || dialled[0] != "upstream.example:80" {
		t.Errorf("%s, dialled %q", a.Status, dialled)
	}
}

func TestWhatCannotBeServedIsNotMade(t *testing.T) {
	for name, o := range map[string]Options{
		"no wire":               {Wire: "x", Upstream: "https://a.example", Key: "k"},
		"no upstream":           {Wire: "chat", Upstream: "nonsense", Key: "k"},
		"no key":                {Wire: "chat", Upstream: "https://a.example"},
		"a credential of lines": {Wire: "chat", Upstream: "https://a.example", Key: "k", Credential: "a\r\nX: hunter2"},
	} {
		if g, err := New(o); err == nil || g != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
