package launcher

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// memoryUse adds up the memory of the payload: what its processes hold for themselves, page tables
// included, the throw-away file systems, System V objects, and shared memory that has no name. Cheap
// figures that can only be too high come first; exact ones are asked for where those are above the limit.
type memoryUse struct {
	proc    *procfs
	scratch []int // a descriptor in each throw-away file system
	nameless
	shared   int64 // of the last look at shared memory
	machine  uint64
	swapping bool
	ownIPC   bool // the System V objects that are listed are the payload's
	info     unix.Sysinfo_t
	fs       unix.Statfs_t
}

// pageTables is how many bytes of address space need one byte of page tables at most.
const pageTables = 512

func newMemoryUse(proc *procfs, places []string) (*memoryUse, error) {
	u := &memoryUse{proc: proc, ownIPC: os.Getpid() == 1}
	seen := make(map[uint64]bool)
	for _, p := range places {
		fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		var st unix.Stat_t
		if err := errors.Join(unix.Fstat(fd, &st), unix.Fstatfs(fd, &u.fs)); err != nil {
			return nil, err
		}
		if kind := u.fs.Type; seen[uint64(st.Dev)] || kind != unix.TMPFS_MAGIC && kind != unix.OVERLAYFS_SUPER_MAGIC {
			if err := unix.Close(fd); err != nil {
				return nil, err
			}
			continue
		}
		seen[uint64(st.Dev)] = true
		u.scratch = append(u.scratch, fd)
	}
	return u, u.nameless.prepare(proc)
}

// measure returns the bytes in use; what is not above the limit may be too high. fresh says that the
// shared memory was looked at just now.
func (u *memoryUse) measure(list []member, limit int64, fresh bool) int64 {
	common := u.common() + u.shared
	bound := common
	for i := range list {
		bound += list[i].resident + list[i].size/pageTables
	}
	if bound <= limit && !u.swapping {
		return bound
	}
	private := int64(0)
	for i := range list {
		private += u.private(list[i].pid)
	}
	if common+private <= limit {
		return common + private
	}
	if !fresh {
		u.look(list)
		common = u.common() + u.shared
	}
	private = 0
	for i := range list {
		private += u.exact(list[i].pid)
	}
	return common + private
}

// common is what the throw-away file systems hold, whoever wrote it and whether or not it has a name.
func (u *memoryUse) common() int64 {
	var used int64
	for _, fd := range u.scratch {
		if st := &u.fs; unix.Fstatfs(fd, st) == nil {
			used += int64(st.Blocks-st.Bfree) * st.Bsize
		}
	}
	return used
}

// private is the anonymous memory of one process, with its page tables. Memory that is shared with a fork
// of it counts in both.
func (u *memoryUse) private(pid int32) int64 {
	text, errno := u.proc.read(pid, "status")
	if errno != 0 {
		return 0 // it is gone
	}
	return 1024 * (amount(text, "RssAnon:") + amount(text, "VmSwap:") + amount(text, "VmPTE:"))
}

// worthExact is how much memory a process must have for its pages to be looked at one by one.
const worthExact = 1 << 20

// exact divides the memory that is shared with forks by the number of those who share it.
func (u *memoryUse) exact(pid int32) int64 {
	upper := u.private(pid)
	if upper < worthExact {
		return upper
	}
	tables := 1024 * amount(u.proc.text, "VmPTE:") // of what private read
	text, errno := u.proc.read(pid, "smaps_rollup")
	if errno != 0 || len(text) == 0 {
		return upper // it does not let itself be read
	}
	anonymous := amount(text, "Pss_Anon:")
	if anonymous == 0 {
		return upper // a kernel that does not tell
	}
	return min(upper, tables+1024*(anonymous+amount(text, "SwapPss:")))
}

// due reports that the machine's shared memory grew enough for a look at what is the payload's.
func (u *memoryUse) due(headroom int64) bool {
	if unix.Sysinfo(&u.info) != nil {
		return true
	}
	u.swapping = u.info.Totalswap != u.info.Freeswap
	return u.info.Sharedram*uint64(u.info.Unit) > u.machine+uint64(max(headroom/4, 1<<20))
}

// look measures the shared memory of the payload anew.
func (u *memoryUse) look(list []member) {
	if unix.Sysinfo(&u.info) == nil {
		u.machine = u.info.Sharedram * uint64(u.info.Unit)
	}
	u.shared = u.nameless.sum(list) + u.sysV()
}

// sysV is what System V objects hold, attached or not. A semaphore takes a line of the cache.
func (u *memoryUse) sysV() int64 {
	if !u.ownIPC {
		return 0
	}
	const semaphore = 64
	return u.column("sysvipc/shm", 14, 2, 1) + u.column("sysvipc/msg", 3, 1, 1) + u.column("sysvipc/sem", 3, 1, semaphore)
}

// column adds up some columns of a table with a headline.
func (u *memoryUse) column(file string, first, count int, unit int64) int64 {
	u.proc.path = append(append(u.proc.path[:0], file...), 0)
	fd, errno := openRaw(u.proc.dir, u.proc.path, unix.O_RDONLY)
	if errno != 0 {
		return 0 // a kernel without System V objects
	}
	defer closeRaw(fd)
	var total int64
	var f [16]int64
	u.lines.reset()
	for line := 0; ; line++ {
		text, ok := u.lines.next(fd)
		if !ok {
			return total
		}
		if line == 0 {
			continue
		}
		n := numbers(text, f[:])
		for c := first; c < first+count && c < n; c++ {
			total += f[c] * unit
		}
	}
}
