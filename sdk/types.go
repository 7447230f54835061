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
	// Programs of the operator's machine that the plugin drives. The host finds them, pins them, and
	// shows them inside the sandbox, read-only. At most one applies to a config block.
	Programs []Program
	// Of a validator: what its checks are fed beside the list of changes, and what its verdict rests on.
	Feeds []string // of Feeds()
	// Pure: the verdict depends on the Check alone, so that the host may use it again for an equal one. What
	// tells equal changes apart is kept from it: attempt, head commit, the tree's git directory.
	Pure     bool
	Resident bool // it sees no tree, and one process answers many checks, one after another
}

// What a validator can be fed.
const (
	FeedPatch = "patch" // Check.Patch
	FeedBase  = "base"  // Check.BaseTree
	FeedFacts = "facts" // Check.Facts
)

// Feeds lists what a validator can be fed.
func Feeds() []string { return []string{FeedPatch, FeedBase, FeedFacts} }

// Program is one program that a plugin drives.
type Program struct {
	Name    string // as it is looked for in the operator's PATH: "claude"
	Profile string // it is needed where config.profile is this; "" always
	Tested  string // versions that the plugin was tested with: comparisons that all hold, ">=2.1.190 <2.2.0"
	Install string // a command line that installs it
}

// Installed is a program that the host found. Its paths are the same inside the sandbox.
type Installed struct {
	Name        string
	Path        string // absolute, without links
	Digest      string // "sha256:..." of the file at Path
	Interpreter string // absolute path of what runs a script; "" for a binary
}

// Gateway is an endpoint on the attempt's loopback that the host forwards to a model's.
type Gateway struct {
	URL  string // "http://127.0.0.1:PORT"
	Key  string // what it takes for a credential; worth nothing elsewhere
	Wire string // one of Wires
}

// The wires that a Gateway forwards, each with the paths of its vendor below the URL.
const (
	WireResponses = "responses" // OpenAI Responses: POST /v1/responses
	WireMessages  = "messages"  // Anthropic Messages: POST /v1/messages
	WireChat      = "chat"      // Chat Completions: POST /v1/chat/completions
	WireGemini    = "gemini"    // Gemini: POST /v1beta/models/MODEL:streamGenerateContent
)

// Wires lists the wires.
func Wires() []string { return []string{WireResponses, WireMessages, WireChat, WireGemini} }

// Resume is what the attempt before left of its session.
type Resume struct {
	Session string      // the executor's own id of it
	State   []StateFile // what its Result asked to keep; empty when nothing was kept
	Summary string      // what it said last
}

// StateFile is one file of an executor's own session.
type StateFile struct {
	Path string // relative, with slashes
	Data []byte
}

// Prober is implemented by an executor that drives a program. Probe looks at it and performs nothing.
type Prober interface {
	Probe(ctx context.Context, r ProbeRequest) (Probe, error)
}

// ProbeRequest is what there is to look at.
type ProbeRequest struct {
	Config  json.RawMessage
	Program *Installed // nil: none was found
	Gateway *Gateway   // nil: the operator declared none
}

// Probe is what was found.
type Probe struct {
	Version string   // the program's, as it says itself
	Tested  bool     // it is one that the plugin was tested with
	Login   string   // ready, missing or unknown
	Notes   []string // one line each, what is wrong and what helps
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
	Program     *Installed      // what the manifest asks for; nil where it asks for nothing
	Gateway     *Gateway        // the way to a model; nil where the operator declared none
	Resume      *Resume         // the session to go on with; nil for a new one
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
	Tool  string // one of ToolKinds
	Title string
	Input json.RawMessage
	// Paths and Command are what the operator's rules look at: the paths that the tool would touch, as the
	// executor names them, and the command line that it would run.
	Paths   []string
	Command string
}

// ToolKinds lists what a tool can be.
func ToolKinds() []string {
	return []string{"read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "mcp", "subagent", "other"}
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

	Session    string        // the executor's own id of the session; "" for none
	State      []StateFile   // what a follow-up needs of it; MaxState bytes in all
	Version    string        // of the program that was driven
	RetryAfter time.Duration // when a retry makes sense; 0 for unknown
	Usage      *Usage        // of the session; nil where the executor does not say
}

// Check is what the host hands to a validator.
type Check struct {
	AttemptID string // "" for a pure validator
	Gate      string
	Tree      string // absolute path of the tree inside the sandbox: sealed, with a throw-away layer
	Base      string // base commit
	Head      string // commit of what is judged; "" where there is none, and for a pure validator
	TreeSum   string // git tree id of what is judged
	BaseTree  string // absolute path of the base's tree, read-only, with FeedBase
	Patch     []byte // unified diff as git writes it, with FeedPatch; at most MaxPatch bytes
	PatchCut  bool   // Patch is not the whole: who needs the whole cannot judge
	Facts     *Facts // with FeedFacts
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
	Link    string // where a symbolic link points, as it is after the change
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
	Ran      *Ran               // the program it ran, where it ran one
	Metrics  map[string]float64 // numbers by name, for conditions and reports; at most MaxMetrics, finite
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
