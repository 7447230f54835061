package ident

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/drawspan/drawspan/host/fault"
)

func TestIdsRiseAndAreUniqueAcrossGoroutines(t *testing.T) {
	const writers, each = 8, 2000
	out := make([][]string, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				out[w] = append(out[w], New(Run))
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, ids := range out {
		if !slices.IsSorted(ids) {
			t.Fatal("ids of one goroutine do not rise")
		}
		for _, id := range ids {
			if seen[id] {
				t.Fatalf("%s was made twice", id)
			}
			seen[id] = true
		}
	}
}

func TestIdsRiseWhenTheClockGoesBack(t *testing.T) {
	m := &mint{entropy: ulid.Monotonic(rand.Reader, 0)}
	last := ""
	for _, ms := range []uint64{1000, 1000, 5, 999, 1001, 0} {
		id := m.mint(ms).String()
		if id <= last {
			t.Fatalf("%s does not follow %s at %d ms", id, last, ms)
		}
		last = id
	}
}

// brim is entropy that starts one millisecond at the very top, so that its first increment overflows.
type brim struct{ given int }

func (b *brim) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x01
		if b.given < 10 {
			p[i] = 0xff
		}
		b.given++
	}
	return len(p), nil
}

func TestAnOverflowTakesTheNextMillisecond(t *testing.T) {
	m := &mint{entropy: ulid.Monotonic(&brim{}, 0)}
	a, b := m.mint(7), m.mint(7)
	if b.Compare(a) <= 0 || b.Time() != 8 {
		t.Fatalf("got %s at %d ms after %s", b, b.Time(), a)
	}
}

func TestF13_OnlyTheExactFormIsAnId(t *testing.T) {
	for _, p := range []Prefix{Run, Step, Attempt, Approval, Validation, Gate, Instance} {
		if id := New(p); Check(p, id) != nil || strings.ContainsAny(id, "/.\\") {
			t.Errorf("%s is refused or no path segment", id)
		}
	}
	good := New(Run)
	for name, s := range map[string]string{
		"empty":            "",
		"prefix only":      "run_",
		"other type":       New(Step),
		"path":             "run_../../../../../../../etc",
		"path of length":   "run_" + strings.Repeat("../", 8) + "ab",
		"lower case":       strings.ToLower(good),
		"short":            good[:len(good)-1],
		"long":             good + "0",
		"leading space":    " " + good,
		"newline":          good + "\n",
		"NUL":              good[:len(good)-1] + "\x00",
		"ambiguous letter": good[:len(good)-1] + "I",
		"over 48 bits":     "run_8" + strings.Repeat("Z", 25),
		"no underscore":    "run" + good[4:],
	} {
		if err := Check(Run, s); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("%s: %q passed: %v", name, s, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(New(Run))
	f.Add("run_8ZZZZZZZZZZZZZZZZZZZZZZZZZ")
	f.Add("run_..")
	f.Fuzz(func(t *testing.T, s string) {
		if Check(Run, s) != nil {
			return
		}
		if len(s) != 30 || !strings.HasPrefix(s, "run_") {
			t.Fatalf("%q passed", s)
		}
		for _, c := range s[4:] {
			if !strings.ContainsRune(ulid.Encoding, c) {
				t.Fatalf("%q passed", s)
			}
		}
	})
}
