package worktree

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// reach takes the list of objects that git walked: an id, and for all but commits a path.
type reach struct {
	max, maxCommits int
	commits         int
	ids             map[string]bool
	line            []byte
	err             error
}

// Write takes the next part of the list.
func (r *reach) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' {
			if r.line = append(r.line, c); len(r.line) > 64+1+maxPath {
				r.err = fault.New(fault.TreeRefused, "the pack has a path of more than %d bytes", maxPath)
				return 0, r.err
			}
			continue
		}
		if r.err = r.object(string(r.line)); r.err != nil {
			return 0, r.err
		}
		r.line = r.line[:0]
	}
	return len(p), nil
}

func (r *reach) object(line string) error {
	id, path, named := strings.Cut(line, " ")
	if !fullHex(id) {
		return fmt.Errorf("read list of objects: a line has no id")
	}
	if r.ids[id] = true; len(r.ids) > r.max {
		return tooLarge("the pack reaches more than %d objects", r.max)
	}
	if strings.Count(path, "/") >= maxDepth {
		return fault.New(fault.TreeRefused, "the pack has a path of more than %d parts", maxDepth)
	}
	if !named {
		if r.commits++; r.commits > r.maxCommits {
			return tooLarge("the pack has more than %d commits", r.maxCommits)
		}
	}
	return nil
}

// readPackIndex lists the objects of a pack, as the index that git just wrote has them.
func readPackIndex(name string, wide bool) ([]string, error) {
	const fanOutEnd = 8 + 256*4
	data, err := readSmall(name, maxIndex)
	if err != nil {
		return nil, err
	}
	width := 20
	if wide {
		width = 32
	}
	if len(data) < fanOutEnd || string(data[:8]) != "\xfftOc\x00\x00\x00\x02" {
		return nil, fmt.Errorf("read index of pack: it is not one of version 2")
	}
	count := int(binary.BigEndian.Uint32(data[fanOutEnd-4:]))
	if len(data) < fanOutEnd+count*width {
		return nil, fmt.Errorf("read index of pack: cut short")
	}
	ids := make([]string, count)
	for k := range count {
		at := fanOutEnd + k*width
		ids[k] = hex.EncodeToString(data[at : at+width])
	}
	return ids, nil
}
