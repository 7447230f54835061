package launcher

import "bytes"

// lines reads a file of /proc line by line in one buffer.
type lines struct {
	buf      []byte
	from, to int
	ended    bool
}

func (l *lines) reset() { l.from, l.to, l.ended = 0, 0, false }

// next returns a line without its end; it holds until the following call. A line that does not fit is cut.
func (l *lines) next(fd int) ([]byte, bool) {
	for {
		if end := bytes.IndexByte(l.buf[l.from:l.to], '\n'); end >= 0 {
			line := l.buf[l.from : l.from+end]
			l.from += end + 1
			return line, true
		}
		if l.ended {
			line := l.buf[l.from:l.to]
			l.from = l.to
			return line, len(line) > 0
		}
		if l.from > 0 {
			l.to = copy(l.buf, l.buf[l.from:l.to])
			l.from = 0
		}
		if l.to == len(l.buf) {
			l.to = 0 // the rest of it becomes a line that says nothing
		}
		n, errno := readRaw(fd, l.buf[l.to:])
		if n == 0 || errno != 0 {
			l.ended = true
		}
		l.to += n
	}
}
