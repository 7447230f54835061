package agent

import (
	"bytes"
	"io"
)

// splitter cuts a stream into lines and keeps at most so much of one.
type splitter struct {
	most int
	line func([]byte) error
	long func([]byte, int) error

	kept []byte // the beginning of the line that has not ended
	n    int    // its bytes so far
}

// take looks at the next piece of the stream.
func (s *splitter) take(p []byte) error {
	for {
		at := bytes.IndexByte(p, '\n')
		if at < 0 {
			s.hold(p)
			return nil
		}
		if s.n == 0 && at <= s.most { // the whole line is in this piece
			if at > 0 {
				if err := s.line(p[:at]); err != nil {
					return err
				}
			}
		} else {
			s.hold(p[:at])
			if err := s.end(); err != nil {
				return err
			}
		}
		p = p[at+1:]
	}
}

func (s *splitter) hold(p []byte) {
	s.n += len(p)
	s.kept = append(s.kept, p[:min(len(p), s.most-len(s.kept))]...)
}

// end hands over the line that was held.
func (s *splitter) end() error {
	kept, n := s.kept, s.n
	s.kept, s.n = s.kept[:0], 0
	if cap(s.kept) > 1<<20 {
		s.kept = nil // one long line is no reason to keep its room
	}
	switch {
	case n == 0:
		return nil
	case n > s.most:
		return s.long(kept, n)
	default:
		return s.line(kept)
	}
}

// Read hands over what was put; it waits for more until the input is closed.
func (i *input) Read(p []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.queued) == 0 {
		if i.closed {
			return 0, io.EOF
		}
		i.ready.Wait()
	}
	n := copy(p, i.queued)
	if i.queued = i.queued[n:]; len(i.queued) == 0 {
		i.queued = nil
	}
	return n, nil
}
