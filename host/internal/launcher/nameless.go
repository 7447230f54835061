package launcher

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// nameless finds files without a name that the payload holds: memory files and shared memory, or deleted
// files on a disk. Each counts once, through however many descriptors and mappings it is held.
type nameless struct {
	proc   *procfs
	lines  lines
	memory uint64 // the device of files that are memory
	found  []namelessFile
	filled int
	except uint64 // the inode of the program, which is the daemon's memory
	st     unix.Statx_t
}

type namelessFile struct {
	device, inode uint64
	bytes         int64
	open          bool // its size is known, not only that of a mapping
}

// namelessRoom is how many different files can be told apart; a payload that holds more of them has some
// counted twice.
const namelessRoom = 1024

func (n *nameless) prepare(proc *procfs) error {
	n.proc = proc
	n.lines.buf = make([]byte, 16<<10)
	n.found = make([]namelessFile, namelessRoom)
	fd, err := unix.MemfdCreate("which device", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make a memory file: %w", err)
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	n.memory = uint64(st.Dev)
	return errors.Join(err, unix.Close(fd))
}

// sum is the memory of the nameless files that are memory: the whole of those that a descriptor shows,
// of the others what is mapped, touched or not, because nobody is told how much of them exists.
func (n *nameless) sum(list []member) int64 {
	clear(n.found)
	n.filled = 0
	total := int64(0)
	for i := range list {
		total += n.descriptors(list[i].pid, n.memory)
	}
	for i := range list {
		total += n.mappings(list[i].pid)
	}
	return total
}

// deleted is what the disk of a device still holds of files that have no name any more.
func (n *nameless) deleted(list []member, device uint64) int64 {
	clear(n.found)
	n.filled = 0
	total := int64(0)
	for i := range list {
		total += n.descriptors(list[i].pid, device)
	}
	return total
}

// descriptors adds up what a process holds open and was not counted yet.
func (n *nameless) descriptors(pid int32, device uint64) int64 {
	dir, errno := n.proc.open(pid, "fd", unix.O_RDONLY|unix.O_DIRECTORY)
	if errno != 0 {
		return 0 // it is gone, or does not let itself be read
	}
	defer closeRaw(dir)
	total := int64(0)
	for {
		size, errno := entriesRaw(dir, n.proc.entries)
		if size == 0 || errno != 0 {
			return total
		}
		for rest := n.proc.entries[:size]; len(rest) > 0; {
			var e entry
			e, rest = nextEntry(rest)
			if !e.isDots() {
				total += n.descriptor(dir, e.name, device)
			}
		}
	}
}

func (n *nameless) descriptor(dir int, name []byte, device uint64) int64 {
	st := &n.st
	if statRaw(dir, name, 0, st) != 0 || st.Nlink != 0 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0
	}
	if unix.Mkdev(st.Dev_major, st.Dev_minor) != device {
		return 0
	}
	return n.charge(namelessFile{device: device, inode: st.Ino, bytes: int64(st.Blocks) * 512, open: true})
}

// mappings adds up the nameless memory that a process has mapped and was not counted by a descriptor.
func (n *nameless) mappings(pid int32) int64 {
	fd, errno := n.proc.open(pid, "maps", unix.O_RDONLY)
	if errno != 0 {
		return 0
	}
	defer closeRaw(fd)
	n.lines.reset()
	total := int64(0)
	for {
		line, ok := n.lines.next(fd)
		if !ok {
			return total
		}
		if m, ok := n.mapping(line); ok {
			total += n.charge(m)
		}
	}
}

// mapping reads one line: "from-to perms offset major:minor inode path".
func (n *nameless) mapping(line []byte) (namelessFile, bool) {
	var m namelessFile
	if !bytes.HasSuffix(line, []byte(" (deleted)")) || bytes.Contains(line, []byte(" /SYSV")) {
		return m, false // System V memory is counted where it is listed
	}
	var v [6]uint64
	at := 0
	for i, end := range []byte{'-', ' ', ' ', ' ', ':', ' '} { // from, to, perms, offset, major, minor
		next := bytes.IndexByte(line[at:], end)
		if next < 0 {
			return m, false
		}
		v[i] = hexadecimal(line[at : at+next])
		at += next + 1
	}
	if unix.Mkdev(uint32(v[4]), uint32(v[5])) != n.memory {
		return m, false
	}
	var inode [1]int64
	numbers(line[at:], inode[:])
	return namelessFile{device: n.memory, inode: uint64(inode[0]), bytes: int64(v[3] + v[1] - v[0])}, true
}

// charge returns how much of a file was not counted yet. The whole size, once known, is the last word.
func (n *nameless) charge(f namelessFile) int64 {
	if f.inode == n.except && f.device == n.memory {
		return 0
	}
	if n.filled > namelessRoom*3/4 {
		return f.bytes
	}
	for i := (f.inode*0x9e3779b97f4a7c15 ^ f.device) % namelessRoom; ; i = (i + 1) % namelessRoom {
		known := &n.found[i]
		if known.inode == 0 && known.device == 0 {
			*known = f
			n.filled++
			return f.bytes
		}
		if known.inode != f.inode || known.device != f.device {
			continue
		}
		if known.open || known.bytes >= f.bytes {
			return 0
		}
		more := f.bytes - known.bytes
		known.bytes = f.bytes
		return more
	}
}

func hexadecimal(text []byte) uint64 {
	var n uint64
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		}
	}
	return n
}
