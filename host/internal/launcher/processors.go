package launcher

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"
)

// pinned reports that the payload gets fewer processors than there are.
func (b *box) pinned() bool { return b.spec.Limits.CPUs > 0 }

// limitProcessors leaves the payload some of the processors that this thread may use. Which ones is
// chance, so that launches spread; the filter keeps them.
func (b *box) limitProcessors() error {
	if !b.pinned() {
		return nil
	}
	var may, some unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return fmt.Errorf("read the processors: %w", err)
	}
	count := may.Count()
	if count > b.spec.Limits.CPUs {
		var chance [4]byte
		if _, err := unix.Getrandom(chance[:], 0); err != nil {
			return fmt.Errorf("choose processors: %w", err)
		}
		choose(&some, &may, int(binary.LittleEndian.Uint32(chance[:]))%count, b.spec.Limits.CPUs)
		if err := unix.SchedSetaffinity(0, &some); err != nil {
			return fmt.Errorf("set the processors: %w", err)
		}
	}
	return nil
}

// choose takes n of the processors of a set, from the skip-th on and around.
func choose(some, may *unix.CPUSet, skip, n int) {
	total := may.Count()
	at := 0
	for cpu := range len(may) * bits.UintSize {
		if !may.IsSet(cpu) {
			continue
		}
		if place := (at - skip + total) % total; place < n {
			some.Set(cpu)
		}
		at++
	}
}

// limitsHeld reads back what is in force, and tries to get more.
func (b *box) limitsHeld() bool {
	in := b.report.Limits
	for _, l := range []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, uint64(in.OpenFiles)},
		{unix.RLIMIT_NPROC, uint64(in.Processes + ownThreads)},
		{unix.RLIMIT_FSIZE, uint64(in.FileSize)},
	} {
		var now unix.Rlimit
		if unix.Getrlimit(l.resource, &now) != nil || now.Cur != l.value || now.Max != l.value {
			return false
		}
		if unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.value + 1, Max: l.value + 1}) == nil {
			return false
		}
	}
	return b.processorsHeld()
}

// processorsHeld counts the processors, and tries to choose them.
func (b *box) processorsHeld() bool {
	var now unix.CPUSet
	if !b.pinned() {
		return true
	}
	if unix.SchedGetaffinity(0, &now) != nil || now.Count() > b.report.Limits.CPUs {
		return false
	}
	return unix.SchedSetaffinity(0, &now) == unix.EPERM
}
