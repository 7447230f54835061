package sandbox

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Modes of a Tree.
const (
	TreeWritable = "writable"
	TreeOverlay  = "overlay" // the tree is read-only below; writes go to a layer that dies with the launch
)

// Tree is the attempt's worktree, visible inside at its own path.
type Tree struct {
	Path string // absolute, without symlinks
	Mode string // TreeWritable, TreeOverlay, or "" for no tree
	// Dev and Ino are the identity that the caller pinned. It is compared before the tree is attached;
	// zero takes the identity that the path has when Launch is called.
	Dev, Ino uint64
}

// Bind is one more host path that is visible inside.
type Bind struct {
	Host   string
	Inside string // "" is the same path
	Mode   string // "ro", "rw" or "overlay"
}

// Request is one launch.
type Request struct {
	Policy *work.SandboxPolicy
	Tree   Tree
	Binds  []Bind

	// Program is an open read-only descriptor (a sealed memfd) that is executed; where it is nil, Path is
	// a path inside the view, or a name that is looked for in PATH there.
	Program *os.File
	Path    string
	Argv    []string
	// Env is the payload's environment. Added are, where Env does not set them: the variables of the
	// policy and of its toolchains, HOME, PATH and TMPDIR. The toolchains' directories always come first
	// in PATH.
	Env []string
	Dir string // "" is the tree, or / where there is none

	Stdin, Stdout, Stderr *os.File // nil is /dev/null

	// OnViolation is called, one call at a time, for each refusal that the kernel reports. It must not
	// block.
	OnViolation func(Violation)
}

// Violation is a system call of the payload that the filter refused. Equal ones are counted together.
type Violation = spec.Violation

// Exit is how the payload's main process ended.
type Exit struct {
	Code   int
	Signal unix.Signal // 0 when it exited by itself
	// Leftovers is how many other processes were alive in the namespace when the main process ended.
	// They are dead when Done is closed.
	Leftovers int
	UserUS    int64
	SystemUS  int64
	MaxRSSKB  int64
	// Lost says why there is no exit of the payload to report: the launch was killed, or the launcher
	// ended before the payload did.
	Lost string
}

// Check is one line of `drawspan doctor`: a feature that was tried.
type Check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // "ok", "warn" or "fail"
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}
