package catalogue

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lifespan is how long anything that a probe leaves behind lives by itself.
const lifespan = 60 * time.Second

func contains(text, part string) bool { return strings.Contains(text, part) }

// command runs a program to its end.
func command(argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }) // it may just have ended
	defer late.Stop()
	err := cmd.Wait()
	return out.String(), err
}

// helper starts this program as a helper and waits until it is ready.
func helper(name string, args ...string) (pid int, stop func(), err error) {
	cmd := exec.Command("/proc/self/exe", append([]string{":" + name}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // by that signal
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		stop()
		return 0, nil, fmt.Errorf("the helper is not ready: %w", err)
	}
	return cmd.Process.Pid, stop, nil
}

// Help is what a helper does: probe :NAME ARGS. It returns the exit code.
func Help(name string, args []string) int {
	switch name {
	case "wait":
		return ready()
	case "traceable":
		if err := unix.Prctl(unix.PR_SET_PTRACER, ^uintptr(0), 0, 0, 0); err != nil && err != unix.EINVAL {
			return 1
		}
		return ready()
	case "ioctl":
		return helpIoctl(args[0])
	case "away":
		return goAway(args)
	case "survive", "victim":
		return survive(false)
	case "stubborn":
		return survive(true)
	}
	return 2
}

// say tells the probe that waits at the other end.
func say(text string) {
	_, _ = os.Stdout.WriteString(text + "\n") // nobody waits any more
}

func ready() int {
	say("ready")
	time.Sleep(lifespan)
	return 0
}

// helpIoctl makes one request on its terminal, which is standard input, and says what was answered.
func helpIoctl(request string) int {
	n, err := strconv.ParseUint(request, 10, 64)
	if err != nil {
		return 2
	}
	arg := []byte{'#', 0, 0, 0}
	if _, err := sysPointer(unix.SYS_IOCTL, 0, uintptr(n), &arg[0]); err != nil {
		say(name(err))
	}
	return 0
}

// goAway forks on until no ancestor is left, and stays.
func goAway(args []string) int {
	generations, err := strconv.Atoi(args[0])
	if err != nil || len(args) < 3 {
		return 2
	}
	if generations > 1 {
		if err := spawnAway(1, args[1:]...); err != nil {
			return 1
		}
		return 0
	}
	return survive(args[1] == "stubborn")
}

// survive waits for nothing. A stubborn one ignores what can be ignored, and has a child in a further
// session that does the same.
func survive(stubborn bool) int {
	if stubborn {
		signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGUSR1, unix.SIGPIPE)
		argv := append([]string{"probe", ":survive"}, os.Args[len(os.Args)-1])
		_, err := syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true}})
		if err != nil {
			return 1
		}
	}
	time.Sleep(lifespan)
	return 0
}
