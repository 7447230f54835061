package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/wire"
)

// Patience is how long the suites wait for anything that must happen.
const Patience = 20 * time.Second

// Harness is one plugin, served in the test's process.
type Harness struct {
	Client   *wire.Client // the host
	Stranger *wire.Client // a process that found the socket but does not know the secret
	Events   *Recorder
}

// Serve serves impl until the test ends. A panic of the plugin's code fails the test.
func Serve(t testing.TB, m sdk.Manifest, impl any) *Harness {
	t.Helper()
	p, err := wire.NewPlugin(m, impl)
	if err != nil {
		t.Fatalf("the plugin cannot be served: %v", err)
	}
	server := wire.NewServer(p, wire.Hooks{Crash: func(doing string, value any, stack []byte) {
		t.Errorf("the plugin crashed while %s: panic: %v\n%s", doing, value, stack)
	}})
	local, err := wire.NewLocal(server, wire.ClientOptions{Heartbeat: time.Second, Silence: Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(local.Close)
	return &Harness{Client: local.Client, Stranger: local.Stranger, Events: &Recorder{}}
}

// Configure hands over a config block and fails the test when it is refused.
func (h *Harness) Configure(t testing.TB, config json.RawMessage) {
	t.Helper()
	if err := h.Client.Configure(t.Context(), config); err != nil {
		t.Fatalf("Configure(%s): %v", config, err)
	}
}

// Execute performs an attempt with the harness's recorder as the sink.
func (h *Harness) Execute(t testing.TB, a sdk.Attempt) (sdk.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	return h.Client.Execute(ctx, a, h.Events.Take)
}

// Recorder keeps the events of an attempt.
type Recorder struct {
	mu     sync.Mutex
	events []sdk.Event
	On     func(sdk.Event) // called for each event, before the next is taken
}

// Take is a sink.
func (r *Recorder) Take(_ context.Context, e sdk.Event) error {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	if r.On != nil {
		r.On(e)
	}
	return nil
}

// All is what was taken so far.
func (r *Recorder) All() []sdk.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]sdk.Event(nil), r.events...)
}

// Of is what was taken of one type.
func (r *Recorder) Of(kind sdk.EventType) []sdk.Event {
	var some []sdk.Event
	for _, e := range r.All() {
		if e.Type == kind {
			some = append(some, e)
		}
	}
	return some
}

// Output is the log bytes of one stream, joined.
func (r *Recorder) Output(stream string) string {
	var all []byte
	for _, e := range r.Of(sdk.EventLog) {
		if e.Stream == stream {
			all = append(all, e.Log...)
		}
	}
	return string(all)
}

// Refused fails the test unless err is a refusal with the code.
func Refused(t testing.TB, err error, code wire.Code) *wire.Refusal {
	t.Helper()
	var refusal *wire.Refusal
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Fatalf("got error %v, want a refusal with %s", err, code)
	}
	return refusal
}

// Scan looks whether lines are JSON and no more: the floor of a benchmark of what makes events of them.
func Scan(b *testing.B, lines [][]byte) {
	b.Helper()
	for b.Loop() {
		for _, line := range lines {
			if !json.Valid(line) {
				b.Fatal("not JSON")
			}
		}
	}
	b.ReportMetric(float64(b.N*len(lines))/b.Elapsed().Seconds(), "lines/s")
}
