package launcher

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// procfs reads /proc in buffers that are made once: PID 1 must not need the collector, nor a new thread,
// while the payload holds every process that the limit allows.
type procfs struct {
	dir     int
	path    []byte // the name that is opened, ended by a zero byte
	entries []byte
	text    []byte
}

func newProcfs() (*procfs, error) {
	dir, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &procfs{dir: dir, path: make([]byte, 0, 64), entries: make([]byte, 16<<10), text: make([]byte, 16<<10)}, nil
}

// open opens a file of a process.
func (f *procfs) open(pid int32, file string, flags int) (int, unix.Errno) {
	f.path = append(appendDigits(f.path[:0], uint64(pid)), '/')
	f.path = append(append(f.path, file...), 0)
	return openRaw(f.dir, f.path, flags)
}

// read returns what one read of a small file gives; it holds until the next one.
func (f *procfs) read(pid int32, file string) ([]byte, unix.Errno) {
	fd, errno := f.open(pid, file, unix.O_RDONLY)
	if errno != 0 {
		return nil, errno
	}
	n, errno := readRaw(fd, f.text)
	closeRaw(fd)
	return f.text[:n], errno
}

// pids appends the processes that exist, in ascending order, as far as there is room.
func (f *procfs) pids(into []int32) ([]int32, unix.Errno) {
	if _, _, errno := unix.Syscall(unix.SYS_LSEEK, uintptr(f.dir), 0, unix.SEEK_SET); errno != 0 {
		return into, errno
	}
	for {
		n, errno := entriesRaw(f.dir, f.entries)
		if n == 0 || errno != 0 {
			return into, errno
		}
		for rest := f.entries[:n]; len(rest) > 0; {
			var e entry
			e, rest = nextEntry(rest)
			if pid, ok := digits(e.name); ok && pid > 0 && len(into) < cap(into) {
				into = append(into, int32(pid))
			}
		}
	}
}

// entry is one name of a directory. name ends before its zero byte, which is there.
type entry struct {
	name []byte
	kind byte
}

// nextEntry takes the first struct linux_dirent64 of a buffer.
func nextEntry(buf []byte) (entry, []byte) {
	const lengthAt, kindAt, nameAt = 16, 18, 19
	length := int(buf[lengthAt]) | int(buf[lengthAt+1])<<8
	name := buf[nameAt:length]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	return entry{name: name, kind: buf[kindAt]}, buf[length:]
}

func (e entry) isDots() bool {
	return len(e.name) == 1 && e.name[0] == '.' || len(e.name) == 2 && e.name[0] == '.' && e.name[1] == '.'
}

// numbers parses blank separated decimal numbers, as many as there is room for, and says how many.
func numbers(text []byte, into []int64) int {
	n := 0
	for i := 0; i < len(text) && n < len(into); {
		for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
			i++
		}
		begin := i
		var v int64
		for i < len(text) && text[i] >= '0' && text[i] <= '9' {
			v = v*10 + int64(text[i]-'0')
			i++
		}
		if i == begin { // not a number: a minus, or a letter
			for i < len(text) && text[i] != ' ' && text[i] != '\n' {
				i++
			}
			if i == begin {
				return n
			}
		}
		into[n] = v
		n++
	}
	return n
}

// amount is the number after a label of a line, as in "RssAnon:  12 kB"; 0 where there is none.
func amount(text []byte, label string) int64 {
	for at := 0; at+len(label) <= len(text); at++ {
		if (at == 0 || text[at-1] == '\n') && string(text[at:at+len(label)]) == label {
			var v [1]int64
			numbers(text[at+len(label):], v[:])
			return v[0]
		}
	}
	return 0
}

func appendDigits(to []byte, n uint64) []byte {
	var buf [20]byte
	i := len(buf)
	for {
		i--
		buf[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return append(to, buf[i:]...)
		}
	}
}

func digits(text []byte) (n int, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' || n > 1<<28 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(text) > 0
}

// The calls below are those of package unix without its copies of names.

func openRaw(dir int, name []byte, flags int) (int, unix.Errno) {
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])),
		uintptr(flags|unix.O_CLOEXEC), 0, 0, 0)
	return int(fd), errno
}

func readRaw(fd int, buf []byte) (int, unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func entriesRaw(fd int, buf []byte) (int, unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_GETDENTS64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func closeRaw(fd int) {
	_, _, _ = unix.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) // nothing was written
}

func statRaw(dir int, name []byte, flags int, st *unix.Statx_t) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(&name[0])),
		uintptr(flags|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC), unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(st)), 0)
	return errno
}

// chmodRaw follows no link: this process may be outside of what confines the payload. Kernels before 6.6 do
// not have the call.
func chmodRaw(dir int, name []byte, mode uint32) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FCHMODAT2, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(mode),
		unix.AT_SYMLINK_NOFOLLOW, 0, 0)
	return errno
}

// terminated is the name with its zero byte, which the kernel wrote behind it.
func (e entry) terminated() []byte { return e.name[:len(e.name)+1] }
