package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	realKey  = "real-credential-0123456789"
	dummyKey = "drawspan-dummy-key"
)

// far is the upstream of a test, over TLS.
type far struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	body [][]byte
}

func newFar(t *testing.T, answer http.HandlerFunc) *far {
	t.Helper()
	f := &far{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.seen, f.body = append(f.seen, r), append(f.body, body)
		f.mu.Unlock()
		answer(w, r)
	}))
	f.EnableHTTP2 = true
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

func (f *far) requests() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*http.Request(nil), f.seen...)
}

// near is a gateway with what it told.
type near struct {
	*Gateway
	t    *testing.T
	url  string
	addr string
	mu   sync.Mutex
	told []Call
	over []Excess
	end  func()
}

func newNear(t *testing.T, f *far, o Options) *near {
	t.Helper()
	return newBounded(t, f, o, nil)
}

func newBounded(t *testing.T, f *far, o Options, lower func(*bounds)) *near {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &near{t: t, addr: l.Addr().String(), url: "http://" + l.Addr().String()}
	o.Key = dummyKey
	if o.Upstream == "" {
		o.Upstream = f.URL
	}
	if f != nil && f.TLS != nil {
		o.Roots = f.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	o.OnCall = func(c Call) { n.mu.Lock(); n.told = append(n.told, c); n.mu.Unlock() }
	o.OnExcess = func(x Excess) { n.mu.Lock(); n.over = append(n.over, x); n.mu.Unlock() }
	_, o.Port, _ = net.SplitHostPort(n.addr)
	if n.Gateway, err = New(o); err != nil {
		t.Fatal(err)
	}
	if lower != nil {
		lower(&n.bounds)
		n.onward.ResponseHeaderTimeout = n.bounds.idle
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, l) }()
	n.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(n.end)
	return n
}

// calls are what was told, once the gateway has ended.
func (n *near) calls() []Call {
	n.end()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.told
}

// keyHeader is where the wire has its key.
func keyHeader(wire string) (name, value string) {
	switch wire {
	case "messages":
		return "X-Api-Key", dummyKey
	case "gemini":
		return "X-Goog-Api-Key", dummyKey
	}
	return "Authorization", "Bearer " + dummyKey
}

// post calls with the dummy key.
func (n *near) post(path, body string, with ...string) (*http.Response, string) {
	n.t.Helper()
	return n.do(http.MethodPost, path, body, with...)
}

func (n *near) do(method, path, body string, with ...string) (*http.Response, string) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set(keyHeader(n.opt.Wire))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(with); i += 2 {
		r.Header.Set(with[i], with[i+1])
	}
	a, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		b = append(b, "(cut)"...)
	}
	return a, string(b)
}

// raw sends bytes as they are and reads the first line of the answer.
func (n *near) raw(text string) string {
	n.t.Helper()
	c, err := (&net.Dialer{}).DialContext(n.t.Context(), "tcp", n.addr)
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		n.t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // the read fails
	b, _ := io.ReadAll(io.LimitReader(c, 4096))            // the gateway closes after a refusal
	first, _, _ := bytes.Cut(b, []byte("\r\n"))
	return string(first)
}

func says(kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, text) // the test reads it
	}
}
