package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/httpapi"
)

func TestARequestArrivesAsItWasMade(t *testing.T) {
	sent := api.StepDispatchRequest{RunID: "run_1", Text: "a \"b\"\n🙂 & <c>", Executor: "x", Paths: &api.PathRules{Forbid: []string{"**/*.lock"}},
		Wall: "10m", Gates: []string{"g"}, Expect: "none", Key: "a/b:c"}
	listed := api.RunListRequest{Page: api.Page{Limit: 3, Cursor: "a+b/c=&d"}, Workspace: "api", State: "open"}
	streamed := api.StreamRequest{AttemptID: "att_1", Offset: 1 << 60, Follow: true}
	var step api.StepDispatchRequest
	var list api.RunListRequest
	var stream api.StreamRequest
	var actors []string
	d := serve(t, httpapi.Handlers{
		api.OpStepDispatch: httpapi.Handle(func(_ context.Context, a api.Actor, r api.StepDispatchRequest) (api.Step, error) {
			step, actors = r, append(actors, a.Kind)
			return api.Step{ID: "step_1", Gates: []string{"g"}}, nil
		}),
		api.OpRunList: httpapi.Handle(func(_ context.Context, a api.Actor, r api.RunListRequest) (api.List[api.Run], error) {
			list, actors = r, append(actors, a.Kind)
			return api.List[api.Run]{Items: []api.Run{{ID: "run_1"}}, Next: "more"}, nil
		}),
		api.OpAttemptStream: httpapi.Handle(func(_ context.Context, a api.Actor, r api.StreamRequest) (api.Blob, error) {
			stream, actors = r, append(actors, a.Kind)
			return api.Blob{Size: -1, Body: io.NopCloser(strings.NewReader("line\n"))}, nil
		}),
	})
	for name, c := range map[string]*client.Client{
		"operator": d.dial(),
		"client":   d.dial(func(o *client.Options) { *o = client.Options{Address: d.port, Token: token} }),
	} {
		actors = nil
		got, err := client.Call[api.Step](t.Context(), c, api.OpStepDispatch, sent)
		if err != nil || got.ID != "step_1" || !reflect.DeepEqual(step, sent) {
			t.Errorf("%s: step %+v, %v; daemon saw %+v", name, got, err, step)
		}
		runs, err := client.Call[api.List[api.Run]](t.Context(), c, api.OpRunList, listed)
		if err != nil || len(runs.Items) != 1 || runs.Next != "more" || list != listed {
			t.Errorf("%s: runs %+v, %v; daemon saw %+v", name, runs, err, list)
		}
		body, err := c.Stream(t.Context(), api.OpAttemptStream, streamed)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if err != nil || string(data) != "line\n" || stream != streamed || body.Close() != nil {
			t.Errorf("%s: stream %q, %v; daemon saw %+v", name, data, err, stream)
		}
		if want := []string{name, name, name}; !reflect.DeepEqual(actors, want) {
			t.Errorf("actors are %v, want %v", actors, want)
		}
	}
}

func TestEveryOperationIsCallable(t *testing.T) {
	d := serve(t, nil)
	c := d.dial()
	for _, o := range api.Operations() {
		if !o.Surfaces.Has(api.Local) || o.Stream != api.StreamNone {
			continue
		}
		req := reflect.New(reflect.TypeOf(o.Request)).Elem()
		for _, f := range api.FieldsOf(req.Type()) {
			if f.Required && f.Type.Kind() == reflect.String {
				req.FieldByIndex(f.Index).SetString(example(f))
			}
		}
		if err := kinds()[o.Name].call(t, c, o.Name, req.Interface()); err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
}

// example is a value that keeps a field's rule.
func example(f api.Field) string {
	switch f.Rule.Format {
	case api.FormatID:
		return f.Rule.Prefix + "1"
	case api.FormatAbsPath:
		return "/x"
	}
	if len(f.Rule.Enum) > 0 {
		return f.Rule.Enum[0]
	}
	return "x"
}

func TestFaultsComeBackAsTheDaemonMadeThem(t *testing.T) {
	var next error
	d := serve(t, httpapi.Handlers{
		api.OpRunGet: httpapi.Handle(func(context.Context, api.Actor, api.RunRef) (api.Run, error) { return api.Run{}, next }),
		api.OpRunExport: httpapi.Handle(func(context.Context, api.Actor, api.RunRef) (api.Blob, error) {
			return api.Blob{}, next
		}),
	})
	c := d.dial()
	for _, code := range fault.Codes() {
		next = fault.Wrap(errors.New("cause"), code, "message of %s", code).At("where").Fix("hint")
		want := fault.Fault{Code: code, Message: "message of " + string(code), Where: "where", Hint: "hint"}
		_, err := client.Call[api.Run](t.Context(), c, api.OpRunGet, api.RunRef{RunID: "run_1"})
		_, serr := c.Stream(t.Context(), api.OpRunExport, api.RunRef{RunID: "run_1"})
		for _, err := range []error{err, serr} {
			var f *fault.Fault
			if !errors.As(err, &f) || f.Code != code {
				t.Errorf("%s came back as %v", code, err)
			} else if code != fault.Internal && *f != want {
				t.Errorf("got %+v, want %+v", *f, want)
			} else if code == fault.Internal && (!strings.HasPrefix(f.Where, "req_") || strings.Contains(f.Message, "message of")) {
				t.Errorf("internal came back as %+v", *f)
			}
		}
	}
	next = nil
	_, err := client.Call[api.Run](t.Context(), c, api.OpRunGet, api.RunRef{RunID: "step_1"})
	if f := fault.From(err); f.Code != fault.InvalidRequest || f.Where != "run_id" {
		t.Errorf("a refusal of the daemon's door came back as %v", err)
	}
}

func TestADaemonThatDoesNotRunIsUnavailable(t *testing.T) {
	stale := filepath.Join(shortDir(t), "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := tcp.Close(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.Options{{Socket: filepath.Join(shortDir(t), "none")}, {Socket: stale}, {Address: tcp.Addr().String()}} {
		c := client.Open(o)
		_, err := client.Call[api.Instance](t.Context(), c, api.OpInstanceDescribe, api.Empty{})
		f := fault.From(err)
		if f.Code != fault.Unavailable || !strings.Contains(f.Hint, "drawspan serve") || f.Where == "" {
			t.Errorf("%+v: %v (%s)", o, err, f.Hint)
		}
		if _, err := c.Events(t.Context(), api.EventsRequest{}).Next(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%+v: events: %v", o, err)
		}
	}
}

func TestASocketsPathThatDoesNotFitIsSaidToBe(t *testing.T) {
	c := client.Open(client.Options{Socket: "/" + strings.Repeat("x", 107)})
	_, err := client.Call[api.Instance](t.Context(), c, api.OpInstanceDescribe, api.Empty{})
	if f := fault.From(err); f.Code != fault.ConfigInvalid || !strings.Contains(f.Message, "108 bytes") || !strings.Contains(f.Hint, "shorter") {
		t.Errorf("%v (%s)", err, f.Hint)
	}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestACallEndsWithItsContext(t *testing.T) {
	entered := make(chan struct{})
	d := serve(t, httpapi.Handlers{api.OpStepGet: httpapi.Handle(func(ctx context.Context, _ api.Actor, _ api.StepRef) (api.Step, error) {
		close(entered)
		<-ctx.Done()
		return api.Step{}, ctx.Err()
	})})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the person pressed Ctrl-C")
	go func() { <-entered; cancel(why) }()
	_, err := client.Call[api.Step](ctx, d.dial(), api.OpStepGet, api.StepRef{StepID: "step_1", Wait: 300})
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestAStreamThatBreaksOffIsNotAnEnd(t *testing.T) {
	d := serve(t, httpapi.Handlers{api.OpRunExport: httpapi.Handle(func(context.Context, api.Actor, api.RunRef) (api.Blob, error) {
		return api.Blob{Size: 10, Body: io.NopCloser(strings.NewReader("half"))}, nil
	})})
	body, err := d.dial().Stream(t.Context(), api.OpRunExport, api.RunRef{RunID: "run_1"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if data, err := io.ReadAll(body); !fault.Is(err, fault.Unavailable) {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestF1_ARedirectIsNotFollowed(t *testing.T) {
	reached := false
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			reached = true
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer ts.Close()
	c := client.Open(client.Options{Address: strings.TrimPrefix(ts.URL, "http://"), Token: token})
	_, err := client.Call[api.Run](t.Context(), c, api.OpRunClose, api.RunRef{RunID: "run_1"})
	if err == nil || reached {
		t.Errorf("got %v, followed %v", err, reached)
	}
}

func TestAnIDThatIsAPathNeverBecomesOne(t *testing.T) {
	asked := 0
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++ }))
	defer ts.Close()
	c := client.Open(client.Options{Address: strings.TrimPrefix(ts.URL, "http://"), Token: token})
	for _, id := range []string{"", ".", "..", "../gc", "run_1/cancel", "run_1?x=1", "run_1#x", "a b", "run_%2e", "é"} {
		_, err := client.Call[api.Run](t.Context(), c, api.OpRunClose, api.RunRef{RunID: id})
		if f := fault.From(err); f.Code != fault.InvalidRequest || f.Where != "run_id" {
			t.Errorf("%q: %v", id, err)
		}
	}
	if asked != 0 {
		t.Errorf("%d requests were sent", asked)
	}
}

func TestMisuseIsSaidBeforeAnythingIsSent(t *testing.T) {
	c := client.Open(client.Options{Socket: filepath.Join(t.TempDir(), "none")})
	calls := map[string]func() error{
		"an unknown operation": func() error {
			_, err := client.Call[api.Run](t.Context(), c, "run.destroy", api.RunRef{})
			return err
		},
		"an operation of the relay": func() error {
			_, err := client.Call[api.Run](t.Context(), c, api.OpTokenCreate, api.Empty{})
			return err
		},
		"another answer": func() error {
			_, err := client.Call[api.Step](t.Context(), c, api.OpRunGet, api.RunRef{RunID: "run_1"})
			return err
		},
		"another request": func() error {
			_, err := client.Call[api.Run](t.Context(), c, api.OpRunGet, api.StepRef{StepID: "step_1"})
			return err
		},
		"a stream as a call": func() error {
			_, err := client.Call[api.Blob](t.Context(), c, api.OpRunExport, api.RunRef{RunID: "run_1"})
			return err
		},
		"a call as a stream": func() error {
			_, err := c.Stream(t.Context(), api.OpRunGet, api.RunRef{RunID: "run_1"})
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := client.Call[api.Step](t.Context(), c, api.OpStepDispatch, api.StepDispatchRequest{RunID: "run_1", Text: strings.Repeat("t", api.MaxBody)})
	if !fault.Is(err, fault.TooLarge) {
		t.Errorf("a body that is too large: %v", err)
	}
}

func TestAnswersThatAreNotTheAPIsAreSaidToBe(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a page":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"a bad page":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
		"a bare code": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"no error":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); fmt.Fprint(w, `{"error":{}}`) },
	} {
		ts := httptest.NewServer(h)
		c := client.Open(client.Options{Address: strings.TrimPrefix(ts.URL, "http://")})
		if _, err := client.Call[api.Instance](t.Context(), c, api.OpInstanceDescribe, api.Empty{}); !fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v", name, err)
		}
		ts.Close()
	}
}

func TestFieldsOfALaterVersionAreIgnored(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"inst_1","version":"9","moon_phase":"full"}`)
	}))
	defer ts.Close()
	c := client.Open(client.Options{Address: strings.TrimPrefix(ts.URL, "http://")})
	if got, err := client.Call[api.Instance](t.Context(), c, api.OpInstanceDescribe, api.Empty{}); err != nil || got.ID != "inst_1" {
		t.Errorf("got %+v, %v", got, err)
	}
}
