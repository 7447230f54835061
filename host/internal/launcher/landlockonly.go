package launcher

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// Without namespaces the payload sees the host's own paths, and Landlock is all there is between.

// hostRules grants what the view would show, at the host's paths. Nothing of /dev/pts and /dev/shm is
// granted, which are the operator's, and /proc is read-only: it shows every process of the machine.
func (b *box) hostRules() ([]pathRule, error) {
	rules := []pathRule{
		{"/proc", mayRead},
		{"/dev/null", mayIoctl}, {"/dev/zero", mayUse}, {"/dev/full", mayUse},
		{"/dev/random", mayUse}, {"/dev/urandom", mayUse}, {"/dev/tty", mayIoctl},
	}
	for _, list := range [][]spec.Mount{b.spec.System, b.spec.Mounts} {
		for _, m := range list {
			if m.Mode == spec.Link {
				continue
			}
			pinned, err := pinPath(m)
			if err != nil {
				stage := "mount"
				if m.Tree {
					stage = "tree"
				}
				return nil, &stageError{stage, fmt.Errorf("%s: %w", m.Host, err)}
			}
			access := uint64(mayRun)
			if m.Mode == spec.Writable {
				access = mayChange
			}
			rules = append(rules, pathRule{pinned, access})
		}
	}
	return rules, nil
}

// pinPath names the file that the daemon saw, whatever happens to its path. The descriptor is closed when
// the payload is executed.
func pinPath(m spec.Mount) (string, error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(root)
	v := view{host: root}
	fd, err := v.openSource(m)
	if err != nil {
		return "", err
	}
	return "/proc/self/fd/" + strconv.Itoa(fd), nil
}

// limitShared bounds the payload where the kernel counts its processes together with all others of the
// user: those that exist now are added.
func (b *box) limitShared() error {
	others := tasksOf(os.Getuid())
	b.spec.Limits.Processes += others
	if err := b.limitResources(); err != nil {
		return err
	}
	b.report.Limits.Processes -= others
	b.note("limits.processes: counted together with the user's %d others", others)
	return nil
}

// tasksOf counts the threads of a user.
func tasksOf(uid int) int {
	pids, err := processes()
	if err != nil {
		return 0
	}
	n := 0
	for _, pid := range pids {
		var st unix.Stat_t
		dir := "/proc/" + strconv.Itoa(pid)
		if unix.Stat(dir+"/task", &st) == nil && int(st.Uid) == uid {
			n += int(st.Nlink) - 2
		}
	}
	return n
}

// dropHeld empties the capability sets. An ordinary user has no right to empty the bounding set and to
// lock securebits, and no need: without new privileges nothing is ever gained from them.
func (b *box) dropHeld() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the sets: %w", err)
	}
	if sets[0].Effective&(1<<unix.CAP_SETPCAP) != 0 {
		return b.dropCapabilities()
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient set: %w", err)
	}
	if err := emptySets(); err != nil {
		return err
	}
	b.report.Features.Caps = true
	return nil
}

// targets are what the verification goes for: they exist, and the same user can reach them.
type targets struct {
	listener int
	path     string
}

// prepareTargets opens a unix socket in the private directory before anything is restricted.
func (b *box) prepareTargets() error {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	b.targets = targets{listener: s, path: ".verify.sock"} // relative: addresses are short
	if err := unix.Chdir(b.spec.Home); err != nil {
		return fmt.Errorf("enter the private home: %w", err)
	}
	if err := unix.Bind(s, &unix.SockaddrUnix{Name: b.path}); err != nil {
		return fmt.Errorf("bind a socket in the private home: %w", err)
	}
	return unix.Listen(s, 1)
}

// verifyHost is verify where there is no view.
func (b *box) verifyHost() error {
	for _, c := range b.hostChecks() {
		b.tried(c.name, b.off != nil || c.holds())
	}
	if err := unix.Close(b.listener); err != nil {
		return err
	}
	return unix.Unlink(b.path)
}

func (b *box) hostChecks() []check {
	list := []check{
		{"unshare_refused", unshareRefused},
		{"mount_refused", func() bool { return unix.Mount("verify", b.spec.Home, "tmpfs", 0, "") != nil }},
		{"af_alg_refused", func() bool { return familyRefused(unix.AF_ALG) }},
		{"setid_refused", func() bool { return setIDRefused(b.spec.Home) }},
		{"terminal_left", withoutTerminal},
		{"capabilities_empty", capabilitiesEmpty},
		{"state_hidden", func() bool { return hidden(b.spec.Probe.StateCanary) }},
		{"home_closed", func() bool { return b.spec.Probe.Home == "" || hidden(b.spec.Probe.Home) }},
		{"system_write_refused", func() bool {
			return createRefused("/usr/.verify") && createRefused("/.verify") && createRefused("/etc/.verify")
		}},
		{"egress_refused", egressRefused},
		{"unix_connect_refused", b.connectRefused},
		{"shared_memory_refused", sharedMemoryRefused},
		{"processors_held", b.processorsHeld},
		{"modes_refused", func() bool { return modeRefused(b.spec.Probe.StateCanary) }},
	}
	if b.spec.Probe.HomeCanary != "" {
		list = append(list, check{"home_hidden", func() bool { return hidden(b.spec.Probe.HomeCanary) }})
	}
	if b.report.Features.Landlock || b.off != nil { // the canary's directory is the same user's, and writable to it
		beside := path.Join(path.Dir(b.spec.Probe.StateCanary), ".verify")
		list = append(list, check{"landlock_refuses", func() bool { return createFailsWith(beside, unix.EACCES) }})
	}
	if b.report.Features.Scopes || b.off != nil {
		list = append(list, check{"signals_refused", func() bool { return unix.Kill(os.Getppid(), 0) == unix.EPERM }})
	}
	for _, m := range b.spec.Mounts {
		switch {
		case !m.Tree:
		case m.Mode == spec.Writable:
			list = append(list, check{"tree_writable", func() bool { return !namelessRefused(m.Host) }})
		default:
			list = append(list, check{"tree_sealed", func() bool { return namelessRefused(m.Host) }})
		}
	}
	return list
}

// connectRefused tries to reach a socket that listens.
func (b *box) connectRefused() bool {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	var raw unix.RawSockaddrUnix
	raw.Family = unix.AF_UNIX
	for i, c := range []byte(b.path) {
		raw.Path[i] = int8(c)
	}
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(s), uintptr(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))
	return errors.Join(unix.Close(s)) == nil && errno != 0
}

// modeRefused tries to change the mode of a file of the same user to what it is.
func modeRefused(name string) bool {
	var st unix.Stat_t
	return unix.Stat(name, &st) == nil && unix.Chmod(name, st.Mode&0o777) != nil
}

// sharedMemoryRefused asks for a segment that nobody can share, which works without the filter.
func sharedMemoryRefused() bool {
	id, _, errno := unix.Syscall(unix.SYS_SHMGET, unix.IPC_PRIVATE, 4096, 0o600)
	if errno != 0 {
		return true
	}
	_, err := unix.SysvShmCtl(int(id), unix.IPC_RMID, nil)
	return err != nil // it was made: not refused
}

// namelessRefused tries to make a file without a name, which nobody sees and no disk keeps.
func namelessRefused(dir string) bool {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == unix.EOPNOTSUPP || err == unix.EISDIR {
		return createFailsWith(path.Join(dir, ".drawspan-verify-"+strconv.Itoa(os.Getpid())), unix.EACCES)
	}
	if err != nil {
		return err == unix.EACCES || err == unix.EROFS
	}
	return unix.Close(fd) != nil // it was made: not refused
}
