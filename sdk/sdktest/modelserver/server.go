package modelserver

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The bounds of what is read and kept.
const (
	maxBody     = 64 << 20
	maxRequests = 10_000
)

// epoch is the time that every reply claims, so that replies are equal.
const epoch = 1_700_000_000

// Request is one request that came, and what it met.
type Request struct {
	Method  string
	Path    string // without the prefix of the attempt
	Attempt string // the ID of /a/ID
	Wire    string // responses, messages, chat, gemini; "" for what is no call of a model
	Model   string
	Stream  bool
	Headers []string // names only
	Tools   []string // names that it offers
	Bytes   int
	Results int    // results of tools that it holds
	Last    string // the newest of them
	Step    int    // the step that it met, -1 for none
	Status  int    // what it was answered with; 0 for a connection that was broken
	Unmet   string // the intent that none of its tools performs
	Body    []byte // may hold a vendor's texts: look at it, never write it down
}

// Server answers by a script. It is an http.Handler.
type Server struct {
	URL string // "http://127.0.0.1:PORT", set by Start
	Key string // a credential that it accepts

	script   Script
	done     chan struct{}
	mu       sync.Mutex
	attempts map[string]*attempt
	requests []Request
	changed  chan struct{} // closed and replaced at every request
}

// attempt is the state of one conversation.
type attempt struct {
	stages []stage
	met    map[*Fault]int
	calls  int
}

// New answers by the script. Close ends the replies that are silent for ever.
func New(script Script) (*Server, error) {
	if err := script.check(); err != nil {
		return nil, err
	}
	key := script.Key
	if key == "" {
		key = "scripted-key"
	}
	return &Server{Key: key, script: script, done: make(chan struct{}), attempts: map[string]*attempt{}, changed: make(chan struct{})}, nil
}

// Start serves the script on loopback until the test ends.
func Start(t testing.TB, script Script) *Server {
	t.Helper()
	s, err := New(script)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	s.URL = h.URL
	t.Cleanup(func() {
		s.Close()
		h.Close()
	})
	return s
}

// Close ends what is silent.
func (s *Server) Close() { close(s.done) }

// Requests lists what came, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Await waits until the requests so far are enough.
func (s *Server) Await(ctx context.Context, enough func([]Request) bool) error {
	for {
		s.mu.Lock()
		list, changed := slices.Clone(s.requests), s.changed
		s.mu.Unlock()
		if enough(list) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for a request, %d came: %w", len(list), context.Cause(ctx))
		}
	}
}

// Steps is enough for Await when a request has met the step, counted from 0.
func Steps(n int) func([]Request) bool {
	return func(list []Request) bool {
		return slices.ContainsFunc(list, func(r Request) bool { return r.Step >= n })
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	q := Request{Method: r.Method, Path: r.URL.Path, Step: -1, Bytes: len(body), Body: body, Headers: slices.Sorted(maps.Keys(r.Header))}
	if rest, ok := strings.CutPrefix(q.Path, "/a/"); ok {
		q.Attempt, q.Path, _ = strings.Cut(rest, "/")
		q.Path = "/" + q.Path
	}
	a := s.answer(&q, r, err)
	q.Status = a.status
	s.note(q)
	if s.script.On != nil {
		s.script.On(q)
	}
	a.send(w, r, s.done)
}

func (s *Server) note(q Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) < maxRequests {
		s.requests = append(s.requests, q)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// answer decides what a request meets.
func (s *Server) answer(q *Request, r *http.Request, failed error) answer {
	kind, what := route(q)
	switch {
	case failed != nil:
		return refuse(chat{}, http.StatusRequestEntityTooLarge, failed.Error())
	case what == opNone:
		return refuse(chat{}, http.StatusNotFound, "nothing is served at "+q.Path)
	case what == opHello:
		return answer{status: http.StatusOK, body: object{}}
	case !s.known(r):
		return refuse(kind, http.StatusUnauthorized, "the key is not the script's")
	case what == opModels:
		return answer{status: http.StatusOK, body: s.models()}
	case what == opCount:
		n := q.Bytes/4 + 1
		return answer{status: http.StatusOK, body: object{"input_tokens": n, "totalTokens": n}}
	}
	return s.converse(q, r, kind)
}

// converse answers a call of a model.
func (s *Server) converse(q *Request, r *http.Request, kind wire) answer {
	q.Wire = kind.name()
	t, err := kind.parse(q.Body)
	if err != nil {
		return refuse(kind, http.StatusBadRequest, "the request cannot be read: "+err.Error())
	}
	if model, method, ok := (gemini{}).model(q.Path); ok && q.Wire == "gemini" {
		t.model, t.stream = model, method == "streamGenerateContent"
	}
	q.Model, q.Stream, q.Results = t.model, t.stream, len(t.results)
	for _, x := range t.tools {
		q.Tools = append(q.Tools, x.name)
	}
	if len(t.results) > 0 {
		q.Last = t.results[len(t.results)-1]
	}
	a := s.meet(q, kind, t)
	a.array = q.Wire == "gemini" && r.URL.Query().Get("alt") != "sse"
	return a
}

// known reports whether the request carries the script's key, in any vendor's way.
func (s *Server) known(r *http.Request) bool {
	if s.script.Key == "" {
		return true
	}
	given := []string{strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header.Get("X-Api-Key"),
		r.Header.Get("X-Goog-Api-Key"), r.URL.Query().Get("key")}
	return slices.Contains(given, s.script.Key)
}

func (s *Server) models() object {
	list := s.script.Models
	if len(list) == 0 {
		list = []string{"scripted"}
	}
	var data, google []object
	for _, m := range list {
		data = append(data, object{"id": m, "object": "model", "type": "model", "display_name": m, "created": epoch, "owned_by": "script"})
		google = append(google, object{"name": "models/" + m, "displayName": m})
	}
	return object{"object": "list", "data": data, "models": google, "has_more": false}
}

// meet finds the step that a request meets and its reply.
func (s *Server) meet(q *Request, kind wire, t turn) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.attempts[q.Attempt]
	if a == nil {
		steps, ok := s.script.Attempts[q.Attempt]
		if !ok {
			steps = s.script.Steps
		}
		a = &attempt{stages: stages(steps), met: map[*Fault]int{}}
		s.attempts[q.Attempt] = a
	}
	a.calls++
	say := reply{id: strconv.Itoa(a.calls), model: t.model, usage: s.usage(nil)}
	if len(t.tools) == 0 {
		say.text = "ok"
		return answer{status: http.StatusOK, kind: kind, reply: say, stream: t.stream}
	}
	q.Step = at(a.stages, len(t.results)+a.said(t.texts))
	step := a.stages[q.Step]
	fault := a.fault(step)
	say.usage = s.usage(step.Usage)
	if fault.Status != 0 {
		f := refuse(kind, fault.Status, "scripted")
		f.fault = fault
		return f
	}
	where := place(s.script.Dir)
	if where == "" {
		where = placeIn(q.Body)
	}
	if missing := say.take(step.Step, t.tools, where); missing != "" {
		q.Unmet = missing
		return refuse(kind, http.StatusNotImplemented, fmt.Sprintf("step %d wants %s, and none of the tools does that: %s", q.Step, missing, strings.Join(q.Tools, " ")))
	}
	if fault.BadArguments {
		for i := range say.calls {
			say.calls[i].args = `{"scripted": "broken`
		}
	}
	return answer{status: http.StatusOK, kind: kind, reply: say, stream: t.stream, fault: fault}
}

func (s *Server) usage(own *Usage) Usage {
	switch {
	case own != nil:
		return *own
	case s.script.Usage != nil:
		return *s.script.Usage
	}
	return usual
}

// said counts the script's texts that the request remembers, each as often as the script has it.
func (a *attempt) said(texts []string) int {
	n := 0
	for _, s := range a.stages[:len(a.stages)-1] {
		if s.intents() == 0 && slices.Contains(texts, s.Text) {
			n++
		}
	}
	return n
}

// fault is the first that stands before the step and is not over.
func (a *attempt) fault(s stage) Fault {
	for _, f := range s.before {
		if f.Times == 0 || a.met[f] < f.Times {
			a.met[f]++
			return *f
		}
	}
	return Fault{}
}

// take makes the reply of a step, and names the intent that no tool performs.
func (r *reply) take(s Step, tools []tool, p place) (missing string) {
	r.text = s.Text
	list := s.Parallel
	if len(list) == 0 && s.intents() > 0 {
		list = []Step{s}
	}
	for i, one := range list {
		c, ok := one.speak(tools, p)
		if !ok {
			return string(encode(one))
		}
		c.id = fmt.Sprintf("call_%s_%d", r.id, i)
		r.calls = append(r.calls, c)
	}
	return ""
}

// What a path asks for.
type op int

const (
	opNone op = iota
	opHello
	opModels
	opCount
	opCall
)

// posts are the ends of the paths that are posted to.
var posts = []struct {
	end  string
	kind wire
	what op
}{
	{"/responses", responses{}, opCall}, {"/messages", messages{}, opCall}, {"/chat/completions", chat{}, opCall},
	{":generateContent", gemini{}, opCall}, {":streamGenerateContent", gemini{}, opCall},
	{"/messages/count_tokens", messages{}, opCount}, {":countTokens", gemini{}, opCount},
}

// route finds the wire by the path.
func route(q *Request) (wire, op) {
	if q.Path == "/" || q.Path == "" {
		return chat{}, opHello
	}
	if q.Method == http.MethodGet && strings.Contains(q.Path+"/", "/models/") {
		return chat{}, opModels
	}
	for _, p := range posts {
		if q.Method == http.MethodPost && strings.HasSuffix(q.Path, p.end) {
			return p.kind, p.what
		}
	}
	return nil, opNone
}
