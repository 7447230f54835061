package launcher

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// spawnerFiles is how many descriptors come with a request: 0 to ControlFD.
const spawnerFiles = spec.ControlFD + 1

// serveSpawns starts launchers for the daemon until the daemon is gone. A process that makes a user
// namespace must copy the address space of whoever starts it; the daemon's is large, this one's is not.
// What it starts is the daemon's child, not its own: the daemon waits for it and kills it as if it had
// started it. It holds nothing between two requests.
func serveSpawns() int {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return exitRefused
	}
	packet, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4*spawnerFiles))
	for {
		n, oobn, _, _, err := unix.Recvmsg(spec.ControlFD, packet, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return exitOrphaned
		}
		pid, err := spawnWith(packet[0], oob[:oobn])
		if err := answerSpawn(pid, err); err != nil {
			return exitOrphaned
		}
	}
}

// spawnWith starts one launcher with the descriptors that came with the request.
func spawnWith(kind byte, oob []byte) (pid int, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, err
	}
	var files []uintptr
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return 0, err
		}
		for _, fd := range fds {
			defer unix.Close(fd)
			files = append(files, uintptr(fd))
		}
	}
	if kind != spec.SpawnNative || len(files) != spawnerFiles {
		return 0, unix.EINVAL
	}
	attr := spec.Namespaces(0)
	attr.Cloneflags |= unix.CLONE_PARENT
	return syscall.ForkExec("/proc/self/exe", os.Args[:1], &syscall.ProcAttr{
		Dir: "/", Env: spec.LauncherEnv(), Files: files, Sys: attr,
	})
}

func answerSpawn(pid int, err error) error {
	var number syscall.Errno
	if err != nil && !errors.As(err, &number) {
		number = unix.EIO
	}
	var reply [spec.SpawnReply]byte
	binary.NativeEndian.PutUint64(reply[:], uint64(pid))
	binary.NativeEndian.PutUint64(reply[8:], uint64(number))
	return sendPacket(reply[:], 0)
}
