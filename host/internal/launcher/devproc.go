package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// addDev attaches the six harmless device nodes and a private terminal file system.
func addDev() error {
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := unix.Mknod("/dev/"+name, unix.S_IFREG|0o666, 0); err != nil {
			return fmt.Errorf("make a place for %s: %w", name, err)
		}
		if err := unix.Mount(hostRoot+"/dev/"+name, "/dev/"+name, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", name, err)
		}
	}
	if err := unix.Mkdir("/dev/pts", 0o755); err != nil {
		return fmt.Errorf("make pts: %w", err)
	}
	err := unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
	if err != nil {
		return fmt.Errorf("mount pts: %w", err)
	}
	for _, l := range [][2]string{
		{"pts/ptmx", "/dev/ptmx"}, {"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
	} {
		if err := unix.Symlink(l[0], l[1]); err != nil {
			return fmt.Errorf("link %s: %w", l[1], err)
		}
	}
	return nil
}

// addProc mounts a /proc that knows the new namespace only.
func addProc() error {
	if err := unix.Mkdir("/proc", 0o555); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return nil
}

// protectProc makes the parts of /proc that reach beyond processes read-only, and hides what a uid 0
// owns there.
func protectProc(root bool) error {
	const readOnly = unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, p := range []string{"/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq"} {
		err := unix.Mount(p, p, "", unix.MS_BIND, "")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = unix.Mount("", p, "", readOnly, "")
		}
		if err != nil {
			return fmt.Errorf("make %s read-only: %w", p, err)
		}
	}
	masked := []string{"/proc/keys"}
	if root {
		masked = append(masked, "/proc/sysrq-trigger", "/proc/kcore", "/proc/kmsg", "/proc/timer_list",
			"/proc/kallsyms", "/proc/sched_debug", "/proc/config.gz")
	}
	for _, p := range masked {
		if err := unix.Access(p, unix.F_OK); err != nil {
			continue // this kernel does not have it
		}
		if err := unix.Mount(hostRoot+"/dev/null", p, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mask %s: %w", p, err)
		}
	}
	return nil
}

// forbidNestedNamespaces lets no user namespace be made below this one; the filter refuses it too.
func (b *box) forbidNestedNamespaces() error {
	if err := writeFile("/proc/sys/user/max_user_namespaces", "0"); err != nil {
		return fmt.Errorf("forbid nested user namespaces: %w", err)
	}
	b.report.Features.Nested = true
	return nil
}

// boundRootsProcesses bounds the processes of uid 0, which RLIMIT_NPROC does not bind, by the number of
// process ids of the namespace. Kernels before 6.14 have one such number for the whole machine, which
// must not be touched.
func (b *box) boundRootsProcesses() error {
	if unix.Getuid() != 0 {
		return nil
	}
	if !kernelAtLeast(6, 14) {
		b.note("limits.processes: uid 0 is not bound by it on this kernel")
		return nil
	}
	const reserved = 300 // the kernel never reuses the ids below
	if err := writeFile("/proc/sys/kernel/pid_max", strconv.Itoa(reserved+ownThreads+b.spec.Limits.Processes)); err != nil {
		b.note("limits.processes: uid 0 is not bound by it: %v", err)
	}
	return nil
}

func writeFile(name, text string) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(text))
	return errors.Join(err, unix.Close(fd))
}

func kernelAtLeast(major, minor int) bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	if len(parts) < 2 {
		return false
	}
	gotMajor, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	gotMinor, err := strconv.Atoi(strings.TrimRight(parts[1], "-+abcdefghijklmnopqrstuvwxyz"))
	if err != nil {
		return false
	}
	return gotMajor > major || gotMajor == major && gotMinor >= minor
}
