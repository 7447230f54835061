package launcher

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	// foreignNumbers is where the numbers of the x32 interface begin.
	foreignNumbers = 0x40000000
)

func archCalls() []call {
	return []call{
		{unix.SYS_IOPL, "iopl"}, {unix.SYS_IOPERM, "ioperm"}, {unix.SYS_MODIFY_LDT, "modify_ldt"},
		{unix.SYS_USELIB, "uselib"}, {unix.SYS_USTAT, "ustat"}, {unix.SYS_SYSFS, "sysfs"},
	}
}

func archModeCalls() []modeCall {
	return []modeCall{
		{call{unix.SYS_OPEN, "open"}, 2, 1},
		{call{unix.SYS_CREAT, "creat"}, 1, -1},
		{call{unix.SYS_CHMOD, "chmod"}, 1, -1},
		{call{unix.SYS_MKNOD, "mknod"}, 1, -1},
		{call{unix.SYS_MKDIR, "mkdir"}, 1, -1},
	}
}

func archOwnerCalls() []call { return []call{{unix.SYS_CHMOD, "chmod"}} }

// The calls that set times before utimensat are not emulated: libraries have not used them for long.
func archChownCalls() []call {
	return []call{
		{unix.SYS_CHOWN, "chown"}, {unix.SYS_LCHOWN, "lchown"},
		{unix.SYS_UTIME, "utime"}, {unix.SYS_UTIMES, "utimes"}, {unix.SYS_FUTIMESAT, "futimesat"},
	}
}

func archDecode(n *notice) (request, bool) {
	if n.number != unix.SYS_CHMOD {
		return request{}, false
	}
	return request{dir: unix.AT_FDCWD, path: n.args[0], mode: uint32(n.args[1])}, true
}
