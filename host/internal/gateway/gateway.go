package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Bounds of what passes.
const (
	maxBody     = 32 << 20 // bytes of a request
	maxHead     = 64 << 10 // bytes of a request's head, and of an answer's
	maxInFlight = 16       // calls at once
	maxHeld     = 64 << 20 // bytes of the bodies of all calls at once
	maxConns    = 64       // connections at once

	sendTime = time.Minute     // for a caller to take a piece of an answer
	turnTime = 2 * time.Minute // in the queue
	callTime = time.Hour       // for a whole call
)

// bounds are those that tests lower.
type bounds struct {
	answer int64         // bytes of an answer
	head   time.Duration // for a request's head
	body   time.Duration // for its body
	idle   time.Duration // without a byte from the upstream: a model may think for minutes
}

func usualBounds() bounds {
	return bounds{answer: 256 << 20, head: 10 * time.Second, body: time.Minute, idle: 10 * time.Minute}
}

// Options of a gateway.
type Options struct {
	Wire       string   // responses, messages, chat or gemini
	Upstream   string   // https, or http; the wire's paths go below it
	Credential string   // the real one; "" where the upstream wants none
	Key        string   // what the caller has in its place
	Port       string   // where the caller finds the gateway, on 127.0.0.1; "" for any
	Models     []string // patterns; none: any model
	Budget     Budget

	// Mask hides secrets in what the upstream answers. Nil hides nothing.
	Mask func(io.Writer) io.WriteCloser
	// OnCall is told each call when it ended, one at a time, up to a bound; Totals count all.
	OnCall func(Call)
	// OnExcess is told once, at the first call that is refused for the budget.
	OnExcess func(Excess)

	Roots *x509.CertPool // nil: the system's
	// Dial replaces TCP. Nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Gateway serves one attempt.
type Gateway struct {
	opt      Options
	wire     *wire
	bounds   bounds
	upstream *url.URL
	key      [sha256.Size]byte
	ledger   *ledger
	queue    *queue
	onward   *http.Transport

	mu      sync.Mutex
	closed  bool           // no call begins any more
	serving sync.WaitGroup // calls
}

// New makes a gateway. An error does not tell the credential.
func New(o Options) (*Gateway, error) {
	w := wireOf(o.Wire)
	if w == nil {
		return nil, fmt.Errorf("there is no wire %q", o.Wire)
	}
	u, err := url.Parse(o.Upstream)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the upstream is no address")
	}
	if o.Key == "" || !sendable(o.Key) || !sendable(o.Credential) {
		return nil, errors.New("the key or the credential cannot be part of a header")
	}
	g := &Gateway{opt: o, wire: w, bounds: usualBounds(), upstream: u, key: sha256.Sum256([]byte(o.Key))}
	g.ledger = newLedger(o.Budget, o.OnCall, o.OnExcess)
	g.queue = newQueue(g.ledger)
	g.onward = &http.Transport{
		Proxy: nil, DialContext: o.Dial, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 20 * time.Second,
		MaxConnsPerHost: maxInFlight, MaxIdleConnsPerHost: maxInFlight, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: maxHead, ResponseHeaderTimeout: g.bounds.idle, WriteBufferSize: 32 << 10, ReadBufferSize: 32 << 10,
	}
	if o.Dial == nil {
		g.onward.DialContext = (&net.Dialer{Timeout: 20 * time.Second}).DialContext
	}
	return g, nil
}

// sendable reports whether a header can carry the text.
func sendable(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// begin counts a call as being served, unless the gateway ends.
func (g *Gateway) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.serving.Add(1)
	}
	return !g.closed
}

// isKey compares in a time that tells nothing.
func (g *Gateway) isKey(s string) bool {
	sum := sha256.Sum256([]byte(s))
	return subtle.ConstantTimeCompare(sum[:], g.key[:]) == 1
}

// Totals is what the gateway did until now; all of it once Serve has returned.
func (g *Gateway) Totals() Totals { return g.ledger.sum() }

// Serve takes calls until ctx is done, then ends every call at once and returns when all have ended and
// are told. It closes l.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	ctx, done := context.WithCancel(ctx)
	defer done()
	server := &http.Server{
		Handler: g, BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: g.bounds.head, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHead,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0), // what a caller makes of a connection is its own business
	}
	server.Protocols = &http.Protocols{}
	server.Protocols.SetHTTP1(true)
	stop := context.AfterFunc(ctx, func() {
		_ = server.Close() // its error is Serve's
	})
	defer stop()
	err := server.Serve(&bounded{Listener: l, slots: make(chan struct{}, maxConns), ended: ctx.Done()})
	done()
	_ = server.Close() // whatever made it end: no connection outlives it
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.serving.Wait()
	g.onward.CloseIdleConnections()
	if errors.Is(err, http.ErrServerClosed) || context.Cause(ctx) != nil && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve the gateway: %w", err)
}

// bounded lets only so many connections be open; the next one waits in the kernel's queue.
type bounded struct {
	net.Listener
	slots chan struct{}
	ended <-chan struct{}
}

// Accept waits for a slot, then for a connection. The server closes connections only when nobody accepts any
// more, so whoever holds all of them must not hold up the end.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.ended:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &counted{Conn: c, free: sync.OnceFunc(func() { <-b.slots })}, nil
}

type counted struct {
	net.Conn
	free func()
}

// Close frees the connection's slot.
func (c *counted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
