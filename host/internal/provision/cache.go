package provision

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// filledTo is how many times its size a cache may hold while commands fill it: so much as it may keep, and
// as much again that one preparation adds.
const filledTo = 2

// A cache that is being filled is measured so often, and at most one part of so many of the time.
const (
	watchEvery = time.Second
	watchShare = 20
)

// Caches knows who uses the caches of which workspace, so that they are filled by one attempt at a time and
// emptied only where nobody looks at them. Its zero value is ready.
type Caches struct {
	mu   sync.Mutex
	used map[string]*shelf // by workspace
}

// shelf is the caches of one workspace.
type shelf struct {
	uses int             // attempts that may look at them and are not over
	eyes int             // those that have
	turn chan struct{}   // one slot, taken by the one who fills
	fits map[string]bool // by cache: it was within its size when it was last written to
}

// Lease is what one attempt has of a workspace's caches, from before its first launch to after its last.
type Lease struct {
	of    *Caches
	shelf *shelf
	seen  bool
	over  bool
}

// Use begins a use, which Release must end.
func (c *Caches) Use(workspace string) *Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used == nil {
		c.used = map[string]*shelf{}
	}
	s := c.used[workspace]
	if s == nil {
		s = &shelf{turn: make(chan struct{}, 1), fits: map[string]bool{}}
		c.used[workspace] = s
	}
	s.uses++
	return &Lease{of: c, shelf: s}
}

// look notes that launches of the attempt see the caches from now on. Nothing is taken away from them.
func (l *Lease) look() {
	if l == nil {
		return
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.seen {
		l.seen = true
		l.shelf.eyes++
	}
}

// Release ends the use; it may be called more than once.
func (l *Lease) Release() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	l.shelf.uses--
	if l.seen {
		l.seen = false
		l.shelf.eyes--
	}
}

// Unused calls take while no use of the workspace's caches is under way or begins, and reports whether it did.
func (c *Caches) Unused(workspace string, take func() error) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.used[workspace]; s != nil && s.uses > 0 {
		return false, nil
	}
	return true, take()
}

// Finding is what was found of a cache that holds more than its size.
type Finding struct {
	Cache      string
	Held, Size int64
	Emptied    bool // else it is in use, and nothing is added to it
}

// filling is a preparation that may write to caches.
type filling struct {
	r    Request
	dirs map[string]string // of the caches that are written to, by name
}

// mode is how the commands see a cache.
func (f *filling) mode(cache string) string {
	if f != nil && f.dirs[cache] != "" {
		return writable
	}
	return layered
}

// errTooLarge is why a command is ended that fills a cache beyond measure.
type errTooLarge struct{ work.Cache }

func (e errTooLarge) Error() string {
	return fmt.Sprintf("filled cache %q with more than %s, twice its size, and was ended", e.Name, work.SizeText(filledTo*e.Size))
}

// fill waits until nobody else fills the workspace's caches, and empties those that hold more than their
// size. One that is in use elsewhere is left as it is, and not written to.
func (r Request) fill(ctx context.Context) (*filling, func(), error) {
	s := r.Lease.shelf
	select {
	case s.turn <- struct{}{}:
	default:
		r.at(Stage{Waits: true})
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
	f := &filling{r: r, dirs: map[string]string{}}
	done := func() { <-s.turn }
	for _, c := range r.Provision.Caches {
		if err := f.open(ctx, c); err != nil {
			done()
			return nil, nil, err
		}
	}
	return f, done, nil
}

// open makes one cache ready to be written to.
func (f *filling) open(ctx context.Context, c work.Cache) error {
	dir, err := f.r.Host.Cache(f.r.Workspace, c.Name)
	if err != nil {
		return fmt.Errorf("make cache %s: %w", c.Name, err)
	}
	held, fits := int64(0), f.r.Lease.shelf.fits[c.Name]
	if !fits {
		if held, err = measure(ctx, dir, c.Size); err != nil {
			return fmt.Errorf("measure cache %s: %w", c.Name, err)
		}
	}
	f.r.Lease.shelf.fits[c.Name] = false // until it is measured again
	if held <= c.Size {
		f.dirs[c.Name] = dir
		return nil
	}
	emptied, err := f.empty(dir)
	if err != nil {
		return fault.Wrap(err, fault.ProvisionFailed, "cache %q holds more than its size of %s, and cannot be emptied", c.Name, work.SizeText(c.Size)).
			At(dir).Fix("delete that directory while nothing runs")
	}
	if emptied {
		f.dirs[c.Name] = dir
	}
	if f.r.Found != nil {
		f.r.Found(Finding{Cache: c.Name, Held: held, Size: c.Size, Emptied: emptied})
	}
	return nil
}

// empty takes away what a cache holds, unless an attempt looks at it. Whoever wants to begin waits meanwhile.
func (f *filling) empty(dir string) (bool, error) {
	l := f.r.Lease
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.shelf.eyes > 0 { // this attempt has not looked yet
		return false, nil
	}
	return true, f.r.Host.Empty(dir)
}

// guard measures what a command writes to until it ends, and cancels it where a cache becomes far too large.
func (f *filling) guard(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	if f == nil {
		return func() {}
	}
	ctx, end := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { // ends with ctx, which stop ends
		for pause := watchEvery; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			began := time.Now()
			if err := f.overfull(ctx); err != nil {
				cancel(err)
				return
			}
			pause = max(watchEvery, watchShare*time.Since(began))
		}
	})
	return func() { end(); watching.Wait() }
}

// overfull is an error where a cache that is written to holds far more than its size.
func (f *filling) overfull(ctx context.Context) error {
	if f == nil {
		return nil
	}
	for _, c := range f.r.Provision.Caches {
		dir := f.dirs[c.Name]
		if dir == "" {
			continue
		}
		if held, err := measure(ctx, dir, filledTo*c.Size); err == nil && held > filledTo*c.Size {
			return errTooLarge{c}
		}
	}
	return nil
}

// settle notes which of the caches that were written to are within their size. One that is not, or that nobody
// could measure, is measured again before it is filled again.
func (f *filling) settle(ctx context.Context) {
	for _, c := range f.r.Provision.Caches {
		if dir, written := f.dirs[c.Name]; written {
			held, err := measure(ctx, dir, c.Size)
			f.r.Lease.shelf.fits[c.Name] = err == nil && held <= c.Size
		}
	}
}
