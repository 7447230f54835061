package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Bounds where Options say nothing.
const (
	defaultConns = 256
	defaultHead  = 30 * time.Second
	defaultDial  = 20 * time.Second
	defaultIdle  = 15 * time.Minute // a model may think for minutes without a byte
)

// Options of a proxy. Zero durations and counts take defaults.
type Options struct {
	Rules   []Rule // none: nothing is allowed
	Private bool   // private addresses may be reached through an allowed host

	// OnRequest is told each request when it ended, one call at a time, up to a bound; Totals count all.
	OnRequest func(Request)

	Resolver Resolver                                                // nil: this machine's
	Dial     func(context.Context, netip.AddrPort) (net.Conn, error) // nil: TCP
	Own      func() ([]netip.Addr, error)                            // nil: the addresses of this machine's interfaces

	MaxConns    int
	HeadTimeout time.Duration // for a request's head
	DialTimeout time.Duration // for resolving, and again for connecting
	IdleTimeout time.Duration // without a byte in either direction
}

// Proxy serves one sandbox.
type Proxy struct {
	opt    Options
	ledger *ledger
	brake  brake
	slots  chan struct{}
	away   chan struct{}
}

// New makes a proxy.
func New(o Options) *Proxy {
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{}
	}
	if o.Dial == nil {
		dialer := &net.Dialer{}
		o.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", to.String())
		}
	}
	if o.Own == nil {
		o.Own = ownAddresses
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultConns
	}
	for _, d := range []struct {
		value *time.Duration
		std   time.Duration
	}{{&o.HeadTimeout, defaultHead}, {&o.DialTimeout, defaultDial}, {&o.IdleTimeout, defaultIdle}} {
		if *d.value <= 0 {
			*d.value = d.std
		}
	}
	return &Proxy{opt: o, ledger: newLedger(o.OnRequest), slots: make(chan struct{}, o.MaxConns), away: make(chan struct{}, maxTurnedAway)}
}

// Totals is what the proxy did until now; all of it once Serve has returned.
func (p *Proxy) Totals() Totals { return p.ledger.sum() }

// Serve accepts until ctx is done, then ends every connection at once and returns when all have ended
// and all requests are told. It closes l.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	ctx, done := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer done()
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close() // Accept reports it
	})
	defer stop()
	pause := time.Millisecond
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = time.Millisecond
			p.admit(ctx, c, &group)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept for the sandbox: %w", err)
		}
		// Out of descriptors, as a rule; it passes.
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// maxTurnedAway is how many connections beyond the bound are told so at once; others are just closed.
const maxTurnedAway = 32

// admit serves a connection on its own goroutine, or turns it away where there are too many.
func (p *Proxy) admit(ctx context.Context, c net.Conn, group *sync.WaitGroup) {
	select {
	case p.slots <- struct{}{}:
		group.Go(func() {
			defer func() { <-p.slots }()
			p.serve(ctx, c)
		})
		return
	default:
	}
	reason := fmt.Sprintf("there are %d connections already", p.opt.MaxConns)
	p.ledger.add(Request{At: time.Now(), Reason: reason})
	select {
	case p.away <- struct{}{}:
		group.Go(func() {
			defer func() { <-p.away }()
			p.turnAway(ctx, c, reason)
		})
	default:
		_ = c.Close() // without a word
	}
}

// turnAway answers without reading a request.
func (p *Proxy) turnAway(ctx context.Context, c net.Conn, reason string) {
	defer func() { _ = c.Close() }() // a second close is harmless
	stop := context.AfterFunc(ctx, func() {
		_ = c.Close() // ends the reads and writes
	})
	defer stop()
	x := &exchange{proxy: p, client: &conn{Conn: c, act: newActivity(lingerFor)}}
	answer(x.client, http.StatusServiceUnavailable, reason)
	x.linger()
}

// exchange is one connection with its one request.
type exchange struct {
	proxy  *Proxy
	client *conn
	in     *bufio.Reader // of client
	head   *head
	record Request
	told   bool // an answer has begun: no other one may follow
	tunnel bool // it was the answer to CONNECT
}

// serve reads one request, serves it and closes. One request per connection leaves nothing to smuggle.
func (p *Proxy) serve(ctx context.Context, c net.Conn) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	defer func() { _ = c.Close() }() // a second close is harmless
	stop := context.AfterFunc(ctx, func() {
		_ = c.Close() // ends every read and write below
	})
	defer stop()

	x := &exchange{proxy: p, client: &conn{Conn: c, act: newActivity(p.opt.IdleTimeout)}, record: Request{At: time.Now()}}
	// The whole head has one deadline, not each byte of it.
	x.client.fix(time.Now().Add(p.opt.HeadTimeout))
	x.in = bufio.NewReaderSize(x.client, maxHead)
	var err error
	x.head, err = readHead(x.in)
	if x.silent(err) {
		return
	}
	x.client.fix(time.Time{})
	if err == nil {
		err = x.run(ctx)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &refusal{http.StatusRequestTimeout, "the head did not come in time"}
	}
	x.finish(ctx, err)
}

// silent is a client that connected and said nothing: a look at the port, not a request.
func (x *exchange) silent(err error) bool {
	return x.head.method == "" && errors.Is(err, io.EOF)
}

// run serves the request that head describes.
func (x *exchange) run(ctx context.Context) error {
	if err := x.proxy.allowed(x.head.host, x.head.port); err != nil {
		return err
	}
	if x.head.method == http.MethodConnect {
		return x.connect(ctx)
	}
	return x.forward(ctx)
}

// finish answers an error where that is still possible, and records.
func (x *exchange) finish(ctx context.Context, err error) {
	x.describe(ctx, err)
	x.proxy.ledger.add(x.record)
	if err != nil && !x.told {
		if !x.record.Allowed {
			x.proxy.brake.wait(ctx, x.record.Host)
		}
		answer(x.client, statusOf(err), x.explanation())
	}
	if !x.tunnel {
		x.linger()
	}
}

// describe fills in the record.
func (x *exchange) describe(ctx context.Context, err error) {
	r := &x.record
	r.Method, r.Host, r.Port = printable(x.head.method, maxMethod), printable(x.head.shown, maxShown), x.head.port
	if r.Host == "" {
		r.Host = printable(x.head.target, maxShown)
	}
	var refused *refusal
	r.Allowed = !errors.As(err, &refused)
	if err != nil {
		r.Reason = printable(err.Error(), maxShown)
		if ctx.Err() != nil && r.Allowed {
			r.Reason = "the sandbox ended"
		}
	}
	r.Duration = time.Since(r.At)
}

// explanation is what the client is told.
func (x *exchange) explanation() string {
	if x.record.Port == 0 {
		return x.record.Reason
	}
	return fmt.Sprintf("%s:%d: %s", x.record.Host, x.record.Port, x.record.Reason)
}

// answer writes a whole response.
func answer(w io.Writer, status int, reason string) {
	body := "drawspan: " + reason + "\n"
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(body), body) // a client that is gone is not told
}

// Bounds of linger.
const (
	lingerFor   = 2 * time.Second
	lingerBytes = 256 << 10
)

// linger lets the client read its answer: closing with unread bytes would reset the connection.
func (x *exchange) linger() {
	if x.client.closeWrite() != nil {
		return
	}
	x.client.fix(time.Now().Add(lingerFor))
	_, _ = io.CopyN(io.Discard, x.client, lingerBytes) // whatever it is, nobody reads it
}
