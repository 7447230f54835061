package cli

import (
	"context"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
)

// markSimulated says beside bytes that are shown as they are recorded that nobody did the work. It goes to
// standard error: what is printed stays exact.
func (s *shell) markSimulated(ctx context.Context, c *client.Client, attemptID string) error {
	a, err := client.Call[api.Attempt](ctx, c, api.OpAttemptGet, api.AttemptRef{AttemptID: attemptID})
	if err != nil {
		return err
	}
	if a.Simulated {
		s.say(s.talk.simulated(true) + " attempt " + a.ID + ": its executor only plays a part")
	}
	return nil
}
