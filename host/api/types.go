package api

import (
	"encoding/json"
	"time"
)

// Limits of request fields, enforced where a request is decoded.
const (
	MaxText     = 256 << 10 // a step's text, in bytes
	MaxBody     = 1 << 20   // a request body
	MaxNote     = 8 << 10
	MaxKey      = 128 // an idempotency key
	MaxPageSize = 500
	MaxWait     = 300 // seconds of a bounded wait
)

// Actor is who caused something, as the daemon authenticated it.
type Actor struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Page asks for a part of a list. Cursor is opaque and comes from the answer before.
type Page struct {
	Limit  int    `json:"limit,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// List is a page of anything.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Empty is a request without fields.
type Empty struct{}

// Instance describes the daemon (instance.describe).
type Instance struct {
	ID         string   `json:"id"`
	Version    string   `json:"version"`
	API        string   `json:"api"`
	StartedAt  string   `json:"started_at"`
	StateDir   string   `json:"state_dir"`
	Config     []string `json:"config"`
	PolicySum  string   `json:"policy_digest"`
	Live       int      `json:"live_attempts"`
	Levels     []string `json:"sandbox_levels"`
	Head       string   `json:"log_head"` // "<epoch>.<seq>"
	Simulators []string `json:"simulators,omitempty"`
	Listeners  []string `json:"listeners"`
}

// Workspace is one declared workspace (workspace.list).
type Workspace struct {
	Name      string   `json:"name"`
	Root      string   `json:"root"`
	Base      string   `json:"base"`
	Bases     []string `json:"bases"`
	Executors []string `json:"executors"`
	Gates     []Gate   `json:"gates"`
	Declared  string   `json:"declared"`
}

// Gate is one declared gate (gate.list lists GateState).
type Gate struct {
	Name      string   `json:"name"`
	Validator string   `json:"validator,omitempty"`
	Needs     []string `json:"needs,omitempty"`
	Optional  bool     `json:"optional,omitempty"`
	OnFail    string   `json:"on_fail"`
	OnError   string   `json:"on_error"`
	When      string   `json:"when,omitempty"`
	Paths     []string `json:"paths,omitempty"`
	Hold      string   `json:"hold,omitempty"`
	Timeout   string   `json:"timeout,omitempty"`
	Retries   int      `json:"retries,omitempty"`
	Declared  string   `json:"declared"` // file:line; of a gate set, where the set has it
}

// Executor is one declared executor (executor.list).
type Executor struct {
	Name      string `json:"name"`
	Plugin    string `json:"plugin"`
	Sandbox   string `json:"sandbox"`
	Level     string `json:"level"`
	Simulated bool   `json:"simulated"`
	Locked    bool   `json:"locked"`
	Digest    string `json:"digest,omitempty"`
	Declared  string `json:"declared"`
	// Program is what the plugin drives on this machine; nil where it drives nothing.
	Program *Program `json:"program,omitempty"`
}

// Program is a program of the machine that an executor drives.
type Program struct {
	Name        string `json:"name"`
	State       string `json:"state"`                 // "ok", "missing", "refused", "not_locked" or "changed"
	Path        string `json:"path,omitempty"`        // the operator's home is ~
	Digest      string `json:"digest,omitempty"`      // of what was found
	Locked      string `json:"locked,omitempty"`      // the digest in the lock file
	Interpreter string `json:"interpreter,omitempty"` // what runs it, where it is a script
	Tested      string `json:"tested,omitempty"`      // versions that the plugin was tested with
	Detail      string `json:"detail,omitempty"`      // what is wrong
	Fix         string `json:"fix,omitempty"`         // and what helps
	// What a probe found out; empty before the first.
	Version string `json:"version,omitempty"`
	InRange bool   `json:"in_tested_range,omitempty"`
	Login   string `json:"login,omitempty"` // "ready", "missing" or "unknown"
}

// ExecutorRef names a declared executor (executor.probe).
type ExecutorRef struct {
	Executor string `json:"executor"`
}

// ExecutorProbe is what came of looking at an executor: its plugin was started in its sandbox, without a
// network, and asked about its program.
type ExecutorProbe struct {
	Executor  string   `json:"executor"`
	Plugin    string   `json:"plugin"`
	Sandbox   string   `json:"sandbox"`
	Simulated bool     `json:"simulated,omitempty"`
	Level     string   `json:"level,omitempty"` // that was enforced
	OK        bool     `json:"ok"`
	Program   *Program `json:"program,omitempty"` // nil: the plugin drives none
	Notes     []string `json:"notes"`             // the plugin's own
	Problem   string   `json:"problem,omitempty"`
	Fix       string   `json:"fix,omitempty"`
	TookMS    float64  `json:"took_ms"`
}

// RunOpenRequest opens a run (run.open).
type RunOpenRequest struct {
	Workspace string `json:"workspace"`
	Base      string `json:"base,omitempty"` // a ref that the workspace's bases allow; "" = its base
	Title     string `json:"title,omitempty"`
	Key       string `json:"idempotency_key,omitempty"`
}

// Run is a run with its steps' states.
type Run struct {
	ID         string     `json:"id"`
	Workspace  string     `json:"workspace"`
	Title      string     `json:"title,omitempty"`
	Base       string     `json:"base"`
	BaseCommit string     `json:"base_commit"`
	State      string     `json:"state"`
	Version    int64      `json:"version"`
	Actor      Actor      `json:"actor"`
	OpenedAt   time.Time  `json:"opened_at"`
	EndedAt    *time.Time `json:"ended_at,omitempty"`
	Steps      int        `json:"steps"`
	PolicySum  string     `json:"policy_digest"`
}

// RunRef names a run.
type RunRef struct {
	RunID string `json:"run_id"`
}

// RunListRequest lists runs, newest first (run.list).
type RunListRequest struct {
	Page
	Workspace string `json:"workspace,omitempty"`
	State     string `json:"state,omitempty"`
}

// RunCancelRequest cancels a run with all its steps (run.cancel).
type RunCancelRequest struct {
	RunID  string `json:"run_id"`
	Reason string `json:"reason,omitempty"`
}

// StepDispatchRequest dispatches a step (step.dispatch). It can narrow, never widen.
type StepDispatchRequest struct {
	RunID    string     `json:"run_id"`
	Text     string     `json:"text"`
	Executor string     `json:"executor"`
	Paths    *PathRules `json:"paths,omitempty"`
	Wall     string     `json:"wall,omitempty"` // a duration such as "10m"
	Gates    []string   `json:"gates,omitempty"`
	Expect   string     `json:"expect,omitempty"` // "" or "none"
	Key      string     `json:"idempotency_key,omitempty"`
}

// PathRules are globs over repository-relative paths.
type PathRules struct {
	Write  []string `json:"write,omitempty"`
	Forbid []string `json:"forbid,omitempty"`
}

// StepRef names a step. Wait, on step.get, is a bounded wait in seconds (at most MaxWait): the answer
// comes when the step has settled or waits for a person, or when the time is over.
type StepRef struct {
	StepID string `json:"step_id"`
	Wait   int    `json:"wait,omitempty"`
}

// StepListRequest lists steps of a run in order, or the newest of all runs (step.list).
type StepListRequest struct {
	Page
	RunID string `json:"run_id,omitempty"`
	State string `json:"state,omitempty"`
}

// StepCancelRequest cancels a step (step.cancel). The answer is the step as it is then: "cancelled" only
// when death is proved; poll or wait for the rest.
type StepCancelRequest struct {
	StepID string `json:"step_id"`
	Reason string `json:"reason,omitempty"`
}

// StepRetryRequest queues a new attempt of an ended step from its base (step.retry).
type StepRetryRequest struct {
	StepID string `json:"step_id"`
	Key    string `json:"idempotency_key,omitempty"`
}

// StepFollowupRequest queues a new attempt that starts from the kept tree of the newest one
// (step.followup).
type StepFollowupRequest struct {
	StepID string `json:"step_id"`
	Text   string `json:"text"`
	Key    string `json:"idempotency_key,omitempty"`
}

// StepApplyRequest brings a passed step's commit to a branch of the operator's repository (step.apply).
// A branch that exists must not be checked out anywhere and can only be fast-forwarded; one that does
// not is made.
type StepApplyRequest struct {
	StepID string `json:"step_id"`
	Branch string `json:"branch"`
}

// StepApplied says what step.apply did.
type StepApplied struct {
	StepID string `json:"step_id"`
	Branch string `json:"branch"`
	Before string `json:"before,omitempty"`
	After  string `json:"after"`
	Made   bool   `json:"made"` // the branch is new
	// Simulated: what was applied is a simulator's.
	Simulated bool `json:"simulated,omitempty"`
}

// Step is a step with its newest attempt, gates and open approvals.
type Step struct {
	ID         string      `json:"id"`
	RunID      string      `json:"run_id"`
	Workspace  string      `json:"workspace"`
	Ix         int         `json:"ix"`
	Text       string      `json:"text"`
	Executor   string      `json:"executor"`
	Paths      *PathRules  `json:"paths,omitempty"`
	Wall       string      `json:"wall,omitempty"`
	Gates      []string    `json:"gates,omitempty"`
	Expect     string      `json:"expect,omitempty"`
	State      string      `json:"state"`
	Reason     string      `json:"reason,omitempty"`
	Simulated  bool        `json:"simulated"`
	Version    int64       `json:"version"`
	Actor      Actor       `json:"actor"`
	AttemptID  string      `json:"attempt_id,omitempty"`
	Attempts   int         `json:"attempts"`
	Attempt    *Attempt    `json:"attempt,omitempty"`     // the newest; step.get only
	GateStates []GateState `json:"gate_states,omitempty"` // of the newest attempt; step.get only
	Approvals  []Approval  `json:"approvals,omitempty"`   // open ones; step.get only
	Dispatched time.Time   `json:"dispatched_at"`
	EndedAt    *time.Time  `json:"ended_at,omitempty"`
}

// AttemptRef names an attempt.
type AttemptRef struct {
	AttemptID string `json:"attempt_id"`
}

// AttemptListRequest lists attempts (attempt.list).
type AttemptListRequest struct {
	Page
	StepID string `json:"step_id,omitempty"`
	RunID  string `json:"run_id,omitempty"`
}

// Attempt is one execution of a step.
type Attempt struct {
	ID        string          `json:"id"`
	StepID    string          `json:"step_id"`
	RunID     string          `json:"run_id"`
	N         int             `json:"n"`
	Executor  string          `json:"executor"`
	State     string          `json:"state"`
	Version   int64           `json:"version"`
	Base      string          `json:"base_commit,omitempty"`
	Start     string          `json:"start_commit,omitempty"`
	Plugin    json.RawMessage `json:"plugin,omitempty"`
	Level     string          `json:"level,omitempty"`
	Enforced  json.RawMessage `json:"enforced,omitempty"`
	Claim     json.RawMessage `json:"claim,omitempty"`
	Evidence  json.RawMessage `json:"evidence,omitempty"`
	Death     json.RawMessage `json:"death,omitempty"`
	Outcome   string          `json:"outcome,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Message   string          `json:"message,omitempty"`
	Retryable bool            `json:"retryable"`
	Cause     string          `json:"cause,omitempty"`
	Simulated bool            `json:"simulated"`
	Preparing *Preparation    `json:"preparing,omitempty"` // while its tree is prepared, for the executor or for gates
	TreePath  string          `json:"tree_path,omitempty"` // local surface only; while the tree exists
	CreatedAt time.Time       `json:"created_at"`
	StartedAt *time.Time      `json:"started_at,omitempty"`
	EndedAt   *time.Time      `json:"ended_at,omitempty"`
}

// Preparation is what the preparation of an attempt's tree is at: a command, or a wait until another attempt
// has filled the workspace's caches.
type Preparation struct {
	Run   string    `json:"run,omitempty"`
	Waits bool      `json:"waits,omitempty"`
	Since time.Time `json:"since"`
}

// AttemptRestoreRequest writes the kept state of an attempt to a new directory (attempt.restore).
type AttemptRestoreRequest struct {
	AttemptID string `json:"attempt_id"`
	Dir       string `json:"dir"` // absolute; must not exist; local surface only
}

// AttemptRestored says where.
type AttemptRestored struct {
	AttemptID string `json:"attempt_id"`
	Dir       string `json:"dir"`
	Commit    string `json:"commit"`
	Files     int    `json:"files"`
	Simulated bool   `json:"simulated,omitempty"`
}

// StreamRequest reads an attempt's event stream from a byte offset (attempt.stream). The answer is the
// JSON lines from there; with Follow it goes on until the attempt's stream is sealed.
type StreamRequest struct {
	AttemptID string `json:"attempt_id"`
	Offset    int64  `json:"offset,omitempty"`
	Follow    bool   `json:"follow,omitempty"`
}

// ValidationListRequest lists validations (validation.list).
type ValidationListRequest struct {
	Page
	AttemptID string `json:"attempt_id,omitempty"`
	StepID    string `json:"step_id,omitempty"`
}

// Validation is one validator's recorded result.
type Validation struct {
	ID         string          `json:"id"`
	AttemptID  string          `json:"attempt_id"`
	Gate       string          `json:"gate"`
	N          int             `json:"n"`
	Plugin     json.RawMessage `json:"plugin"`
	Command    []string        `json:"command,omitempty"`
	ExitCode   *int            `json:"exit_code,omitempty"`
	Signal     string          `json:"signal,omitempty"`
	DurationMS float64         `json:"duration_ms"`
	Stdout     string          `json:"stdout_digest,omitempty"`
	Stderr     string          `json:"stderr_digest,omitempty"`
	Result     string          `json:"result"`
	Message    string          `json:"message,omitempty"`
	Findings   json.RawMessage `json:"findings,omitempty"`
	Tree       string          `json:"tree"`
	Inputs     string          `json:"inputs_digest,omitempty"`
	Reused     string          `json:"reused,omitempty"`
	// Metrics are its numbers by name, in millionths.
	Metrics map[string]int64 `json:"metrics_micros,omitempty"`
	At      time.Time        `json:"at"`
}

// GateListRequest lists gates of an attempt or of the newest attempt of a step (gate.list).
type GateListRequest struct {
	AttemptID string `json:"attempt_id,omitempty"`
	StepID    string `json:"step_id,omitempty"`
}

// GateState is a gate of an attempt with its verdict.
type GateState struct {
	ID         string          `json:"id"`
	AttemptID  string          `json:"attempt_id"`
	Name       string          `json:"name"`
	Rule       json.RawMessage `json:"rule"`
	RuleSum    string          `json:"rule_digest"`
	Required   bool            `json:"required"`
	Verdict    string          `json:"verdict"`
	Reason     string          `json:"reason"`
	Validation string          `json:"validation_id,omitempty"`
	ApprovalID string          `json:"approval_id,omitempty"`
	DecidedBy  string          `json:"decided_by,omitempty"`
	Simulated  bool            `json:"simulated,omitempty"` // it judges what a simulator made
	At         time.Time       `json:"at"`
}

// ApprovalListRequest lists approvals (approval.list); State "" means open ones.
type ApprovalListRequest struct {
	Page
	State string `json:"state,omitempty"` // open, decided, all
	RunID string `json:"run_id,omitempty"`
}

// Approval is something that a person or planner must answer.
type Approval struct {
	ID        string     `json:"id"`
	RunID     string     `json:"run_id"`
	StepID    string     `json:"step_id"`
	AttemptID string     `json:"attempt_id"`
	Workspace string     `json:"workspace"`
	Kind      string     `json:"kind"`
	Gate      string     `json:"gate,omitempty"`
	Prompt    string     `json:"prompt"`
	Options   []string   `json:"options,omitempty"`
	Deadline  time.Time  `json:"deadline"`
	Default   string     `json:"default"`
	State     string     `json:"state"`
	Answer    string     `json:"answer,omitempty"`
	Note      string     `json:"note,omitempty"`
	DecidedBy string     `json:"decided_by,omitempty"`
	Actor     *Actor     `json:"actor,omitempty"`
	Simulated bool       `json:"simulated,omitempty"` // its attempt is
	OpenedAt  time.Time  `json:"opened_at"`
	DecidedAt *time.Time `json:"decided_at,omitempty"`
}

// ApprovalDecideRequest decides an approval (approval.decide). Decision is allow or deny for a hold or a
// permission, answer for a question (with Answer), deny refuses to answer one.
type ApprovalDecideRequest struct {
	ApprovalID string `json:"approval_id"`
	Decision   string `json:"decision"`
	Answer     string `json:"answer,omitempty"`
	Note       string `json:"note,omitempty"`
}

// ArtifactListRequest lists the artifacts of an attempt (artifact.list).
type ArtifactListRequest struct {
	AttemptID string `json:"attempt_id"`
}

// Artifact is one stored file of an attempt.
type Artifact struct {
	AttemptID string    `json:"attempt_id"`
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Digest    string    `json:"digest"`
	Size      int64     `json:"size"`
	Media     string    `json:"media_type"`
	Truncated bool      `json:"truncated"`
	Simulated bool      `json:"simulated,omitempty"` // its attempt is
	At        time.Time `json:"at"`
}

// ArtifactReadRequest reads the bytes of an artifact (artifact.read). The whole is verified against its
// digest before the first byte is sent; Offset and Limit select a part of it.
type ArtifactReadRequest struct {
	AttemptID string `json:"attempt_id"`
	Name      string `json:"name"`
	Offset    int64  `json:"offset,omitempty"`
	Limit     int64  `json:"limit,omitempty"`
}
