package launcher

import (
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// machine runs the filter as the kernel would, on values instead of calls.
type machine struct {
	t  *testing.T
	vm *bpf.VM
	n  int
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	filter, err := buildFilter(profile{refused: tellHost})
	if err != nil {
		t.Fatal(err)
	}
	program := make([]bpf.Instruction, len(filter))
	for i, f := range filter {
		program[i] = bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K}.Disassemble()
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return &machine{t: t, vm: vm, n: len(filter)}
}

// verdict of one call. The machine reads words as a network does, so they are written that way.
func (m *machine) verdict(arch, number uint32, args ...uint64) uint32 {
	m.t.Helper()
	var data [64]byte
	binary.BigEndian.PutUint32(data[offsetNumber:], number)
	binary.BigEndian.PutUint32(data[offsetArch:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offsetArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[offsetArgs+8*i+4:], uint32(a>>32))
	}
	v, err := m.vm.Run(data[:])
	if err != nil {
		m.t.Fatal(err)
	}
	return uint32(v)
}

func TestTheFilterDecides(t *testing.T) {
	m := newMachine(t)
	const garbage = 0o7777
	for _, c := range []struct {
		name   string
		number uint32
		args   []uint64
		want   uint32
	}{
		{"read", unix.SYS_READ, nil, allow},
		{"execve", unix.SYS_EXECVE, nil, allow},
		{"futex", unix.SYS_FUTEX, nil, allow},
		{"seccomp, to give up more", unix.SYS_SECCOMP, nil, allow},
		{"landlock, to give up more", unix.SYS_LANDLOCK_RESTRICT_SELF, nil, allow},
		{"a call that does not exist yet", 600, nil, allow},
		{"mount", unix.SYS_MOUNT, nil, tellHost},
		{"ptrace", unix.SYS_PTRACE, nil, tellHost},
		{"unshare of nothing", unix.SYS_UNSHARE, []uint64{0}, tellHost},
		{"clone3", unix.SYS_CLONE3, nil, unsupported},
		{"openat2", unix.SYS_OPENAT2, nil, unsupported},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, nil, unsupported},
		{"clone of a thread", unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, allow},
		{"fork", unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, allow},
		{"clone of a user namespace", unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}, tellHost},
		{"clone of a network namespace", unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD) | unix.CLONE_NEWNET}, tellHost},
		{"clone of a mount namespace", unix.SYS_CLONE, []uint64{unix.CLONE_NEWNS}, tellHost},
		{"open for reading with garbage as mode", unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDONLY, garbage}, allow},
		{"open that creates", unix.SYS_OPENAT, []uint64{0, 0, unix.O_CREAT | unix.O_WRONLY, 0o644}, allow},
		{"open that creates set-uid", unix.SYS_OPENAT, []uint64{0, 0, unix.O_CREAT | unix.O_WRONLY, 0o4755}, tellHost},
		{"open of a nameless set-gid file", unix.SYS_OPENAT, []uint64{0, 0, unix.O_TMPFILE | unix.O_RDWR, 0o2755}, tellHost},
		{"open of a directory with garbage as mode", unix.SYS_OPENAT, []uint64{0, 0, unix.O_DIRECTORY, garbage}, allow},
		{"fchmodat", unix.SYS_FCHMODAT, []uint64{0, 0, 0o755}, allow},
		{"fchmodat with the sticky bit", unix.SYS_FCHMODAT, []uint64{0, 0, 0o1777}, allow},
		{"fchmodat set-uid", unix.SYS_FCHMODAT, []uint64{0, 0, 0o4755}, tellHost},
		{"fchmodat2 set-gid", unix.SYS_FCHMODAT2, []uint64{0, 0, 0o2755}, tellHost},
		{"fchmod set-uid", unix.SYS_FCHMOD, []uint64{0, 0o4000}, tellHost},
		{"mkdirat set-gid", unix.SYS_MKDIRAT, []uint64{0, 0, 0o2775}, tellHost},
		{"mknodat set-uid", unix.SYS_MKNODAT, []uint64{0, 0, unix.S_IFREG | 0o4755}, tellHost},
		{"an ordinary ioctl", unix.SYS_IOCTL, []uint64{0, unix.TIOCGWINSZ}, allow},
		{"TIOCSTI", unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, tellHost},
		{"TIOCSTI with high bits", unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI | 0xdead<<32}, tellHost},
		{"TIOCLINUX", unix.SYS_IOCTL, []uint64{0, tioclinux}, tellHost},
		{"a line discipline", unix.SYS_IOCTL, []uint64{0, unix.TIOCSETD}, tellHost},
		{"a unix socket", unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, allow},
		{"a pair of unix sockets", unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET, 0}, allow},
		{"TCP", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, unix.IPPROTO_TCP}, allow},
		{"TCP over IPv6", unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM, 0}, allow},
		{"UDP", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, allow},
		{"ping", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP}, allow},
		{"raw IP", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, tellHost},
		{"multipath TCP", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, tellHost},
		{"SCTP", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, tellHost},
		{"SCTP by its type", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_SEQPACKET, 0}, tellHost},
		{"routing netlink", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allow},
		{"audit netlink", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, tellHost},
		{"AF_ALG", unix.SYS_SOCKET, []uint64{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, tellHost},
		{"AF_VSOCK", unix.SYS_SOCKET, []uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, tellHost},
		{"AF_PACKET", unix.SYS_SOCKET, []uint64{unix.AF_PACKET, unix.SOCK_RAW, 0}, tellHost},
		{"keeping capabilities", unix.SYS_PRCTL, []uint64{unix.PR_SET_KEEPCAPS, 1}, refuse},
		{"giving capabilities up", unix.SYS_PRCTL, []uint64{unix.PR_SET_KEEPCAPS, 0}, refuse},
		{"keeping capabilities with high bits", unix.SYS_PRCTL, []uint64{unix.PR_SET_KEEPCAPS | 0xdead<<32, 1}, refuse},
		{"securebits", unix.SYS_PRCTL, []uint64{unix.PR_SET_SECUREBITS, 0}, refuse},
		{"reading securebits", unix.SYS_PRCTL, []uint64{unix.PR_GET_SECUREBITS}, allow},
		{"hiding", unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE, 0}, succeed},
		{"showing itself", unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE, 1}, allow},
		{"a name", unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME}, allow},
		{"a pair of AF_TIPC", unix.SYS_SOCKETPAIR, []uint64{unix.AF_TIPC, unix.SOCK_STREAM, 0}, tellHost},
	} {
		if got := m.verdict(auditArch, c.number, c.args...); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

func TestTheFilterKnowsEveryCallItLists(t *testing.T) {
	m := newMachine(t)
	for _, c := range refusedCalls() {
		if got := m.verdict(auditArch, c.number); got != tellHost {
			t.Errorf("%s: %#x", c.name, got)
		}
	}
	for _, c := range unsupportedCalls() {
		if got := m.verdict(auditArch, c.number); got != unsupported {
			t.Errorf("%s: %#x", c.name, got)
		}
	}
	for _, c := range modeCalls() {
		args := make([]uint64, 6)
		if args[c.mode] = 0o4755; c.flags >= 0 {
			args[c.flags] = unix.O_CREAT
		}
		if got := m.verdict(auditArch, c.number, args...); got != tellHost {
			t.Errorf("%s with a set-uid mode: %#x", c.name, got)
		}
		if args[c.mode] = 0o755; m.verdict(auditArch, c.number, args...) != allow {
			t.Errorf("%s with a plain mode is refused", c.name)
		}
	}
	listed := make(map[uint32]bool)
	for _, r := range rules(profile{refused: tellHost}) {
		if listed[r.number] {
			t.Errorf("call %d is listed twice", r.number)
		}
		listed[r.number] = true
	}
	for number := range uint32(500) {
		if got := m.verdict(auditArch, number); !listed[number] && got != allow {
			t.Errorf("call %d is not listed and gets %#x", number, got)
		}
	}
	names := callNames()
	for number := range listed {
		c := m.verdict(auditArch, number, 0o7777, 0o7777, 0o7777, 0o7777)
		if c == tellHost && names[int(number)] == "" {
			t.Errorf("call %d can be reported and has no name", number)
		}
	}
}

func TestForeignInterfacesAreRefused(t *testing.T) {
	m := newMachine(t)
	for _, arch := range []uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, 0} {
		if got := m.verdict(arch, unix.SYS_READ); got != kill {
			t.Errorf("architecture %#x: %#x", arch, got)
		}
	}
	if runtime.GOARCH != "amd64" {
		return
	}
	for _, number := range []uint32{0x40000000, 0x40000000 | unix.SYS_MOUNT, 0xffffffff} {
		if got := m.verdict(auditArch, number); got != unsupported {
			t.Errorf("x32 call %#x: %#x", number, got)
		}
	}
}

func TestAFilterThatJumpsTooFarIsAnError(t *testing.T) {
	p := newProgram()
	far := p.newLabel()
	p.ifEqual(1, far, next)
	for range 256 {
		p.load(0)
	}
	p.mark(far)
	p.answer(allow)
	if _, err := p.assemble(); err == nil {
		t.Error("a jump over 256 instructions was assembled")
	}
	p = newProgram()
	p.ifEqual(1, p.newLabel(), next)
	p.answer(allow)
	if _, err := p.assemble(); err == nil {
		t.Error("a jump to nowhere was assembled")
	}
}

func TestRefusedSocketsLookLikeOnesThatDoNotExist(t *testing.T) {
	for _, c := range []struct {
		number int32
		family uint64
		want   unix.Errno
	}{
		{unix.SYS_SOCKET, unix.AF_ALG, unix.EAFNOSUPPORT},
		{unix.SYS_SOCKET, unix.AF_INET, unix.EPROTONOSUPPORT},
		{unix.SYS_SOCKETPAIR, unix.AF_TIPC, unix.EAFNOSUPPORT},
		{unix.SYS_MOUNT, unix.AF_ALG, unix.EPERM},
	} {
		n := &notice{number: c.number, args: [6]uint64{c.family}}
		if got := errnoFor(n); got != c.want {
			t.Errorf("call %d, family %d: %v, want %v", c.number, c.family, got, c.want)
		}
	}
}
