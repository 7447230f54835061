package launcher

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// relative is a process as the kernel describes it.
type relative struct {
	pid, parent int
	state       byte
	born        string // start time, which tells a process from a later one of the same number
}

func (r relative) alive() bool { return r.state != 'Z' && r.state != 'X' }

// signalTree signals every process below this one that is not in the state that the signal leads to, and
// says how many that were. Each is pinned by descriptor and looked at again before it is signalled: its
// number may be somebody else's by then.
func signalTree(sig unix.Signal) int {
	signalled := 0
	for _, r := range descendants(os.Getpid()) {
		if sig == unix.SIGSTOP && r.state == 'T' {
			continue
		}
		if signalPinned(r, sig) {
			signalled++
		}
	}
	return signalled
}

func signalPinned(r relative, sig unix.Signal) bool {
	fd, err := unix.PidfdOpen(r.pid, 0)
	if err != nil {
		return false // gone
	}
	now, ok := look(r.pid)
	same := ok && now.born == r.born
	if same {
		err = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
	return errors.Join(err, unix.Close(fd)) == nil && same
}

// descendants are the living processes below root, parents first.
func descendants(root int) []relative {
	pids, err := processes()
	if err != nil {
		return nil
	}
	children := make(map[int][]relative, len(pids))
	for _, pid := range pids {
		if r, ok := look(pid); ok {
			children[r.parent] = append(children[r.parent], r)
		}
	}
	var found []relative
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		for _, c := range children[queue[0]] {
			queue = append(queue, c.pid) // a zombie's children belong to it until it is reaped
			if c.alive() {
				found = append(found, c)
			}
		}
	}
	return found
}

// look reads what the kernel says of a process.
func look(pid int) (relative, bool) {
	var buf [512]byte
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return relative{}, false
	}
	n, err := unix.Read(fd, buf[:])
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return relative{}, false
	}
	// After the name: state, parent, ... and the start time as the twentieth.
	fields := bytes.Fields(buf[bytes.LastIndexByte(buf[:n], ')')+1 : n])
	if len(fields) < 20 {
		return relative{}, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return relative{pid, parent, fields[0][0], string(fields[19])}, err == nil
}
