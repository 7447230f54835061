package launcher

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// filterSyscalls puts the calling thread, and with it the payload, under the filter. Refusals are told
// to a supervising thread of PID 1 where the kernel can do so.
func (b *box) filterSyscalls() error {
	if auditArch == 0 {
		return fmt.Errorf("there is no system call filter for %s", runtime.GOARCH)
	}
	told := profile{tellHost, b.spec.Calls, b.moreRules(), b.pinned()}
	untold := told
	untold.refused = refuse
	listener, n, err := installFilter(told,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if err == unix.EINVAL { // before 5.19
		listener, n, err = installFilter(told, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	}
	switch err {
	case nil:
		wakeInPlace(listener)
		if err := b.handOver(listener); err != nil {
			return fmt.Errorf("hand the violation feed over: %w", err)
		}
		b.report.Features.Notify = true
	case unix.EINVAL, unix.EBUSY, unix.EPERM, unix.ENOSYS:
		b.note("violation feed: %v", err)
		if _, n, err = installFilter(untold, 0); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	default:
		return fmt.Errorf("install: %w", err)
	}
	b.report.Filter = n
	b.report.Features.Seccomp = true
	return nil
}

// moreRules is what the back-end adds to the profile.
func (b *box) moreRules() func(uint32) []rule {
	if b.spec.Backend == spec.Landlock {
		return hostFilter(b.report.Landlock >= resolveUnix)
	}
	return nil
}

// wakeInPlace makes the caller and the supervisor take turns on one processor, which spares each refusal
// two wake-ups of another. Kernels before 6.6 do not know it, and do without.
func wakeInPlace(listener int) {
	const syncWakeUp = 1                                                           // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
	_ = unix.IoctlSetInt(listener, unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, syncWakeUp) // an older kernel does without
}

// installFilter returns the listener, where one was asked for, and the filter's length.
func installFilter(pr profile, flags uintptr) (listener, length int, err error) {
	filter, err := buildFilter(pr)
	if err != nil {
		return -1, 0, err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, 0, errno
	}
	return int(fd), len(filter), nil
}

// notice is struct seccomp_notif, answer is struct seccomp_notif_resp.
type notice struct {
	id     uint64
	pid    uint32
	flags  uint32
	number int32
	arch   uint32
	ip     uint64
	args   [6]uint64
}

type answer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// errnoFor is what the refused call returns: a socket family that does not exist is easier to fall back
// from than one that is forbidden.
func errnoFor(n *notice) unix.Errno {
	if n.number != unix.SYS_SOCKET && n.number != unix.SYS_SOCKETPAIR {
		return unix.EPERM
	}
	switch uint32(n.args[0]) {
	case unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
		return unix.EPROTONOSUPPORT
	}
	return unix.EAFNOSUPPORT
}
