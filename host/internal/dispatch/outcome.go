package dispatch

import (
	"cmp"
	"slices"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// verdict is how an attempt came out.
type verdict struct {
	outcome   work.Outcome
	reason    string
	message   string
	retryable bool
}

// outcome weighs the facts, the stronger ones first: the host's own reason to kill, a death that is not
// proved, a plugin that broke, what the executor says went wrong, how its program ended, why it says that
// it stopped, and last what the tree shows.
func (end *ending) outcome(evidence *work.Evidence) verdict {
	switch {
	case end.cause != nil:
		return stopOutcome(end.cause)
	case end.started && end.death != nil && !end.death.Proved:
		return verdict{work.Lost, "unproved_death", "it is not proved that every process of the attempt is dead", false}
	case end.err != nil:
		f, outcome := fault.From(end.err), work.ExecutorError
		if !end.started {
			outcome = work.InfraError
		}
		return verdict{outcome, string(f.Code), f.Message, true}
	case evidence == nil:
		evidence = &work.Evidence{}
	}
	if evidence.Program != "" { // whatever it says, nobody knows what said it
		return verdict{work.ExecutorError, string(fault.ProgramChanged), evidence.Program, true}
	}
	unchanged := evidence.TreeAfter == evidence.TreeBefore
	if v, ok := said(end.result, unchanged && (end.result.Denied || evidence.Permissions.Refused())); ok {
		return v
	}
	if unchanged {
		return verdict{outcome: work.NoChange}
	}
	return verdict{outcome: work.Succeeded}
}

// said is what the executor's result makes of the attempt; false where it speaks of an ordinary end.
// denied is set where something was refused and nothing changed.
func said(r sdk.Result, denied bool) (verdict, bool) {
	class := cmp.Or(r.Class, "unknown")
	telling := class != "unknown" && class != "policy" // it names another cause than a refusal
	switch {
	case r.Failed && telling, r.Failed && !denied:
		return verdict{work.Failed, class, r.Message, r.Retryable}, true
	case denied:
		return verdict{work.Denied, "denied", cmp.Or(r.Message, "the executor was refused what it asked leave for, and changed nothing"), false}, true
	case r.Signal != "":
		return verdict{work.Failed, "signal", "the executor's program was ended by " + r.Signal, r.Retryable}, true
	case r.StopReason == "cancelled":
		return verdict{work.Failed, "cancel_claimed", "the executor says that it was cancelled; the host did not cancel it", true}, true
	case slices.Contains([]string{"max_turns", "max_tokens", "budget", "refusal", "error", "lost"}, r.StopReason):
		return verdict{work.Failed, r.StopReason, cmp.Or(r.Message, "the executor stopped before it was done: "+r.StopReason), r.Retryable}, true
	}
	return verdict{}, false
}

func stopOutcome(cause *stopCause) verdict {
	switch cause.kind {
	case errWall:
		return verdict{work.TimedOut, "wall", cause.reason, true}
	case errOutput:
		return verdict{work.BudgetExceeded, "output", cause.reason, false}
	case errLimit, errBudget:
		return verdict{work.BudgetExceeded, cause.code, cause.reason, false}
	case errShutdown:
		return verdict{work.Cancelled, "shutdown", cause.reason, true}
	}
	return verdict{work.Cancelled, "cancel", cause.reason, true}
}
