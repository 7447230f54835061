package launcher

import (
	"testing"
	"time"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

func TestTheFeedCountsEqualRefusalsAndForgetsNone(t *testing.T) {
	f := newFeed()
	f.add(165, 7)
	if len(f.entries) != 0 {
		t.Fatalf("what the verification did is reported: %v", f.entries)
	}
	f.begin()
	const kinds = feedEntries + 20
	for range 3 {
		for pid := range kinds {
			f.add(165, 1000000+pid)
		}
	}
	total := f.others
	for _, e := range f.entries {
		total += e.Count
		if e.Count != 3 || e.Name != "mount" {
			t.Errorf("entry %+v", e)
		}
	}
	if len(f.entries) != feedEntries || total != 3*kinds {
		t.Errorf("%d entries, %d refusals of %d", len(f.entries), total, 3*kinds)
	}
}

func TestTheFeedSleepsUntilThereIsSomethingToSend(t *testing.T) {
	f := newFeed()
	f.begin()
	if got := f.wait(); got != -1 {
		t.Errorf("with nothing held it wakes after %d ms", got)
	}
	f.add(165, 7)
	if got := f.wait(); got > 1 {
		t.Errorf("the first refusal waits %d ms", got)
	}
	f.sent = time.Now()
	if got := f.wait(); got < 1 || got > int(feedEvery/time.Millisecond)+1 {
		t.Errorf("a later one waits %d ms", got)
	}
}

func TestAFullFeedFitsItsPacket(t *testing.T) {
	v := spec.Violation{Syscall: 1 << 30, Name: "process_vm_writev", PID: 1 << 22, Comm: "sixteen-bytes-xx", Count: 1 << 62}
	m := spec.Message{}
	for range feedEntries + 1 {
		m.Violations = append(m.Violations, v)
	}
	if n := len(m.Append(nil)); n > feedPacket {
		t.Errorf("%d bytes do not fit %d", n, feedPacket)
	}
}
