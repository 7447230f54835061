package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/api"
)

const dispatch = "/api/v1/runs/run_1/steps"

func TestBadBodiesAreRefusedWithTheFieldsName(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"paths":`, n) + "{}" + strings.Repeat("}", n) }
	list := func(n int) string {
		return `{"text":"t","executor":"e","gates":[` + strings.Repeat(`"g",`, n) + `"g"]}`
	}
	with := func(field string) string { return `{"text":"t","executor":"e",` + field + `}` }
	g := start(t, refusing(t))
	for _, c := range []struct{ name, body, code, where string }{
		{"empty", "", "invalid_request", "body, byte 0"},
		{"no object", `[1]`, "invalid_request", "body"},
		{"a string", `"x"`, "invalid_request", "body"},
		{"null", `null`, "invalid_request", "body"},
		{"malformed", `{"text":`, "invalid_request", "body, byte 8"},
		{"trailing data", `{"text":"t","executor":"e"}{}`, "invalid_request", "body, byte 28"},
		{"trailing comma", `{"text":"t","executor":"e",}`, "invalid_request", "body, byte 28"},
		{"comment", `{/**/}`, "invalid_request", "body, byte 2"},
		{"byte order mark", "\ufeff{}", "invalid_request", "body, byte 1"},
		{"not UTF-8", "{\"text\":\"\xff\"}", "invalid_request", "body"},
		{"overlong UTF-8", "{\"text\":\"\xc0\xaf\"}", "invalid_request", "body"},
		{"half a character", `{"text":"\ud83d","executor":"e"}`, "invalid_request", "body, byte 9"},
		{"second half first", `{"text":"\udc00","executor":"e"}`, "invalid_request", "body, byte 9"},
		{"deeply nested", deep(33), "invalid_request", "body"},
		{"absurdly nested", strings.Repeat("[", 200_000), "invalid_request", "body, byte 10001"},
		{"unknown field", with(`"sandbox":"off"`), "invalid_request", "sandbox"},
		{"unknown field with control characters", with(`"\u001b[31m":1`), "invalid_request", `\x1b[31m`},
		{"unknown nested field", with(`"paths":{"read":[]}`), "invalid_request", "paths.read"},
		{"another case", with(`"Text":"u"`), "invalid_request", "Text"},
		{"given twice", with(`"text":"u"`), "invalid_request", "text"},
		{"nested twice", with(`"paths":{"write":[],"write":["**"]}`), "invalid_request", "paths.write"},
		{"twice by an escape", with(`"te\u0078t":"u"`), "invalid_request", "text"},
		{"required is missing", `{"text":"t"}`, "invalid_request", "executor"},
		{"required is empty", `{"text":"","executor":"e"}`, "invalid_request", "text"},
		{"field of the path", with(`"run_id":"run_2"`), "invalid_request", "run_id"},
		{"number for text", `{"text":1,"executor":"e"}`, "invalid_request", "text"},
		{"null for text", `{"text":null,"executor":"e"}`, "invalid_request", "text"},
		{"object for text", `{"text":{},"executor":"e"}`, "invalid_request", "text"},
		{"text for a list", with(`"gates":"g"`), "invalid_request", "gates"},
		{"number in a list", with(`"gates":["g",2]`), "invalid_request", "gates[1]"},
		{"empty in a list", with(`"gates":["g",""]`), "invalid_request", "gates[1]"},
		{"long list", list(64), "invalid_request", "gates"},
		{"list for an object", with(`"paths":[]`), "invalid_request", "paths"},
		{"null for an object", with(`"paths":null`), "invalid_request", "paths"},
		{"path for a name", `{"text":"t","executor":"../../bin/sh"}`, "invalid_request", "executor"},
		{"NUL in the text", `{"text":"a\u0000b","executor":"e"}`, "invalid_request", "text"},
		{"text too long", `{"text":"` + strings.Repeat("t", api.MaxText+1) + `","executor":"e"}`, "invalid_request", "text"},
		{"oversized", `{"text":"` + strings.Repeat("t", api.MaxBody) + `","executor":"e"}`, "too_large", "body"},
	} {
		status, data, _ := g.ask(http.MethodPost, dispatch, c.body)
		if e := refusal(t, status, data); e.Code != c.code || e.Where != c.where {
			t.Errorf("%s: got %s at %q (%s), want %s at %q", c.name, e.Code, e.Where, e.Message, c.code, c.where)
		}
	}
}

// refusing are handlers none of which may be reached.
func refusing(t *testing.T) Handlers {
	h := stubs()
	for op, f := range h {
		zero := reflect.Zero(f.resp).Interface()
		f.call = func(context.Context, api.Actor, any) (any, error) {
			t.Errorf("a bad request reached %s", op)
			return zero, nil
		}
		h[op] = f
	}
	return h
}

func TestTextAtItsLimitIsTaken(t *testing.T) {
	g := start(t, nil)
	body := `{"text":"` + strings.Repeat("t", api.MaxText) + `","executor":"e"}`
	if status, data, _ := g.ask(http.MethodPost, dispatch, body); status != http.StatusAccepted {
		t.Errorf("answer %d %s", status, data)
	}
	if status, data, _ := g.ask(http.MethodPost, dispatch, `{"text":"\ud83d\ude42 \\ud83d","executor":"e"}`); status != http.StatusAccepted {
		t.Errorf("a whole character, escaped: %d %s", status, data)
	}
}

func TestBadQueriesAreRefusedWithTheFieldsName(t *testing.T) {
	g := start(t, refusing(t))
	for _, c := range []struct{ target, where string }{
		{"/api/v1/runs?colour=red", "colour"},
		{"/api/v1/runs?Limit=1", "Limit"},
		{"/api/v1/runs?limit=1&limit=2", "limit"},
		{"/api/v1/runs?limit=1.0", "limit"},
		{"/api/v1/runs?limit=01", "limit"},
		{"/api/v1/runs?limit=%2B1", "limit"},
		{"/api/v1/runs?limit=-1", "limit"},
		{"/api/v1/runs?limit=501", "limit"},
		{"/api/v1/runs?limit=99999999999999999999", "limit"},
		{"/api/v1/runs?state=any", "state"},
		{"/api/v1/runs?workspace=%ff", "workspace"},
		{"/api/v1/runs?workspace=..%2f..", "workspace"},
		{"/api/v1/runs?a=1;b=2", "query"},
		{"/api/v1/runs?workspace=%zz", "query"},
		{"/api/v1/steps/step_1?wait=301", "wait"},
		{"/api/v1/steps/step_1?step_id=step_2", "step_id"},
		{"/api/v1/attempts/att_1/stream?follow=1", "follow"},
		{"/api/v1/attempts/att_1/artifact", "name"},
		{"/api/v1/attempts/att_1/artifact?name=", "name"},
		{"/api/v1/attempts/att_1/artifact?name=../../etc/shadow", "name"},
		{"/api/v1/attempts/att_1/artifact?name=/etc/shadow", "name"},
		{"/api/v1/events?after=5", "after"},
		{"/api/v1/events?kind=*", "kind"},
		{"/api/v1/instance?x=1", "x"},
	} {
		status, data, _ := g.ask(http.MethodGet, c.target, "")
		if e := refusal(t, status, data); e.Code != "invalid_request" || e.Where != c.where {
			t.Errorf("%s: got %s at %q, want invalid_request at %q", c.target, e.Code, e.Where, c.where)
		}
	}
	status, data, _ := g.ask(http.MethodPost, dispatch+"?text=t", `{"text":"t","executor":"e"}`)
	if e := refusal(t, status, data); e.Where != "query" {
		t.Errorf("a query with a body: %+v", e)
	}
	status, data, _ = g.ask(http.MethodGet, "/api/v1/runs", "{}")
	if e := refusal(t, status, data); e.Where != "body" {
		t.Errorf("a read with a body: %+v", e)
	}
}

func TestF13_AnIDIsNeverAPath(t *testing.T) {
	g := start(t, refusing(t))
	for _, id := range []string{
		"..", ".", "../run_1", "..%2frun_1", "%2e%2e", "run_1%2f..%2f..", "run_..", "run_1%00", "step_1", "run_1;x",
		"RUN_1", "run_" + strings.Repeat("1", 27), "run_é", "run_1%20", "*", "-rf", "run_",
	} {
		for _, verb := range []string{"close", "cancel", "steps"} {
			status, data, h := g.raw("POST /api/v1/runs/"+id+"/"+verb+" HTTP/1.1", "{}")
			if e := refusal(t, status, data); e.Code != "invalid_request" && e.Code != "not_found" {
				t.Errorf("%q: %+v", id, e)
			}
			if h.Get("Location") != "" {
				t.Errorf("%q is redirected to %s", id, h.Get("Location"))
			}
		}
	}
}

func TestPathsAreMatchedAsWrittenAndNeverRedirected(t *testing.T) {
	g := start(t, refusing(t))
	for _, path := range []string{
		"/", "/api", "/api/v1", "/api/v1/", "/api/v1/runs/", "//api/v1/runs", "/api/v1//runs", "/api/v1/./runs", "/api/v1/x/../runs",
		"/api/v1/approvals/../../../mcp/call", "/API/v1/runs", "/api/v1/%72uns", "/api/v2/runs", "/api/v1/runs/run_1/steps/", "*",
	} {
		for _, method := range []string{"GET", "POST"} {
			status, data, h := g.raw(method+" "+path+" HTTP/1.1", "{}")
			if e := refusal(t, status, data); e.Code != "not_found" || h.Get("Location") != "" {
				t.Errorf("%s %s: %+v", method, path, e)
			}
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "GET"} {
		status, data, _ := g.raw(method+" "+dispatch+" HTTP/1.1", "{}")
		if method == "HEAD" {
			data = []byte(`{"error":{"code":"method_not_allowed","message":"-","request_id":"req_"}}`)
		}
		if e := refusal(t, status, data); e.Code != "method_not_allowed" {
			t.Errorf("%s: %+v", method, e)
		}
	}
}

func TestABodyThatIsNotJSONIsRefused(t *testing.T) {
	g := start(t, refusing(t))
	const body = `{"text":"t","executor":"e"}`
	for _, media := range []string{"", "text/plain", "text/plain;charset=utf-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=latin1", "application/jsonp", "*/*", ";"} {
		status, data, _ := g.ask(http.MethodPost, dispatch, body, header("Content-Type", media))
		if e := refusal(t, status, data); e.Code != "unsupported_media_type" {
			t.Errorf("%q: %+v", media, e)
		}
	}
	status, data, _ := g.ask(http.MethodPost, dispatch, body, header("Content-Encoding", "gzip"))
	if e := refusal(t, status, data); e.Code != "unsupported_media_type" {
		t.Errorf("compressed: %+v", e)
	}
}

func TestABodyWithoutALengthIsBoundedToo(t *testing.T) {
	g := start(t, refusing(t))
	body := strings.NewReader(`{"reason":"` + strings.Repeat("r", 1<<20) + `"}`)
	status, data, _ := g.ask(http.MethodPost, "/api/v1/runs/run_1/cancel", "", func(r *http.Request) {
		r.Body, r.ContentLength, r.GetBody = io.NopCloser(body), -1, nil
	})
	if e := refusal(t, status, data); e.Code != "too_large" {
		t.Errorf("%+v", e)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	g := start(t, refusing(t))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/api/v1/instance", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 64<<10))
	resp, err := g.over("unix").Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answer %d", resp.StatusCode)
	}
}

// raw sends a request line as it is, over the socket.
func (g *rig) raw(line, body string) (int, []byte, http.Header) {
	g.t.Helper()
	c, err := net.Dial("unix", g.socket)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	if strings.HasPrefix(line, "GET") {
		length = "\r\n"
	}
	if _, err := io.WriteString(c, line+"\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"+length); err != nil {
		g.t.Fatal(err)
	}
	return readAnswer(g.t, c, strings.Fields(line)[0])
}

func readAnswer(t *testing.T, c net.Conn, method string) (int, []byte, http.Header) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, data, resp.Header
}

func TestMain(m *testing.M) {
	if socket := os.Getenv("DRAWSPAN_TEST_DIAL"); socket != "" {
		os.Exit(dialAsAnother(socket))
	}
	os.Exit(m.Run())
}
