package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

const (
	openAPIPath   = api.Prefix + "/openapi.json"
	headerRequest = "Drawspan-Request"

	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
	maxStreams    = 256
)

var errStopping = errors.New("the daemon is stopping")

// Options are the parts of a Server. The durations have defaults.
type Options struct {
	Handlers Handlers
	Log      hclog.Logger
	Version  string // of the daemon
	// Granted reports what the configuration in force says of a client: whether it has a block, and whether
	// that grants the operation. Nil: no client has one.
	Granted func(client string, op api.Op) (declared, granted bool)
	Token   string   // for the loopback port; at least MinToken bytes where one is opened
	Hosts   []string // further "host:port" that the loopback port answers to, all of this machine

	Beat  time.Duration // of the comments in a stream of events; 15 s
	Pace  time.Duration // within which a client must take each part of an answer; 30 s
	Grace time.Duration // for requests in progress when the server stops; 5 s
}

// Server serves the local surface of the operation table.
type Server struct {
	opts    Options
	log     hclog.Logger
	routes  []route
	openAPI []byte
	streams chan struct{} // a slot per open stream
}

// New makes a Server. It refuses handlers that are not exactly the local operations of the table.
func New(o Options) (*Server, error) {
	if err := o.Handlers.check(); err != nil {
		return nil, fmt.Errorf("compare handlers with the operation table: %w", err)
	}
	if o.Log == nil {
		return nil, errors.New("make server: no logger")
	}
	for _, h := range o.Hosts {
		if err := checkHost(h); err != nil {
			return nil, err
		}
	}
	doc, err := api.OpenAPI(o.Version)
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	o.Beat = orElse(o.Beat, 15*time.Second)
	o.Pace = orElse(o.Pace, 30*time.Second)
	o.Grace = orElse(o.Grace, 5*time.Second)
	return &Server{
		opts: o, log: o.Log, routes: routesOf(o.Handlers), openAPI: doc,
		streams: make(chan struct{}, maxStreams),
	}, nil
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

type contextKey int

const (
	keyCaller contextKey = iota // *caller: the connection
	keyReads                    // context.Context: ends when the daemon begins to stop
)

// Serve answers on the listeners, which it owns, until ctx ends or one of them fails. Then reads and
// streams end at once, other requests have the grace to finish, and connections that are left are
// closed. It returns nil after an ordered stop.
func (s *Server) Serve(ctx context.Context, listeners ...*Listener) error {
	base := context.WithoutCancel(ctx)
	reads, stopReads := context.WithCancelCause(base)
	defer stopReads(errStopping)
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          s.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(base, keyReads, reads)
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, keyCaller, c)
		},
	}
	failed := make(chan error, len(listeners))
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopReads(errStopping)
	grace, cancel := context.WithTimeout(base, s.opts.Grace)
	defer cancel()
	if serr := srv.Shutdown(grace); serr != nil {
		s.log.Warn("requests did not finish in time; closing their connections", "grace", s.opts.Grace)
		err = errors.Join(err, srv.Close())
	}
	serving.Wait()
	return err
}

// serve is one request, from the caller's identity to a line in the log.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	a := newAnswer(w, s.opts.Pace)
	began := time.Now()
	op, actor := "none", api.Actor{}
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("request panicked", "request_id", a.id, "op", op, "panic", p, "stack", string(debug.Stack()))
			s.end(a, fmt.Errorf("panic: %v", p))
		}
	}()
	err := func() error {
		var err error
		if actor, err = s.admit(r); err != nil {
			a.Header().Set("Connection", "close")
			return err
		}
		if r.Method == http.MethodGet && r.URL.EscapedPath() == openAPIPath {
			a.document(http.StatusOK, s.openAPI)
			return nil
		}
		rt, params, err := s.find(r.Method, r.URL)
		if err != nil {
			return err
		}
		op = string(rt.row.Name)
		return s.do(a, r, rt, params, actor)
	}()
	s.note(a, err, op, actor, time.Since(began))
	if err != nil {
		s.end(a, err)
	}
}

// note writes the request to the log: internal errors with their whole text, the rest for those who
// look closely. What a request says is never in it.
func (s *Server) note(a *answer, err error, op string, actor api.Actor, took time.Duration) {
	fields := []any{"request_id", a.id, "op", op, "actor", strings.Trim(actor.Kind+"/"+actor.ID, "/"), "took", took}
	switch {
	case err == nil:
		s.log.Debug("request", append(fields, "status", a.status)...)
	case fault.CodeOf(err) == fault.Internal || !fault.CodeOf(err).Known():
		s.log.Error("request failed", append(fields, "error", err)...)
	default:
		s.log.Debug("request refused", append(fields, "code", fault.CodeOf(err), "error", err)...)
	}
}

// end answers with the error or, where an answer has begun, breaks the connection, so that a part is
// never taken for the whole. A stream of events has said its fault in the stream.
func (s *Server) end(a *answer, err error) {
	if a.status == 0 {
		a.fail(err)
		return
	}
	panic(http.ErrAbortHandler)
}

// may refuses what the configuration does not grant: to a client with a block all that the block does not name,
// to the others the operator's own decisions.
func (s *Server) may(actor api.Actor, row api.Operation) error {
	if actor.Kind == KindOperator {
		return nil
	}
	declared, granted := false, false
	if s.opts.Granted != nil {
		declared, granted = s.opts.Granted(actor.ID, row.Name)
	}
	switch {
	case granted || !declared && row.Class != api.Decide:
		return nil
	case row.Class == api.Decide:
		return fault.New(fault.Forbidden, "only the operator decides an approval; the configuration does not grant it to client %q", actor.ID).
			Fix("run: drawspan approval ls")
	}
	return fault.New(fault.Forbidden, "the configuration does not grant %s to client %q", row.Name, actor.ID).
		Fix("grant it: client %q { operations = [...] }, then: drawspan config reload", actor.ID)
}

// do decodes, calls and answers.
func (s *Server) do(a *answer, r *http.Request, rt route, params map[string]string, actor api.Actor) error {
	if err := s.may(actor, rt.row); err != nil {
		return err
	}
	req, err := decode(a, r, rt.row, params)
	if err != nil {
		return err
	}
	if rt.row.Stream == api.StreamSSE {
		if req, err = resume(r.Header, req); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	if rt.row.Class == api.Read {
		reads := r.Context().Value(keyReads).(context.Context)
		defer context.AfterFunc(reads, func() { cancel(errStopping) })()
	}
	if rt.row.Stream != api.StreamNone {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
		default:
			return fault.New(fault.Unavailable, "%d streams are open already", maxStreams)
		}
	}
	resp, err := rt.handler.call(ctx, actor, req)
	if err != nil {
		return told(ctx, err)
	}
	switch v := resp.(type) {
	case api.Blob:
		return a.sendBlob(ctx, v)
	case api.Events:
		limit := 0
		if e, ok := req.(api.EventsRequest); ok {
			limit = e.Limit
		}
		return a.sendEvents(ctx, v, limit, s.opts.Beat)
	}
	return a.json(rt.row.Status, resp)
}

// resume puts the place that a client reached into its request: the header of a browser's own
// reconnection wins over the query of its first request.
func resume(h http.Header, req any) (any, error) {
	e, ok := req.(api.EventsRequest)
	last := h.Get("Last-Event-ID")
	if !ok || last == "" {
		return req, nil
	}
	if _, err := api.ParsePosition(last); err != nil {
		return nil, fault.Wrap(err, fault.InvalidRequest, "must be a position \"<epoch>.<seq>\"").At("Last-Event-ID")
	}
	e.After = last
	return e, nil
}
