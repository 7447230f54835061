package worktree

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tracked is an entry of a private index: what git noted of a file when it last wrote or read it.
type tracked struct {
	mode         uint32 // of the object: 100644, 100755, 120000, 160000
	size         uint32
	mtime, ctime [2]uint32 // seconds, nanoseconds
	dev, ino     uint32
	id           string
	seen         bool // by a walk, and not changed
}

const (
	modeLink = 0o120000
	modeSub  = 0o160000
	modeExec = 0o100755

	indexHeader   = 12
	indexFixed    = 40 // of an entry, before the object id
	indexExtended = 0x4000
	maxIndex      = 1 << 30
)

// same reports whether a file is, to the nanosecond, what git noted. The change time cannot be set by
// whoever owns a file, so a file that was written since is not the same.
func (e *tracked) same(st *unix.Stat_t) bool {
	return e.mtime == [2]uint32{uint32(st.Mtim.Sec), uint32(st.Mtim.Nsec)} &&
		e.ctime == [2]uint32{uint32(st.Ctim.Sec), uint32(st.Ctim.Nsec)} &&
		e.ino == uint32(st.Ino) && e.size == uint32(st.Size) && e.modeFits(st)
}

// sameSecond is same for an index that was written without nanoseconds.
func (e *tracked) sameSecond(st *unix.Stat_t) bool {
	return e.mtime == [2]uint32{uint32(st.Mtim.Sec), 0} && e.ctime == [2]uint32{uint32(st.Ctim.Sec), 0} &&
		e.ino == uint32(st.Ino) && e.size == uint32(st.Size) && e.modeFits(st)
}

func (e *tracked) modeFits(st *unix.Stat_t) bool {
	if kind(st) == unix.S_IFLNK {
		return e.mode == modeLink
	}
	return kind(st) == unix.S_IFREG && e.mode != modeLink && e.mode != modeSub && (e.mode == modeExec) == (st.Mode&0o100 != 0)
}

// readIndex reads a private index. Only git writes it, from commits whose paths may be hostile, so
// everything is bounded and checked.
func readIndex(name string, sha256 bool) (map[string]*tracked, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	if fi.Size() > maxIndex {
		return nil, fmt.Errorf("read index: %d bytes, at most %d are taken", fi.Size(), maxIndex)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	return parseIndex(data, sha256)
}

func parseIndex(data []byte, sha256 bool) (map[string]*tracked, error) {
	width := 20
	if sha256 {
		width = 32
	}
	if len(data) < indexHeader+width || string(data[:4]) != "DIRC" {
		return nil, fmt.Errorf("parse index: no header")
	}
	version, count := binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if version != 2 && version != 3 {
		return nil, fmt.Errorf("parse index: version %d is not supported", version)
	}
	rest := data[indexHeader : len(data)-width]
	if uint64(count)*uint64(indexFixed+width) > uint64(len(rest)) {
		return nil, fmt.Errorf("parse index: %d entries do not fit", count)
	}
	all := make(map[string]*tracked, count)
	for i := range count {
		name, e, n, err := parseEntry(rest, width)
		if err != nil {
			return nil, fmt.Errorf("parse index entry %d: %w", i, err)
		}
		if all[name] != nil {
			return nil, fmt.Errorf("parse index entry %d: the path was there before", i)
		}
		all[name] = e
		rest = rest[n:]
	}
	return all, checkExtensions(rest)
}

func parseEntry(b []byte, width int) (string, *tracked, int, error) {
	fixed := indexFixed + width + 2
	if len(b) < fixed {
		return "", nil, 0, fmt.Errorf("cut short")
	}
	u := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	e := &tracked{
		ctime: [2]uint32{u(0), u(1)}, mtime: [2]uint32{u(2), u(3)},
		dev: u(4), ino: u(5), mode: u(6), size: u(9), id: hex.EncodeToString(b[indexFixed : indexFixed+width]),
	}
	if binary.BigEndian.Uint16(b[fixed-2:])&indexExtended != 0 {
		fixed += 2
	}
	if len(b) < fixed {
		return "", nil, 0, fmt.Errorf("cut short")
	}
	end := bytes.IndexByte(b[fixed:], 0)
	if end <= 0 {
		return "", nil, 0, fmt.Errorf("no path")
	}
	size := (fixed + end + 8) &^ 7
	if size > len(b) {
		return "", nil, 0, fmt.Errorf("cut short")
	}
	return string(b[fixed : fixed+end]), e, size, nil
}

// checkExtensions refuses an index that is only part of the truth: extensions with a small first letter
// must be understood.
func checkExtensions(b []byte) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return fmt.Errorf("parse index extension: cut short")
		}
		n := binary.BigEndian.Uint32(b[4:])
		if b[0] < 'A' || b[0] > 'Z' || uint64(n) > uint64(len(b)-8) {
			return fmt.Errorf("parse index extension: %q is not supported", b[:4])
		}
		b = b[8+n:]
	}
	return nil
}
