package work

import (
	"encoding/json"
	"time"
)

// Actor is who caused a change. It is set by the receiving side from what it authenticated, never
// taken from a request's body.
type Actor struct {
	Kind string `json:"kind"` // "operator", "client", "planner", "daemon", "executor"
	ID   string `json:"id"`   // "uid:1000", a client name, an instance id
}

// Run is a planner's session against one workspace.
type Run struct {
	ID         string    `json:"id"`
	Workspace  string    `json:"workspace"`
	Title      string    `json:"title,omitempty"`
	Base       string    `json:"base"`        // the ref the run was opened on, as asked
	BaseCommit string    `json:"base_commit"` // the commit it named then
	State      RunState  `json:"state"`
	Version    int64     `json:"version"`
	Actor      Actor     `json:"actor"`
	OpenedAt   time.Time `json:"opened_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Steps      int       `json:"steps"`         // how many steps were dispatched
	PolicySum  string    `json:"policy_digest"` // digest of the configuration in force when it was opened
}

// StepSpec is what was asked for, after validation against the policy; it never changes.
type StepSpec struct {
	Text     string        `json:"text"`     // what the executor is to do
	Executor string        `json:"executor"` // the executor that was named; never another
	Paths    *PathRules    `json:"paths,omitempty"`
	Wall     time.Duration `json:"wall,omitempty"`
	Gates    []string      `json:"gates,omitempty"`  // optional gates added by this dispatch
	Expect   string        `json:"expect,omitempty"` // "" (a change) or "none"
}

// PathRules are globs over repository-relative slash paths (doublestar syntax).
type PathRules struct {
	Write  []string `json:"write,omitempty"`  // a changed path must match one; empty = all
	Forbid []string `json:"forbid,omitempty"` // a changed path must match none
}

// Step is one dispatched unit of intent.
type Step struct {
	ID         string    `json:"id"`
	RunID      string    `json:"run_id"`
	Workspace  string    `json:"workspace"`
	Ix         int       `json:"ix"` // position in the run, from 1; steps run in this order
	Spec       StepSpec  `json:"spec"`
	SpecSum    string    `json:"spec_digest"`
	State      StepState `json:"state"`
	Reason     string    `json:"reason,omitempty"`
	Version    int64     `json:"version"`
	Actor      Actor     `json:"actor"`
	AttemptID  string    `json:"attempt_id,omitempty"` // the newest attempt
	Attempts   int       `json:"attempts"`
	Simulated  bool      `json:"simulated"` // the executor is a simulator
	Dispatched time.Time `json:"dispatched_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
}

// Attempt is one execution of a step in its own worktree.
type Attempt struct {
	ID        string          `json:"id"`
	StepID    string          `json:"step_id"`
	RunID     string          `json:"run_id"`
	Workspace string          `json:"workspace"`
	N         int             `json:"n"` // 1 for the first attempt of the step
	Executor  string          `json:"executor"`
	Text      string          `json:"text"` // the step's text, or the follow-up's
	State     AttemptState    `json:"state"`
	Version   int64           `json:"version"`
	Base      string          `json:"base_commit,omitempty"`  // what the diff is taken against; pinned when prepared
	Start     string          `json:"start_commit,omitempty"` // what the tree began as; differs from Base in a follow-up
	Plugin    *PluginIdentity `json:"plugin,omitempty"`
	Enforced  json.RawMessage `json:"enforced,omitempty"` // the launcher's vector: what was enforced, not what was wished
	Level     string          `json:"level,omitempty"`    // the enforced level's name
	Claim     *Claim          `json:"claim,omitempty"`
	Evidence  *Evidence       `json:"evidence,omitempty"`
	Outcome   Outcome         `json:"outcome,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Message   string          `json:"message,omitempty"`
	Retryable bool            `json:"retryable"`
	Cause     string          `json:"cause,omitempty"` // why it is or was stopping: cancel, wall, output, shutdown, ...
	Death     *Death          `json:"death,omitempty"`
	Simulated bool            `json:"simulated"`
	CreatedAt time.Time       `json:"created_at"`
	StartedAt time.Time       `json:"started_at,omitzero"`
	EndedAt   time.Time       `json:"ended_at,omitzero"`
}

// PluginIdentity is which program really ran: the digest is that of the bytes that were executed.
type PluginIdentity struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"` // "executor" or "validator"
	Version   string `json:"version"`
	Digest    string `json:"digest"` // "sha256:<hex>" of the executed bytes
	Protocol  string `json:"protocol"`
	Simulated bool   `json:"simulated"`
	// Program is what the plugin drove; nil for none.
	Program *ProgramIdentity `json:"program,omitempty"`
}

// ProgramIdentity is which program of the operator's machine an executor drove.
type ProgramIdentity struct {
	Name        string `json:"name"`
	Path        string `json:"path"` // the operator's home is ~
	Digest      string `json:"digest"`
	Files       string `json:"files_digest,omitempty"` // of its package and its interpreter
	Interpreter string `json:"interpreter,omitempty"`
}

// Claim is what an executor says of itself. It is never evidence.
type Claim struct {
	StopReason string `json:"stop_reason,omitempty"`
	ExitCode   *int   `json:"exit_code,omitempty"`
	Signal     string `json:"signal,omitempty"`
	Summary    string `json:"summary,omitempty"`
	Error      string `json:"error,omitempty"`       // what the executor says went wrong
	ErrorClass string `json:"error_class,omitempty"` // from the closed set of the event model
	Denied     bool   `json:"denied,omitempty"`      // it says that it was refused something
	Session    string `json:"session,omitempty"`     // its own id of its session
	Version    string `json:"version,omitempty"`     // of the program that it drove
	RetryAfter int64  `json:"retry_after_ms,omitempty"`
	Usage      *Usage `json:"usage,omitempty"`
	// Files are paths that it said it changed; there may have been more.
	Files []string `json:"files,omitempty"`
}

// Usage is the use of models. Input includes what was read from and written to a cache.
type Usage struct {
	Input       int64  `json:"input"`
	CachedRead  int64  `json:"cached_read"`
	CachedWrite int64  `json:"cached_write"`
	Output      int64  `json:"output"`
	Reasoning   int64  `json:"reasoning"`
	Calls       int64  `json:"calls,omitempty"`
	CostMicros  int64  `json:"cost_micros,omitempty"` // millionths of the currency: the record has no fractions
	Currency    string `json:"currency,omitempty"`
	Model       string `json:"model,omitempty"`
	Scope       string `json:"scope,omitempty"` // call, turn, session
	Basis       string `json:"basis"`           // reported, computed, gateway
}

// Resumed says what a follow-up went on with.
type Resumed struct {
	From string `json:"from"` // the attempt before
	Mode string `json:"mode"` // ResumedNative or ResumedSummary
	Why  string `json:"why"`
}

// Modes of Resumed.
const (
	ResumedNative  = "native"  // the executor's own session went on
	ResumedSummary = "summary" // a new session began with what the last one said at its end
)

// Evidence is what the host saw.
type Evidence struct {
	TreeBefore  string    `json:"tree_before"`
	TreeAfter   string    `json:"tree_after"`
	Commit      string    `json:"commit"` // kept under Ref
	Ref         string    `json:"ref"`
	Diff        DiffFacts `json:"diff"`
	Unpublished string    `json:"unpublished,omitempty"`     // why the ref is in the mirror only, and not in the operator's repository
	Refused     []Refused `json:"refused,omitempty"`         // tree entries that were not taken over
	Violations  int64     `json:"violations,omitempty"`      // kernel refusals that the feed reported
	Leftovers   int       `json:"leftovers"`                 // processes alive when the executor's main process ended
	Commits     *Commits  `json:"commits,omitempty"`         // the executor's own; nil where it made none
	Program     string    `json:"program_changed,omitempty"` // what of the executor's program was not the same at the end
	Output      int64     `json:"output_bytes"`
	Truncated   bool      `json:"output_truncated"`
	// Permissions are the host's own decisions; FirstEvent is when the executor's first event came.
	Permissions Permissions `json:"permissions"`
	FirstEvent  time.Time   `json:"first_event,omitzero"`
	Usage       *Usage      `json:"usage,omitempty"`   // by the gateway, where the executor has one
	Resumed     *Resumed    `json:"resumed,omitempty"` // of a follow-up
	Session     bool        `json:"session,omitempty"` // what a follow-up needs of the executor's session is kept
}

// Permissions counts what an executor asked leave for. Denied and expired ones were refused.
type Permissions struct {
	Requested int64 `json:"requested"`
	Allowed   int64 `json:"allowed"`
	Denied    int64 `json:"denied"`
	Expired   int64 `json:"expired"` // nobody decided in time, or the attempt ended first
	ByRule    int64 `json:"by_rule"` // of the allowed and denied ones: decided by the operator's rules
}

// Refused reports that something was.
func (p Permissions) Refused() bool { return p.Denied+p.Expired > 0 }

// Commits are what an executor committed itself, taken over under a ref of its own. They are a claim on
// how the tree came about; the tree that is judged is the host's own capture.
type Commits struct {
	Head    string `json:"head,omitempty"`
	Ref     string `json:"ref,omitempty"`
	Count   int    `json:"count,omitempty"`
	Refused string `json:"refused,omitempty"` // why they were not taken over
}

// DiffFacts are numbers and paths of a diff, as gates see them.
type DiffFacts struct {
	Files      []Change `json:"files"`
	Insertions int      `json:"insertions"`
	Deletions  int      `json:"deletions"`
	Binary     int      `json:"binary"`
	PatchBytes int64    `json:"patch_bytes"`
}

// Lines is the number of inserted plus deleted lines.
func (d DiffFacts) Lines() int { return d.Insertions + d.Deletions }

// Change is one changed path. Path is repository-relative, slash-separated, raw bytes as git has them.
type Change struct {
	Path    string `json:"path"`
	OldPath string `json:"old_path,omitempty"`
	Op      string `json:"op"` // add, modify, delete, mode, type
	OldMode string `json:"old_mode"`
	NewMode string `json:"new_mode"`
	Size    int64  `json:"size"`
	Binary  bool   `json:"binary,omitempty"`
	Added   int    `json:"added"`
	Deleted int    `json:"deleted"`
	Link    string `json:"link,omitempty"` // where a symbolic link points, as it is after the change
}

// Refused is a tree entry that an attempt left and that the host would not take over.
type Refused struct {
	Path string `json:"path"`
	Why  string `json:"why"` // nested_git, special_file, too_deep, name_too_long, too_large, too_many, set_id, ...
}

// Death is the launcher's proof that no process of an attempt is alive.
type Death struct {
	Method    string        `json:"method"` // "pid namespace"
	Proved    bool          `json:"proved"`
	Survivors int           `json:"survivors"`
	Signals   []string      `json:"signals,omitempty"` // what the ladder sent, in order
	Took      time.Duration `json:"took"`              // from the first signal to the proof
	Kill      time.Duration `json:"kill,omitempty"`    // of that, from the kill to the proof; 0 where all had ended before
}

// Artifact is a stored, content-addressed file of an attempt. Name is stable per attempt.
type Artifact struct {
	AttemptID string    `json:"attempt_id"`
	RunID     string    `json:"run_id"`
	StepID    string    `json:"step_id"`
	Name      string    `json:"name"`   // diff.patch, result.json, stdout.log, stderr.log, events.jsonl, validation/<gate>/...
	Kind      string    `json:"kind"`   // diff, result, log, events, session, validation
	Digest    string    `json:"digest"` // "sha256:<hex>"
	Size      int64     `json:"size"`
	Media     string    `json:"media_type"`
	Truncated bool      `json:"truncated"`
	Inline    []byte    `json:"-"` // small bodies travel in the transaction; nil when the bytes are in the content store
	At        time.Time `json:"at"`
}

// Validation is one validator's recorded result.
type Validation struct {
	ID        string          `json:"id"`
	AttemptID string          `json:"attempt_id"`
	StepID    string          `json:"step_id"`
	RunID     string          `json:"run_id"`
	Gate      string          `json:"gate"`
	N         int             `json:"n"` // 1 for the first evaluation of this gate of this attempt
	Plugin    PluginIdentity  `json:"plugin"`
	Command   []string        `json:"command,omitempty"` // declared argv, where the validator ran a program
	ExitCode  *int            `json:"exit_code,omitempty"`
	Signal    string          `json:"signal,omitempty"`
	Duration  time.Duration   `json:"duration"`
	Stdout    string          `json:"stdout_digest,omitempty"`
	Stderr    string          `json:"stderr_digest,omitempty"`
	Result    Result          `json:"result"`
	Message   string          `json:"message,omitempty"`
	Findings  []Finding       `json:"findings,omitempty"`
	Enforced  json.RawMessage `json:"enforced,omitempty"`
	Tree      string          `json:"tree"` // the git tree that was judged
	// Inputs is the digest of all that the evaluation rests on: tree, base, changes, facts, plugin, config and
	// sandbox. Reused names the validation with the same inputs whose result this is.
	Inputs  string           `json:"inputs_digest,omitempty"`
	Reused  string           `json:"reused,omitempty"`
	Metrics map[string]int64 `json:"metrics_micros,omitempty"` // millionths: the record has no fractions
	At      time.Time        `json:"at"`
}

// Finding is one thing a validator found.
type Finding struct {
	Rule        string `json:"rule"`
	Severity    string `json:"severity"` // error, warning, note
	Path        string `json:"path,omitempty"`
	Line        int    `json:"line,omitempty"`
	EndLine     int    `json:"end_line,omitempty"`
	Message     string `json:"message"`
	Help        string `json:"help,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// GateRecord is one gate of one attempt: its rule, the evaluation and the verdict. Passing ones are
// kept too.
type GateRecord struct {
	ID         string    `json:"id"`
	AttemptID  string    `json:"attempt_id"`
	StepID     string    `json:"step_id"`
	RunID      string    `json:"run_id"`
	Name       string    `json:"name"`
	Rule       string    `json:"rule"` // the rule as declared, canonical JSON
	RuleSum    string    `json:"rule_digest"`
	Required   bool      `json:"required"`
	Verdict    Verdict   `json:"verdict"`
	Reason     string    `json:"reason"`
	Validation string    `json:"validation_id,omitempty"`
	ApprovalID string    `json:"approval_id,omitempty"`
	DecidedBy  string    `json:"decided_by,omitempty"` // rule, operator, client, planner, deadline
	Version    int64     `json:"version"`
	At         time.Time `json:"at"`
}

// Approval is the one object for everything a person or planner must answer.
type Approval struct {
	ID        string        `json:"id"`
	RunID     string        `json:"run_id"`
	StepID    string        `json:"step_id"`
	AttemptID string        `json:"attempt_id"`
	Workspace string        `json:"workspace"`
	Kind      ApprovalKind  `json:"kind"`
	Gate      string        `json:"gate,omitempty"`    // for hold
	ItemID    string        `json:"item_id,omitempty"` // the executor's own id of its question or request
	Prompt    string        `json:"prompt"`
	Options   []string      `json:"options,omitempty"`
	Deadline  time.Time     `json:"deadline"`
	Default   string        `json:"default"` // hold: pass|fail; permission: allow|deny; question: the answer, or "" = unanswered
	State     ApprovalState `json:"state"`
	Answer    string        `json:"answer,omitempty"`
	Note      string        `json:"note,omitempty"`
	DecidedBy string        `json:"decided_by,omitempty"` // operator, planner, deadline, cancel
	Actor     Actor         `json:"actor,omitzero"`
	Version   int64         `json:"version"`
	OpenedAt  time.Time     `json:"opened_at"`
	DecidedAt time.Time     `json:"decided_at,omitzero"`
}
