package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdHTTP is: http [-tcp] [-host HOST] [-h 'NAME: VALUE']... [-d BODY | -f FILE] METHOD PATH. The request goes
// to the daemon's socket, or with -tcp to its port, exactly as it is given. stdout is the status, stderr
// the head, and body.json the body.
func cmdHTTP(ts *testscript.TestScript, _ bool, args []string) {
	o, err := parseHTTP(ts, args)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, o.method, "http://drawspan", strings.NewReader(o.body))
	ts.Check(err)
	if req.URL, err = url.ParseRequestURI("http://drawspan" + o.path); err != nil {
		ts.Fatalf("path %q: %v", o.path, err)
	}
	if o.tcp {
		req.Host = ts.Getenv("ADDRESS")
	}
	if o.host != "" {
		req.Host = o.host
	}
	req.Header = o.header
	client := dialer(ts, o.tcp)
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	ts.Check(err)
	var head strings.Builder
	ts.Check(resp.Header.Write(&head))
	say(ts, fmt.Sprintf("%d\n%s\n", resp.StatusCode, body), head.String())
}

type httpOptions struct {
	method, path, host, body string
	tcp                      bool
	header                   http.Header
}

func parseHTTP(ts *testscript.TestScript, args []string) (httpOptions, error) {
	o := httpOptions{header: http.Header{}}
	for len(args) > 2 {
		flag := args[0]
		if args = args[1:]; flag == "-tcp" {
			o.tcp = true
			continue
		}
		value := args[0]
		args = args[1:]
		switch flag {
		case "-host":
			o.host = value
		case "-h":
			name, v, _ := strings.Cut(value, ": ")
			o.header.Add(name, v)
		case "-d":
			o.body = value
		case "-f":
			o.body = ts.ReadFile(value)
		default:
			return o, fmt.Errorf("unknown flag %q", flag)
		}
	}
	if len(args) != 2 {
		return o, errors.New("usage: http [FLAG...] METHOD PATH")
	}
	o.method, o.path = args[0], args[1]
	if o.body != "" && o.header.Get("Content-Type") == "" {
		o.header.Set("Content-Type", "application/json")
	}
	return o, nil
}

// dialer reaches the daemon of the script.
func dialer(ts *testscript.TestScript, tcp bool) *http.Client {
	network, address := "unix", ts.Getenv("SOCKET")
	if tcp {
		network, address = "tcp", ts.Getenv("ADDRESS")
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}},
	}
}

// open asks the daemon for a stream.
func open(ctx context.Context, ts *testscript.TestScript, path string, header http.Header) io.ReadCloser {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://drawspan/api/v1"+path, nil)
	ts.Check(err)
	if header != nil {
		req.Header = header
	}
	resp, err := dialer(ts, false).Do(req)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body) // the status alone says enough
		ts.Fatalf("GET %s: %s\n%s", path, resp.Status, body)
	}
	return resp.Body
}

// logged is an event of the log as the API sends it.
type logged struct {
	Pos       string          `json:"pos"`
	Kind      string          `json:"kind"`
	RunID     string          `json:"run_id"`
	StepID    string          `json:"step_id"`
	AttemptID string          `json:"attempt_id"`
	Body      json.RawMessage `json:"body"`
}

// follow reads server-sent events until take has enough.
func follow(ts *testscript.TestScript, body io.ReadCloser, take func(e logged) bool) {
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		var e logged
		ts.Check(json.Unmarshal([]byte(data), &e))
		if e.Kind != "" && take(e) {
			return
		}
	}
	ts.Fatalf("the stream of events ended: %v", lines.Err())
}

// cmdAwait is: await KIND ID. It waits until the log has an event of that kind on the run, step or attempt.
func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	follow(ts, open(ctx, ts, "/events/stream?after=0.0", nil), func(e logged) bool {
		return e.Kind == args[0] && (args[1] == e.RunID || args[1] == e.StepID || args[1] == e.AttemptID)
	})
}

// cmdAwaitLog is: awaitlog ATTEMPT TEXT. It waits until the attempt's stream holds the text.
func cmdAwaitLog(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	body := open(ctx, ts, "/attempts/"+args[0]+"/stream?follow=true", nil)
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	var seen strings.Builder
	for lines.Scan() {
		seen.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), args[1]) {
			return
		}
	}
	ts.Fatalf("the stream of %s ended without %q\n%s", args[0], args[1], seen.String())
}

// cmdResume is: resume RUN N. It reads N events of the run's log over one connection after another, cut
// after every event, each begun from the last id; they must be the N first, in order, none twice.
func cmdResume(ts *testscript.TestScript, _ bool, args []string) {
	want := events(ts, args[0])
	var got []string
	header := http.Header{}
	for range want {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		follow(ts, open(ctx, ts, "/events/stream?after=0.0&run_id="+args[0], header.Clone()), func(e logged) bool {
			got = append(got, e.Pos)
			header.Set("Last-Event-ID", e.Pos)
			return true
		})
		cancel()
	}
	for i, e := range want {
		if e.Pos != got[i] {
			ts.Fatalf("event %d came as %s, the log has %s", i, got[i], e.Pos)
		}
	}
}

// events reads the whole log of a run.
func events(ts *testscript.TestScript, runID string) []logged {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var all []logged
	for after := "0.0"; after != ""; {
		body := open(ctx, ts, "/events?limit=500&run_id="+runID+"&after="+after, nil)
		var page struct {
			Items []logged `json:"items"`
			Next  string   `json:"next"`
		}
		err := json.NewDecoder(body).Decode(&page)
		ts.Check(errors.Join(err, body.Close()))
		all, after = append(all, page.Items...), page.Next
	}
	return all
}
