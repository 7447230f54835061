package launcher

import "golang.org/x/sys/unix"

// walk adds up what directories hold. It enters no mount, follows no link, opens no file, and ends when
// the limit is reached, so that a hostile tree costs no more than one that is just within.
type walk struct {
	levels []level
	names  []byte
	limit  int64
	force  bool // directories that cannot be read are opened for the time of the walk

	here   []byte // "."
	used   int64
	closed int // directories that could not be entered, or lie too deep
	st     unix.Statx_t
}

// level is one directory on the way down.
type level struct {
	fd   int
	rest []byte // names not looked at yet
	mode uint16 // what to set back, with changed
	set  bool
}

func (w *walk) begin(limit int64, force bool) {
	w.used, w.closed, w.limit, w.force = 0, 0, limit, force
}

// below adds what is below a directory. Its own descriptor is left alone.
func (w *walk) below(root int) {
	fd, errno := openRaw(root, w.here, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	set, mode := false, uint16(0)
	if errno == unix.EACCES && w.force && statRaw(root, w.here[1:], unix.AT_EMPTY_PATH, &w.st) == 0 {
		set, mode = true, w.st.Mode
		if unix.Fchmod(root, uint32(mode&0o7777|0o700)) == nil {
			fd, errno = openRaw(root, w.here, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		}
	}
	if errno != 0 {
		w.closed++
		return
	}
	w.levels[0] = level{fd: fd, mode: mode, set: set}
	for depth := 0; depth >= 0; {
		l := &w.levels[depth]
		if len(l.rest) == 0 {
			n, errno := entriesRaw(l.fd, w.names[depth*diskBuffer:(depth+1)*diskBuffer])
			if n == 0 || errno != 0 {
				w.leave(l)
				depth--
				continue
			}
			l.rest = w.names[depth*diskBuffer : depth*diskBuffer+n]
		}
		var e entry
		e, l.rest = nextEntry(l.rest)
		if w.used > w.limit {
			l.rest = nil // every level is left in turn
			w.leave(l)
			depth--
			continue
		}
		if !e.isDots() && w.count(l.fd, e) && w.enter(l.fd, e, depth+1) {
			depth++
		}
	}
}

func (w *walk) leave(l *level) {
	if l.set {
		_ = unix.Fchmod(l.fd, uint32(l.mode&0o7777)) // it is the payload's own: if it goes wrong, it can be read
	}
	closeRaw(l.fd)
	*l = level{}
}

// count adds one file, and reports a directory that is to be entered. A file with several names counts in
// parts: all of them lie below the same mount, because links cannot leave it.
func (w *walk) count(dir int, e entry) bool {
	if statRaw(dir, e.terminated(), unix.AT_SYMLINK_NOFOLLOW, &w.st) != 0 {
		return false // it is gone, or the directory was closed meanwhile
	}
	if w.st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return false
	}
	size := max(int64(w.st.Blocks)*512, diskLeast)
	if w.st.Mode&unix.S_IFMT == unix.S_IFDIR {
		w.used += size
		return true
	}
	w.used += size / int64(max(w.st.Nlink, 1))
	return false
}

// enter opens a directory as the next level; w.st is its own.
func (w *walk) enter(dir int, e entry, depth int) bool {
	if depth == len(w.levels) {
		w.closed++
		return false
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW
	l := level{mode: w.st.Mode}
	var errno unix.Errno
	if w.st.Mode&0o500 != 0o500 {
		errno = unix.EACCES // it could be listed perhaps, but not looked into
	} else {
		l.fd, errno = openRaw(dir, e.terminated(), flags)
	}
	if errno == unix.EACCES && w.force && chmodRaw(dir, e.terminated(), uint32(w.st.Mode&0o7777|0o700)) == 0 {
		l.set = true
		l.fd, errno = openRaw(dir, e.terminated(), flags)
	}
	switch errno {
	case 0:
	case unix.ENOENT:
		return false // gone since it was counted
	default:
		w.closed++
		return false
	}
	w.levels[depth] = l
	return true
}
