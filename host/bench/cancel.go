package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox"
)

const crowd = 300 // processes of the tree that is killed

// measureCancel times the kill of a tree to the proof that nothing of it is alive. Inside the sandbox
// every process has a session of its own, as those have that mean to escape; outside they stay in
// their group, or the floor could not kill them.
func measureCancel(ctx context.Context, s *site) (figures []figure, err error) {
	box, err := s.sandbox()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	// Orphans of the floor's tree come to us, so that their end can be waited for.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, notHere("this program may not adopt orphans: %v", err)
	}
	survivors, mark := 0, 90000
	got, err := race(ctx, rounds{warm: 1, kept: 12},
		entrant{"sandbox", func(ctx context.Context, round int) (float64, error) {
			took, alive, err := cancelConfined(ctx, box, strconv.Itoa(mark+2*round))
			survivors += alive
			return took, err
		}},
		entrant{"process group", func(ctx context.Context, round int) (float64, error) {
			return cancelGroup(ctx, strconv.Itoa(mark+2*round+1))
		}},
	)
	if err != nil {
		return nil, err
	}
	f := compared("cancel", "ms", got[0], got[1], bar{ratioAtMost, 2}).
		also("%d processes, sandboxed each in a session of its own; survivors %d", crowd, survivors)
	if survivors > 0 {
		f = f.failing("survivors must be 0")
	}
	return []figure{f}, nil
}

// tree is the argv of a shell that starts the crowd, says so and stays. The mark is how long each
// process sleeps, by which it is found in /proc.
func tree(mark, prefix string) []string {
	script := fmt.Sprintf("n=0; while [ $n -lt %d ]; do %s sleep %s & n=$((n+1)); done; echo up; exec sleep %s", crowd-1, prefix, mark, mark)
	return []string{"sh", "-c", script}
}

// cancelConfined kills a tree in the sandbox.
func cancelConfined(ctx context.Context, box *sandbox.Sandbox, mark string) (took float64, survivors int, err error) {
	out, in, err := os.Pipe()
	if err != nil {
		return 0, 0, fmt.Errorf("make pipe: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	p, err := box.Launch(ctx, sandbox.Request{Policy: crowded(), Path: "/bin/sh", Argv: tree(mark, "setsid"), Stdout: in})
	err = errors.Join(err, in.Close())
	if err != nil {
		return 0, 0, err
	}
	if err := up(ctx, out, mark); err != nil {
		return 0, 0, errors.Join(err, killed(ctx, p))
	}
	took, err = timed(func() error { return killed(ctx, p) })
	return took, len(asleep(mark)), err
}

func killed(ctx context.Context, p *sandbox.Process) error {
	death, err := p.Kill(ctx)
	if err == nil && (!death.Proved || death.Survivors > 0) {
		err = fmt.Errorf("the death is not proved: %+v", death)
	}
	return err
}

// cancelGroup kills a process group and waits until every process of it is gone.
func cancelGroup(ctx context.Context, mark string) (took float64, err error) {
	out, in, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make pipe: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	argv := tree(mark, "")
	cmd := exec.Command("/bin/sh", argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout = in
	err = errors.Join(cmd.Start(), in.Close())
	if err != nil {
		return 0, fmt.Errorf("start the tree: %w", err)
	}
	group := cmd.Process.Pid
	upErr := up(ctx, out, mark)
	took, err = timed(func() error {
		if err := unix.Kill(-group, unix.SIGKILL); err != nil {
			return fmt.Errorf("kill the group: %w", err)
		}
		return reap(group)
	})
	if gone := cmd.Wait(); !errors.Is(gone, unix.ECHILD) { // it was reaped with its group
		err = errors.Join(err, fmt.Errorf("the leader of the group was not reaped: %w", gone))
	}
	return took, errors.Join(upErr, err)
}

// reap waits for all processes of a group.
func reap(group int) error {
	for {
		_, err := unix.Wait4(-group, nil, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR), err == nil:
		case errors.Is(err, unix.ECHILD):
			return nil
		default:
			return fmt.Errorf("wait for the group: %w", err)
		}
	}
}

// up waits until the shell has started the crowd and every process of it has become what it is.
func up(ctx context.Context, out *os.File, mark string) error {
	if err := out.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return fmt.Errorf("bound the start of the tree: %w", err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("wait for the tree: %w", err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(asleep(mark)) < crowd; {
		if time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d processes came up", len(asleep(mark)), crowd)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// asleep lists the processes of this machine that sleep for exactly the marked time.
func asleep(mark string) []string {
	want := []byte("sleep\x00" + mark + "\x00")
	var found []string
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil // a pattern that is constant
	}
	for _, path := range lines {
		if raw, err := os.ReadFile(path); err == nil && bytes.Equal(raw, want) {
			found = append(found, path)
		}
	}
	return found
}

// pause waits, outside of what is measured.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
