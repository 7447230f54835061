package catalogue

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func key(t *Target) string      { return t.Home + "/.ssh/id_ed25519" }
func database(t *Target) string { return t.State + "/drawspan.db" }

// files are ways to what lies on the host's disk.
func files() []Probe {
	disk := []string{View, Landlock}
	list := []Probe{
		{ID: "1", Title: "read a key in the operator's home", try: read(key)},
		{ID: "1b", Title: "list the operator's home", try: listHome},
		{ID: "1c", Title: "read a key by a relative path out of the tree", try: readRelative},
		{ID: "2", Title: "read a key through a link planted in the tree", try: readThroughLink},
		{ID: "3", Title: "write through a linked directory", try: writeThroughLink},
		{ID: "4", Title: "write beside the tree", try: write(func(t *Target) string { return t.Tree + "/../planted" })},
		{ID: "5", Title: "hard-link a key into the tree", try: hardLink(key)},
		{ID: "5b", Title: "hard-link a leaked magic link into the tree", try: linkMagic},
		{ID: "6", Title: "write /usr", try: write(at("/usr/planted")), Note: "plain permissions refuse an ordinary user"},
		{ID: "6b", Title: "write /etc", try: write(at("/etc/planted")), Note: "plain permissions refuse an ordinary user"},
		{ID: "6c", Title: "write /", try: write(at("/planted")), Note: "plain permissions refuse an ordinary user"},
		{ID: "12b", Title: "open the root disk", try: open(at("/dev/vda"), unix.O_RDONLY), Note: "plain permissions refuse an ordinary user"},
		{ID: "18", Title: "read a file of the host's /tmp", try: read(func(t *Target) string { return t.Tmp })},
		{ID: "18b", Title: "read a file of the host's /dev/shm", try: read(func(t *Target) string { return t.Shm })},
		{ID: "18c", Title: "read a file of the host's /var/tmp", try: read(func(t *Target) string { return t.VarTmp })},
		{ID: "18d", Title: "plant a file in the host's /tmp", try: write(func(t *Target) string { return t.Tmp + ".planted" })},
		{ID: "19", Title: "read another attempt's tree", try: read(func(t *Target) string { return t.Sibling + "/secret" })},
		{ID: "19b", Title: "write another attempt's tree", try: write(func(t *Target) string { return t.Sibling + "/file" })},
		{ID: "20", Title: "read the daemon's database", try: read(database)},
		{ID: "20b", Title: "read the daemon's configuration", try: read(func(t *Target) string { return t.State + "/drawspan.hcl" })},
		{ID: "20c", Title: "write the daemon's database", try: write(database)},
		{ID: "22", Title: "rename the tree away", try: renameTree, Walls: []string{View, Landlock}},
		{ID: "22b", Title: "put something in the tree's place", try: replaceTree},
	}
	for i := range list {
		list[i].Layer, list[i].Level = View, isolated
		if list[i].Walls == nil {
			list[i].Walls = disk
		}
	}
	return append(list, devices()...)
}

// devices are nodes that give more than files.
func devices() []Probe {
	dac := "plain permissions refuse an ordinary user"
	list := []Probe{
		{ID: "13", Title: "open kernel memory", try: open(at("/dev/mem"), unix.O_RDONLY), Note: dac},
		{ID: "13b", Title: "open the kernel log", try: open(at("/dev/kmsg"), unix.O_WRONLY), Note: dac},
		{ID: "13c", Title: "open fuse", try: open(at("/dev/fuse"), unix.O_RDWR), Note: dac},
		{ID: "13d", Title: "open kvm", try: open(at("/dev/kvm"), unix.O_RDWR), Note: dac},
		{ID: "13e", Title: "open a tunnel", try: open(at("/dev/net/tun"), unix.O_RDWR), Note: dac},
		{ID: "13f", Title: "open vhost-vsock and vsock", try: openEither("/dev/vhost-vsock", "/dev/vsock"), Note: dac},
		{ID: "13g", Title: "open /dev/userfaultfd", try: open(at("/dev/userfaultfd"), unix.O_RDWR), Note: dac},
		{ID: "13h", Title: "open a console or the autofs control", try: openEither("/dev/autofs", "/dev/console", "/dev/tty1")},
		{ID: "13i", Title: "list the host's terminals", try: hostTerminals},
	}
	for i := range list {
		list[i].Layer, list[i].Level, list[i].Walls = View, isolated, []string{View, Landlock}
	}
	return append(list,
		Probe{ID: "12", Title: "make a node of the root disk", Layer: Caps, Level: guarded, Walls: []string{Caps, Landlock},
			try: makeDisk, Note: "device nodes need a privilege in the first user namespace"},
		Probe{ID: "12c", Title: "make a whiteout and a character device", Layer: Landlock, Level: guarded,
			Walls: []string{Landlock}, try: makeWhiteout})
}

func listHome(t *Target) Outcome {
	entries, err := os.ReadDir(t.Home)
	if err != nil {
		return refused(err)
	}
	for _, e := range entries {
		if e.Name() == ".ssh" {
			return through("saw %d names", len(entries))
		}
	}
	return no("another directory")
}

func readRelative(t *Target) Outcome {
	if err := unix.Chdir(t.Tree); err != nil {
		return broken("enter the tree: %v", err)
	}
	return readFile(strings.Repeat("../", 40) + strings.TrimPrefix(key(t), "/"))
}

func plant(t *Target, name, target string) (string, error) {
	link := filepath.Join(t.Tree, name)
	err := os.Symlink(target, link)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return link, err
}

func readThroughLink(t *Target) Outcome {
	link, err := plant(t, "link", key(t))
	if err != nil {
		return broken("plant: %v", err)
	}
	return readFile(link)
}

func writeThroughLink(t *Target) Outcome {
	link, err := plant(t, "dirlink", t.Home)
	if err != nil {
		return broken("plant: %v", err)
	}
	return writeFile(link+"/planted", t.Mark)
}

func hardLink(p path) func(*Target) Outcome {
	return func(t *Target) Outcome { return unless(unix.Link(p(t), t.Tree+"/hard"), "linked") }
}

// linkMagic names a file of another mount by its descriptor, which plain paths cannot.
func linkMagic(t *Target) Outcome {
	fd, err := unix.Open(key(t), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(err)
	}
	defer unix.Close(fd)
	return unless(unix.Linkat(unix.AT_FDCWD, procFD(fd), unix.AT_FDCWD, t.Tree+"/hard", unix.AT_SYMLINK_FOLLOW), "linked")
}

func renameTree(t *Target) Outcome {
	return unless(unix.Rename(t.Tree, t.Tree+".away"), "renamed")
}

func replaceTree(t *Target) Outcome {
	other := filepath.Dir(t.Tree) + "/other"
	if err := unix.Mkdir(other, 0o755); err != nil {
		return refused(err)
	}
	return unless(unix.Renameat2(unix.AT_FDCWD, other, unix.AT_FDCWD, t.Tree, unix.RENAME_EXCHANGE), "exchanged")
}

func openEither(paths ...string) func(*Target) Outcome {
	return func(t *Target) Outcome {
		var all []Outcome
		for _, p := range paths {
			all = append(all, open(at(p), unix.O_RDWR)(t), open(at(p), unix.O_RDONLY)(t))
		}
		return first(all...)
	}
}

func hostTerminals(*Target) Outcome {
	names, err := filepath.Glob("/dev/tty[0-9]*")
	if err != nil {
		return broken("%v", err)
	}
	if len(names) == 0 {
		return no("none to be seen")
	}
	return through("saw %d", len(names))
}

func makeDisk(t *Target) Outcome {
	p := t.Tree + "/disk"
	if err := unix.Mknod(p, unix.S_IFBLK|0o600, int(unix.Mkdev(254, 0))); err != nil {
		return refused(err)
	}
	return through("made")
}

// makeWhiteout makes the one device that needs no privilege: what it hides in a lower layer, a host that
// merges trees would lose.
func makeWhiteout(t *Target) Outcome {
	return unless(unix.Mknod(t.Tree+"/whiteout", unix.S_IFCHR|0o600, 0), "made")
}
