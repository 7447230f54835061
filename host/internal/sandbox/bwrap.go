package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// Bubblewrap makes the namespaces and the view where this user may not, but /usr/bin/bwrap may: distributions
// that restrict user namespaces by AppArmor have a profile for it. The launcher is its payload, as PID 1, and
// adds everything else; it trusts nothing of what bubblewrap was told, and looks.
const bwrapPath = "/usr/bin/bwrap"

// bubblewrap is the program as it was found.
type bubblewrap struct {
	version string
	digest  string
}

// findBubblewrap refuses a program that somebody else than root could have written, that is too old, or that
// runs as root.
func findBubblewrap() (*bubblewrap, error) {
	const fix = "install bubblewrap 0.8 or newer"
	f, err := os.OpenFile(bwrapPath, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, unavailable("bubblewrap cannot be opened: %v", err).At(bwrapPath).Fix(fix)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", bwrapPath, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Uid != 0 || st.Mode&0o022 != 0:
		return nil, unavailable("bubblewrap could have been written by another user than root").At(bwrapPath).Fix(fix)
	case st.Mode&0o6000 != 0:
		return nil, unavailable("bubblewrap is set-uid here, which this back-end does not use").At(bwrapPath).
			Fix("run: sudo chmod u-s " + bwrapPath)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, fmt.Errorf("read %s: %w", bwrapPath, err)
	}
	cmd := exec.Command(bwrapPath, "--version")
	cmd.Env, cmd.WaitDelay = []string{}, time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, unavailable("bubblewrap does not tell its version: %v", err).At(bwrapPath).Fix(fix)
	}
	version := strings.TrimPrefix(strings.TrimSpace(string(out)), "bubblewrap ")
	if !versionAtLeast(version, 0, 8) {
		return nil, unavailable("bubblewrap %q is too old", printable(version)).At(bwrapPath).Fix(fix)
	}
	return &bubblewrap{version, hex.EncodeToString(sum.Sum(nil))}, nil
}

func versionAtLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	return errA == nil && errB == nil && (a > major || a == major && b >= minor)
}

// Descriptors of bubblewrap beyond those of the launcher, which closes them before anything else.
const (
	bwrapProgramFD = spec.ControlFD + 1 // the launcher
	bwrapArgsFD    = spec.ControlFD + 2
	bwrapInfoFD    = spec.ControlFD + 3
)

// bubblewrapHere finds it once.
func (s *Sandbox) bubblewrapHere() (*bubblewrap, error) {
	if known := s.wrapper.Load(); known != nil {
		return known, nil
	}
	found, err := findBubblewrap()
	if err == nil {
		s.wrapper.Store(found)
	}
	return found, err
}

// startBubblewrap starts it around the launcher and finds the launcher's process.
func (s *Sandbox) startBubblewrap(pl *plan, files []*os.File) (proc *os.Process, first *leader, err error) {
	args, err := argsFile(bwrapArgs(&pl.spec))
	if err != nil {
		return nil, nil, err
	}
	defer args.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer read.Close()
	defer write.Close()
	proc, err = os.StartProcess(bwrapPath, []string{
		"bwrap", "--args", strconv.Itoa(bwrapArgsFD), "--", "/proc/self/fd/" + strconv.Itoa(bwrapProgramFD),
	}, &os.ProcAttr{
		Dir: "/", Env: spec.LauncherEnv(), Files: append(files, s.launcher.file, args, write), Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, nil, unavailable("bubblewrap could not be started: %v", err).At(bwrapPath)
	}
	if err := write.Close(); err != nil {
		return proc, nil, err
	}
	first, err = findLeader(read)
	return proc, first, err
}

// wrapped starts the launcher inside of bubblewrap.
func (s *Sandbox) wrapped(pl *plan) starter {
	return func(p *Process, files []*os.File) error {
		var err error
		if p.os, p.first, err = s.startBubblewrap(pl, files); err == nil || p.os == nil {
			return err
		}
		_, waitErr := p.os.Wait() // it ends by itself, and its process with the control socket
		return errors.Join(unavailable("bubblewrap could not make the namespaces%s", p.words()).
			Fix("%s", namespaceRemedy(hostFacts())), waitErr)
	}
}

// argsFile hands the arguments over without a limit on their length, and unseen by others.
func argsFile(args []string) (*os.File, error) {
	f, err := memoryFile("bubblewrap's arguments")
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteString(strings.Join(args, "\x00") + "\x00"); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// bwrapArgs is the view of a specification. What bubblewrap resolves by path the launcher compares with what
// was pinned.
func bwrapArgs(sp *spec.Spec) []string {
	size := strconv.FormatInt(sp.Scratch, 10)
	args := []string{
		"--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup",
		"--disable-userns", "--as-pid-1", "--cap-drop", "ALL", "--info-fd", strconv.Itoa(bwrapInfoFD),
		"--uid", strconv.Itoa(sp.UID), "--gid", strconv.Itoa(sp.GID), "--hostname", sp.Hostname, "--chdir", "/",
		"--proc", "/proc", "--ro-bind-try", "/dev/null", "/proc/keys",
		"--ro-bind", "/proc/sys", "/proc/sys", "--ro-bind-try", "/proc/bus", "/proc/bus",
		"--ro-bind-try", "/proc/fs", "/proc/fs", "--ro-bind-try", "/proc/irq", "/proc/irq",
		"--dev", "/dev", "--size", size, "--perms", "1777", "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
		"--dir", "/var", "--dir", path.Dir(sp.Home),
	}
	if sp.Network != spec.NetworkHost {
		args = append(args, "--unshare-net")
	}
	for dir, mode := range map[string]string{"/tmp": "1777", "/var/tmp": "1777", "/run": "0755", sp.Home: "0700"} {
		args = append(args, "--size", size, "--perms", mode, "--tmpfs", dir)
	}
	etc := spec.Mount{Host: sp.Etc, Inside: "/etc", Mode: spec.ReadOnly}
	for _, list := range [][]spec.Mount{sp.System, {etc}, sp.Mounts} {
		for _, m := range list {
			switch {
			case m.Mode == spec.Link:
				args = append(args, "--symlink", m.Host, m.Inside)
			case m.Mode == spec.Writable && m.Empty:
				args = append(args, "--size", size, "--tmpfs", m.Inside)
			case m.Mode == spec.Writable:
				args = append(args, "--bind", m.Host, m.Inside)
			default:
				args = append(args, "--ro-bind", m.Host, m.Inside)
			}
		}
	}
	return append(args, "--remount-ro", "/")
}

// placeWrapped makes throw-away layers read-only, and caches empty: versions before 0.11 have no
// overlays.
func (p *planner) placeWrapped(Request) error {
	if p.spec.Backend != spec.Bwrap {
		return nil
	}
	var err error
	if p.wrapper, err = p.sandbox.bubblewrapHere(); err != nil {
		return err
	}
	if p.spec.Probe.Namespaces, err = ownNamespaces(); err != nil {
		return err
	}
	for i, m := range p.spec.Mounts {
		switch {
		case m.Mode != spec.Overlay:
		case m.Tree || m.Git:
			p.spec.Mounts[i].Mode = spec.ReadOnly
		default: // a cache, or the like
			p.spec.Mounts[i] = spec.Mount{Inside: m.Inside, Mode: spec.Writable, Empty: true}
			p.notes = append(p.notes, "layers: what lies below throw-away layers is not shown")
		}
	}
	if p.tree == TreeOverlay {
		p.tree = treeReadOnly
		p.ro, p.overlay = append(p.ro, p.overlay...), nil
	}
	return nil
}

// ownNamespaces names the daemon's, which the launcher must not find itself in.
func ownNamespaces() ([]string, error) {
	var names []string
	for _, kind := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		name, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			return nil, fmt.Errorf("look at the daemon's %s namespace: %w", kind, err)
		}
		names = append(names, name)
	}
	return names, nil
}

// leader is the first process of namespaces that another program made for the daemon.
type leader struct {
	pid int // on the host
	fd  *os.File
}

// findLeader reads which process it is. It is alive: bubblewrap waits for it, and it waits for the daemon.
func findLeader(info *os.File) (*leader, error) {
	if err := info.SetReadDeadline(time.Now().Add(launchLimit)); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(info, 4096))
	if err != nil {
		return nil, fmt.Errorf("read what bubblewrap tells: %w", err)
	}
	var told struct {
		Child int `json:"child-pid"`
	}
	if err := json.Unmarshal(text, &told); err != nil || told.Child <= 1 {
		return nil, errors.New("bubblewrap did not tell of a process")
	}
	fd, err := unix.PidfdOpen(told.Child, 0)
	if err != nil {
		return nil, fmt.Errorf("open bubblewrap's process: %w", err)
	}
	return &leader{told.Child, os.NewFile(uintptr(fd), "first process")}, nil
}

// kill ends the namespace.
func (l *leader) kill() {
	send := func(fd int) error { return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) }
	_ = l.borrow(send) // already dead is what is wanted, and so is closed: wait saw the end
}

// borrow keeps the descriptor open while it is used.
func (l *leader) borrow(use func(fd int) error) error {
	raw, err := l.fd.SyscallConn()
	if err != nil {
		return err
	}
	var used error
	err = raw.Control(func(fd uintptr) { used = use(int(fd)) })
	return errors.Join(err, used)
}

// wait returns when the kernel reports the end of the first process, which is when its namespace is empty.
// There is nothing to wait for where it is the daemon's child.
func (l *leader) wait() error {
	if l == nil {
		return nil
	}
	defer l.fd.Close()
	return l.borrow(func(fd int) error {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(fds, -1); err != unix.EINTR {
				return err
			}
		}
	})
}
