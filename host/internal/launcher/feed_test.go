package launcher

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

func TestTheFeedCountsEqualRefusalsAndForgetsNone(t *testing.T) {
	f := newFeed("program")
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
	if f.entries[0].PID != 1000000 || f.entries[0].Comm != "" {
		t.Errorf("a process that is gone: %+v", f.entries[0])
	}
	if len(f.entries) != feedEntries || total != 3*kinds {
		t.Errorf("%d entries, %d refusals of %d", len(f.entries), total, 3*kinds)
	}
}

func TestTheFeedSleepsUntilThereIsSomethingToSend(t *testing.T) {
	f := newFeed("program")
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

func TestARefusalNamesTheProcessOfTheThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := os.WriteFile("/proc/thread-self/comm", []byte("worker"), 0); err != nil {
		t.Fatal(err)
	}
	f := newFeed("program")
	f.begin()
	f.add(165, unix.Gettid())
	if v := f.entries[0]; v.Comm != "worker" || v.PID != os.Getpid() {
		t.Errorf("got %+v, want worker in %d", v, os.Getpid())
	}
	// The kernel names what was executed by descriptor after the descriptor.
	if err := os.WriteFile("/proc/thread-self/comm", []byte(strconv.Itoa(spec.ProgramFD)), 0); err != nil {
		t.Fatal(err)
	}
	f.add(166, unix.Gettid())
	if v := f.entries[1]; v.Comm != "program" {
		t.Errorf("got %+v, want program", v)
	}
}
