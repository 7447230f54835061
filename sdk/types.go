package sdk

import (
	"context"
	"encoding/json"
	"time"
)

// Executor performs one attempt. Run blocks until the work is over; ctx is cancelled when the host
// asks it to stop, and Run should then return soon: after a grace period everything it started is
// killed by the kernel.
type Executor interface {
	Run(ctx context.Context, attempt *Attempt) (Result, error)
}

// Validator judges one tree. An error means "could not be evaluated", which is never a pass.
type Validator interface {
	Check(ctx context.Context, check *Check) (Verdict, error)
}

// Manifest describes a plugin program.
type Manifest struct {
	Name      string   // the plugin's name as HCL uses it: "command" for drawspan-executor-command
	Version   string   // the plugin's own version
	Summary   string   // one line
	Simulated bool     // true for a plugin that only plays a part; shown in every view
	Kinds     []string // "executor", "validator"; set by sdk/plugin from what is served
	// Config lists the attributes that the plugin's config block accepts. The host refuses
	// others with file and line before the plugin is started.
	Config []Attribute
}

// Attribute is one key of a plugin's config block.
type Attribute struct {
	Name     string
	Type     string // one of the Type constants
	Required bool
	Doc      string
}

// Attempt is what the host hands to an executor, and the way back to the host.
type Attempt struct {
	ID          string
	RunID       string
	StepID      string
	Instruction string          // the step's text
	Tree        string          // absolute path of the worktree inside the sandbox
	Base        string          // the base commit
	Config      json.RawMessage // the decoded config block, JSON
	Paths       []Paths         // what may be changed: a change must satisfy EVERY entry (the workspace's rules, then the dispatch's narrower ones); judged by the gates, not by the executor
	Deadline    time.Time       // when the host will stop the attempt; zero for none
	Host        Host            // the way back; set by sdk/plugin
}

// Paths are the globs that bound a change.
type Paths struct {
	Write  []string
	Forbid []string
}

// Host is the executor's way back to the host. All methods are safe for concurrent use.
type Host interface {
	// Emit sends one event; the host stamps time and sequence. It blocks while the host is behind.
	Emit(ctx context.Context, e Event) error
	// Ask opens a question and waits for the answer. Answered is false when the deadline passed
	// without one.
	Ask(ctx context.Context, q Question) (Answer, error)
	// Permit opens a permission request and waits for the decision.
	Permit(ctx context.Context, p Permission) (Decision, error)
}

// Question asks people for information.
type Question struct {
	ID      string // the executor's own id, unique in the attempt
	Text    string
	Options []string
}

// Answer is the reply to a Question.
type Answer struct {
	Text     string
	Answered bool
}

// Permission asks leave to do something.
type Permission struct {
	ID    string
	Tool  string // tool kind: read, edit, delete, move, search, execute, think, fetch, other
	Title string
	Input json.RawMessage
}

// Decision is the reply to a Permission.
type Decision struct {
	Allowed bool
	Rule    string // which rule or person decided
}

// EventType names a kind of event. The set is closed; unknown lines of an agent become EventRaw.
type EventType string

// The event set.
const (
	EventSessionStarted   EventType = "session.started"
	EventSessionEnded     EventType = "session.ended"
	EventTurnStarted      EventType = "turn.started"
	EventTurnEnded        EventType = "turn.ended"
	EventMessage          EventType = "message"
	EventMessageDelta     EventType = "message.delta"
	EventThought          EventType = "thought"
	EventThoughtDelta     EventType = "thought.delta"
	EventToolStarted      EventType = "tool.started"
	EventToolProgress     EventType = "tool.progress"
	EventToolEnded        EventType = "tool.ended"
	EventFileChanged      EventType = "file.changed"
	EventPlanUpdated      EventType = "plan.updated"
	EventPermissionAsked  EventType = "permission.requested"
	EventPermissionSolved EventType = "permission.resolved"
	EventQuestionAsked    EventType = "question.asked"
	EventQuestionAnswered EventType = "question.answered"
	EventUsage            EventType = "usage"
	EventRetry            EventType = "retry"
	EventError            EventType = "error"
	EventModeChanged      EventType = "mode.changed"
	EventSubagentStarted  EventType = "subagent.started"
	EventSubagentEnded    EventType = "subagent.ended"
	EventCompacted        EventType = "context.compacted"
	EventLog              EventType = "log"
	EventRaw              EventType = "raw.unparsed"
	EventSandboxDenied    EventType = "host.sandbox.denied"
	EventNetworkRequest   EventType = "host.network.request"
	EventLeftover         EventType = "host.process.leftover"
	EventBudgetExceeded   EventType = "host.budget.exceeded"
	EventOutputTruncated  EventType = "host.output.truncated"
)

// EventTypes lists the set in its documented order.
func EventTypes() []EventType {
	return []EventType{
		EventSessionStarted, EventSessionEnded, EventTurnStarted, EventTurnEnded,
		EventMessage, EventMessageDelta, EventThought, EventThoughtDelta,
		EventToolStarted, EventToolProgress, EventToolEnded, EventFileChanged, EventPlanUpdated,
		EventPermissionAsked, EventPermissionSolved, EventQuestionAsked, EventQuestionAnswered,
		EventUsage, EventRetry, EventError, EventModeChanged, EventSubagentStarted, EventSubagentEnded,
		EventCompacted, EventLog, EventRaw,
		EventSandboxDenied, EventNetworkRequest, EventLeftover, EventBudgetExceeded, EventOutputTruncated,
	}
}

// Event is one entry of an attempt's stream. Types that begin with "host." are the host's own; an
// executor that sends one breaks the protocol.
type Event struct {
	Type   EventType
	Time   time.Time // the executor's clock; the host adds its own
	ItemID string    // joins started, progress and ended of one item
	Parent string
	Turn   int
	// Log carries the bytes of a log event (Data is empty then): at most 64 KiB a piece.
	Stream string // "stdout" or "stderr"
	Log    []byte
	// Data is the type's JSON object for every other type, at most 256 KiB.
	Data json.RawMessage
}

// Result is what an executor says of itself at the end: a claim, never evidence.
type Result struct {
	StopReason string // end_turn, cancelled, max_turns, max_tokens, budget, refusal, error
	ExitCode   *int   // of the program it ran, where it ran one
	Signal     string
	Summary    string // at most 16 KiB
	// Failed says that the executor itself calls the attempt failed; Class is then one of the closed
	// error classes: auth, rate_limit, quota, overloaded, context, budget, policy, sandbox, network,
	// protocol, crash, unknown.
	Failed    bool
	Class     string
	Message   string
	Retryable bool
	Denied    bool // it was refused something that it needed
}

// Check is what the host hands to a validator.
type Check struct {
	AttemptID string
	Gate      string
	Tree      string // absolute path of the tree inside the sandbox: sealed, with a throw-away layer
	Base      string // base commit
	TreeSum   string // git tree id of what is judged
	Changes   []Change
	Paths     []Paths // rules to judge by: a change must satisfy EVERY entry (the workspace's, then the dispatch's narrower ones)
	Config    json.RawMessage
	Deadline  time.Time
	Output    func(stream string, p []byte) error // streams output to the host; set by sdk/plugin
}

// Change is one changed path of the diff under judgement.
type Change struct {
	Path    string
	OldPath string
	Op      string // add, modify, delete, mode, type
	OldMode string // git modes: 100644, 100755, 120000, 160000, 000000
	NewMode string
	Size    int64
	Binary  bool
	Added   int
	Deleted int
}

// Outcome of a check.
type Outcome string

// The outcomes. Error is "not evaluated" and never a pass.
const (
	Pass  Outcome = "pass"
	Warn  Outcome = "warn"
	Fail  Outcome = "fail"
	Skip  Outcome = "skip"
	Error Outcome = "error"
)

// Verdict is what a validator found.
type Verdict struct {
	Outcome  Outcome
	Message  string
	Findings []Finding
	Ran      *Ran // the program it ran, where it ran one
}

// Ran is the evidence of a program that a validator ran.
type Ran struct {
	Argv     []string
	ExitCode int
	Signal   string
	Duration time.Duration
}

// Finding is one thing that a validator found.
type Finding struct {
	Rule        string
	Severity    string // error, warning, note
	Path        string
	Line        int
	EndLine     int
	Message     string
	Help        string
	Fingerprint string
}
