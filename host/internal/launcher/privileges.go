package launcher

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// securebits: no privilege for uid 0, none kept over a change of uid, no ambient set; all locked.
const securebits = 0x2f | 0xc0

// ownThreads is room for the threads of PID 1, which count as processes of the payload's user.
const ownThreads = 16

// limitResources sets the limits that every process of the payload inherits. A hard limit of the daemon
// that is lower stays.
func (b *box) limitResources() error {
	asked := b.spec.Limits
	set := asked
	for _, l := range []struct {
		name     string
		resource int
		value    uint64
		report   func(uint64)
	}{
		{"core", unix.RLIMIT_CORE, 0, nil},
		{"open files", unix.RLIMIT_NOFILE, uint64(asked.OpenFiles), func(n uint64) { set.OpenFiles = int(n) }},
		{"processes", unix.RLIMIT_NPROC, uint64(asked.Processes + ownThreads), func(n uint64) { set.Processes = int(n) - ownThreads }},
		{"file size", unix.RLIMIT_FSIZE, uint64(asked.FileSize), func(n uint64) { set.FileSize = int64(n) }},
		{"locked memory", unix.RLIMIT_MEMLOCK, 8 << 20, nil},
		{"nice", unix.RLIMIT_NICE, 0, nil},
		{"real-time priority", unix.RLIMIT_RTPRIO, 0, nil},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("read %s: %w", l.name, err)
		}
		value := min(l.value, now.Max)
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("set %s: %w", l.name, err)
		}
		if l.report != nil {
			l.report(value)
		}
	}
	unix.Umask(0o022)
	b.report.Limits = set
	b.report.Features.Limits = true
	return nil
}

// dropCapabilities empties every set. Bounding, ambient and securebits belong to the thread that forks
// the payload; the sets that give power are emptied on all threads of PID 1. That is a round over all of
// them, so it comes before the launcher starts further ones.
func (b *box) dropCapabilities() error {
	for c := uintptr(0); c < 64; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL {
			break // the kernel knows no more
		}
		if err != nil {
			return fmt.Errorf("drop %d from the bounding set: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, securebits, 0, 0, 0); err != nil {
		return fmt.Errorf("lock securebits: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient set: %w", err)
	}
	if err := emptySets(); err != nil {
		return err
	}
	b.report.Features.Caps = true
	return nil
}

func emptySets() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno != 0 {
		return fmt.Errorf("empty the sets: %w", errno)
	}
	return nil
}

// sealPrivileges makes a gain of privilege by exec impossible, and PID 1 untouchable by other processes
// of the same user.
func (b *box) sealPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if !b.off[layerDumpable] {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return fmt.Errorf("become undumpable: %w", err)
		}
	}
	if !b.off[layerFDs] {
		if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
			return fmt.Errorf("mark descriptors: %w", err)
		}
	}
	b.report.Features.NoNewPrivs = true
	return nil
}
