package egress

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestTunnelCarriesTLS(t *testing.T) {
	w := newWorld(t, "example.com")
	body := make([]byte, 3<<20)
	if _, err := rand.Read(body); err != nil {
		t.Fatal(err)
	}
	s := w.upstream(httptest.NewTLSServer, func(rw http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, body) || r.Host != "example.com" {
			t.Errorf("the server got %d bytes for %s, %v", len(got), r.Host, err)
		}
		if _, err := rw.Write(got); err != nil {
			t.Errorf("answer: %v", err)
		}
	})
	w.start()
	client := w.client(s)
	res, err := client.Post("https://example.com/v1", "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	r := w.requests(1)[0]
	if r.Method != "CONNECT" || r.Host != "example.com" || r.Port != 443 || !r.Allowed || r.Reason != "" || r.Address != public+":443" {
		t.Errorf("told %+v", r)
	}
	if n := int64(len(body)); r.Up < n || r.Down < n || r.Up > n+n/10 || r.Duration <= 0 || r.At.IsZero() {
		t.Errorf("counted %d up and %d down of %d in %v", r.Up, r.Down, n, r.Duration)
	}
	if got := w.names.questions(); len(got) != 1 || got[0] != "example.com." {
		t.Errorf("the resolver was asked %q", got)
	}
}

func TestTunnelIsOpenedByOldClients(t *testing.T) {
	for name, raw := range map[string]string{
		"HTTP/1.0 without Host":        "CONNECT example.com:443 HTTP/1.0\r\n\r\n",
		"Host without the port":        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"name in other spelling":       "CONNECT Example.COM.:443 HTTP/1.1\r\nHost: EXAMPLE.com:443\r\n\r\n",
		"proxy headers, empty content": "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "example.com")
			conns := w.listener()
			w.start()
			c := w.connect()
			if _, err := io.WriteString(c, raw); err != nil {
				t.Fatal(err)
			}
			far := <-conns
			if _, err := io.WriteString(far, "hello"); err != nil {
				t.Fatal(err)
			}
			if err := far.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.LimitReader(c, int64(len("HTTP/1.1 200 Connection established\r\n\r\nhello"))))
			if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200 ") || !strings.HasSuffix(string(got), "\r\n\r\nhello") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestTunnelPassesHalfClose(t *testing.T) {
	w := newWorld(t, "example.com")
	conns := w.listener()
	w.start()
	near, far := w.tunnel(conns)
	if _, err := io.WriteString(near, "question"); err != nil {
		t.Fatal(err)
	}
	if err := near.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); err != nil || string(got) != "question" {
		t.Fatalf("far got %q, %v", got, err)
	}
	if _, err := io.WriteString(far, "late answer"); err != nil {
		t.Fatal(err)
	}
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(near); err != nil || string(got) != "late answer" {
		t.Fatalf("near got %q, %v", got, err)
	}
	if r := w.requests(1)[0]; r.Up != 8 || r.Down != 11 || r.Reason != "" {
		t.Errorf("told %+v", r)
	}
}

func TestEndEndsEverythingAtOnce(t *testing.T) {
	w := newWorld(t, "example.com")
	conns := w.listener()
	w.start()
	near, far := w.tunnel(conns)
	half := w.connect() // in the middle of its head
	if _, err := io.WriteString(half, "CONNECT exam"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	w.stop()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	for name, c := range map[string]net.Conn{"client": near, "server": far, "half a request": half} {
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: read %d bytes, %v; want its end", name, n, err)
		}
	}
	if c, err := net.Dial("tcp", w.addr); err == nil {
		_ = c.Close() // it should not be there
		t.Error("the listener still accepts")
	}
	var reasons []string
	for _, r := range w.requests(1) {
		reasons = append(reasons, r.Reason)
	}
	if !strings.Contains(strings.Join(reasons, "|"), "the sandbox ended") {
		t.Errorf("reasons are %q", reasons)
	}
}

func TestIdleTunnelEnds(t *testing.T) {
	w := newWorld(t, "example.com")
	w.opt.IdleTimeout = 50 * time.Millisecond
	conns := w.listener()
	w.start()
	near, _ := w.tunnel(conns)
	if _, err := io.ReadAll(near); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
	if r := w.requests(1)[0]; !strings.Contains(r.Reason, "timed out") || !r.Allowed {
		t.Errorf("told %+v", r)
	}
}

// TestOneBusyDirectionKeepsTheOther holds that a long download is not idle because nothing goes up.
func TestOneBusyDirectionKeepsTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		act := newActivity(time.Minute)
		a, aFar := net.Pipe()
		b, bFar := net.Pipe()
		quiet, busy := &conn{Conn: a, act: act}, &conn{Conn: b, act: act}
		begun := time.Now()
		ended := make(chan time.Duration)
		go func() {
			if _, err := quiet.Read(make([]byte, 1)); err == nil {
				t.Error("read without an error")
			}
			ended <- time.Since(begun)
		}()
		go func() {
			for range 5 {
				<-time.After(40 * time.Second)
				if _, err := bFar.Write([]byte("x")); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		}()
		for range 5 {
			if _, err := busy.Read(make([]byte, 1)); err != nil {
				t.Errorf("read: %v", err)
			}
		}
		if got, want := <-ended, 5*40*time.Second+time.Minute; got != want {
			t.Errorf("the quiet side ended after %v, want %v", got, want)
		}
		for _, c := range []net.Conn{a, aFar, b, bFar} {
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
}

func TestSlowHeadEnds(t *testing.T) {
	w := newWorld(t, "example.com")
	w.opt.HeadTimeout = 50 * time.Millisecond
	w.start()
	if answer := w.say("CONNECT example.com:443 HTTP/1.1\r\n"); status(t, answer) != http.StatusRequestTimeout {
		t.Errorf("answer %q", answer)
	}
	if r := w.requests(1)[0]; r.Allowed || r.Method != "CONNECT" {
		t.Errorf("told %+v", r)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	w := newWorld(t, "example.com")
	w.opt.MaxConns = 2
	conns := w.listener()
	w.start()
	near, far := w.tunnel(conns)
	w.tunnel(conns)
	if answer := w.say(connectTo("example.com:443")); status(t, answer) != http.StatusServiceUnavailable {
		t.Fatalf("answer %q", answer)
	}
	if r := w.requests(1)[0]; r.Allowed || !strings.Contains(r.Reason, "2 connections") {
		t.Errorf("told %+v", r)
	}
	if err := errors.Join(near.Close(), far.Close()); err != nil {
		t.Fatal(err)
	}
	// The slot is free once the request is over, at the latest when the server has seen it.
	w.requests(2)
	for {
		c := w.connect()
		if _, err := io.WriteString(c, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil {
			continue
		}
		got := make([]byte, 12)
		if _, err := io.ReadFull(c, got); err == nil && string(got) == "HTTP/1.1 200" {
			return
		}
	}
}

func TestTotalsCountWhatIsNotTold(t *testing.T) {
	told := map[bool]int64{}
	l := newLedger(func(r Request) { told[r.Allowed]++ })
	for i := range maxTold + 500 {
		l.add(Request{Host: fmt.Sprintf("h%d.example", i%(2*maxDistinct)), Allowed: true, Up: 1, Down: 2})
	}
	l.add(Request{Host: "h0.example", Reason: "no", Up: 1})
	l.add(Request{Host: "h0.example", Allowed: true})
	sum := l.sum()
	if told[true] != maxTold || told[false] != 0 || sum.Untold != 502 || sum.Requests != maxTold+502 || sum.Refused != 1 || sum.Up != 1501 || sum.Down != 3000 {
		t.Errorf("told %v, totals %+v", told, sum)
	}
	if len(sum.Rows) != maxDistinct || sum.Rows[0].Host != "h0.example" {
		t.Errorf("%d rows, first %+v", len(sum.Rows), sum.Rows[0])
	}
	if got := sum.counted(); got != sum.Requests {
		t.Errorf("rows and others make %d of %d", got, sum.Requests)
	}
}

func (t Totals) counted() int64 {
	n := t.Others
	for _, row := range t.Rows {
		n += row.Requests
	}
	return n
}

// F13: a program that asks for forbidden hosts without end cannot hide in it what it reached.
func TestF13_RefusalsWithoutEndHideNothingThatWasAllowed(t *testing.T) {
	told := map[bool]int64{}
	l := newLedger(func(r Request) { told[r.Allowed]++ })
	for i := range 20 * maxTold {
		l.add(Request{Host: fmt.Sprintf("h%d.example", i%(20*maxDistinct)), Reason: "no"})
	}
	l.add(Request{Host: "reached.example", Allowed: true})
	sum := l.sum()
	if told[false] != maxToldRefusals || told[true] != 1 || sum.Untold != 20*maxTold-maxToldRefusals {
		t.Errorf("told %v, untold %d", told, sum.Untold)
	}
	if len(sum.Rows) != maxDistinctRefusals+1 || sum.Rows[0].Host != "reached.example" || sum.counted() != sum.Requests {
		t.Errorf("%d rows, first %+v, %d of %d counted", len(sum.Rows), sum.Rows[0], sum.counted(), sum.Requests)
	}
}

func TestNextAddressIsTriedBesideABlackHole(t *testing.T) {
	w := newWorld(t, "example.com")
	conns := w.listener()
	w.names.answers["example.com."] = []string{"2606:4700::1 9.9.9.9 " + public}
	inner := w.opt.Dial
	w.opt.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		if to.Addr().Is6() {
			<-ctx.Done() // a black hole
			return nil, ctx.Err()
		}
		return inner(ctx, to) // 9.9.9.9 answers that it does not want to
	}
	w.start()
	near, far := w.tunnel(conns)
	if err := errors.Join(near.Close(), far.Close()); err != nil {
		t.Fatal(err)
	}
	if r := w.requests(1)[0]; r.Address != public+":443" {
		t.Errorf("told %+v", r)
	}
}

func TestFailuresSayNothingOfThisMachine(t *testing.T) {
	w := newWorld(t, "example.com", "gone.example.com")
	w.opt.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 9, 8, 7)}, Err: syscall.ECONNREFUSED}
	}
	w.start()
	for host, want := range map[string]string{"example.com": "connection refused", "gone.example.com": "no such host"} {
		answer := w.say("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if status(t, answer) != http.StatusBadGateway || !strings.Contains(answer, want) || strings.Contains(answer, "10.9.8.7") {
			t.Errorf("%s: answer %q", host, answer)
		}
	}
	for _, r := range w.requests(2) {
		if !r.Allowed || r.Reason == "" {
			t.Errorf("told %+v", r)
		}
	}
}

func TestListenerThatFailsEndsServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := New(Options{}).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v, want %v", err, net.ErrClosed)
	}
}
