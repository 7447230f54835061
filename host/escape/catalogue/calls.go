package catalogue

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls are system calls that reach kernel code nobody inside needs, or the machine as a whole.
func calls() []Probe {
	dac := "the call asks for a privilege of the first user namespace"
	list := []Probe{
		{ID: "42", Title: "io_uring: make a ring", try: ring},
		{ID: "42b", Where: OursOnly, Title: "io_uring: register without a ring", try: registerRing},
		{ID: "57", Title: "keyrings: read a key of the session", try: readSessionKey},
		{ID: "57b", Title: "keyrings: add a key", try: addKey},
		{ID: "57c", Title: "keyrings: join another session", try: joinSession},
		{ID: "57d", Title: "keyrings: have the kernel call a program (request_key)", try: requestKey},
		{ID: "57e", Title: "bpf: load a program", try: loadBPF, Note: "the kernel refuses unprivileged bpf here"},
		{ID: "57f", Title: "bpf: make a map", try: makeMap, Note: "the kernel refuses unprivileged bpf here"},
		{ID: "57g", Where: OursOnly, Title: "bpf: make a token", try: bpfToken, Note: dac},
		{ID: "57h", Title: "perf: open an event", try: perfEvent, Note: "the kernel may refuse unprivileged perf"},
		{ID: "57i", Title: "userfaultfd", try: simple(unix.SYS_USERFAULTFD, 1|unix.O_CLOEXEC)},
		{ID: "57j", Title: "kexec_load", try: simple(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0), Note: dac},
		{ID: "57k", Title: "kexec_file_load", try: simple(unix.SYS_KEXEC_FILE_LOAD, ^uintptr(0), ^uintptr(0), 0, 0, 0), Note: dac},
		{ID: "57l", Title: "load a module", try: simple(unix.SYS_INIT_MODULE, 0, 0, 0), Note: dac},
		{ID: "57m", Title: "load a module from a file", try: simple(unix.SYS_FINIT_MODULE, ^uintptr(0), 0, 0), Note: dac},
		{ID: "57n", Title: "unload a module", try: simple(unix.SYS_DELETE_MODULE, 0, 0), Note: dac},
		{ID: "57o", Title: "set the clock", try: setClock, Note: dac},
		{ID: "57p", Title: "adjust the clock", try: adjustClock, Note: dac},
		{ID: "57q", Title: "quotactl", try: simple(unix.SYS_QUOTACTL, 0, 0, 0, 0), Note: dac},
		{ID: "57r", Title: "swapon and swapoff", try: swap, Note: dac},
		{ID: "57s", Title: "process accounting", try: account, Note: dac},
		{ID: "57t", Title: "reboot", try: reboot, Note: dac},
		{ID: "57u", Title: "read the kernel's log", try: kernelLog},
		{ID: "57v", Title: "fanotify: watch a file system", try: fanotify},
		{ID: "57w", Where: OursOnly, Title: "fanotify: watch one file", try: fanotifyOne},
		{ID: "57x", Title: "hang up the terminal", try: simple(unix.SYS_VHANGUP), Note: dac},
		{ID: "57y", Title: "set the host's name", try: hostName, Walls: []string{Seccomp, Caps}},
		{ID: "57z", Title: "name a file by a handle and open it", try: handleRoundTrip, Note: dac},
	}
	for i := range list {
		p := &list[i]
		p.Layer, p.Level = Seccomp, guarded
		if p.Walls == nil {
			p.Walls = []string{Seccomp}
		}
	}
	return list
}

func ring(*Target) Outcome {
	var params [120]byte
	fd, err := sys(unix.SYS_IO_URING_SETUP, 2, uintptr(unsafe.Pointer(&params[0])))
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(int(fd)), "a ring was made")
}

func registerRing(*Target) Outcome {
	const query = 35 // IORING_REGISTER_QUERY, which needs no ring
	_, err := sys(unix.SYS_IO_URING_REGISTER, ^uintptr(0), query, 0, 0)
	if n := name(err2(err)); n == "EINVAL" || n == "EBADF" || n == "EFAULT" {
		return through("the kernel took the call (and refused its arguments: %s)", n)
	}
	return unless(err, "registered")
}

func readSessionKey(t *Target) Outcome {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", t.Mark, 0)
	if err != nil {
		return refused(err)
	}
	buf := make([]byte, 256)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, buf, 0)
	if err != nil {
		return refused(err)
	}
	return Outcome{Claim: Attempted, Detail: "read a key", Loot: string(buf[:min(n, len(buf))])}
}

func addKey(t *Target) Outcome {
	_, err := unix.AddKey("user", "planted", []byte(t.Mark), unix.KEY_SPEC_PROCESS_KEYRING)
	return unless(err, "added")
}

func joinSession(t *Target) Outcome {
	_, err := unix.KeyctlJoinSessionKeyring(t.Mark)
	return unless(err, "joined")
}

func requestKey(*Target) Outcome {
	_, err := unix.RequestKey("user", "drawspan:nothing", "x", unix.KEY_SPEC_PROCESS_KEYRING)
	if n := name(err2(err)); n == "ENOKEY" || n == "EKEYREJECTED" {
		return through("the kernel asked for the key: %s", n)
	}
	return unless(err, "requested")
}

func loadBPF(*Target) Outcome {
	code := [2]uint64{0x00000000000000b7, 0x0000000000000095} // r0 = 0; exit
	license := []byte("GPL\x00")
	var attr [128]byte
	*(*uint32)(unsafe.Pointer(&attr[0])) = 1 // a socket filter
	*(*uint32)(unsafe.Pointer(&attr[4])) = 2
	*(*uint64)(unsafe.Pointer(&attr[8])) = uint64(uintptr(unsafe.Pointer(&code[0])))
	*(*uint64)(unsafe.Pointer(&attr[16])) = uint64(uintptr(unsafe.Pointer(&license[0])))
	_, err := sys(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr[0])), 48)
	return unless(err, "loaded")
}

func makeMap(*Target) Outcome {
	attr := [5]uint32{2, 4, 8, 1, 0} // an array of one element
	_, err := sys(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr[0])), unsafe.Sizeof(attr))
	return unless(err, "made")
}

func bpfToken(*Target) Outcome {
	const create = 36 // BPF_TOKEN_CREATE
	attr := [2]uint32{}
	_, err := sys(unix.SYS_BPF, create, uintptr(unsafe.Pointer(&attr[0])), unsafe.Sizeof(attr))
	if n := name(err2(err)); n == "EINVAL" || n == "EBADF" {
		return through("the kernel took the call (and refused its arguments: %s)", n)
	}
	return unless(err, "made")
}

func perfEvent(*Target) Outcome {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_TASK_CLOCK, Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(fd), "opened")
}

// setClock sets the time it is, a moment ago.
func setClock(*Target) Outcome {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return broken("%v", err)
	}
	return unless(unix.ClockSettime(unix.CLOCK_REALTIME, &now), "set")
}

func adjustClock(*Target) Outcome {
	tx := unix.Timex{Modes: unix.ADJ_TICK, Tick: 10000}
	_, err := unix.Adjtimex(&tx)
	return unless(err, "adjusted")
}

func swap(t *Target) Outcome {
	p, err := unix.BytePtrFromString(t.Tree + "/swap")
	if err != nil {
		return broken("%v", err)
	}
	_, on := sys(unix.SYS_SWAPON, uintptr(unsafe.Pointer(p)), 0)
	_, off := sys(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(p)))
	return first(unless(on, "swapped on"), unless(off, "swapped off"))
}

func account(t *Target) Outcome {
	p, err := inTree(t, "account")
	if err != nil {
		return broken("%v", err)
	}
	return unless(unix.Acct(p), "accounting")
}

// reboot asks for nothing but that Ctrl-Alt-Del stays what it is.
func reboot(*Target) Outcome {
	return unless(unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF), "taken")
}

func kernelLog(*Target) Outcome {
	const sizeOfBuffer, readAll = 10, 3
	buf := make([]byte, 4096)
	n, err := unix.Klogctl(readAll, buf)
	if err == nil && n > 0 {
		return through("read %d bytes", n)
	}
	if _, err := unix.Klogctl(sizeOfBuffer, nil); err == nil {
		return through("read its size")
	}
	return refused(err)
}

func fanotify(*Target) Outcome {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, uint(os.O_RDONLY))
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	return unless(unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_MOUNT, unix.FAN_OPEN_PERM, unix.AT_FDCWD, "/"), "watching")
}

func fanotifyOne(*Target) Outcome {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_FID|unix.FAN_CLOEXEC, uint(os.O_RDONLY))
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(fd), "a group was made")
}

func hostName(*Target) Outcome { return unless(unix.Sethostname([]byte("planted")), "set") }

func handleRoundTrip(t *Target) Outcome {
	handle, mount, err := unix.NameToHandleAt(unix.AT_FDCWD, t.Tree, 0)
	if err != nil {
		return refused(err)
	}
	dir, err := unix.Open(t.Tree, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return broken("%v", err)
	}
	defer unix.Close(dir)
	fd, err := unix.OpenByHandleAt(dir, handle, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(fd), "opened on mount "+itoa(mount))
}
