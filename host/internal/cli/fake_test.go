package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// fakeDaemon is the far end: the API's routes on a unix socket, answered by functions that a test sets.
// The client in front of it is the real one.
type fakeDaemon struct {
	t      *testing.T
	socket string

	mu      sync.Mutex
	answers map[api.Op]func(req any) (any, error)
	calls   []api.Op
	log     []api.Event
	wake    chan struct{} // closed and replaced when the log grows
	streams map[string]string
}

func startFake(t *testing.T) *fakeDaemon {
	t.Helper()
	// t.TempDir can be longer than a socket's path may be.
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &fakeDaemon{t: t, socket: filepath.Join(dir, "s"), answers: map[api.Op]func(any) (any, error){},
		wake: make(chan struct{}), streams: map[string]string{}}
	mux := http.NewServeMux()
	for _, row := range api.Operations() {
		if row.Surfaces.Has(api.Local) {
			mux.HandleFunc(row.Method+" "+api.Prefix+row.Path, func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, row) })
		}
	}
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d.socket, 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(mux)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	d.on(api.OpInstanceDescribe, func(any) (any, error) { return api.Instance{ID: "inst_1", Version: "v0", Head: d.head()}, nil })
	return d
}

// on sets what an operation answers.
func (d *fakeDaemon) on(op api.Op, f func(req any) (any, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[op] = f
}

// gives sets a fixed answer.
func (d *fakeDaemon) gives(op api.Op, answer any) {
	d.on(op, func(any) (any, error) { return answer, nil })
}

func (d *fakeDaemon) head() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprintf("1.%d", len(d.log))
}

// happens appends an event to the log.
func (d *fakeDaemon) happens(kind, runID, stepID, attemptID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, api.Event{Pos: fmt.Sprintf("1.%d", len(d.log)+1), At: testTime.Add(time.Duration(len(d.log)) * time.Second),
		Kind: kind, Actor: api.Actor{Kind: "daemon", ID: "inst_1"}, RunID: runID, StepID: stepID, AttemptID: attemptID})
	close(d.wake)
	d.wake = make(chan struct{})
}

func (d *fakeDaemon) serve(w http.ResponseWriter, r *http.Request, row api.Operation) {
	req, err := fakeDecode(r, row)
	if err != nil {
		d.t.Errorf("%s: %v", row.Name, err)
	}
	d.mu.Lock()
	d.calls = append(d.calls, row.Name)
	answer := d.answers[row.Name]
	d.mu.Unlock()
	switch {
	case row.Name == api.OpEventsSubscribe:
		d.subscribe(w, r, req.(api.EventsRequest))
		return
	case row.Name == api.OpAttemptStream && answer == nil:
		io.WriteString(w, d.streams[req.(api.StreamRequest).AttemptID])
		if req.(api.StreamRequest).Follow {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
		return
	case answer == nil:
		fakeFault(w, fault.New(fault.NotSupported, "the fake daemon has no answer to %s", row.Name))
		return
	}
	got, err := answer(req)
	if err != nil {
		fakeFault(w, fault.From(err))
		return
	}
	if body, ok := got.(string); ok && row.Stream == api.StreamBytes {
		io.WriteString(w, body)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(row.Status)
	if err := json.NewEncoder(w).Encode(got); err != nil {
		d.t.Errorf("%s: encode: %v", row.Name, err)
	}
}

func fakeFault(w http.ResponseWriter, f *fault.Fault) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Code.HTTPStatus())
	json.NewEncoder(w).Encode(api.ErrorBody{Error: api.Error{Code: string(f.Code), Message: f.Message, Where: f.Where, Hint: f.Hint}})
}

// subscribe plays the log as server-sent events until the client goes away.
func (d *fakeDaemon) subscribe(w http.ResponseWriter, r *http.Request, req api.EventsRequest) {
	next := 0
	if req.After != "" {
		next, _ = strconv.Atoi(strings.TrimPrefix(req.After, "1."))
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "id: 1.%d\n\n", next)
	for {
		w.(http.Flusher).Flush()
		d.mu.Lock()
		wake, events := d.wake, d.log[next:]
		d.mu.Unlock()
		for _, e := range events {
			next++
			if (req.RunID != "" && e.RunID != req.RunID) || (req.StepID != "" && e.StepID != req.StepID) {
				continue
			}
			b, err := json.Marshal(e)
			if err != nil {
				d.t.Errorf("encode event: %v", err)
			}
			fmt.Fprintf(w, "id: %s\ndata: %s\n\n", e.Pos, b)
		}
		w.(http.Flusher).Flush()
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		}
	}
}

// fakeDecode makes the request of a row from path, query and body.
func fakeDecode(r *http.Request, row api.Operation) (any, error) {
	v := reflect.New(reflect.TypeOf(row.Request))
	fields := map[string]any{}
	if row.Class != api.Read {
		if err := json.NewDecoder(r.Body).Decode(&fields); err != nil {
			return nil, err
		}
	}
	for name, values := range r.URL.Query() {
		fields[name] = typed(values[0])
	}
	for _, part := range strings.Split(row.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			fields[name] = r.PathValue(name)
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v.Interface()); err != nil {
		return nil, err
	}
	return v.Elem().Interface(), nil
}

func typed(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if b, err := strconv.ParseBool(text); err == nil {
		return b
	}
	return text
}
