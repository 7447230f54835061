package spec

// Enforced is the vector that is recorded of one launch: what was in force, not what was wished. It
// carries no host path; mounts are named by label ("worktree", "tmp", "toolchain go", "read 1").
type Enforced struct {
	Required       string `json:"required"`
	Enforced       string `json:"enforced"`
	Floor          string `json:"floor,omitempty"` // set when less than required was accepted
	Backend        string `json:"backend"`
	LauncherSHA256 string `json:"launcher_sha256"`
	FS             struct {
		View        string   `json:"view"` // "allowlist"
		LandlockABI int      `json:"landlock_abi"`
		Tree        string   `json:"tree"` // "writable", "overlay" or "none"
		RW          []string `json:"rw"`
		RO          []string `json:"ro"`
		Overlay     []string `json:"overlay,omitempty"`
	} `json:"fs"`
	Net struct {
		Mode  string `json:"mode"` // "none"
		Netns bool   `json:"netns"`
	} `json:"net"`
	Proc struct {
		PIDNS        bool   `json:"pidns"`
		NestedUserns string `json:"nested_userns"` // "denied" or "allowed"
		Caps         int    `json:"caps"`          // 0, or -1 where they could not be given up
		NoNewPrivs   bool   `json:"no_new_privs"`
	} `json:"proc"`
	Syscalls struct {
		Filter string `json:"filter"` // "bpf:<instructions>"
		Notify bool   `json:"notify"`
	} `json:"syscalls"`
	Limits struct {
		Source    string `json:"source"` // "rlimit"
		Processes int    `json:"processes"`
		OpenFiles int    `json:"open_files"`
		FileSize  int64  `json:"file_size"`
		Tmp       int64  `json:"tmp"`    // bytes of /tmp, home and the like together, and again of all overlay layers
		Memory    *int64 `json:"memory"` // null: no limit is enforced
	} `json:"limits"`
	Verified  map[string]bool `json:"verified"`
	Shortfall []string        `json:"shortfall,omitempty"`
	SetupUS   int64           `json:"setup_us"`
}
