package work

import "time"

// Mutation is one change of the record. The store applies a list of them in one transaction, and each
// writes its own event there: a change without an event cannot be expressed.
//
// Moves are compare-and-set: they name the version that the caller saw, and a move that the transition
// table does not know, or whose version is stale, fails the whole list with fault.Stale or
// fault.Conflict and changes nothing.
type Mutation interface{ mutation() }

// Key makes a create or dispatch idempotent. The same key with the same request digest answers with the
// first object; with another digest it is fault.IdempotencyConflict.
type Key struct {
	Actor     string // who sent it
	Workspace string
	Value     string // the caller's key, at most 128 bytes
	Request   string // digest of the request
}

// OpenRun inserts a run in state open (event run.opened).
type OpenRun struct {
	Run Run
	Key *Key
}

// MoveRun moves a run (event run.closed, run.cancelled).
type MoveRun struct {
	ID      string
	Version int64
	To      RunState
	Actor   Actor
	At      time.Time
	Reason  string
}

// DispatchStep inserts a step in state queued, if its run is open (event step.dispatched). The store
// assigns Ix, the next position in the run.
type DispatchStep struct {
	Step Step
	Key  *Key
}

// MoveStep moves a step (event step.<state>). A key makes a move to queued idempotent.
type MoveStep struct {
	ID      string
	Version int64
	To      StepState
	Reason  string
	Actor   Actor
	At      time.Time
	Key     *Key
}

// CreateAttempt inserts an attempt in state queued and makes it its step's newest (event
// attempt.queued). The store assigns N.
type CreateAttempt struct{ Attempt Attempt }

// MoveAttempt moves an attempt and sets the fields that are known at that moment (event
// attempt.<state>). Nil and zero fields leave the stored value.
type MoveAttempt struct {
	ID        string
	Version   int64
	To        AttemptState
	Cause     string
	Actor     Actor
	At        time.Time
	Base      string
	Start     string
	Plugin    *PluginIdentity
	Enforced  []byte
	Level     string
	Claim     *Claim
	Evidence  *Evidence
	Death     *Death
	Outcome   Outcome // required when To is ended, refused otherwise
	Reason    string
	Message   string
	Retryable bool
	Simulated bool
}

// KeepArtifact inserts an artifact row (event artifact.kept). Its bytes are durable already, or inline.
type KeepArtifact struct{ Artifact Artifact }

// RecordValidation inserts a validation (event validation.recorded).
type RecordValidation struct{ Validation Validation }

// OpenGate inserts a gate of an attempt with verdict pending (event gate.opened).
type OpenGate struct{ Gate GateRecord }

// DecideGate moves a gate's verdict (event gate.decided). Require makes the gate required, whatever its
// rule says of a fail: it could not be evaluated.
type DecideGate struct {
	ID         string
	Version    int64
	To         Verdict
	Reason     string
	Validation string
	ApprovalID string
	DecidedBy  string
	Require    bool
	Actor      Actor
	At         time.Time
}

// OpenApproval inserts an approval in state open (event approval.opened).
type OpenApproval struct{ Approval Approval }

// DecideApproval moves an approval (event approval.decided).
type DecideApproval struct {
	ID        string
	Version   int64
	To        ApprovalState
	Answer    string
	Note      string
	DecidedBy string
	Actor     Actor
	At        time.Time
}

// Fact writes an event that changes no object: host.started, config.loaded, plugin.verified,
// sandbox.violation, attempt.stuck and the like. Body is encoded as JSON.
type Fact struct {
	Kind      string
	Actor     Actor
	RunID     string
	StepID    string
	AttemptID string
	At        time.Time
	Body      any
}

func (OpenRun) mutation()          {}
func (MoveRun) mutation()          {}
func (DispatchStep) mutation()     {}
func (MoveStep) mutation()         {}
func (CreateAttempt) mutation()    {}
func (MoveAttempt) mutation()      {}
func (KeepArtifact) mutation()     {}
func (RecordValidation) mutation() {}
func (OpenGate) mutation()         {}
func (DecideGate) mutation()       {}
func (OpenApproval) mutation()     {}
func (DecideApproval) mutation()   {}
func (Fact) mutation()             {}

// Event is one entry of the log as readers see it. Position is Epoch and Seq, written "<epoch>.<seq>".
type Event struct {
	Epoch     int64     `json:"epoch"`
	Seq       int64     `json:"seq"`
	At        time.Time `json:"at"`
	Kind      string    `json:"kind"`
	Actor     Actor     `json:"actor"`
	Workspace string    `json:"workspace,omitempty"`
	RunID     string    `json:"run_id,omitempty"`
	StepID    string    `json:"step_id,omitempty"`
	AttemptID string    `json:"attempt_id,omitempty"`
	Body      []byte    `json:"-"` // canonical JSON; nil once retention has purged it
}

// Replayed is the error of a create or dispatch whose key was used before with the same request: the
// object that the first call made.
type Replayed struct{ ID string }

// Error names the object.
func (r *Replayed) Error() string { return "already done: " + r.ID }
