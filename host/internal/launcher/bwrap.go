package launcher

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// wrappedStages are the launcher's where bubblewrap made namespaces and view: it looks at what there is, and
// adds what bubblewrap does not have.
func (b *box) wrappedStages() []stage {
	return []stage{
		{"terminal", b.leaveTerminal},
		{"namespaces", b.checkNamespaces},
		{"network", b.checkNetwork},
		{"proxy", b.listenForDaemon},
		{"view", b.checkView},
		{"secrets", func() error { return placeSecrets(b.spec.Secrets) }},
		{"limits", b.limitResources},
		{"processors", b.limitProcessors},
		{"watch", b.prepareWatching},
		{"capabilities", b.dropHeld},
		{"no_new_privs", b.sealPrivileges},
		{"landlock", b.restrictPaths},
		{"seccomp", b.filterSyscalls},
		{"verify", b.verify},
	}
}

// checkNamespaces compares the namespaces with the daemon's: none may be the same. And no other user
// namespace can be made.
func (b *box) checkNamespaces() error {
	if len(b.spec.Probe.Namespaces) == 0 {
		return errors.New("nothing to compare them with")
	}
	for _, theirs := range b.spec.Probe.Namespaces {
		kind, _, _ := strings.Cut(theirs, ":")
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			return fmt.Errorf("look at the %s namespace: %w", kind, err)
		}
		if ours == theirs && (kind != "net" || b.spec.Network != spec.NetworkHost) {
			return fmt.Errorf("the %s namespace is the host's", kind)
		}
	}
	b.report.Features.Namespaces = true
	// Where a user namespace could be made, the error would be of the program that does not exist.
	_, err := syscall.ForkExec("/.missing", []string{"missing"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER},
	})
	if err == nil || errors.Is(err, unix.ENOENT) {
		return errors.New("user namespaces can be made below this one")
	}
	b.report.Features.Nested = true
	return nil
}

// checkNetwork looks for interfaces beside lo.
func (b *box) checkNetwork() error {
	if b.spec.Network == spec.NetworkHost {
		return nil // it is the host's
	}
	text, err := readAll("/proc/self/net/dev")
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if i >= 2 && name != "lo" {
			return fmt.Errorf("there is an interface %s", name)
		}
	}
	b.report.Features.Network = true
	return nil
}

// checkView compares what is mounted with the specification: every mount is one that was asked for, and shows
// the file that the daemon saw.
func (b *box) checkView() error {
	for _, m := range b.spec.Mounts {
		if m.Ino == 0 {
			continue
		}
		var st unix.Stat_t
		err := unix.Lstat(m.Inside, &st)
		if err == nil && (st.Dev != m.Dev || st.Ino != m.Ino) {
			err = errIdentity
		}
		if err != nil {
			at := "mount"
			if m.Tree {
				at = "tree"
			}
			return &stageError{at, fmt.Errorf("%s: %w", m.Inside, err)}
		}
	}
	text, err := readAll("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	for line := range strings.Lines(text) {
		if err := b.checkMount(strings.Fields(line)); err != nil {
			return err
		}
	}
	b.report.Features.View = true
	return nil
}

// checkMount looks at one line of mountinfo: its fifth field is the place, the sixth says how.
func (b *box) checkMount(fields []string) error {
	if len(fields) < 6 {
		return errors.New("a mount that the kernel does not describe")
	}
	place, options := fields[4], strings.Split(fields[5], ",")
	mode, known := b.expected(place)
	switch {
	case !known:
		return fmt.Errorf("%s is mounted, and nobody asked for it", place)
	case mode == spec.ReadOnly && !slices.Contains(options, "ro"):
		return fmt.Errorf("%s is writable", place)
	case !slices.Contains(options, "nosuid"):
		return fmt.Errorf("%s honours set-id programs", place)
	}
	return nil
}

// expected is how a place may be mounted. What lies below a mount came with it.
func (b *box) expected(place string) (mode string, known bool) {
	switch place {
	case "/", "/dev":
		return spec.ReadOnly, true
	case "/proc", "/tmp", "/var/tmp", "/run", b.spec.Home:
		return spec.Writable, true
	}
	best := ""
	etc := spec.Mount{Inside: "/etc", Mode: spec.ReadOnly}
	for _, list := range [][]spec.Mount{b.spec.System, {etc}, b.spec.Mounts} {
		for _, m := range list {
			if m.Mode != spec.Link && len(m.Inside) >= len(best) && below(place, m.Inside) {
				best, mode = m.Inside, m.Mode
			}
		}
	}
	if best == "" && (below(place, "/proc") || below(place, "/dev")) {
		return spec.Writable, true
	}
	return mode, best != ""
}

func below(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

func readAll(name string) (string, error) {
	text, err := os.ReadFile(name)
	return string(text), err
}
