package launcher

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// box is one confinement while it is built and run.
type box struct {
	spec   *spec.Spec
	off    map[string]bool // layers that are left out; nil but in RunWithout
	report spec.Report
	feed   *feed
	places []int    // listeners for the daemon, as the specification lists them
	watch  []func() // what holds limits while the payload runs, each on its own thread
	finish func()   // ends the launch that went over one of them
	inner  *inner   // with the Landlock back-end: the process that becomes the payload
	targets
}

// stageError says at which stage the set-up failed, so that the daemon can name a remedy.
type stageError struct {
	stage string
	err   error
}

func (e *stageError) Error() string { return e.stage + ": " + e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// stage is one step of the set-up.
type stage struct {
	name string
	do   func() error
}

// setUp puts everything in force that the back-end can, and verifies it.
func (b *box) setUp() error {
	if supervised(b.spec) {
		return b.pass(b.supervisedStages())
	}
	if os.Getpid() != 1 && !b.off[layerPIDs] {
		return &stageError{"namespaces", fmt.Errorf("not PID 1 of a new namespace, but %d", os.Getpid())}
	}
	if b.spec.Backend == spec.Bwrap {
		return b.pass(b.wrappedStages())
	}
	return b.pass(b.nativeStages())
}

// nativeStages come in an order in which each still has the privilege it needs.
func (b *box) nativeStages() []stage {
	return []stage{
		{"terminal", b.leaveTerminal},
		{"namespaces", b.mapOwner},
		{"hostname", b.nameHost},
		{"network", b.bringLoopUp},
		{"proxy", b.listenForDaemon},
		{"view", b.buildView},
		{"limits", b.limitResources},
		{"processors", b.limitProcessors},
		{"watch", b.prepareWatching},
		{"capabilities", b.dropCapabilities},
		{"no_new_privs", b.sealPrivileges},
		{"landlock", b.restrictPaths},
		{"seccomp", b.filterSyscalls},
		{"verify", b.verify},
	}
}

// pass goes through the stages, up to the first that fails.
func (b *box) pass(stages []stage) error {
	b.report.Features.FDs = true // receiveSpec closed them
	for _, s := range stages {
		if b.off[s.name] {
			continue
		}
		err := s.do()
		if err == nil {
			continue
		}
		if inner := (*stageError)(nil); errors.As(err, &inner) {
			return inner
		}
		return &stageError{s.name, err}
	}
	if b.off != nil {
		b.pretend()
	}
	return nil
}

// leaveTerminal gives up the daemon's terminal, if it has one: the payload must not read what is typed
// there.
func (b *box) leaveTerminal() error {
	tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == unix.ENXIO {
		return nil // there is none
	}
	if err != nil {
		return fmt.Errorf("open the terminal: %w", err)
	}
	return errors.Join(unix.IoctlSetInt(tty, unix.TIOCNOTTY, 0), unix.Close(tty))
}

// mapOwner maps the daemon's user and group to themselves, and nobody else.
func (b *box) mapOwner() error {
	for _, m := range []struct{ name, text string }{
		{"setgroups", "deny"},
		{"uid_map", oneToOne(b.spec.UID)},
		{"gid_map", oneToOne(b.spec.GID)},
	} {
		if err := writeFile("/proc/self/"+m.name, m.text); err != nil {
			return fmt.Errorf("write %s: %w", m.name, err)
		}
	}
	b.report.Features.Namespaces = true
	return nil
}

func oneToOne(id int) string {
	n := strconv.Itoa(id)
	return n + " " + n + " 1"
}

func (b *box) nameHost() error {
	return unix.Sethostname([]byte(b.spec.Hostname))
}

// bringLoopUp gives the new network namespace its only interface.
func (b *box) bringLoopUp() error {
	if b.spec.Network == spec.NetworkHost {
		return nil // it is the host's
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("name lo: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	b.report.Features.Network = true
	return nil
}

// note records a feature that is not in force, and why.
func (b *box) note(format string, args ...any) {
	b.report.Notes = append(b.report.Notes, fmt.Sprintf(format, args...))
}
