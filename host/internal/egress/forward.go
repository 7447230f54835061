package egress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// hopHeaders are between two neighbours and never passed on. Host, the length and the coding are
// written anew.
var hopHeaders = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Http2-Settings", "Expect", "Host", "Content-Length",
}

// forward serves a plain HTTP request. It follows no redirect: the client asks again.
func (x *exchange) forward(ctx context.Context) error {
	req, err := x.request(ctx)
	if err != nil {
		return err
	}
	up, err := x.reach(ctx)
	if err != nil {
		return err
	}
	defer x.tally(up)
	stop := context.AfterFunc(ctx, func() {
		_ = up.Close() // ends reads and writes
	})
	defer stop()
	if x.head.waits {
		if _, err := io.WriteString(x.client, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return failed("the client went away", err)
		}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		x.send(req, up)
	}()
	defer func() {
		x.client.fix(time.Unix(1, 0)) // a body that is still to come is not waited for
		<-sent
		x.client.fix(time.Time{})
	}()
	res, err := receive(req, up)
	if err != nil {
		return failed("the host did not answer", err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end or given up
	return x.respond(res)
}

// send writes the request. A body that the client cuts ends the exchange; a server that does not want
// all of it may still answer.
func (x *exchange) send(req *http.Request, up *conn) {
	body := &bodyReader{from: req.Body}
	if req.Body != nil {
		req.Body = body
	}
	err := req.Write(struct{ io.Writer }{up})
	if err != nil && body.err != nil {
		_ = up.Close() // ends receive
	}
}

// bodyReader knows whether the client was the one who failed.
type bodyReader struct {
	from io.ReadCloser
	err  error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

func (b *bodyReader) Close() error { return b.from.Close() }

// maxInformational is how many answers of status 1xx are skipped.
const maxInformational = 5

// receive reads the head of the answer, which is bounded.
func receive(req *http.Request, up *conn) (*http.Response, error) {
	limit := &io.LimitedReader{R: up, N: maxHead}
	in := bufio.NewReader(limit)
	for range maxInformational {
		res, err := http.ReadResponse(in, req)
		if err != nil {
			return nil, err
		}
		if res.StatusCode >= http.StatusOK || res.StatusCode == http.StatusSwitchingProtocols {
			limit.N = math.MaxInt64
			return res, nil
		}
	}
	return nil, errors.New("too many informational answers")
}

// request is what is sent on: Host and the target are the vetted ones.
func (x *exchange) request(ctx context.Context) (*http.Request, error) {
	u, err := url.ParseRequestURI(x.head.path)
	if err != nil {
		return nil, malformed("the path is malformed")
	}
	u.Scheme, u.Host = "http", x.head.host.String()
	if x.head.port != 80 {
		u.Host = net.JoinHostPort(strings.Trim(u.Host, "[]"), strconv.Itoa(int(x.head.port)))
	}
	stripHops(x.head.header)
	req := &http.Request{Method: x.head.method, URL: u, Host: u.Host, Header: x.head.header, ContentLength: x.head.length, Close: true}
	switch {
	case x.head.length > 0:
		req.Body = io.NopCloser(&exactly{x.in, x.head.length})
	case x.head.length < 0:
		req.Body = io.NopCloser(httputil.NewChunkedReader(x.in))
	}
	if req.Header["User-Agent"] == nil {
		req.Header["User-Agent"] = []string{""} // or net/http adds its own
	}
	return req.WithContext(ctx), nil
}

// exactly is a body of a length; one that ends before is an error.
type exactly struct {
	from io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.from.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// stripHops removes what is not for the other side, also what Connection names so.
func stripHops(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopHeaders {
		h.Del(name)
	}
}

// respond passes the answer on and ends the connection with it.
func (x *exchange) respond(res *http.Response) error {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return failed("the host changed the protocol, which was not asked for", errors.New("status 101"))
	}
	stripHops(res.Header)
	res.Proto, res.ProtoMajor, res.ProtoMinor = "HTTP/1.1", 1, x.head.minor
	res.Close, res.TransferEncoding, res.Trailer = true, nil, nil
	if res.ContentLength < 0 && x.head.minor > 0 {
		res.TransferEncoding = []string{"chunked"}
	}
	x.told = true
	if err := res.Write(struct{ io.Writer }{x.client}); err != nil {
		return failed("the answer was cut", err)
	}
	return nil
}
