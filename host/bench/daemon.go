package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// measureDaemon times a daemon's start on an empty state, and weighs it when it has come to rest.
func measureDaemon(ctx context.Context, s *site) ([]figure, error) {
	hello, err := s.floorProgram("hello")
	if err != nil {
		return nil, err
	}
	var ready sample
	got, err := race(ctx, rounds{warm: 2, kept: 20},
		entrant{"daemon", func(ctx context.Context, _ int) (float64, error) {
			d, err := s.serveOnce(ctx)
			if err != nil {
				return 0, err
			}
			ready = append(ready, ms(d.ready))
			return ms(d.first), nil
		}},
		entrant{"hello", func(context.Context, int) (float64, error) { return firstLine(hello) }},
	)
	if err != nil {
		return nil, err
	}
	start := compared("daemon", "ms", got[0], got[1], bar{oursAtMost, 100}).
		also("an absolute bar: start to the first answer on an empty state, of which %s ms until it says that it is ready; floor: a Go "+
			"program's first line", number(ready.median()))
	weight, err := s.weigh(ctx, hello)
	return []figure{start, weight}, err
}

// serveOnce starts a daemon in a new household and stops it again.
func (s *site) serveOnce(ctx context.Context) (*served, error) {
	h, err := s.newHousehold("", "")
	if err != nil {
		return nil, err
	}
	d, err := h.serve(ctx)
	if err != nil {
		return nil, err
	}
	return d, d.stop(ctx)
}

// firstLine times a program from its start to its first output.
func firstLine(program string) (float64, error) {
	cmd := exec.Command(program)
	took, err := startToLine(cmd)
	if err != nil {
		return 0, err
	}
	return took, cmd.Wait()
}

// startToLine starts a program with an empty environment and waits for its first line.
func startToLine(cmd *exec.Cmd) (float64, error) {
	cmd.Env = []string{}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("make pipe: %w", err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return 0, errors.Join(fmt.Errorf("read the first line of %s: %w", cmd.Path, err), cmd.Wait())
	}
	return ms(time.Since(began)), nil
}

const rest = 2 * time.Second // until an idle daemon is weighed

// weigh reads the resident size of an idle daemon and of the smallest Go program.
func (s *site) weigh(ctx context.Context, hello string) (f figure, err error) {
	h, err := s.newHousehold("", "")
	if err != nil {
		return f, err
	}
	d, err := h.serve(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, d.stop(ctx)) }()
	if err := errors.Join(pause(ctx, rest), d.settle(ctx)); err != nil {
		return f, err
	}
	ours, err := d.memory()
	if err != nil {
		return f, err
	}
	floor, err := weighHello(hello)
	if err != nil {
		return f, err
	}
	return judged("daemon/memory", "MB", ours, floor, bar{oursAtMost, 40}).
		also("an absolute bar: resident size (VmRSS) %v after the start on an empty state; floor: a Go program that waits", rest), nil
}

// weighHello is the resident size of a Go program that waits for its input to end.
func weighHello(hello string) (float64, error) {
	cmd := exec.Command(hello, "wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("make pipe: %w", err)
	}
	if _, err := startToLine(cmd); err != nil {
		return 0, errors.Join(err, in.Close())
	}
	mb, err := resident(cmd.Process.Pid)
	return mb, errors.Join(err, in.Close(), cmd.Wait())
}
