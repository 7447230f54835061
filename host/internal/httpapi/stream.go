package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

const chunk = 32 << 10

// sendBlob streams bytes as they come. A blob of known size is answered only when its first bytes are
// there, so that a failure to open it is still an error; one that is followed begins at once.
func (a *answer) sendBlob(ctx context.Context, b api.Blob) error {
	if b.Body == nil {
		return fault.New(fault.Internal, "a blob without a body")
	}
	var once sync.Once
	end := func() { once.Do(func() { b.Body.Close() }) }
	stop := context.AfterFunc(ctx, end)
	defer stop()
	defer end()

	buf := make([]byte, chunk)
	n, err := 0, error(nil)
	if b.Size >= 0 {
		if n, err = b.Body.Read(buf); err != nil && !errors.Is(err, io.EOF) {
			return told(ctx, err)
		}
	}
	a.blobHeader(b)
	sent := int64(0)
	for {
		if n > 0 {
			if _, werr := a.Write(buf[:n]); werr != nil {
				return gone(werr)
			}
			sent += int64(n)
		}
		if ferr := a.flush(); ferr != nil {
			return gone(ferr)
		}
		if err != nil {
			break
		}
		n, err = b.Body.Read(buf)
	}
	if !errors.Is(err, io.EOF) {
		return told(ctx, err)
	}
	if b.Size >= 0 && sent != b.Size {
		return fault.New(fault.Internal, "a blob of %d bytes gave %d", b.Size, sent)
	}
	return nil
}

func (a *answer) blobHeader(b api.Blob) {
	media := b.Media
	if _, _, err := mime.ParseMediaType(media); err != nil {
		media = "application/octet-stream"
	}
	h := a.Header()
	h.Set("Content-Type", media)
	if b.Name != "" {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(b.Name)}))
	} else {
		h.Set("Content-Disposition", "attachment")
	}
	if b.Size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(b.Size, 10))
	}
	a.WriteHeader(http.StatusOK)
}

// gone marks an error as the client's: it stopped reading.
func gone(err error) error { return fault.Wrap(err, fault.Unavailable, "the client went away") }

// next is what the reader of the log hands to the writer of the stream.
type next struct {
	event api.Event
	err   error
}

// sendEvents writes the log as server-sent events, with a comment now and then so that both ends notice
// a dead connection. It ends after limit events, 0 being no end.
func (a *answer) sendEvents(ctx context.Context, ev api.Events, limit int, beat time.Duration) error {
	if ev.Next == nil {
		return fault.New(fault.Internal, "events without a source")
	}
	ctx, cancel := context.WithCancel(ctx)
	events := make(chan next)
	var reader sync.WaitGroup
	reader.Go(func() { pull(ctx, ev, events) })
	defer reader.Wait()
	defer cancel()

	h := a.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	a.WriteHeader(http.StatusOK)
	begin := "retry: 2000\n"
	if ev.Start != "" {
		begin += "id: " + ev.Start + "\n"
	}
	if err := a.say(begin + "\n"); err != nil {
		return err
	}
	return a.relay(ctx, events, limit, beat)
}

// pull reads the source until it ends.
func pull(ctx context.Context, ev api.Events, events chan<- next) {
	for {
		e, err := ev.Next(ctx)
		select {
		case events <- next{e, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *answer) relay(ctx context.Context, events <-chan next, limit int, beat time.Duration) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for sent := 0; limit == 0 || sent < limit; {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			err = a.say(": beat\n\n")
		case n := <-events:
			if errors.Is(n.err, io.EOF) {
				return nil
			}
			if n.err != nil {
				return a.sayFault(ctx, n.err)
			}
			sent++
			err = a.sayEvent(n.event)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *answer) sayEvent(e api.Event) error {
	if _, err := api.ParsePosition(e.Pos); err != nil {
		return fault.Wrap(err, fault.Internal, "an event has the position %q", e.Pos)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "event %s cannot be encoded", e.Pos)
	}
	return a.say("id: " + e.Pos + "\ndata: " + string(data) + "\n\n")
}

// sayFault ends a stream that cannot go on, and says why in the stream. The error is returned for the
// log.
func (a *answer) sayFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	data, merr := json.Marshal(wireError(err, a.id))
	if merr != nil {
		return errors.Join(err, merr)
	}
	return errors.Join(err, a.say("event: fault\ndata: "+string(data)+"\n\n"))
}

func (a *answer) say(text string) error {
	if _, err := io.WriteString(a, text); err != nil {
		return gone(err)
	}
	if err := a.flush(); err != nil {
		return gone(err)
	}
	return nil
}
