package plugin

import (
	"os"
	"syscall"
)

const (
	stdoutFD      = 1
	stderrFD      = 2
	prSetDumpable = 4 // PR_SET_DUMPABLE
	notDumpable   = 0
)

// divertStdout moves the handshake's descriptor out of the way: what prints to standard output from
// now on, other libraries and children included, prints to standard error.
func divertStdout() (handshake *os.File, err error) {
	fd, err := syscall.Dup(stdoutFD)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.Dup3(stderrFD, stdoutFD, 0); err != nil {
		return nil, os.NewSyscallError("dup3", err)
	}
	return os.NewFile(uintptr(fd), "handshake"), nil
}

// hideMemory keeps tools that the plugin runs, which share its user, out of its memory: the session
// secret and the step's text are there. It also switches core dumps off. In a sandbox that filters system calls
// it only seems to: there everything stays visible to PID 1, which counts it, and so to the tools.
func hideMemory() {
	//nolint:errcheck // an old kernel's refusal changes nothing that the sandbox relies on
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, notDumpable, 0)
}
