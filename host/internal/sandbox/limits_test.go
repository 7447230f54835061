package sandbox_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/sandbox"
	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
	"github.com/drawspan/drawspan/host/internal/work"
)

// limited is a policy with limits of the launch as a whole.
func limited(set func(*work.SandboxPolicy)) *work.SandboxPolicy {
	p := isolated()
	set(p)
	return p
}

// with is the fixture for a part of the test.
func (f *fixture) with(t *testing.T) *fixture {
	part := *f
	part.t = t
	return &part
}

const (
	memoryCap = 96 * megabyte
	diskCap   = 64 * megabyte
)

func memoryLimited() *work.SandboxPolicy {
	return limited(func(p *work.SandboxPolicy) { p.Memory = memoryCap })
}

func diskLimited() *work.SandboxPolicy {
	return limited(func(p *work.SandboxPolicy) { p.Disk = diskCap })
}

// hogTo runs a hog that takes n bytes and waits for its end.
func (f *fixture) hogTo(policy *work.SandboxPolicy, name string, n int) sandbox.Exit {
	f.t.Helper()
	var told []sandbox.Exceeded
	begun := time.Now()
	p, out := f.start(sandbox.Request{
		Policy: policy, Tree: f.writable(), OnExceeded: func(x sandbox.Exceeded) { told = append(told, x) },
	}, "hog", name, strconv.Itoa(n))
	end := p.Exit()
	if end.Exceeded == nil {
		if err := out.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			f.t.Fatal(err)
		}
		said := make([]byte, 1000)
		n, _ := out.Read(said) // what it says is for the message only
		f.t.Fatalf("it went over no limit: %+v, it said %q", end, said[:n])
	}
	f.t.Logf("%s: %d of %d after %v", end.Exceeded.Limit, end.Exceeded.Used, end.Exceeded.Cap, time.Since(begun).Round(time.Millisecond))
	if len(told) != 1 || told[0] != *end.Exceeded {
		f.t.Errorf("told: %+v, exit: %+v", told, end.Exceeded)
	}
	if !drained(f.t, out) {
		f.t.Error("a process was alive after the end")
	}
	return end
}

func TestS75_AMemoryHogIsEnded(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{
		"anonymous", "shared", "shared-gone", "children", "memfd", "memfd-closed", "memfd-hidden", "sysv", "tmp", "tmp-gone",
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			end := f.hogTo(memoryLimited(), name, 3*memoryCap)
			if x := end.Exceeded; x.Limit != spec.LimitMemory || x.Cap != memoryCap || x.Used <= memoryCap {
				t.Errorf("exceeded: %+v", x)
			}
		})
	}
}

func TestS75_PageTablesAreMemory(t *testing.T) {
	f := newFixture(t)
	const small = 24 * megabyte
	end := f.hogTo(limited(func(p *work.SandboxPolicy) { p.Memory = small }), "pages", 2*small)
	if x := end.Exceeded; x.Limit != spec.LimitMemory || x.Used <= small {
		t.Errorf("exceeded: %+v", x)
	}
}

func TestS75_WhatStaysWithinItsMemoryIsLeftAlone(t *testing.T) {
	f := newFixture(t)
	t.Run("most of it for a while", func(t *testing.T) {
		f := f.with(t)
		out, end := f.payload(sandbox.Request{Policy: memoryLimited()}, "hog", "anonymous", strconv.Itoa(memoryCap*8/10), "1500")
		if strings.TrimSpace(out) != "taken" || end.Code != 0 || end.Exceeded != nil {
			t.Errorf("%q, %+v", out, end)
		}
	})
	t.Run("what forks share counts once", func(t *testing.T) {
		f := f.with(t)
		out, end := f.payload(sandbox.Request{Policy: memoryLimited()}, "fork-sharing", strconv.Itoa(memoryCap*6/10))
		if strings.TrimSpace(out) != "shared" || end.Code != 0 || end.Exceeded != nil {
			t.Errorf("%q, %+v", out, end)
		}
	})
}

func TestS75_ADiskFillerIsEnded(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"disk", "disk-gone", "disk-closed", "disk-files", "disk-deep"} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			f.tree = realTemp(t)
			t.Cleanup(func() { // what was closed must be removed, too
				if err := os.Chmod(f.tree+"/closed", 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			})
			end := f.hogTo(diskLimited(), name, 4*diskCap)
			if x := end.Exceeded; x.Limit != spec.LimitDisk || x.Cap != diskCap || x.Used <= diskCap {
				t.Errorf("exceeded: %+v", x)
			}
		})
	}
}

func TestS75_WhatStaysWithinItsDiskIsLeftAlone(t *testing.T) {
	f := newFixture(t)
	out, end := f.payload(sandbox.Request{Policy: diskLimited(), Tree: f.writable()}, "many-names", strconv.Itoa(diskCap*8/10))
	if strings.TrimSpace(out) != "kept" || end.Code != 0 || end.Exceeded != nil {
		t.Errorf("%q, %+v", out, end)
	}
}

func TestS75_ProcessorTimeIsCounted(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"cpu", "cpu-unreaped"} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			end := f.hogTo(limited(func(p *work.SandboxPolicy) { p.CPUTime = 700 * time.Millisecond }), name, 0)
			if x := end.Exceeded; x.Limit != spec.LimitCPUTime || x.Cap != 700 || x.Used <= 700 {
				t.Errorf("exceeded: %+v", x)
			}
		})
	}
}

func TestS75_TheProcessorsOfALaunchAreHeld(t *testing.T) {
	f := newFixture(t)
	landlock := guarded()
	landlock.CPUs = 1
	for name, p := range map[string]*work.SandboxPolicy{
		"in a view":           limited(func(p *work.SandboxPolicy) { p.CPUs = 1 }),
		"with Landlock alone": landlock,
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			// 0 is the caller itself, which util-linux does not say.
			out, end := f.script(sandbox.Request{Policy: p}, `nproc; taskset -p ff $$ >/dev/null 2>&1 && echo widened; nproc`)
			out2, _ := f.payload(sandbox.Request{Policy: p}, "widen")
			if out != "1\n1\n" || out2 != "EPERM 1\n" || end.Code != 0 {
				t.Errorf("%q, %q, %+v", out, out2, end)
			}
		})
	}
	none := off()
	none.CPUs = 1
	if _, err := f.box.Launch(deadline(t), sandbox.Request{Policy: none, Path: "/bin/true"}); !fault.Is(err, fault.SandboxUnavailable) ||
		!strings.Contains(err.Error(), "limits.cpus") {
		t.Errorf("at level off, where nothing holds it: %v", err)
	}
}

// widen asks for every processor.
func widen() int {
	var all, now unix.CPUSet
	for cpu := range 64 {
		all.Set(cpu)
	}
	err := unix.SchedSetaffinity(0, &all)
	if got := unix.SchedGetaffinity(0, &now); got != nil {
		return 1
	}
	answer := "none"
	if err != nil {
		answer = unix.ErrnoName(err.(unix.Errno))
	}
	fmt.Println(answer, now.Count())
	return 0
}

func TestTheVectorSaysHowLimitsAreHeld(t *testing.T) {
	f := newFixture(t)
	p := f.launch(sandbox.Request{Path: "/bin/true", Tree: f.writable(), Policy: limited(func(p *work.SandboxPolicy) {
		p.Memory, p.Disk, p.CPUs, p.CPUTime = memoryCap, diskCap, 1, time.Minute
	})})
	e := vector(t, p)
	l := e.Limits
	if l.Memory == nil || *l.Memory != memoryCap || l.MemoryBy != "watched" || l.Disk == nil || *l.Disk != diskCap || l.DiskBy != "watched" ||
		l.CPUs != 1 || l.CPUTimeMS != 60000 || len(e.Shortfall) != 0 || !e.Verified["limits_held"] {
		t.Errorf("limits: %+v, shortfall %q", l, e.Shortfall)
	}
}

// BenchmarkIdleWatch is what an idle launch with every limit costs: the share of a processor that PID 1
// takes over two seconds.
func BenchmarkIdleWatch(b *testing.B) {
	dir := b.TempDir()
	tree := dir + "/tree"
	if err := os.Mkdir(tree, 0o755); err != nil {
		b.Fatal(err)
	}
	box, err := sandbox.New(sandbox.Options{Launcher: os.Getenv(launcherVariable), StateDir: dir, Home: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer box.Close()
	p, err := box.Launch(b.Context(), sandbox.Request{
		Policy: limited(func(p *work.SandboxPolicy) {
			p.Memory, p.Disk, p.CPUTime = 1<<30, 1<<30, time.Hour
		}),
		Path: "/bin/sleep", Argv: []string{"sleep", "1000"}, Tree: sandbox.Tree{Path: tree, Mode: sandbox.TreeWritable},
	})
	if err != nil {
		b.Fatal(err)
	}
	const span = 2 * time.Second
	<-time.After(span) // what the start and the first look cost is not idling
	begun := processorTime(b, p.PID())
	n := 0
	for b.Loop() {
		<-time.After(span)
		n++
	}
	used := processorTime(b, p.PID()) - begun
	b.ReportMetric(100*float64(used)/float64(n)/float64(span), "%/processor")
	if _, err := p.Kill(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// processorTime is what all threads of a process ran.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(names) == 0 {
		b.Fatalf("%d threads, %v", len(names), err)
	}
	var total time.Duration
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		var ran int64
		if _, err := fmt.Sscan(string(text), &ran); err != nil {
			b.Fatal(err)
		}
		total += time.Duration(ran)
	}
	return total
}
