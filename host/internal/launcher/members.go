package launcher

import (
	"bytes"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// member is one process of the payload as /proc/<pid>/stat shows it.
type member struct {
	pid, parent int32
	threads     int64
	began       int64 // with pid: which process it is
	size        int64 // bytes of address space
	resident    int64 // bytes, files included
	own         int64 // ticks of processor time
	waited      int64 // ticks of its children that it waited for
}

// members is the payload's processes, read again and again into the same memory.
type members struct {
	proc     *procfs
	self     int32 // this process; 1 where the payload has its own process numbers
	pids     []int32
	now      []member
	before   []member
	fields   [24]int64
	overflow bool // there are more than there is room for
}

func newMembers(proc *procfs, limit int) *members {
	self, room := int32(os.Getpid()), limit+4*ownThreads
	if self != 1 {
		room = 1 << 15 // everybody's are looked at, to find the payload's
	}
	return &members{
		proc: proc, self: self,
		pids: make([]int32, 0, room), now: make([]member, 0, room), before: make([]member, 0, room),
	}
}

// read takes the processes as they are now; the ones of the last time stay in before.
func (m *members) read() unix.Errno {
	var errno unix.Errno
	if m.pids, errno = m.proc.pids(m.pids[:0]); errno != 0 {
		return errno
	}
	m.overflow = m.self == 1 && len(m.pids) == cap(m.pids)
	m.now, m.before = m.before[:0], m.now
	for _, pid := range m.pids {
		if pid == m.self {
			continue
		}
		if p, ok := m.one(pid); ok {
			m.now = append(m.now, p)
		}
	}
	if m.self != 1 {
		m.keepDescendants()
	}
	return 0
}

func (m *members) one(pid int32) (member, bool) {
	text, errno := m.proc.read(pid, "stat")
	if errno != 0 {
		return member{}, false // it is gone
	}
	end := bytes.LastIndexByte(text, ')') // before it is a name that the process chose
	if end < 0 || end+4 > len(text) {
		return member{}, false
	}
	// From here the first field is the fourth of proc(5): the parent.
	f := m.fields[:]
	if numbers(text[end+4:], f) < 21 {
		return member{}, false
	}
	return member{
		pid: pid, parent: int32(f[0]), own: f[10] + f[11], waited: f[12] + f[13], threads: f[16], began: f[18], size: f[19],
		resident: f[20] * int64(os.Getpagesize()),
	}, true
}

// keepDescendants drops the processes that are not of this launch, where it has no process numbers of its
// own. Orphans are this process's children, because it is their reaper.
func (m *members) keepDescendants() {
	kept := 0
	for grown := true; grown; {
		grown = false
		for i := kept; i < len(m.now); i++ {
			if parent := m.now[i].parent; parent == m.self || m.among(m.now[:kept], parent) {
				m.now[i], m.now[kept] = m.now[kept], m.now[i]
				kept++
				grown = true
			}
		}
	}
	m.now = m.now[:kept]
	slices.SortFunc(m.now, func(a, b member) int { return int(a.pid) - int(b.pid) })
}

func (m *members) among(list []member, pid int32) bool {
	for i := range list {
		if list[i].pid == pid {
			return true
		}
	}
	return false
}

// threads counts the tasks, which is what the limit of processes counts.
func (m *members) threads() int64 {
	var n int64
	for i := range m.now {
		n += m.now[i].threads
	}
	return n
}
