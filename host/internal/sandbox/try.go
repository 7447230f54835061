package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// States of a Check.
const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

// Try finds out what this machine can enforce, by doing it: settings of the kernel say less than a launch.
func (s *Sandbox) Try(ctx context.Context) []Check {
	checks := append([]Check{kernelCheck()}, s.backendChecks(ctx)...)
	e, reported, err := s.tryLaunch(ctx)
	if err != nil {
		f := fault.From(err)
		c := Check{Name: "sandbox", State: checkFail, Detail: f.Message, Fix: f.Hint}
		if f.Code == fault.Internal {
			c.Detail = err.Error()
		}
		return append(checks, c, landlockCheck(spec.Enforced{}), memoryCheck())
	}
	return append(checks,
		Check{Name: "sandbox", State: checkOK, Detail: fmt.Sprintf(
			"level %s in %.1f ms: %s, %d refusals verified", e.Enforced, float64(e.SetupUS)/1000, means(e), len(e.Verified))},
		landlockCheck(e), feedCheck(e, reported), s.overlayCheck(ctx, e.Backend), memoryCheck())
}

// tryLaunch runs a shell that breaks one rule, and says whether the kernel reported that.
func (s *Sandbox) tryLaunch(ctx context.Context, binds ...Bind) (spec.Enforced, bool, error) {
	var reported atomic.Bool
	const script = ": >$TMPDIR/a; chmod u+s $TMPDIR/a 2>/dev/null && exit 3; for d; do : >$d/a || exit 4; done"
	argv := []string{"sh", "-c", script, "sh"}
	for _, b := range binds {
		argv = append(argv, b.Host)
	}
	p, err := s.launchTrial(ctx, Request{
		Policy: &work.SandboxPolicy{
			Name: "doctor", Level: spec.LevelStrict, OnShortfall: "degrade", Floor: spec.LevelGuarded,
		},
		Path: "/bin/sh", Argv: argv, Binds: binds,
		OnViolation: func(Violation) { reported.Store(true) },
	})
	if err != nil {
		return spec.Enforced{}, false, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		_, err := p.Kill(context.WithoutCancel(ctx))
		return spec.Enforced{}, false, errors.Join(ctx.Err(), err)
	}
	if end := p.Exit(); end.Code != 0 || end.Lost != "" {
		return spec.Enforced{}, false, unavailable("the trial program ended with %d %s", end.Code, end.Lost)
	}
	return p.Enforced(), reported.Load(), nil
}

func kernelCheck() Check {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Check{Name: "kernel", State: checkFail, Detail: err.Error()}
	}
	return Check{Name: "kernel", State: checkOK,
		Detail: unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])}
}

func landlockCheck(e spec.Enforced) Check {
	c := Check{Name: "landlock", State: checkOK}
	abi := e.FS.LandlockABI
	if e.Backend == "" { // nothing was launched: ask the kernel
		v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
		if errno == 0 {
			abi = int(v)
		}
	}
	c.Detail = fmt.Sprintf("ABI %d", abi)
	switch {
	case abi == 0:
		c.State, c.Detail = checkFail, "not available"
		c.Fix = "use a kernel with Landlock (6.2 or newer, with landlock in the lsm= list)"
	case abi < 6:
		c.State = checkWarn
		c.Detail += ": abstract sockets and signals are not covered"
		c.Fix = "use Linux 6.12 or newer"
	}
	return c
}

func feedCheck(e spec.Enforced, reported bool) Check {
	if e.Syscalls.Notify && reported {
		return Check{Name: "violation feed", State: checkOK, Detail: "a refused system call was reported by the kernel"}
	}
	return Check{Name: "violation feed", State: checkWarn, Detail: "refused system calls are not reported",
		Fix: "use Linux 5.9 or newer, outside of another sandbox"}
}

// overlayCheck writes to a throw-away layer and looks at what is below.
func (s *Sandbox) overlayCheck(ctx context.Context, backend string) Check {
	c := Check{Name: "throw-away layers", State: checkFail, Fix: "use Linux 6.6 or newer with overlayfs"}
	if backend == spec.Landlock {
		return Check{Name: c.Name, State: checkWarn, Detail: "none without namespaces: gates see the tree read-only, and one that writes there fails",
			Fix: "let this machine give namespaces, see the back-ends"}
	}
	dir, err := os.MkdirTemp(s.stateDir, "trial-")
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	_, _, err = s.tryLaunch(ctx, Bind{Host: dir, Mode: spec.Overlay})
	left, readErr := os.ReadDir(dir)
	switch {
	case err != nil:
		c.Detail = err.Error()
	case readErr != nil || len(left) != 0:
		c.Detail = "a write reached the directory below"
	default:
		c.State, c.Detail, c.Fix = checkOK, "writes stay in memory, the directory below is untouched", ""
	}
	if err := os.RemoveAll(dir); err != nil {
		s.log.Warn("remove the trial directory", "error", err)
	}
	return c
}

// memoryCheck tries to make a child of this process's cgroup, which a memory limit will need.
func memoryCheck() Check {
	c := Check{Name: "cgroup v2", State: checkWarn, Fix: "limits of memory are watched instead; to let the kernel hold them, start the daemon in a user unit with Delegate=yes"}
	dir, err := cgroupDir("/proc/self")
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	child := filepath.Join(dir, fmt.Sprintf("drawspan-trial-%d", os.Getpid()))
	if err := os.Mkdir(child, 0o755); err != nil {
		c.Detail = "not delegated: " + err.Error()
		return c
	}
	controllers, err := os.ReadFile(filepath.Join(child, "cgroup.controllers"))
	if err := errors.Join(err, os.Remove(child)); err != nil {
		c.Detail = err.Error()
		return c
	}
	if !slices.Contains(strings.Fields(string(controllers)), "memory") {
		c.Detail = "delegated without the memory controller"
		return c
	}
	return Check{Name: "cgroup v2", State: checkOK, Detail: "delegated with the memory controller"}
}
