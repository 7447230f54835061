package sandbox

import (
	"net"
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
	Label  string // for the record; "" is a number
	// Dev and Ino are the identity that the caller looked at; zero takes what is there.
	Dev, Ino uint64
}

// Git is the tree's shadow git directory, made by the host for this launch. The tree's .git is a file
// that names Dir; it, and Protect, are read-only inside.
type Git struct {
	Dir     string   // absolute, without symlinks; inside at the same path
	Protect []string // absolute paths below Dir: config, hooks, info, ...
	Objects []string // object directories that Dir borrows from: read-only, inside at the same path
}

// Secret is a credential with its value, read for this launch.
type Secret struct {
	Name     string
	Deliver  string // "env" or "file"
	Variable string
	Value    []byte
}

// Exceeded is a limit that the payload went over.
type Exceeded = spec.Exceeded

// Request is one launch.
type Request struct {
	Policy  *work.SandboxPolicy
	Tree    Tree
	Git     *Git // nil: the tree has no git directory
	Binds   []Bind
	Secrets []Secret

	// Program is an open read-only descriptor (a sealed memfd) that is executed; where it is nil, Path is
	// a path inside the view, or a name that is looked for in PATH there.
	Program *os.File
	Path    string
	Argv    []string
	// Env is the payload's environment. Added are, where Env does not set them: the variables of the
	// policy and of its toolchains, HOME, PATH and TMPDIR. The toolchains' directories always come first
	// in PATH.
	Env []string
	// Search are directories inside that come before PATH, after those of the toolchains.
	Search []string
	Dir    string // "" is the tree, or / where there is none

	Stdin, Stdout, Stderr *os.File // nil is /dev/null

	// OnViolation is called, one call at a time, for each refusal that the kernel reports. It must not
	// block.
	OnViolation func(Violation)
	// OnExceeded is called once, before the launch is killed for it. It must not block.
	OnExceeded func(Exceeded)
	// OnListener is called before the payload starts where the policy's network is a proxy: the listener
	// is on lo inside the launch, the connections are accepted here. The callee closes it.
	OnListener func(net.Listener)
	// OnGateway asks for a second place, for the gateway to a model, whatever else the network is. It is
	// called as OnListener is. Nil: there is none.
	OnGateway func(net.Listener)
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
	Exceeded  *Exceeded // the limit that the launch was killed for
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
