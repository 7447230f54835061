package catalogue

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// environment is what the daemon has in its variables.
func environment() []Probe {
	return []Probe{
		{ID: "60", Title: "find a secret in the environment", Layer: Env, Level: guarded, try: findSecret},
		{ID: "60b", Title: "find sockets of agents and buses named", Layer: Env, Level: guarded, try: findVariables("SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "SSH_CONNECTION", "TMUX")},
		{ID: "60c", Title: "find variables that load code", Layer: Env, Level: guarded, try: findVariables("LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "PYTHONSTARTUP", "NODE_OPTIONS", "GIT_DIR", "GIT_EXTERNAL_DIFF")},
		{ID: "60d", Title: "find clouds' and proxies' credentials", Layer: Env, Level: guarded, try: findVariables("AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "HTTPS_PROXY", "GITHUB_TOKEN", "KUBECONFIG")},
		{ID: "60e", Title: "find a secret in its own memory below the stack (auxv, environ)", Layer: Env, Level: guarded, try: readInitial},
	}
}

func findSecret(*Target) Outcome {
	all := variables()
	return Outcome{Claim: Attempted, Detail: itoa(len(all)) + " variables", Loot: strings.Join(all, "\n")}
}

// variables are what the program was started with.
func variables() []string { return unix.Environ() }

// readInitial reads the same from where the kernel put it, whatever the program did to its copy since.
func readInitial(*Target) Outcome { return readFile("/proc/self/environ") }

func findVariables(names ...string) func(*Target) Outcome {
	return func(*Target) Outcome {
		for _, n := range names {
			if v, ok := unix.Getenv(n); ok && v != "" {
				return through("%s is set", n)
			}
		}
		return no("none of %d", len(names))
	}
}

// exhaustion are ways to take what others need.
func exhaustion() []Probe {
	limits := []string{Limits}
	return []Probe{
		{ID: "61", Title: "fork bomb", Layer: Limits, Level: guarded, Walls: limits, Ends: processLimit, try: forkBomb},
		{ID: "61b", Title: "fill /tmp", Layer: View, Level: isolated, Walls: []string{View, Landlock, Limits}, try: fillTmp},
		{ID: "61c", Title: "use up the inodes of /tmp", Layer: View, Level: isolated, Walls: []string{View, Landlock, Limits}, try: fillInodes},
		{ID: "61d", Title: "make a file of 1 TiB", Layer: Limits, Level: guarded, Walls: limits, try: hugeFile},
		{ID: "61e", Title: "be nicer to itself (nice -20)", Layer: Limits, Level: guarded, Walls: []string{Limits, Caps}, try: nice,
			Note: "it asks for a privilege of the first user namespace"},
		{ID: "61f", Title: "real-time scheduling", Layer: Limits, Level: guarded, Walls: []string{Limits, Caps}, try: realTime,
			Note: "it asks for a privilege of the first user namespace"},
		{ID: "61g", Title: "deadline scheduling", Layer: Caps, Level: isolated, Walls: []string{Caps}, try: deadline,
			Note: "it asks for a privilege of the first user namespace"},
		{ID: "61h", Title: "raise a limit", Layer: Limits, Level: guarded, Walls: []string{Limits}, try: raiseLimit},
		{ID: "61i", Title: "real-time input and output (ioprio)", Layer: Caps, Level: isolated, Walls: []string{Caps}, try: ioPriority,
			Note: "it asks for a privilege of the first user namespace"},
		{ID: "61j", Title: "open very many files", Layer: Limits, Level: guarded, Walls: limits, try: openMany},
		{ID: "61k", Title: "lock memory", Layer: Limits, Level: guarded, Walls: []string{Limits, Caps}, try: lockMemory},
		{ID: "61l", Where: OursOnly, Title: "leave a core with memory in it", Layer: Limits, Level: guarded, Walls: limits, try: coreLimit},
		{ID: "61m", Title: "flood with timers", Layer: Limits, Level: guarded, Walls: []string{Limits}, try: timers},
		{ID: "61n", Title: "fill /dev/shm", Layer: View, Level: isolated, Walls: []string{View, Landlock, Limits}, try: fillShm},
		{ID: "61o", Title: "protect itself from the memory killer", Layer: Caps, Level: isolated, Walls: []string{Caps}, try: oomScore,
			Note: "it asks for a privilege of the first user namespace"},
		{ID: "62", Where: OursOnly, Title: "memory bomb", Layer: Limits, Level: guarded, Walls: limits, Ends: memoryLimit, try: memoryBomb},
		{ID: "62b", Where: OursOnly, Title: "fill the disk through the tree", Layer: Limits, Level: guarded, Walls: limits, Ends: diskLimit, try: diskBomb},
		{ID: "62c", Where: OursOnly, Title: "burn processor time", Layer: Limits, Level: guarded, Walls: limits, Ends: timeLimit, try: burn},
		{ID: "66", Where: OursOnly, Title: "flood stdout and stderr with a line without an end", Layer: Host, Level: guarded, Walls: []string{Host},
			Under: Flooded, try: flood},
		{ID: "61p", Title: "fill pipes beyond the user's share", Layer: Limits, Level: guarded, Walls: limits, try: bigPipe},
	}
}

// forkBomb starts processes until it may not. They end with it.
func forkBomb(t *Target) Outcome {
	var pids []int
	defer func() {
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // a child of ours, not yet waited for
			reap(pid, "")
		}
	}()
	for range t.Forks {
		pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "60"}, &syscall.ProcAttr{})
		if err != nil {
			awaitEnd(t)
			return no("%s after %d", name(err), len(pids))
		}
		pids = append(pids, pid)
	}
	return through("%d processes", len(pids))
}

// awaitEnd gives the launcher time to see that the launch is over a limit.
func awaitEnd(t *Target) {
	if t.Held {
		time.Sleep(5 * time.Second)
	}
}

func fillTmp(t *Target) Outcome { return fill("/tmp/fill-"+t.Mark, t.TmpBytes) }

func fillShm(t *Target) Outcome { return fill("/dev/shm/fill-"+t.Mark, t.TmpBytes) }

// fill takes space without writing it, file by file so that no limit of one file stops it, and gives it back.
func fill(prefix string, want int64) Outcome {
	const each = 64 << 20
	var taken int64
	defer func() {
		for i := int64(0); i*each <= want; i++ {
			_ = unix.Unlink(prefix + itoa(int(i))) // the last ones were never made
		}
	}()
	for i := 0; taken < want; i++ {
		fd, err := unix.Open(prefix+itoa(i), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return no("%s after %d MiB", name(err), taken>>20)
		}
		err = unix.Fallocate(fd, 0, 0, each)
		unix.Close(fd)
		if err != nil {
			return no("%s after %d MiB", name(err), taken>>20)
		}
		taken += each
	}
	return through("%d MiB", taken>>20)
}

func fillInodes(t *Target) Outcome {
	dir, err := os.MkdirTemp("/tmp", t.Mark)
	if err != nil {
		return refused(err)
	}
	defer os.RemoveAll(dir)
	const want = 140000 // twice what the smallest view has
	for i := range want {
		if err := unix.Mknod(dir+"/"+itoa(i), unix.S_IFREG|0o600, 0); err != nil {
			return no("%s after %d files", name(err), i)
		}
	}
	return through("%d files", want)
}

func hugeFile(t *Target) Outcome {
	p := t.Tree + "/huge"
	fd, err := unix.Open(p, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return broken("%v", err)
	}
	defer unix.Close(fd)
	defer os.Remove(p)
	signal.Ignore(unix.SIGXFSZ)
	return unless(unix.Ftruncate(fd, 1<<40), "made")
}

func nice(*Target) Outcome { return unless(unix.Setpriority(unix.PRIO_PROCESS, 0, -20), "nice -20") }

func realTime(*Target) Outcome {
	param := int32(1)
	const fifo = 1
	_, err := sys(unix.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&param)))
	return unless(err, "SCHED_FIFO")
}

func deadline(*Target) Outcome {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: 6, Runtime: 1e6, Deadline: 1e7, Period: 1e7}
	return unless(unix.SchedSetAttr(0, &attr, 0), "SCHED_DEADLINE")
}

func raiseLimit(*Target) Outcome {
	var all []Outcome
	for _, r := range []int{unix.RLIMIT_NPROC, unix.RLIMIT_NOFILE, unix.RLIMIT_FSIZE, unix.RLIMIT_CORE} {
		var now unix.Rlimit
		if err := unix.Getrlimit(r, &now); err != nil {
			return broken("%v", err)
		}
		up := unix.Rlimit{Cur: now.Max + 1, Max: now.Max + 1}
		if now.Max == ^uint64(0) {
			return no("limit %d was never set", r)
		}
		all = append(all, unless(unix.Prlimit(0, r, &up, nil), "raised limit "+itoa(r)))
	}
	return first(all...)
}

func ioPriority(*Target) Outcome {
	const whoProcess, realTimeClass = 1, 1 << 13
	_, err := sys(unix.SYS_IOPRIO_SET, whoProcess, 0, realTimeClass)
	return unless(err, "set")
}

func openMany(*Target) Outcome {
	const want = 6000
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for range want {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return no("%s after %d", name(err), len(fds))
		}
		fds = append(fds, fd)
	}
	return through("%d files", want)
}

func lockMemory(*Target) Outcome {
	mem, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return broken("%v", err)
	}
	defer unix.Munmap(mem)
	if err := unix.Mlock(mem); err != nil {
		return refused(err)
	}
	return through("64 MiB")
}

func coreLimit(*Target) Outcome {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &now); err != nil {
		return broken("%v", err)
	}
	if now.Max == 0 {
		return no("the limit is 0")
	}
	return through("a core may have %d bytes", now.Max)
}

// timers takes pending signals, which the kernel counts per user.
func timers(*Target) Outcome {
	const want = 120000
	made := 0
	for range want {
		var id int32
		if _, err := sys(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&id))); err != nil {
			return no("%s after %d", name(err), made)
		}
		made++
	}
	return through("%d timers", made)
}

func oomScore(*Target) Outcome {
	return unless(os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0), "set")
}

// bigPipe asks for pipes larger than the kernel gives everybody, until the user's share is used up.
func bigPipe(*Target) Outcome {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return broken("%v", err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	_, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 64<<20)
	return unless(err, "a pipe of 64 MiB")
}

// Amounts that are over the limits of the policy and harmless without.
const (
	memoryTaken = 256 << 20
	diskTaken   = 192 << 20
	timeTaken   = 4 * time.Second
	flooded     = 96 << 20 // on each of the two
)

// memoryBomb touches memory in several ways at once; in one process it ends with it.
func memoryBomb(t *Target) Outcome {
	const part = 32 << 20
	for taken := 0; taken < memoryTaken; taken += part {
		kind := unix.MAP_PRIVATE
		if taken%(2*part) != 0 {
			kind = unix.MAP_SHARED
		}
		mem, err := unix.Mmap(-1, 0, part, unix.PROT_READ|unix.PROT_WRITE, kind|unix.MAP_ANON)
		if err != nil {
			return no("%s after %d MiB", name(err), taken>>20)
		}
		for i := 0; i < part; i += 4096 {
			mem[i] = 1
		}
	}
	awaitEnd(t)
	return through("%d MiB", memoryTaken>>20)
}

func diskBomb(t *Target) Outcome {
	dir := t.Tree + "/bomb"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return broken("%v", err)
	}
	defer os.RemoveAll(dir)
	o := fill(dir+"/", diskTaken)
	if o.Claim == Through && t.Held { // fill gives back what it took
		if err := os.WriteFile(dir+"/kept", make([]byte, diskTaken), 0o600); err != nil {
			return no("%s", name(err))
		}
		awaitEnd(t)
	}
	return o
}

func burn(*Target) Outcome {
	rounds := 0
	for begun := time.Now(); time.Since(begun) < timeTaken; {
		rounds++
	}
	return through("%v of a processor, %d rounds", timeTaken, rounds)
}

// flood writes more than the reader should ever hold, without a newline.
func flood(*Target) Outcome {
	block := []byte(strings.Repeat("flood ", 10922))
	for range flooded / len(block) {
		for _, fd := range []int{1, 2} {
			if _, err := unix.Write(fd, block); err != nil {
				return refused(err)
			}
		}
	}
	if _, err := unix.Write(1, []byte("\n")); err != nil {
		return refused(err)
	}
	return attempted("wrote %d MiB", 2*flooded>>20)
}

// lifecycle are ways to live on.
func lifecycle() []Probe {
	walls := []string{PIDNS, View, Landlock}
	return []Probe{
		{ID: "63", Title: "a process with a session of its own lives on", Layer: End, Level: isolated, Walls: walls, try: daemonise(1, false)},
		{ID: "63b", Title: "a process that was forked twice lives on", Layer: End, Level: isolated, Walls: walls, try: daemonise(2, false)},
		{ID: "63c", Title: "one that ignores signals and forks on lives on", Layer: End, Level: isolated, Walls: walls, try: daemonise(2, true)},
		{ID: "63d", Title: "a stopped process lives on", Layer: End, Level: isolated, Walls: walls, try: stopped},
		{ID: "63e", Title: "be a child of PID 1's parent (CLONE_PARENT)", Layer: End, Level: isolated, Walls: walls, try: cloneParent},
		{ID: "63f", Title: "adopt what is left (PR_SET_CHILD_SUBREAPER)", Layer: End, Level: isolated, Walls: walls, try: subreaper},
	}
}

func daemonise(generations int, stubborn bool) func(*Target) Outcome {
	return func(t *Target) Outcome {
		kind := "survive"
		if stubborn {
			kind = "stubborn"
		}
		if err := spawnAway(generations, kind, t.Mark); err != nil {
			return refused(err)
		}
		return attempted("started it")
	}
}

func spawnAway(generations int, args ...string) error {
	argv := append([]string{"probe", ":away", itoa(generations)}, args...)
	pid, err := syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return err
	}
	if generations < 2 {
		return nil
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	if status.ExitStatus() != 0 {
		return errors.New("the first generation failed")
	}
	return nil
}

func stopped(t *Target) Outcome {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"probe", ":survive", t.Mark}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return refused(err)
	}
	time.Sleep(20 * time.Millisecond)
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return broken("%v", err)
	}
	return attempted("stopped it")
}

func cloneParent(t *Target) Outcome {
	_, err := syscall.ForkExec("/proc/self/exe", []string{"probe", ":survive", t.Mark},
		&syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_PARENT}})
	if err != nil {
		return refused(err)
	}
	return attempted("started it")
}

func subreaper(t *Target) Outcome {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return refused(err)
	}
	return daemonise(2, true)(t)
}
