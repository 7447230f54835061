package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/drawspan/drawspan/sdk"
)

// recorder is a host that keeps what it is told and decides as it was told to.
type recorder struct {
	mu     sync.Mutex
	events []sdk.Event
	asked  []sdk.Permission
	permit func(sdk.Permission) (sdk.Decision, error)
	on     func(sdk.Event)
}

func newRecorder(allow bool) *recorder {
	return &recorder{permit: func(sdk.Permission) (sdk.Decision, error) { return sdk.Decision{Allowed: allow, Rule: "test"}, nil }}
}

// Emit keeps an event that the host would take.
func (r *recorder) Emit(_ context.Context, e sdk.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	e.Log = append([]byte(nil), e.Log...)
	r.mu.Lock()
	r.events = append(r.events, e)
	on := r.on
	r.mu.Unlock()
	if on != nil {
		on(e)
	}
	return nil
}

// Ask has no answer.
func (r *recorder) Ask(context.Context, sdk.Question) (sdk.Answer, error) { return sdk.Answer{}, nil }

// Permit decides.
func (r *recorder) Permit(_ context.Context, p sdk.Permission) (sdk.Decision, error) {
	e, err := sdk.PermissionEvent(p)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		return sdk.Decision{}, err
	}
	r.mu.Lock()
	r.asked = append(r.asked, p)
	r.mu.Unlock()
	return r.permit(p)
}

// of is the data of the events of one type.
func (r *recorder) of(kind sdk.EventType) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.events {
		if e.Type == kind {
			all = append(all, e.ItemID+" "+string(e.Data))
		}
	}
	return all
}

// dump is all that was told, output without its lines.
func (r *recorder) dump() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, e := range r.events {
		if e.Type == sdk.EventLog {
			if e.Stream == "stderr" {
				fmt.Fprintf(&b, "stderr: %.600s\n", e.Log)
			}
			continue
		}
		fmt.Fprintf(&b, "%s %s %.300s\n", e.Type, e.ItemID, e.Data)
	}
	for _, p := range r.asked {
		fmt.Fprintf(&b, "ASKED %s %s %q %q %q %.200s\n", p.ID, p.Tool, p.Title, p.Paths, p.Command, p.Input)
	}
	return b.String()
}

// has fails the test unless one event of a type holds every text.
func (r *recorder) has(t *testing.T, kind sdk.EventType, texts ...string) {
	t.Helper()
	for _, e := range r.of(kind) {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(e, text)
		}
		if all {
			return
		}
	}
	t.Errorf("no %s with %q among\n%s", kind, texts, r.dump())
}
