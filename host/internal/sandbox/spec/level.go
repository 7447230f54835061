package spec

import "slices"

// Levels, weakest first.
const (
	LevelOff      = "off"
	LevelGuarded  = "guarded"
	LevelIsolated = "isolated"
	LevelStrict   = "strict"
	LevelVM       = "vm"
)

// Features are the protections that the launcher saw in force.
type Features struct {
	Namespaces bool // user, mount, pid, network, ipc, uts and cgroup
	View       bool // pivot_root into an allowlist
	Network    bool // nothing but lo in the network namespace
	Caps       bool // all sets empty and locked
	Nested     bool // no user namespace can be made below
	NoNewPrivs bool //
	Seccomp    bool //
	Notify     bool // refused system calls reach the host
	Landlock   bool // file system rules, ABI 3 or newer
	Scopes     bool // abstract sockets and signals, ABI 6 or newer
	Limits     bool // rlimits
	FDs        bool // nothing inherited but 0 to 2
	Git        bool // the tree has a shadow git directory that cannot be turned against the host, or there is no tree
	Reaper     bool // who loses its parent becomes the launcher's child
	External   bool // a virtual machine or user-space kernel; no version sets it yet
}

type need struct {
	level string
	name  string
	has   bool
}

// needs lists what each level adds to the one before it.
func (f Features) needs() []need {
	return []need{
		{LevelGuarded, "no_new_privs", f.NoNewPrivs},
		{LevelGuarded, "syscall filter", f.Seccomp},
		{LevelGuarded, "resource limits", f.Limits},
		{LevelGuarded, "closed descriptors", f.FDs},
		{LevelGuarded, "Landlock ABI 3", f.Landlock || f.View},
		{LevelIsolated, "namespaces", f.Namespaces},
		{LevelIsolated, "file system view", f.View},
		{LevelIsolated, "network namespace", f.Network},
		{LevelIsolated, "empty capabilities", f.Caps},
		{LevelIsolated, "no nested user namespaces", f.Nested},
		{LevelStrict, "Landlock ABI 3", f.Landlock},
		{LevelStrict, "Landlock ABI 6", f.Scopes},
		{LevelStrict, "violation feed", f.Notify},
		{LevelStrict, "protected git directory", f.Git},
		{LevelVM, "external runner", f.External},
	}
}

func levels() []string {
	return []string{LevelOff, LevelGuarded, LevelIsolated, LevelStrict, LevelVM}
}

// AtLeast reports whether level a gives at least what level b gives. An unknown level gives nothing and
// is given by nothing.
func AtLeast(a, b string) bool {
	ra, rb := slices.Index(levels(), a), slices.Index(levels(), b)
	return ra >= 0 && rb >= 0 && ra >= rb
}

// Judge names the highest level that the features in force amount to, and what is missing for the wanted
// one.
func Judge(f Features, want string) (enforced string, missing []string) {
	lacking := make(map[string]bool)
	for _, n := range f.needs() {
		if n.has {
			continue
		}
		lacking[n.level] = true
		if AtLeast(want, n.level) && !slices.Contains(missing, n.name) {
			missing = append(missing, n.name)
		}
	}
	enforced = LevelOff
	for _, l := range levels() {
		if lacking[l] {
			break
		}
		enforced = l
	}
	return enforced, missing
}
