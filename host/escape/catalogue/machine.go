package catalogue

import (
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// machine are ways to the terminal and to the processor's old interfaces.
func machine() []Probe {
	seccomp := []string{Seccomp}
	list := []Probe{
		{ID: "54", Where: OursOnly, Title: "push input into a terminal (TIOCSTI)", try: onTerminal(unix.TIOCSTI)},
		{ID: "54b", Where: OursOnly, Title: "TIOCSTI with high bits set", try: onTerminal(unix.TIOCSTI | 1<<32)},
		{ID: "54c", Title: "paste by the console (TIOCLINUX)", try: onTerminal(tioclinux), Note: "no console is visible without a sandbox either"},
		{ID: "54d", Title: "TIOCLINUX with high bits set", try: onTerminal(tioclinux | 1<<32), Note: "no console is visible without a sandbox either"},
		{ID: "54e", Title: "set a line discipline (TIOCSETD)", try: lineDiscipline},
		{ID: "54f", Title: "steal a terminal (TIOCSCTTY)", Layer: View, Level: isolated, Walls: []string{View, Landlock}, try: stealTerminal,
			Note: "no terminal of this user may be open"},
		{ID: "54g", Title: "open the host's terminals in /dev/pts", Layer: View, Level: isolated, Walls: []string{View, Landlock}, try: openTerminals},
		{ID: "54h", Title: "redirect the console (TIOCCONS)", try: onTerminal(unix.TIOCCONS),
			Layer: Caps, Level: isolated, Walls: []string{Caps}, Note: "it asks for a privilege of the first user namespace"},
		{ID: "54i", Title: "have the daemon's terminal", Layer: Terminal, Level: guarded, Walls: []string{Terminal}, try: open(at("/dev/tty"), unix.O_RDWR)},
	}
	for i := range list {
		p := &list[i]
		if p.Layer == "" {
			p.Layer, p.Level, p.Walls = Seccomp, guarded, seccomp
		}
	}
	return append(list, foreign()...)
}

const tioclinux = 0x541c

// terminal makes a pair and gives the side that a shell would have.
func terminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	slave, err = os.OpenFile("/dev/pts/"+itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

// onTerminal makes the request as the leader of a session with that terminal, in a helper: only then the
// kernel would do it.
func onTerminal(request uint64) func(*Target) Outcome {
	return func(*Target) Outcome {
		master, slave, err := terminal()
		if err != nil {
			return refused(err)
		}
		defer master.Close()
		defer slave.Close()
		cmd := exec.Command("/proc/self/exe", ":ioctl", itoa(int(request)))
		cmd.Stdin = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return broken("%v: %s", err, out)
		}
		if answer := strings.TrimSpace(string(out)); answer != "" {
			return no("%s", answer)
		}
		return through("taken")
	}
}

func lineDiscipline(*Target) Outcome {
	master, slave, err := terminal()
	if err != nil {
		return refused(err)
	}
	defer master.Close()
	defer slave.Close()
	var all []Outcome
	for _, kind := range []int{3, 13, 21} { // PPP, HDLC, GSM: each has had its holes
		all = append(all, unless(unix.IoctlSetPointerInt(int(slave.Fd()), unix.TIOCSETD, kind), "set "+itoa(kind)))
	}
	return first(all...)
}

func stealTerminal(*Target) Outcome {
	var all []Outcome
	for _, p := range []string{"/dev/tty1", "/dev/console", "/dev/pts/0", "/dev/pts/1"} {
		fd, err := unix.Open(p, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			all = append(all, refused(err))
			continue
		}
		all = append(all, unless(unix.IoctlSetInt(fd, unix.TIOCSCTTY, 1), "stole "+p))
		unix.Close(fd)
	}
	return first(all...)
}

// openTerminals is an escape when a terminal is there that this namespace did not make.
func openTerminals(*Target) Outcome {
	entries, err := os.ReadDir("/dev/pts")
	if err != nil {
		return refused(err)
	}
	for _, e := range entries {
		if e.Name() != "ptmx" {
			return through("saw /dev/pts/%s", e.Name())
		}
	}
	return no("none but its own")
}
