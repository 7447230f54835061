package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/work"
)

// chore is work that is done inside and outside in turns. What is compared is what the work takes once its
// program runs: launches have their own figure.
type chore struct {
	name   string
	args   []string // of the program inner
	env    []string // the same on both sides
	chain  []work.Toolchain
	rounds rounds
	bar    float64
	note   string
}

// measureInside compares what programs do all day inside and outside.
func measureInside(ctx context.Context, s *site) (figures []figure, err error) {
	box, err := s.sandbox()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	r, err := s.newRepositoryOf("repository", thousands)
	if err != nil {
		return nil, err
	}
	t, shut, err := s.newShadowed(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shut()) }()
	if err := writePackages(t.tree); err != nil {
		return nil, err
	}
	// Home and temporary files are in memory inside, so they are outside, or the disk would be compared.
	if fileSystem("/dev/shm") != "tmpfs" {
		return nil, notHere("/dev/shm is not in memory, as home and temporary files are inside")
	}
	if t.home, err = os.MkdirTemp("/dev/shm", "drawspan-bench-"); err != nil {
		return nil, fmt.Errorf("make a home in memory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.home)) }()
	for _, c := range []func(*site, *shadowed) (*chore, error){openChore, statusChore, goTestChore, npmTestChore} {
		made, err := c(s, t)
		if err != nil {
			return figures, err
		}
		f, err := s.compare(ctx, box, t, made)
		if err != nil {
			return figures, err
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// compare lets the chore be done inside and outside in turns.
func (s *site) compare(ctx context.Context, box *sandbox.Sandbox, t *shadowed, c *chore) (figure, error) {
	name := "inside/" + c.name
	if c.args == nil {
		return figure{Name: name, Note: c.note}, nil
	}
	program, err := s.floorProgram("inner")
	if err != nil {
		return figure{}, err
	}
	got, err := race(ctx, c.rounds,
		entrant{"inside", func(ctx context.Context, _ int) (float64, error) { return c.inside(ctx, box, t, program) }},
		entrant{"outside", func(context.Context, int) (float64, error) { return c.outside(t, program) }},
	)
	if err != nil {
		return figure{}, fmt.Errorf("%s: %w", c.name, err)
	}
	return compared(name, "us", got[0], got[1], bar{ratioAtMost, c.bar}).also("%s", c.note), nil
}

// inside does the chore in the sandbox.
func (c *chore) inside(ctx context.Context, box *sandbox.Sandbox, t *shadowed, program string) (took float64, err error) {
	out, in, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make pipe: %w", err)
	}
	defer out.Close()
	r := t.request()
	r.Policy.Toolchains = c.chain
	r.Binds = []sandbox.Bind{{Host: program, Inside: "/opt/inner", Mode: "ro"}}
	r.Path, r.Argv, r.Env, r.Stdout, r.Stderr = "/opt/inner", append([]string{"inner"}, c.args...), c.env, in, in
	p, err := box.Launch(ctx, r)
	if err = errors.Join(err, in.Close()); err != nil {
		return 0, err
	}
	var said bytes.Buffer
	_, err = said.ReadFrom(out)
	if exit := p.Exit(); err == nil && (exit.Code != 0 || exit.Signal != 0 || exit.Lost != "") {
		err = fmt.Errorf("it ended with %+v: %s", exit, said.String())
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(said.String()), 64)
}

// outside does the same chore without a sandbox, with the same variables.
func (c *chore) outside(t *shadowed, program string) (float64, error) {
	cmd := exec.Command(program, c.args...)
	cmd.Dir = t.tree
	search := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	cmd.Env = append([]string{"HOME=" + t.home, "TMPDIR=" + t.home}, c.env...)
	for _, chain := range c.chain {
		search = strings.Join(append(chain.Path, search), ":")
		for k, v := range chain.Env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+search)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}
