package dispatch

import (
	"sync"

	"github.com/drawspan/drawspan/sdk"
)

// modelUse sums what an attempt had from a model through the gateway.
type modelUse struct {
	mu      sync.Mutex
	calls   int64
	refused int64
	guessed bool // some call was estimated
	sum     sdk.Usage
}

// called takes a call through the gateway into the stream.
func (a *drive) called(c ModelCall) {
	kind := sdk.EventUsage
	if c.Refused != "" {
		kind = sdk.EventSandboxDenied
	}
	a.models.add(c)
	a.note(sdk.Event{Type: kind, Data: jsonOf(c)})
}

func (m *modelUse) add(c ModelCall) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Refused != "" {
		m.refused++
		return
	}
	m.calls += c.Calls
	m.guessed = m.guessed || c.Basis == "computed"
	m.sum.Input += c.Input
	m.sum.CachedRead += c.CachedRead
	m.sum.CachedWrite += c.CachedWrite
	m.sum.Output += c.Output
	m.sum.Reasoning += c.Reasoning
}

// modelTotal is what the gateway counted, nil where the executor has none. It is whole once the plugin has
// stopped.
func (a *drive) modelTotal() *sdk.Usage {
	if a.ex == nil || a.ex.Gateway == nil {
		return nil
	}
	a.models.mu.Lock()
	defer a.models.mu.Unlock()
	sum := a.models.sum
	sum.Calls, sum.Scope, sum.Basis = a.models.calls, "session", "gateway"
	if a.models.guessed {
		sum.Basis = "computed"
	}
	return &sum
}
