package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// target is what lies outside and must not be reached.
type target struct {
	Secret   string // a file in the operator's home
	State    string // a file of the daemon
	Sibling  string // a file in another attempt's tree
	Tree     string
	Beside   string // a path beside the tree
	Tmp      string // a file in the host's /tmp
	Shm      string // a file in the host's /dev/shm
	Unix     string // a unix socket of the host
	Abstract string // an abstract unix socket of the host
	TCP      int    // a listener on the host's loopback
	PID      int    // a process of the host
	SysV     int    // a shared memory segment of the host
}

// attempt is one way out. do returns nil when it worked.
type attempt struct {
	name string
	do   func(target) error
	want []error // any of these is a refusal
}

func attempts() []attempt {
	return slices.Concat(fileAttempts(), kernelAttempts(), processAttempts(), networkAttempts())
}

func open(name string, flags int) error {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func fileAttempts() []attempt {
	gone := []error{unix.ENOENT}
	readOnly := []error{unix.EROFS}
	return []attempt{
		{"read the home", func(x target) error { return open(x.Secret, unix.O_RDONLY) }, gone},
		{"read the home through a planted link", func(x target) error {
			link := filepath.Join(x.Tree, "link")
			if err := os.Symlink(x.Secret, link); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("plant: %v", err)
			}
			return open(link, unix.O_RDONLY)
		}, gone},
		{"write the home through a planted directory link", func(x target) error {
			link := filepath.Join(x.Tree, "dirlink")
			if err := os.Symlink(filepath.Dir(x.Secret), link); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("plant: %v", err)
			}
			return open(filepath.Join(link, "planted"), unix.O_WRONLY|unix.O_CREAT)
		}, []error{unix.ENOENT, unix.EROFS}},
		{"list the home", func(x target) error {
			entries, err := os.ReadDir(filepath.Dir(x.Secret))
			if err == nil && len(entries) == 0 {
				return unix.ENOENT
			}
			return err
		}, gone},
		{"read the daemon's files", func(x target) error { return open(x.State, unix.O_RDONLY) }, gone},
		{"read another tree", func(x target) error { return open(x.Sibling, unix.O_RDONLY) }, gone},
		{"write beside the tree", func(x target) error {
			if err := open(x.Beside, unix.O_WRONLY|unix.O_CREAT); err != nil {
				return err
			}
			return errPrivate // a tree below /tmp: the write went to the private one, which the host sees
		}, []error{unix.EROFS, unix.EACCES, errPrivate}},
		{"hard-link a file of the host", func(x target) error { return unix.Link(x.Secret, filepath.Join(x.Tree, "hard")) }, gone},
		{"hard-link a system file", func(x target) error { return unix.Link("/usr/bin/env", filepath.Join(x.Tree, "hard")) }, []error{unix.EXDEV}},
		{"replace the tree", func(x target) error { return unix.Rename(x.Tree, x.Tree+".away") }, []error{unix.EROFS, unix.EBUSY, unix.EXDEV, unix.EACCES}},
		{"write /usr", func(target) error { return open("/usr/planted", unix.O_WRONLY|unix.O_CREAT) }, readOnly},
		{"write /etc", func(target) error { return open("/etc/planted", unix.O_WRONLY|unix.O_CREAT) }, readOnly},
		{"write /", func(target) error { return open("/planted", unix.O_WRONLY|unix.O_CREAT) }, readOnly},
		{"write a system program", func(target) error { return open("/usr/bin/env", unix.O_WRONLY) }, []error{unix.EROFS, unix.EACCES}},
		{"read the host's /tmp", func(x target) error { return open(x.Tmp, unix.O_RDONLY) }, gone},
		{"read the host's /dev/shm", func(x target) error { return open(x.Shm, unix.O_RDONLY) }, gone},
		{"read shadow passwords", func(target) error { return open("/etc/shadow", unix.O_RDONLY) }, gone},
		{"open kernel memory", func(target) error { return open("/dev/mem", unix.O_RDONLY) }, gone},
		{"open the kernel log", func(target) error { return open("/dev/kmsg", unix.O_RDONLY) }, gone},
		{"open fuse", func(target) error { return open("/dev/fuse", unix.O_RDWR) }, gone},
		{"open kvm", func(target) error { return open("/dev/kvm", unix.O_RDWR) }, gone},
		{"open a tunnel", func(target) error { return open("/dev/net/tun", unix.O_RDWR) }, gone},
		{"make a device", func(x target) error {
			return unix.Mknod(filepath.Join(x.Tree, "disk"), unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0)))
		}, []error{unix.EPERM, unix.EACCES}},
		{"make a set-id file", func(x target) error {
			name := filepath.Join(x.Tree, "setid")
			if err := os.WriteFile(name, nil, 0o755); err != nil {
				return fmt.Errorf("make: %v", err)
			}
			return unix.Chmod(name, 0o4755)
		}, []error{unix.EPERM}},
		{"create a set-id file", func(x target) error {
			fd, err := unix.Open(filepath.Join(x.Tree, "setid2"), unix.O_CREAT|unix.O_WRONLY, 0o4755)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}, []error{unix.EPERM}},
		{"give a file capabilities", func(x target) error {
			name := filepath.Join(x.Tree, "caps")
			if err := os.WriteFile(name, nil, 0o755); err != nil {
				return fmt.Errorf("make: %v", err)
			}
			caps := []byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
			return unix.Setxattr(name, "security.capability", caps, 0)
		}, []error{unix.EPERM}},
		{"write a core pattern", func(target) error { return open("/proc/sys/kernel/core_pattern", unix.O_WRONLY) }, []error{unix.EROFS, unix.EACCES}},
		{"allow nested namespaces", func(target) error { return open("/proc/sys/user/max_user_namespaces", unix.O_WRONLY) }, []error{unix.EROFS, unix.EACCES}},
		{"pull sysrq", func(target) error {
			if err := open("/proc/sysrq-trigger", unix.O_WRONLY); err != nil {
				return err
			}
			return isNull("/proc/sysrq-trigger")
		}, []error{unix.EACCES, unix.ENOENT, errNull}},
		{"read kernel keys", func(target) error { return isNull("/proc/keys") }, []error{unix.EACCES, unix.ENOENT, errNull}},
		{"remap users", func(target) error {
			return os.WriteFile("/proc/self/uid_map", []byte("0 0 1"), 0)
		}, []error{unix.EPERM, unix.EACCES, unix.EROFS}},
	}
}

// Harmless outcomes that are no errors of the kernel.
var (
	errNull    = errors.New("the null device")
	errPrivate = errors.New("not the host's")
)

func isNull(name string) error {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
		return errNull
	}
	return nil
}

// call makes a system call by number.
func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return errno
	}
	return nil
}

func kernelAttempts() []attempt {
	refused := []error{unix.EPERM}
	missing := []error{unix.ENOSYS}
	list := []attempt{
		{"mount", func(target) error { return unix.Mount("x", "/tmp", "tmpfs", 0, "") }, refused},
		{"remount /usr writable", func(target) error { return unix.Mount("", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND, "") }, refused},
		{"unmount /tmp", func(target) error { return unix.Unmount("/tmp", unix.MNT_DETACH) }, refused},
		{"pivot_root", func(target) error { return unix.PivotRoot("/tmp", "/tmp") }, refused},
		{"chroot", func(target) error { return unix.Chroot("/tmp") }, refused},
		{"open_tree", func(target) error {
			_, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE)
			return err
		}, refused},
		{"fsopen", func(target) error { _, err := unix.Fsopen("tmpfs", 0); return err }, refused},
		{"mount_setattr", func(target) error {
			return unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		}, refused},
		{"unshare a user namespace", func(target) error { return call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER) }, refused},
		{"clone a user namespace", func(target) error {
			_, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}})
			return err
		}, refused},
		{"clone3", func(target) error { return call(unix.SYS_CLONE3, 0, 0) }, missing},
		{"enter PID 1's namespace", func(target) error {
			fd, err := unix.Open("/proc/1/ns/user", unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			return unix.Setns(fd, 0)
		}, []error{unix.EPERM, unix.EACCES}},
		{"setns", func(target) error { return unix.Setns(0, unix.CLONE_NEWNET) }, refused},
		{"open_by_handle_at", func(target) error {
			handle := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
			_, err := unix.OpenByHandleAt(unix.AT_FDCWD, handle, unix.O_RDONLY)
			return err
		}, refused},
		{"io_uring", func(target) error {
			var params [120]byte
			return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)))
		}, missing},
		{"openat2", func(target) error { _, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{}); return err }, missing},
		{"bpf", func(target) error { return call(unix.SYS_BPF, 0, 0, 0) }, refused},
		{"perf_event_open", func(target) error { return call(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0) }, refused},
		{"userfaultfd", func(target) error { return call(unix.SYS_USERFAULTFD, 1) }, refused},
		{"keyctl", func(target) error { return call(unix.SYS_KEYCTL, 0, 0) }, refused},
		{"add_key", func(target) error { return call(unix.SYS_ADD_KEY, 0) }, refused},
		{"kexec_load", func(target) error { return call(unix.SYS_KEXEC_LOAD, 0) }, refused},
		{"init_module", func(target) error { return call(unix.SYS_INIT_MODULE, 0) }, refused},
		{"set the clock", func(target) error { return call(unix.SYS_CLOCK_SETTIME, 0, 0) }, refused},
		{"quotactl", func(target) error { return call(unix.SYS_QUOTACTL, 0) }, refused},
		{"reboot", func(target) error { return call(unix.SYS_REBOOT, 0) }, refused},
		{"syslog", func(target) error { return call(unix.SYS_SYSLOG, 3) }, refused},
		{"fanotify_init", func(target) error { return call(unix.SYS_FANOTIFY_INIT, 0, 0) }, refused},
		{"set the host name", func(target) error { return unix.Sethostname([]byte("x")) }, refused},
		{"push terminal input", func(target) error { return call(unix.SYS_IOCTL, 0, unix.TIOCSTI) }, refused},
		{"push terminal input, high bits set", func(target) error { return call(unix.SYS_IOCTL, 0, unix.TIOCSTI|1<<32) }, refused},
		{"raise a limit", func(target) error {
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 19, Max: 1 << 19})
		}, refused},
		{"become nice", func(target) error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -20) }, []error{unix.EPERM, unix.EACCES}},
		{"gain privileges by exec", func(target) error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) }, []error{unix.EINVAL}},
		{"raise a capability", func(target) error {
			h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			d := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
			return unix.Capset(&h, &d[0])
		}, refused},
		{"become another user", func(target) error { return unix.Setresuid(0, 0, os.Getuid()+1) }, []error{unix.EPERM, unix.EINVAL}},
	}
	return append(list, foreignAttempts()...)
}

func processAttempts() []attempt {
	hidden := []error{unix.ENOENT}
	return []attempt{
		{"see a process of the host", func(x target) error { return open("/proc/"+strconv.Itoa(x.PID)+"/stat", unix.O_RDONLY) }, hidden},
		{"signal a process of the host", func(x target) error { return unix.Kill(x.PID, 0) }, []error{unix.ESRCH}},
		{"reach the host through PID 1", func(x target) error { return open("/proc/1/root"+x.Secret, unix.O_RDONLY) }, []error{unix.EACCES, unix.ENOENT, unix.EPERM}},
		{"read the memory of PID 1", func(target) error { return open("/proc/1/mem", unix.O_RDONLY) }, []error{unix.EACCES, unix.EPERM}},
		{"read the environment of PID 1", func(target) error {
			_, err := os.ReadFile("/proc/1/environ")
			return err
		}, []error{unix.EACCES, unix.EPERM}},
		{"read the maps of PID 1", func(target) error { _, err := os.ReadFile("/proc/1/maps"); return err }, []error{unix.EACCES, unix.EPERM}},
		{"open a descriptor of PID 1", func(target) error { return open("/proc/1/fd/3", unix.O_RDONLY) }, []error{unix.EACCES, unix.EPERM}},
		{"look at a descriptor of PID 1", func(target) error { _, err := os.Readlink("/proc/1/fd/3"); return err }, []error{unix.EACCES, unix.EPERM}},
		{"trace PID 1", func(target) error { return unix.PtraceAttach(1) }, []error{unix.EPERM}},
		{"trace its parent", func(target) error { return unix.PtraceAttach(os.Getppid()) }, []error{unix.EPERM}},
		{"read memory of PID 1", func(target) error {
			var b [8]byte
			local := []unix.Iovec{{Base: &b[0], Len: 8}}
			_, err := unix.ProcessVMReadv(1, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
			return err
		}, []error{unix.EPERM}},
		{"take a descriptor of PID 1", func(target) error {
			fd, err := unix.PidfdOpen(1, 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(fd, 3, 0)
			return err
		}, []error{unix.EPERM}},
		{"use the control socket", func(target) error {
			return unix.Send(3, []byte("x"), 0)
		}, []error{unix.EBADF, unix.ENOTSOCK}},
		{"reach the host's shared memory", func(x target) error {
			_, err := unix.SysvShmGet(x.SysV, 0, 0)
			return err
		}, hidden},
	}
}

func networkAttempts() []attempt {
	refused := []error{unix.ECONNREFUSED}
	noRoute := []error{unix.ENETUNREACH}
	family := func(domain, kind, proto int) func(target) error {
		return func(target) error {
			s, err := unix.Socket(domain, kind, proto)
			if err == nil {
				unix.Close(s)
			}
			return err
		}
	}
	dial := func(network, address string) error {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
		}
		return err
	}
	return []attempt{
		{"TCP to the host's loopback", func(x target) error { return dial("tcp", "127.0.0.1:"+strconv.Itoa(x.TCP)) }, refused},
		{"TCP to the host's loopback over IPv6", func(x target) error { return dial("tcp", "[::1]:"+strconv.Itoa(x.TCP)) }, []error{unix.ECONNREFUSED, unix.EADDRNOTAVAIL, unix.ENETUNREACH}},
		{"TCP to the outside", func(target) error { return dial("tcp", "192.0.2.1:443") }, noRoute},
		{"UDP to the outside", func(target) error { return dial("udp", "192.0.2.1:53") }, noRoute},
		{"UDP to the outside over IPv6", func(target) error { return dial("udp", "[2001:db8::1]:53") }, []error{unix.ENETUNREACH, unix.EADDRNOTAVAIL}},
		{"UDP to a resolver without connecting", func(target) error {
			s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return fmt.Errorf("socket: %v", err)
			}
			defer unix.Close(s)
			return unix.Sendto(s, []byte("x"), 0, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{8, 8, 8, 8}})
		}, noRoute},
		{"TCP fast open", func(target) error {
			s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return fmt.Errorf("socket: %v", err)
			}
			defer unix.Close(s)
			return unix.Sendto(s, []byte("x"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: 443, Addr: [4]byte{192, 0, 2, 1}})
		}, noRoute},
		{"an abstract socket of the host", func(x target) error { return dial("unix", "@"+x.Abstract) }, refused},
		{"a unix socket of the host", func(x target) error { return dial("unix", x.Unix) }, []error{unix.ENOENT}},
		{"AF_ALG", family(unix.AF_ALG, unix.SOCK_SEQPACKET, 0), []error{unix.EAFNOSUPPORT}},
		{"AF_VSOCK", family(unix.AF_VSOCK, unix.SOCK_STREAM, 0), []error{unix.EAFNOSUPPORT}},
		{"AF_PACKET", family(unix.AF_PACKET, unix.SOCK_RAW, 0), []error{unix.EAFNOSUPPORT}},
		{"AF_RXRPC", family(unix.AF_RXRPC, unix.SOCK_DGRAM, 0), []error{unix.EAFNOSUPPORT}},
		{"AF_XDP", family(unix.AF_XDP, unix.SOCK_RAW, 0), []error{unix.EAFNOSUPPORT}},
		{"AF_TIPC", family(unix.AF_TIPC, unix.SOCK_STREAM, 0), []error{unix.EAFNOSUPPORT}},
		{"netlink audit", family(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT), []error{unix.EPROTONOSUPPORT}},
		{"netlink netfilter", family(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER), []error{unix.EPROTONOSUPPORT}},
		{"multipath TCP", family(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP), []error{unix.EPROTONOSUPPORT}},
		{"SCTP", family(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP), []error{unix.EPROTONOSUPPORT}},
		{"SCTP by type", family(unix.AF_INET, unix.SOCK_SEQPACKET, 0), []error{unix.EPROTONOSUPPORT}},
		{"raw IP", family(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP), []error{unix.EPROTONOSUPPORT}},
	}
}

// outcome of one attempt as the payload saw it.
type outcome struct {
	Name    string
	Error   string // "" means that it worked
	Refused bool
}

// tryAll is the payload: every attempt, one after the other.
func tryAll(args []string) int {
	var x target
	if err := json.Unmarshal([]byte(args[0]), &x); err != nil {
		fmt.Println(err)
		return 1
	}
	var all []outcome
	for _, a := range attempts() {
		err := a.do(x)
		o := outcome{Name: a.name}
		if err != nil {
			o.Error = err.Error()
			o.Refused = slices.ContainsFunc(a.want, func(w error) bool { return errors.Is(err, w) })
		}
		all = append(all, o)
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		return 1
	}
	return 0
}

// outsideWorld makes everything that the attempts go for, and proves that it is there.
func outsideWorld(t *testing.T, f *fixture) target {
	t.Helper()
	x := target{
		Secret:  write(t, filepath.Join(f.home, ".ssh", "id_ed25519"), "secret"),
		State:   write(t, filepath.Join(f.state, "drawspan.db"), "rows"),
		Sibling: write(t, filepath.Join(realTemp(t), "sibling", "file"), "other"),
		Tree:    f.tree,
		Beside:  filepath.Join(filepath.Dir(f.tree), "beside"),
		PID:     os.Getpid(),
	}
	tmp, err := os.CreateTemp("/tmp", "canary-")
	if err != nil {
		t.Fatal(err)
	}
	shm, err := os.CreateTemp("/dev/shm", "canary-")
	if err != nil {
		t.Fatal(err)
	}
	x.Tmp, x.Shm = tmp.Name(), shm.Name()
	t.Cleanup(func() { tmp.Close(); shm.Close(); os.Remove(tmp.Name()); os.Remove(shm.Name()) })
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x.TCP = tcp.Addr().(*net.TCPAddr).Port
	x.Unix = filepath.Join(f.state, "api.sock")
	pathname, err := net.Listen("unix", x.Unix)
	if err != nil {
		t.Fatal(err)
	}
	x.Abstract = fmt.Sprintf("drawspan-test-%d", os.Getpid())
	abstract, err := net.Listen("unix", "@"+x.Abstract)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); pathname.Close(); abstract.Close() })
	x.SysV = 0x44524157 ^ os.Getpid()
	id, err := unix.SysvShmGet(x.SysV, 4096, unix.IPC_CREAT|0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
			t.Error(err)
		}
	})
	return x
}

func TestS30_EveryWayOutIsRefusedByTheKernel(t *testing.T) {
	f := newFixture(t)
	x := outsideWorld(t, f)
	arg, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int64)
	text, end := f.payload(sandbox.Request{
		Tree:        f.writable(),
		OnViolation: func(v sandbox.Violation) { seen[v.Name] += v.Count },
	}, "attempts", string(arg))
	if end.Code != 0 || end.Lost != "" {
		t.Fatalf("the payload ended with %+v: %s", end, text)
	}
	var all []outcome
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if got, want := len(all), len(attempts()); got != want {
		t.Errorf("%d outcomes of %d attempts", got, want)
	}
	for _, o := range all {
		t.Run(o.Name, func(t *testing.T) {
			switch {
			case o.Error == "":
				t.Error("it worked")
			case !o.Refused:
				t.Errorf("refused in an unexpected way: %s", o.Error)
			}
		})
	}
	t.Run("and what the filter refused is reported", func(t *testing.T) {
		for _, name := range []string{"mount", "unshare", "ptrace", "chroot", "keyctl", "socket", "bpf"} {
			if seen[name] == 0 {
				t.Errorf("no report of %s among %v", name, seen)
			}
		}
	})
	t.Run("and nothing of the host was changed", func(t *testing.T) {
		if got := read(t, x.Secret); got != "secret" {
			t.Errorf("the secret is now %q", got)
		}
		if _, err := os.Lstat(x.Beside); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file beside the tree: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(filepath.Dir(x.Secret), "planted")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file in the home: %v", err)
		}
		assertNoSetID(t, f.tree)
	})
}

// assertNoSetID looks for files that would run as somebody else.
func assertNoSetID(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeDevice) != 0 {
			t.Errorf("%s has mode %v", strings.TrimPrefix(name, dir), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The attempts prove nothing if they fail outside too.
func TestTheWaysOutAreOpenOutside(t *testing.T) {
	f := newFixture(t)
	x := outsideWorld(t, f)
	for _, a := range slices.Concat(fileAttempts()[:6], processAttempts()[:2], networkAttempts()[:1]) {
		if err := a.do(x); err != nil {
			t.Errorf("%s fails outside as well: %v", a.name, err)
		}
	}
	for _, n := range []string{"an abstract socket of the host", "a unix socket of the host", "reach the host's shared memory", "read the host's /tmp", "read the host's /dev/shm"} {
		i := slices.IndexFunc(attempts(), func(a attempt) bool { return a.name == n })
		if err := attempts()[i].do(x); err != nil {
			t.Errorf("%s fails outside as well: %v", n, err)
		}
	}
}
