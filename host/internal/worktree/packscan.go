package worktree

import (
	"bufio"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

// packBounds is what a pack from a sandbox may be.
type packBounds struct {
	bytes    int64 // of the pack
	objects  int
	inflated int64 // of all objects together, as stored and as deltas make them
	wide     bool  // sha256
}

// Bounds of single objects. A commit or a tree is held in memory by everybody who reads it.
const (
	maxMeta = 64 << 20
	maxBlob = maxFile
)

// Kinds of objects in a pack.
const (
	packCommit   = 1
	packTree     = 2
	packBlob     = 3
	packOfsDelta = 6
	packRefDelta = 7
)

// packScan reads a pack as it goes by, so that git is never given more than the bounds allow: how much
// comes out of a few bytes is known before git makes room for it. What the objects say is for git to check.
type packScan struct {
	in    *bufio.Reader
	out   *bufio.Writer
	b     packBounds
	taken int64
	made  int64 // inflated so far
	z     io.ReadCloser
}

// scanPack copies one pack, and nothing after it, to out.
func scanPack(out io.Writer, in io.Reader, b packBounds) error {
	s := &packScan{in: bufio.NewReaderSize(in, 32<<10), out: bufio.NewWriterSize(out, 32<<10), b: b}
	err := s.pack()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("it ends too early")
	}
	if err != nil {
		return err
	}
	return s.out.Flush()
}

func malformed(why string) error {
	return fault.New(fault.TreeRefused, "the pack is malformed: %s", why)
}

func tooLarge(format string, args ...any) error { return fault.New(fault.TooLarge, format, args...) }

// ReadByte and Read hand on what they take.
func (s *packScan) ReadByte() (byte, error) {
	c, err := s.in.ReadByte()
	if err != nil {
		return 0, err
	}
	if s.taken++; s.taken > s.b.bytes {
		return 0, tooLarge("the pack has more than %d bytes", s.b.bytes)
	}
	return c, s.out.WriteByte(c)
}

// Read is ReadByte for several.
func (s *packScan) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if s.taken += int64(n); s.taken > s.b.bytes {
		return 0, tooLarge("the pack has more than %d bytes", s.b.bytes)
	}
	if _, e := s.out.Write(p[:n]); e != nil {
		return n, e
	}
	return n, err
}

func (s *packScan) pack() error {
	var head [12]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return err
	}
	if version := binary.BigEndian.Uint32(head[4:]); string(head[:4]) != "PACK" || version != 2 {
		return malformed("it does not begin like one of version 2")
	}
	count := binary.BigEndian.Uint32(head[8:])
	if int64(count) > int64(s.b.objects) {
		return tooLarge("the pack has %d objects, at most %d are taken", count, s.b.objects)
	}
	for range count {
		if err := s.object(); err != nil {
			return err
		}
	}
	sum := make([]byte, s.idSize())
	if _, err := io.ReadFull(s, sum); err != nil {
		return err
	}
	switch _, err := s.in.ReadByte(); {
	case err == nil:
		return malformed("something comes after it")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

func (s *packScan) idSize() int {
	if s.b.wide {
		return 32
	}
	return 20
}

// object goes past one object.
func (s *packScan) object() error {
	c, err := s.ReadByte()
	if err != nil {
		return err
	}
	kind, size := c>>4&7, int64(c&15)
	if c&0x80 != 0 {
		high, err := varint(s)
		if err != nil {
			return err
		}
		size |= high << 4
	}
	limit := int64(maxBlob)
	switch kind {
	case packBlob:
	case packCommit, packTree:
		limit = maxMeta
	case packOfsDelta:
		_, err = varint(s)
	case packRefDelta:
		_, err = io.CopyN(io.Discard, s, int64(s.idSize()))
	default:
		return malformed("an object is no commit, tree or file")
	}
	if err != nil {
		return err
	}
	if err := s.grow(size, limit); err != nil {
		return err
	}
	return s.inflate(size, kind >= packOfsDelta)
}

// grow counts an object that is about to be made.
func (s *packScan) grow(size, limit int64) error {
	if size > limit {
		return tooLarge("an object in the pack has %d bytes, at most %d are taken", size, limit)
	}
	if s.made += size; s.made > s.b.inflated {
		return tooLarge("the pack unfolds to more than %d bytes", s.b.inflated)
	}
	return nil
}

// inflate goes past the compressed bytes of an object and holds it to its size. A delta begins with the
// size of its base and its own.
func (s *packScan) inflate(size int64, delta bool) error {
	var err error
	if s.z == nil {
		s.z, err = zlib.NewReader(s)
	} else if r, ok := s.z.(zlib.Resetter); ok {
		err = r.Reset(s, nil)
	}
	if err != nil {
		return unfold(err)
	}
	counted := &counter{r: bufio.NewReaderSize(io.LimitReader(s.z, size+1), 4<<10)}
	if delta {
		if _, err := varint(counted); err != nil {
			return unfold(err)
		}
		result, err := varint(counted)
		if err != nil {
			return unfold(err)
		}
		if err := s.grow(result, maxBlob); err != nil {
			return err
		}
	}
	rest, err := io.Copy(io.Discard, counted.r)
	if err != nil {
		return unfold(err)
	}
	if counted.n+rest != size {
		return malformed("an object has another size than it says")
	}
	return nil
}

// unfold keeps the errors of reading and writing apart from those of the data.
func unfold(err error) error {
	var f *fault.Fault
	if errors.As(err, &f) || errors.Is(err, unix.EPIPE) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return err
	}
	if errors.Is(err, zlib.ErrHeader) || errors.Is(err, zlib.ErrChecksum) || errors.Is(err, zlib.ErrDictionary) {
		return malformed("an object is not compressed as it should be")
	}
	return fault.Wrap(err, fault.TreeRefused, "the pack cannot be read")
}

type counter struct {
	r *bufio.Reader
	n int64
}

// ReadByte counts what it takes.
func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// varint is git's number of a variable length, low bits first. That of an offset is written differently,
// but is as long.
func varint(r io.ByteReader) (int64, error) {
	var n int64
	for shift := 0; shift <= 49; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int64(c&0x7f) << shift
		if c&0x80 == 0 {
			return n, nil
		}
	}
	return 0, malformed("a size is out of all bounds")
}
