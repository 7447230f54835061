package egress

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestForwardPassesTheRequest(t *testing.T) {
	w := newWorld(t, "example.com:80")
	s := w.upstream(httptest.NewServer, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the body: %v", err)
		}
		rw.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %q %q", r.Method, r.Host, r.RequestURI, body, r.Header.Get("X-Own")))
		rw.Header().Set("Keep-Alive", "timeout=5")
		rw.WriteHeader(http.StatusTeapot)
		fmt.Fprint(rw, "short and stout")
	})
	w.start()
	req, err := http.NewRequest("PUT", "http://example.com/a%2Fb/../c?x=1&y=%20", strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Own", "value")
	res, err := w.client(s).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "short and stout" || res.StatusCode != http.StatusTeapot || res.Header.Get("Keep-Alive") != "" {
		t.Errorf("got %d %q %v, %v", res.StatusCode, body, res.Header, err)
	}
	if got, want := res.Header.Get("X-Seen"), `PUT example.com /a%2Fb/../c?x=1&y=%20 "content" "value"`; got != want {
		t.Errorf("the server saw %s, want %s", got, want)
	}
	if r := w.requests(1)[0]; !r.Allowed || r.Reason != "" || r.Method != "PUT" || r.Port != 80 || r.Up == 0 || r.Down == 0 || r.Address != public+":80" {
		t.Errorf("told %+v", r)
	}
}

// TestForwardStripsWhatIsForTheProxy reads the very bytes that the server gets.
func TestForwardStripsWhatIsForTheProxy(t *testing.T) {
	w := newWorld(t, "example.com:8080")
	conns := w.listener()
	w.start()
	c := w.connect()
	raw := "GET http://Example.com:8080/x HTTP/1.1\r\nHost: EXAMPLE.com.:8080\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n" +
		"Connection: keep-alive, X-Drop, Upgrade\r\nX-Drop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: websocket\r\nX-Keep: 2\r\n\r\n"
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	far := <-conns
	in := bufio.NewReader(far)
	var got strings.Builder
	for !strings.HasSuffix(got.String(), "\r\n\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", got.String(), err)
		}
		got.WriteString(line)
	}
	if want := "GET /x HTTP/1.1\r\nHost: example.com:8080\r\nConnection: close\r\nX-Keep: 2\r\n\r\n"; got.String() != want {
		t.Errorf("the server got %q, want %q", got.String(), want)
	}
	// An answer that switches protocols is no answer.
	if _, err := io.WriteString(far, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || status(t, string(answer)) != http.StatusBadGateway {
		t.Errorf("answer %q, %v", answer, err)
	}
}

func TestForwardFollowsNoRedirect(t *testing.T) {
	w := newWorld(t, "example.com:80")
	w.upstream(httptest.NewServer, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "http://127.0.0.1/secret", http.StatusFound)
	})
	w.start()
	answer := w.say("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
	if status(t, answer) != http.StatusFound || !strings.Contains(answer, "Location: http://127.0.0.1/secret\r\n") {
		t.Errorf("answer %q", answer)
	}
	if d := w.dials(); len(d) != 1 {
		t.Errorf("dialled %q", d)
	}
}

func TestForwardServesOneRequestPerConnection(t *testing.T) {
	w := newWorld(t, "example.com:80")
	w.upstream(httptest.NewServer, func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, "page "+r.URL.Path)
	})
	w.start()
	answer := w.say("GET http://example.com/1 HTTP/1.1\r\nHost: example.com\r\n\r\nGET http://example.com/2 HTTP/1.1\r\nHost: example.com\r\n\r\n")
	if !strings.Contains(answer, "page /1") || strings.Contains(answer, "page /2") || !strings.Contains(answer, "Connection: close\r\n") {
		t.Errorf("answer %q", answer)
	}
	if told := w.requests(1); len(told) != 1 {
		t.Errorf("told %+v", told)
	}
}

func TestForwardOfBodies(t *testing.T) {
	w := newWorld(t, "example.com:80")
	w.upstream(httptest.NewServer, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the body: %v", err)
		}
		if f, ok := rw.(http.Flusher); ok {
			f.Flush() // the length is not known
		}
		fmt.Fprintf(rw, "got %q", body)
	})
	w.start()
	for name, row := range map[string]struct{ raw, want string }{
		"chunked":  {"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "c\r\ngot \"hello!\"\r\n0\r\n\r\n"},
		"length":   {"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello+more", "b\r\ngot \"hello\"\r\n0\r\n\r\n"},
		"none":     {"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "6\r\ngot \"\"\r\n0\r\n\r\n"},
		"HTTP/1.0": {"POST http://example.com/ HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", "\r\n\r\ngot \"hi\""},
		"expected": {"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", "got \"hi\"\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := w.say(row.raw)
			if !strings.HasSuffix(answer, row.want) {
				t.Errorf("answer %q, want its end %q", answer, row.want)
			}
			if got, want := strings.HasPrefix(answer, "HTTP/1.1 100 Continue\r\n\r\n"), name == "expected"; got != want {
				t.Errorf("100 Continue: %v, want %v", got, want)
			}
		})
	}
}

func TestForwardMarksACutAnswer(t *testing.T) {
	w := newWorld(t, "example.com:80")
	conns := w.listener()
	w.start()
	c := w.connect()
	if _, err := io.WriteString(c, "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	far := <-conns
	if _, err := http.ReadRequest(bufio.NewReader(far)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	if err := far.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the client believes to have all of it: %q", body)
	}
	if r := w.requests(1)[0]; !r.Allowed || !strings.Contains(r.Reason, "cut") {
		t.Errorf("told %+v", r)
	}
}

func TestForwardAnswersBeforeTheBodyIsThere(t *testing.T) {
	w := newWorld(t, "example.com:80")
	conns := w.listener()
	w.start()
	c := w.connect()
	if _, err := io.WriteString(c, "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 100\r\n\r\nbegin"); err != nil {
		t.Fatal(err)
	}
	far := <-conns
	if _, err := io.WriteString(far, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("answer %v, %v", res, err)
	}
	if r := w.requests(1)[0]; !r.Allowed {
		t.Errorf("told %+v", r)
	}
}

func TestForwardEndsWithAClientThatCutsItsBody(t *testing.T) {
	for name, raw := range map[string]string{
		"length":  "Content-Length: 100\r\n\r\nbegin",
		"chunked": "Transfer-Encoding: chunked\r\n\r\nffff\r\nbegin",
	} {
		w := newWorld(t, "example.com:80")
		conns := w.listener()
		w.start()
		c := w.connect()
		if _, err := io.WriteString(c, "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\n"+raw); err != nil {
			t.Fatal(err)
		}
		far := <-conns
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(far); err != nil || strings.Contains(string(b), "\r\n0\r\n") {
			t.Errorf("%s: the server got %q, %v, and believes to have all of it", name, b, err)
		}
		w.requests(1)
	}
}

func TestForwardBoundsTheAnswersHead(t *testing.T) {
	for name, raw := range map[string]string{
		"large head":          "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 2*maxHead) + "\r\n\r\n",
		"informational flood": strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInformational+1) + "HTTP/1.1 200 OK\r\n\r\n",
		"not HTTP":            "SSH-2.0-OpenSSH_9.2\r\n",
	} {
		w := newWorld(t, "example.com:80")
		conns := w.listener()
		w.start()
		c := w.connect()
		if _, err := io.WriteString(c, "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(<-conns, raw); err != nil {
			t.Logf("%s: the proxy read only a part: %v", name, err)
		}
		if answer, err := io.ReadAll(c); err != nil || status(t, string(answer)) != http.StatusBadGateway {
			t.Errorf("%s: answer %.200q, %v", name, answer, err)
		}
	}
}
