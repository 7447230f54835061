package catalogue

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// procfs are ways through /proc and /sys.
func procfs() []Probe {
	dac := "plain permissions refuse an ordinary user"
	pids := []string{PIDNS, View, Landlock}
	init := []string{Dumpable, Landlock}
	list := []Probe{
		{ID: "7", Title: "write the core pattern", try: open(at("/proc/sys/kernel/core_pattern"), unix.O_WRONLY), Note: dac},
		{ID: "7b", Title: "write any setting of the machine below /proc/sys", try: writeSettings},
		{ID: "8", Title: "pull sysrq", try: open(at("/proc/sysrq-trigger"), unix.O_WRONLY), Note: dac},
		{ID: "8b", Title: "read kernel memory by /proc/kcore", try: open(at("/proc/kcore"), unix.O_RDONLY), Note: dac},
		{ID: "8c", Title: "list keys of the host", try: listKeys},
		{ID: "8d", Title: "read the kernel's log by /proc/kmsg", try: open(at("/proc/kmsg"), unix.O_RDONLY), Note: dac},
		{ID: "8e", Title: "see /sys", try: seeSys},
		{ID: "9", Title: "find a process of the host", Layer: PIDNS, Walls: pids, try: findVictim},
		{ID: "9b", Title: "read its command line and environment", Layer: PIDNS, Walls: pids, try: readVictim("environ")},
		{ID: "10", Title: "reach the host by /proc/1/root", Layer: Dumpable, Walls: append(init, View), try: read(throughRoot("1"))},
		{ID: "10b", Title: "reach the host by a process' root", Layer: PIDNS, Walls: pids, try: throughVictim("root")},
		{ID: "10c", Title: "reach the host by /proc/1/cwd", Layer: Dumpable, Walls: init, try: read(func(t *Target) string { return "/proc/1/cwd/" + strings.Repeat("../", 40) + key(t)[1:] })},
		{ID: "51", Title: "read the memory of PID 1", Layer: Dumpable, Walls: init, try: readInit("mem")},
		{ID: "51b", Title: "read the environment of PID 1", Layer: Dumpable, Walls: init, try: readInit("environ")},
		{ID: "51c", Title: "read the maps of PID 1", Layer: Dumpable, Walls: init, try: readInit("maps")},
		{ID: "51d", Title: "open descriptors of PID 1", Layer: Dumpable, Walls: init, try: initDescriptors},
		{ID: "51e", Where: OursOnly, Title: "learn the namespaces of PID 1", Layer: Dumpable, Walls: init, try: link("/proc/1/ns/user")},
		{ID: "51f", Where: OursOnly, Title: "read the program of PID 1", Layer: Dumpable, Walls: init, try: link("/proc/1/exe")},
		{ID: "51g", Where: OursOnly, Title: "read system calls and stack of PID 1", Layer: Dumpable, Walls: init, try: initInternals},
		{ID: "51h", Title: "write the memory of PID 1", Layer: Dumpable, Walls: init, try: open(at("/proc/1/mem"), unix.O_RDWR)},
	}
	for i := range list {
		p := &list[i]
		p.Level = isolated
		if p.Layer == "" {
			p.Layer, p.Walls = View, []string{View, Landlock}
		}
	}
	return list
}

func throughRoot(pid string) path {
	return func(t *Target) string { return "/proc/" + pid + "/root" + key(t) }
}

func throughVictim(magic string) func(*Target) Outcome {
	return func(t *Target) Outcome {
		return readFile("/proc/" + strconv.Itoa(t.Victim) + "/" + magic + key(t))
	}
}

func readVictim(file string) func(*Target) Outcome {
	return func(t *Target) Outcome { return readFile("/proc/" + strconv.Itoa(t.Victim) + "/" + file) }
}

// findVictim looks for the mark, not for the number: numbers repeat inside.
func findVictim(t *Target) Outcome {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return broken("%v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(text), t.Mark+"-victim") {
			return through("found %s", filepath.Dir(f))
		}
	}
	return no("%d processes, none of them", len(files))
}

func readInit(file string) func(*Target) Outcome {
	return func(*Target) Outcome {
		text, err := os.ReadFile("/proc/1/" + file)
		if file == "mem" && err != nil && name(err) == "EIO" {
			return through("opened") // nothing is mapped at its beginning
		}
		if err != nil {
			return refused(err)
		}
		if len(text) == 0 {
			return no("empty")
		}
		return through("read %d bytes", len(text))
	}
}

func link(p string) func(*Target) Outcome {
	return func(*Target) Outcome {
		to, err := os.Readlink(p)
		if err != nil {
			return refused(err)
		}
		return through("%s", to)
	}
}

func initDescriptors(*Target) Outcome {
	names, err := os.ReadDir("/proc/1/fd")
	if err == nil {
		return through("saw %d", len(names))
	}
	if fd, err := unix.Open("/proc/1/fd/3", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		unix.Close(fd)
		return through("opened one")
	}
	return refused(err)
}

func initInternals(*Target) Outcome {
	var all []Outcome
	for _, f := range []string{"syscall", "stack", "io", "auxv", "personality"} {
		all = append(all, readInit(f)(nil))
	}
	return first(all...)
}

func writeSettings(*Target) Outcome {
	tried := 0
	var opened []string
	err := filepath.WalkDir("/proc/sys", func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && ofNamespace(p) {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() {
			return nil // what cannot be listed cannot be written either
		}
		tried++
		if fd, err := unix.Open(p, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			unix.Close(fd)
			opened = append(opened, p)
		}
		return nil
	})
	if err != nil {
		return broken("%v", err)
	}
	if len(opened) > 0 {
		return through("%d of %d, %s first", len(opened), tried, opened[0])
	}
	return no("none of %d", tried)
}

// ofNamespace reports settings that each namespace has of its own: writing them is nobody's harm.
func ofNamespace(dir string) bool {
	return slices.Contains([]string{"/proc/sys/net", "/proc/sys/user", "/proc/sys/fs/mqueue"}, dir)
}

func listKeys(*Target) Outcome {
	text, err := os.ReadFile("/proc/keys")
	if err != nil {
		return refused(err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return no("empty")
	}
	return through("saw %d keys", strings.Count(string(text), "\n"))
}

func seeSys(*Target) Outcome {
	entries, err := os.ReadDir("/sys")
	if err != nil {
		return refused(err)
	}
	if len(entries) == 0 {
		return no("empty")
	}
	return through("saw %d names", len(entries))
}
