package catalogue

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ipc are ways by memory and queues that have no path.
func ipc() []Probe {
	list := []Probe{
		{ID: "59", Title: "attach the host's shared memory (SysV)", try: attachShared},
		{ID: "59b", Title: "read the host's message queue (SysV)", try: receiveMessage},
		{ID: "59c", Title: "change the host's semaphores (SysV)", try: changeSemaphore},
		{ID: "59d", Title: "list the host's shared memory", try: listShared, Walls: []string{IPC, View, Landlock}},
		{ID: "59e", Title: "open the host's message queue (POSIX)", try: openQueue},
		{ID: "59f", Title: "remove the host's shared memory", try: removeShared},
		{ID: "59g", Title: "write the host's shared memory (POSIX)", Layer: View, Walls: []string{View, Landlock},
			try: write(func(t *Target) string { return t.Shm })},
		{ID: "59h", Title: "find the host's shared memory by number", try: sharedByNumber},
	}
	for i := range list {
		p := &list[i]
		p.Level = isolated
		if p.Layer == "" {
			p.Layer = IPC
		}
		if p.Walls == nil {
			p.Walls = []string{IPC}
		}
	}
	return list
}

func attachShared(t *Target) Outcome {
	id, err := unix.SysvShmGet(t.Key, 0, 0)
	if err != nil {
		return refused(err)
	}
	return attach(id)
}

func attach(id int) Outcome {
	mem, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
	if err != nil {
		return refused(err)
	}
	loot := string(mem[:min(len(mem), 256)])
	return Outcome{Claim: Attempted, Detail: "attached", Loot: loot}
}

// sharedByNumber needs no key: numbers are small.
func sharedByNumber(*Target) Outcome {
	last := no("none of 64")
	for id := range 64 {
		if o := attach(id); o.Claim != Refused {
			last = o
			if o.Loot != "" && o.Loot[0] != 0 {
				return o
			}
		}
	}
	return last
}

func removeShared(t *Target) Outcome {
	id, err := unix.SysvShmGet(t.Key, 0, 0)
	if err != nil {
		return refused(err)
	}
	_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	return unless(err, "removed")
}

func receiveMessage(t *Target) Outcome {
	id, err := sys(unix.SYS_MSGGET, uintptr(t.Key), 0)
	if err != nil {
		return refused(err)
	}
	var buf [264]byte
	const noWait, copyOnly = 0o4000, 0o40000
	n, err := sys(unix.SYS_MSGRCV, id, uintptr(unsafe.Pointer(&buf[0])), 256, 0, noWait)
	if err != nil {
		return refused(err)
	}
	return Outcome{Claim: Attempted, Detail: "received", Loot: string(buf[8 : 8+n])}
}

func changeSemaphore(t *Target) Outcome {
	id, err := sys(unix.SYS_SEMGET, uintptr(t.Key), 0, 0)
	if err != nil {
		return refused(err)
	}
	const setValue = 16
	_, err = sys(unix.SYS_SEMCTL, id, 0, setValue, 77)
	return unless(err, "set")
}

func listShared(t *Target) Outcome {
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return refused(err)
	}
	if contains(string(text), " "+itoa(t.Key)+" ") {
		return through("saw it")
	}
	return no("not in the list")
}

func openQueue(t *Target) Outcome {
	p, err := unix.BytePtrFromString(t.Queue)
	if err != nil {
		return broken("%v", err)
	}
	fd, err := sys(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(p)), unix.O_RDWR|unix.O_NONBLOCK, 0, 0)
	if err != nil {
		return refused(err)
	}
	buf := make([]byte, 8192)
	n, err := sys(unix.SYS_MQ_TIMEDRECEIVE, fd, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if err != nil {
		return refused(err)
	}
	return Outcome{Claim: Attempted, Detail: "received", Loot: string(buf[:n])}
}
