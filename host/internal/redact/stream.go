package redact

import (
	"fmt"
	"io"
)

// scan is the state of one stream. Positions are visited one after another and each decision looks only
// at what follows, so the cuts between writes cannot change it.
type scan struct {
	r    *Redactor
	prev byte    // the byte before the present position; 0 at the start
	left int     // bytes that a match still covers
	tail charset // once left is used up, bytes of this set belong to the token too
	key  int     // bytes that an open private key block may still cover
}

// run appends the masked form of buf to out and says how many bytes of buf it could decide. With final
// set it decides all of them.
func (s *scan) run(out, buf []byte, final bool) ([]byte, int) {
	i := 0
	for i < len(buf) {
		if s.idle() {
			n := s.r.plain(buf[i:])
			if n > 0 {
				out = append(out, buf[i:i+n]...)
				i += n
				s.prev = buf[i-1]
				continue
			}
		}
		mask, more := s.at(buf[i:], final)
		if more {
			break
		}
		out = append(out, mask...)
		if !s.covered(buf[i]) {
			out = append(out, buf[i])
		}
		s.prev = buf[i]
		i++
	}
	return out, i
}

// idle reports whether nothing is being masked.
func (s *scan) idle() bool { return s.left == 0 && s.key == 0 && s.tail == "" }

// plain is how many bytes at the start of data begin nothing. The last byte is never among them: what
// it begins depends on the next.
func (r *Redactor) plain(data []byte) int {
	for i := 0; i+1 < len(data); i++ {
		if r.starting(data[i], data[i+1]) {
			return i
		}
	}
	return max(len(data)-1, 0)
}

// covered reports whether the byte at the present position is masked, and moves past it.
func (s *scan) covered(c byte) bool {
	switch {
	case s.left > 0:
		s.left--
		return true
	case s.key > 0:
		s.key--
		return true
	case s.tail.has(c):
		return true
	}
	s.tail = ""
	return false
}

// at looks for a match at the start of data. It returns the mask to write before it, unless the position
// is covered already, and whether only more data can tell; with final set there is no more.
func (s *scan) at(data []byte, final bool) (mask string, more bool) {
	hidden := s.left > 0 || s.key > 0 || s.tail.has(data[0])
	if s.key > 0 && s.left == 0 && s.endKey(data, final) {
		return "", true
	}
	if len(data) == 1 {
		return "", !final && s.r.startsWith(data[0])
	}
	if !s.r.starting(data[0], data[1]) {
		return "", false
	}
	n, mask, more := s.r.needle(data, final)
	if more {
		return "", true
	}
	if n > 0 {
		s.cover(n, "")
	} else if mask, more = s.rule(data, final); more {
		return "", true
	}
	if hidden {
		return "", false
	}
	return mask, false
}

// endKey ends a private key block at its last line. It reports whether only more data can tell.
func (s *scan) endKey(data []byte, final bool) (more bool) {
	n, more := matchEnd(data)
	if n > 0 {
		s.left, s.key = n, 0
	}
	return more && !final
}

func (s *scan) cover(n int, tail charset) {
	if n >= s.left {
		s.left = n
		if tail != "" {
			s.tail = tail
		}
	}
}

// needle is the longest secret at the start of data.
func (r *Redactor) needle(data []byte, final bool) (n int, mask string, more bool) {
	for _, nd := range r.needles[uint16(data[0])<<8|uint16(data[1])] {
		if len(nd.text) > len(data) {
			switch {
			case nd.text[:len(data)] != string(data):
			case !final:
				return 0, "", true
			case len(data) >= minCut: // the rest was cut off
				return len(data), nd.mask, false
			}
			continue
		}
		if string(data[:len(nd.text)]) == nd.text {
			return len(nd.text), nd.mask, false
		}
	}
	return 0, "", false
}

// rule tries the built-in shapes at the start of data.
func (s *scan) rule(data []byte, final bool) (mask string, more bool) {
	for _, r := range s.r.rules[uint16(data[0])<<8|uint16(data[1])] {
		if r.word && wordSet.has(s.prev) {
			continue
		}
		n, need := r.match(data)
		if need && !final {
			return "", true
		}
		if n == 0 {
			continue
		}
		s.cover(n, r.set)
		if r.block {
			s.key = keyBlock
		}
		return maskOf(r.name), false
	}
	return "", false
}

// Stream masks what is written to it on its way to dst. It holds back only what could be the beginning
// of a secret; Close writes that too. Close does not close dst.
func (r *Redactor) Stream(dst io.Writer) io.WriteCloser {
	return &stream{dst: dst, scan: scan{r: r}}
}

type stream struct {
	dst  io.Writer
	scan scan
	held []byte
	out  []byte
	err  error
}

const chunk = 32 << 10

// Write masks p. The count it returns is of p, whatever became of it.
func (s *stream) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) && s.err == nil {
		n := min(len(p)-done, chunk)
		s.feed(p[done:done+n], false)
		done += n
	}
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

// Close writes what was held back.
func (s *stream) Close() error {
	if s.err == nil {
		s.feed(nil, true)
	}
	return s.err
}

func (s *stream) feed(p []byte, final bool) {
	s.held = append(s.held, p...)
	out, n := s.scan.run(s.out[:0], s.held, final)
	s.out = out
	s.held = s.held[:copy(s.held, s.held[n:])]
	if len(out) == 0 {
		return
	}
	if _, err := s.dst.Write(out); err != nil {
		s.err = fmt.Errorf("write masked bytes: %w", err)
	}
}

// Lines masks each write by itself, for loggers that write whole lines.
func (r *Redactor) Lines(dst io.Writer) io.Writer { return lines{r, dst} }

type lines struct {
	r   *Redactor
	dst io.Writer
}

// Write masks p and passes it on at once.
func (l lines) Write(p []byte) (int, error) {
	if _, err := l.dst.Write(l.r.Mask(p)); err != nil {
		return 0, fmt.Errorf("write masked line: %w", err)
	}
	return len(p), nil
}
