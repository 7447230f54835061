package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

func blobs(f func(ctx context.Context) api.Blob) Handlers {
	return Handlers{api.OpAttemptStream: Handle(func(ctx context.Context, _ api.Actor, _ api.StreamRequest) (api.Blob, error) {
		return f(ctx), nil
	})}
}

func events(f func(ctx context.Context, req api.EventsRequest) (api.Events, error)) Handlers {
	return Handlers{api.OpEventsSubscribe: Handle(func(ctx context.Context, _ api.Actor, r api.EventsRequest) (api.Events, error) {
		return f(ctx, r)
	})}
}

// open begins a request whose answer is read by the caller.
func (g *rig) open(ctx context.Context, target string, edit ...func(*http.Request)) *http.Response {
	g.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x"+target, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range edit {
		f(r)
	}
	resp, err := g.over("unix").Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// pipeBody is a body that is written by the test and tells when it was closed.
type pipeBody struct {
	*io.PipeReader
	closed chan struct{}
	once   sync.Once
}

func (p *pipeBody) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.PipeReader.Close()
}

func newPipe() (*pipeBody, *io.PipeWriter) {
	r, w := io.Pipe()
	return &pipeBody{PipeReader: r, closed: make(chan struct{})}, w
}

const followed = "/api/v1/attempts/att_1/stream?follow=true"

func TestF25_AStreamOutlivesEveryDeadlineOfItsParts(t *testing.T) {
	body, w := newPipe()
	g := start(t, blobs(func(context.Context) api.Blob { return api.Blob{Media: "application/jsonl", Size: -1, Body: body} }),
		func(o *Options) { o.Pace = 200 * time.Millisecond })
	resp := g.open(t.Context(), followed)
	lines := bufio.NewReader(resp.Body)
	// Each line comes at once, though the stream as a whole lasts several times the time that any one
	// part may take.
	for i := range 5 {
		if i > 0 {
			<-time.After(150 * time.Millisecond)
		}
		fmt.Fprintf(w, "{\"n\":%d}\n", i)
		line, err := lines.ReadString('\n')
		if err != nil || line != fmt.Sprintf("{\"n\":%d}\n", i) {
			t.Fatalf("line %d is %q, %v", i, line, err)
		}
	}
	<-time.After(400 * time.Millisecond) // silence for longer than the pace
	fmt.Fprintln(w, "last")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "last\n" {
		t.Errorf("end is %q, %v", rest, err)
	}
	<-body.closed
}

func TestAReaderThatStandsStillIsDropped(t *testing.T) {
	body, w := newPipe()
	g := start(t, blobs(func(context.Context) api.Blob { return api.Blob{Size: -1, Body: body} }),
		func(o *Options) { o.Pace = 50 * time.Millisecond })
	g.open(t.Context(), followed) // and never read
	var err error
	for err == nil {
		_, err = w.Write(make([]byte, chunk))
	}
	<-body.closed
}

func TestAClientThatGoesAwayEndsAReadInProgress(t *testing.T) {
	body, _ := newPipe()
	g := start(t, blobs(func(context.Context) api.Blob { return api.Blob{Size: -1, Body: body} }))
	ctx, cancel := context.WithCancel(t.Context())
	g.open(ctx, followed)
	cancel()
	<-body.closed
}

func TestAStopEndsFollowedStreams(t *testing.T) {
	body, _ := newPipe()
	g := start(t, blobs(func(context.Context) api.Blob { return api.Blob{Size: -1, Body: body} }))
	resp := g.open(t.Context(), followed)
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	<-body.closed
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a stream that was cut looks complete")
	}
}

func TestABlobThatCannotBeReadIsAnErrorOrABrokenAnswer(t *testing.T) {
	broken := fault.New(fault.ArtifactCorrupt, "the bytes are not those that were recorded").At("diff.patch")
	reader := func(text string, err error) io.ReadCloser {
		return io.NopCloser(io.MultiReader(strings.NewReader(text), failing{err}))
	}
	for _, c := range []struct {
		name string
		blob api.Blob
		code string // "" = the answer breaks off
	}{
		{"at once", api.Blob{Size: 4, Body: reader("", broken)}, "artifact_corrupt"},
		{"no body", api.Blob{Size: 4}, "internal"},
		{"in the middle", api.Blob{Size: 4, Body: reader("ab", broken)}, ""},
		{"in the middle, followed", api.Blob{Size: -1, Body: reader("ab", broken)}, ""},
		{"too short", api.Blob{Size: 4, Body: reader("ab", io.EOF)}, ""},
		{"too long", api.Blob{Size: 1, Body: reader("ab", io.EOF)}, ""},
	} {
		g := start(t, blobs(func(context.Context) api.Blob { return c.blob }))
		resp, err := g.over("unix").Get("http://x" + followed)
		if err != nil {
			if c.code != "" {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if c.code != "" {
			if e := refusal(t, resp.StatusCode, data); e.Code != c.code {
				t.Errorf("%s: %+v", c.name, e)
			}
		} else if err == nil {
			t.Errorf("%s: %q looks complete", c.name, data)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestABlobIsNeverShownAsAPage(t *testing.T) {
	g := start(t, blobs(func(context.Context) api.Blob {
		return api.Blob{Media: "text/html\r\nSet-Cookie: x", Size: 2, Name: "../a\"b\r\n.html", Body: io.NopCloser(strings.NewReader("hi"))}
	}))
	resp := g.open(t.Context(), followed)
	for k, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Set-Cookie": "", "Content-Length": "2",
	} {
		if got := resp.Header.Get(k); got != want {
			t.Errorf("header %s is %q, want %q", k, got, want)
		}
	}
	if d := resp.Header.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment") || strings.Contains(d, "..") {
		t.Errorf("disposition %q", d)
	}
}

// readFrames reads n frames that are no comments.
func readFrames(t *testing.T, r *bufio.Reader, n int) []string {
	t.Helper()
	var frames []string
	for frame := ""; len(frames) < n; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", frames, err)
		}
		if frame += line; line == "\n" {
			if !strings.HasPrefix(frame, ":") {
				frames = append(frames, frame)
			}
			frame = ""
		}
	}
	return frames
}

// counted is a log whose event n has the position 1.n.
func counted(after string, most uint64) func(context.Context) (api.Event, error) {
	p, err := api.ParsePosition(after)
	return func(ctx context.Context) (api.Event, error) {
		if err != nil {
			return api.Event{}, err
		}
		if p.Seq++; p.Seq > most {
			<-ctx.Done()
			return api.Event{}, ctx.Err()
		}
		return api.Event{Pos: "1." + fmt.Sprint(p.Seq), Kind: "step.passed", Body: []byte(`{"text":"a\nb"}`)}, nil
	}
}

func TestEventsCarryTheirPositionAndResumeThere(t *testing.T) {
	g := start(t, events(func(_ context.Context, r api.EventsRequest) (api.Events, error) {
		if r.After == "" {
			r.After = "1.3"
		}
		return api.Events{Start: r.After, Next: counted(r.After, 8)}, nil
	}))
	for _, c := range []struct{ query, last, start, first string }{
		{"", "", "1.3", "1.4"},
		{"?after=1.5", "", "1.5", "1.6"},
		{"?after=1.5", "1.6", "1.6", "1.7"}, // the header wins
		{"", "1.7", "1.7", "1.8"},
	} {
		resp := g.open(t.Context(), "/api/v1/events/stream"+c.query, func(r *http.Request) {
			if c.last != "" {
				r.Header.Set("Last-Event-ID", c.last)
			}
		})
		if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("type %q", got)
		}
		frames := readFrames(t, bufio.NewReader(resp.Body), 2)
		if want := "retry: 2000\nid: " + c.start + "\n\n"; frames[0] != want {
			t.Errorf("%+v: begins with %q, want %q", c, frames[0], want)
		}
		if want := "id: " + c.first + "\ndata: {\"pos\":\"" + c.first + "\""; !strings.HasPrefix(frames[1], want) || strings.Count(frames[1], "\n") != 3 {
			t.Errorf("%+v: then %q, want %q", c, frames[1], want)
		}
	}
	status, data, _ := g.ask(http.MethodGet, "/api/v1/events/stream", "", header("Last-Event-ID", "7"))
	if e := refusal(t, status, data); e.Where != "Last-Event-ID" {
		t.Errorf("%+v", e)
	}
}

func TestEventsEndAfterTheirLimit(t *testing.T) {
	g := start(t, events(func(context.Context, api.EventsRequest) (api.Events, error) {
		return api.Events{Next: counted("1.0", 8)}, nil
	}))
	resp := g.open(t.Context(), "/api/v1/events/stream?limit=3")
	data, err := io.ReadAll(resp.Body)
	if n := strings.Count(string(data), "data:"); err != nil || n != 3 {
		t.Errorf("%d events, %v", n, err)
	}
}

func TestAQuietStreamOfEventsBeats(t *testing.T) {
	g := start(t, events(func(context.Context, api.EventsRequest) (api.Events, error) {
		return api.Events{Next: counted("1.0", 0)}, nil
	}), func(o *Options) { o.Beat = 5 * time.Millisecond })
	r := bufio.NewReader(g.open(t.Context(), "/api/v1/events/stream").Body)
	for beats := 0; beats < 3; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ": beat\n" {
			beats++
		}
	}
}

func TestAFaultInTheMiddleOfEventsIsSaidInTheStream(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fault.New(fault.Stale, "the log was restored"), `event: fault` + "\n" + `data: {"error":{"code":"stale_revision","message":"the log was restored"`},
		{errors.New("secret text"), `event: fault` + "\n" + `data: {"error":{"code":"internal"`},
	} {
		g := start(t, events(func(context.Context, api.EventsRequest) (api.Events, error) {
			return api.Events{Next: func(context.Context) (api.Event, error) { return api.Event{}, c.err }}, nil
		}))
		frames := readFrames(t, bufio.NewReader(g.open(t.Context(), "/api/v1/events/stream").Body), 2)
		if !strings.HasPrefix(frames[1], c.want) || strings.Contains(frames[1], "secret") {
			t.Errorf("got %q, want %q", frames[1], c.want)
		}
	}
}

func TestEventsEndInOrderWhenTheirSourceDoesOrTheDaemonStops(t *testing.T) {
	ended := make(chan struct{})
	g := start(t, events(func(_ context.Context, r api.EventsRequest) (api.Events, error) {
		next := counted("1.0", 0)
		if r.Kind == "end" {
			next = func(context.Context) (api.Event, error) { return api.Event{}, io.EOF }
		}
		return api.Events{Next: func(ctx context.Context) (api.Event, error) {
			e, err := next(ctx)
			if r.Kind != "end" {
				close(ended)
			}
			return e, err
		}}, nil
	}))
	if data, err := io.ReadAll(g.open(t.Context(), "/api/v1/events/stream?kind=end").Body); err != nil || strings.Contains(string(data), "fault") {
		t.Errorf("end of the source: %q, %v", data, err)
	}
	resp := g.open(t.Context(), "/api/v1/events/stream")
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	<-ended
	if data, err := io.ReadAll(resp.Body); err != nil || strings.Contains(string(data), "fault") {
		t.Errorf("stop: %q, %v", data, err)
	}
}

func TestTooManyStreamsAreRefusedAndPlainRequestsAreNot(t *testing.T) {
	g := start(t, blobs(func(ctx context.Context) api.Blob {
		body, _ := newPipe()
		return api.Blob{Size: -1, Body: body}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range maxStreams {
		g.open(ctx, followed)
	}
	status, data, _ := g.ask(http.MethodGet, followed, "")
	if e := refusal(t, status, data); e.Code != "unavailable" {
		t.Errorf("%+v", e)
	}
	if status, _, _ := g.ask(http.MethodGet, "/api/v1/instance", ""); status != http.StatusOK {
		t.Errorf("a plain request is answered with %d", status)
	}
}
