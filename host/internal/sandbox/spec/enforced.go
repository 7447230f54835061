package spec

import "strings"

// Cred is a credential by its name; never a value.
type Cred struct {
	Name    string `json:"name"`
	Deliver string `json:"deliver"` // "env" or "file"
}

// Enforced is the vector that is recorded of one launch: what was in force, not what was wished. It
// carries no host path; mounts are named by label ("worktree", "tmp", "toolchain go", "read 1").
type Enforced struct {
	Required       string `json:"required"`
	Enforced       string `json:"enforced"`
	Floor          string `json:"floor,omitempty"` // set when less than required was accepted
	Backend        string `json:"backend"`
	LauncherSHA256 string `json:"launcher_sha256"`
	Bubblewrap     string `json:"bubblewrap,omitempty"` // its version and digest, where it made the namespaces
	FS             struct {
		View        string   `json:"view"` // "allowlist", "host, by Landlock rules" or "host"
		LandlockABI int      `json:"landlock_abi"`
		Tree        string   `json:"tree"` // "writable", "overlay", "read-only" or "none"
		RW          []string `json:"rw"`
		RO          []string `json:"ro"`
		Overlay     []string `json:"overlay,omitempty"`
	} `json:"fs"`
	Net struct {
		Mode    string   `json:"mode"` // "none", "proxy" or "host"
		Netns   bool     `json:"netns"`
		Allow   []string `json:"allow,omitempty"`
		Private bool     `json:"private_addresses,omitempty"`
		Gateway bool     `json:"gateway,omitempty"` // the daemon's gateway is on lo
	} `json:"net"`
	Proc struct {
		PIDNS        bool   `json:"pidns"`
		Orphans      string `json:"orphans"`       // who ends them: "pid namespace", "subreaper" or "best effort"
		NestedUserns string `json:"nested_userns"` // "denied" or "allowed"
		Caps         int    `json:"caps"`          // 0, or -1 where they could not be given up
		NoNewPrivs   bool   `json:"no_new_privs"`
	} `json:"proc"`
	Syscalls struct {
		Filter string   `json:"filter"` // "bpf:<instructions>"
		Notify bool     `json:"notify"`
		Allow  []string `json:"allow,omitempty"` // beyond the profile
	} `json:"syscalls"`
	Git struct {
		Mode      string   `json:"mode"`                // "none" or "shadow"
		Import    string   `json:"import,omitempty"`    // "pack" where the executor's commits are taken over
		Protected []string `json:"protected,omitempty"` // read-only places of the tree: "git", "config", "protect 1"
	} `json:"git"`
	Creds  []Cred `json:"creds,omitempty"`
	Limits struct {
		Source    string `json:"source"` // "rlimit", or "rlimit+cgroup"
		Processes int    `json:"processes"`
		OpenFiles int    `json:"open_files"`
		FileSize  int64  `json:"file_size"`
		Tmp       int64  `json:"tmp"`                 // bytes of /tmp, home and the like together, and again of all overlay layers
		Memory    *int64 `json:"memory"`              // null: no limit is enforced
		MemoryBy  string `json:"memory_by,omitempty"` // "cgroup" or "watched"
		Disk      *int64 `json:"disk"`
		DiskBy    string `json:"disk_by,omitempty"` // "watched"
		CPUs      int    `json:"cpus,omitempty"`
		CPUTimeMS int64  `json:"cpu_time_ms,omitempty"`
	} `json:"limits"`
	Verified  map[string]bool `json:"verified"`
	Shortfall []string        `json:"shortfall,omitempty"`
	SetupUS   int64           `json:"setup_us"`
	VerifyUS  int64           `json:"verify_us"` // of setup_us
}

// missing begins an entry of Shortfall that the policy asks for and that could not be had: a part of the level,
// or a limit.
const missing = "missing: "

// Lack adds what the policy asks for and could not be had.
func (e *Enforced) Lack(what string) { e.Shortfall = append(e.Shortfall, missing+what) }

// Lacks is what Lack added.
func (e *Enforced) Lacks() []string {
	var all []string
	for _, s := range e.Shortfall {
		if what, ok := strings.CutPrefix(s, missing); ok {
			all = append(all, what)
		}
	}
	return all
}
