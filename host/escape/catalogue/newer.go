package catalogue

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newer are ways beyond the design's list: published escapes, and interfaces that came later.
func newer() []Probe {
	disk := []string{View, Landlock}
	list := []Probe{
		{ID: "71", Title: "overwrite the launcher by /proc/self/exe (CVE-2019-5736)", Layer: Host, Walls: nil, try: overwriteSelf,
			Note: "the payload's own program is a sealed copy; there is no layer to leave out"},
		{ID: "71b", Title: "open PID 1's program for writing", Layer: Dumpable, Walls: []string{Dumpable, Landlock}, try: openInitProgram},
		{ID: "72", Title: "reach a masked file through a race of links (CVE-2025-31133)", Layer: View, Walls: disk, try: unmask},
		{ID: "73", Title: "write attributes of the security module by /proc/self/attr (CVE-2025-52881)", Layer: View, Walls: disk, try: attributesOf,
			Note: "no such module runs here"},
		{ID: "74", Title: "a new settings file where none was (CVE-2026-25725)", Layer: View, Walls: disk, try: writeBesideState},
		{ID: "75", Title: "a link that the host's own part follows (CVE-2026-39861)", Layer: Host, Walls: nil, try: plantLinks,
			Note: "what the host reads of a tree is tried by the rooms that read it"},
		{ID: "76", Title: "the working directory as a way out (CVE-2024-21626)", Layer: View, Walls: []string{View, Landlock}, try: throughCwd},
		{ID: "77", Title: "magic links with openat2", Layer: Seccomp, Walls: []string{Seccomp, Dumpable, Landlock}, try: openat2Magic},
		{ID: "78", Title: "secret memory (memfd_secret)", Layer: Limits, Walls: nil, try: secretMemory,
			Note: "private memory of the caller: it is bounded by the limits of memory, and no way out"},
		{ID: "79", Title: "watch the host's files (inotify)", Layer: View, Walls: disk, try: watch},
		{ID: "80", Title: "name a file of the host by a handle", Layer: View, Walls: disk, try: nameHandle},
		{ID: "81", Title: "find the host's cgroups and write one", Layer: View, Walls: disk, try: writeCgroup,
			Note: "no cgroup is delegated to this user here"},
		{ID: "81b", Title: "set a release agent (CVE-2022-0492)", Layer: View, Walls: append([]string{Caps}, disk...), try: releaseAgent,
			Note: "it asks for a privilege of the first user namespace"},
		{ID: "82", Title: "clone a file of the host into the tree (FICLONE)", Layer: View, Walls: disk, try: cloneFile,
			Note: "this file system may not know clones"},
		{ID: "83", Title: "splice into the page cache of /usr (dirty pipe, CVE-2022-0847)", Layer: Host, Walls: nil, try: dirtyPipe,
			Note: "mended in every kernel that is supported; there is no layer to leave out"},
		{ID: "84", Title: "make mappings executable that were not asked for (READ_IMPLIES_EXEC)", Layer: NoNew, Walls: nil, try: personality,
			Note: "a process may weaken itself: what counts is that a set-id program would not inherit it"},
		{ID: "85", Title: "list mounts of another namespace (listmount)", Layer: PIDNS, Walls: []string{View, Landlock, Caps}, try: listMounts,
			Note: "it asks for a privilege over the other namespace"},
		{ID: "86", Title: "open the namespace of the host's init by its number (nsfs handles)", Layer: Seccomp, Walls: []string{Seccomp, Caps}, try: namespaceHandle,
			Note: "this kernel may have no handles of namespaces"},
		{ID: "87", Title: "a bind mount by the tree itself (open_tree_attr)", Layer: Seccomp, Walls: []string{Seccomp, Caps, Landlock}, try: openTreeAttr},
		{ID: "88", Title: "the file system's private interface (XFS, ext4 ioctls)", Layer: Caps, Walls: []string{Caps}, try: fsIoctls,
			Note: "they ask for a privilege of the first user namespace"},
		{ID: "89", Title: "write the settings of Landlock's or Yama's", Layer: View, Walls: disk, try: open(at("/proc/sys/kernel/yama/ptrace_scope"), unix.O_WRONLY),
			Note: "this kernel has none, or plain permissions refuse"},
		{ID: "90", Title: "have a core dump handled by a program of its choice", Layer: Limits, Walls: []string{Limits}, try: crash,
			Note: "the pattern is the machine's; what a crash left is looked for outside"},
	}
	for i := range list {
		if list[i].Level == "" {
			list[i].Level = isolated
		}
	}
	return list
}

// overwriteSelf opens the running program for writing and, if that works, changes nothing.
func overwriteSelf(*Target) Outcome {
	var all []Outcome
	for _, p := range []string{"/proc/self/exe", "/proc/self/task/" + itoa(unix.Gettid()) + "/exe"} {
		fd, err := unix.Open(p, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			all = append(all, refused(err))
			continue
		}
		_, err = unix.Write(fd, []byte{0x7f})
		unix.Close(fd)
		all = append(all, unless(err, "wrote "+p))
	}
	return first(all...)
}

func openInitProgram(*Target) Outcome {
	fd, err := unix.Open("/proc/1/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	again, err := unix.Open(procFD(fd), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return no("%s for writing", name(err))
	}
	return unless(unix.Close(again), "opened for writing")
}

// unmask tries to see what covers a masked file moved, removed or linked elsewhere.
func unmask(t *Target) Outcome {
	if text, err := os.ReadFile("/proc/keys"); err == nil && len(text) > 0 {
		return no("it is not masked")
	}
	link, err := plant(t, "masked", "/proc/keys")
	if err != nil {
		return broken("%v", err)
	}
	text, err := os.ReadFile(link)
	if err != nil {
		return refused(err)
	}
	if len(text) == 0 {
		return no("empty")
	}
	return through("read %d bytes", len(text))
}

func attributesOf(*Target) Outcome {
	var all []Outcome
	for _, p := range []string{"current", "exec", "fscreate", "keycreate", "sockcreate", "apparmor/current", "apparmor/exec"} {
		all = append(all, unless(os.WriteFile("/proc/self/attr/"+p, []byte("unconfined"), 0), "wrote "+p))
	}
	return first(all...)
}

func writeBesideState(t *Target) Outcome {
	return first(writeFile(t.State+"/settings.json", t.Mark), writeFile(t.Home+"/.claude.json", t.Mark),
		writeFile(t.Home+"/.bashrc", t.Mark))
}

func plantLinks(t *Target) Outcome {
	for _, l := range [][2]string{{".git/hooks", t.Home}, {"link-to-state", t.State}, {".claude", t.Home + "/.ssh"}} {
		if err := os.Symlink(l[1], filepath.Join(t.Tree, l[0])); err != nil && l[0] == "link-to-state" {
			return broken("%v", err)
		}
	}
	return attempted("planted")
}

// throughCwd tries the directory that the program was started in, and that of every descriptor.
func throughCwd(t *Target) Outcome {
	var all []Outcome
	for _, p := range []string{"/proc/self/cwd", "/proc/self/root", "/proc/self/fd/7", "/proc/self/fd/8", "/proc/thread-self/cwd"} {
		all = append(all, readFile(p+"/../../../../../../../../.."+key(t)))
	}
	return first(all...)
}

func openat2Magic(t *Target) Outcome {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC}
	fd, err := unix.Openat2(unix.AT_FDCWD, "/proc/1/root", &how)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	return readFile(procFD(fd) + key(t))
}

func secretMemory(*Target) Outcome {
	fd, err := unix.MemfdSecret(0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, 64<<20); err != nil {
		return refused(err)
	}
	mem, err := unix.Mmap(fd, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return refused(err)
	}
	defer unix.Munmap(mem)
	return through("64 MiB that nobody else can look at")
}

func watch(t *Target) Outcome {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	var all []Outcome
	for _, p := range []string{key(t), database(t), t.Sibling + "/secret", t.Tmp, "/proc/" + itoa(t.Victim) + "/root" + key(t)} {
		_, err := unix.InotifyAddWatch(fd, p, unix.IN_ALL_EVENTS)
		all = append(all, unless(err, "watching "+p))
	}
	return first(all...)
}

func nameHandle(t *Target) Outcome {
	var all []Outcome
	for _, p := range []string{key(t), database(t), t.Sibling + "/secret"} {
		_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, p, 0)
		all = append(all, unless(err, "named "+p))
	}
	return first(all...)
}

func writeCgroup(*Target) Outcome {
	dirs := []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return refused(err)
	}
	for line := range strings.Lines(string(text)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			dirs = append(dirs, "/sys/fs/cgroup"+p, "/sys/fs/cgroup/unified"+p)
		}
	}
	var all []Outcome
	for _, d := range dirs {
		all = append(all, unless(os.WriteFile(d+"/cgroup.procs", []byte("0"), 0), "moved to "+d),
			unless(unix.Mkdir(d+"/planted", 0o755), "made a group in "+d))
	}
	return first(all...)
}

func releaseAgent(t *Target) Outcome {
	found, err := filepath.Glob("/sys/fs/cgroup/*/release_agent")
	if err != nil {
		return broken("%v", err)
	}
	last := unless(unix.Mount("c", "/tmp", "cgroup", 0, "rdma"), "mounted a hierarchy")
	for _, p := range found {
		last = first(unless(os.WriteFile(p, []byte("/tmp/agent"), 0), "set "+p), last)
	}
	return last
}

func cloneFile(t *Target) Outcome {
	to, err := os.Create(t.Tree + "/clone")
	if err != nil {
		return broken("%v", err)
	}
	defer to.Close()
	from, err := unix.Open(key(t), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(from)
	return unless(unix.IoctlFileClone(int(to.Fd()), from), "cloned")
}

// dirtyPipe fills a pipe, empties it, splices a byte of a read-only file into it and writes behind that byte.
// A kernel with the fault would change the file for everybody. The file is one of the host's own canaries'
// kind: a copy in the tree that is opened for reading only.
func dirtyPipe(t *Target) Outcome {
	p, err := inTree(t, "page")
	if err != nil {
		return broken("%v", err)
	}
	if err := os.WriteFile(p, []byte("0123456789"), 0o644); err != nil {
		return broken("%v", err)
	}
	from, err := os.Open(p)
	if err != nil {
		return broken("%v", err)
	}
	defer from.Close()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return broken("%v", err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	buf := make([]byte, 4096)
	for {
		if _, err := unix.Write(pipe[1], buf); err != nil {
			break
		}
	}
	for {
		if n, err := unix.Read(pipe[0], buf); err != nil || n == 0 {
			break
		}
	}
	var at int64
	if _, err := unix.Splice(int(from.Fd()), &at, pipe[1], nil, 1, 0); err != nil {
		return refused(err)
	}
	if _, err := unix.Write(pipe[1], []byte("XXXX")); err != nil {
		return refused(err)
	}
	text, err := os.ReadFile(p)
	if err != nil {
		return broken("%v", err)
	}
	if strings.Contains(string(text), "X") {
		return through("a file that was open for reading changed")
	}
	return no("the file is what it was")
}

// personality asks for executable data and for addresses that do not change, and lets a program inherit it.
func personality(*Target) Outcome {
	const readImpliesExec, noRandom = 0x0400000, 0x0040000
	if _, err := sys(unix.SYS_PERSONALITY, readImpliesExec|noRandom); err != nil {
		return refused(err)
	}
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return broken("%v", err)
	}
	if nnp == 1 {
		return no("set for itself; no program it starts can gain anything")
	}
	return through("set, and a set-id program would start with it")
}

func listMounts(*Target) Outcome {
	// struct mnt_id_req with the number of the host's first mount namespace.
	const sysListmount, initMountNS = 458, 0xEFFFFFF8
	req := struct {
		size, spare   uint32
		id, param, ns uint64
	}{size: 32, id: ^uint64(0), ns: initMountNS}
	var ids [64]uint64
	n, err := sys(sysListmount, uintptr(unsafe.Pointer(&req)), uintptr(unsafe.Pointer(&ids[0])), 64, 0)
	return unless(err, "saw "+strconv.Itoa(int(n))+" mounts")
}

func namespaceHandle(*Target) Outcome {
	// A handle of nsfs: number, kind and inode of the first user namespace.
	const nsfsRoot = -10002
	raw := [16]byte{}
	*(*uint64)(unsafe.Pointer(&raw[0])) = 1
	*(*uint32)(unsafe.Pointer(&raw[8])) = unix.CLONE_NEWUSER
	*(*uint32)(unsafe.Pointer(&raw[12])) = 0xEFFFFFFD
	fd, err := unix.OpenByHandleAt(nsfsRoot, unix.NewFileHandle(0xf1, raw[:]), unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(fd), "opened")
}

func openTreeAttr(t *Target) Outcome {
	p, err := unix.BytePtrFromString(t.Tree)
	if err != nil {
		return broken("%v", err)
	}
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_NOSUID}
	here := unix.AT_FDCWD
	fd, err := sys(unix.SYS_OPEN_TREE_ATTR, uintptr(here), uintptr(unsafe.Pointer(p)), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if err != nil {
		return refused(err)
	}
	return unless(unix.Close(int(fd)), "cloned")
}

func fsIoctls(t *Target) Outcome {
	fd, err := unix.Open(t.Tree, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return broken("%v", err)
	}
	defer unix.Close(fd)
	const shutdown, freeze, trim = 0x8004587d, 0xc0045877, 0xc0185879
	var arg [24]byte
	arg[0] = 9 // no known kind of shutdown
	var all []Outcome
	for _, request := range []uintptr{freeze, trim, shutdown} {
		_, err := sys(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&arg[0])))
		all = append(all, unless(err, "taken: "+strconv.FormatUint(uint64(request), 16)))
	}
	return first(all...)
}

// crash dies with a core, if it may have one. The driver looks for files that were not there.
func crash(t *Target) Outcome {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &now); err != nil {
		return broken("%v", err)
	}
	now.Cur = now.Max
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &now); err != nil {
		return broken("%v", err)
	}
	cmd := exec.Command("/bin/sh", "-c", "kill -s SEGV $$")
	cmd.Dir = t.Tree
	if err := cmd.Run(); cmd.ProcessState == nil {
		return broken("%v", err)
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.CoreDump() {
		return through("the kernel dumped a core")
	}
	return no("no core (%v)", status.Signal())
}
