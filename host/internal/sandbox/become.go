package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Identity is an ordinary user by numbers.
type Identity struct{ UID, GID int }

// Become turns a process of root into one of an ordinary user: it gives up groups, gid and uid for good
// and executes the program anew, so that nothing of root's stays in its memory and the kernel treats it
// as that user's own. It returns only with an error.
func Become(id Identity, argv, env []string) error {
	if err := unix.Setgroups(nil); err != nil {
		return fmt.Errorf("give up groups: %w", err)
	}
	if err := unix.Setresgid(id.GID, id.GID, id.GID); err != nil {
		return fmt.Errorf("give up the group: %w", err)
	}
	if err := unix.Setresuid(id.UID, id.UID, id.UID); err != nil {
		return fmt.Errorf("give up the user: %w", err)
	}
	if err := unix.Exec("/proc/self/exe", argv, env); err != nil {
		return fmt.Errorf("execute as uid %d: %w", id.UID, err)
	}
	return nil
}
