package api

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// Blob is the answer of an operation that streams bytes. Size is -1 where it is not known beforehand.
//
// Body is closed when the request is over. That may be from another goroutine while a Read waits, and
// must end the Read: it is how a client that went away stops a stream that is followed.
type Blob struct {
	Media string
	Size  int64
	Name  string // of the file, for people; no path
	Body  io.ReadCloser
}

// Events is the answer of an operation that follows the log.
type Events struct {
	// Start is the position after which the stream begins. A client that loses its connection before
	// the first event resumes there.
	Start string
	// Next waits for the next event, in the order of the log. It returns io.EOF when the stream has
	// ended in order (the daemon stops), and the context's error when the client went away.
	Next func(ctx context.Context) (Event, error)
}

// Position is a place in the log: "<epoch>.<seq>" everywhere.
type Position struct {
	Epoch uint64
	Seq   uint64
}

// ParsePosition reads "<epoch>.<seq>", in its one canonical form.
func ParsePosition(s string) (Position, error) {
	e, q, ok := strings.Cut(s, ".")
	epoch, err1 := strconv.ParseUint(e, 10, 63)
	seq, err2 := strconv.ParseUint(q, 10, 63)
	p := Position{Epoch: epoch, Seq: seq}
	if !ok || err1 != nil || err2 != nil || p.String() != s {
		return Position{}, fault.New(fault.InvalidRequest, "a position must be \"<epoch>.<seq>\"").At("after")
	}
	return p, nil
}

// String is the canonical form.
func (p Position) String() string {
	return strconv.FormatUint(p.Epoch, 10) + "." + strconv.FormatUint(p.Seq, 10)
}

// After reports whether p comes later than q. A later epoch comes later.
func (p Position) After(q Position) bool {
	if p.Epoch != q.Epoch {
		return p.Epoch > q.Epoch
	}
	return p.Seq > q.Seq
}
