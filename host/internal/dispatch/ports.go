package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/drawspan/drawspan/host/internal/panel"
	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Record is the durable truth.
type Record interface {
	Apply(ctx context.Context, m ...work.Mutation) error
	// Known reports whether the key was used with the same request before; another request under it is
	// fault.IdempotencyConflict.
	Known(ctx context.Context, k work.Key) (bool, error)
	Run(ctx context.Context, id string) (work.Run, error)
	Step(ctx context.Context, id string) (work.Step, error)
	StepsOf(ctx context.Context, runID string) ([]work.Step, error) // in dispatch order
	Unsettled(ctx context.Context) ([]work.Step, error)             // queued, active and held ones of all runs
	Attempt(ctx context.Context, id string) (work.Attempt, error)
	LiveAttempts(ctx context.Context) ([]work.Attempt, error)
	Gates(ctx context.Context, attemptID string) ([]work.GateRecord, error)
	Validations(ctx context.Context, attemptID string) ([]work.Validation, error)
	Artifacts(ctx context.Context, attemptID string) ([]work.Artifact, error)
	// Artifact is one of them with its bytes, where they are inline.
	Artifact(ctx context.Context, attemptID, name string) (work.Artifact, error)
	Approval(ctx context.Context, id string) (work.Approval, error)
	OpenApprovals(ctx context.Context) ([]work.Approval, error)
}

// Trees makes and captures attempt trees.
type Trees interface {
	Resolve(ctx context.Context, ws *work.Workspace, ref string) (commit string, err error)
	Create(ctx context.Context, ws *work.Workspace, r TreeRequest) (Tree, error)
	// Sealed is the tree of an ended attempt at its kept commit, for gates that are evaluated later.
	Sealed(ctx context.Context, ws *work.Workspace, attemptID, commit string) (Tree, error)
}

// TreeRequest asks for an attempt's tree. BaseRef and BaseCommit are the run's, for the executor's git to
// know where the work comes from.
type TreeRequest struct {
	AttemptID, Start    string
	BaseRef, BaseCommit string
}

// Tree is one attempt's tree.
type Tree interface {
	Path() string
	Identity() (dev, ino uint64)
	// Shadow makes the git directory that a launch over the tree sees, anew, for what the tree is now.
	Shadow(ctx context.Context) (Git, error)
	// Commits takes over what the dead executor committed, under the sandbox's rules. Nil: it committed
	// nothing, or the policy does not ask. It comes before Capture.
	Commits(ctx context.Context, p *work.SandboxPolicy) (*work.Commits, error)
	Capture(ctx context.Context, c CaptureRequest) (Captured, error)
	Reset(ctx context.Context) error
	// Links and Settle are for what prepares the tree; see package provision.
	Links() ([]provision.Bind, error)
	Settle(ctx context.Context) error
	Remove(ctx context.Context) error
	// Base makes a tree of a commit, to compare with; drop removes it.
	Base(ctx context.Context, commit string) (dir string, drop func(), err error)
	// Patch is the diff from a commit to the kept one, of some paths alone where any are named.
	Patch(ctx context.Context, base string, paths []string, limit int64) (patch []byte, cut bool, err error)
	// Lines counts the lines of a file; found is false where the tree has none.
	Lines(ctx context.Context, path string) (n int, found bool, err error)
}

// Git is a tree's shadow git directory.
type Git = panel.Git

// CaptureRequest asks to keep a tree's state. The patch goes to Patch, at most MaxPatch bytes.
type CaptureRequest struct {
	Base     string
	Message  string
	When     time.Time
	MaxPatch int64
	Patch    io.Writer
}

// Captured is what was kept.
type Captured struct {
	TreeBefore, TreeAfter string
	Commit, Ref           string
	Diff                  work.DiffFacts
	Refused               []work.Refused
	PatchTruncated        bool
}

// Plugins starts plugin processes in their sandboxes.
type Plugins interface {
	Start(ctx context.Context, l Launch) (Plugin, error)
}

// Launch says which plugin over which tree.
type Launch struct {
	Kind        string // executor, validator
	Name        string
	Executor    string            // the declared one, "" for a validator
	Program     *work.ProgramDecl // of the operator's machine, that the plugin drives; nil for none
	Config      json.RawMessage
	Policy      *work.SandboxPolicy
	Tree        string
	Dev, Ino    uint64
	Git         *Git // nil: the tree has none
	Binds       []provision.Bind
	Env         []string
	Sealed      bool   // the tree is judged: a throw-away layer takes all writes
	BaseTree    string // of a validator: a second tree, read-only at its own path; "" for none
	AttemptID   string
	OnViolation func(Violation)
	OnExceeded  func(Excess)  // called before the launch is killed for it
	OnTraffic   func(Traffic) // nil: nobody listens

	Gateway     *work.GatewayPolicy // nil: none
	OnModelCall func(ModelCall)     // one call at a time, up to a bound; the plugin's Stop returns after the last
}

// ModelCall is one call through the gateway, when it has ended.
type ModelCall struct {
	sdk.Usage        // of this call; basis "computed" where the model's service did not say
	Status    int    `json:"http_status,omitempty"`    // of the answer; 0 for none
	Refused   string `json:"refused,omitempty"`        // why the gateway did not forward it
	Failed    string `json:"failed,omitempty"`         // what became of it instead of a whole answer
	LookUp    bool   `json:"look_up,omitempty"`        // no model answered: tokens were counted, models listed
	Request   string `json:"request_sha256,omitempty"` // digest of its body
	Up        int64  `json:"bytes_up"`
	Down      int64  `json:"bytes_down"`
	FirstMS   int64  `json:"first_byte_ms,omitempty"`
	Millis    int64  `json:"duration_ms"`
}

// Traffic is one request to the network, when it has ended. The plugin's Stop returns after the last.
type Traffic struct {
	Method  string `json:"method,omitempty"`
	Host    string `json:"host"`
	Port    uint16 `json:"port,omitempty"`
	Address string `json:"address,omitempty"` // the one that was connected to
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason,omitempty"` // why it was refused, or failed
	Up      int64  `json:"bytes_up"`
	Down    int64  `json:"bytes_down"`
	Millis  int64  `json:"duration_ms"`
}

// Violation is one thing the kernel refused.
type Violation struct {
	Syscall string `json:"syscall"`
	PID     int    `json:"pid"`
	Comm    string `json:"comm"`
	Count   int64  `json:"count"`
}

// Plugin is a started plugin process. Done is closed when no process of it is alive. Stop is bounded,
// idempotent, and answers with the proof of death.
type Plugin interface {
	Done() <-chan struct{}
	Identity() work.PluginIdentity
	Level() string
	Enforced() json.RawMessage
	Execute(ctx context.Context, a sdk.Attempt, sink func(context.Context, sdk.Event) error) (sdk.Result, error)
	Check(ctx context.Context, c sdk.Check, output func(stream string, p []byte) error) (sdk.Verdict, error)
	Input(ctx context.Context, itemID string, answer sdk.Answer, decision sdk.Decision) error
	Cancel(ctx context.Context, reason string) error
	Interrupt(ctx context.Context) error
	Terminate(ctx context.Context) error
	Stop(ctx context.Context) (work.Death, error)
	Leftovers() int
	// ModelUse is what the gateway counted, of all calls; whole once Stop has returned. Nil without a gateway.
	ModelUse() *sdk.Usage
	// Unchanged looks again at the program that the plugin drives: the fault says what of it is not the same
	// any more. Nil where there is none.
	Unchanged(ctx context.Context) error
}

// Artifacts keeps bytes by their digest.
type Artifacts interface {
	Create(limit int64) (Blob, error)
	// Small is the size up to which bytes travel inside the transaction.
	Small() int64
	Digest(p []byte) string
	// Verified opens what is kept under a digest, whole and as it was kept.
	Verified(ctx context.Context, digest string, size int64) (io.ReadSeekCloser, error)
}

// Blob takes the bytes of one artifact.
type Blob = panel.Blob

// Journals makes the live stream of an attempt.
type Journals interface {
	Create(attemptID string, limit int64) (Journal, error)
	Remove(attemptID string) error
}

// ErrFull is what Journal.Append returns once the attempt's output cap is reached.
var ErrFull = errors.New("the attempt's output cap is reached")

// Journal is the live stream of an attempt.
type Journal interface {
	Append(source string, e sdk.Event) error
	Seal() (Stream, error)
}

// Stream is what a sealed journal became.
type Stream struct {
	Files     []StreamFile
	Output    int64
	Truncated bool
}

// StreamFile is one sealed file.
type StreamFile struct {
	Name, Kind, Media string
	Size              int64
	Open              func() (io.ReadCloser, error)
}
