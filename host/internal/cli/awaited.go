package cli

import (
	"context"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
)

// awaitedAttempt is newestAttempt for who wants to follow: of a step that is still queued it waits for
// the attempt to begin.
func awaitedAttempt(ctx context.Context, c *client.Client, arg string) (string, error) {
	instance, err := client.Call[api.Instance](ctx, c, api.OpInstanceDescribe, api.Empty{})
	if err != nil {
		return "", err
	}
	id, missing := newestAttempt(ctx, c, arg)
	if !fault.Is(missing, fault.NotFound) {
		return id, missing
	}
	stepID, err := resolve(ctx, c, stepIDs, arg)
	if err != nil {
		return "", err
	}
	step, err := client.Call[api.Step](ctx, c, api.OpStepGet, api.StepRef{StepID: stepID})
	if err != nil {
		return "", err
	}
	if step.AttemptID == "" && step.State != "queued" {
		return "", missing
	}
	events := c.Events(ctx, api.EventsRequest{After: instance.Head, StepID: stepID})
	defer events.Close()
	for step.AttemptID == "" && step.State == "queued" {
		if _, err := events.Next(ctx); err != nil {
			return "", err
		}
		if step, err = client.Call[api.Step](ctx, c, api.OpStepGet, api.StepRef{StepID: stepID}); err != nil {
			return "", err
		}
	}
	return newestAttempt(ctx, c, stepID)
}
