package dispatch

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Excess is a limit that a launch went over: one of the sandbox's, for which it is killed, or one of the
// gateway's, for which it is stopped.
type Excess struct {
	Limit string // "memory", "disk", "cpu_time" or "processes"; "model_calls", "model_input_tokens" or "model_output_tokens"
	Used  int64  // bytes, milliseconds, processes, calls or tokens
	Cap   int64
}

// code is the reason of the outcome.
func (x Excess) code() string {
	if x.ofModel() {
		return x.Limit
	}
	return "limit_" + x.Limit
}

// ofModel reports a budget of the gateway.
func (x Excess) ofModel() bool { return strings.HasPrefix(x.Limit, "model_") }

// text is the reason for people.
func (x Excess) text() string {
	switch x.Limit {
	case "memory", "disk":
		return fmt.Sprintf("%s went over its limit: %s used of %s", x.Limit, work.SizeText(x.Used), work.SizeText(x.Cap))
	case "cpu_time":
		return fmt.Sprintf("processor time went over its limit: %v used of %v", time.Duration(x.Used)*time.Millisecond, time.Duration(x.Cap)*time.Millisecond)
	}
	if x.ofModel() {
		return fmt.Sprintf("the gateway refused a call: the budget of %d %s is used up", x.Cap, strings.ReplaceAll(strings.TrimPrefix(x.Limit, "model_"), "_", " "))
	}
	return fmt.Sprintf("%s went over their limit: %d alive of %d", x.Limit, x.Used, x.Cap)
}

// exceeded stops the attempt. For a limit of the sandbox its processes are stopped already and about to be
// killed; for a budget of the gateway the executor is asked first.
func (a *drive) exceeded(x Excess) {
	kind := errLimit
	if x.ofModel() {
		kind = errBudget
	}
	a.cancel(&stopCause{kind: kind, code: x.code(), actor: daemonActor(), reason: x.text()})
}

// beyondCap reports a cause that leaves nothing to ask the executor for.
func beyondCap(cause error) bool {
	return errors.Is(cause, errOutput) || errors.Is(cause, errLimit)
}

// overrides reports a cause that counts even where the executor ended before it was noticed.
func overrides(cause error) bool { return beyondCap(cause) || errors.Is(cause, errBudget) }

func validatorExceeded(x Excess) error {
	return fault.New(fault.PluginCrashed, "%s: the validator was killed: %s", x.code(), x.text()).
		Fix("raise the limit in the gate's sandbox, or let the validator do less")
}
