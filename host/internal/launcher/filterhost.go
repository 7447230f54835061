package launcher

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Where the payload shares the host's namespaces, the filter refuses what these would have hidden: every
// network, the user's sockets, System V and POSIX shared memory, and the resources of the user's other
// processes. A plugin must listen on a unix socket, so those can be made, bound and accepted from; nobody
// inside can connect one.

// resolveUnix is the Landlock ABI that covers unix sockets by path.
const resolveUnix = 9

func sharedCalls() []call {
	return []call{
		{unix.SYS_MQ_OPEN, "mq_open"}, {unix.SYS_MQ_UNLINK, "mq_unlink"},
		{unix.SYS_SHMGET, "shmget"}, {unix.SYS_SHMAT, "shmat"}, {unix.SYS_SHMCTL, "shmctl"},
		{unix.SYS_SEMGET, "semget"}, {unix.SYS_SEMOP, "semop"}, {unix.SYS_SEMCTL, "semctl"},
		{unix.SYS_SEMTIMEDOP, "semtimedop"},
		{unix.SYS_MSGGET, "msgget"}, {unix.SYS_MSGSND, "msgsnd"}, {unix.SYS_MSGRCV, "msgrcv"}, {unix.SYS_MSGCTL, "msgctl"},
	}
}

// ownCalls act on another process of the same user where the argument is not 0.
func ownCalls() []modeCall {
	return []modeCall{
		{call{unix.SYS_PRLIMIT64, "prlimit64"}, 0, -1},
		{call{unix.SYS_SCHED_SETAFFINITY, "sched_setaffinity"}, 0, -1},
		{call{unix.SYS_SCHED_SETSCHEDULER, "sched_setscheduler"}, 0, -1},
		{call{unix.SYS_SCHED_SETPARAM, "sched_setparam"}, 0, -1},
		{call{unix.SYS_SCHED_SETATTR, "sched_setattr"}, 0, -1},
		{call{unix.SYS_SETPRIORITY, "setpriority"}, 1, -1},
		{call{unix.SYS_IOPRIO_SET, "ioprio_set"}, 1, -1},
	}
}

// hostFilter is what a back-end without namespaces adds; connects says that Landlock covers unix sockets.
func hostFilter(connects bool) func(refused uint32) []rule {
	return func(refused uint32) []rule {
		list := []rule{
			{unix.SYS_SOCKET, func(p *program) { p.checkOwnSocket(refused) }},
			{unix.SYS_SOCKETPAIR, func(p *program) { p.checkOwnSocket(refused) }},
		}
		if !connects {
			list = append(list,
				rule{unix.SYS_CONNECT, func(p *program) { p.answer(refused) }},
				rule{unix.SYS_SENDTO, func(p *program) { p.checkZero(4, refused) }})
		}
		for _, c := range append(ownerCalls(), strangeCalls()...) {
			list = append(list, rule{c.number, func(p *program) { p.answer(refused) }})
		}
		for _, number := range attributeCalls() {
			list = append(list, rule{number, func(p *program) { p.answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EOPNOTSUPP)) }})
		}
		for _, c := range sharedCalls() {
			list = append(list, rule{c.number, func(p *program) { p.answer(refused) }})
		}
		for _, c := range ownCalls() {
			list = append(list, rule{c.number, func(p *program) { p.checkZero(c.mode, refused) }})
		}
		return list
	}
}

// override puts rules in place of those for the same system calls.
func override(list, by []rule) []rule {
	list = slices.DeleteFunc(list, func(r rule) bool {
		return slices.ContainsFunc(by, func(o rule) bool { return o.number == r.number })
	})
	return append(list, by...)
}

// checkOwnSocket lets connected unix sockets through, and nothing else: a datagram can be sent to an address
// that the filter cannot see.
func (p *program) checkOwnSocket(refused uint32) {
	yes, no := p.newLabel(), p.newLabel()
	p.loadArg(0)
	p.ifEqual(unix.AF_UNIX, next, no)
	p.loadArg(1)
	p.and(socketTypes)
	p.ifEqual(unix.SOCK_STREAM, yes, next)
	p.ifEqual(unix.SOCK_SEQPACKET, yes, no)
	p.mark(no)
	p.answer(refused)
	p.mark(yes)
	p.answer(allow)
}

// checkZero refuses a call whose argument is not 0, in any of its bits.
func (p *program) checkZero(arg int, refused uint32) {
	no := p.newLabel()
	p.loadArg(arg)
	p.ifEqual(0, next, no)
	p.load(uint32(offsetArgs + 8*arg + 4))
	p.ifEqual(0, next, no)
	p.answer(allow)
	p.mark(no)
	p.answer(refused)
}
