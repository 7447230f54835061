package egress

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// activity is when bytes last moved on either side of one request.
type activity struct {
	idle atomic.Int64 // nanoseconds without a byte that are allowed
	last atomic.Int64
}

func newActivity(idle time.Duration) *activity {
	a := &activity{}
	a.idle.Store(int64(idle))
	a.touch()
	return a
}

func (a *activity) touch() { a.last.Store(time.Now().UnixNano()) }

func (a *activity) deadline() time.Time { return time.Unix(0, a.last.Load()+a.idle.Load()) }

// limit shortens the idle time.
func (a *activity) limit(d time.Duration) { a.idle.Store(min(a.idle.Load(), int64(d))) }

// conn is one side of a request: it counts, and ends when neither side moved a byte for the idle time.
type conn struct {
	net.Conn
	act       *activity
	sent, got atomic.Int64

	mu    sync.Mutex
	fixed time.Time // the deadline of reads; zero: that of act
}

// fix gives reads one deadline, those that wait already too; the zero time ends that.
func (c *conn) fix(t time.Time) {
	c.mu.Lock()
	c.fixed = t
	c.mu.Unlock()
	_ = c.arm() // a failure shows in the read
}

// arm sets the deadline of the next read.
func (c *conn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fixed.IsZero() {
		return c.Conn.SetReadDeadline(c.fixed)
	}
	return c.Conn.SetReadDeadline(c.act.deadline())
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		if err := c.arm(); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(b)
		if n > 0 {
			c.got.Add(int64(n))
			c.act.touch()
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.otherBusy() {
			continue
		}
		return n, err
	}
}

// otherBusy says whether a read's deadline passed only because the other side was the one that moved.
func (c *conn) otherBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fixed.IsZero() && time.Now().Before(c.act.deadline())
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(time.Duration(c.act.idle.Load()))); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	c.act.touch()
	return n, err
}

// closeWrite ends one direction.
func (c *conn) closeWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Conn.Close()
}
