package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/sandbox/spec"
)

// standingLimit is how long a launcher that stood ready has for its report, before a fresh one is asked.
const standingLimit = 5 * time.Second

// standing keeps one launcher that waits for its specification in namespaces that nothing was done in yet. It
// is used for one launch, as any other: all that it saves is the wait for its start. There is none before the
// first launch, so that a daemon without work has none.
type standing struct {
	mu     sync.Mutex // never held while anything is started or waited for
	ready  *standby   // nil: there is none now
	busy   bool       // one is being started
	closed bool
	barred int            // launches for which there must be none
	work   sync.WaitGroup // what is started or ended in the background
}

// standby is a launcher that waits. mounts tells whether the daemon's mounts have changed since before its own
// were copied from them.
type standby struct {
	launcher *Process
	mounts   *os.File
}

// unfit is an error of a launcher that has done nothing: it never told of itself, or it did not see what it was
// to show. Of one that stood ready this says nothing; a fresh one is asked.
type unfit struct{ error }

func (u *unfit) Unwrap() error { return u.error }

// sourceRefused reports that something to be shown was not what the daemon saw.
func sourceRefused(rep *spec.Report) bool { return rep.Stage == "tree" || rep.Stage == "mount" }

// launchUsual takes the launcher that stands ready, if there is one, else or if that is unfit a fresh one.
func (s *Sandbox) launchUsual(ctx context.Context, l launch) (*Process, error) {
	p := s.standing.take()
	if p == nil {
		return s.launchFresh(ctx, l)
	}
	err := s.begin(ctx, p, l, standingLimit)
	if err == nil {
		return p, nil
	}
	var u *unfit
	if !errors.As(err, &u) || ctx.Err() != nil {
		return nil, err
	}
	s.log.Info("a launcher that stood ready was of no use", "error", err)
	return s.launchFresh(ctx, l)
}

// take gives away the launcher that stands ready. One that is dead, or whose mounts are not the daemon's any
// more, is ended.
func (t *standing) take() *Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.ready
	t.ready = nil
	if b == nil {
		return nil
	}
	if !b.fit() {
		t.work.Go(func() { _ = b.end() }) // it was never used: nobody asks how it ended
		return nil
	}
	_ = b.mounts.Close() // nothing was written
	return b.launcher
}

// standReady starts the next launcher in the background.
func (s *Sandbox) standReady() {
	t := &s.standing
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.busy || t.ready != nil || t.barred > 0 {
		return
	}
	t.busy = true
	t.work.Go(func() {
		b, err := s.standBy()
		if err != nil && !errors.Is(err, errNoSpawner) {
			s.log.Debug("no launcher stands ready", "error", err)
		}
		if !t.put(b) {
			_ = b.end() // it was never used: nobody asks how it ended
		}
	})
}

// put takes what was started, unless there must be none meanwhile.
func (t *standing) put(b *standby) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	if b != nil && t.barred > 0 {
		return false
	}
	t.ready = b
	return true
}

// launchUnconfined lets no launcher stand ready while a payload lives that has every right of the daemon's
// user: it could trace one that waits, and would have the next launch in its hands.
func (s *Sandbox) launchUnconfined(ctx context.Context, l launch) (*Process, error) {
	s.standing.bar()
	p, err := s.launchFresh(ctx, l)
	if err != nil {
		s.standing.unbar()
		return nil, err
	}
	go func() {
		<-p.done
		s.standing.unbar()
	}()
	return p, nil
}

// bar returns when there is no launcher that waits, and none will be until unbar.
func (t *standing) bar() {
	t.mu.Lock()
	t.barred++
	b := t.ready
	t.ready = nil
	t.mu.Unlock()
	t.work.Wait()
	if b != nil {
		_ = b.end() // it was never used: nobody asks how it ended
	}
}

func (t *standing) unbar() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.barred--
}

// standBy looks at the mounts before the launcher's are copied from them.
func (s *Sandbox) standBy() (*standby, error) {
	fd, err := unix.Open("/proc/self/mounts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("watch the mounts: %w", err)
	}
	mounts := os.NewFile(uintptr(fd), "mounts") // not os.Open: the runtime's poller would take the event
	p, err := s.spawnUsual()
	if err != nil {
		return nil, errors.Join(err, mounts.Close())
	}
	return &standby{p, mounts}, nil
}

// fit reports a launcher that lives and sees what the daemon sees. It has said nothing, and its end of the
// control socket is open; the kernel has not told of a change of the mounts.
func (b *standby) fit() bool {
	silent := false
	raw, err := b.launcher.control.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(control uintptr) {
		fds := []unix.PollFd{{Fd: int32(control), Events: unix.POLLIN}, {Fd: int32(b.mounts.Fd()), Events: unix.POLLPRI}}
		n, err := unix.Poll(fds, 0)
		silent = n == 0 && err == nil
	})
	return silent && err == nil
}

// end kills the launcher and waits for it.
func (b *standby) end() error {
	p := b.launcher
	p.kill()
	_, err := p.os.Wait()
	return errors.Join(err, p.control.Close(), p.lastWords.Close(), b.mounts.Close())
}

func (t *standing) close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.work.Wait()
	if t.ready == nil {
		return nil
	}
	b := t.ready
	t.ready = nil
	return b.end()
}
