package launcher

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Verdicts of the filter.
const (
	allow       = unix.SECCOMP_RET_ALLOW
	kill        = unix.SECCOMP_RET_KILL_PROCESS
	tellHost    = unix.SECCOMP_RET_USER_NOTIF
	refuse      = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unsupported = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	succeed     = unix.SECCOMP_RET_ERRNO // the call answers 0 and does nothing
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

// label names a place in a program; next is the following instruction.
type label int

const next label = 0

// instruction jumps to labels, which are resolved when the program is complete.
type instruction struct {
	code        uint16
	k           uint32
	then, other label
}

type program struct {
	list   []instruction
	places []int // where each label is; -1 is not yet known
}

func newProgram() *program {
	return &program{list: make([]instruction, 0, 320), places: make([]int, 1, 160)}
}

func (p *program) newLabel() label {
	p.places = append(p.places, -1)
	return label(len(p.places) - 1)
}

// mark puts a label at the next instruction.
func (p *program) mark(l label) { p.places[l] = len(p.list) }

func (p *program) add(in instruction) { p.list = append(p.list, in) }

func (p *program) load(offset uint32) {
	p.add(instruction{code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, k: offset})
}

func (p *program) loadArg(n int) { p.load(uint32(offsetArgs + 8*n)) }

func (p *program) ifEqual(k uint32, then, other label) {
	p.add(instruction{code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, k: k, then: then, other: other})
}

func (p *program) ifAtLeast(k uint32, then, other label) {
	p.add(instruction{code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, k: k, then: then, other: other})
}

func (p *program) ifAny(bits uint32, then, other label) {
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
	out := make([]unix.SockFilter, len(p.list))
	for i, in := range p.list {
		then, err := p.distance(i, in.then)
		if err != nil {
			return nil, err
		}
		other, err := p.distance(i, in.other)
		if err != nil {
			return nil, err
		}
		out[i] = unix.SockFilter{Code: in.code, K: in.k, Jt: then, Jf: other}
	}
	return out, nil
}

func (p *program) distance(from int, to label) (uint8, error) {
	if to == next {
		return 0, nil
	}
	d := p.places[to] - from - 1
	if d < 0 || d > 255 {
		return 0, fmt.Errorf("filter: instruction %d jumps %d instructions", from, d)
	}
	return uint8(d), nil
}

// rule is what happens to one system call. emit writes code that always ends in an answer.
type rule struct {
	number uint32
	emit   func(*program)
}

// profile is what a filter is made for.
type profile struct {
	refused uint32                      // the verdict for what is refused and reported: tellHost, or refuse where the kernel cannot tell
	allowed []string                    // refused calls that the operator allows
	more    func(refused uint32) []rule // nil, or rules in place of those for the same calls
	pinned  bool                        // the processors are limited, so they cannot be chosen
}

// rules lists every system call that is not simply allowed.
func rules(pr profile) []rule {
	refused := pr.refused
	list := []rule{
		{unix.SYS_CLONE, func(p *program) { p.checkClone(refused) }},
		{unix.SYS_IOCTL, func(p *program) { p.checkIoctl(refused) }},
		{unix.SYS_SOCKET, func(p *program) { p.checkSocket(refused) }},
		{unix.SYS_SOCKETPAIR, func(p *program) { p.checkSocket(refused) }},
		{unix.SYS_PRCTL, (*program).checkPrctl},
	}
	for _, c := range modeCalls() {
		list = append(list, rule{c.number, func(p *program) { p.checkMode(c, refused) }})
	}
	for _, c := range refusedCalls() {
		if slices.Contains(pr.allowed, c.name) {
			continue
		}
		list = append(list, rule{c.number, func(p *program) { p.answer(refused) }})
	}
	for _, c := range unsupportedCalls() {
		list = append(list, rule{c.number, func(p *program) { p.answer(unsupported) }})
	}
	if pr.more != nil {
		list = override(list, pr.more(refused))
	}
	if pr.pinned {
		list = override(list, []rule{{unix.SYS_SCHED_SETAFFINITY, func(p *program) { p.answer(refuse) }}})
	}
	slices.SortFunc(list, func(a, b rule) int { return cmp.Compare(a.number, b.number) })
	return list
}

// buildFilter makes the system call filter.
func buildFilter(pr profile) ([]unix.SockFilter, error) {
	p := newProgram()
	native := p.newLabel()
	p.load(offsetArch)
	p.ifEqual(auditArch, native, next)
	p.answer(kill)
	p.mark(native)
	p.load(offsetNumber)
	if foreignNumbers != 0 {
		ours := p.newLabel()
		p.ifAtLeast(foreignNumbers, next, ours)
		p.answer(unsupported)
		p.mark(ours)
	}
	p.search(rules(pr))
	return p.assemble()
}

// search finds the rule of a system call in a few steps: when a filter is installed the kernel walks it
// once for every system call it has.
func (p *program) search(list []rule) {
	if len(list) > 3 {
		middle, right := len(list)/2, p.newLabel()
		p.ifAtLeast(list[middle].number, right, next)
		p.search(list[:middle])
		p.mark(right)
		p.search(list[middle:])
		return
	}
	for _, r := range list {
		other := p.newLabel()
		p.ifEqual(r.number, next, other)
		r.emit(p)
		p.mark(other)
	}
	p.answer(allow)
}

// checkMode refuses set-id bits: such a file would outlive the sandbox on the host's disk.
func (p *program) checkMode(c modeCall, refused uint32) {
	mode, allowed := p.newLabel(), p.newLabel()
	if c.flags >= 0 {
		p.loadArg(c.flags)
		p.ifAny(createFlags, mode, allowed)
	}
	p.mark(mode)
	p.loadArg(c.mode)
	p.ifAny(setIDBits, next, allowed)
	p.answer(refused)
	p.mark(allowed)
	p.answer(allow)
}

func (p *program) checkClone(refused uint32) {
	allowed := p.newLabel()
	p.loadArg(0)
	p.ifAny(namespaceFlags, next, allowed)
	p.answer(refused)
	p.mark(allowed)
	p.answer(allow)
}

// checkIoctl refuses to push input into a terminal or to change its line discipline.
func (p *program) checkIoctl(refused uint32) {
	no := p.newLabel()
	p.loadArg(1)
	for _, request := range []uint32{unix.TIOCSTI, tioclinux, unix.TIOCSETD} {
		p.ifEqual(request, no, next)
	}
	p.answer(allow)
	p.mark(no)
	p.answer(refused)
}

const tioclinux = 0x541c

// checkPrctl lets processes believe that they hide from each other. What they hold must stay visible to
// PID 1, which counts it; nobody else in the launch may trace. Capabilities cannot be kept and securebits not
// be changed, also where the launcher has no right to lock these. Nobody is told: there is nothing to keep,
// and programs that give up privileges ask as a matter of course.
func (p *program) checkPrctl() {
	no, hide, allowed := p.newLabel(), p.newLabel(), p.newLabel()
	p.loadArg(0)
	p.ifEqual(unix.PR_SET_KEEPCAPS, no, next)
	p.ifEqual(unix.PR_SET_SECUREBITS, no, next)
	p.ifEqual(unix.PR_SET_DUMPABLE, hide, allowed)
	p.mark(no)
	p.answer(refuse)
	p.mark(hide)
	p.loadArg(1)
	p.ifEqual(0, next, allowed)
	p.answer(succeed)
	p.mark(allowed)
	p.answer(allow)
}

// checkSocket lets through unix sockets, TCP, UDP and ping over IP, and routing netlink. Every other
// family and protocol is kernel code that a payload has no use for.
func (p *program) checkSocket(refused uint32) {
	yes, no := p.newLabel(), p.newLabel()
	netlink, internet, protocol := p.newLabel(), p.newLabel(), p.newLabel()
	p.loadArg(0)
	p.ifEqual(unix.AF_UNIX, yes, next)
	p.ifEqual(unix.AF_NETLINK, netlink, next)
	p.ifEqual(unix.AF_INET, internet, next)
	p.ifEqual(unix.AF_INET6, internet, no)
	p.mark(netlink)
	p.loadArg(2)
	p.ifEqual(unix.NETLINK_ROUTE, yes, no)
	p.mark(internet)
	p.loadArg(1)
	p.and(socketTypes)
	p.ifEqual(unix.SOCK_STREAM, protocol, next)
	p.ifEqual(unix.SOCK_DGRAM, protocol, no)
	p.mark(protocol)
	p.loadArg(2)
	for _, proto := range []uint32{unix.IPPROTO_IP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6} {
		p.ifEqual(proto, yes, next)
	}
	p.mark(no)
	p.answer(refused)
	p.mark(yes)
	p.answer(allow)
}
