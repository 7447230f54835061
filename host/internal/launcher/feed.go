package launcher

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

const (
	feedEntries = 48                     // different refusals held between two packets
	feedEvery   = 200 * time.Millisecond // the least time between two packets
	feedPacket  = 8 << 10
)

// feed collects what the filter refused and sends it to the daemon: the first refusal at once, more of
// them counted and at most one packet per feedEvery. A payload that does nothing but break rules costs a
// bounded number of packets and no memory: everything is allocated once, because PID 1 must not need a
// new thread or the collector while the payload holds every process that the limit allows.
type feed struct {
	seen  atomic.Int64 // refusals, those of the verification included
	names map[int]string

	emulator *emulator // does some of the calls instead; nil where the kernel may

	mu      sync.Mutex
	open    bool // the payload was started: what comes now is its doing
	program string
	entries []spec.Violation
	threads []int // of each entry: the caller's thread, by which the kernel names it
	others  int64 // refusals that found no room
	sent    time.Time
	packet  []byte
}

// newFeed makes a feed for a payload whose program is called so: the kernel calls one that is executed by
// descriptor by its number.
func newFeed(program string) *feed {
	return &feed{
		names: callNames(), program: program,
		entries: make([]spec.Violation, 0, feedEntries+1), threads: make([]int, 0, feedEntries),
		packet: make([]byte, 0, feedPacket),
	}
}

// supervise answers every refusal until no process is under the filter any more.
func (f *feed) supervise(listener int) {
	defer unix.Close(listener) // callers then get ENOSYS instead of waiting for ever
	fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	var n notice
	for {
		ready, err := unix.Poll(fds, f.wait())
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return
		case ready == 0:
			f.flush(false)
			continue
		case fds[0].Revents&unix.POLLIN == 0:
			return
		}
		n = notice{}
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err != 0 {
			continue // the caller died, or the call was interrupted
		}
		if f.emulator != nil {
			if errno, handled := f.emulator.answer(listener, &n); handled {
				reply(listener, answer{id: n.id, errno: -int32(errno)})
				continue
			}
		}
		f.seen.Add(1)
		f.add(int(n.number), int(n.pid))
		if !reply(listener, answer{id: n.id, errno: -int32(errnoFor(&n))}) {
			continue
		}
		f.flush(false)
	}
}

// reply is false when the caller died meanwhile.
func reply(listener int, a answer) bool {
	return ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) == 0
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return errno
}

// wait is how long supervise may sleep, in milliseconds: for ever when nothing is held back.
func (f *feed) wait() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.entries) == 0 && f.others == 0 {
		return -1
	}
	return int(max(feedEvery-time.Since(f.sent), 0)/time.Millisecond) + 1
}

// begin makes the feed report: the payload is about to start.
func (f *feed) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = true
}

func (f *feed) add(number, thread int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.open {
		return
	}
	for i := range f.entries {
		if f.entries[i].Syscall == number && f.threads[i] == thread {
			f.entries[i].Count++
			return
		}
	}
	if len(f.entries) == feedEntries {
		f.others++
		return
	}
	v := spec.Violation{Syscall: number, Name: f.names[number], PID: thread, Count: 1}
	var buf [256]byte
	if name, pid, ok := identify(thread, buf[:]); ok {
		v.Comm, v.PID = name, pid
	}
	if v.Comm == strconv.Itoa(spec.ProgramFD) {
		v.Comm = f.program
	}
	f.entries = append(f.entries, v)
	f.threads = append(f.threads, thread)
}

// flush sends what is held. Unless it is the last time, it neither blocks nor hurries: what the daemon
// does not take now waits.
func (f *feed) flush(last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.entries) == 0 && f.others == 0 || !last && time.Since(f.sent) < feedEvery {
		return
	}
	flags := unix.MSG_DONTWAIT
	if last {
		flags = 0
	}
	f.sent = time.Now()
	if f.others > 0 {
		f.entries = append(f.entries, spec.Violation{Syscall: -1, Name: "others", Count: f.others})
	}
	m := spec.Message{Violations: f.entries}
	f.packet = m.Append(f.packet[:0])
	if f.others > 0 {
		f.entries = f.entries[:len(f.entries)-1]
	}
	err := sendPacket(f.packet, flags)
	if errors.Is(err, unix.EAGAIN) {
		return
	}
	f.entries, f.threads, f.others = f.entries[:0], f.threads[:0], 0
}

// identify finds the name that a thread chose for itself, and its process.
func identify(thread int, buf []byte) (name string, pid int, ok bool) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(thread)+"/status", os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", 0, false
	}
	n, err := unix.Read(fd, buf)
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return "", 0, false
	}
	text := buf[:n]
	pid, err = strconv.Atoi(field(text, "\nTgid:\t"))
	return field(text, "Name:\t"), pid, err == nil
}

// field is what follows a label, to the end of the line.
func field(text []byte, label string) string {
	_, after, _ := bytes.Cut(text, []byte(label))
	value, _, _ := bytes.Cut(after, []byte("\n"))
	return string(value)
}
