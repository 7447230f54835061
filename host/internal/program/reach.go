package program

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many links may be on the way to a program, as in the kernel.
const maxLinks = 40

// place is something that was reached: an O_PATH descriptor, and the path without links that leads to it.
type place struct {
	fd   int
	path string
	stat unix.Stat_t
}

func (p place) close() {
	if p.path != "" {
		_ = unix.Close(p.fd) // it was never written to
	}
}

func (p place) shown() Shown { return Shown{Path: p.path, Dev: uint64(p.stat.Dev), Ino: p.stat.Ino} }

// open opens what was reached for reading, whatever its path leads to by now.
func (p place) open() (*os.File, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", p.fd), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func closeFile(f *os.File) { _ = f.Close() } // it was only read

// climb is a way through directories that are held open, so that nobody can exchange what was judged.
type climb struct {
	f     *Finder
	want  Want
	trail []place // from "/" down
	links int
}

// reach follows a path from the root, one component after the other, and judges every directory and link on
// the way. The caller closes what it gets, also with an error.
func (f *Finder) reach(target string, w Want) (place, error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return place{}, &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	c := &climb{f: f, want: w, trail: []place{{fd: root, path: "/"}}}
	defer func() {
		for _, p := range c.trail {
			p.close()
		}
	}()
	names := strings.Split(target, "/")
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		to, err := c.step(name)
		if err != nil {
			return place{}, err
		}
		if to != "" {
			names = append(strings.Split(to, "/"), names...)
		}
	}
	last := c.trail[len(c.trail)-1]
	c.trail = c.trail[:len(c.trail)-1]
	return last, nil
}

// step takes one component; it answers with where a link leads.
func (c *climb) step(name string) (to string, err error) {
	switch name {
	case "", ".":
		return "", nil
	case "..":
		c.up()
		return "", nil
	}
	next, err := c.enter(name)
	if err != nil {
		return "", err
	}
	if next.stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return c.follow(next)
	}
	c.trail = append(c.trail, next)
	return "", nil
}

func (c *climb) up() {
	if n := len(c.trail) - 1; n > 0 {
		c.trail[n].close()
		c.trail = c.trail[:n]
	}
}

// enter opens and judges one component.
func (c *climb) enter(name string) (place, error) {
	at := c.trail[len(c.trail)-1]
	p := place{path: path.Join(at.path, name)}
	var err error
	if p.fd, err = unix.Openat(at.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
		return place{}, &fs.PathError{Op: "open", Path: p.path, Err: err}
	}
	if err := unix.Fstat(p.fd, &p.stat); err != nil {
		p.close()
		return place{}, &fs.PathError{Op: "stat", Path: p.path, Err: err}
	}
	if err := c.f.judge(c.want, p); err != nil {
		p.close()
		return place{}, err
	}
	return p, nil
}

// follow reads a link; what it says begins where it lies, or at the root.
func (c *climb) follow(link place) (string, error) {
	defer link.close()
	if c.links++; c.links > maxLinks {
		return "", &fs.PathError{Op: "open", Path: link.path, Err: unix.ELOOP}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link.fd, "", buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: link.path, Err: err}
	}
	to := string(buf[:n])
	for strings.HasPrefix(to, "/") && len(c.trail) > 1 {
		c.up()
	}
	return to, nil
}

// judge refuses what lies where others decide about it. A sticky directory keeps what is not theirs.
func (f *Finder) judge(w Want, p place) error {
	for _, root := range w.Roots {
		if within(p.path, root) {
			return refused(w, p.path, "it lies in a workspace, whose files anybody may have written").
				Fix("take the workspace out of PATH, or name the program: program = \"/path/to/%s\"", path.Base(w.Name))
		}
	}
	if f.opt.StateDir != "" && within(p.path, f.opt.StateDir) {
		return refused(w, p.path, "it lies in the daemon's state directory")
	}
	if owner := int(p.stat.Uid); owner != 0 && owner != f.opt.UID {
		return refused(w, p.path, "it belongs to user %d, neither to the daemon's nor to root", owner)
	}
	if open(p.stat.Mode) {
		return refused(w, p.path, "everybody may write to it").Fix("run: chmod o-w %s", p.path)
	}
	return nil
}

// open reports what everybody may write to; of a link the mode says nothing.
func open(mode uint32) bool {
	kind := mode & unix.S_IFMT
	sticky := kind == unix.S_IFDIR && mode&unix.S_ISVTX != 0
	return mode&unix.S_IWOTH != 0 && kind != unix.S_IFLNK && !sticky
}

// judgeFile holds what was reached against what a program has to be.
func (f *Finder) judgeFile(w Want, p place) error {
	switch {
	case p.stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return refused(w, p.path, "it is no regular file")
	case p.stat.Mode&0o111 == 0:
		return refused(w, p.path, "it is not executable").Fix("run: chmod +x %s", p.path)
	case p.stat.Size > maxFile:
		return refused(w, p.path, "it is larger than %d MiB", maxFile>>20)
	}
	return nil
}
