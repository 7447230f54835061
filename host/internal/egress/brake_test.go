package egress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// refusing is a proxy that allows example.com alone, without a socket.
func refusing(t *testing.T, rules ...string) *Proxy {
	t.Helper()
	return New(newWorld(t, rules...).opt)
}

// ask sends one request over a pipe and gives the answer and how long it took.
func ask(t *testing.T, p *Proxy, raw string) (answer string, took time.Duration) {
	t.Helper()
	near, far := net.Pipe()
	began := time.Now()
	var served sync.WaitGroup
	served.Go(func() { p.serve(t.Context(), far) })
	if _, err := io.WriteString(near, raw); err != nil {
		t.Error(err)
	}
	b, err := io.ReadAll(near)
	if err != nil {
		t.Error(err)
	}
	took = time.Since(began)
	served.Wait()
	return string(b), took
}

func TestAProgramThatIsRefusedAgainAndAgainWaitsForItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, last, asked := refusing(t), time.Duration(0), 0
		for began := time.Now(); time.Since(began) < time.Minute; asked++ {
			answer, took := ask(t, p, connectTo("evil.example:443"))
			if !strings.HasPrefix(answer, "HTTP/1.1 403 ") {
				t.Fatalf("answer %q", answer)
			}
			if asked < freely && took != 0 || took < last || took > longWait {
				t.Fatalf("answer %d took %v, the one before %v", asked, took, last)
			}
			last = took
		}
		if last != longWait || asked > 80 {
			t.Errorf("%d refusals in a minute, the last took %v", asked, last)
		}
		if _, took := ask(t, p, connectTo("another.example:443")); took != 0 {
			t.Errorf("another host waits for %v", took)
		}
		<-time.After(calm + time.Second)
		if _, took := ask(t, p, connectTo("evil.example:443")); took != 0 {
			t.Errorf("after a calm minute a refusal takes %v", took)
		}
	})
}

func TestTheBrakeDelaysNothingThatIsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "example.com:80")
		w.opt.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				if _, err := http.ReadRequest(bufio.NewReader(far)); err == nil {
					_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok") // the client tells
				}
			}()
			return near, nil
		}
		p := New(w.opt)
		var refused sync.WaitGroup
		for range 4 * maxBraked {
			refused.Go(func() { ask(t, p, "GET http://example.com:81/ HTTP/1.1\r\nHost: example.com:81\r\n\r\n") })
		}
		synctest.Wait()
		if p.brake.waiting != maxBraked {
			t.Errorf("%d answers wait", p.brake.waiting)
		}
		answer, took := ask(t, p, "GET http://example.com:80/ HTTP/1.1\r\nHost: example.com:80\r\n\r\n")
		if took != 0 || !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Errorf("an allowed request took %v: %q", took, answer)
		}
		refused.Wait()
		if p.brake.waiting != 0 {
			t.Errorf("%d answers wait after all were given", p.brake.waiting)
		}
	})
}

func TestWhoeverInventsHostsIsBrakedAsOne(t *testing.T) {
	b := &brake{}
	var longest time.Duration
	for i := range 3 * maxDistinct {
		pause, done := b.take(fmt.Sprintf("h%d.example", i))
		longest = max(longest, pause)
		done()
	}
	if longest != longWait || len(b.hosts) > maxDistinct+1 {
		t.Errorf("the longest wait is %v, %d hosts are held", longest, len(b.hosts))
	}
}

func TestTheEndOfTheSandboxEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &brake{}
		ctx, end := context.WithCancel(t.Context())
		for range 100 {
			b.take("evil.example")
		}
		b.waiting = 0
		began := time.Now()
		end()
		if b.wait(ctx, "evil.example"); time.Since(began) != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}
