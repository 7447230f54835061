package event

import (
	"context"
	"sync"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Position is a place in the log.
type Position struct {
	Epoch int64
	Seq   int64
}

// Beginning is before every event.
func Beginning() Position { return Position{-1, -1} }

// Of is the position of an event.
func Of(e work.Event) Position { return Position{e.Epoch, e.Seq} }

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Seq < q.Seq
}

// Bus hands published events to subscriptions and wakes waiters. The zero Bus is not usable; see New.
type Bus struct {
	queue int

	mu   sync.Mutex
	subs map[*Sub]struct{}
	keys map[string]*bell
}

// bell is what everyone waits on who waits for one key.
type bell struct {
	rung    chan struct{}
	waiters int
	release []func() bool
}

// New makes a bus whose subscriptions hold up to queue events; at least 1.
func New(queue int) *Bus {
	return &Bus{queue: max(queue, 1), subs: make(map[*Sub]struct{}), keys: make(map[string]*bell)}
}

// Publish hands an event to every subscription. Events must come in the order of the log; the store's
// one writer sees to that.
func (b *Bus) Publish(e work.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		s.offer(e)
	}
}

// Subscribe begins a subscription to what is published from now on. It ends with ctx or Close.
func (b *Bus) Subscribe(ctx context.Context) *Sub {
	s := &Sub{bus: b, ready: make(chan struct{}, 1), done: make(chan struct{}), last: Beginning()}
	b.mu.Lock()
	b.subs[s] = struct{}{}
	b.mu.Unlock()
	stop := context.AfterFunc(ctx, s.end)
	s.mu.Lock()
	s.unhook = stop
	s.mu.Unlock()
	return s
}

// Wake closes the channels of everyone who waits for the key.
func (b *Bus) Wake(key string) {
	b.mu.Lock()
	k := b.keys[key]
	delete(b.keys, key)
	b.mu.Unlock()
	if k == nil {
		return
	}
	for _, stop := range k.release {
		stop()
	}
	close(k.rung)
}

// Wait returns a channel that the next Wake of the key closes. Take it before looking at the state, or a
// change in between is missed. The wait is forgotten when ctx ends; the channel stays open then.
func (b *Bus) Wait(ctx context.Context, key string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.keys[key]
	if k == nil {
		k = &bell{rung: make(chan struct{})}
		b.keys[key] = k
	}
	k.waiters++
	k.release = append(k.release, context.AfterFunc(ctx, func() { b.forget(key, k) }))
	return k.rung
}

// forget drops one waiter of a bell, and the bell with the last one.
func (b *Bus) forget(key string, k *bell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k.waiters--; k.waiters == 0 && b.keys[key] == k {
		delete(b.keys, key)
	}
}
