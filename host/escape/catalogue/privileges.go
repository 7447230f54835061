package catalogue

import (
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// privileges are ways to become more than the user.
func privileges() []Probe {
	none := []string{Caps}
	list := []Probe{
		{ID: "55", Title: "gain by a set-id program (su, mount)", Layer: NoNew, Walls: []string{NoNew, View, Landlock, Seccomp, Caps},
			try: setIDProgram, Note: "user 0 does not exist in the user namespace, either"},
		{ID: "55b", Title: "gain by a program with file capabilities", Layer: NoNew, Walls: []string{NoNew, View, Landlock, Seccomp, Caps},
			try: capableProgram, Note: "this machine may have none"},
		{ID: "56", Title: "hold a capability", Layer: Caps, Walls: none, try: holdCapability},
		{ID: "56b", Title: "raise a capability", Layer: Caps, Walls: none, try: raiseCapability},
		{ID: "56c", Title: "find the bounding set filled", Layer: Caps, Walls: none, try: boundingSet},
		{ID: "56d", Title: "raise the ambient set", Layer: Caps, Walls: none, try: ambient},
		{ID: "56e", Title: "clear no_new_privs", Layer: NoNew, Walls: []string{NoNew, Seccomp, Landlock, Caps}, try: clearNoNew},
		{ID: "56f", Title: "unlock securebits", Layer: Caps, Walls: []string{Caps, Seccomp}, try: securebits},
		{ID: "56g", Title: "leave its system call filter", Layer: Seccomp, Walls: []string{Seccomp}, try: leaveFilter},
		{ID: "56h", Where: OursOnly, Title: "answer its own filter's questions (a new listener)", Layer: Seccomp, Walls: []string{Seccomp}, try: newListener},
		{ID: "56i", Title: "loosen Landlock by a second domain", Layer: Landlock, Level: strict, Walls: []string{Landlock, View}, try: loosenLandlock},
		{ID: "56j", Title: "become another user", Layer: Caps, Walls: none, try: becomeOther, Note: "user 0 does not exist in the user namespace"},
		{ID: "56k", Title: "join other groups", Layer: Caps, Walls: none, try: joinGroups, Note: "setgroups is denied in the user namespace"},
		{ID: "56l", Where: OursOnly, Title: "keep capabilities over a change of user", Layer: Seccomp, Walls: []string{Caps, Seccomp}, try: keepCaps},
		{ID: "56m", Title: "loosen the log flags or stack of Landlock", Layer: Landlock, Level: strict, Walls: []string{Landlock},
			try: landlockErrata},
	}
	for i := range list {
		if list[i].Level == "" {
			list[i].Level = guarded
		}
		if list[i].Layer == Caps {
			list[i].Level = isolated
		}
	}
	return append(list, setID()...)
}

// setID are ways to leave a file that runs as somebody else outside.
func setID() []Probe {
	caps := "attributes of that name need a privilege in the first user namespace"
	list := []Probe{
		{ID: "24", Title: "give a file capabilities", Layer: Caps, Level: isolated, Walls: []string{Caps}, try: fileCapabilities, Note: caps},
		{ID: "24b", Title: "make a file immutable", Layer: Caps, Level: isolated, Walls: []string{Caps}, try: immutable,
			Note: "immutability asks for a privilege of the first user namespace"},
		{ID: "24c", Title: "set another security attribute", Layer: Caps, Level: isolated, Walls: []string{Caps}, try: securityAttribute, Note: caps},
		{ID: "24d", Title: "set-id by chmod", try: setIDBy(func(p string) error { return unix.Chmod(p, 0o4755) })},
		{ID: "24e", Title: "set-id by fchmodat2", try: setIDBy(chmodat2)},
		{ID: "24f", Title: "set-id when a file is made (open)", try: setIDOpen},
		{ID: "24g", Title: "set-id when a file is made (mknod)", try: setIDMknod},
		{ID: "24h", Title: "set-id when a file is made (O_TMPFILE, linkat)", try: setIDTmpfile},
		{ID: "24i", Title: "set-id when a directory is made (mkdirat)", try: setIDMkdir},
		{ID: "24j", Title: "set-id by fchmod", try: setIDFchmod},
		{ID: "24k", Title: "set-id when a file is made (creat)", try: setIDCreat},
		{ID: "24l", Title: "give a file to another user", Layer: Caps, Level: isolated, Walls: []string{Caps}, try: giveAway,
			Note: "other users do not exist in the user namespace"},
		{ID: "24m", Title: "set-id by openat2", try: setIDOpenat2},
	}
	for i := range list {
		p := &list[i]
		if p.Layer == "" {
			p.Layer, p.Level, p.Walls = Seccomp, guarded, []string{Seccomp}
		}
	}
	return list
}

func setIDProgram(*Target) Outcome {
	for _, p := range []string{"/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd", "/usr/bin/chsh", "/bin/su"} {
		var st unix.Stat_t
		if unix.Stat(p, &st) != nil || st.Mode&unix.S_ISUID == 0 {
			continue
		}
		id, err := effectiveOf(p)
		if err != nil {
			return refused(err)
		}
		if id == "0" {
			return through("%s ran as user 0", p)
		}
		return no("%s ran as user %s", p, id)
	}
	return no("no such program is visible")
}

// effectiveOf starts a program stopped at its first step and reads whose it is; where it cannot be traced, it
// is started with its standard input held open.
func effectiveOf(p string) (string, error) {
	var in [2]int
	if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		return "", err
	}
	defer unix.Close(in[1])
	defer unix.Close(in[0])
	pid, err := syscall.ForkExec(p, []string{p}, &syscall.ProcAttr{Files: []uintptr{uintptr(in[0]), 2, 2}})
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile("/proc/" + itoa(pid) + "/status")
	_ = unix.Kill(pid, unix.SIGKILL) // it may have ended, or belong to somebody else now
	unix.Close(in[1])
	reap(pid, "")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "Uid:" {
			return f[2], nil
		}
	}
	return "", unix.ENOENT
}

func capableProgram(*Target) Outcome {
	for _, p := range []string{"/usr/bin/ping", "/usr/bin/newuidmap", "/usr/bin/mtr-packet", "/usr/bin/dumpcap", "/usr/lib/x86_64-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-ptp-helper"} {
		if n, err := unix.Getxattr(p, "security.capability", nil); err == nil && n > 0 {
			out, err := command(p, "-V")
			if err != nil {
				return no("%s", lastLine(out, err))
			}
			return through("%s ran with its capabilities", p)
		}
	}
	return no("no such program is visible")
}

func capabilities() ([2]unix.CapUserData, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	return sets, unix.Capget(&header, &sets[0])
}

func holdCapability(*Target) Outcome {
	sets, err := capabilities()
	if err != nil {
		return broken("%v", err)
	}
	if sets != [2]unix.CapUserData{} {
		return through("%x", sets)
	}
	return no("none")
}

func raiseCapability(*Target) Outcome {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
	return unless(unix.Capset(&header, &sets[0]), "raised")
}

func boundingSet(*Target) Outcome {
	full := 0
	for c := range uintptr(41) {
		if v, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err == nil && v == 1 {
			full++
		}
	}
	if full > 0 {
		return through("%d capabilities", full)
	}
	return no("empty")
}

func ambient(*Target) Outcome {
	return unless(unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0), "raised")
}

func clearNoNew(*Target) Outcome {
	v, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return broken("%v", err)
	}
	if v == 0 {
		return through("it was never set")
	}
	return unless(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), "cleared")
}

func securebits(*Target) Outcome {
	return unless(unix.Prctl(unix.PR_SET_SECUREBITS, 0, 0, 0, 0), "cleared")
}

// leaveFilter installs one that allows everything: the old one must still be asked.
func leaveFilter(*Target) Outcome {
	if _, err := sys(unix.SYS_KEYCTL, 0, uintptr(0xfffffffd), 0); err == nil {
		return no("nothing to leave: the call is allowed before")
	}
	if _, err := installAllow(0); err != nil {
		return refused(err)
	}
	_, err := sys(unix.SYS_KEYCTL, 0, uintptr(0xfffffffd), 0) // the session keyring's number
	if err == nil || name(err) != "EPERM" {
		return through("what was refused is allowed: %v", err)
	}
	return refused(err)
}

func installAllow(flags uintptr) (uintptr, error) {
	prog := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}}
	fprog := unix.SockFprog{Len: 1, Filter: &prog[0]}
	return sys(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
}

// newListener would let the payload itself answer what the filter refuses.
func newListener(*Target) Outcome {
	fd, err := installAllow(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(int(fd)), "a listener was made")
}

// loosenLandlock enters a domain that grants everything below the root, and tries a file again.
func loosenLandlock(t *Target) Outcome {
	return onThread(func() Outcome {
		attr := unix.LandlockRulesetAttr{Handled_access_fs: 0x1fff}
		set, err := sys(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), 8, 0)
		if err != nil {
			return refused(err)
		}
		defer unix.Close(int(set))
		root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return broken("%v", err)
		}
		defer unix.Close(root)
		rule := unix.LandlockPathBeneathAttr{Allowed_access: 0x1fff, Parent_fd: int32(root)}
		if _, err := sys(unix.SYS_LANDLOCK_ADD_RULE, set, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule))); err != nil {
			return refused(err)
		}
		if _, err := sys(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0); err != nil {
			return refused(err)
		}
		o := writeFile("/run/planted", t.Mark) // in the view, writable, and granted by no rule
		if o.Claim == Attempted {
			return through("what the first domain refuses is allowed")
		}
		return o
	})
}

// landlockErrata asks with flags that a later kernel may give a meaning.
func landlockErrata(*Target) Outcome {
	_, err := sys(unix.SYS_LANDLOCK_RESTRICT_SELF, ^uintptr(0), 1<<31)
	return unless(err, "taken")
}

func becomeOther(*Target) Outcome {
	return onThread(func() Outcome {
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0)
		if errno != 0 {
			return refused(errno)
		}
		return through("user 0")
	})
}

func joinGroups(*Target) Outcome { return unless(unix.Setgroups([]int{0, 27}), "joined") }

func keepCaps(*Target) Outcome { return unless(unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0), "set") }
