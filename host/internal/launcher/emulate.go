package launcher

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// Landlock has no rights for the mode and the times of a file: whoever owns it could change them anywhere.
// Where there is no view the filter stops these calls, and the supervisor, which is outside of the domain,
// does them in place of the caller: on the file that it opened itself, below what is writable.

// ownerCalls change what an owner may change.
func ownerCalls() []call {
	return append([]call{
		{unix.SYS_FCHMOD, "fchmod"}, {unix.SYS_FCHMODAT, "fchmodat"}, {unix.SYS_FCHMODAT2, "fchmodat2"},
		{unix.SYS_UTIMENSAT, "utimensat"},
	}, archOwnerCalls()...)
}

// strangeCalls are refused without emulation: nothing that was seen needs them.
func strangeCalls() []call {
	return append([]call{{unix.SYS_FCHOWN, "fchown"}, {unix.SYS_FCHOWNAT, "fchownat"}}, archChownCalls()...)
}

// attributeCalls are answered as by a file system without extended attributes.
func attributeCalls() []uint32 {
	const setxattrat, removexattrat, fileSetattr = 463, 466, 469
	return []uint32{
		unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR,
		unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR, setxattrat, removexattrat, fileSetattr,
	}
}

// emulator does owner calls below the writable places of one launch.
type emulator struct{ writable []string }

func newEmulator(sp *spec.Spec) *emulator {
	e := &emulator{}
	for _, m := range sp.Mounts {
		if m.Mode == spec.Writable {
			e.writable = append(e.writable, m.Host)
		}
	}
	return e
}

// request is one owner call, with its arguments in one order.
type request struct {
	dir    int
	path   uint64 // an address in the caller, 0 for the descriptor itself
	mode   uint32
	times  uint64 // likewise, 0 for now
	flags  int
	isTime bool
}

// answer does the call; handled is false for calls that are not the emulator's.
func (e *emulator) answer(listener int, n *notice) (errno unix.Errno, handled bool) {
	r, ok := decode(n)
	if !ok {
		return 0, false
	}
	if !r.isTime && r.mode&setIDBits != 0 {
		return 0, false // refused and reported like everywhere
	}
	fd, errno := e.open(int(n.pid), r)
	if errno != 0 {
		return errno, true
	}
	defer unix.Close(fd)
	times, errno := r.readTimes(int(n.pid))
	if errno != 0 {
		return errno, true
	}
	if !stillAsking(listener, n.id) || !e.mayChange(fd) {
		return unix.EPERM, true
	}
	itself := "/proc/self/fd/" + strconv.Itoa(fd)
	var err error
	if r.isTime {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, itself, times, 0)
	} else {
		err = unix.Chmod(itself, r.mode)
	}
	return errnoOf(err), true
}

func decode(n *notice) (request, bool) {
	switch n.number {
	case unix.SYS_FCHMOD:
		return request{dir: int(int32(n.args[0])), mode: uint32(n.args[1])}, true
	case unix.SYS_FCHMODAT:
		return request{dir: int(int32(n.args[0])), path: n.args[1], mode: uint32(n.args[2])}, true
	case unix.SYS_FCHMODAT2:
		return request{dir: int(int32(n.args[0])), path: n.args[1], mode: uint32(n.args[2]), flags: int(int32(n.args[3]))}, true
	case unix.SYS_UTIMENSAT:
		return request{dir: int(int32(n.args[0])), path: n.args[1], times: n.args[2], flags: int(int32(n.args[3])), isTime: true}, true
	}
	return archDecode(n)
}

// open finds the file as the caller would: from its own directory and descriptors.
func (e *emulator) open(thread int, r request) (int, unix.Errno) {
	of := "/proc/" + strconv.Itoa(thread)
	name := ""
	if r.path != 0 {
		var buf [unix.PathMax]byte
		n, err := readMemory(thread, r.path, buf[:], terminated)
		end := bytes.IndexByte(buf[:n], 0)
		switch {
		case err != nil:
			return -1, errnoOf(err)
		case end < 0:
			return -1, unix.ENAMETOOLONG
		}
		name = string(buf[:end])
		if name == "" && r.flags&unix.AT_EMPTY_PATH == 0 {
			return -1, unix.ENOENT
		}
	}
	if number, ok := strings.CutPrefix(name, "/proc/self/fd/"); ok { // how libraries name a descriptor
		if fd, err := strconv.Atoi(number); err == nil {
			r.dir, name = fd, ""
		}
	}
	base := of + "/fd/" + strconv.Itoa(r.dir)
	switch {
	case strings.HasPrefix(name, "/"):
		base = "/"
	case r.dir == unix.AT_FDCWD:
		base = of + "/cwd"
	case r.dir < 0:
		return -1, unix.EBADF
	}
	dir, err := unix.Open(base, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, errnoOf(err)
	}
	if name == "" {
		return dir, 0
	}
	defer unix.Close(dir)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	if r.flags&unix.AT_SYMLINK_NOFOLLOW != 0 {
		how.Flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat2(dir, name, &how)
	return fd, errnoOf(err)
}

// mayChange says where the file is now. The caller can move only what it may write to, and nothing out of
// there.
func (e *emulator) mayChange(fd int) bool {
	var buf [2 * unix.PathMax]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf[:])
	if err != nil {
		return false
	}
	for _, dir := range e.writable {
		if below(string(buf[:n]), dir) {
			return true
		}
	}
	return false
}

func (r request) readTimes(thread int) ([]unix.Timespec, unix.Errno) {
	if !r.isTime {
		return nil, 0
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	if r.times == 0 {
		return times, 0
	}
	size := int(unsafe.Sizeof(times[0])) * len(times)
	n, err := readMemory(thread, r.times, unsafe.Slice((*byte)(unsafe.Pointer(&times[0])), size),
		func([]byte) bool { return false })
	if err != nil || n != size {
		return nil, unix.EFAULT
	}
	return times, 0
}

// readMemory reads of the caller's memory what there is, or up to where enough says so.
func readMemory(thread int, address uint64, into []byte, enough func([]byte) bool) (int, error) {
	const page = 4096
	fd, err := unix.Open("/proc/"+strconv.Itoa(thread)+"/mem", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	got := 0
	for got < len(into) && !enough(into[:got]) { // page by page: the next one may not be there
		at := address + uint64(got)
		n, err := unix.Pread(fd, into[got:got+min(len(into)-got, page-int(at%page))], int64(at))
		if err != nil || n <= 0 {
			return got, err
		}
		got += n
	}
	return got, nil
}

func terminated(text []byte) bool { return bytes.IndexByte(text, 0) >= 0 }

// stillAsking reports that the caller is alive: until then its number could have become another's.
func stillAsking(listener int, id uint64) bool {
	return ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == 0
}

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return errno
	}
	return unix.EPERM
}
