package launcher

import (
	"errors"
	"io/fs"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// verify does what must be refused, on the thread from which the payload is forked, and records what
// happened. It decides nothing: the daemon does.
func (b *box) verify() error {
	begun := time.Now()
	defer func() { b.report.VerifyUS = time.Since(begun).Microseconds() }()
	for _, c := range b.checks() {
		b.tried(c.name, b.off != nil || c.holds())
	}
	b.report.Features.Git = b.gitProtected()
	return nil
}

func (b *box) tried(name string, held bool) {
	b.report.Verified = append(b.report.Verified, spec.Verified{Name: name, Held: held})
}

// check is one thing that is tried.
type check struct {
	name  string
	holds func() bool
}

func (b *box) checks() []check {
	before := b.feed.seen.Load()
	list := []check{
		{"unshare_refused", unshareRefused},
		{"mount_refused", func() bool { return unix.Mount("verify", "/tmp", "tmpfs", 0, "") != nil }},
		{"af_alg_refused", func() bool { return familyRefused(unix.AF_ALG) }},
		{"setid_refused", func() bool { return setIDRefused(b.spec.Home) }},
		{"terminal_left", withoutTerminal},
		{"capabilities_empty", capabilitiesEmpty},
		{"state_hidden", func() bool { return hidden(b.spec.Probe.StateCanary) }},
		{"home_replaced", func() bool { return homeReplaced(b.spec.Probe) }},
		{"system_write_refused", func() bool {
			return createRefused("/usr/.verify") && createRefused("/.verify") && createRefused("/etc/.verify")
		}},
		{"host_processes_hidden", alone},
		{"limits_held", b.limitsHeld},
	}
	if b.spec.Network != spec.NetworkHost {
		list = append(list, check{"egress_refused", egressRefused})
	}
	if b.report.Features.Notify || b.off != nil {
		list = append(list, check{"refusals_reported", func() bool { return b.feed.seen.Load() > before }})
	}
	if b.spec.Probe.HomeCanary != "" {
		list = append(list, check{"home_hidden", func() bool { return hidden(b.spec.Probe.HomeCanary) }})
	}
	if b.report.Features.Landlock || b.off != nil {
		list = append(list, check{"landlock_refuses", func() bool { return createFailsWith("/run/.verify", unix.EACCES) }})
	}
	for _, m := range b.spec.Mounts {
		if m.Tree { // asked, not done: a file made there would be work for the disk, and visible
			writable := func() bool { return unix.Access(m.Inside, unix.W_OK) == nil }
			if m.Mode == spec.ReadOnly {
				list = append(list, check{"tree_sealed", func() bool { return !writable() }})
				continue
			}
			list = append(list, check{"tree_writable", writable})
		}
	}
	return list
}

// unshareRefused and familyRefused use calls that the runtime knows to block: the refusal is answered by
// another thread of this process.
func unshareRefused() bool {
	_, _, errno := unix.Syscall(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0)
	return errno != 0
}

func familyRefused(family int) bool {
	s, _, errno := unix.Syscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return true
	}
	return unix.Close(int(s)) != nil // it was open: not refused
}

// setIDRefused tries to set a bit by which a file runs as somebody else, on a directory of the launch's own,
// and to become somebody else.
func setIDRefused(own string) bool {
	refused := unix.Chmod(own, 0o4700) != nil
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || nnp != 1 {
		return false
	}
	other := uintptr(unix.Getuid() + 1)
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, other, other, other) // this thread only
	return refused && errno != 0
}

// capabilitiesEmpty reads the sets, and tries to raise one.
func capabilitiesEmpty() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil || sets != [2]unix.CapUserData{} {
		return false
	}
	sets[0] = unix.CapUserData{Effective: 1, Permitted: 1}
	_, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0)
	return errno != 0
}

// hidden tries to read a file that the same user can read outside.
func hidden(canary string) bool {
	fd, err := unix.Open(canary, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	return unix.Close(fd) != nil // it was open: not hidden
}

// homeReplaced reports that the operator's home, if the view has such a path at all, is another
// directory.
func homeReplaced(p spec.Probe) bool {
	var st unix.Stat_t
	err := unix.Stat(p.Home, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return err == nil && (st.Dev != p.HomeDev || st.Ino != p.HomeIno)
}

func createRefused(name string) bool {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return true
	}
	return errors.Join(unix.Close(fd), unix.Unlink(name)) != nil // it was made: not refused
}

func createFailsWith(name string, want unix.Errno) bool {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return errors.Is(err, want)
	}
	return errors.Join(unix.Close(fd), unix.Unlink(name)) != nil // it was made: not refused
}

// withoutTerminal asks for the terminal of this process.
func withoutTerminal() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err == unix.ENXIO
	}
	return unix.Close(fd) != nil // it was open: not left
}

// egressRefused asks the kernel for a route to the outside, over both families.
func egressRefused() bool {
	to4 := &unix.SockaddrInet4{Port: 53, Addr: [4]byte{192, 0, 2, 1}}
	to6 := &unix.SockaddrInet6{Port: 53, Addr: [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}}
	return connectRefused(unix.AF_INET, to4) && connectRefused(unix.AF_INET6, to6)
}

func connectRefused(family int, to unix.Sockaddr) bool {
	s, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	err = unix.Connect(s, to)
	return errors.Join(unix.Close(s)) == nil && err != nil
}

// alone reports that /proc belongs to this namespace, where this process is 1, and that there is no other
// process to be seen or signalled.
func alone() bool {
	var self [8]byte
	n, err := unix.Readlink("/proc/self", self[:])
	return err == nil && string(self[:n]) == "1" && unix.Kill(-1, 0) == unix.ESRCH
}
