package dispatch

import "github.com/drawspan/drawspan/sdk"

// called takes a call through the gateway into the stream.
func (a *drive) called(c ModelCall) {
	kind := sdk.EventUsage
	if c.Refused != "" {
		kind = sdk.EventSandboxDenied
	}
	a.note(sdk.Event{Type: kind, Data: jsonOf(c)})
}
