package launcher

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

func TestProcessorTimeCountsOnceWhoeverWaits(t *testing.T) {
	p := func(pid int32, own, waited int64) member {
		return member{pid: pid, began: int64(pid), own: own, waited: waited}
	}
	for _, c := range []struct {
		name    string
		samples [][]member
		reaped  []int64
		want    []int64
	}{
		{"a child that its parent waits for", [][]member{{p(2, 1, 0), p(3, 5, 0)}, {p(2, 1, 7)}, {p(2, 2, 7)}}, []int64{0, 0, 0}, []int64{6, 8, 9}},
		{"an orphan that PID 1 waits for", [][]member{{p(2, 1, 0), p(3, 5, 0)}, {p(2, 1, 0)}}, []int64{0, 6}, []int64{6, 7}},
		{"a child that nobody waits for", [][]member{{p(2, 1, 0), p(3, 5, 0)}, {p(2, 1, 0)}, {p(2, 2, 0)}}, []int64{0, 0, 0}, []int64{6, 6, 7}},
		{"a parent that was read too early", [][]member{{p(2, 1, 0), p(3, 5, 0)}, {p(2, 1, 0)}, {p(2, 1, 5)}, {p(2, 1, 5)}}, []int64{0, 0, 0, 0}, []int64{6, 6, 6, 6}},
		{"a parent that was read too late", [][]member{{p(2, 5, 0), p(3, 1, 0)}, {p(2, 5, 0), p(3, 1, 5)}, {p(3, 1, 5)}, {p(3, 1, 5)}}, []int64{0, 0, 0, 0}, []int64{6, 11, 6, 6}},
		{"a number that is used again", [][]member{{p(2, 1, 0), p(3, 5, 0)}, {p(2, 1, 0), {pid: 3, began: 9, own: 2}}}, []int64{0, 0}, []int64{6, 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var cpu cpuTime
			var before []member
			reaped := int64(0)
			for i, now := range c.samples {
				if got := cpu.add(before, now, reaped, c.reaped[i]); got != c.want[i] {
					t.Errorf("sample %d: %d ticks, want %d", i, got, c.want[i])
				}
				before, reaped = now, c.reaped[i]
			}
		})
	}
}

func TestTablesOfProcAreRead(t *testing.T) {
	var v [4]int64
	if n := numbers([]byte("  12 -1 7\t99 5"), v[:]); n != 4 || v != [4]int64{12, 0, 7, 99} {
		t.Errorf("%d of %v", n, v)
	}
	status := []byte("Name:\tRssAnon:\nVmPTE:\t      44 kB\nRssAnon:\t     120 kB\n")
	if amount(status, "RssAnon:") != 120 || amount(status, "VmPTE:") != 44 || amount(status, "VmSwap:") != 0 {
		t.Errorf("status: %d, %d", amount(status, "RssAnon:"), amount(status, "VmPTE:"))
	}
	name := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(name, []byte("one\n"+string(make([]byte, 100))+"\nthree\nlast"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := lines{buf: make([]byte, 16)}
	var got []string
	for line, ok := l.next(int(f.Fd())); ok; line, ok = l.next(int(f.Fd())) {
		if len(line) > 0 && line[0] != 0 {
			got = append(got, string(line))
		}
	}
	if len(got) != 3 || got[0] != "one" || got[1] != "three" || got[2] != "last" {
		t.Errorf("lines: %q", got)
	}
}

func TestNamelessMemoryCountsOnce(t *testing.T) {
	n := &nameless{memory: unix.Mkdev(0, 1), found: make([]namelessFile, namelessRoom)}
	add := func(line string) int64 {
		m, ok := n.mapping([]byte(line))
		if !ok {
			return 0
		}
		return n.charge(m)
	}
	const child = "7f0000000000-7f0000004000 rw-s 00000000 00:01 42        /dev/zero (deleted)"
	if got := add(child); got != 0x4000 {
		t.Errorf("first: %d", got)
	}
	if got := add(child); got != 0 {
		t.Errorf("the same in a fork: %d", got)
	}
	if got := add("7f0000000000-7f0000002000 rw-s 00004000 00:01 42  /dev/zero (deleted)"); got != 0x2000 {
		t.Errorf("a part behind it: %d", got)
	}
	for _, line := range []string{
		"7f0000000000-7f0000004000 rw-s 00000000 00:01 43 /SYSV00000000 (deleted)",
		"7f0000000000-7f0000004000 rw-p 00000000 08:01 44 /usr/bin/gone (deleted)",
		"7f0000000000-7f0000004000 rw-p 00000000 00:00 0",
	} {
		if got := add(line); got != 0 {
			t.Errorf("%s: %d", line, got)
		}
	}
	if got := n.charge(namelessFile{device: n.memory, inode: 50, bytes: 100, open: true}); got != 100 {
		t.Errorf("a descriptor: %d", got)
	}
	if got := add("7f0000000000-7f0000400000 rw-s 00000000 00:01 50 /memfd:x (deleted)"); got != 0 {
		t.Errorf("a mapping of what a descriptor has told the size of: %d", got)
	}
}

func TestProcessorsAreChosenAround(t *testing.T) {
	var may unix.CPUSet
	for _, cpu := range []int{1, 3, 4, 70} {
		may.Set(cpu)
	}
	for skip, want := range [][]int{{1, 3}, {3, 4}, {4, 70}, {1, 70}} {
		var some unix.CPUSet
		choose(&some, &may, skip, 2)
		if some.Count() != 2 || !some.IsSet(want[0]) || !some.IsSet(want[1]) {
			t.Errorf("from the %d-th on: %v", skip, some)
		}
	}
}

// tree makes a directory with files, links, holes and depth; it returns its name.
func tree(t testing.TB, files int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range files {
		sub := filepath.Join(dir, strconv.Itoa(i/100))
		if i%100 == 0 {
			if err := os.Mkdir(sub, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(sub, strconv.Itoa(i)), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newWalk(limit int64) *walk {
	w := &walk{here: []byte{'.', 0}, levels: make([]level, 16), names: make([]byte, 16*diskBuffer)}
	w.begin(limit, false)
	return w
}

func (w *walk) of(t testing.TB, dir string) int64 {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	w.begin(w.limit, w.force)
	w.below(fd)
	return w.used
}

func TestAWalkCountsBlocks(t *testing.T) {
	dir := tree(t, 250)
	w := newWalk(1 << 40)
	used := w.of(t, dir)
	if want := int64(253 * 4096); used != want || w.closed != 0 {
		t.Fatalf("%d bytes, want %d, %d closed", used, want, w.closed)
	}
	if err := os.Truncate(filepath.Join(dir, "0", "1"), 1<<40); err != nil {
		t.Fatal(err)
	}
	if got := w.of(t, dir); got != used {
		t.Errorf("with a hole: %d, was %d", got, used)
	}
	if err := os.Link(filepath.Join(dir, "0", "1"), filepath.Join(dir, "1", "again")); err != nil {
		t.Fatal(err)
	}
	if got := w.of(t, dir); got != used {
		t.Errorf("with a second name: %d, was %d", got, used)
	}
	if err := os.Symlink("/", filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if got := w.of(t, dir); got != used+4096 {
		t.Errorf("with a link out of it: %d, was %d", got, used)
	}
	t.Run("and ends at the limit", func(t *testing.T) {
		if got := newWalk(40960).of(t, dir); got != 40960+4096 {
			t.Errorf("%d", got)
		}
	})
	t.Run("and opens nothing through a link", func(t *testing.T) {
		outside := t.TempDir()
		if err := errors.Join(os.Chmod(outside, 0o500), os.Symlink(outside, filepath.Join(dir, "link"))); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(dir, unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		errno := chmodRaw(fd, []byte("link\x00"), 0o777)
		if info, err := os.Stat(outside); err != nil || info.Mode().Perm() != 0o500 || errno == 0 {
			t.Errorf("%v: the directory behind it is %v, %v", errno, info.Mode(), err)
		}
		if err := os.Remove(filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
	})
	if os.Getuid() == 0 {
		return // nothing is closed to it
	}
	t.Run("closed directories are counted when that is asked for, and closed again", func(t *testing.T) {
		closed := filepath.Join(dir, "0")
		if err := os.Chmod(closed, 0); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.Chmod(closed, 0o700); err != nil {
				t.Error(err)
			}
		}()
		w := newWalk(1 << 40)
		if got := w.of(t, dir); w.closed != 1 || got >= used {
			t.Errorf("%d bytes, %d closed", got, w.closed)
		}
		w.force = true
		if got := w.of(t, dir); w.closed != 0 || got != used+4096 {
			t.Errorf("by force: %d bytes, was %d, %d closed", got, used+4096, w.closed)
		}
		if info, err := os.Stat(closed); err != nil || info.Mode().Perm() != 0 {
			t.Errorf("it was left as %v, %v", info.Mode(), err)
		}
	})
}

// watching is a watch over this process's children.
func watching(t testing.TB, children int) *watch {
	t.Helper()
	b := &box{spec: &spec.Spec{Backend: spec.None}}
	b.report.Limits = spec.Limits{Processes: 4096, Memory: 1 << 40, CPUTimeMS: 1 << 40}
	b.spec.Limits = b.report.Limits
	w, err := b.newWatch(&excess{})
	if err != nil {
		t.Fatal(err)
	}
	for range children {
		c := exec.Command("/bin/sleep", "1000")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = c.Wait() // it was killed
		})
	}
	return w
}

func TestWatchingNeedsNoMemoryOfItsOwn(t *testing.T) {
	w := watching(t, 3)
	for _, limit := range []int64{1 << 40, 1 << 10} { // the cheap way, and all the way to exact figures
		w.limits.Memory = limit
		w.looked = time.Time{}
		if n := testing.AllocsPerRun(20, func() { w.sample(time.Now().Add(time.Hour)) }); n != 0 {
			t.Errorf("a sample allocates %v times with a limit of %d", n, limit)
		}
		if len(w.list.now) != 3 {
			t.Errorf("%d children seen", len(w.list.now))
		}
	}
	dir := tree(t, 250)
	walk := newWalk(1 << 40)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n := testing.AllocsPerRun(5, func() { walk.begin(1<<40, false); walk.below(fd) }); n != 0 {
		t.Errorf("a walk allocates %v times", n)
	}
}

// BenchmarkSample is one look at a launch of three processes. share is the part of a processor that it
// takes at the rate of a launch that is far from its limits.
func BenchmarkSample(b *testing.B) {
	w := watching(b, 3)
	for b.Loop() {
		w.sample(time.Now())
	}
	each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(100*each/float64(watchSlowest.Nanoseconds()), "%/processor")
}

// BenchmarkWalk is one count of a tree of ten thousand files.
func BenchmarkWalk(b *testing.B) {
	dir := tree(b, 10000)
	w := newWalk(1 << 40)
	for b.Loop() {
		w.of(b, dir)
	}
}
