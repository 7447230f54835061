package daemon

import (
	"context"

	"github.com/drawspan/drawspan/host/api"
)

// markApprovals says of each approval whether its attempt is simulated.
func (d *Daemon) markApprovals(ctx context.Context, items []api.Approval) error {
	known := map[string]bool{}
	for i, ap := range items {
		simulated, ok := known[ap.AttemptID]
		if !ok {
			at, err := d.store.Attempt(ctx, ap.AttemptID)
			if err != nil {
				return err
			}
			simulated = at.Simulated
			known[ap.AttemptID] = simulated
		}
		items[i].Simulated = simulated
	}
	return nil
}

// markGates says it of the gates of one attempt.
func markGates(items []api.GateState, simulated bool) []api.GateState {
	for i := range items {
		items[i].Simulated = simulated
	}
	return items
}

// markArtifacts says it of the artifacts of one attempt.
func markArtifacts(items []api.Artifact, simulated bool) []api.Artifact {
	for i := range items {
		items[i].Simulated = simulated
	}
	return items
}
