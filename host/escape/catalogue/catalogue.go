package catalogue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Layers, as in Probe.Layer and Probe.Walls. Those that a launcher can be told to leave out have its names.
const (
	View     = "view"
	NetNS    = "netns"
	PIDNS    = "pidns"
	IPC      = "ipc"
	Seccomp  = "seccomp"
	Landlock = "landlock"
	Caps     = "capabilities"
	NoNew    = "no_new_privs"
	Nested   = "nested"
	Dumpable = "dumpable"
	Limits   = "limits"
	FDs      = "fds"
	Terminal = "terminal"
	UTS      = "hostname"
	Git      = "git"
	Env      = "env"
	End      = "lifecycle" // the death of everything with the launch
	Host     = "host"      // what the host does afterwards
	Egress   = "egress"    // the proxy's rules
	Models   = "gateway"   // what the gateway forwards
	Listener = "listener"  // that the port of the proxy, or of the gateway, is taken before the program starts
)

// OfHost reports that a layer is the host's, not the launcher's.
func OfHost(layer string) bool {
	return layer == Host || layer == Egress || layer == Models || layer == Listener
}

// What a probe needs beside the ordinary policy, as in Probe.Under.
const (
	Proxied  = "proxy"   // a network of one proxy
	Modelled = "gateway" // a gateway to a model
	Flooded  = "flood"   // somebody who reads what it writes
	Handled  = "handled" // a tree and a git directory that the host takes over afterwards
	Spoilt   = "spoilt"  // the same, and its configuration is made hostile from outside
)

// Limits of a launch as a whole, as in Probe.Ends.
const (
	processLimit = "processes"
	memoryLimit  = "memory"
	diskLimit    = "disk"
	timeLimit    = "cpu_time"
)

// Levels that claim a refusal.
const (
	guarded  = "guarded"
	isolated = "isolated"
	strict   = "strict"
)

// Where a probe may run.
const (
	Anywhere = iota
	Confined // never without a sandbox: it would hurt the machine
	OursOnly // nor in a sandbox of others: it would hurt the machine if that let it through, or it is a
	// narrowing of ours that another sandbox need not have: what it lets through there is no way out
)

// Probe is one way out.
type Probe struct {
	ID    string
	Title string
	Layer string   // that must refuse it
	Level string   // the lowest that claims to
	Walls []string // every layer that stands in the way: left out together, the probe gets through
	Where int
	Note  string // why it may not be provable
	Under string // what it needs beside the ordinary policy
	Ends  string // the limit that the launch must be ended for

	try func(*Target) Outcome
}

// What a probe says of itself.
const (
	Refused   = "refused"   // the kernel said no
	Through   = "through"   // it worked
	Attempted = "attempted" // only outside can tell: by the loot or by what changed
	Broken    = "broken"    // the probe could not be tried
)

// Outcome is what a probe says.
type Outcome struct {
	Claim  string `json:"claim"`
	Detail string `json:"detail"`
	Loot   string `json:"loot,omitempty"` // what was read; it is an escape when the secret is in it
}

// Target is what lies outside.
type Target struct {
	Mark     string `json:"mark"` // what a write leaves, and by what survivors are found
	Tree     string `json:"tree"`
	Shadow   string `json:"shadow"` // the tree's git directory; "" without
	Home     string `json:"home"`
	State    string `json:"state"`
	Sibling  string `json:"sibling"`
	Repo     string `json:"repo"`
	Tmp      string `json:"tmp"` // files that everybody may read and their user may write
	VarTmp   string `json:"var_tmp"`
	Shm      string `json:"shm"`
	Abstract string `json:"abstract"`
	Agent    string `json:"agent"` // pathname sockets
	API      string `json:"api"`
	TCP4     int    `json:"tcp4"`
	TCP6     int    `json:"tcp6"`
	UDP      int    `json:"udp"`
	LAN      string `json:"lan"` // an address of this machine that is not loopback; "" without
	Victim   int    `json:"victim"`
	Key      int    `json:"key"` // of the SysV objects
	Queue    string `json:"queue"`
	Leaked   []int  `json:"leaked"` // descriptors that were open when the sandbox was started
	Forks    int    `json:"forks"`  // more processes than are allowed
	TmpBytes int64  `json:"tmp_bytes"`
	Ran      string `json:"ran"`  // a file that is there when the host ran what a probe left
	Held     bool   `json:"held"` // going over a limit ends the launch
}

// All is the catalogue, in its order.
func All() []Probe {
	all := slices.Concat(files(), procfs(), descriptors(), gitdir(), network(), families(), namespaces(),
		tracing(), privileges(), calls(), machine(), ipc(), environment(), exhaustion(), lifecycle(),
		newer(), proxied(), modelled(), handled())
	slices.SortStableFunc(all, func(a, b Probe) int { return compareIDs(a.ID, b.ID) })
	return all
}

func compareIDs(a, b string) int {
	na, sa := splitID(a)
	nb, sb := splitID(b)
	if na != nb {
		return na - nb
	}
	switch {
	case sa < sb:
		return -1
	case sa > sb:
		return 1
	}
	return 0
}

// Number is the number of a probe without its letter.
func Number(id string) int {
	n, _ := splitID(id)
	return n
}

func splitID(id string) (number int, letter string) {
	n := 0
	for n < len(id) && id[n] >= '0' && id[n] <= '9' {
		number = 10*number + int(id[n]-'0')
		n++
	}
	return number, id[n:]
}

// Try runs one probe in this process.
func Try(id string, t *Target) Outcome {
	for _, p := range All() {
		if p.ID == id {
			return p.try(t)
		}
	}
	return broken("there is no probe %s", id)
}

func broken(format string, args ...any) Outcome {
	return Outcome{Claim: Broken, Detail: fmt.Sprintf(format, args...)}
}

func through(format string, args ...any) Outcome {
	return Outcome{Claim: Through, Detail: fmt.Sprintf(format, args...)}
}

func attempted(format string, args ...any) Outcome {
	return Outcome{Claim: Attempted, Detail: fmt.Sprintf(format, args...)}
}

// no is a refusal that is told by other means than an error.
func no(format string, args ...any) Outcome {
	return Outcome{Claim: Refused, Detail: fmt.Sprintf(format, args...)}
}

// refused is an error of the kernel as a refusal, by its name: EPERM says more than a sentence.
func refused(err error) Outcome { return Outcome{Claim: Refused, Detail: name(err)} }

func name(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// unless is a refusal when there is an error, and an escape otherwise.
func unless(err error, what string) Outcome {
	if err != nil {
		return refused(err)
	}
	return through("%s", what)
}

// first is the first outcome that is not a refusal, or the last one.
func first(list ...Outcome) Outcome {
	for _, o := range list {
		if o.Claim != Refused {
			return o
		}
	}
	return list[len(list)-1]
}

// sys makes a system call by its number.
func sys(number uintptr, args ...uintptr) (uintptr, error) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return 0, errno
	}
	return r, nil
}

// sysPointer is a call with a pointer as its third argument.
func sysPointer(number, a, b uintptr, p *byte) (uintptr, error) {
	return sys(number, a, b, uintptr(unsafe.Pointer(p)))
}

// simple is a call that is an escape when it succeeds.
func simple(number uintptr, args ...uintptr) func(*Target) Outcome {
	return func(*Target) Outcome {
		_, err := sys(number, args...)
		return unless(err, "the call succeeded")
	}
}

// path makes a function of the target a path.
type path func(*Target) string

func at(p string) path { return func(*Target) string { return p } }

// read gives what is in a file; the driver looks for the secret.
func read(p path) func(*Target) Outcome { return func(t *Target) Outcome { return readFile(p(t)) } }

func readFile(p string) Outcome {
	fd, err := unix.Open(p, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	return readFD(fd)
}

func readFD(fd int) Outcome {
	buf := make([]byte, 64<<10)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return refused(err)
	}
	return Outcome{Claim: Attempted, Detail: fmt.Sprintf("read %d bytes", n), Loot: string(buf[:n])}
}

// write leaves the mark in a file, which is made if it is not there.
func write(p path) func(*Target) Outcome {
	return func(t *Target) Outcome { return writeFile(p(t), t.Mark) }
}

func writeFile(p, text string) Outcome {
	fd, err := unix.Open(p, unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return refused(err)
	}
	return attempted("wrote")
}

// open is an escape when a file can be opened at all; the null device is none.
func open(p path, flags int) func(*Target) Outcome {
	return func(t *Target) Outcome {
		fd, err := unix.Open(p(t), flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return refused(err)
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
			return no("the null device")
		}
		return through("opened %s", p(t))
	}
}

// inTree makes a file of the tree, for probes that need one of their own.
func inTree(t *Target, name string) (string, error) {
	p := t.Tree + "/" + name
	if err := os.WriteFile(p, []byte("x"), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return p, nil
}
