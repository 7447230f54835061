package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// refusal is why a call is not forwarded. The agent reads it in the wire's own form, with a status that
// none of them repeats a call for, but for 429 and 5xx.
type refusal struct {
	status int
	reason string // a word for the record
	text   string // for the agent
}

func refuse(status int, reason, format string, args ...any) *refusal {
	return &refusal{status, reason, fmt.Sprintf(format, args...)}
}

// call is a request that was read.
type call struct {
	route route
	path  string
	query string
	model string // "" where neither path nor body says
	body  []byte
}

// read takes a request apart as far as it can be refused by itself.
func (g *Gateway) read(w http.ResponseWriter, r *http.Request) (*call, *refusal) {
	// What is refused before its body was read is bounded, too: the server reads some of the rest.
	if no := wait(w, time.Now().Add(g.bounds.body)); no != nil {
		return nil, no
	}
	for _, check := range []func(*http.Request) *refusal{g.plain, g.meant, g.keyed} {
		if no := check(r); no != nil {
			return nil, no
		}
	}
	route, model, status := g.wire.find(r.Method, r.URL.Path)
	switch status {
	case http.StatusMethodNotAllowed:
		return nil, refuse(status, "method", "the gateway does not take %s here", printable(r.Method))
	case http.StatusNotFound:
		return nil, refuse(status, "path", "the gateway forwards the calls of wire %q only, and %s is none", g.opt.Wire, printable(r.URL.Path))
	}
	c := &call{route: route, path: r.URL.Path, model: model}
	var no *refusal
	if c.query, no = g.query(r.URL.RawQuery); no != nil || r.Method != http.MethodPost {
		return c, no
	}
	if c.body, no = readBody(w, r); no != nil {
		return c, no
	}
	return c, g.inspect(c)
}

// plain refuses what could be read in two ways.
func (g *Gateway) plain(r *http.Request) *refusal {
	target, _, _ := strings.Cut(r.RequestURI, "?")
	path := r.URL.Path
	switch {
	case r.Method == http.MethodConnect || !strings.HasPrefix(target, "/"):
		return refuse(http.StatusMethodNotAllowed, "proxying", "the gateway is no proxy")
	case target != path || strings.Contains(path, "//") || strings.Contains(path, "/.") || strings.ContainsFunc(path, oddInPath):
		return refuse(http.StatusNotFound, "path", "the path is not plain")
	case r.Header.Get("Upgrade") != "" || r.ProtoMajor != 1:
		return refuse(http.StatusBadRequest, "upgrade", "the gateway speaks HTTP/1.1 and nothing else")
	case r.Header.Get("Content-Encoding") != "" && !strings.EqualFold(r.Header.Get("Content-Encoding"), "identity"):
		return refuse(http.StatusUnsupportedMediaType, "encoding", "the gateway takes bodies as they are, not compressed")
	}
	return nil
}

func oddInPath(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune("%\\;\"<>^`{}|", c)
}

// meant refuses a call for another host, which a name that leads to loopback could be.
func (g *Gateway) meant(r *http.Request) *refusal {
	host := r.Host
	if name, port, err := net.SplitHostPort(r.Host); err == nil {
		if host = name; port != g.opt.Port && g.opt.Port != "" {
			host = ""
		}
	}
	if host != "127.0.0.1" && host != "localhost" {
		return refuse(http.StatusMisdirectedRequest, "host", "the gateway is 127.0.0.1 and no other host")
	}
	return nil
}

// keyed refuses a call without the attempt's key. What is answered here needs none.
func (g *Gateway) keyed(r *http.Request) *refusal {
	if route, _, status := g.wire.find(r.Method, r.URL.Path); status == 0 && route.kind == greet {
		return nil
	}
	if !g.wire.presents(r.Header, g.isKey) {
		return refuse(http.StatusUnauthorized, "key", "the call does not carry this attempt's key")
	}
	return nil
}

// query keeps the wire's own parameters. Others could carry a key, or mean something to the upstream that
// nobody here knows.
func (g *Gateway) query(raw string) (string, *refusal) {
	if raw == "" {
		return "", nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil || len(raw) > maxQuery {
		return "", refuse(http.StatusBadRequest, "query", "the query cannot be read")
	}
	for name, v := range values {
		if !g.wire.known(name) || len(v) != 1 {
			return "", refuse(http.StatusBadRequest, "query", "the gateway does not forward the query parameter %s", printable(name))
		}
	}
	return values.Encode(), nil
}

const (
	maxQuery = 1 << 10
	maxAhead = 1 << 20 // bytes that are set aside for a body before it comes
)

// readBody reads the whole body within its bounds.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), maxAhead)) + bytes.MinRead) // what is announced is believed so far
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case err == nil:
		return b.Bytes(), wait(w, time.Time{})
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "body", "the body has more than %d MiB", maxBody>>20)
	}
	return nil, refuse(http.StatusBadRequest, "body", "the body did not arrive whole")
}

// wait sets until when a caller may send; the zero time is no bound.
func wait(w http.ResponseWriter, until time.Time) *refusal {
	if err := http.NewResponseController(w).SetReadDeadline(until); err != nil {
		return refuse(http.StatusBadRequest, "body", "the connection cannot be bounded")
	}
	return nil
}

// facts are what the gateway decides by.
type facts struct {
	model      string
	models     int  // how often it is there
	more       bool // it names others beside it, as some services let it
	background bool // the answer comes, and the call goes on
	odd        bool // another reader might understand it differently
}

func factsOf(body []byte) facts {
	var f facts
	w := walker{want: map[string]field{"model": fModel, "background": fBackground}}
	w.tell = func(which field, raw []byte) {
		if which == fBackground {
			f.background = string(raw) != "false" && string(raw) != "null"
			return
		}
		f.odd = f.odd || raw[0] != '"' || json.Unmarshal(raw, &f.model) != nil
	}
	w.key = func(name []byte) {
		for _, ours := range []string{"model", "background"} {
			f.odd = f.odd || string(name) != ours && strings.EqualFold(string(name), ours)
		}
		if string(name) == "model" {
			f.models++
		}
		f.more = f.more || slices.ContainsFunc([]string{"models", "fallbacks", "fallback_models"}, func(ours string) bool { return strings.EqualFold(string(name), ours) })
	}
	w.feed(body)
	object := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
	f.odd = f.odd || w.broken() || !object || f.models > 1 || f.models == 1 && f.model == ""
	return f
}

// inspect judges a body: what it names, and what would escape the count.
func (g *Gateway) inspect(c *call) *refusal {
	if !json.Valid(c.body) {
		return refuse(http.StatusBadRequest, "body", "the body is no JSON")
	}
	f := factsOf(c.body)
	switch {
	case f.odd:
		return refuse(http.StatusBadRequest, "body", "the body is no plain object with one model")
	case f.background:
		return refuse(http.StatusBadRequest, "background", "the gateway forwards no call that goes on after its answer")
	case f.more && len(g.opt.Models) > 0:
		return refuse(http.StatusBadRequest, "model", "the gateway has a list of models and forwards no call that names several")
	case c.model != "" && f.models == 1 && strings.TrimPrefix(f.model, "models/") != c.model:
		return refuse(http.StatusBadRequest, "body", "path and body name different models")
	case c.model == "":
		c.model = f.model
	}
	return g.admitted(c)
}

// admitted holds the model against the allowlist.
func (g *Gateway) admitted(c *call) *refusal {
	if len(g.opt.Models) == 0 {
		return nil
	}
	if c.model != "" && slices.ContainsFunc(g.opt.Models, func(p string) bool { return matches(p, c.model) }) {
		return nil
	}
	return refuse(http.StatusNotFound, "model", "the model %s may not be called here; allowed: %s", strconv.Quote(printable(c.model)), strings.Join(g.opt.Models, ", "))
}

// matches reports whether the whole name has the pattern's form; * is any part of it.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(name, p)
		if i < 0 {
			return false
		}
		name = name[i+len(p):]
	}
	return true
}

// printable is a caller's text for a record: bounded, on one line.
func printable(s string) string {
	const most = 128
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f {
			return '?'
		}
		return c
	}, s[:min(len(s), most)])
	return s
}
