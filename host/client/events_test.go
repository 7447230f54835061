package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/httpapi"
)

// ledger is a log that grows; a reader of it waits for what is not there yet.
type ledger struct {
	mu    sync.Mutex
	n     uint64
	grown chan struct{}
	cut   int // a stream of it ends after so many events; 0 = never
	reads int
}

func newLedger(n uint64) *ledger { return &ledger{n: n, grown: make(chan struct{})} }

func (l *ledger) grow(by uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += by
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *ledger) now() (uint64, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n, l.grown
}

func (l *ledger) subscribe(_ context.Context, _ api.Actor, r api.EventsRequest) (api.Events, error) {
	l.mu.Lock()
	l.reads++
	l.mu.Unlock()
	head, _ := l.now()
	at := api.Position{Epoch: 1, Seq: head}
	if r.After != "" {
		p, err := api.ParsePosition(r.After)
		if err != nil {
			return api.Events{}, err
		}
		at = p
	}
	sent := 0
	return api.Events{Start: at.String(), Next: func(ctx context.Context) (api.Event, error) {
		if sent++; l.cut > 0 && sent > l.cut {
			return api.Event{}, io.EOF
		}
		for {
			n, grown := l.now()
			if at.Seq < n {
				at.Seq++
				return api.Event{Pos: at.String(), Kind: "step.queued", Body: []byte(`{"text":"` + strings.Repeat("x", 100_000) + `"}`)}, nil
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return api.Event{}, ctx.Err()
			}
		}
	}}, nil
}

func (l *ledger) handlers() httpapi.Handlers {
	return httpapi.Handlers{api.OpEventsSubscribe: httpapi.Handle(l.subscribe)}
}

// wantNext reads events and holds that their positions follow each other without a gap or a repetition.
func wantNext(t *testing.T, s *client.EventStream, from, to uint64) {
	t.Helper()
	for seq := from; seq <= to; seq++ {
		e, err := s.Next(t.Context())
		if want := fmt.Sprintf("1.%d", seq); err != nil || e.Pos != want {
			t.Fatalf("got %q, %v; want %q", e.Pos, err, want)
		}
	}
}

func TestAFollowedLogLosesAndDoublesNothingWhenConnectionsBreak(t *testing.T) {
	l := newLedger(40)
	l.cut = 3 // every connection ends after three events
	d := serve(t, l.handlers())
	s := d.dial().Events(t.Context(), api.EventsRequest{After: "1.0"})
	defer s.Close()
	wantNext(t, s, 1, 40)
	if l.reads < 13 {
		t.Errorf("only %d connections", l.reads)
	}
	if s.Position() != "1.40" {
		t.Errorf("position is %s", s.Position())
	}
}

func TestAFollowedLogSurvivesARestartOfTheDaemon(t *testing.T) {
	l := newLedger(5)
	d := serve(t, l.handlers())
	s := d.dial().Events(t.Context(), api.EventsRequest{After: "1.2"})
	defer s.Close()
	wantNext(t, s, 3, 5)
	d.stop()
	l.grow(4) // while nobody is connected
	d.start()
	wantNext(t, s, 6, 9)
}

func TestWhatHappensBeforeTheFirstEventIsNotLostEither(t *testing.T) {
	var asked []string
	s := scriptedBy(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("after"))
		if len(asked) == 1 {
			fmt.Fprint(w, "id: 1.7\n\n") // where the log stood; then the connection breaks
			return
		}
		fmt.Fprint(w, event("1.8"))
	})
	if e, err := s.Next(t.Context()); err != nil || e.Pos != "1.8" {
		t.Errorf("got %+v, %v", e, err)
	}
	if len(asked) != 2 || asked[0] != "" || asked[1] != "1.7" {
		t.Errorf("asked for %q", asked)
	}
}

func TestACallersContextEndsOneWaitAndNotTheStream(t *testing.T) {
	l := newLedger(2)
	d := serve(t, l.handlers())
	s := d.dial().Events(t.Context(), api.EventsRequest{After: "1.0"})
	defer s.Close()
	wantNext(t, s, 1, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	l.grow(2) // the connection is gone
	wantNext(t, s, 3, 4)
}

func TestALimitIsOfEventsNotOfConnections(t *testing.T) {
	l := newLedger(40)
	l.cut = 3
	d := serve(t, l.handlers())
	s := d.dial().Events(t.Context(), api.EventsRequest{After: "1.0", Limit: 7})
	wantNext(t, s, 1, 7)
	if e, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("then %+v, %v", e, err)
	}
}

func TestADaemonThatStaysAwayEndsTheStream(t *testing.T) {
	l := newLedger(1)
	d := serve(t, l.handlers())
	c := d.dial(func(o *client.Options) { o.Patience = 50 * time.Millisecond })
	s := c.Events(t.Context(), api.EventsRequest{After: "1.0"})
	wantNext(t, s, 1, 1)
	d.stop()
	if _, err := s.Next(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	s.Close()
	if _, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v", err)
	}
}

// scripted is a far end that sends what a test says, one script for each connection.
func scripted(t *testing.T, scripts ...string) *client.EventStream {
	t.Helper()
	n := 0
	return scriptedBy(t, func(w http.ResponseWriter, r *http.Request) {
		if n >= len(scripts) {
			http.NotFound(w, r)
			return
		}
		n++
		fmt.Fprint(w, scripts[n-1])
	})
}

func scriptedBy(t *testing.T, h http.HandlerFunc) *client.EventStream {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	c := client.Open(client.Options{Address: strings.TrimPrefix(ts.URL, "http://")})
	t.Cleanup(c.Close)
	return c.Events(t.Context(), api.EventsRequest{})
}

func event(pos string) string { return "id: " + pos + "\ndata: {\"pos\":\"" + pos + "\"}\n\n" }

func TestEventsThatWereSeenAreDropped(t *testing.T) {
	s := scripted(t, event("1.4")+event("1.5"), event("1.4")+event("1.5")+event("1.6"), event("2.0"))
	for _, want := range []string{"1.4", "1.5", "1.6", "2.0"} {
		if e, err := s.Next(t.Context()); err != nil || e.Pos != want {
			t.Fatalf("got %q, %v; want %q", e.Pos, err, want)
		}
	}
}

func TestAFrameIsReadAsTheStandardSays(t *testing.T) {
	s := scripted(t, ": comment\n\n:\n\nretry: 5\nid: 1.3\n\nunknown: x\r\nevent: later\ndata: {}\n\nid:1.4\r\ndata:{\"pos\":\r\ndata: \"1.4\"}\r\n\r\n"+
		"id: 1.5\ndata: {\"pos\":\"1.5\"}\n")
	if e, err := s.Next(t.Context()); err != nil || e.Pos != "1.4" {
		t.Fatalf("got %+v, %v", e, err)
	}
	// The last frame has no end: it is no event.
	if e, err := s.Next(t.Context()); err == nil {
		t.Errorf("half a frame is %+v", e)
	}
}

func TestAStreamSaysWhyItCannotGoOn(t *testing.T) {
	for script, want := range map[string]fault.Code{
		"event: fault\ndata: {\"error\":{\"code\":\"stale_revision\",\"message\":\"m\",\"hint\":\"h\"}}\n\n": fault.Stale,
		"event: fault\ndata: nonsense\n\n":           fault.Internal,
		"data: nonsense\n\n":                         fault.Internal,
		"data: {\"pos\":\"nowhere\"}\n\n":            fault.Internal,
		"data: " + strings.Repeat("x", 5<<20) + "\n": fault.TooLarge,
	} {
		_, err := scripted(t, script).Next(t.Context())
		if !fault.Is(err, want) {
			t.Errorf("%.40q: got %v, want %s", script, err, want)
		}
	}
}
