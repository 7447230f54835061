package program

import (
	"time"

	"golang.org/x/sys/unix"
)

// Recent is whether a file of that ctime is remembered by somebody who began to look at a time.
func Recent(began, ctime time.Time) bool {
	return recent(began, identity{ctime: unix.NsecToTimespec(ctime.UnixNano())})
}

// Shebang is how a script's first line is read.
func Shebang(head []byte) (name string, script bool) { return shebang(head) }
