package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ServeHTTP takes one call.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.begin() {
		panic(http.ErrAbortHandler)
	}
	defer g.serving.Done()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // that of the call before on this connection
	began := time.Now()
	size := int64(maxBody)
	if r.ContentLength >= 0 && r.ContentLength < maxBody {
		size = r.ContentLength
	}
	no := g.queue.enter(r.Context(), size)
	if no == nil {
		defer g.queue.leave(size)
	}
	var c *call
	if no == nil {
		c, no = g.read(w, r)
	}
	if no != nil {
		g.turnDown(w, c, no, began)
		return
	}
	if c.route.kind == greet {
		w.WriteHeader(http.StatusOK)
		return
	}
	g.pass(w, r, c, began)
}

// turnDown answers a call that is not forwarded.
func (g *Gateway) turnDown(w http.ResponseWriter, c *call, no *refusal, began time.Time) {
	told := Call{Refused: no.reason, Status: no.status, Duration: time.Since(began)}
	if c != nil {
		told.Model, told.Up = printable(c.model), int64(len(c.body))
	}
	g.ledger.add(told)
	g.say(w, no)
}

// say answers in the wire's own form. The header is what vendors' clients look at before they repeat a call.
func (g *Gateway) say(w http.ResponseWriter, no *refusal) {
	_ = wait(w, time.Now().Add(g.bounds.body)) // the server reads some of what was not read; a broken connection ends by itself
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Connection", "close") // what is left of the body, if any, is not read
	h.Set("X-Should-Retry", "false")
	if no.status == http.StatusTooManyRequests {
		h.Set("X-Should-Retry", "true")
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(no.status)
	_, _ = w.Write(encode(g.wire.refuse(no.status, no.reason, "drawspan gateway: "+no.text))) // the caller has gone
}

// pass lets a call through and follows it to its end.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request, c *call, began time.Time) {
	tokens := estimate(int64(len(c.body))) + 1
	no := g.queue.look
	if c.route.kind == generate {
		no = func() *refusal { return g.queue.begin(r.Context(), tokens) }
	}
	if no := no(); no != nil {
		g.turnDown(w, c, no, began)
		return
	}
	told := Call{Model: printable(c.model), LookUp: c.route.kind == lookUp, Up: int64(len(c.body))}
	whole := g.forward(w, r, c, &told)
	told.Duration, told.Digest = time.Since(began), digest(c.body) // nobody waits for it any more
	g.ledger.add(told)
	if c.route.kind == generate {
		g.queue.end(tokens)
	}
	if !whole {
		panic(http.ErrAbortHandler) // a cut answer must not look like a whole one
	}
}

func digest(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// forward sends the call and hands the answer on. It reports false for an answer that was cut.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, c *call, told *Call) bool {
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	out, err := g.outgoing(ctx, r, c)
	if err != nil {
		g.fail(w, told, "request", "the call cannot be sent on")
		return true
	}
	sent := time.Now()
	answer, err := g.onward.RoundTrip(out)
	told.First = time.Since(sent)
	if err != nil {
		if told.Failed = failure(err); r.Context().Err() != nil {
			g.charge(c, told, newMeter(g.wire)) // it may have arrived
			return false
		}
		g.fail(w, told, told.Failed, "the upstream cannot be reached: "+told.Failed)
		return true
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if why := unusable(answer); why != "" {
		g.fail(w, told, why, "the upstream's answer cannot be handed on: "+why)
		return true
	}
	told.Status = answer.StatusCode
	m, err := g.handOn(w, answer, told)
	g.charge(c, told, m)
	told.Failed = ended(ctx, err)
	return err == nil
}

// failure says in one word why there is no answer. The error itself may hold addresses.
func failure(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "timeout"
	}
	return "unreachable"
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// fail answers for an upstream that did not.
func (g *Gateway) fail(w http.ResponseWriter, told *Call, why, text string) {
	told.Failed, told.Status = why, http.StatusBadGateway
	g.say(w, refuse(http.StatusBadGateway, why, "%s", text))
}

// unusable says what forbids to hand an answer on: it leads elsewhere, or cannot be read.
func unusable(a *http.Response) string {
	switch {
	case a.StatusCode >= 300 && a.StatusCode < 400 || a.StatusCode < 200:
		return "redirected"
	case a.Header.Get("Content-Encoding") != "" && !strings.EqualFold(a.Header.Get("Content-Encoding"), "identity"):
		return "compressed"
	}
	return ""
}

// outgoing is the request as the upstream sees it.
func (g *Gateway) outgoing(ctx context.Context, r *http.Request, c *call) (*http.Request, error) {
	to := *g.upstream
	to.Path, to.RawQuery = to.Path+c.path, c.query
	out, err := http.NewRequestWithContext(ctx, r.Method, to.String(), bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	named := strings.Split(strings.ToLower(strings.Join(r.Header.Values("Connection"), ",")), ",")
	for name, values := range r.Header {
		if !dropped(name) && !slices.ContainsFunc(named, func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), name) }) {
			out.Header[name] = values
		}
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "") // not Go's own
	}
	out.Header.Set("Accept-Encoding", "identity")
	g.wire.present(out.Header, g.opt.Credential)
	return out, nil
}

// hops are headers of one connection, in either direction, and what would say where a call comes from.
func hops(name string) bool {
	return slices.Contains([]string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Content-Encoding",
		"Alt-Svc", "Forwarded", "Via", "Host", "Expect", "Accept-Encoding", "Origin", "Referer", "Location",
	}, name) || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Proxy-")
}

// dropped headers of a call do not go on: those of the connection, and all that could be a credential, choose
// an account, make another call of this one, or have the answer without its usage or in pieces, which neither
// the meter nor the mask would know again.
func dropped(name string) bool {
	if hops(name) || strings.HasPrefix(name, "X-Goog-User") || strings.HasPrefix(name, "Openai-Organization") || strings.HasPrefix(name, "Openai-Project") {
		return true
	}
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{
		"auth", "key", "token", "secret", "cookie", "credential", "password",
		"override", "rewrite", "original", "forward", "-host", "-url", "real-ip", "fieldmask", "range", "prefer", "account",
	}, func(word string) bool {
		return strings.Contains(lower, word)
	})
}

// handOn copies an answer as it comes, and meters it.
func (g *Gateway) handOn(w http.ResponseWriter, a *http.Response, told *Call) (*meter, error) {
	g.head(w, a)
	m, p := newMeter(g.wire), &pipe{to: w, control: http.NewResponseController(w)}
	masked := io.WriteCloser(p)
	if g.opt.Mask != nil {
		masked = g.opt.Mask(p)
	}
	idle := time.AfterFunc(g.bounds.idle, func() { _ = a.Body.Close() }) // which ends the read
	defer idle.Stop()
	buf := make([]byte, 32<<10)
	for {
		n, err := a.Body.Read(buf)
		idle.Reset(g.bounds.idle)
		told.Down += int64(n)
		_, _ = m.Write(buf[:n]) // never fails
		if told.Down > g.bounds.answer {
			return m, errEndless
		}
		if _, wrote := masked.Write(buf[:n]); wrote != nil || p.control.Flush() != nil {
			return m, errGone
		}
		switch err {
		case nil:
		case io.EOF:
			return m, masked.Close()
		default:
			return m, err
		}
	}
}

var (
	errEndless = errors.New("the answer has no end")
	errGone    = errors.New("the caller has gone")
)

// ended says in one word how an answer was cut, "" for a whole one.
func ended(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errEndless):
		return "endless"
	case errors.Is(err, errGone):
		return "cancelled"
	case ctx.Err() != nil:
		return failure(ctx.Err())
	}
	return "cut"
}

// pipe hands bytes to the caller, who gets so long for each piece.
type pipe struct {
	to      http.ResponseWriter
	control *http.ResponseController
}

// Write sends a piece.
func (p *pipe) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(sendTime)) // a connection that cannot is bounded by the call's time
	return p.to.Write(b)
}

// Close leaves the connection open.
func (p *pipe) Close() error { return nil }

// head hands the answer's head on, without what is the connection's or a session's.
func (g *Gateway) head(w http.ResponseWriter, a *http.Response) {
	h := w.Header()
	for name, values := range a.Header {
		if hops(name) || strings.HasPrefix(name, "Set-Cookie") || strings.Contains(strings.ToLower(name), "authenticate") {
			continue
		}
		for _, v := range values {
			h.Add(name, g.masked(v))
		}
	}
	if kind, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || kind == "" {
		h.Set("Content-Type", "application/octet-stream") // nobody guesses
	}
	w.WriteHeader(a.StatusCode)
}

// masked is a header's value without secrets.
func (g *Gateway) masked(v string) string {
	if g.opt.Mask == nil {
		return v
	}
	var b bytes.Buffer
	m := g.opt.Mask(&b)
	_, _ = io.WriteString(m, v) // a buffer takes everything
	_ = m.Close()               // a buffer takes everything
	return b.String()
}

// charge puts down what the call took. An error of the upstream takes what it says, and nothing else.
func (g *Gateway) charge(c *call, told *Call, m *meter) {
	if c.route.kind != generate {
		return
	}
	if m.model != "" {
		told.Model = m.model
	}
	told.Usage = m.usage(told.Up, told.Down)
	if told.Status >= 400 && told.Usage.Estimated {
		told.Usage = Usage{}
	}
}
