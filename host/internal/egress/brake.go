package egress

import (
	"context"
	"sync"
	"time"
)

// Bounds of the brake.
const (
	freely    = 8                     // refusals of one host that are answered at once
	firstWait = 20 * time.Millisecond // before the next one; it doubles
	longWait  = time.Second           // and grows no further
	calm      = time.Minute           // without a refusal of it, a host is as new
	maxBraked = 32                    // answers that wait at once; others do not wait
)

// brake lets the answer to a host that is refused again and again wait, so that a program that tries without
// end does not use up this machine. Its zero value is ready.
type brake struct {
	mu      sync.Mutex
	hosts   map[string]*refusals // at most maxDistinct; all others are one host
	waiting int
}

// refusals are those of one host.
type refusals struct {
	n    int
	last time.Time
}

// wait notes a refusal of the host, and returns when it may be answered.
func (b *brake) wait(ctx context.Context, host string) {
	pause, done := b.take(host)
	defer done()
	if pause == 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// take is how long the answer waits.
func (b *brake) take(host string) (pause time.Duration, done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hosts == nil {
		b.hosts = map[string]*refusals{}
	}
	if b.hosts[host] == nil && len(b.hosts) >= maxDistinct {
		host = ""
	}
	r := b.hosts[host]
	if r == nil {
		r = &refusals{}
		b.hosts[host] = r
	}
	now := time.Now()
	if now.Sub(r.last) > calm {
		r.n = 0
	}
	r.n, r.last = r.n+1, now
	if r.n <= freely || b.waiting == maxBraked { // a place for what is allowed is not to be waited for
		return 0, func() {}
	}
	b.waiting++
	return pauseOf(r.n - freely), b.release
}

func (b *brake) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
}

// pauseOf is the wait before the n-th answer that waits.
func pauseOf(n int) time.Duration {
	pause := firstWait
	for range n - 1 {
		if pause *= 2; pause >= longWait {
			return longWait
		}
	}
	return pause
}
