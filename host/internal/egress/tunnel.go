package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// reach resolves, vets and dials the target.
func (x *exchange) reach(ctx context.Context) (*conn, error) {
	addrs, err := x.proxy.addresses(ctx, x.head.host)
	if err != nil {
		return nil, err
	}
	c, addr, err := x.proxy.dial(ctx, addrs, x.head.port)
	if err != nil {
		return nil, err
	}
	x.record.Address = addr.String()
	x.client.act.touch()
	return &conn{Conn: c, act: x.client.act}, nil
}

// tally closes the far side and records what went over it.
func (x *exchange) tally(up *conn) {
	_ = up.Close() // a second close is harmless
	x.record.Up, x.record.Down = up.sent.Load(), up.got.Load()
}

// connect serves CONNECT.
func (x *exchange) connect(ctx context.Context) error {
	up, err := x.reachQuietly(ctx)
	if err != nil {
		return err
	}
	defer x.tally(up)
	stop := context.AfterFunc(ctx, func() {
		_ = up.Close() // ends the copies
	})
	defer stop()
	x.told, x.tunnel = true, true
	if _, err := io.WriteString(x.client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return failed("the client went away", err)
	}
	var group sync.WaitGroup
	var upErr, downErr error
	group.Go(func() { upErr = carry(up, x.client) })
	downErr = carry(x.client, up)
	group.Wait()
	if ctx.Err() != nil || errors.Is(upErr, os.ErrDeadlineExceeded) || errors.Is(downErr, os.ErrDeadlineExceeded) {
		return failed("the connection ended", errors.Join(ctx.Err(), upErr, downErr))
	}
	return nil
}

// reachQuietly is reach while the client has to be silent: what it sends before it knows that there is
// a tunnel could be read as a second request by one and as the tunnel's bytes by another.
func (x *exchange) reachQuietly(ctx context.Context) (*conn, error) {
	dialing, done := context.WithCancel(ctx)
	defer done()
	early := make(chan error, 1)
	go func() {
		_, err := x.in.Peek(1)
		done()
		early <- err
	}()
	up, err := x.reach(dialing)
	x.client.fix(time.Unix(1, 0))
	heard := <-early
	x.client.fix(time.Time{})
	switch {
	case heard == nil:
		err = malformed("bytes came before the tunnel was open")
	case !errors.Is(heard, os.ErrDeadlineExceeded):
		err = failed("the client went away", heard)
	}
	if err != nil && up != nil {
		x.tally(up)
	}
	if err != nil {
		return nil, err
	}
	return up, nil
}

// halfIdle is the idle time once one direction has ended: a client that is gone looks like one that
// only has nothing more to say.
const halfIdle = 2 * time.Minute

// carry copies one direction to its end and passes the end on; an error ends both directions.
func carry(dst, src *conn) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 32<<10))
	if err == nil {
		err = dst.closeWrite()
		dst.act.limit(halfIdle)
		dst.fix(time.Time{}) // a read that waits for longer waits anew
	}
	if err != nil {
		_ = dst.Close() // the other direction ends, too
		_ = src.Close() // as above
	}
	if errors.Is(err, net.ErrClosed) {
		return nil // the other direction had the error
	}
	return err
}

var _ Resolver = (*net.Resolver)(nil)
