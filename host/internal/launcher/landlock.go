package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// Rights that rules grant. Making device nodes is granted nowhere.
const (
	mayRead   = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	mayRun    = mayRead | unix.LANDLOCK_ACCESS_FS_EXECUTE
	mayUse    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	mayIoctl  = mayUse | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	mayChange = 0x1ffff &^ (unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV)

	// fileRights are the rights that a rule on something other than a directory may carry.
	fileRights = mayIoctl | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
)

type pathRule struct {
	path   string
	access uint64
}

// landlockABI is the running kernel's, 0 where there is none.
func landlockABI() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// handledRights is every file system right that an ABI knows.
func handledRights(abi int) uint64 {
	switch {
	case abi >= 9:
		return 0x1ffff
	case abi >= 5:
		return 0xffff
	case abi >= 3:
		return 0x7fff
	case abi >= 2:
		return 0x3fff
	}
	return 0x1fff
}

// restrictPaths puts the calling thread, and with it the payload, into a Landlock domain that repeats
// the view: a second wall, by a mechanism that shares nothing with mounts.
func (b *box) restrictPaths() error {
	abi := landlockABI()
	if abi == 0 {
		if b.spec.Backend == spec.Landlock {
			return errors.New("not available in this kernel")
		}
		b.note("landlock: not available in this kernel")
		return nil
	}
	ruleset, err := newRuleset(abi)
	if err != nil {
		return err
	}
	defer unix.Close(ruleset)
	rules := b.pathRules()
	if b.spec.Backend == spec.Landlock {
		if rules, err = b.hostRules(); err != nil {
			return err
		}
	}
	for _, r := range rules {
		if err := addRule(ruleset, r, handledRights(abi)); err != nil {
			return fmt.Errorf("grant %s: %w", r.path, err)
		}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); errno != 0 {
		return fmt.Errorf("enter the domain: %w", errno)
	}
	b.report.Landlock = abi
	b.report.Features.Landlock = abi >= 3
	b.report.Features.Scopes = abi >= 6
	if abi < 6 {
		b.note("landlock: ABI %d does not cover abstract sockets and signals", abi)
	}
	return nil
}

func newRuleset(abi int) (int, error) {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: handledRights(abi)}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size = unsafe.Offsetof(attr.Scoped) + unsafe.Sizeof(attr.Scoped)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return -1, fmt.Errorf("create a ruleset: %w", errno)
	}
	return int(fd), nil
}

// pathRules repeats the view as grants. /run is in the view, writable, and deliberately not granted.
func (b *box) pathRules() []pathRule {
	rules := []pathRule{
		{"/", unix.LANDLOCK_ACCESS_FS_READ_DIR},
		{"/etc", mayRun},
		{"/proc", mayRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE},
		{"/dev/null", mayIoctl}, {"/dev/zero", mayUse}, {"/dev/full", mayUse},
		{"/dev/random", mayUse}, {"/dev/urandom", mayUse}, {"/dev/tty", mayIoctl},
		{"/dev/pts", mayIoctl | mayRead},
		{"/dev/shm", mayChange}, {"/tmp", mayChange}, {"/var/tmp", mayChange}, {b.spec.Home, mayChange},
	}
	if len(b.spec.Secrets) > 0 {
		rules = append(rules, pathRule{spec.SecretDir, mayRead})
	}
	for _, list := range [][]spec.Mount{b.spec.System, b.spec.Mounts} {
		for _, m := range list {
			switch m.Mode {
			case spec.ReadOnly:
				rules = append(rules, pathRule{m.Inside, mayRun})
			case spec.Writable, spec.Overlay:
				rules = append(rules, pathRule{m.Inside, mayChange})
			}
		}
	}
	return rules
}

func addRule(ruleset int, r pathRule, handled uint64) error {
	fd, err := unix.Open(r.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // what is not in the view needs no grant
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	access := r.access & handled
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= fileRights
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
