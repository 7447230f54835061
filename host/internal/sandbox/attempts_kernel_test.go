package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
