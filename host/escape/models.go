package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/escape/catalogue"
	"github.com/drawspan/drawspan/host/internal/gateway"
	"github.com/drawspan/drawspan/host/internal/redact"
	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// upstream is a model's service with a credential that is the secret. It serves everything, notes what should
// never have come, and is careless with the credential: it says it to whoever asks.
type upstream struct {
	listener net.Listener
	server   *http.Server
	secret   string
	note     func(string)
}

func newUpstream(secret string, note func(string)) (*upstream, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &upstream{listener: l, secret: secret, note: note}
	s.server = &http.Server{Handler: s, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(l) }() // until it is closed
	return s, nil
}

func (s *upstream) close() error { return s.server.Close() }

// ServeHTTP answers every call.
func (s *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	if why := s.wrong(r, string(body)); why != "" {
		s.note("the gateway let through " + why)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Set-Cookie", "session="+s.secret)
	w.Header().Set("X-Was-Called-With", s.secret)
	for _, piece := range []string{`{"text":"` + catalogue.AllowedSite + `","you":"`, s.secret[:len(s.secret)/2], s.secret[len(s.secret)/2:], `"}`} {
		if _, err := io.WriteString(w, piece); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush() // it may have left
	}
}

// wrong is what of a call should never have come, or "".
func (s *upstream) wrong(r *http.Request, body string) string {
	what := r.Method + " " + r.RequestURI
	switch {
	case what == "GET /v1/models":
	case what != catalogue.AllowedCall:
		return what
	case body != `{"model":"`+catalogue.AllowedModel+`"}`:
		return "the body " + body
	}
	if r.Header.Get("X-Api-Key") != s.secret || len(r.Header.Values("X-Api-Key")) != 1 {
		return "a call without the credential"
	}
	var stray []string // all of them: a call has its own, too, that a careless gateway hands on
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		switch name {
		case "X-Api-Key", "Content-Length", "Accept-Encoding":
		default:
			stray = append(stray, fmt.Sprintf("the header %s: %s", name, r.Header.Get(name)))
		}
	}
	return strings.Join(stray, ", ")
}

// models gives a launch a gateway, as the daemon does, or a careless one. The returned function ends it.
func (g *rig) models(r *sandbox.Request, careless bool) (end func(), err error) {
	service := g.world.sites.model
	mask, err := redact.Exact([]redact.Secret{{Name: "credential", Value: service.secret}})
	if err != nil {
		return nil, err
	}
	gate, err := gateway.New(gateway.Options{
		Wire: "messages", Upstream: "http://" + service.listener.Addr().String(), Credential: service.secret, Key: catalogue.GatewayKey, Port: "3129",
		Models: []string{catalogue.AllowedModel}, Mask: mask.Stream,
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	r.OnGateway = func(l net.Listener) {
		served.Go(func() {
			if careless {
				carelessGateway(ctx, l, service)
				return
			}
			_ = gate.Serve(ctx, l) // what it did is looked at
		})
	}
	return func() { stop(); served.Wait() }, nil
}

// carelessGateway is the control: it wants no key, believes every line of a request, and says what it hears.
func carelessGateway(ctx context.Context, l net.Listener, to *upstream) {
	stopped := context.AfterFunc(ctx, func() { _ = l.Close() }) // it may be closed
	defer stopped()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(4 * time.Second)); err != nil {
				return
			}
			in := bufio.NewReader(c)
			for more := true; more; more = in.Buffered() > 0 {
				if carelesslyForwarded(ctx, c, in, to) != nil {
					return
				}
			}
		}()
	}
}

// carelesslyForwarded sends one request on, with the credential.
func carelesslyForwarded(ctx context.Context, c net.Conn, in *bufio.Reader, to *upstream) error {
	lines, err := readHead(in)
	if err != nil {
		return err
	}
	if len(lines) == 0 || len(strings.Fields(lines[0])) < 3 {
		return nil // what a body is, for who reads no lengths
	}
	length := 0
	out := []string{lines[0]}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "content-length":
			if _, err := fmt.Sscan(value, &length); err != nil {
				return err
			}
		case "x-api-key", "transfer-encoding", "host", "connection", "upgrade":
		default:
			out = append(out, line)
		}
	}
	body := make([]byte, min(max(length, 0), 1<<20))
	if _, err := io.ReadFull(in, body); err != nil {
		return err
	}
	up, err := (&net.Dialer{}).DialContext(ctx, "tcp4", to.listener.Addr().String())
	if err != nil {
		return err
	}
	defer up.Close()
	out = append(out, "Host: "+to.listener.Addr().String(), "X-Api-Key: "+to.secret, "Connection: close", fmt.Sprintf("Content-Length: %d", len(body)))
	_, err = io.WriteString(up, strings.Join(out, "\r\n")+"\r\n\r\n"+string(body))
	_, copied := io.Copy(c, up)
	return errors.Join(err, copied)
}
