package cli

import (
	"encoding/json"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
)

// ended is the error of a command that did its work, printed it, and whose exit code says how the work
// stands. It prints nothing more.
type ended struct{ code int }

// Error is for logs only; it is never printed.
func (e ended) Error() string { return exitMeaning(e.code) }

// exitRow is one row of the documented table.
type exitRow struct {
	code    int
	meaning string
}

// exitTable is `drawspan help exit-codes`.
var exitTable = []exitRow{
	{fault.ExitOK, "done; for a step: all required gates passed"},
	{fault.ExitInternal, "internal error"},
	{fault.ExitUsage, "wrong usage"},
	{fault.ExitConfig, "configuration invalid"},
	{fault.ExitAuth, "not authenticated or not allowed"},
	{fault.ExitNotFound, "not found"},
	{fault.ExitConflict, "conflict: locked, stale or already decided"},
	{fault.ExitPending, "still pending"},
	{fault.ExitGateFailed, "a gate said fail"},
	{fault.ExitExecutorFailed, "the executor failed, no gate was reached"},
	{fault.ExitCancelled, "cancelled, and the death of every process is proved"},
	{fault.ExitWaitsForHuman, "waits for a person"},
	{fault.ExitBudget, "budget exhausted"},
	{fault.ExitWaitExpired, "the wait is over, the work goes on"},
	{fault.ExitUnconfirmed, "stop asked for but not confirmed"},
	{fault.ExitUnreachable, "the daemon cannot be reached"},
	{fault.ExitAuditFailed, "verification of the record failed"},
	{fault.ExitInterrupted, "interrupted: detached, the work goes on"},
}

func exitMeaning(code int) string {
	for _, r := range exitTable {
		if r.code == code {
			return r.meaning
		}
	}
	return "internal error"
}

// The states and words of the API that the command line acts on.
const (
	stateOpen       = "open"
	stateQueued     = "queued"
	stateActive     = "active"
	stateHeld       = "held"
	statePassed     = "passed"
	stateRejected   = "rejected"
	stateFailed     = "failed"
	stateCancelled  = "cancelled"
	stateWaiting    = "waiting"
	stateStopping   = "stopping"
	stateEnded      = "ended"
	outcomeBudget   = "budget_exceeded"
	outcomeStopped  = "cancelled"
	outcomeNoChange = "no_change"
	verdictHold     = "hold"
	verdictFail     = "fail"
	verdictPass     = "pass"
	verdictPending  = "pending"
	kindQuestion    = "question"
	simulatedMarker = "simulated"
)

// settled reports whether a step has ended.
func settled(state string) bool {
	return state == statePassed || state == stateRejected || state == stateFailed || state == stateCancelled
}

// stepExit is the exit code that says how a step stands. stuck: its stop could not be confirmed so far.
func stepExit(step api.Step, stuck bool) int {
	switch step.State {
	case statePassed:
		return fault.ExitOK
	case stateRejected:
		return fault.ExitGateFailed
	case stateCancelled:
		return fault.ExitCancelled
	case stateFailed:
		return failedExit(step.Attempt)
	}
	switch {
	case stuck || unproved(step.Attempt):
		return fault.ExitUnconfirmed
	case waitsForPerson(step):
		return fault.ExitWaitsForHuman
	}
	return fault.ExitPending
}

func failedExit(a *api.Attempt) int {
	if a == nil {
		return fault.ExitExecutorFailed
	}
	switch a.Outcome {
	case outcomeBudget:
		return fault.ExitBudget
	case outcomeStopped:
		return fault.ExitCancelled
	}
	return fault.ExitExecutorFailed
}

// waitsForPerson reports whether nothing will happen to the step until someone answers. A held step whose
// last answer was just given is on its way.
func waitsForPerson(step api.Step) bool {
	waiting := step.State == stateHeld || step.Attempt != nil && step.Attempt.State == stateWaiting
	return waiting && len(step.Approvals) > 0
}

// unproved reports whether an attempt's death was looked for and not found.
func unproved(a *api.Attempt) bool {
	if a == nil || a.State != stateStopping {
		return false
	}
	d, ok := deathOf(a)
	return ok && !d.Proved
}

// death is what the record says of an attempt's end.
type death struct {
	Method    string   `json:"method"`
	Proved    bool     `json:"proved"`
	Survivors int      `json:"survivors"`
	Signals   []string `json:"signals"`
	Took      int64    `json:"took"`
}

func deathOf(a *api.Attempt) (death, bool) {
	var d death
	if len(a.Death) == 0 || json.Unmarshal(a.Death, &d) != nil {
		return d, false
	}
	return d, true
}
