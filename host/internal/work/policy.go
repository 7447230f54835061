package work

import (
	"encoding/json"
	"time"
)

// Policy is everything that an operator declared, compiled: the one allowlist. Nothing a caller sends
// can add to it. A Policy is immutable; a reload makes a new one.
type Policy struct {
	Digest      string // sha256 of the canonical configuration
	Workspaces  map[string]*Workspace
	Executors   map[string]*ExecutorDecl
	MaxParallel int
	Output      int64 // default cap of one attempt's stream in bytes
	Stop        StopLadder
}

// StopLadder says how long each rung waits before the next; after Terminate the namespace is killed.
type StopLadder struct {
	Protocol  time.Duration // after the executor was asked to stop
	Interrupt time.Duration // after SIGINT
	Terminate time.Duration // after SIGTERM
}

// Workspace is a repository root with its policy.
type Workspace struct {
	Name      string
	Root      string   // absolute, symlinks resolved when the configuration was loaded
	Base      string   // the default base ref
	Bases     []string // globs over ref names that run.open may choose from; always includes Base
	Executors []string // names; the only ones that may run here
	Paths     PathRules
	Provision Provision
	Wall      time.Duration
	Parallel  int // live attempts in this workspace at once; 0 = the daemon's limit
	Gates     []GateRule
	Declared  string // file:line of the block
}

// Provision is what a tree gets besides the files of its commit. Nothing of it is ever kept.
type Provision struct {
	Copy   []string // files of the root, by paths relative to it
	Link   []string // directories of the root that are shown read-only in their place
	Runs   []ProvisionRun
	Ports  int // how many, each in a variable
	Caches []Cache
}

// Any reports whether a tree gets anything.
func (p Provision) Any() bool {
	return len(p.Copy)+len(p.Link)+len(p.Runs)+len(p.Caches)+p.Ports > 0
}

// ProvisionRun is a command that prepares a tree.
type ProvisionRun struct {
	Name     string
	Argv     []string
	Sandbox  *SandboxPolicy
	Timeout  time.Duration
	Declared string
}

// Cache is a directory of a workspace's that outlives attempts.
type Cache struct {
	Name     string
	Variable string // says inside where it is
	Size     int64  // bytes that it may keep
}

// ExecutorDecl is one `executor` block.
type ExecutorDecl struct {
	Name     string
	Plugin   string // plugin name: "command" is the program drawspan-executor-command
	Config   json.RawMessage
	Sandbox  *SandboxPolicy
	Gateway  *GatewayPolicy // nil: the executor has its own way to a model, or none
	Question QuestionPolicy
	// Permissions answer permission requests, the first that applies; a person answers the rest.
	Permissions []PermissionRule
	Program     *ProgramDecl // of the operator's machine, that the plugin drives; nil for none
	// Simulated says that the lock file knows the plugin as one that only plays a part.
	Simulated bool
	Declared  string
}

// ProgramDecl is a program that an executor drives, before it is looked for.
type ProgramDecl struct {
	Name     string // for PATH, or an absolute path
	Tested   string // versions that the plugin was tested with
	Install  string // a command line that installs it
	Declared string
}

// QuestionPolicy bounds the approvals an executor may open.
type QuestionPolicy struct {
	Deadline time.Duration
	Default  string // "deny" or "allow" for permissions; a question falls back to being unanswered
}

// PermissionRule is one `permission` block of an executor.
type PermissionRule struct {
	Name     string
	Decision string   // "allow", "ask" or "deny"
	Kinds    []string // of tools; empty = all
	Paths    []string // globs over paths of the tree
	Commands []string // patterns over command lines
	Declared string
}

// SandboxPolicy is one `sandbox` block, compiled: what a launch may see and use.
type SandboxPolicy struct {
	Name        string
	Level       string // required level: off, guarded, isolated, strict, vm
	Read        []string
	Toolchains  []Toolchain
	Env         map[string]string
	Pass        []string // names of the daemon's own variables that are passed on
	Write       []string // host paths outside the tree that are writable inside
	Protect     []string // paths of the tree that stay read-only where they exist
	Sensitive   string   // what the built-in gate does with sensitive paths: "flag" (also ""), "hold" or "deny"
	Import      string   // what becomes of the executor's own commits: "pack" or "none" (also "")
	Network     NetworkPolicy
	Credentials []Credential
	Calls       []string // system calls that are allowed although the profile refuses them
	Processes   int
	OpenFiles   int
	FileSize    int64         // bytes; 0 = the default
	Memory      int64         // bytes of all processes together; 0 = not declared
	Disk        int64         // bytes of the writable tree; 0 = not declared
	Tmp         int64         // bytes of the private /tmp
	CPUs        int           // processors; 0 = all
	CPUTime     time.Duration // of all processes together; 0 = not declared
	Output      int64         // bytes of the attempt's stream
	Wall        time.Duration
	Backend     string // "auto" (also ""), "native", "bwrap" or "landlock"
	OnShortfall string // "refuse" or "degrade"
	Floor       string // with degrade: the lowest level accepted
	Widenings   []Widening
	Declared    string
}

// Network modes.
const (
	NetworkNone  = "none" // also ""
	NetworkProxy = "proxy"
	NetworkHost  = "host"
)

// NetworkPolicy says what a launch may reach.
type NetworkPolicy struct {
	Mode    string
	Allow   []string // with proxy: host, host:port, *.host
	Private bool     // with proxy: private addresses may be reached through an allowed name
}

// GatewayPolicy is one `gateway` block: the way to a model that an executor gets, and its bounds.
type GatewayPolicy struct {
	Name       string
	Upstream   string      // https, or http on loopback; the wire's paths go below it
	Wire       string      // one of sdk.Wires
	Credential *Credential // put into every call on the host's side; nil: none is
	Models     []string    // patterns; none: any model
	Budget     ModelBudget
	Declared   string
}

// ModelBudget bounds what one attempt may ask of a model; 0 = not declared.
type ModelBudget struct {
	Calls        int64 `json:"calls,omitempty"`
	InputTokens  int64 `json:"input_tokens,omitempty"`
	OutputTokens int64 `json:"output_tokens,omitempty"`
}

// Credential is a secret that is handed to a launch, named by where it comes from. Its value is read
// when the launch is made and is in no policy.
type Credential struct {
	Name     string
	FromEnv  string // a variable of the daemon
	FromFile string // an absolute path, mode 0600 or stricter
	Deliver  string // "env" or "file"
	Variable string // the variable inside: the value, or with file the path
	Declared string
}

// Widening is authority beyond the defaults that the operator wrote: a fact for the record.
type Widening struct {
	Sandbox  string `json:"sandbox"`
	Key      string `json:"key"` // "filesystem.write", "network.mode", "syscalls.allow", "level", ...
	Value    string `json:"value"`
	Declared string `json:"declared"` // file:line
}

// Toolchain is one `toolchain` preset inside a sandbox, resolved to paths and variables.
type Toolchain struct {
	Name string   // "go", "node", "python" or "rust"
	Read []string // mounted read-only and executable
	// Overlay paths are mounted read-only with a throw-away writable layer on top: caches that a
	// tool insists on writing to.
	Overlay []string
	Path    []string          // directories put in front of PATH inside
	Env     map[string]string // set inside
}

// GateRule is one `gate` block of a workspace.
type GateRule struct {
	Name      string
	Validator string // plugin name; "" for a gate that only holds
	Builtin   bool   // judged by the host from the diff alone, without a plugin
	Config    json.RawMessage
	Sandbox   *SandboxPolicy
	Needs     []string
	OnFail    string   // "fail" (default), "hold" or "warn": what a validator's fail means
	OnError   string   // "closed" (also ""), "hold" or "warn": what an evaluation means that could not be done
	Optional  bool     // evaluated only when a dispatch adds it
	Paths     []string // globs; the gate applies where a changed path matches, and is shown those changes only
	When      *Condition
	After     []string // gates that When asks about: they are decided first, whatever their verdict is
	Hold      string   // the prompt; a gate with When and Hold holds when When is true
	Deadline  time.Duration
	Default   string        // "pass" or "fail", when the deadline comes
	Timeout   time.Duration // of one evaluation
	Retries   int           // evaluations beyond the first, after one that could not be done
	Digest    string        // of the plugin's program, as the lock file has it; "" for none
	Feeds     []string      // what the lock file knows that the plugin asks to be fed, and is
	Pure      bool
	Resident  bool
	Declared  string // file:line of the block
}

// Condition is an expression over facts. Eval is pure.
type Condition struct {
	Text    string
	Meaning string // Text with the values that it takes from variables; they may be secret
	Eval    func(Facts) (bool, error)
}

// Facts are what is known of a change when a gate is evaluated.
type Facts struct {
	Diff     DiffFacts
	Gates    map[string]GateFact // those that were decided before, by name
	Executor ExecutorFact
	Usage    *Usage
	Claims   *Claims // what the executor said of itself: never evidence
}

// GateFact is a gate that was decided.
type GateFact struct {
	Verdict  Verdict
	Result   Result // "" where nothing was evaluated
	Message  string
	Findings int
	Metrics  map[string]float64
}

// ExecutorFact says who did the work; zero where no executor was at work.
type ExecutorFact struct {
	Name, Plugin string
	Simulated    bool
}

// Claims are what an executor said of itself.
type Claims struct {
	StopReason     string
	Failed, Denied bool
	Summary        string
	Files          []string // that it said it changed
}
