package spec

// The control socket is SOCK_SEQPACKET: one packet is one message. The daemon sends the Spec, with it the
// descriptors of the payload, then commands; the launcher sends Messages. It is started with nothing but its
// own 0 to 2 and the control socket, and puts what came with the Spec to fixed numbers.
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
	UID      int // the daemon's user and group, which stay what they are inside
	GID      int
	Hostname string
	System   []Mount // /usr and its aliases
	Etc      string  // the prepared /etc
	Home     string  // the private home inside
	Mounts   []Mount // everything else, parents before children
	Secrets  []Secret
	Scratch  int64
	Backend  string   // how the view is made: Native, Bwrap, Landlock or None
	Network  string   // "none", "proxy" or "host"
	Gateway  bool     // a listener for the daemon's gateway, on lo
	Calls    []string // refused system calls that are allowed here
	Limits   Limits
	Probe    Probe
	Program  bool // run ProgramFD instead of Path
	Path     string
	Argv     []string
	Env      []string
	Dir      string
}

// Descriptors is how many come with the Spec.
func (s *Spec) Descriptors() int {
	if s.Program {
		return ProgramFD - StdioFD + 1
	}
	return ProgramFD - StdioFD
}

// Back-ends.
const (
	Native   = "native"   // the launcher makes namespaces and view itself
	Bwrap    = "bwrap"    // bubblewrap makes them, the launcher adds the rest
	Landlock = "landlock" // no namespaces: Landlock, the filter and a subreaper
	None     = "none"     // level off: only supervision
)

// Networks.
const (
	NetworkNone  = "none"  // nothing but lo
	NetworkProxy = "proxy" // a listener on lo, accepted by the daemon
	NetworkHost  = "host"  // the daemon's own network
)

// Where the payload finds the proxy and the gateway, on 127.0.0.1 of its own network.
const (
	ProxyPort   = 3128
	GatewayPort = 3129
)

// Listeners are the ports that the launcher opens for the daemon, in the order in which it hands them over.
func (s *Spec) Listeners() []int {
	var ports []int
	if s.Network == NetworkProxy {
		ports = append(ports, ProxyPort)
	}
	if s.Gateway {
		ports = append(ports, GatewayPort)
	}
	return ports
}

// Mount is one host path that is attached inside.
type Mount struct {
	Host   string
	Inside string
	Mode   string
	Dev    uint64 // with Ino: the identity that Host must still have
	Ino    uint64
	Tree   bool // the attempt's worktree
	Empty  bool // with Overlay: there is nothing below, only the throw-away layer
	Git    bool // part of the attempt's git directory
	Shared bool // with Writable: the operator's own, which the limit of disk does not count
}

// SecretDir is where the files of secrets are inside. The name is systemd's.
const SecretDir = "/run/credentials"

// Secret is a file of SecretDir that only this launch has, in memory.
type Secret struct {
	Name  string // a file name
	Value []byte
}

// Limits are the resource limits of the payload and of all it starts.
type Limits struct {
	Processes int
	OpenFiles int
	FileSize  int64
	Memory    int64 // bytes of all processes; 0 without
	Disk      int64 // bytes below the writable mounts; 0 without
	CPUs      int   // processors; 0 for all
	CPUTimeMS int64 // processor time of all processes; 0 without
}

// Probe names what the launcher must fail to reach, though the same user can reach it outside.
type Probe struct {
	StateCanary string
	HomeCanary  string
	Home        string // the operator's home and its identity
	HomeDev     uint64
	HomeIno     uint64
	Namespaces  []string // the daemon's own, where somebody else makes the launcher's
}

// Message is one packet from the launcher; exactly one field is set.
type Message struct {
	Report     *Report
	Started    *Started
	Violations []Violation
	Exceeded   *Exceeded
	Exit       *Exit
}

// Limit names, as in Exceeded and in the record.
const (
	LimitMemory    = "memory"
	LimitDisk      = "disk"
	LimitCPUTime   = "cpu_time"
	LimitProcesses = "processes"
)

// Exceeded is a limit that the payload went over; the launch is being killed for it.
type Exceeded struct {
	Limit string `json:"limit"`
	Used  int64  `json:"used"` // bytes, milliseconds or processes, as seen
	Cap   int64  `json:"cap"`
}

// Report is what the launcher put in force and what it verified, before the payload exists.
type Report struct {
	Stage    string // where the set-up failed: "proc", "overlay", "tree", ...
	Err      string
	Features Features
	Landlock int    // ABI in force, 0 without
	Filter   int    // instructions of the system call filter
	Limits   Limits // as set, which may be lower than asked for
	Verified []Verified
	Notes    []string // features that are not in force, and why
	SetupUS  int64
	VerifyUS int64 // of SetupUS, what the trying took
}

// Verified is one refusal that was tried, and whether it held.
type Verified struct {
	Name string
	Held bool
}

// Started says that the payload runs, or why it does not.
type Started struct {
	PID int // inside the namespace
	Err string
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
	Code      int
	Signal    int
	Leftovers int // processes alive in the namespace at that moment
	// Without a namespace: the launcher has no child left, and whether it was told to end them.
	Emptied  bool
	Ended    bool
	UserUS   int64
	SystemUS int64
	MaxRSSKB int64
}

// After the Spec the daemon sends packets of two bytes: one of these, and the number of a signal.
const (
	CommandStart     = 's' // the report was accepted: run the payload
	CommandSignal    = 'k' // signal the payload's main process
	CommandSignalAll = 'K' // signal every process in the namespace
	CommandEnd       = 'e' // kill every process, where there is no namespace to do so
)
