package launcher

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

const (
	diskDepth  = 256     // directories below each other that are entered
	diskBuffer = 8 << 10 // bytes of names read at once
	diskLeast  = 4 << 10 // what the smallest file counts: so the limit bounds their number, too
	walkEvery  = 5 * time.Second
	walkShare  = 50 // of the time, at most one part is spent in walks that nothing asked for
	haste      = 4  // and one of so many where the disk fills
)

// diskWatch holds the limit on what the launch's own writable places hold. The file system's free space
// says cheaply that the limit cannot have been reached yet; where it may have been, the places are walked
// through, by descriptor and without following anything.
type diskWatch struct {
	limit int64
	roots []diskRoot
	list  *members
	files nameless
	walk  walk
	ended *excess

	measured int64 // by the last walk
	free     int64 // then
	known    bool  // there was a walk
	walked   time.Time
	cost     time.Duration
	first    struct{ used, free int64 }
	fs       unix.Statfs_t
}

// diskRoot is a writable directory of the launch.
type diskRoot struct {
	fd     int
	device uint64
	again  bool // a root before it lies on the same file system
}

// newDiskWatch is nil where there is nothing to watch.
func (b *box) newDiskWatch(ended *excess) (*diskWatch, error) {
	d := &diskWatch{limit: b.spec.Limits.Disk, ended: ended}
	for _, m := range b.spec.Mounts {
		if m.Mode != spec.Writable || m.Shared || m.Empty {
			continue
		}
		if err := d.addRoot(m.Inside); err != nil {
			return nil, fmt.Errorf("watch %s: %w", m.Inside, err)
		}
	}
	if d.limit == 0 || len(d.roots) == 0 {
		return nil, nil
	}
	proc, err := newProcfs()
	if err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	d.list = newMembers(proc, b.spec.Limits.Processes)
	if err := d.files.prepare(proc); err != nil {
		return nil, err
	}
	d.walk.levels = make([]level, min(diskDepth, max(b.report.Limits.OpenFiles/2, 8)))
	d.walk.names = make([]byte, len(d.walk.levels)*diskBuffer)
	d.walk.here = []byte{'.', 0}
	d.free = d.freeSpace()
	d.first.free = d.free
	return d, nil
}

func (d *diskWatch) addRoot(inside string) error {
	var st unix.Stat_t
	if d.limit == 0 {
		return nil
	}
	fd, err := unix.Open(inside, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.Close(fd)
	}
	r := diskRoot{fd: fd, device: uint64(st.Dev)}
	for _, before := range d.roots {
		r.again = r.again || before.device == r.device
	}
	d.roots = append(d.roots, r)
	return nil
}

// run looks at the free space, and walks where that does not settle it, until the launch ends.
func (d *diskWatch) run() {
	period := watchSlowest
	for {
		pause(period)
		now, free := time.Now(), d.freeSpace()
		room := d.limit - d.measured - max(d.free-free, 0)
		if d.due(now, room) {
			if used := d.measure(free); used > d.limit {
				d.ended.end(spec.Exceeded{Limit: spec.LimitDisk, Used: used, Cap: d.limit})
			}
			d.walked, d.cost = now, time.Since(now)
			room = d.limit - d.measured
		}
		soon := time.Duration(float64(room) / growth * float64(time.Second))
		period = min(max(soon, 2*watchFastest), watchSlowest)
	}
}

// due says whether to walk: room is what the limit leaves if all that the file system lost is the
// launch's doing.
func (d *diskWatch) due(now time.Time, room int64) bool {
	since := now.Sub(d.walked)
	switch {
	case !d.known:
		return true
	case room < 0:
		return since >= haste*d.cost
	}
	return since >= max(walkEvery, walkShare*d.cost)
}

// measure walks. What cannot be read is opened where the file system lost more than the rest explains;
// what stays closed even then, or lies too deep, is charged with all of that.
func (d *diskWatch) measure(free int64) int64 {
	used := d.total(false)
	if d.walk.closed > 0 && d.known {
		unexplained := d.first.free - free - (used - d.first.used)
		if used+unexplained > d.limit {
			used = d.total(true)
			unexplained = d.first.free - free - (used - d.first.used)
		}
		if d.walk.closed > 0 {
			used += max(unexplained, 0)
		}
	}
	if !d.known {
		d.known, d.first.used = true, used
	}
	d.measured, d.free = used, free
	return used
}

// total is what all places hold, and what was deleted there and is still open.
func (d *diskWatch) total(force bool) int64 {
	d.walk.begin(d.limit, force)
	for _, r := range d.roots {
		d.walk.below(r.fd)
		if d.walk.used > d.limit {
			return d.walk.used
		}
	}
	if d.list.read() != 0 {
		return d.walk.used
	}
	used := d.walk.used
	for _, r := range d.roots {
		if !r.again {
			used += d.files.deleted(d.list.now, r.device)
		}
	}
	return used
}

// freeSpace is that of all file systems that the places lie on.
func (d *diskWatch) freeSpace() int64 {
	var free int64
	for _, r := range d.roots {
		if !r.again && unix.Fstatfs(r.fd, &d.fs) == nil {
			free += int64(d.fs.Bfree) * d.fs.Bsize
		}
	}
	return free
}
