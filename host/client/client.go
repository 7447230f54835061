package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

const (
	maxAnswer   = 64 << 20 // bytes of one JSON answer
	dialTimeout = 5 * time.Second
	patience    = 30 * time.Second
)

// Options says where the daemon is and who calls. Either Socket or Address is set.
type Options struct {
	Socket  string // path of the daemon's unix socket
	Address string // "127.0.0.1:port" of its loopback port
	Token   string // for Address
	Name    string // the caller's name: "cli" is the operator's command line
	// Patience is how long a followed log tries to come back after its connection broke; 0 is 30 s.
	Patience time.Duration
}

// Client calls one daemon. It may be used by several goroutines.
type Client struct {
	opts Options
	http *http.Client
}

// Open makes a Client. It does not dial: a daemon that is not there shows on the first call.
func Open(o Options) *Client {
	if o.Patience == 0 {
		o.Patience = patience
	}
	t := &http.Transport{
		MaxIdleConns:       4,
		IdleConnTimeout:    30 * time.Second,
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			d := net.Dialer{Timeout: dialTimeout}
			if o.Socket == "" {
				return d.DialContext(ctx, network, addr)
			}
			c, err := d.DialContext(ctx, "unix", o.Socket)
			if err != nil {
				return nil, err
			}
			return sameUser(c, o.Socket)
		},
	}
	return &Client{opts: o, http: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call does an operation that answers with one JSON document.
func Call[Resp any](ctx context.Context, c *Client, op api.Op, req any) (Resp, error) {
	var resp Resp
	row, err := rowOf(op, api.StreamNone)
	if err != nil {
		return resp, err
	}
	if want := reflect.TypeOf(row.Response); want != reflect.TypeFor[Resp]() {
		return resp, fault.New(fault.InvalidRequest, "%s answers %v, not %T", op, want, resp)
	}
	answer, err := c.do(ctx, row, req, nil)
	if err != nil {
		return resp, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return resp, broken(ctx, op, err)
	}
	if len(data) > maxAnswer {
		return resp, fault.New(fault.TooLarge, "the daemon's answer to %s is larger than %d bytes", op, maxAnswer)
	}
	if err := json.Unmarshal(data, &resp); err != nil {
		return resp, fault.Wrap(err, fault.Internal, "the daemon's answer to %s is not what version 1 of the API says", op)
	}
	return resp, nil
}

// Stream does an operation that answers with bytes. The reader fails with fault.Unavailable when the
// answer breaks off before its end; it lives no longer than ctx.
func (c *Client) Stream(ctx context.Context, op api.Op, req any) (io.ReadCloser, error) {
	row, err := rowOf(op, api.StreamBytes)
	if err != nil {
		return nil, err
	}
	answer, err := c.do(ctx, row, req, nil)
	if err != nil {
		return nil, err
	}
	fail := func(err error) error { return broken(ctx, op, err) }
	return &body{ReadCloser: answer.Body, fail: fail}, nil
}

// body is a stream whose read errors are faults.
type body struct {
	io.ReadCloser
	fail func(error) error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.fail(err)
	}
	return n, err
}

// rowOf is the row of an operation that the daemon serves and that answers in the way the caller expects.
func rowOf(op api.Op, kind api.Stream) (api.Operation, error) {
	row, ok := api.Lookup(op)
	if !ok || !row.Surfaces.Has(api.Local) {
		return row, fault.New(fault.InvalidRequest, "%q is no operation of the daemon", string(op))
	}
	if row.Stream != kind {
		return row, fault.New(fault.InvalidRequest, "%s answers with a stream of kind %q, not %q", op, row.Stream, kind)
	}
	return row, nil
}

// do sends a request and returns an answer of success; its body is the caller's to close.
func (c *Client) do(ctx context.Context, row api.Operation, req any, header http.Header) (*http.Response, error) {
	r, err := c.request(ctx, row, req)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.undialled(ctx, row.Name, err)
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, refused(row.Name, answer)
}

// request encodes req by the table: braces of the path, then query or body.
func (c *Client) request(ctx context.Context, row api.Operation, req any) (*http.Request, error) {
	if reflect.TypeOf(req) != reflect.TypeOf(row.Request) {
		return nil, fault.New(fault.InvalidRequest, "%s takes %T, not %T", row.Name, row.Request, req)
	}
	target, payload, err := encode(row, req)
	if err != nil {
		return nil, err
	}
	host := c.opts.Address
	if c.opts.Socket != "" {
		host = "drawspan"
	}
	r, err := http.NewRequestWithContext(ctx, row.Method, "http://"+host+api.Prefix+target, bytes.NewReader(payload))
	if err != nil {
		return nil, fault.Wrap(err, fault.InvalidRequest, "%s cannot be asked for", row.Name)
	}
	if row.Class != api.Read {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.opts.Name != "" {
		r.Header.Set(api.HeaderClient, c.opts.Name)
	}
	if c.opts.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	return r, nil
}

// encode splits a request into the path with its query and the JSON body.
func encode(row api.Operation, req any) (string, []byte, error) {
	data, err := json.Marshal(req)
	if err != nil {
		return "", nil, fault.Wrap(err, fault.InvalidRequest, "%s: the request cannot be encoded", row.Name)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return "", nil, fmt.Errorf("split request of %s: %w", row.Name, err)
	}
	target, err := fillPath(row, fields)
	if err != nil {
		return "", nil, err
	}
	if row.Class == api.Read {
		return target + query(fields), nil, nil
	}
	payload, err := json.Marshal(fields)
	if err != nil {
		return "", nil, fmt.Errorf("encode request of %s: %w", row.Name, err)
	}
	if int64(len(payload)) > row.MaxBody {
		return "", nil, fault.New(fault.TooLarge, "the body is larger than %d bytes", row.MaxBody).At("body")
	}
	return target, payload, nil
}
