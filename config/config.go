package config

import (
	"encoding/json"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/drawspan/drawspan/sdk"
)

// Config is a configuration without errors: every reference resolves, every default is filled in.
// Blocks of one kind are in the order of the files. The `key` tags bind fields to the schema.
type Config struct {
	Origin
	Version    int64 `key:"version"`
	Daemon     Daemon
	Plugins    []*Plugin
	Clients    []*Client
	Sandboxes  []*Sandbox // an undeclared "default" is added at the end when a gate falls back to it
	Gateways   []*Gateway
	Executors  []*Executor
	GateSets   []*GateSet
	Workspaces []*Workspace
	CI         CI
	Variables  []*Variable
	Locals     map[string]string // text of each local's value as JSON; sensitive ones are masked
	Files      []string          // the files read, in order, as diagnostics name them
}

// Daemon is the `daemon` block.
type Daemon struct {
	Origin
	StateDir      string        `key:"state_dir"` // absolute
	MaxParallel   int64         `key:"max_parallel"`
	Listen        string        `key:"listen"` // "" or a loopback host:port
	RunAs         string        `key:"run_as"`
	ShutdownGrace time.Duration `key:"shutdown_grace"`
	LogLevel      string        `key:"log.level"`
	LogFormat     string        `key:"log.format"`
	LogFile       string        `key:"log.file"` // "" is stderr; absolute otherwise
	// The stop ladder: how long each rung waits before the next one. After Terminate the namespace
	// is killed.
	StopProtocol  time.Duration `key:"stop.protocol"`
	StopInterrupt time.Duration `key:"stop.interrupt"`
	StopTerminate time.Duration `key:"stop.terminate"`
}

// CI is the `ci` block: what holds where gates are judged without a daemon.
type CI struct {
	Origin
	Floor string `key:"floor"` // "": every gate gets its own sandbox's level or is not evaluated
}

// Client is a `client` block: what one program of the operator's user may ask of the daemon.
type Client struct {
	Origin
	Name       string
	Operations []string `key:"operations"` // globs over names of operations
}

// Plugin is a `plugin` block: where the program drawspan-<Name> is looked for first.
type Plugin struct {
	Origin
	Name string // "executor-acme": kind and name
	Dir  string `key:"dir"` // absolute
}

// Sandbox is a `sandbox` block.
type Sandbox struct {
	Origin
	Name              string
	Level             string `key:"level"`
	OnShortfall       string `key:"on_shortfall"`
	Floor             string `key:"floor"`
	AcceptUnsandboxed bool   `key:"accept_unsandboxed"`
	Backend           string `key:"backend"`
	Toolchains        []*Toolchain
	Credentials       []*Credential
	Read              []string          `key:"filesystem.read"`    // absolute, symlinks resolved
	Write             []string          `key:"filesystem.write"`   // absolute, symlinks resolved
	Protect           []string          `key:"filesystem.protect"` // clean, relative to the worktree
	Sensitive         string            `key:"filesystem.sensitive"`
	Import            string            `key:"git.import"`
	Network           string            `key:"network.mode"`
	Allow             []string          `key:"network.allow"` // as written; the policy compiler knows the grammar
	PrivateAddresses  bool              `key:"network.private_addresses"`
	Env               map[string]string `key:"env.set"`
	Pass              []string          `key:"env.pass"`
	Calls             []string          `key:"syscalls.allow"`
	Processes         int64             `key:"limits.processes"`
	OpenFiles         int64             `key:"limits.open_files"`
	FileSize          int64             `key:"limits.file_size"`
	Output            int64             `key:"limits.output"`
	Tmp               int64             `key:"limits.tmp"`
	Wall              time.Duration     `key:"limits.wall"`
	Memory            int64             `key:"limits.memory"` // 0: not declared, as for the next three
	Disk              int64             `key:"limits.disk"`
	CPUs              int64             `key:"limits.cpus"`
	CPUTime           time.Duration     `key:"limits.cpu_time"`
}

// Toolchain is a `toolchain` block of a sandbox. Empty paths are found by the policy compiler.
type Toolchain struct {
	Origin
	Name        string // "go", "node", "python" or "rust"
	Root        string `key:"root"`
	ModuleCache string `key:"module_cache"`
	BuildCache  string `key:"build_cache"`
	Packages    string `key:"packages"`
}

// Credential is a `credential` block of a sandbox: where a secret is, never the secret.
type Credential struct {
	Origin
	Name     string
	FromEnv  string `key:"from_env"`  // either this
	FromFile string `key:"from_file"` // or this, absolute
	Deliver  string `key:"deliver"`
	Variable string `key:"variable"` // never empty
}

// Gateway is a `gateway` block: a model's service, and what executors may do there.
type Gateway struct {
	Origin
	Name         string
	Upstream     string   `key:"upstream"`
	Wire         string   `key:"wire"`
	Models       []string `key:"models"`               // empty: any
	FromEnv      string   `key:"credential.from_env"`  // either this
	FromFile     string   `key:"credential.from_file"` // or this, absolute; both "" for none
	Calls        int64    `key:"budget.calls"`         // 0: no bound, as for the next two
	InputTokens  int64    `key:"budget.input_tokens"`
	OutputTokens int64    `key:"budget.output_tokens"`
}

// Executor is an `executor` block.
type Executor struct {
	Origin
	Name             string
	Plugin           string          `key:"plugin"`
	Sandbox          string          `key:"sandbox"`
	Gateway          string          `key:"gateway"` // "" for none
	Program          string          `key:"program"` // "", a name for PATH, or an absolute path
	Config           json.RawMessage // the config block as one JSON object; never nil
	QuestionDeadline time.Duration   `key:"questions.deadline"`
	QuestionDefault  string          `key:"questions.default"`
	Permissions      []*Permission   // in the order in which they are tried
}

// Permission is a `permission` block of an executor.
type Permission struct {
	Origin
	Name     string
	Decision string   `key:"decision"`
	Kinds    []string `key:"kinds"` // empty: all
	Paths    []string `key:"paths"`
	Commands []string `key:"commands"` // as written; the policy compiler knows the grammar
}

// Workspace is a `workspace` block.
type Workspace struct {
	Origin
	Name        string
	Root        string   `key:"root"` // absolute, no symlink in it
	Base        string   `key:"base"`
	Bases       []string `key:"bases"`     // always admits Base
	Executors   []string `key:"executors"` // names of Config.Executors; none where commits are only judged
	GateSets    []string `key:"gates"`     // names of Config.GateSets
	Write       []string `key:"paths.write"`
	Forbid      []string `key:"paths.forbid"`
	Provision   []string `key:"provision.copy"` // slash-separated, relative to Root
	Link        []string `key:"provision.link"` // likewise
	Ports       int64    `key:"provision.ports"`
	Runs        []*run   // in the order in which they run
	Caches      []*cache
	Wall        time.Duration `key:"budget.wall"`
	MaxParallel int64         `key:"max_parallel"` // 0: the daemon's limit
	Gates       []*Gate       // those of its sets, then its own
}

// run is a `run` block of a workspace's provision: a command that prepares a tree.
type run struct {
	Origin
	Name    string
	Command []string      `key:"command"`
	Sandbox string        `key:"sandbox"`
	Timeout time.Duration `key:"timeout"`
}

// cache is a `cache` block of a workspace.
type cache struct {
	Origin
	Name     string
	Variable string `key:"variable"`
	Size     int64  `key:"size"`
}

// GateSet is a `gates` block.
type GateSet struct {
	Origin
	Name   string
	File   string `key:"file"` // as Config.Files names it; "" for gates that stand in the block
	Digest string // "sha256:<hex>" of the file's bytes; "" without a file
	Gates  []*Gate
}

// Gate is a `gate` block of a workspace or of a gate set: a validator, a hold, or both.
type Gate struct {
	Origin
	Name      string
	Set       string          // the gate set that it is from; "" for one of the workspace's own
	Validator string          `key:"validator"` // "" for a gate that only holds
	Sandbox   string          `key:"sandbox"`   // "" without a validator
	Config    json.RawMessage // the config block as one JSON object; never nil
	Needs     []string        `key:"needs"`
	When      *Condition      `key:"when"`
	Paths     []string        `key:"paths"` // globs; empty: all
	OnFail    string          `key:"on_fail"`
	OnError   string          `key:"on_error"`
	Optional  bool            `key:"optional"`
	Hold      string          `key:"hold"`
	Deadline  time.Duration   `key:"deadline"`
	Default   string          `key:"default"`
	Timeout   time.Duration   `key:"timeout"` // 0: the sandbox's
	Retries   int64           `key:"retries"`

	when  hcl.Expression // before When is compiled
	scope *scope         // in which When is
}

// realExecutor is the built-in validator that no simulator passes.
const realExecutor = "real-executor"

// Plugin is the plugin that validates; "" where there is none, or where the daemon judges itself.
func (g *Gate) Plugin() string {
	if g.Validator == realExecutor {
		return ""
	}
	return g.Validator
}

// Variable is a `variable` block and the value it has in this load.
type Variable struct {
	Origin
	Name        string
	Description string `key:"description"`
	Sensitive   bool   `key:"sensitive"`
	FromEnv     string `key:"from_env"`
	Type        string // as written: string, number, bool, list(string), ...
	Value       string // JSON; masked when sensitive
	From        string // default, env, var-file or var
}

// Condition is the compiled `when` expression of a gate. Eval is pure and safe for concurrent use.
type Condition struct {
	Text string
	// Gates are those that Text asks about, sorted. They must be decided before Eval, and be among its facts.
	Gates []string
	// Eval judges facts, and the changed paths: slash-separated, both names of a move. An error says what
	// could not be evaluated.
	Eval   func(facts sdk.Facts, paths []string) (bool, error)
	bound  map[string]cty.Value // what Text takes from variables and locals
	places map[string]Range     // where Text names each of Gates
}

// Workspace is the workspace of that name, or nil.
func (c *Config) Workspace(name string) *Workspace {
	return named(c.Workspaces, name, func(w *Workspace) string { return w.Name })
}

// Executor is the executor of that name, or nil.
func (c *Config) Executor(name string) *Executor {
	return named(c.Executors, name, func(e *Executor) string { return e.Name })
}

// Gateway is the gateway of that name, or nil.
func (c *Config) Gateway(name string) *Gateway {
	return named(c.Gateways, name, func(g *Gateway) string { return g.Name })
}

// GateFiles are the digests of the files that hold gate sets, by their names in Files.
func (c *Config) GateFiles() map[string]string {
	out := map[string]string{}
	for _, s := range c.GateSets {
		if s.File != "" {
			out[s.File] = s.Digest
		}
	}
	return out
}

// GateSet is the gate set of that name, or nil.
func (c *Config) GateSet(name string) *GateSet {
	return named(c.GateSets, name, func(s *GateSet) string { return s.Name })
}

// Sandbox is the sandbox of that name, or nil.
func (c *Config) Sandbox(name string) *Sandbox {
	return named(c.Sandboxes, name, func(s *Sandbox) string { return s.Name })
}

func named[T any](all []*T, name string, of func(*T) string) *T {
	for _, x := range all {
		if of(x) == name {
			return x
		}
	}
	return nil
}
