package config

import (
	"fmt"
	"slices"
	"strings"
)

// levels from the weakest to the strongest.
var levels = []string{"off", "guarded", "isolated", "strict", "vm"}

// BelowDefault reports whether the level gives less than that of a sandbox which names none.
func (s *Sandbox) BelowDefault() bool {
	return slices.Index(levels, s.Level) < slices.Index(levels, defaultLevel)
}

func (d *decoder) checkSandbox(s *Sandbox) {
	d.checkLevel(s)
	d.checkBackend(s)
	d.checkFilesystem(s)
	d.checkNetwork(s)
	d.checkEnvironment(s)
	d.checkCalls(s)
	for _, t := range s.Toolchains {
		for _, f := range []struct {
			key  string
			path *string
		}{{"root", &t.Root}, {"module_cache", &t.ModuleCache}, {"build_cache", &t.BuildCache}, {"packages", &t.Packages}} {
			if p, ok := d.directory(&t.Origin, f.key, *f.path); ok {
				*f.path = p
				d.mayShow(&t.Origin, f.key, p)
			}
		}
	}
}

// checkLevel refuses levels that this version cannot give, and settings that only make sense together.
func (d *decoder) checkLevel(s *Sandbox) {
	degrade := s.OnShortfall == "degrade"
	switch {
	case !slices.Contains(levels, s.Level): // reported already
	case s.Level == "off":
		d.checkOff(s, degrade)
	case s.AcceptUnsandboxed:
		d.rep.at(s.At("accept_unsandboxed"), problem{code: codeNoEffect, summary: fmt.Sprintf("accept_unsandboxed has no effect with level %q", s.Level), hint: "leave it out"})
	case s.Level == "vm":
		d.rep.at(s.At("level"), problem{code: codeNotYet, summary: `level "vm" is not supported yet: there is no runner of virtual machines`, hint: `use level = "strict"`})
	default:
		d.checkFloor(s, degrade)
	}
}

// checkOff refuses what could not be held without a sandbox.
func (d *decoder) checkOff(s *Sandbox, degrade bool) {
	switch {
	case !s.AcceptUnsandboxed:
		d.rep.at(s.At("level"), problem{code: codeUnsandboxed, summary: `level "off" runs programs with all rights of the daemon`, hint: `use level = "strict", or say so: accept_unsandboxed = true`})
	case degrade:
		d.rep.at(s.At("on_shortfall"), problem{code: codeNoEffect, summary: `nothing is below level "off"`, hint: "leave on_shortfall out"})
	case s.Floor != "":
		d.rep.at(s.At("floor"), problem{code: codeNoEffect, summary: `floor has no effect with level "off"`, hint: "leave it out"})
	}
	for _, key := range []string{"backend", "filesystem.read", "filesystem.write", "filesystem.protect", "network.allow", "network.private_addresses", "syscalls.allow"} {
		if s.Has(key) {
			d.rep.at(s.At(key), problem{code: codeNoEffect, summary: fmt.Sprintf("%s has no effect with level %q: nothing is confined", key, s.Level), hint: `leave it out, or use level = "strict"`})
		}
	}
}

func (d *decoder) checkFloor(s *Sandbox, degrade bool) {
	switch {
	case degrade && s.Floor == "":
		d.rep.header(s.At("on_shortfall"), problem{code: codeMissingKey, summary: `on_shortfall = "degrade" needs a floor`, hint: `add: floor = "guarded"`})
	case !degrade && s.Floor != "":
		d.rep.at(s.At("floor"), problem{code: codeNoEffect, summary: `floor has no effect without on_shortfall = "degrade"`, hint: "leave it out, or degrade"})
	case degrade && slices.Index(levels, s.Floor) >= slices.Index(levels, s.Level):
		d.rep.at(s.At("floor"), problem{code: codeValue, summary: fmt.Sprintf("floor %q is not below level %q", s.Floor, s.Level), hint: "lower the floor, or refuse"})
	}
}

// checkBackend refuses back-ends that do not exist yet, and one that can never give the level.
func (d *decoder) checkBackend(s *Sandbox) {
	where := s.At("backend")
	lowest := s.Level
	if s.OnShortfall == "degrade" && slices.Contains(levels, s.Floor) {
		lowest = s.Floor
	}
	switch {
	case s.Backend == "seatbelt":
		d.rep.at(where, problem{code: codeNotYet, summary: `backend "seatbelt" is not supported yet: this version confines on Linux only`, hint: `use backend = "auto"`})
	case s.Backend == "external":
		d.rep.at(where, problem{code: codeNotYet, summary: `backend "external" is not supported yet: no gVisor or virtual machine is driven`, hint: `use backend = "auto"`})
	case s.Backend == "landlock" && slices.Index(levels, lowest) > slices.Index(levels, "guarded"):
		d.rep.at(where, problem{code: codeValue, summary: fmt.Sprintf("backend \"landlock\" gives at most level \"guarded\", and %q is required", lowest),
			hint: `use backend = "auto", or level = "guarded"`})
	}
}

// checkNetwork refuses modes that the level cannot hold, and lists that do not go with the mode: an allow
// list that nothing asks must not look like one that is held.
func (d *decoder) checkNetwork(s *Sandbox) {
	mode := s.At("network.mode")
	switch {
	case s.Network == "host" && s.Level != "guarded" && s.Level != "off":
		d.rep.at(mode, problem{code: codeValue, summary: fmt.Sprintf("network.mode \"host\" is the machine's own network, which level %q does not allow", s.Level),
			detail: "Services on loopback and in the local network could be reached.", hint: `use mode = "proxy" with allow, or level = "guarded"`})
	case s.Network == "proxy" && s.Level == "off":
		d.rep.at(mode, problem{code: codeNoEffect, summary: `network.mode "proxy" cannot be held at level "off"`, hint: `use mode = "host", or level = "strict"`})
	}
	switch {
	case s.Level == "off": // judged by checkOff
		return
	case s.Network == "proxy":
		d.checkAllow(s)
		return
	}
	for _, key := range []string{"network.allow", "network.private_addresses"} {
		if s.Has(key) {
			d.rep.at(s.At(key), problem{code: codeNoEffect, summary: fmt.Sprintf("%s has no effect with network.mode %q", key, s.Network), hint: `add: mode = "proxy"`})
		}
	}
}

// checkAllow wants something to reach. The entries are read by the policy compiler.
func (d *decoder) checkAllow(s *Sandbox) {
	switch {
	case !s.Has("network.allow"):
		d.rep.header(s.At("network.mode"), problem{code: codeMissingKey, summary: `network.mode "proxy" needs a list of what may be reached`, hint: `add: allow = ["api.example.com"]`})
	case s.Allow != nil && len(s.Allow) == 0: // nil is reported already
		d.rep.at(s.At("network.allow"), problem{code: codeValue, summary: "network.allow is empty, so the proxy would reach nothing", hint: "name what may be reached, or leave the network block out"})
	}
}

// grantable are the refused system calls that an operator may allow: with them processes of one sandbox
// see into each other, and no further.
var grantable = []string{"kcmp", "process_vm_readv", "process_vm_writev", "ptrace"}

// never says why a system call is refused for good.
var never = []struct {
	why   string
	calls []string
}{
	{"it changes what is mounted", []string{
		"mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "fsopen", "fsmount", "fsconfig", "fspick", "open_tree", "open_tree_attr", "mount_setattr",
	}},
	{"it makes or enters namespaces", []string{"unshare", "setns", "clone", "clone3"}},
	{"the filter cannot see what is done through it", []string{"io_uring_setup", "io_uring_enter", "io_uring_register", "openat2"}},
	{"it hands code or raw memory faults to the kernel", []string{"bpf", "userfaultfd", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"}},
	{"it reaches the keys of the session outside", []string{"keyctl", "add_key", "request_key"}},
	{"it reaches files past the view", []string{"open_by_handle_at", "fanotify_init", "lookup_dcookie"}},
	{"it takes open files from other processes", []string{"pidfd_getfd"}},
	{"it measures other programs, too", []string{"perf_event_open"}},
	{"it changes the whole machine", []string{
		"acct", "swapon", "swapoff", "reboot", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "quotactl", "quotactl_fd",
		"syslog", "vhangup", "sethostname", "setdomainname", "iopl", "ioperm", "modify_ldt", "uselib", "nfsservctl", "_sysctl",
	}},
}

func (d *decoder) checkCalls(s *Sandbox) {
	for i, name := range s.Calls {
		if slices.Contains(grantable, name) {
			continue
		}
		p := problem{code: codeReference, summary: fmt.Sprintf("%s is no system call that can be allowed", quoted(name)), hint: meant(name, grantable, "call")}
		for _, n := range never {
			if slices.Contains(n.calls, name) {
				p = problem{code: codeExposed, summary: fmt.Sprintf("system call %s is never allowed: %s", quoted(name), n.why), hint: "calls that can be allowed: " + strings.Join(grantable, ", ")}
			}
		}
		d.rep.at(s.element("syscalls.allow", i), p)
	}
}
