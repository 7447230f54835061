package panel

import (
	"context"
	"encoding/json"
	"io"

	"github.com/drawspan/drawspan/host/internal/provision"
	"github.com/drawspan/drawspan/host/internal/work"
	"github.com/drawspan/drawspan/sdk"
)

// Record is the durable truth.
type Record interface {
	Apply(ctx context.Context, m ...work.Mutation) error
	Gates(ctx context.Context, attemptID string) ([]work.GateRecord, error)
	Validations(ctx context.Context, attemptID string) ([]work.Validation, error)
}

// Artifacts keeps bytes by their digest.
type Artifacts interface {
	Create(limit int64) (Blob, error)
	// Small is the size up to which bytes travel inside the transaction.
	Small() int64
	Digest(p []byte) string
}

// Blob takes the bytes of one artifact. Seal makes them durable and answers with what they are; beyond
// the limit nothing is kept and truncated is set.
type Blob interface {
	io.Writer
	Seal() (digest string, size int64, truncated bool, err error)
	Abort()
}

// Results are evaluations of pure validators by the digest of what they rest on. What Find answers with
// is as it was kept, or nothing: where it was damaged, it is not found.
type Results interface {
	Find(inputs string) (work.Validation, bool)
	Keep(v work.Validation) error
}

// Trees are the trees of one subject. Its methods may be called often, and by several goroutines.
type Trees interface {
	// Head is the tree that is judged.
	Head(ctx context.Context) (Head, error)
	// Base makes a tree of the base commit, for one evaluation of the subject; drop removes it.
	Base(ctx context.Context) (dir string, drop func(), err error)
	// Patch is the unified diff from base to head, of these paths alone where any are named; at most limit
	// bytes of it. Cut says that it is not the whole.
	Patch(ctx context.Context, paths []string, limit int64) (patch []byte, cut bool, err error)
	// Lines is how many lines a file of the head has; found is false where it has no such file.
	Lines(ctx context.Context, path string) (n int, found bool, err error)
}

// Head is the sealed tree, as a launch sees it.
type Head struct {
	Path     string
	Dev, Ino uint64
	Git      *Git // nil: the tree has none
	Binds    []provision.Bind
	Env      []string
}

// Git is a tree's shadow git directory.
type Git = provision.Git

// Plugins starts validators in their sandboxes.
type Plugins interface {
	Start(ctx context.Context, l Launch) (Plugin, error)
}

// Launch says which validator over which tree. All that it writes is thrown away.
type Launch struct {
	Name       string
	Config     json.RawMessage
	Policy     *work.SandboxPolicy
	Head       Head   // the zero Head: it sees no tree
	BaseTree   string // read-only, at its own path; "" for none
	AttemptID  string
	OnExceeded func(error) // called before the launch is killed for a limit
}

// Plugin is a started validator. Done is closed when no process of it is alive. Stop is bounded, idempotent,
// and answers with the proof of death.
type Plugin interface {
	Done() <-chan struct{}
	Identity() work.PluginIdentity
	Enforced() json.RawMessage
	Check(ctx context.Context, c sdk.Check, output func(stream string, p []byte) error) (sdk.Verdict, error)
	Stop(ctx context.Context) (work.Death, error)
}
