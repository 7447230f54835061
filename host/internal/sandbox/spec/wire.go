package spec

// The control socket is SOCK_SEQPACKET: one packet is one message. The daemon sends the Spec, then
// commands; the launcher sends Messages. The launcher's descriptors are fixed.
const (
	ControlFD = 3 // the control socket
	StdioFD   = 4 // 4, 5 and 6 become descriptors 0, 1 and 2 of the payload
	ProgramFD = 7 // the payload's program, where Spec.Program says so

	MaxSpec = 128 << 10 // bytes of the largest Spec; what the launcher sends is far smaller
)

// Modes of a Mount.
const (
	ReadOnly = "ro"
	Writable = "rw"
	Overlay  = "overlay" // read-only below, throw-away writable layer above
	Link     = "link"    // a symbolic link at Inside that says Host
)

// Spec is everything the launcher needs to build one view and run one program in it.
type Spec struct {
	Hostname string   `json:"hostname"`
	System   []Mount  `json:"system"` // /usr and its aliases
	Etc      string   `json:"etc"`    // the prepared /etc
	Home     string   `json:"home"`   // the private home inside
	Mounts   []Mount  `json:"mounts"` // everything else, parents before children
	Scratch  int64    `json:"scratch"`
	Limits   Limits   `json:"limits"`
	Probe    Probe    `json:"probe"`
	Program  bool     `json:"program"` // run ProgramFD instead of Path
	Path     string   `json:"path"`
	Argv     []string `json:"argv"`
	Env      []string `json:"env"`
	Dir      string   `json:"dir"`
}

// Mount is one host path that is attached inside.
type Mount struct {
	Host   string `json:"host"`
	Inside string `json:"inside"`
	Mode   string `json:"mode"`
	Dev    uint64 `json:"dev,omitempty"` // with Ino: the identity that Host must still have
	Ino    uint64 `json:"ino,omitempty"`
	Tree   bool   `json:"tree,omitempty"`  // the attempt's worktree
	Empty  bool   `json:"empty,omitempty"` // with Overlay: there is nothing below, only the throw-away layer
}

// Limits are the resource limits of the payload and of all it starts.
type Limits struct {
	Processes int   `json:"processes"`
	OpenFiles int   `json:"open_files"`
	FileSize  int64 `json:"file_size"`
}

// Probe names what the launcher must fail to reach, though the same user can reach it outside.
type Probe struct {
	StateCanary string `json:"state_canary"`
	HomeCanary  string `json:"home_canary"`
	Home        string `json:"home"` // the operator's home and its identity
	HomeDev     uint64 `json:"home_dev"`
	HomeIno     uint64 `json:"home_ino"`
}

// Message is one packet from the launcher; exactly one field is set.
type Message struct {
	Report     *Report     `json:"report,omitempty"`
	Started    *Started    `json:"started,omitempty"`
	Violations []Violation `json:"violations,omitempty"`
	Exit       *Exit       `json:"exit,omitempty"`
}

// Report is what the launcher put in force and what it verified, before the payload exists.
type Report struct {
	Stage    string          `json:"stage,omitempty"` // where the set-up failed: "proc", "overlay", "tree", ...
	Err      string          `json:"err,omitempty"`
	Features Features        `json:"features"`
	Landlock int             `json:"landlock"` // ABI in force, 0 without
	Filter   int             `json:"filter"`   // instructions of the system call filter
	Limits   Limits          `json:"limits"`   // as set, which may be lower than asked for
	Verified map[string]bool `json:"verified"`
	Notes    []string        `json:"notes,omitempty"` // features that are not in force, and why
	SetupUS  int64           `json:"setup_us"`
}

// Started says that the payload runs, or why it does not.
type Started struct {
	PID int    `json:"pid,omitempty"` // inside the namespace
	Err string `json:"err,omitempty"`
}

// Violation is a system call that the filter refused, as the kernel reported it; equal ones are counted.
type Violation struct {
	Syscall int    `json:"syscall"`
	Name    string `json:"name"`
	PID     int    `json:"pid"` // inside the namespace
	Comm    string `json:"comm"`
	Count   int64  `json:"count"`
}

// Exit is how the payload's main process ended.
type Exit struct {
	Code      int   `json:"code"`
	Signal    int   `json:"signal,omitempty"`
	Leftovers int   `json:"leftovers"` // processes alive in the namespace at that moment
	UserUS    int64 `json:"user_us"`
	SystemUS  int64 `json:"system_us"`
	MaxRSSKB  int64 `json:"max_rss_kb"`
}

// Command is one packet to the launcher after the Spec.
type Command struct {
	Kind   byte // CommandStart, CommandSignal or CommandSignalAll
	Signal byte
}

// Kinds of Command.
const (
	CommandStart     = 's' // the report was accepted: run the payload
	CommandSignal    = 'k' // signal the payload's main process
	CommandSignalAll = 'K' // signal every process in the namespace
)
