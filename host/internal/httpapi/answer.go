package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// answer is the response of one request, with what the log needs to know of it.
type answer struct {
	http.ResponseWriter
	id     string // of the request
	status int    // 0 until the header is written
	pace   time.Duration
}

// newAnswer sets the headers that every answer carries. They keep a browser from storing, sniffing,
// embedding or running what it is sent.
func newAnswer(w http.ResponseWriter, pace time.Duration) *answer {
	var b [8]byte
	rand.Read(b[:]) // never fails, by its documentation
	a := &answer{ResponseWriter: w, id: "req_" + hex.EncodeToString(b[:]), pace: pace}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(headerRequest, a.id)
	return a
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Write sends a part. There is no deadline on the whole answer, which may be a stream of hours, but
// one on every part: a reader that stands still is dropped.
func (a *answer) Write(p []byte) (int, error) {
	if err := http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(a.pace)); err != nil {
		return 0, err
	}
	return a.ResponseWriter.Write(p)
}

// flush sends what is buffered.
func (a *answer) flush() error { return http.NewResponseController(a.ResponseWriter).Flush() }

// json sends a document. It is encoded before the header is written, so that a value that cannot be
// encoded is an error and not half an answer.
func (a *answer) json(status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the answer cannot be encoded")
	}
	a.document(status, append(data, '\n'))
	return nil
}

func (a *answer) document(status int, data []byte) {
	a.Header().Set("Content-Type", "application/json")
	a.Header().Set("Content-Length", strconv.Itoa(len(data)))
	a.WriteHeader(status)
	a.Write(data) // a client that is gone needs no answer
}

// wireError is what an outsider is told of an error. The text of an internal one is for the log only.
func wireError(err error, request string) api.ErrorBody {
	f := fault.From(err)
	if f.Code == fault.Internal || !f.Code.Known() {
		return api.ErrorBody{Error: api.Error{
			Code:    string(fault.Internal),
			Message: "internal error; the log has the details",
			Hint:    "look for " + request + " in the daemon's log",
			Request: request,
		}}
	}
	return api.ErrorBody{Error: api.Error{
		Code: string(f.Code), Message: f.Message, Where: f.Where, Hint: f.Hint, Request: request,
	}}
}

// fail answers with an error, where an answer can still begin.
func (a *answer) fail(err error) {
	if a.status != 0 {
		return
	}
	body := wireError(err, a.id)
	code := fault.Code(body.Error.Code)
	switch code {
	case fault.Unauthenticated:
		a.Header().Set("WWW-Authenticate", "Bearer")
	case fault.TooLarge:
		a.Header().Set("Connection", "close") // the rest of the body is not read
	}
	if err := a.json(code.HTTPStatus(), body); err != nil {
		a.WriteHeader(http.StatusInternalServerError)
	}
}

// told is the error that a handler's error becomes: the end of the daemon or of the client explains a
// context's error, whatever the handler made of it.
func told(ctx context.Context, err error) error {
	if !errors.Is(err, context.Canceled) || ctx.Err() == nil {
		return err
	}
	if errors.Is(context.Cause(ctx), errStopping) {
		return fault.Wrap(err, fault.Unavailable, "the daemon is stopping")
	}
	return fault.Wrap(err, fault.Unavailable, "the client went away")
}
