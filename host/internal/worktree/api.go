package worktree

import (
	"io"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/internal/work"
)

// RefPrefix is where the kept commit of each attempt is found, in the mirror and in the operator's
// repository.
const RefPrefix = "refs/drawspan/attempts/"

// Options say where trees and mirrors live and which git is used.
type Options struct {
	Dir      string       // the state directory; trees/, mirrors/ and trash/ are made below it
	Git      string       // absolute path of the git program; empty: the first in Path
	Path     string       // a PATH to search for git
	Parallel int          // git processes at a time; 0: twice the processors, at least 4
	Passing  bool         // all of it goes with this process: nothing waits until it is on the disk
	Log      hclog.Logger // nil: nothing is logged
}

// Ref is a branch of the operator's repository.
type Ref struct {
	Name   string // full name, refs/heads/...
	Commit string
}

// CreateRequest asks for an attempt's tree.
type CreateRequest struct {
	AttemptID string
	Start     string // full commit id, as Resolve or Capture gave it
	Branch    Ref    // the branch that the work is based on, for the executor to find; empty: none
	Provision Provision
}

// Provision is what a tree gets besides the files of its commit. Nothing of it is ever part of a result.
type Provision struct {
	Copy []string // files of the operator's root, by repository-relative paths
	Link []string // directories of it, likewise, that launches over the tree see at the same place
	// Commands says that the caller runs some in the tree before anybody works there, and then calls
	// Settle. What is in the tree until then is nobody's work.
	Commands bool
}

// Linked is a directory of the operator's root and its place in a tree.
type Linked struct {
	Host, Inside string
	Dev, Ino     uint64 // of the directory when it was looked at
}

// CaptureRequest asks for the state of a tree to be kept.
type CaptureRequest struct {
	Base     string    // full commit id that the diff is taken against
	Message  string    // first line and body of the commit
	When     time.Time // author and committer time
	Withhold []string  // repository-relative paths that must not be in the commit, besides the provisioned ones
	MaxFile  int64     // larger new or changed files are refused; 0: 2 GiB
	MaxNew   int       // more new files are refused; 0: 200,000
	MaxPatch int64     // bytes of patch to write; 0: no patch
	Patch    io.Writer // receives the patch; nil: none
}

// Captured is what the host saw in a tree. It is meaningful as soon as Commit is not empty, even beside
// an error: then the state is kept in the mirror and only a later part failed.
type Captured struct {
	TreeBefore     string // tree of the commit the attempt started from
	TreeAfter      string
	Commit         string
	Ref            string
	Published      bool // the ref is in the operator's repository too
	Diff           work.DiffFacts
	Refused        []work.Refused
	PatchTruncated bool // the patch is longer than MaxPatch, or leaves out the bytes of a large file
}

// ApplyRequest asks for a branch of the operator's repository to take a kept commit.
type ApplyRequest struct {
	Commit string
	Branch string // short or full name
	Base   string // the commit the attempt was based on, for the hint when the branch moved
}

// Applied is what Apply did.
type Applied struct {
	Branch string // full name
	Before string // empty when the branch was made
	After  string
	Made   bool
}

// Found is a tree on disk.
type Found struct {
	ID        string
	Workspace string
	Root      string
	Start     string
	Kept      string // the kept commit; empty while nothing was captured
	Sealed    bool   // made by Checkout
	Broken    string // why its record cannot be read; empty when it can
}
