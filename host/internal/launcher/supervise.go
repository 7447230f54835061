package launcher

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// supervised back-ends have no process namespace. The launcher is the reaper of everything the payload
// starts instead: who loses its parent becomes the launcher's child, so that a launcher without a child
// has nothing left alive.
func supervised(sp *spec.Spec) bool {
	return sp.Backend == spec.Landlock || sp.Backend == spec.None
}

func (b *box) supervisedStages() []stage {
	stages := []stage{
		{"terminal", b.leaveTerminal},
		{"subreaper", b.becomeReaper},
	}
	if b.spec.Backend == spec.None {
		stages = append(stages, stage{"limits", b.limitResources}, stage{"processors", b.limitProcessors})
	} else {
		stages = append(stages, stage{"inner", b.startInner})
	}
	return append(stages, stage{"watch", b.prepareWatching})
}

func (b *box) becomeReaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	b.report.Features.Reaper = true
	return nil
}

// reaper ends everything below the launcher, once it is told to.
type reaper struct {
	ordered atomic.Bool // by the daemon, or by its end
	orphan  atomic.Bool // the daemon is gone
	begun   atomic.Bool
	over    chan struct{} // closed when no child is left
}

// end starts to kill. It may be called more than once.
func (r *reaper) end() {
	if r.begun.CompareAndSwap(false, true) {
		go r.killAll()
	}
}

// killAll kills until there is nobody. First everybody is stopped, in as many rounds as it takes to meet no
// new face: a stopped process starts nothing.
func (r *reaper) killAll() {
	for {
		for range 64 {
			if signalTree(unix.SIGSTOP) == 0 {
				break
			}
		}
		signalTree(unix.SIGKILL)
		select {
		case <-r.over:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// supervise is runPayload without a namespace.
func (b *box) supervise(p *payload) int {
	started := &spec.Started{}
	err := b.startSupervised(p)
	if err != nil {
		started.Err = err.Error()
	}
	started.PID = p.pid
	r := &reaper{over: make(chan struct{})}
	b.finish = func() {
		r.ordered.Store(true)
		r.end()
		select {} // who went over a limit is not looked at any more
	}
	close(p.alive)
	if sendErr := send(spec.Message{Started: started}); sendErr != nil || err != nil {
		r.ordered.Store(true)
		r.end()
	}
	go serveSupervised(p, r)
	end := p.waitAll(r)
	close(r.over)
	b.feed.flush(true)
	if r.orphan.Load() || err != nil || send(spec.Message{Exit: end}) != nil {
		return exitOrphaned
	}
	return exitReported
}

func (b *box) startSupervised(p *payload) error {
	if b.inner == nil {
		return p.start(b.spec)
	}
	p.mu.Lock()
	p.pid = b.inner.pid
	p.mu.Unlock()
	return b.inner.release(b.spec.Program)
}

// serveSupervised passes signals on. The end of the daemon, or its order, is the end of everything.
func serveSupervised(p *payload, r *reaper) {
	var packet [2]byte
	for {
		n, err := readControl(packet[:])
		if err != nil {
			r.orphan.Store(true)
			r.ordered.Store(true)
			r.end()
			return
		}
		if n < 2 {
			continue
		}
		switch sig := unix.Signal(packet[1]); packet[0] {
		case spec.CommandSignal:
			p.signal(sig)
		case spec.CommandSignalAll:
			signalTree(sig)
		case spec.CommandEnd:
			r.ordered.Store(true)
			r.end()
		}
	}
}

// waitAll reaps until no child is left: what the payload leaves behind is killed when the payload has ended.
func (p *payload) waitAll(r *reaper) *spec.Exit {
	end := &spec.Exit{Ended: true} // by order, unless the main process ends before it
	for {
		if err := awaitChild(); err == unix.ECHILD {
			end.Emptied = true
			return end
		}
		last, err := p.reapSupervised()
		if err != nil {
			continue // somebody else's signal; the next round tells
		}
		if last == nil {
			continue
		}
		*end = *last
		end.Ended = r.ordered.Load()
		r.end()
	}
}

// reapSupervised takes one dead child; of the main one it is the exit.
func (p *payload) reapSupervised() (*spec.Exit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(func() (int, error) { return len(descendants(os.Getpid())), nil })
}
