package launcher

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Verdicts of the filter.
const (
	allow       = unix.SECCOMP_RET_ALLOW
	kill        = unix.SECCOMP_RET_KILL_PROCESS
	tellHost    = unix.SECCOMP_RET_USER_NOTIF
	refuse      = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unsupported = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

// Bits that must not appear in arguments.
const (
	setIDBits      = 0o6000
	namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
	createFlags = unix.O_CREAT | unix.O_TMPFILE&^unix.O_DIRECTORY
	socketTypes = 0xf // the type without its flags
)

// Offsets in struct seccomp_data.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// call is one system call that is always refused.
type call struct {
	number uint32
	name   string
}

// modeCall is one system call that takes a file mode; with flags >= 0 the mode counts only where the
// flags make a file.
type modeCall struct {
	call
	mode  int
	flags int
}

// instruction jumps to labels, which are resolved when the program is complete.
type instruction struct {
	code        uint16
	k           uint32
	then, other string // "" is the next instruction
	label       string // the name of this place
}

type program struct{ list []instruction }

func (p *program) add(in instruction) { p.list = append(p.list, in) }

func (p *program) mark(label string) {
	p.add(instruction{label: label})
}

func (p *program) load(offset uint32) {
	p.add(instruction{code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, k: offset})
}

func (p *program) loadArg(n int) { p.load(uint32(offsetArgs + 8*n)) }

func (p *program) ifEqual(k uint32, then, other string) {
	p.add(instruction{code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, k: k, then: then, other: other})
}

func (p *program) ifAtLeast(k uint32, then, other string) {
	p.add(instruction{code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, k: k, then: then, other: other})
}

func (p *program) ifAny(bits uint32, then, other string) {
	p.add(instruction{code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, k: bits, then: then, other: other})
}

func (p *program) and(k uint32) {
	p.add(instruction{code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, k: k})
}

func (p *program) answer(verdict uint32) {
	p.add(instruction{code: unix.BPF_RET | unix.BPF_K, k: verdict})
}

// assemble resolves labels. A conditional jump reaches 255 instructions, which the blocks keep to.
func (p *program) assemble() ([]unix.SockFilter, error) {
	places := make(map[string]int)
	n := 0
	for _, in := range p.list {
		if in.label != "" {
			places[in.label] = n
			continue
		}
		n++
	}
	out := make([]unix.SockFilter, 0, n)
	for _, in := range p.list {
		if in.label != "" {
			continue
		}
		then, err := distance(places, in.then, len(out))
		if err != nil {
			return nil, err
		}
		other, err := distance(places, in.other, len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, unix.SockFilter{Code: in.code, K: in.k, Jt: then, Jf: other})
	}
	return out, nil
}

func distance(places map[string]int, label string, from int) (uint8, error) {
	if label == "" {
		return 0, nil
	}
	at, ok := places[label]
	if !ok {
		return 0, fmt.Errorf("filter: no label %q", label)
	}
	d := at - from - 1
	if d < 0 || d > 255 {
		return 0, fmt.Errorf("filter: label %q is %d instructions away", label, d)
	}
	return uint8(d), nil
}

// buildFilter makes the system call filter. refused is the verdict for what is refused and reported:
// tellHost, or refuse where the kernel cannot tell.
func buildFilter(refused uint32) ([]unix.SockFilter, error) {
	p := &program{}
	p.load(offsetArch)
	p.ifEqual(auditArch, "native", "")
	p.answer(kill)
	p.mark("native")
	p.load(offsetNumber)
	if foreignNumbers != 0 {
		p.ifAtLeast(foreignNumbers, "", "ours")
		p.answer(unsupported)
		p.mark("ours")
	}
	for i, c := range modeCalls() { // first: open is the most frequent call that has to be looked at
		p.checkMode(i, c, refused)
	}
	p.checkClone(refused)
	p.checkIoctl(refused)
	p.checkSocket("socket", unix.SYS_SOCKET, refused)
	p.checkSocket("socketpair", unix.SYS_SOCKETPAIR, refused)
	for _, c := range refusedCalls() {
		p.refuseCall(c, refused)
	}
	for _, c := range unsupportedCalls() {
		p.refuseCall(c, unsupported)
	}
	p.answer(allow)
	return p.assemble()
}

func (p *program) refuseCall(c call, verdict uint32) {
	p.ifEqual(c.number, "", "not "+c.name)
	p.answer(verdict)
	p.mark("not " + c.name)
}

// checkMode refuses set-id bits: such a file would outlive the sandbox on the host's disk.
func (p *program) checkMode(i int, c modeCall, refused uint32) {
	done, mode := fmt.Sprintf("mode %d done", i), fmt.Sprintf("mode %d", i)
	p.ifEqual(c.number, "", done)
	if c.flags >= 0 {
		p.loadArg(c.flags)
		p.ifAny(createFlags, mode, "")
		p.answer(allow)
		p.mark(mode)
	}
	p.loadArg(c.mode)
	p.ifAny(setIDBits, "", mode+" allowed")
	p.answer(refused)
	p.mark(mode + " allowed")
	p.answer(allow)
	p.mark(done)
}

func (p *program) checkClone(refused uint32) {
	p.ifEqual(unix.SYS_CLONE, "", "clone done")
	p.loadArg(0)
	p.ifAny(namespaceFlags, "", "clone allowed")
	p.answer(refused)
	p.mark("clone allowed")
	p.answer(allow)
	p.mark("clone done")
}

// checkIoctl refuses to push input into a terminal or to change its line discipline.
func (p *program) checkIoctl(refused uint32) {
	p.ifEqual(unix.SYS_IOCTL, "", "ioctl done")
	p.loadArg(1)
	for _, request := range []uint32{unix.TIOCSTI, tioclinux, unix.TIOCSETD} {
		p.ifEqual(request, "ioctl refused", "")
	}
	p.answer(allow)
	p.mark("ioctl refused")
	p.answer(refused)
	p.mark("ioctl done")
}

const tioclinux = 0x541c

// checkSocket lets through unix sockets, TCP, UDP and ping over IP, and routing netlink. Every other
// family and protocol is kernel code that a payload has no use for.
func (p *program) checkSocket(name string, number uint32, refused uint32) {
	at := func(s string) string { return name + " " + s }
	p.ifEqual(number, "", at("done"))
	p.loadArg(0)
	p.ifEqual(unix.AF_UNIX, at("allowed"), "")
	p.ifEqual(unix.AF_NETLINK, at("netlink"), "")
	p.ifEqual(unix.AF_INET, at("internet"), "")
	p.ifEqual(unix.AF_INET6, at("internet"), at("refused"))
	p.mark(at("netlink"))
	p.loadArg(2)
	p.ifEqual(unix.NETLINK_ROUTE, at("allowed"), at("refused"))
	p.mark(at("internet"))
	p.loadArg(1)
	p.and(socketTypes)
	p.ifEqual(unix.SOCK_STREAM, at("protocol"), "")
	p.ifEqual(unix.SOCK_DGRAM, at("protocol"), at("refused"))
	p.mark(at("protocol"))
	p.loadArg(2)
	for _, proto := range []uint32{unix.IPPROTO_IP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6} {
		p.ifEqual(proto, at("allowed"), "")
	}
	p.mark(at("refused"))
	p.answer(refused)
	p.mark(at("allowed"))
	p.answer(allow)
	p.mark(at("done"))
}
