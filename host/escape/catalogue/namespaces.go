package catalogue

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaces are ways to change what is seen: mounts, roots, namespaces.
func namespaces() []Probe {
	mounts := []string{Seccomp, Caps, Landlock}
	nested := []string{Seccomp, Nested}
	list := []Probe{
		{ID: "11", Title: "open a file by a forged handle", Walls: []string{Seccomp, Caps}, try: forgedHandle,
			Note: "open_by_handle_at asks for a privilege of the first user namespace"},
		{ID: "14", Title: "mount a tmpfs", Walls: mounts, try: mountTmpfs},
		{ID: "14b", Title: "remount /usr writable", Walls: mounts, try: remountUsr, Note: "the mount is locked by the kernel as well"},
		{ID: "14c", Title: "clone the tree of mounts (open_tree)", Walls: mounts, try: openTree},
		{ID: "14d", Title: "pivot_root", Walls: mounts, try: pivot},
		{ID: "14e", Title: "mount by the new interface (fsopen, fsmount)", Walls: mounts, try: newMount},
		{ID: "14f", Title: "clear read-only with mount_setattr", Walls: mounts, try: setAttr},
		{ID: "14g", Title: "bind the root over /tmp", Walls: mounts, try: bindRoot},
		{ID: "14h", Title: "mount a fresh /proc", Walls: mounts, try: mountProc},
		{ID: "14i", Title: "mount an overlay", Walls: mounts, try: mountOverlay},
		{ID: "14j", Where: OursOnly, Title: "look at mounts of the host (statmount, listmount)", Layer: View, Level: isolated, Walls: []string{View, Landlock},
			try: hostMounts},
		{ID: "15", Title: "unmount what covers the view", Walls: mounts, try: unmountCover},
		{ID: "16", Title: "chroot and walk out", Walls: mounts, try: walkOut},
		{ID: "48", Title: "unshare a user namespace", Walls: nested, try: unshareUser},
		{ID: "48b", Title: "clone a user namespace", Walls: nested, try: cloneNamespace(unix.CLONE_NEWUSER)},
		{ID: "48c", Title: "clone3 a user namespace", Walls: nested, try: clone3Namespace},
		{ID: "48d", Title: "enter PID 1's namespaces", Walls: []string{Seccomp, Dumpable, Landlock, Caps}, try: enterInit},
		{ID: "48e", Title: "clone mount and network namespaces", Walls: []string{Seccomp, Caps}, try: cloneNamespace(unix.CLONE_NEWNS | unix.CLONE_NEWNET)},
		{ID: "48f", Where: OursOnly, Title: "unshare with flags that change nothing but files", Walls: []string{Seccomp}, try: simple(unix.SYS_UNSHARE, unix.CLONE_FILES)},
		{ID: "48g", Title: "unshare a time namespace", Walls: []string{Seccomp, Caps}, try: cloneNamespaceByUnshare(unix.CLONE_NEWTIME)},
		{ID: "48h", Where: OursOnly, Title: "clone into another cgroup", Walls: []string{Seccomp}, try: cloneIntoCgroup},
		{ID: "49", Title: "raise max_user_namespaces", Layer: View, Walls: []string{View, Landlock}, Level: isolated,
			try: open(at("/proc/sys/user/max_user_namespaces"), unix.O_WRONLY), Note: "plain permissions refuse an ordinary user"},
		{ID: "49b", Title: "write uid_map", Layer: Caps, Walls: []string{Caps}, Level: isolated, try: writeMap, Note: "a map can be written once"},
		{ID: "49c", Title: "allow setgroups again", Layer: Caps, Walls: []string{Caps}, Level: isolated, try: allowSetgroups, Note: "it cannot be taken back"},
	}
	for i := range list {
		p := &list[i]
		if p.Layer == "" {
			p.Layer, p.Level = Seccomp, guarded
		}
	}
	return list
}

func forgedHandle(t *Target) Outcome {
	dir, err := unix.Open(t.Tree, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return broken("open the tree: %v", err)
	}
	defer unix.Close(dir)
	handle := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0}) // the root of an ext4
	fd, err := unix.OpenByHandleAt(dir, handle, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(fd), "opened")
}

func mountTmpfs(t *Target) Outcome {
	return unless(unix.Mount("x", "/tmp", "tmpfs", 0, ""), "mounted")
}

func remountUsr(*Target) Outcome {
	return unless(unix.Mount("", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND, ""), "writable")
}

func openTree(*Target) Outcome {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(fd), "cloned")
}

func pivot(t *Target) Outcome {
	if err := unix.Mount(t.Tree, t.Tree, "", unix.MS_BIND, ""); err != nil {
		return refused(err)
	}
	return unless(unix.PivotRoot(t.Tree, t.Tree), "pivoted")
}

func newMount(*Target) Outcome {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return refused(err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(fd), "mounted")
}

func setAttr(*Target) Outcome {
	return unless(unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}), "writable")
}

func bindRoot(*Target) Outcome {
	return unless(unix.Mount("/", "/tmp", "", unix.MS_BIND|unix.MS_REC, ""), "bound")
}

func mountProc(*Target) Outcome { return unless(unix.Mount("proc", "/tmp", "proc", 0, ""), "mounted") }

func mountOverlay(t *Target) Outcome {
	for _, d := range []string{"/tmp/u", "/tmp/w"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return broken("%v", err)
		}
	}
	return unless(unix.Mount("o", t.Tree, "overlay", 0, "lowerdir=/etc,upperdir=/tmp/u,workdir=/tmp/w,userxattr"), "mounted")
}

// hostMounts looks for a mount that only the host has.
func hostMounts(t *Target) Outcome {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return refused(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 4 && slices.Contains([]string{"/sys", "/boot", "/sys/kernel/debug", "/dev/hugepages", "/home"}, f[4]) {
			return through("saw %s", f[4])
		}
	}
	return no("none of the host's")
}

func unmountCover(t *Target) Outcome {
	var all []Outcome
	places := []string{"/proc/sys", "/proc/keys", "/tmp", t.Tree}
	if t.Shadow != "" {
		places = append(places, t.Tree+"/.git", t.Shadow+"/config")
	}
	for _, p := range places {
		all = append(all, unless(unix.Unmount(p, unix.MNT_DETACH), "unmounted "+p))
	}
	return first(all...)
}

func walkOut(t *Target) Outcome {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	if err := unix.Chroot(t.Tree); err != nil {
		return refused(err)
	}
	return unless(unix.Fchdir(fd), "outside of the root")
}

// unshareUser is done by a helper: a process with several threads may not.
func unshareUser(*Target) Outcome {
	out, err := command("unshare", "-U", "true")
	if err != nil {
		return no("%s", lastLine(out, err))
	}
	return through("a user namespace was made")
}

func cloneNamespace(flags uintptr) func(*Target) Outcome {
	return func(*Target) Outcome {
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: flags}})
		if err != nil {
			return refused(err)
		}
		return reap(pid, "a process in a new namespace ran")
	}
}

func cloneNamespaceByUnshare(flags uintptr) func(*Target) Outcome {
	return simple(unix.SYS_UNSHARE, flags)
}

func reap(pid int, what string) Outcome {
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return broken("wait: %v", err)
	}
	return through("%s", what)
}

type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// clone3Namespace asks with arguments that the kernel refuses at last, because a real child would have this
// process' stack: what it answers shows whether the call is there.
func clone3Namespace(*Target) Outcome {
	args := cloneArgs{flags: unix.CLONE_NEWUSER, exitSignal: 1 << 32}
	_, err := sys(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	if name(err) == "EINVAL" {
		return through("the kernel took the call (and refused its arguments, as it had to)")
	}
	return refused(err)
}

func cloneIntoCgroup(*Target) Outcome {
	args := cloneArgs{flags: 0x200000000, cgroup: 1 << 40, exitSignal: 1 << 32}
	_, err := sys(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	if name(err) == "EINVAL" {
		return through("the kernel took the call (and refused its arguments, as it had to)")
	}
	return refused(err)
}

func enterInit(*Target) Outcome {
	var all []Outcome
	for _, ns := range []string{"user", "mnt", "net", "pid"} {
		fd, err := unix.Open("/proc/1/ns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			all = append(all, refused(err))
			continue
		}
		all = append(all, unless(unix.Setns(fd, 0), "entered "+ns))
		unix.Close(fd)
	}
	pidfd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return first(append(all, refused(err))...)
	}
	defer unix.Close(pidfd)
	return first(append(all, unless(unix.Setns(pidfd, unix.CLONE_NEWNS|unix.CLONE_NEWNET), "entered by pidfd"))...)
}

func writeMap(*Target) Outcome {
	var all []Outcome
	for _, line := range []string{"0 0 1", "0 " + strconv.Itoa(unix.Getuid()) + " 1"} {
		all = append(all, unless(os.WriteFile("/proc/self/uid_map", []byte(line), 0), "mapped"))
	}
	return first(all...)
}

func allowSetgroups(*Target) Outcome {
	if err := os.WriteFile("/proc/self/setgroups", []byte("allow"), 0); err != nil {
		return refused(err)
	}
	return unless(unix.Setgroups([]int{0}), "joined group 0")
}
