package sandbox

import (
	"bytes"
	"os"
	"strconv"
)

// survivors counts pid and its descendants that are alive. It is asked only when a death could not be
// proved. Orphans of a namespace belong to its PID 1, so no process can leave the tree.
func survivors(pid int) int {
	parents, err := parents()
	if err != nil {
		return 1 // at least the one that was waited for
	}
	alive := 0
	for p := range parents {
		for q, steps := p, 0; q > 0 && steps < len(parents); q, steps = parents[q], steps+1 {
			if q == pid {
				alive++
				break
			}
		}
	}
	return alive
}

// parents maps every process that is not a zombie to its parent.
func parents() (map[int]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := make(map[int]int, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // gone meanwhile
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
			continue
		}
		if parent, err := strconv.Atoi(string(fields[1])); err == nil {
			all[pid] = parent
		}
	}
	return all, nil
}
