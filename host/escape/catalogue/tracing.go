package catalogue

import (
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracing are ways into the memory and the descriptors of other processes.
func tracing() []Probe {
	host := []string{PIDNS, View, Landlock, Seccomp}
	init := []string{Seccomp, Dumpable, Landlock}
	return []Probe{
		{ID: "50", Title: "trace a process of the host", Layer: PIDNS, Level: guarded, Walls: host, try: traceVictim},
		{ID: "50b", Title: "trace PID 1", Layer: Seccomp, Level: guarded, Walls: init, try: tracePID1},
		{ID: "50c", Title: "read memory of PID 1 (process_vm_readv)", Layer: Seccomp, Level: guarded, Walls: init, try: readMemoryOf1},
		{ID: "50d", Title: "write memory of PID 1 (process_vm_writev)", Layer: Seccomp, Level: guarded, Walls: init, try: writeMemoryOf1},
		{ID: "50e", Title: "take a descriptor of PID 1 (pidfd_getfd)", Layer: Seccomp, Level: guarded, Walls: init, try: takeDescriptor},
		{ID: "50f", Title: "compare resources with PID 1 (kcmp)", Layer: Seccomp, Level: guarded, Walls: init, try: compare},
		{ID: "50g", Title: "advise away memory of PID 1 (process_madvise)", Layer: Dumpable, Level: isolated,
			Walls: []string{Dumpable, Landlock, Caps}, try: madviseInit},
		{ID: "50h", Where: OursOnly, Title: "trace a process of the payload", Layer: Seccomp, Level: guarded, Walls: []string{Seccomp}, try: traceChild},
		{ID: "50i", Where: OursOnly, Title: "make anybody its tracer (PR_SET_PTRACER)", Layer: Seccomp, Level: guarded, Walls: []string{Seccomp, Dumpable, Landlock},
			try: anyTracer},
		{ID: "50j", Title: "let a release of PID 1's mm be shared (process_mrelease)", Layer: PIDNS, Level: isolated, Walls: []string{Dumpable},
			try: releaseInit, Note: "the kernel releases only what is dying"},
		{ID: "50k", Where: OursOnly, Title: "walk PID 1's robust futexes", Layer: Dumpable, Level: isolated, Walls: []string{Dumpable, Landlock}, try: robustList},
		{ID: "50l", Where: OursOnly, Title: "move pages of PID 1 (move_pages, migrate_pages)", Layer: Dumpable, Level: isolated,
			Walls: []string{Dumpable, Landlock, Caps}, try: movePages, Note: "this kernel may have no NUMA calls"},
		{ID: "53", Title: "signal a process of the host", Layer: PIDNS, Level: isolated, Walls: []string{PIDNS, View, Landlock}, try: signalVictim},
		{ID: "53b", Title: "reach anybody beside itself with kill(-1)", Layer: PIDNS, Level: isolated, Walls: []string{PIDNS, View, Landlock},
			Where: Confined, try: signalAll},
		{ID: "53c", Title: "kill everything it can", Layer: PIDNS, Level: isolated, Walls: nil, Where: OursOnly, try: killAll,
			Note: "never without the layer: it would kill this user's processes"},
		{ID: "53d", Title: "end PID 1 by any signal", Layer: Landlock, Level: isolated, Walls: nil, Where: OursOnly, try: endInit,
			Note: "the kernel keeps deadly signals from a PID 1, too"},
		{ID: "53e", Title: "signal PID 1 by pidfd", Layer: Landlock, Level: strict, Walls: []string{Landlock}, Where: OursOnly, try: pidfdInit},
		{ID: "53f", Title: "have the kernel signal the host (F_SETOWN)", Layer: PIDNS, Level: isolated, Walls: []string{PIDNS, View, Landlock},
			try: setOwner},
		{ID: "53g", Title: "send signals with data (rt_sigqueueinfo) to the host", Layer: PIDNS, Level: isolated,
			Walls: []string{PIDNS, View, Landlock}, try: queueSignal},
	}
}

// victim is the host's process by its number. Inside, that number is nobody's.
func traceVictim(t *Target) Outcome {
	return onThread(func() Outcome {
		if err := unix.PtraceSeize(t.Victim); err != nil {
			return refused(err)
		}
		return through("traced")
	})
}

func onThread(do func() Outcome) Outcome {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return do()
}

func tracePID1(*Target) Outcome {
	return onThread(func() Outcome { return unless(unix.PtraceSeize(1), "traced") })
}

func readMemoryOf1(*Target) Outcome {
	var b [8]byte
	local := []unix.Iovec{{Base: &b[0], Len: 8}}
	_, err := unix.ProcessVMReadv(1, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	if name(err2(err)) == "EFAULT" {
		return through("allowed, nothing is there")
	}
	return unless(err, "read")
}

func err2(err error) error {
	if err == nil {
		return unix.Errno(0)
	}
	return err
}

func writeMemoryOf1(*Target) Outcome {
	var b [8]byte
	local := []unix.Iovec{{Base: &b[0], Len: 8}}
	_, err := unix.ProcessVMWritev(1, local, []unix.RemoteIovec{{Base: 8, Len: 8}}, 0)
	if name(err2(err)) == "EFAULT" {
		return through("allowed, nothing is there")
	}
	return unless(err, "written")
}

func takeDescriptor(*Target) Outcome {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	got, err := unix.PidfdGetfd(fd, 0, 0)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(got), "taken")
}

func compare(*Target) Outcome {
	const files = 2
	_, err := sys(unix.SYS_KCMP, uintptr(unix.Getpid()), 1, files, 0, 0)
	return unless(err, "compared")
}

func madviseInit(*Target) Outcome {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	vec := [2]uint64{0x400000, 4096} // where a program of Go begins
	_, err = sys(unix.SYS_PROCESS_MADVISE, uintptr(fd), uintptr(unsafe.Pointer(&vec)), 1, unix.MADV_COLD, 0)
	return unless(err, "advised")
}

func traceChild(t *Target) Outcome {
	pid, stop, err := helper("wait")
	if err != nil {
		return broken("%v", err)
	}
	defer stop()
	return onThread(func() Outcome { return unless(unix.PtraceSeize(pid), "traced") })
}

// anyTracer asks to be traced by everybody, and then tries to trace a child that did.
func anyTracer(t *Target) Outcome {
	pid, stop, err := helper("traceable")
	if err != nil {
		return broken("%v", err)
	}
	defer stop()
	return onThread(func() Outcome { return unless(unix.PtraceAttach(pid), "attached") })
}

func releaseInit(*Target) Outcome {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	_, err = sys(unix.SYS_PROCESS_MRELEASE, uintptr(fd), 0)
	return unless(err, "released")
}

func robustList(*Target) Outcome {
	var head, size uintptr
	_, err := sys(unix.SYS_GET_ROBUST_LIST, 1, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&size)))
	return unless(err, "an address of PID 1: "+strconv.FormatUint(uint64(head), 16))
}

func movePages(*Target) Outcome {
	_, err := sys(unix.SYS_MOVE_PAGES, 1, 0, 0, 0, 0, 0)
	return unless(err, "allowed")
}

func signalVictim(t *Target) Outcome {
	if err := unix.Kill(t.Victim, unix.SIGUSR1); err != nil {
		return refused(err)
	}
	return attempted("signalled a process of that number")
}

func signalAll(*Target) Outcome { return unless(unix.Kill(-1, 0), "somebody is there") }

// killAll ends with a report because kill(-1) spares its caller.
func killAll(*Target) Outcome {
	if err := unix.Kill(-1, unix.SIGKILL); err != nil {
		return refused(err)
	}
	return attempted("killed what there was")
}

// endInit sends every signal; that PID 1 lives is shown by this report, which nobody would take otherwise.
func endInit(*Target) Outcome {
	sent := 0
	for sig := unix.Signal(1); sig < 65; sig++ {
		if unix.Kill(1, sig) == nil {
			sent++
		}
	}
	if unix.Getppid() != 1 {
		return through("the parent is %d now", unix.Getppid())
	}
	if sent > 0 {
		return attempted("%d signals were taken, and PID 1 lives", sent)
	}
	return no("EPERM")
}

func pidfdInit(*Target) Outcome {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	return unless(unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0), "sent")
}

func setOwner(t *Target) Outcome {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return broken("%v", err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETOWN, t.Victim); err != nil {
		return refused(err)
	}
	owner, err := unix.FcntlInt(uintptr(p[0]), unix.F_GETOWN, 0)
	if err != nil || owner == 0 {
		return no("nobody owns it")
	}
	return through("owned by %d", owner)
}

func queueSignal(t *Target) Outcome {
	var info [128]byte
	*(*int32)(unsafe.Pointer(&info[0])) = int32(unix.SIGUSR1)
	*(*int32)(unsafe.Pointer(&info[8])) = -1 // SI_QUEUE
	_, err := sys(unix.SYS_RT_SIGQUEUEINFO, uintptr(t.Victim), uintptr(unix.SIGUSR1), uintptr(unsafe.Pointer(&info[0])))
	if err != nil {
		return refused(err)
	}
	return attempted("queued")
}
