package work

import "slices"

// RunState is the state of a run.
type RunState string

// The states of a run. Closed and cancelled runs take no further steps.
const (
	RunOpen      RunState = "open"
	RunClosed    RunState = "closed"
	RunCancelled RunState = "cancelled"
)

// StepState is the state of a step. It is derived from attempts and gates and stored with
// compare-and-set.
type StepState string

// The states of a step.
const (
	StepQueued    StepState = "queued"
	StepActive    StepState = "active"
	StepHeld      StepState = "held"
	StepPassed    StepState = "passed"
	StepRejected  StepState = "rejected"
	StepFailed    StepState = "failed"
	StepCancelled StepState = "cancelled"
)

// AttemptState is the state of an attempt.
type AttemptState string

// The states of an attempt, in the order of an undisturbed life. Stopping is entered from any live
// state, with a cause; it is left only with a proof of death.
const (
	AttemptQueued     AttemptState = "queued"
	AttemptPreparing  AttemptState = "preparing"
	AttemptRunning    AttemptState = "running"
	AttemptWaiting    AttemptState = "waiting"
	AttemptCollecting AttemptState = "collecting"
	AttemptValidating AttemptState = "validating"
	AttemptStopping   AttemptState = "stopping"
	AttemptEnded      AttemptState = "ended"
)

// Outcome says how an ended attempt ended.
type Outcome string

// The outcomes. Cancelled is set only with the launcher's proof of an empty process tree.
const (
	Succeeded      Outcome = "succeeded"
	NoChange       Outcome = "no_change"
	Failed         Outcome = "failed"
	Denied         Outcome = "denied"
	TimedOut       Outcome = "timed_out"
	BudgetExceeded Outcome = "budget_exceeded"
	Cancelled      Outcome = "cancelled"
	ExecutorError  Outcome = "executor_error"
	InfraError     Outcome = "infra_error"
	Lost           Outcome = "lost"
)

// Result is what one validation found. ResultError is never a pass.
type Result string

// The results of a validation.
const (
	ResultPass  Result = "pass"
	ResultWarn  Result = "warn"
	ResultFail  Result = "fail"
	ResultSkip  Result = "skip"
	ResultError Result = "error"
)

// Verdict is a gate's decision.
type Verdict string

// The verdicts. Hold becomes pass or fail by a recorded decision or its deadline.
const (
	VerdictPending Verdict = "pending"
	VerdictPass    Verdict = "pass"
	VerdictFail    Verdict = "fail"
	VerdictHold    Verdict = "hold"
)

// ApprovalKind says what an approval is about.
type ApprovalKind string

// A gate waits (hold), an executor asks leave (permission) or for information (question).
const (
	ApprovalHold       ApprovalKind = "hold"
	ApprovalPermission ApprovalKind = "permission"
	ApprovalQuestion   ApprovalKind = "question"
)

// ApprovalState is the state of an approval.
type ApprovalState string

// The states of an approval.
const (
	ApprovalOpen     ApprovalState = "open"
	ApprovalAllowed  ApprovalState = "allowed"
	ApprovalDenied   ApprovalState = "denied"
	ApprovalAnswered ApprovalState = "answered"
)

// state is any of the state types; the tables below are total over it.
type state interface {
	~string
}

// table maps every state of a kind to the states it may become. A state without successors is terminal.
type table[S state] map[S][]S

func (t table[S]) allows(from, to S) bool { return slices.Contains(t[from], to) }

func (t table[S]) states() []S {
	all := make([]S, 0, len(t))
	for s := range t {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

var runTable = table[RunState]{
	RunOpen:      {RunClosed, RunCancelled},
	RunClosed:    {},
	RunCancelled: {},
}

// A step that ended may be queued again, by a retry or a follow-up, while its run is open.
var stepTable = table[StepState]{
	StepQueued:    {StepActive, StepCancelled, StepFailed},
	StepActive:    {StepHeld, StepPassed, StepRejected, StepFailed, StepCancelled},
	StepHeld:      {StepActive, StepPassed, StepRejected, StepFailed, StepCancelled},
	StepPassed:    {StepQueued},
	StepRejected:  {StepQueued},
	StepFailed:    {StepQueued},
	StepCancelled: {StepQueued},
}

// Ended directly from a live state is recovery's way (outcome lost) and that of failures before a
// process existed.
var attemptTable = table[AttemptState]{
	AttemptQueued:     {AttemptPreparing, AttemptStopping, AttemptEnded},
	AttemptPreparing:  {AttemptRunning, AttemptStopping, AttemptEnded},
	AttemptRunning:    {AttemptWaiting, AttemptCollecting, AttemptStopping, AttemptEnded},
	AttemptWaiting:    {AttemptRunning, AttemptCollecting, AttemptStopping, AttemptEnded},
	AttemptCollecting: {AttemptValidating, AttemptStopping, AttemptEnded},
	AttemptValidating: {AttemptStopping, AttemptEnded},
	AttemptStopping:   {AttemptCollecting, AttemptEnded},
	AttemptEnded:      {},
}

var verdictTable = table[Verdict]{
	VerdictPending: {VerdictPass, VerdictFail, VerdictHold},
	VerdictHold:    {VerdictPass, VerdictFail},
	VerdictPass:    {},
	VerdictFail:    {},
}

var approvalTable = table[ApprovalState]{
	ApprovalOpen:     {ApprovalAllowed, ApprovalDenied, ApprovalAnswered},
	ApprovalAllowed:  {},
	ApprovalDenied:   {},
	ApprovalAnswered: {},
}

// CanBecome reports whether a run may move from s to next.
func (s RunState) CanBecome(next RunState) bool { return runTable.allows(s, next) }

// CanBecome reports whether a step may move from s to next.
func (s StepState) CanBecome(next StepState) bool { return stepTable.allows(s, next) }

// CanBecome reports whether an attempt may move from s to next.
func (s AttemptState) CanBecome(next AttemptState) bool { return attemptTable.allows(s, next) }

// CanBecome reports whether a verdict may move from s to next.
func (s Verdict) CanBecome(next Verdict) bool { return verdictTable.allows(s, next) }

// CanBecome reports whether an approval may move from s to next.
func (s ApprovalState) CanBecome(next ApprovalState) bool { return approvalTable.allows(s, next) }

// Live reports whether an attempt in this state may still have a process or work to do.
func (s AttemptState) Live() bool { return s != AttemptEnded }

// Settled reports whether a step in this state has ended (it may be queued again on request).
func (s StepState) Settled() bool {
	return s == StepPassed || s == StepRejected || s == StepFailed || s == StepCancelled
}

// Known reports whether o is one of the outcomes.
func (o Outcome) Known() bool { return slices.Contains(Outcomes(), o) }

// Outcomes lists all outcomes.
func Outcomes() []Outcome {
	return []Outcome{Succeeded, NoChange, Failed, Denied, TimedOut, BudgetExceeded, Cancelled, ExecutorError, InfraError, Lost}
}

// Known reports whether r is one of the results.
func (r Result) Known() bool {
	return slices.Contains([]Result{ResultPass, ResultWarn, ResultFail, ResultSkip, ResultError}, r)
}
