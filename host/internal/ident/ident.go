// Package ident mints and checks the ids of the record's objects.
//
// An id is a type prefix, an underscore and a ULID in upper-case Crockford base32, as in
// "run_01JD0Q8Z3V6W4T5N2M1K0HGFED". Ids are made by the host only. Within one process they rise
// strictly, also when the clock stands still or goes back, and their entropy comes from crypto/rand.
//
// Check is strict, so an id that passed it can be used as one path segment: it has no separator, no
// dot and a fixed length.
//
// It must not know what the ids name.
package ident

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/drawspan/drawspan/host/fault"
)

// Prefix is the type of an id.
type Prefix string

// The prefixes.
const (
	Run        Prefix = "run"
	Step       Prefix = "step"
	Attempt    Prefix = "att"
	Approval   Prefix = "apr"
	Validation Prefix = "val"
	Gate       Prefix = "gate"
	Instance   Prefix = "inst"
)

// New mints an id of the given type.
func New(prefix Prefix) string {
	return string(prefix) + "_" + process().mint(uint64(time.Now().UnixMilli())).String()
}

// Check reports whether s is an id of the given type in exactly the form that New writes.
func Check(prefix Prefix, s string) error {
	rest, ok := strings.CutPrefix(s, string(prefix)+"_")
	if ok {
		id, err := ulid.ParseStrict(rest)
		// The round trip refuses lower case and letters that the alphabet reads as digits.
		ok = err == nil && id.String() == rest
	}
	if !ok {
		return fault.New(fault.InvalidRequest, "not a %s id", prefix).
			Fix("ids look like %s_01JD0Q8Z3V6W4T5N2M1K0HGFED and are made by the host", prefix)
	}
	return nil
}

// process is the one mint of this process: rising ids need one memory of the last.
var process = sync.OnceValue(func() *mint { return &mint{entropy: ulid.Monotonic(rand.Reader, 0)} })

// mint makes strictly rising ULIDs.
type mint struct {
	mu      sync.Mutex
	last    uint64 // milliseconds of the newest id
	entropy *ulid.MonotonicEntropy
}

// mint makes the next id at the given time, or at the last one's when the clock went back.
func (m *mint) mint(ms uint64) ulid.ULID {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = max(m.last, ms)
	for {
		id, err := ulid.New(m.last, m.entropy)
		if err == nil {
			return id
		}
		// The 80 bits of this millisecond overflowed: take the next. crypto/rand itself does not
		// fail, it ends the process.
		m.last++
	}
}
