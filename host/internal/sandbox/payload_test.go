package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// runPayload is the confined side of the tests.
func runPayload(name string, args []string) int {
	switch name {
	case "attempts":
		return tryAll(args)
	case "hog":
		return runHog(args)
	case "fork-sharing":
		return forkSharing(args)
	case "many-names":
		return manyNames(args)
	case "fork-bomb":
		return forkBomb()
	case "descriptors":
		return listDescriptors()
	case "serve":
		return serveOnce(args[0])
	case "environment":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		return 0
	case "signals":
		return countSignals()
	case "widen":
		return widen()
	case "dial":
		return dial(args[0])
	case "trace-child":
		return traceMe()
	case "attack-init":
		return attackInit()
	case "modes":
		return changeModes(args)
	case "echo":
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			return 1
		}
		return 0
	case "exit":
		code, err := strconv.Atoi(args[0])
		if err != nil {
			return 99
		}
		return code
	}
	fmt.Fprintln(os.Stderr, "no payload", name)
	return 98
}

// daemonise is a shell script that leaves $1 processes behind that have nothing to do with it any more: each
// has its own session, ignores what it can and has no living parent but PID 1. With $2 it stays, too.
const daemonise = `
	i=0
	while [ $i -lt $1 ]; do
		(setsid sh -c 'trap "" HUP INT TERM; echo ready; exec sleep 1000' &)
		i=$((i+1))
	done
	[ -z "$2" ] || exec sleep 1000`

// forkBomb starts processes until it may not, says how many it got, and stays.
func forkBomb() int {
	started := 0
	for range 5000 {
		pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{})
		if err != nil || pid <= 0 {
			break
		}
		started++
	}
	fmt.Println(started)
	select {}
}

func listDescriptors() int {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 1
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 1
	}
	own := strconv.Itoa(int(dir.Fd()))
	slices.Sort(names)
	for _, n := range names {
		if n == own {
			continue
		}
		target, err := os.Readlink("/proc/self/fd/" + n)
		if err != nil || strings.HasPrefix(target, "anon_inode:") { // the runtime's own
			continue
		}
		fmt.Println(n, target)
	}
	return 0
}

// serveOnce answers one connection on a unix socket, as a plugin does.
func serveOnce(path string) int {
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("listening")
	c, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_, err = io.WriteString(c, "hello from inside")
	if err := errors.Join(err, c.Close(), l.Close()); err != nil {
		return 1
	}
	return 0
}

// countSignals starts a child that ends at a signal, and tells of each signal until SIGTERM.
func countSignals() int {
	got := make(chan os.Signal, 8)
	signal.Notify(got, unix.SIGUSR1, unix.SIGTERM)
	child := exec.Command("/bin/sleep", "1000")
	if err := child.Start(); err != nil {
		return 1
	}
	fmt.Println("ready")
	fmt.Println(<-got)
	err := child.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		fmt.Println("child", ended.Sys().(syscall.WaitStatus).Signal())
	}
	fmt.Println(<-got)
	return 7
}

// attackInit sends PID 1 everything there is.
func attackInit() int {
	for sig := unix.Signal(1); sig < 65; sig++ {
		if err := unix.Kill(1, sig); err == nil {
			fmt.Println("sent", sig)
		}
	}
	fmt.Println("survived")
	return 5
}

// runOutside is a process that is not confined: a daemon that will be killed, or one whose kernel lacks
// something.
func runOutside(name string, args []string) int {
	switch name {
	case "daemon":
		return runDaemon(args)
	case "masked":
		return runMasked(args)
	case "standing":
		return runStanding(args)
	case "mounting":
		return runMounting(args)
	case "protected":
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return 1
		}
		return runOnce(args, "exit 42")
	case "terminal":
		return runOnce(args, "(: </dev/tty) 2>/dev/null && exit 1; ps -o tty= -p $$ | grep -q pts && exit 2; exit 42")
	}
	return 98
}

// runDaemon launches something that leaves many processes, and waits to be killed.
func runDaemon(args []string) int {
	state, home, tree := args[0], args[1], args[2]
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: state, Home: home})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	policy := isolated()
	if len(args) > 4 {
		policy.Backend, policy.Level = args[4], args[5]
	}
	_, err = box.Launch(context.Background(), sandbox.Request{
		Policy: policy, Tree: sandbox.Tree{Path: tree, Mode: sandbox.TreeWritable},
		Path: "/bin/sh", Argv: []string{"sh", "-c", daemonise, "sh", args[3], "stay"}, Stdout: os.Stdout,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	select {}
}

// runOnce launches a script and ends with its code.
func runOnce(args []string, script string) int {
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: args[0], Home: args[1]})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := box.Launch(context.Background(), sandbox.Request{Policy: isolated(), Path: "/bin/sh", Argv: []string{"sh", "-c", script}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := p.Exit().Code
	if err := box.Close(); err != nil {
		return 1
	}
	return code
}
