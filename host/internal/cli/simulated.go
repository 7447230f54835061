package cli

import (
	"context"
	"encoding/json"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
)

// markSimulated says beside bytes that are shown as they are recorded that nobody did the work. It goes to
// standard error: what is printed stays exact. It answers with the attempt.
func (s *shell) markSimulated(ctx context.Context, c *client.Client, attemptID string) (api.Attempt, error) {
	a, err := client.Call[api.Attempt](ctx, c, api.OpAttemptGet, api.AttemptRef{AttemptID: attemptID})
	if err != nil {
		return a, err
	}
	if a.Simulated {
		s.say(s.talk.simulated(true) + " attempt " + a.ID + ": its executor only plays a part")
	}
	return a, nil
}

// drivesProgram says whether the attempt's plugin drives a program of the machine, an agent as a rule.
func drivesProgram(a api.Attempt) bool {
	var plugin struct {
		Program json.RawMessage `json:"program"`
	}
	return json.Unmarshal(a.Plugin, &plugin) == nil && len(plugin.Program) > 0
}
