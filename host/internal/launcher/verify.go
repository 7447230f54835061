package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// verify does what must be refused, on the thread from which the payload is forked, and records what
// happened. It decides nothing: the daemon does.
func (b *box) verify() error {
	v := make(map[string]bool)
	b.report.Verified = v
	before := b.feed.seen.Load()
	v["unshare_refused"] = unshareRefused()
	v["mount_refused"] = unix.Mount("verify", "/tmp", "tmpfs", 0, "") != nil
	v["af_alg_refused"] = familyRefused(unix.AF_ALG)
	v["setid_refused"] = setIDRefused()
	if b.report.Features.Notify {
		v["refusals_reported"] = b.feed.seen.Load() > before
	}
	v["capabilities_empty"] = capabilitiesEmpty()
	v["state_hidden"] = hidden(b.spec.Probe.StateCanary)
	if b.spec.Probe.HomeCanary != "" {
		v["home_hidden"] = hidden(b.spec.Probe.HomeCanary)
	}
	v["home_replaced"] = homeReplaced(b.spec.Probe)
	v["system_write_refused"] = createRefused("/usr/.verify") && createRefused("/.verify") && createRefused("/etc/.verify")
	v["egress_refused"] = egressRefused()
	alone, err := aloneInProc()
	if err != nil {
		return err
	}
	v["host_processes_hidden"] = alone
	if b.report.Features.Landlock {
		v["landlock_refuses"] = createFailsWith("/run/.verify", unix.EACCES)
	}
	for _, m := range b.spec.Mounts {
		if m.Tree {
			v["tree_writable"] = treeWritable(m.Inside)
		}
	}
	return nil
}

// unshareRefused uses a blocking call: the refusal is answered by another thread of this process.
func unshareRefused() bool {
	_, _, errno := unix.Syscall(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0)
	return errno != 0
}

func familyRefused(family int) bool {
	s, err := unix.Socket(family, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	return unix.Close(s) != nil // it was open: not refused
}

// setIDRefused tries to make a file that would run as somebody else, and to become somebody else.
func setIDRefused() bool {
	const name = "/tmp/.verify"
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	refused := unix.Fchmod(fd, 0o4755) != nil
	if err := errors.Join(unix.Close(fd), unix.Unlink(name)); err != nil {
		return false
	}
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || nnp != 1 {
		return false
	}
	other := uintptr(unix.Getuid() + 1)
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, other, other, other) // this thread only
	return refused && errno != 0
}

// capabilitiesEmpty reads the sets, and tries to raise one.
func capabilitiesEmpty() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil || sets != [2]unix.CapUserData{} {
		return false
	}
	sets[0] = unix.CapUserData{Effective: 1, Permitted: 1}
	_, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0)
	return errno != 0
}

// hidden tries to read a file that the same user can read outside.
func hidden(canary string) bool {
	fd, err := unix.Open(canary, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	return unix.Close(fd) != nil // it was open: not hidden
}

// homeReplaced reports that the operator's home, if the view has such a path at all, is another
// directory.
func homeReplaced(p spec.Probe) bool {
	var st unix.Stat_t
	err := unix.Stat(p.Home, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return err == nil && (st.Dev != p.HomeDev || st.Ino != p.HomeIno)
}

func createRefused(name string) bool {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return true
	}
	return errors.Join(unix.Close(fd), unix.Unlink(name)) != nil // it was made: not refused
}

func createFailsWith(name string, want unix.Errno) bool {
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return errors.Is(err, want)
	}
	return errors.Join(unix.Close(fd), unix.Unlink(name)) != nil // it was made: not refused
}

// egressRefused asks the kernel for a route to the outside, over both families.
func egressRefused() bool {
	to4 := &unix.SockaddrInet4{Port: 53, Addr: [4]byte{192, 0, 2, 1}}
	to6 := &unix.SockaddrInet6{Port: 53, Addr: [16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}}
	return connectRefused(unix.AF_INET, to4) && connectRefused(unix.AF_INET6, to6)
}

func connectRefused(family int, to unix.Sockaddr) bool {
	s, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	err = unix.Connect(s, to)
	return errors.Join(unix.Close(s)) == nil && err != nil
}

// aloneInProc reports whether /proc shows PID 1 and nothing else.
func aloneInProc() (bool, error) {
	pids, err := processes()
	if err != nil {
		return false, err
	}
	return len(pids) == 1 && pids[0] == 1, nil
}

// processes lists the ids that /proc shows.
func processes() ([]int, error) {
	fd, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	defer unix.Close(fd)
	var pids []int
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, fmt.Errorf("read /proc: %w", err)
		}
		if n == 0 {
			return pids, nil
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				pids = append(pids, pid)
			}
		}
	}
}

// treeWritable makes a file without a name in the tree, so that nothing is left there; file systems that
// cannot do that are asked.
func treeWritable(tree string) bool {
	fd, err := unix.Open(tree, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return unix.Close(fd) == nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EINVAL) {
		return false
	}
	return unix.Access(path.Join(tree, "."), unix.W_OK) == nil
}
