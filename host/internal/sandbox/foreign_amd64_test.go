package sandbox_test

import "golang.org/x/sys/unix"

// foreignAttempts use the machine's other interfaces.
func foreignAttempts() []attempt {
	return []attempt{
		{"the x32 interface", func(target) error { return call(unix.SYS_GETPID | 0x40000000) }, []error{unix.ENOSYS}},
		{"iopl", func(target) error { return call(unix.SYS_IOPL, 3) }, []error{unix.EPERM}},
		{"modify_ldt", func(target) error { return call(unix.SYS_MODIFY_LDT, 0) }, []error{unix.EPERM}},
	}
}
