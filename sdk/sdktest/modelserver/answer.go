package modelserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// answer is what goes back over HTTP: a body as it stands, or a reply on a wire.
type answer struct {
	status int
	body   any
	kind   wire
	reply  reply
	stream bool
	array  bool // the stream is one JSON array
	fault  Fault
}

// kinds are the words that vendors have for a status.
var kinds = map[int]string{400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
	413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 501: "not_supported", 503: "overloaded_error", 529: "overloaded_error"}

func refuse(kind wire, status int, message string) answer {
	word := kinds[status]
	if word == "" {
		word = "api_error"
	}
	return answer{status: status, body: kind.failure(status, word, word+": "+message)}
}

// send writes the answer, with its fault.
func (a answer) send(w http.ResponseWriter, r *http.Request, done <-chan struct{}) {
	if a.fault.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.fault.RetryAfter/time.Second)))
	}
	if a.kind == nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		a.put(w, encode(a.body))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if a.stream && !a.array {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	a.say(w, r, done)
}

// say writes the reply until it ends or breaks.
func (a answer) say(w http.ResponseWriter, r *http.Request, done <-chan struct{}) {
	chunks := a.chunks()
	broken := a.fault.Cut || a.fault.Silence
	if broken {
		chunks = chunks[:min(a.fault.After, len(chunks))]
	}
	for _, c := range chunks {
		a.put(w, c)
	}
	if a.fault.Silence {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
	if broken {
		panic(http.ErrAbortHandler) // what net/http offers to break a connection
	}
}

// chunks is the reply, piece by piece.
func (a answer) chunks() [][]byte {
	if !a.stream {
		return [][]byte{encode(a.kind.whole(a.reply))}
	}
	var list [][]byte
	for _, r := range a.kind.records(a.reply) {
		switch {
		case r.terminal && a.fault.NoTerminal:
		case a.array:
			list = append(list, append([]byte(",\r\n"), encode(r.data)...))
		default:
			list = append(list, frame(r))
		}
	}
	if a.array {
		list[0] = append([]byte("["), list[0][len(",\r\n"):]...) // every wire's first record is no end
		if !a.fault.NoTerminal {
			list = append(list, []byte("]"))
		}
	}
	return list
}

// frame is a record as an event of a stream.
func frame(r record) []byte {
	var b bytes.Buffer
	if r.event != "" {
		b.WriteString("event: " + r.event + "\n")
	}
	b.WriteString("data: ")
	b.Write(encode(r.data))
	b.WriteString("\n\n")
	return b.Bytes()
}

// encode writes <, > and & as they are, as vendors do.
func encode(v any) []byte {
	if raw, ok := v.(json.RawMessage); ok {
		return raw // "[DONE]" is no JSON
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte(strconv.Quote(err.Error()))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// put writes one chunk, in the pieces that the fault asks for, each on its own way.
func (a answer) put(w http.ResponseWriter, chunk []byte) {
	for len(chunk) > 0 {
		n := len(chunk)
		switch {
		case a.fault.Trickle:
			n = 1
		case a.fault.SplitRunes:
			n = inside(chunk)
		}
		if _, err := w.Write(chunk[:n]); err != nil {
			return // the client is gone
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		chunk = chunk[n:]
	}
}

// inside is the length up to the first byte of the first character of several, or all.
func inside(chunk []byte) int {
	for i := 0; i < len(chunk); i++ {
		if chunk[i] >= utf8.RuneSelf && utf8.RuneStart(chunk[i]) {
			return i + 1
		}
	}
	return len(chunk)
}
