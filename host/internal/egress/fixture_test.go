package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// public is where example.com is in these tests; the dialler leads it to a server of the test.
const public = "93.184.215.14"

// names is a resolver with a list of answers for each name, given one after the other; the last stays.
type names struct {
	mu      sync.Mutex
	answers map[string][]string
	asked   []string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, host)
	list := n.answers[host]
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "10.9.8.7:53", IsNotFound: true}
	}
	if len(list) > 1 {
		n.answers[host] = list[1:]
	}
	var out []netip.Addr
	for text := range strings.FieldsSeq(list[0]) {
		out = append(out, netip.MustParseAddr(text))
	}
	return out, nil
}

func (n *names) questions() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.asked...)
}

// world is one proxy that serves, what it was asked and what it dialled.
type world struct {
	t     testing.TB
	opt   Options
	names *names
	to    map[string]string // where an address is really: by address without port

	proxy  *Proxy
	addr   string
	cancel context.CancelFunc
	served chan error

	mu     sync.Mutex
	dialed []string
	told   []Request
	heard  chan struct{}
}

// newWorld is a proxy that is not started, with rules.
func newWorld(t *testing.T, rules ...string) *world {
	t.Helper()
	w := &world{t: t, names: &names{answers: map[string][]string{"example.com.": {public}}}, to: map[string]string{}, heard: make(chan struct{}, 1)}
	for _, text := range rules {
		r, err := ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		w.opt.Rules = append(w.opt.Rules, r)
	}
	w.opt.Resolver = w.names
	w.opt.Dial = w.dial
	w.opt.OnRequest = func(r Request) {
		w.mu.Lock()
		w.told = append(w.told, r)
		w.mu.Unlock()
		select {
		case w.heard <- struct{}{}:
		default:
		}
	}
	return w
}

func (w *world) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, to.String())
	real, ok := w.to[to.Addr().String()]
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("dial %s: %w", to, io.EOF)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", real)
}

func (w *world) start() *world {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = l.Addr().String()
	w.proxy = New(w.opt)
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(w.t.Context())
	w.served = make(chan error, 1)
	go func() { w.served <- w.proxy.Serve(ctx, l) }()
	w.t.Cleanup(w.stop)
	return w
}

// stop ends the proxy and waits; it may be called again.
func (w *world) stop() {
	w.cancel()
	if err, ok := <-w.served; ok {
		if err != nil {
			w.t.Errorf("Serve: %v", err)
		}
		close(w.served)
	}
}

// requests waits for n told requests.
func (w *world) requests(n int) []Request {
	w.t.Helper()
	for {
		w.mu.Lock()
		told := append([]Request(nil), w.told...)
		w.mu.Unlock()
		if len(told) >= n {
			return told
		}
		select {
		case <-w.heard:
		case <-time.After(20 * time.Second):
			w.t.Fatalf("%d requests told, want %d: %+v", len(told), n, told)
		}
	}
}

func (w *world) dials() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialed...)
}

// connect opens a connection to the proxy that cannot hang.
func (w *world) connect() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() }) // often closed already
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// say sends raw bytes on a fresh connection and reads all that comes back.
func (w *world) say(raw string) string {
	w.t.Helper()
	c := w.connect()
	if _, err := io.WriteString(c, raw); err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		w.t.Fatalf("read the answer to %q: %v", raw, err)
	}
	if err := c.Close(); err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// status is the status code of a raw answer.
func status(t *testing.T, answer string) int {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		t.Fatalf("parse answer %q: %v", answer, err)
	}
	_ = res.Body.Close() // it is a string
	return res.StatusCode
}

// upstream starts a server that stands at the public address.
func (w *world) upstream(start func(http.Handler) *httptest.Server, h http.HandlerFunc) *httptest.Server {
	w.t.Helper()
	s := start(h)
	w.t.Cleanup(s.Close)
	w.to[public] = s.Listener.Addr().String()
	return s
}

// client speaks through the proxy and trusts the server.
func (w *world) client(s *httptest.Server) *http.Client {
	pool := x509.NewCertPool()
	if s.Certificate() != nil {
		pool.AddCert(s.Certificate())
	}
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: w.addr}), TLSClientConfig: &tls.Config{RootCAs: pool}}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// listener is a raw server at the public address: it hands out what it accepts.
func (w *world) listener() <-chan net.Conn {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.to[public] = l.Addr().String()
	conns := make(chan net.Conn, 16)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	})
	w.t.Cleanup(func() {
		_ = l.Close() // ends the loop
		group.Wait()
		close(conns)
		for c := range conns {
			_ = c.Close() // nobody took it
		}
	})
	return conns
}

// tunnel opens a tunnel to example.com:443 and gives both ends.
func (w *world) tunnel(conns <-chan net.Conn) (near, far net.Conn) {
	w.t.Helper()
	near = w.connect()
	if _, err := io.WriteString(near, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"); err != nil {
		w.t.Fatal(err)
	}
	want := []byte("HTTP/1.1 200 Connection established\r\n\r\n")
	got := make([]byte, len(want))
	if _, err := io.ReadFull(near, got); err != nil || !bytes.Equal(got, want) {
		w.t.Fatalf("answer %q, %v", got, err)
	}
	far = <-conns
	w.t.Cleanup(func() { _ = far.Close() }) // often closed already
	if err := far.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	return near, far
}
