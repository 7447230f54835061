// Package event fans the record's events out to whoever follows them, and wakes those who wait for a
// key.
//
// Guarantees: a publisher never waits for a subscriber; a subscriber sees events in the order of
// publication without gaps, or is told that it lagged and from where to read the record again; a
// wake-up between Wait and the select on its channel is never lost; nothing polls.
//
// It must not know transports or storage: the record is the truth, this is only the doorbell.
package event

import (
	"context"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Position is a place in the log. Events after it have a larger epoch, or the same and a larger Seq.
type Position struct {
	Epoch int64
	Seq   int64
}

// Lagged is the error of a subscription that fell behind: events after After must be read from the
// record. The subscription goes on with what is published from then on.
type Lagged struct{ After Position }

// Error says where to read on.
func (l *Lagged) Error() string { return "subscription fell behind" }

// Bus fans events out.
type Bus struct{}

// New makes a bus whose subscriptions hold up to queue events.
func New(queue int) *Bus { return &Bus{} }

// Publish hands an event to every subscription.
func (b *Bus) Publish(e work.Event) {}

// Subscribe begins a subscription; it ends with ctx or Close.
func (b *Bus) Subscribe(ctx context.Context) *Sub { return &Sub{} }

// Wake wakes everyone who waits for the key.
func (b *Bus) Wake(key string) {}

// Wait returns a channel that is closed at the next Wake of the key.
func (b *Bus) Wait(ctx context.Context, key string) <-chan struct{} { return nil }

// Sub is a subscription.
type Sub struct{}

// Next is the next event, or *Lagged, or the cause of the end.
func (s *Sub) Next(ctx context.Context) (work.Event, error) { return work.Event{}, nil }

// Close ends the subscription.
func (s *Sub) Close() {}
