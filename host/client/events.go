package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

const (
	maxFrame   = 4 << 20 // bytes of one event
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
)

// EventStream is a followed log. It is used by one goroutine.
type EventStream struct {
	connect  func(after string, left int) (io.ReadCloser, error)
	patience time.Duration

	body  io.ReadCloser
	lines *bufio.Reader
	after string // the position that was passed last
	left  int    // events still wanted; 0 = no end
	done  bool
	begun bool // a connection was answered once
}

// Events follows the log from req.After ("" is now). It dials on the first Next.
func (c *Client) Events(ctx context.Context, req api.EventsRequest) *EventStream {
	return &EventStream{
		after:    req.After,
		left:     req.Limit,
		patience: c.opts.Patience,
		connect: func(after string, left int) (io.ReadCloser, error) {
			row, err := rowOf(api.OpEventsSubscribe, api.StreamSSE)
			if err != nil {
				return nil, err
			}
			req.After, req.Limit = after, left
			answer, err := c.do(ctx, row, req, http.Header{"Accept": {"text/event-stream"}})
			if err != nil {
				return nil, err
			}
			return answer.Body, nil
		},
	}
}

// Position is the place in the log that was passed last.
func (s *EventStream) Position() string { return s.after }

// Close ends the stream.
func (s *EventStream) Close() {
	s.done = true
	s.drop()
}

// Next waits for the next event. A connection that breaks is made again at the position reached; when
// that does not succeed within the client's patience, or the first connection fails, the error is
// fault.Unavailable. It returns io.EOF after req.Limit events and after Close.
func (s *EventStream) Next(ctx context.Context) (api.Event, error) {
	var since time.Time // when the connection was lost
	pause := firstPause
	for {
		if s.done {
			return api.Event{}, io.EOF
		}
		e, err := s.attempt(ctx)
		if err == nil {
			return s.took(e), nil
		}
		s.drop()
		if cause := context.Cause(ctx); cause != nil {
			return api.Event{}, fmt.Errorf("follow events: %w", cause)
		}
		if !s.begun || !fault.Is(err, fault.Unavailable) {
			return api.Event{}, err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) > s.patience {
			return api.Event{}, err
		}
		if err := wait(ctx, pause); err != nil {
			return api.Event{}, err
		}
		pause = min(2*pause, longPause)
	}
}

// took notes that an event was handed out.
func (s *EventStream) took(e api.Event) api.Event {
	s.after = e.Pos
	if s.left > 0 {
		s.left--
		s.done = s.left == 0
	}
	if s.done {
		s.drop()
	}
	return e
}

// attempt reads the next event, over a new connection where there is none. Ctx ends a read in progress
// by closing the connection; the next call makes a new one.
func (s *EventStream) attempt(ctx context.Context) (api.Event, error) {
	if s.body == nil {
		b, err := s.connect(s.after, s.left)
		if err != nil {
			return api.Event{}, err
		}
		s.body, s.lines, s.begun = b, bufio.NewReaderSize(b, 64<<10), true
	}
	b := s.body
	stop := context.AfterFunc(ctx, func() { b.Close() })
	defer stop()
	for {
		f, err := readFrame(s.lines)
		if err != nil {
			return api.Event{}, err
		}
		e, ok, err := s.judge(f)
		if ok || err != nil {
			return e, err
		}
	}
}

// judge turns a frame into an event; ok is false for frames that carry none and for events that were
// seen before.
func (s *EventStream) judge(f frame) (e api.Event, ok bool, err error) {
	switch {
	case f.name == "fault":
		var body api.ErrorBody
		if err := json.Unmarshal(f.data, &body); err != nil {
			return e, false, fault.Wrap(err, fault.Internal, "a fault in the event stream cannot be read")
		}
		return e, false, faultOf(body.Error)
	case f.name != "":
		return e, false, nil // a later version's
	case len(f.data) == 0:
		s.start(f.id)
		return e, false, nil
	}
	if err := json.Unmarshal(f.data, &e); err != nil {
		return e, false, fault.Wrap(err, fault.Internal, "an event cannot be read")
	}
	pos, err := api.ParsePosition(e.Pos)
	if err != nil {
		return e, false, fault.Wrap(err, fault.Internal, "an event has no position")
	}
	last, err := api.ParsePosition(s.after)
	if err == nil && !pos.After(last) {
		return e, false, nil
	}
	return e, true, nil
}

// start notes the place at which the daemon began the stream.
func (s *EventStream) start(id string) {
	if _, err := api.ParsePosition(id); err == nil && s.after == "" {
		s.after = id
	}
}

func (s *EventStream) drop() {
	if s.body != nil {
		s.body.Close()
		s.body, s.lines = nil, nil
	}
}

// frame is one server-sent event.
type frame struct {
	id, name string
	data     []byte
}

// readFrame reads to the empty line. Comments and fields that are not known are skipped.
func readFrame(r *bufio.Reader) (frame, error) {
	var f frame
	for left := maxFrame; ; {
		line, err := readLine(r, left)
		if err != nil {
			return f, err
		}
		if line == "" {
			return f, nil
		}
		left -= len(line)
		f.field(line)
	}
}

// readLine reads a line of at most the given length, without its end.
func readLine(r *bufio.Reader, most int) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > most:
			return "", fault.New(fault.TooLarge, "an event is larger than %d bytes", maxFrame)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return "", fault.Wrap(err, fault.Unavailable, "the event stream broke off")
		}
		return strings.TrimRight(string(line), "\r\n"), nil
	}
}

func (f *frame) field(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		f.id = value
	case "event":
		f.name = value
	case "data":
		if len(f.data) > 0 {
			f.data = append(f.data, '\n')
		}
		f.data = append(f.data, value...)
	}
}

// wait pauses for about d, less a random part so that many clients do not come back at once.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("follow events: %w", context.Cause(ctx))
	}
}
