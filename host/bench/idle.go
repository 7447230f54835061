package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

// measureIdle weighs what stays of the sandbox while a payload does nothing.
func measureIdle(ctx context.Context, s *site) (figures []figure, err error) {
	box, err := s.sandbox()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	tree, err := s.dir("tree")
	if err != nil {
		return nil, err
	}
	const idle = "1000"
	p, err := box.Launch(ctx, sandbox.Request{Policy: confined(), Path: "/bin/sleep", Argv: []string{"sleep", idle}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, killed(context.WithoutCancel(ctx), p)) }()
	if err := pause(ctx, time.Second); err != nil {
		return nil, err
	}
	ours, err := resident(p.PID())
	if err != nil {
		return nil, err
	}
	floor, err := weighBubblewrap(ctx, tree, idle)
	if err != nil {
		return nil, err
	}
	ready, err := weighReady(p.PID())
	if err != nil {
		return nil, err
	}
	return []figure{
		judged("idle", "MB", ours, floor, bar{oursAtMost, 4}).
			also("an absolute bar: PID 1 of an idle sandbox without the payload; VmRSS, an upper bound of its proportional share, " +
				"which the kernel tells to nobody of a process that protects itself; floor: bubblewrap's two processes, likewise"),
		judged("idle/ready", "MB", ready, floor, bar{oursAtMost, 8}).
			also("an absolute bar: what stays between launches, from the first one on: the process that starts launchers and the " +
				"launcher that stands ready; VmRSS; floor: bubblewrap's two processes"),
	}, nil
}

// weighReady is the weight of this process's children of the launcher's program, but for one.
func weighReady(launch int) (mb float64, err error) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return 0, fmt.Errorf("find the children: %w", err)
	}
	found := 0
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, name := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(name)
			if err != nil {
				return 0, fmt.Errorf("find the children: %w", err)
			}
			if argv, err := os.ReadFile("/proc/" + name + "/cmdline"); pid == launch || err != nil || !strings.HasPrefix(string(argv), "drawspan-sandbox") {
				continue
			}
			one, err := resident(pid)
			if err != nil {
				return 0, err
			}
			mb += one
			found++
		}
	}
	if found != 2 {
		return 0, fmt.Errorf("%d processes are kept for the next launch, and there should be two", found)
	}
	return mb, nil
}

// weighBubblewrap is the weight of bubblewrap's monitor and of its PID 1.
func weighBubblewrap(ctx context.Context, tree, idle string) (mb float64, err error) {
	argv, err := bubblewrap(tree, "/bin/sleep", idle)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start bubblewrap: %w", err)
	}
	defer func() {
		err = errors.Join(err, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	}()
	if err := pause(ctx, time.Second); err != nil {
		return 0, err
	}
	monitor := cmd.Process.Pid
	first, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", monitor, monitor))
	if err != nil {
		return 0, fmt.Errorf("find bubblewrap's child: %w", err)
	}
	inner, err := strconv.Atoi(strings.TrimSpace(string(first)))
	if err != nil {
		return 0, fmt.Errorf("find bubblewrap's child: %w", err)
	}
	defer func() { err = errors.Join(err, syscall.Kill(inner, syscall.SIGKILL)) }() // it outlives its monitor
	for _, pid := range []int{monitor, inner} {
		one, err := resident(pid)
		if err != nil {
			return 0, err
		}
		mb += one
	}
	return mb, nil
}
