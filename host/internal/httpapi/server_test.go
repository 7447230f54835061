package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

const testToken = "0123456789abcdef0123456789abcdef"

// stubs answers every local operation with the zero value of its shape.
func stubs() Handlers {
	h := Handlers{}
	for _, o := range api.Operations() {
		if o.Surfaces.Has(api.Local) {
			zero := o.Response
			h[o.Name] = Handler{
				req: reflect.TypeOf(o.Request), resp: reflect.TypeOf(o.Response),
				call: func(context.Context, api.Actor, any) (any, error) { return zero, nil },
			}
		}
	}
	return h
}

// rig is a server that runs on a socket and a loopback port.
type rig struct {
	t      *testing.T
	socket string
	port   string
	log    *lockedBuffer
	stop   func() error
}

func start(t *testing.T, over Handlers, adjust ...func(*Options)) *rig {
	t.Helper()
	h := stubs()
	maps.Copy(h, over)
	g := &rig{t: t, socket: filepath.Join(shortDir(t), "run", "d.sock"), log: &lockedBuffer{}}
	o := Options{
		Handlers: h, Token: testToken, Version: "test",
		Log: hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: g.log}),
	}
	for _, f := range adjust {
		f(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	unix, err := s.Unix(g.socket)
	if err != nil {
		t.Fatal(err)
	}
	port, err := s.Loopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.port = port.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, unix, port) }()
	g.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return g
}

// shortDir is a temporary directory whose name leaves room for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// over is a client of the socket or, for "tcp", of the port.
func (g *rig) over(network string) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		if network == "tcp" {
			return d.DialContext(ctx, "tcp", g.port)
		}
		return d.DialContext(ctx, "unix", g.socket)
	}}
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// ask sends a request over the socket; edit may change it.
func (g *rig) ask(method, target, body string, edit ...func(*http.Request)) (int, []byte, http.Header) {
	return g.askOver("unix", method, target, body, edit...)
}

func (g *rig) askOver(network, method, target, body string, edit ...func(*http.Request)) (int, []byte, http.Header) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.port+target, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set(api.HeaderClient, "cli")
	for _, f := range edit {
		f(r)
	}
	resp, err := g.over(network).Do(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s %s: read: %v", method, target, err)
	}
	return resp.StatusCode, data, resp.Header
}

// refusal is the error of an answer; it fails when there is none.
func refusal(t *testing.T, status int, data []byte) api.Error {
	t.Helper()
	var e api.ErrorBody
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatalf("answer %d is no error body: %q", status, data)
	}
	if got := fault.Code(e.Error.Code).HTTPStatus(); got != status {
		t.Fatalf("code %q has status %d, answer has %d", e.Error.Code, got, status)
	}
	if e.Error.Message == "" || !strings.HasPrefix(e.Error.Request, "req_") {
		t.Fatalf("incomplete error: %+v", e.Error)
	}
	return e.Error
}

func header(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

func TestRoutesAreExactlyTheLocalOperations(t *testing.T) {
	g := start(t, nil)
	ids := map[string]string{"{run_id}": "run_1", "{step_id}": "step_1", "{attempt_id}": "att_1", "{approval_id}": "apr_1", "{executor}": "go"}
	for _, o := range api.Operations() {
		path := api.Prefix + o.Path
		if !o.Surfaces.Has(api.Local) {
			path = api.Prefix + "/" + strings.ReplaceAll(string(o.Name), ".", "/")
			if status, data, _ := g.ask(http.MethodGet, path, ""); refusal(t, status, data).Code != "not_found" {
				t.Errorf("%s of the relay answers at %s", o.Name, path)
			}
			continue
		}
		for from, to := range ids {
			path = strings.ReplaceAll(path, from, to)
		}
		s := &Server{routes: routesOf(stubs())}
		r, err := http.NewRequest(o.Method, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		rt, _, err := s.find(r.Method, r.URL)
		if err != nil || rt.row.Name != o.Name {
			t.Errorf("%s %s leads to %q, %v; want %s", o.Method, path, rt.row.Name, err, o.Name)
		}
	}
	if got, want := len(routesOf(stubs())), len(stubs()); got != want {
		t.Errorf("%d routes, %d local operations", got, want)
	}
}

func TestNewRefusesHandlersThatAreNotTheTable(t *testing.T) {
	log := hclog.NewNullLogger()
	pointer := Handle(func(context.Context, api.Actor, api.RunRef) (*api.Run, error) { return nil, nil })
	wrong := Handle(func(context.Context, api.Actor, api.StepRef) (api.Run, error) { return api.Run{}, nil })
	for _, c := range []struct {
		name string
		edit func(Handlers)
		want string
	}{
		{"one is missing", func(h Handlers) { delete(h, api.OpRunGet) }, "run.get has no handler"},
		{"one is empty", func(h Handlers) { h[api.OpRunGet] = Handler{} }, "run.get has no handler"},
		{"one is unknown", func(h Handlers) { h["run.destroy"] = h[api.OpRunGet] }, "run.destroy is no operation"},
		{"one is the relay's", func(h Handlers) { h[api.OpTokenCreate] = h[api.OpRunGet] }, "token.create is no operation"},
		{"one takes another type", func(h Handlers) { h[api.OpRunGet] = wrong }, "takes api.StepRef"},
		{"one answers with a pointer", func(h Handlers) { h[api.OpRunGet] = pointer }, "answers *api.Run"},
	} {
		h := stubs()
		c.edit(h)
		_, err := New(Options{Handlers: h, Log: log})
		if err == nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
	if _, err := New(Options{Handlers: stubs(), Log: log}); err != nil {
		t.Errorf("the table itself is refused: %v", err)
	}
}

func TestARequestReachesItsHandlerWithTypedFieldsAndItsActor(t *testing.T) {
	var got api.StepDispatchRequest
	var who api.Actor
	g := start(t, Handlers{api.OpStepDispatch: Handle(func(_ context.Context, a api.Actor, r api.StepDispatchRequest) (api.Step, error) {
		got, who = r, a
		return api.Step{ID: "step_9", RunID: r.RunID, Text: r.Text}, nil
	})})
	status, data, h := g.ask(http.MethodPost, "/api/v1/runs/run_7/steps",
		`{"text":"fix é\n🙂","executor":"claude","paths":{"write":["src/**"]},"gates":["tests"],"wall":"10m","idempotency_key":"k1"}`)
	var step api.Step
	if err := json.Unmarshal(data, &step); err != nil || status != http.StatusAccepted || step.ID != "step_9" {
		t.Fatalf("answer %d %s, %v", status, data, err)
	}
	want := api.StepDispatchRequest{RunID: "run_7", Text: "fix é\n🙂", Executor: "claude", Wall: "10m", Key: "k1",
		Paths: &api.PathRules{Write: []string{"src/**"}}, Gates: []string{"tests"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("request is %+v, want %+v", got, want)
	}
	if want := (api.Actor{Kind: "operator", ID: fmt.Sprintf("uid:%d", os.Geteuid())}); who != want {
		t.Errorf("actor is %+v, want %+v", who, want)
	}
	for k, v := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Type": "application/json"} {
		if h.Get(k) != v {
			t.Errorf("header %s is %q, want %q", k, h.Get(k), v)
		}
	}
	if strings.Contains(g.log.String(), "fix") {
		t.Error("the step's text is in the log")
	}
}

func TestAQueryIsBoundToTheFieldsOfARead(t *testing.T) {
	var got api.StreamRequest
	var list api.RunListRequest
	g := start(t, Handlers{
		api.OpAttemptStream: Handle(func(_ context.Context, _ api.Actor, r api.StreamRequest) (api.Blob, error) {
			got = r
			return api.Blob{Size: 0, Body: io.NopCloser(strings.NewReader(""))}, nil
		}),
		api.OpRunList: Handle(func(_ context.Context, _ api.Actor, r api.RunListRequest) (api.List[api.Run], error) {
			list = r
			return api.List[api.Run]{Items: []api.Run{}}, nil
		}),
	})
	if status, data, _ := g.ask(http.MethodGet, "/api/v1/attempts/att_3/stream?offset=9007199254740993&follow=true", ""); status != http.StatusOK {
		t.Fatalf("answer %d %s", status, data)
	}
	if want := (api.StreamRequest{AttemptID: "att_3", Offset: 9007199254740993, Follow: true}); got != want {
		t.Errorf("request is %+v, want %+v", got, want)
	}
	if status, data, _ := g.ask(http.MethodGet, "/api/v1/runs?limit=7&cursor=abc&state=open", ""); status != http.StatusOK {
		t.Fatalf("answer %d %s", status, data)
	}
	if want := (api.RunListRequest{Page: api.Page{Limit: 7, Cursor: "abc"}, State: "open"}); list != want {
		t.Errorf("request is %+v, want %+v", list, want)
	}
}

func TestOnlyTheOperatorDecidesApprovals(t *testing.T) {
	decided := 0
	g := start(t, Handlers{api.OpApprovalDecide: Handle(func(context.Context, api.Actor, api.ApprovalDecideRequest) (api.Approval, error) {
		decided++
		return api.Approval{}, nil
	})})
	const target, body = "/api/v1/approvals/apr_1/decide", `{"decision":"allow"}`
	for _, name := range []string{"", "mcp", "clio"} {
		status, data, _ := g.ask(http.MethodPost, target, body, header(api.HeaderClient, name), func(r *http.Request) {
			if name == "" {
				r.Header.Del(api.HeaderClient)
			}
		})
		if e := refusal(t, status, data); e.Code != "forbidden" || e.Hint == "" {
			t.Errorf("client %q: %+v", name, e)
		}
	}
	status, data, _ := g.askOver("tcp", http.MethodPost, target, body, header("Authorization", "Bearer "+testToken))
	if e := refusal(t, status, data); e.Code != "forbidden" {
		t.Errorf("over the port: %+v", e)
	}
	if status, data, _ := g.ask(http.MethodPost, target, body); status != http.StatusOK || decided != 1 {
		t.Errorf("operator: %d %s, decided %d times", status, data, decided)
	}
}

// A client with a block has what the block names; one without has everything but the operator's decisions.
func TestAClientHasWhatTheConfigurationGrants(t *testing.T) {
	called := 0
	g := start(t, Handlers{
		api.OpApprovalDecide: Handle(func(context.Context, api.Actor, api.ApprovalDecideRequest) (api.Approval, error) {
			called++
			return api.Approval{}, nil
		}),
		api.OpDoctor: Handle(func(context.Context, api.Actor, api.Empty) (api.Doctor, error) { return api.Doctor{}, nil }),
	}, func(o *Options) {
		o.Granted = func(client string, op api.Op) (bool, bool) {
			return client != "free", client == "judge" && op == api.OpApprovalDecide
		}
	})
	const target, body = "/api/v1/approvals/apr_1/decide", `{"decision":"allow"}`
	for client, want := range map[string][2]int{"judge": {200, 403}, "narrow": {403, 403}, "free": {403, 200}} {
		decide, _, _ := g.ask(http.MethodPost, target, body, header(api.HeaderClient, client))
		look, _, _ := g.ask(http.MethodGet, "/api/v1/doctor", "", header(api.HeaderClient, client))
		if got := [2]int{decide, look}; got != want {
			t.Errorf("%s: %v, want %v", client, got, want)
		}
	}
	if called != 1 {
		t.Errorf("decided %d times", called)
	}
}

func TestTheClientsNameIsItsActorAndIsChecked(t *testing.T) {
	var who api.Actor
	g := start(t, Handlers{api.OpDoctor: Handle(func(_ context.Context, a api.Actor, _ api.Empty) (api.Doctor, error) {
		who = a
		return api.Doctor{}, nil
	})})
	g.ask(http.MethodGet, "/api/v1/doctor", "", header(api.HeaderClient, "my-planner"))
	if who != (api.Actor{Kind: "client", ID: "my-planner"}) {
		t.Errorf("actor is %+v", who)
	}
	for _, name := range []string{"CLI", "a b", "é", "../x", strings.Repeat("a", 33), "operator/uid:0"} {
		status, data, _ := g.ask(http.MethodGet, "/api/v1/doctor", "", header(api.HeaderClient, name))
		if e := refusal(t, status, data); e.Code != "invalid_request" || e.Where != api.HeaderClient {
			t.Errorf("name %q: %+v", name, e)
		}
	}
}

func TestF18_NoErrorIsDroppedAndNoInternalTextLeaks(t *testing.T) {
	secret := errors.New("open /secret/state.db: disk I/O error")
	g := start(t, Handlers{
		api.OpRunClose: Handle(func(context.Context, api.Actor, api.RunRef) (api.Run, error) {
			return api.Run{}, fmt.Errorf("close run: %w", secret)
		}),
		api.OpRunCancel: Handle(func(context.Context, api.Actor, api.RunCancelRequest) (api.Run, error) {
			return api.Run{}, fault.Wrap(secret, fault.RunNotOpen, "the run is closed").At("run_1").Fix("run: drawspan run open")
		}),
		api.OpGC: Handle(func(context.Context, api.Actor, api.GCRequest) (api.GCReport, error) { panic(secret) }),
		api.OpBackup: Handle(func(context.Context, api.Actor, api.BackupRequest) (api.BackupReport, error) {
			return api.BackupReport{}, fault.New("made_up_code", "secret words")
		}),
		api.OpConfigShow: Handle(func(context.Context, api.Actor, api.Empty) (api.ConfigShown, error) {
			return api.ConfigShown{Config: json.RawMessage("{broken")}, nil
		}),
	})
	for _, c := range []struct{ method, target, body, code string }{
		{http.MethodPost, "/api/v1/runs/run_1/close", "{}", "internal"},
		{http.MethodPost, "/api/v1/gc", "{}", "internal"},
		{http.MethodPost, "/api/v1/backup", `{"dir":"/x"}`, "internal"},
		{http.MethodGet, "/api/v1/config", "", "internal"},
		{http.MethodPost, "/api/v1/runs/run_1/cancel", "{}", "run_not_open"},
	} {
		status, data, _ := g.ask(c.method, c.target, c.body)
		e := refusal(t, status, data)
		if e.Code != c.code || strings.Contains(string(data), "secret") {
			t.Errorf("%s: %s", c.target, data)
		}
		if c.code == "internal" && !strings.Contains(g.log.String(), e.Request) {
			t.Errorf("%s: request %s is not in the log", c.target, e.Request)
		}
	}
	for _, want := range []string{"disk I/O error", "panic", "secret words"} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("%q is not in the log", want)
		}
	}
}

func TestAServerThatStopsEndsWaitsAtOnceAndLetsWritesFinish(t *testing.T) {
	waiting, writing, finish := make(chan struct{}), make(chan struct{}), make(chan struct{})
	g := start(t, Handlers{
		api.OpStepGet: Handle(func(ctx context.Context, _ api.Actor, _ api.StepRef) (api.Step, error) {
			close(waiting)
			<-ctx.Done()
			return api.Step{}, ctx.Err()
		}),
		api.OpRunClose: Handle(func(ctx context.Context, _ api.Actor, _ api.RunRef) (api.Run, error) {
			close(writing)
			<-finish
			return api.Run{ID: "run_1"}, ctx.Err()
		}),
	})
	read, wrote := make(chan []byte, 1), make(chan []byte, 1)
	var clients sync.WaitGroup
	defer clients.Wait()
	clients.Go(func() { _, data, _ := g.ask(http.MethodGet, "/api/v1/steps/step_1?wait=300", ""); read <- data })
	clients.Go(func() { _, data, _ := g.ask(http.MethodPost, "/api/v1/runs/run_1/close", "{}"); wrote <- data })
	<-waiting
	<-writing
	stopped := make(chan error, 1)
	clients.Go(func() { stopped <- g.stop() })
	if data := <-read; !bytes.Contains(data, []byte(`"unavailable"`)) {
		t.Errorf("the wait was answered with %s", data)
	}
	close(finish)
	if data := <-wrote; !bytes.Contains(data, []byte("run_1")) {
		t.Errorf("the write was answered with %s", data)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := os.Lstat(g.socket); err == nil {
		t.Error("the socket is still there")
	}
}

func TestAStopIsBoundedEvenWhenAHandlerNeverEnds(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	g := start(t, Handlers{api.OpRunClose: Handle(func(context.Context, api.Actor, api.RunRef) (api.Run, error) {
		close(entered)
		<-release
		return api.Run{}, nil
	})}, func(o *Options) { o.Grace = 50 * time.Millisecond })
	var client sync.WaitGroup
	client.Go(func() {
		c, err := net.Dial("unix", g.socket)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "POST /api/v1/runs/run_1/close HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		io.Copy(io.Discard, c)
	})
	<-entered
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	close(release)
	client.Wait()
}

func TestOpenAPIIsServedAndNamesEveryLocalOperation(t *testing.T) {
	g := start(t, nil)
	status, data, _ := g.ask(http.MethodGet, openAPIPath, "")
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil || status != http.StatusOK {
		t.Fatalf("answer %d, %v", status, err)
	}
	var got, want []string
	for path, methods := range doc.Paths {
		for m, o := range methods {
			got = append(got, strings.ToUpper(m)+" "+path+" "+o.OperationID)
		}
	}
	for _, rt := range routesOf(stubs()) {
		want = append(want, rt.row.Method+" "+api.Prefix+rt.row.Path+" "+string(rt.row.Name))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("document has %q, routes are %q", got, want)
	}
}
