package launcher

import (
	"slices"

	"golang.org/x/sys/unix"
)

// refusedCalls are answered with EPERM and reported.
func refusedCalls() []call {
	return append([]call{
		{unix.SYS_MOUNT, "mount"}, {unix.SYS_UMOUNT2, "umount2"}, {unix.SYS_PIVOT_ROOT, "pivot_root"},
		{unix.SYS_CHROOT, "chroot"}, {unix.SYS_MOVE_MOUNT, "move_mount"}, {unix.SYS_FSOPEN, "fsopen"},
		{unix.SYS_FSMOUNT, "fsmount"}, {unix.SYS_FSCONFIG, "fsconfig"}, {unix.SYS_FSPICK, "fspick"},
		{unix.SYS_OPEN_TREE, "open_tree"}, {unix.SYS_OPEN_TREE_ATTR, "open_tree_attr"},
		{unix.SYS_MOUNT_SETATTR, "mount_setattr"},
		{unix.SYS_SETNS, "setns"}, {unix.SYS_UNSHARE, "unshare"},
		{unix.SYS_PTRACE, "ptrace"}, {unix.SYS_PROCESS_VM_READV, "process_vm_readv"},
		{unix.SYS_PROCESS_VM_WRITEV, "process_vm_writev"}, {unix.SYS_PIDFD_GETFD, "pidfd_getfd"},
		{unix.SYS_KCMP, "kcmp"},
		{unix.SYS_BPF, "bpf"}, {unix.SYS_PERF_EVENT_OPEN, "perf_event_open"}, {unix.SYS_USERFAULTFD, "userfaultfd"},
		{unix.SYS_KEXEC_LOAD, "kexec_load"}, {unix.SYS_KEXEC_FILE_LOAD, "kexec_file_load"},
		{unix.SYS_INIT_MODULE, "init_module"}, {unix.SYS_FINIT_MODULE, "finit_module"},
		{unix.SYS_DELETE_MODULE, "delete_module"},
		{unix.SYS_KEYCTL, "keyctl"}, {unix.SYS_ADD_KEY, "add_key"}, {unix.SYS_REQUEST_KEY, "request_key"},
		{unix.SYS_OPEN_BY_HANDLE_AT, "open_by_handle_at"}, {unix.SYS_FANOTIFY_INIT, "fanotify_init"},
		{unix.SYS_ACCT, "acct"}, {unix.SYS_SWAPON, "swapon"}, {unix.SYS_SWAPOFF, "swapoff"},
		{unix.SYS_REBOOT, "reboot"}, {unix.SYS_SETTIMEOFDAY, "settimeofday"},
		{unix.SYS_CLOCK_SETTIME, "clock_settime"}, {unix.SYS_CLOCK_ADJTIME, "clock_adjtime"},
		{unix.SYS_ADJTIMEX, "adjtimex"}, {unix.SYS_QUOTACTL, "quotactl"}, {unix.SYS_QUOTACTL_FD, "quotactl_fd"},
		{unix.SYS_SYSLOG, "syslog"}, {unix.SYS_VHANGUP, "vhangup"}, {unix.SYS_SETHOSTNAME, "sethostname"},
		{unix.SYS_SETDOMAINNAME, "setdomainname"}, {unix.SYS_LOOKUP_DCOOKIE, "lookup_dcookie"},
	}, archCalls()...)
}

// unsupportedCalls are answered with ENOSYS: callers fall back to calls whose arguments the filter can
// see, or do without.
func unsupportedCalls() []call {
	return []call{
		{unix.SYS_CLONE3, "clone3"}, {unix.SYS_OPENAT2, "openat2"},
		{unix.SYS_IO_URING_SETUP, "io_uring_setup"}, {unix.SYS_IO_URING_ENTER, "io_uring_enter"},
		{unix.SYS_IO_URING_REGISTER, "io_uring_register"},
		{unix.SYS_MEMFD_SECRET, "memfd_secret"}, // memory that nobody can count
	}
}

// modeCalls take a file mode.
func modeCalls() []modeCall {
	return append([]modeCall{
		{call{unix.SYS_OPENAT, "openat"}, 3, 2},
		{call{unix.SYS_FCHMOD, "fchmod"}, 1, -1},
		{call{unix.SYS_FCHMODAT, "fchmodat"}, 2, -1},
		{call{unix.SYS_FCHMODAT2, "fchmodat2"}, 2, -1},
		{call{unix.SYS_MKNODAT, "mknodat"}, 2, -1},
		{call{unix.SYS_MKDIRAT, "mkdirat"}, 2, -1},
	}, archModeCalls()...)
}

// callNames names every system call that the filter can report.
func callNames() map[int]string {
	names := map[int]string{
		unix.SYS_CLONE: "clone", unix.SYS_IOCTL: "ioctl", unix.SYS_SOCKET: "socket", unix.SYS_SOCKETPAIR: "socketpair",
	}
	for _, c := range refusedCalls() {
		names[int(c.number)] = c.name
	}
	names[unix.SYS_CONNECT], names[unix.SYS_SENDTO], names[unix.SYS_PRCTL] = "connect", "sendto", "prctl"
	for _, c := range slices.Concat(sharedCalls(), ownerCalls(), strangeCalls()) {
		names[int(c.number)] = c.name
	}
	for _, c := range append(modeCalls(), ownCalls()...) {
		names[int(c.number)] = c.name
	}
	return names
}
