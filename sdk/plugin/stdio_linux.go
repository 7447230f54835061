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

// divertStdout moves the handshake's descriptor out of the way: os.Stdout keeps it, for go-plugin's one
// line, but descriptor 1, which prints of other libraries and children use, becomes standard error.
func divertStdout() (stderr *os.File, err error) {
	fd, err := syscall.Dup(stdoutFD)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.Dup3(stderrFD, stdoutFD, 0); err != nil {
		return nil, os.NewSyscallError("dup3", err)
	}
	os.Stdout = os.NewFile(uintptr(fd), "handshake")
	return os.Stderr, nil
}

// restoreStdio undoes what go-plugin does after the handshake, replacing os.Stdout and os.Stderr by
// pipes that nobody here reads.
func restoreStdio(stderr *os.File) {
	os.Stdout, os.Stderr = stderr, stderr
}

// hideMemory keeps tools that the plugin runs, which share its user, out of its memory: the session
// secret and the step's text are there. It also switches core dumps off.
func hideMemory() {
	//nolint:errcheck // an old kernel's refusal changes nothing that the sandbox relies on
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, notDumpable, 0)
}
