package catalogue

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

func setIDBy(do func(p string) error) func(*Target) Outcome {
	return func(t *Target) Outcome {
		p, err := inTree(t, "setid")
		if err != nil {
			return broken("%v", err)
		}
		return unless(do(p), "set")
	}
}

func chmodat2(p string) error {
	b, err := unix.BytePtrFromString(p)
	if err != nil {
		return err
	}
	at := unix.AT_FDCWD
	_, err = sys(unix.SYS_FCHMODAT2, uintptr(at), uintptr(unsafe.Pointer(b)), 0o6755, 0)
	return err
}

// made is an escape when the file that was made has the bits: some file systems drop them.
func made(fd int, err error) Outcome {
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return broken("%v", err)
	}
	if st.Mode&0o6000 == 0 {
		return no("made without the bits")
	}
	return through("made with mode %o", st.Mode&0o7777)
}

func setIDOpen(t *Target) Outcome {
	return made(unix.Open(t.Tree+"/setid-open", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o4755))
}

func setIDCreat(t *Target) Outcome {
	return made(unix.Open(t.Tree+"/setid-creat", unix.O_CREAT|unix.O_TRUNC|unix.O_RDWR|unix.O_CLOEXEC, 0o2755))
}

func setIDOpenat2(t *Target) Outcome {
	how := unix.OpenHow{Flags: unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_CLOEXEC, Mode: 0o6755}
	return made(unix.Openat2(unix.AT_FDCWD, t.Tree+"/setid-openat2", &how))
}

func setIDMknod(t *Target) Outcome {
	return unless(unix.Mknod(t.Tree+"/setid-mknod", unix.S_IFREG|0o4755, 0), "made")
}

func setIDMkdir(t *Target) Outcome {
	return unless(unix.Mkdirat(unix.AT_FDCWD, t.Tree+"/setid-dir", 0o6755), "made")
}

func setIDFchmod(t *Target) Outcome {
	p, err := inTree(t, "setid")
	if err != nil {
		return broken("%v", err)
	}
	f, err := os.Open(p)
	if err != nil {
		return broken("%v", err)
	}
	defer f.Close()
	return unless(unix.Fchmod(int(f.Fd()), 0o4755), "set")
}

func setIDTmpfile(t *Target) Outcome {
	fd, err := unix.Open(t.Tree, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o4755)
	if err != nil {
		return refused(err)
	}
	if err := unix.Linkat(unix.AT_FDCWD, procFD(fd), unix.AT_FDCWD, t.Tree+"/setid-tmp", unix.AT_SYMLINK_FOLLOW); err != nil {
		unix.Close(fd)
		return refused(err)
	}
	return made(fd, nil)
}

func fileCapabilities(t *Target) Outcome {
	p, err := inTree(t, "caps")
	if err != nil {
		return broken("%v", err)
	}
	caps := []byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	return unless(unix.Setxattr(p, "security.capability", caps, 0), "set")
}

func securityAttribute(t *Target) Outcome {
	p, err := inTree(t, "attr")
	if err != nil {
		return broken("%v", err)
	}
	return first(
		unless(unix.Setxattr(p, "security.ima", []byte("x"), 0), "set security.ima"),
		unless(unix.Setxattr(p, "security.SMACK64EXEC", []byte("x"), 0), "set security.SMACK64EXEC"),
		unless(unix.Setxattr(p, "trusted.overlay.redirect", []byte("/etc"), 0), "set trusted.overlay.redirect"))
}

func immutable(t *Target) Outcome {
	p, err := inTree(t, "immutable")
	if err != nil {
		return broken("%v", err)
	}
	f, err := os.Open(p)
	if err != nil {
		return broken("%v", err)
	}
	defer f.Close()
	const immutableFlag = 0x10
	return unless(unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, immutableFlag), "set")
}

func giveAway(t *Target) Outcome {
	p, err := inTree(t, "given")
	if err != nil {
		return broken("%v", err)
	}
	return unless(unix.Chown(p, 0, 0), "given to user 0")
}
