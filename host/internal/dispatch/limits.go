package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drawspan/drawspan/host/fault"
)

// Excess is a limit of the sandbox that a launch went over and is killed for.
type Excess struct {
	Limit string // "memory", "disk", "cpu_time" or "processes"
	Used  int64  // bytes, milliseconds or processes
	Cap   int64
}

// code is the reason of the outcome.
func (x Excess) code() string { return "limit_" + x.Limit }

// text is the reason for people.
func (x Excess) text() string {
	switch x.Limit {
	case "memory", "disk":
		return fmt.Sprintf("%s went over its limit: %s used of %s", x.Limit, sizeText(x.Used), sizeText(x.Cap))
	case "cpu_time":
		return fmt.Sprintf("processor time went over its limit: %v used of %v", time.Duration(x.Used)*time.Millisecond, time.Duration(x.Cap)*time.Millisecond)
	}
	return fmt.Sprintf("%s went over their limit: %d alive of %d", x.Limit, x.Used, x.Cap)
}

// sizeText is a number of bytes with one decimal, in the units that the configuration uses.
func sizeText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n)/unit, []string{"KiB", "MiB", "GiB", "TiB"}
	for len(names) > 1 && value >= unit {
		value, names = value/unit, names[1:]
	}
	return fmt.Sprintf("%.1f %s", value, names[0])
}

// exceeded stops the attempt; its processes are stopped already and about to be killed.
func (a *drive) exceeded(x Excess) {
	a.cancel(&stopCause{kind: errLimit, code: x.code(), actor: daemonActor(), reason: x.text()})
}

// beyondCap reports a cause that leaves nothing to ask the executor for, and that counts even where the
// executor ended before it was noticed.
func beyondCap(cause error) bool {
	return errors.Is(cause, errOutput) || errors.Is(cause, errLimit)
}

// limitFault is why a validator was killed.
type limitFault struct{ *fault.Fault }

func (f limitFault) Unwrap() error { return f.Fault }

func validatorExceeded(x Excess) error {
	return limitFault{fault.New(fault.PluginCrashed, "%s: the validator was killed: %s", x.code(), x.text()).
		Fix("raise the limit in the gate's sandbox, or let the validator do less")}
}

// overLimit is the limit that ended a validator, nil where none did.
func overLimit(ctx context.Context) error {
	var over limitFault
	if errors.As(context.Cause(ctx), &over) {
		return over
	}
	return nil
}
