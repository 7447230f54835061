package launcher

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

const (
	watchSlowest = 250 * time.Millisecond
	watchFastest = 10 * time.Millisecond
	lookEvery    = time.Second // between looks at shared memory, unless the machine's grows

	// growth is how fast memory is expected to be filled at most, in bytes per second: what has much room
	// left is asked for seldom.
	growth = 2 << 30

	// killedWithin is how long the daemon may take to end a launch that went over a limit.
	killedWithin = 250 * time.Millisecond
)

// watch holds the limits that belong to the launch as a whole and that no rlimit expresses. It runs on a
// thread of PID 1, outside the payload's restrictions. All it needs is made once.
type watch struct {
	limits spec.Limits
	list   *members
	memory *memoryUse // nil without a limit of memory
	cpu    cpuTime
	reaped int64 // ticks
	usage  unix.Rusage
	looked time.Time
	period time.Duration
	over   string // the limit that the last sample was over, which the next must confirm
	ended  *excess
}

// newWatch prepares for the limits of the specification.
func (b *box) newWatch(ended *excess) (*watch, error) {
	proc, err := newProcfs()
	if err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	w := &watch{limits: b.report.Limits, ended: ended, period: watchSlowest / 2}
	w.list = newMembers(proc, w.limits.Processes)
	if w.limits.Memory == 0 {
		return w, nil
	}
	if w.memory, err = newMemoryUse(proc, b.scratchPlaces()); err != nil {
		return nil, fmt.Errorf("watch memory: %w", err)
	}
	var st unix.Stat_t
	if b.spec.Program && unix.Fstat(spec.ProgramFD, &st) == nil {
		w.memory.except = st.Ino
	}
	return w, nil
}

// scratchPlaces are paths in each of the launch's throw-away file systems. An overlay tells the figures of
// its upper layer; all of them have one.
func (b *box) scratchPlaces() []string {
	if supervised(b.spec) {
		return nil // they lie on the disk
	}
	places := []string{"/tmp", "/var/tmp", "/dev/shm", "/run", b.spec.Home}
	for _, m := range b.spec.Mounts {
		if m.Mode != spec.Overlay && !m.Empty {
			continue
		}
		places = append(places, m.Inside)
		if b.spec.Backend == spec.Native {
			break
		}
	}
	return places
}

// run samples until the launch ends.
func (w *watch) run() {
	for {
		pause(w.period)
		began := time.Now()
		x := w.sample(began)
		if x.Limit != "" && x.Limit == w.over {
			w.ended.end(x)
		}
		w.over = x.Limit
		w.pace(x, time.Since(began))
	}
}

// pause sleeps in the kernel, not in a timer of the runtime, which might need another thread.
func pause(d time.Duration) {
	_, _ = unix.Poll(nil, int(d/time.Millisecond)) // interrupted is early, and does no harm
}

// pace sets the time to the next sample: soon where a limit is near or is to be confirmed, and never so
// soon that watching becomes work.
func (w *watch) pace(x spec.Exceeded, cost time.Duration) {
	room := time.Duration(float64(x.Cap-x.Used) / growth * float64(time.Second))
	share := time.Duration(30)
	switch {
	case x.Limit != "":
		w.period, share = watchFastest/2, 4
	case x.Cap == 0:
		w.period = watchSlowest
	default:
		w.period = min(max(room, watchFastest), watchSlowest)
		if w.period < watchSlowest {
			share = 8
		}
	}
	w.period = max(w.period, share*cost)
}

// sample measures once. It names the limit that is exceeded; where none is, it tells of the memory only.
func (w *watch) sample(now time.Time) spec.Exceeded {
	reaped := w.reapedTicks()
	if w.list.read() != 0 {
		return spec.Exceeded{} // the next one may
	}
	ticks := w.cpu.add(w.list.before, w.list.now, w.reaped, reaped)
	w.reaped = reaped
	if limit := w.limits.CPUTimeMS; limit > 0 && ticks*1000/ticksPerSecond > limit {
		return spec.Exceeded{Limit: spec.LimitCPUTime, Used: ticks * 1000 / ticksPerSecond, Cap: limit}
	}
	if n := w.list.threads(); n > int64(w.limits.Processes) || w.list.overflow {
		return spec.Exceeded{Limit: spec.LimitProcesses, Used: n, Cap: int64(w.limits.Processes)}
	}
	if w.memory == nil {
		return spec.Exceeded{}
	}
	x := spec.Exceeded{Used: w.memoryUsed(now), Cap: w.limits.Memory}
	if x.Used > x.Cap {
		x.Limit = spec.LimitMemory
	}
	return x
}

func (w *watch) memoryUsed(now time.Time) int64 {
	due := w.memory.due(w.limits.Memory/4) || now.Sub(w.looked) >= lookEvery
	if due {
		w.memory.look(w.list.now)
		w.looked = now
	}
	return w.memory.measure(w.list.now, w.limits.Memory, due)
}

// reapedTicks is the processor time of all that this process has waited for.
func (w *watch) reapedTicks() int64 {
	if unix.Getrusage(unix.RUSAGE_CHILDREN, &w.usage) != nil {
		return w.reaped
	}
	return (w.usage.Utime.Nano() + w.usage.Stime.Nano()) * ticksPerSecond / int64(time.Second)
}

// excess is shared by the watchers of a launch.
type excess struct {
	found  atomic.Bool
	finish *func() // set before the payload is alive
}

// end ends the launch: the payload is stopped, so that nothing grows any more, the daemon is told and
// kills; if it does not, this process does. The first limit that is exceeded is the reason.
func (e *excess) end(x spec.Exceeded) {
	if !e.found.CompareAndSwap(false, true) {
		return
	}
	signalPayload(unix.SIGSTOP)
	if send(spec.Message{Exceeded: &x}) == nil {
		pause(killedWithin)
	}
	(*e.finish)()
}

// finishNamespace takes everything of the namespace along.
func finishNamespace() {
	signalPayload(unix.SIGKILL)
	os.Exit(exitExceeded)
}

func signalPayload(sig unix.Signal) {
	if os.Getpid() != 1 {
		signalTree(sig)
		return
	}
	_ = unix.Kill(-1, sig) // nobody left to signal is no failure
}

// prepareWatching makes what the watchers need, while it can still be refused.
func (b *box) prepareWatching() error {
	if !b.report.Features.Limits {
		return nil // RunWithout
	}
	b.finish = finishNamespace
	ended := &excess{finish: &b.finish}
	w, err := b.newWatch(ended)
	if err != nil {
		return err
	}
	b.watch = append(b.watch, w.run)
	d, err := b.newDiskWatch(ended)
	if err != nil {
		return err
	}
	if d != nil {
		b.watch = append(b.watch, d.run)
	}
	return nil
}

// onThread gives a watcher its thread before the payload can take the last one. It begins when the payload
// is alive.
func onThread(p *payload, run func()) {
	ready := make(chan struct{})
	go func() { // ends with the process
		runtime.LockOSThread()
		close(ready)
		<-p.alive
		run()
	}()
	<-ready
}
