package provision

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/fault"
)

const cacheSize = 64 << 10

// shelved is a workspace with one cache on disk, and what is done by its one command.
type shelved struct {
	t      *testing.T
	host   *fakeHost
	caches Caches
	found  []Finding
}

func newShelved(t *testing.T, do func(ctx context.Context, c Command) (Exit, error)) *shelved {
	t.Helper()
	return &shelved{t: t, host: &fakeHost{dir: t.TempDir(), do: do}}
}

// nothing is a command that does nothing.
func nothing(context.Context, Command) (Exit, error) { return Exit{}, nil }

// writes is a command that adds a file of so many bytes to the cache.
func (s *shelved) writes(name string, bytes int) func(context.Context, Command) (Exit, error) {
	return func(context.Context, Command) (Exit, error) {
		return Exit{}, os.WriteFile(filepath.Join(s.dir(), name), make([]byte, bytes), 0o600)
	}
}

func (s *shelved) dir() string { return filepath.Join(s.host.dir, "api", "npm") }

func (s *shelved) names() string {
	entries, err := os.ReadDir(s.dir())
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// request is for one command.
func (s *shelved) request(lease *Lease) Request {
	r := request(&fakeTree{}, s.host, true)
	r.Provision.Runs = r.Provision.Runs[:1]
	r.Provision.Caches[0].Size = cacheSize
	r.Lease, r.Found = lease, func(f Finding) { s.found = append(s.found, f) }
	return r
}

// prepare has an attempt's tree prepared, and returns how its commands saw the cache.
func (s *shelved) prepare(ctx context.Context, lease *Lease) (string, error) {
	before := len(s.host.ran)
	place, _, err := Prepare(ctx, s.request(lease))
	if err == nil && place.Binds[1].Mode != layered {
		s.t.Errorf("whoever works in the tree sees the cache %s", place.Binds[1].Mode)
	}
	if len(s.host.ran) == before {
		return "", err
	}
	return s.host.ran[before].Binds[1].Mode, err
}

// attempt is a whole one that does that.
func (s *shelved) attempt(do func(context.Context, Command) (Exit, error)) (string, error) {
	s.host.do = do
	lease := s.caches.Use("api")
	defer lease.Release()
	return s.prepare(s.t.Context(), lease)
}

func TestACacheThatHoldsMoreThanItsSizeIsEmptiedBeforeItIsFilledAgain(t *testing.T) {
	s := newShelved(t, nil)
	for _, step := range []struct {
		file  string
		bytes int
		holds string
		found int
	}{
		{"a", cacheSize / 2, "a", 0},
		{"b", cacheSize, "a b", 0}, // too much now, and still there for the attempt that filled it
		{"c", 1, "c", 1},
		{"d", 1, "c d", 1},
	} {
		mode, err := s.attempt(s.writes(step.file, step.bytes))
		if err != nil || mode != writable || s.names() != step.holds || len(s.found) != step.found {
			t.Fatalf("after %s: %v, seen %s, holds %q, found %+v", step.file, err, mode, s.names(), s.found)
		}
	}
	if f := s.found[0]; !f.Emptied || f.Cache != "npm" || f.Size != cacheSize || f.Held <= cacheSize {
		t.Errorf("found %+v", f)
	}
}

func TestACacheThatIsTooLargeFromBeforeIsEmptied(t *testing.T) {
	s := newShelved(t, nil)
	if err := errors.Join(os.MkdirAll(s.dir(), 0o700), os.WriteFile(filepath.Join(s.dir(), "old"), make([]byte, 3*cacheSize), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.attempt(s.writes("new", 1)); err != nil || s.names() != "new" || len(s.found) != 1 {
		t.Errorf("%v, holds %q, found %+v", err, s.names(), s.found)
	}
}

func TestACacheThatAnotherAttemptLooksAtIsNeitherEmptiedNorAddedTo(t *testing.T) {
	s := newShelved(t, nil)
	other, waiting, elsewhere := s.caches.Use("api"), s.caches.Use("api"), s.caches.Use("another workspace")
	defer waiting.Release()
	elsewhere.look()
	s.host.do = s.writes("a", 3*cacheSize/2)
	if _, err := s.prepare(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	mode, err := s.attempt(nothing)
	if err != nil || mode != layered || s.names() != "a" || len(s.found) != 1 || s.found[0].Emptied {
		t.Errorf("%v, seen %s, holds %q, found %+v", err, mode, s.names(), s.found)
	}
	other.Release()
	other.Release()
	if mode, err = s.attempt(nothing); err != nil || mode != writable || s.names() != "" || !s.found[1].Emptied {
		t.Errorf("%v, seen %s, holds %q, found %+v", err, mode, s.names(), s.found)
	}
}

func TestACommandThatFillsACacheWithTwiceItsSizeFails(t *testing.T) {
	s := newShelved(t, nil)
	_, err := s.attempt(s.writes("huge", 2*cacheSize+1))
	f := fault.From(err)
	if f.Code != fault.ProvisionFailed || !strings.Contains(f.Message, `provision run "one" filled cache "npm" with more than 128.0 KiB, twice its size`) || f.Where != "x.hcl:1" {
		t.Errorf("%v at %s", err, f.Where)
	}
	if _, err := s.attempt(s.writes("small", 1)); err != nil || s.names() != "small" {
		t.Errorf("the next attempt: %v, holds %q", err, s.names())
	}
}

func TestACommandThatNeverStopsFillingACacheIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelved(t, nil)
		began := time.Now()
		_, err := s.attempt(func(ctx context.Context, c Command) (Exit, error) {
			if exit, err := s.writes("huge", 3*cacheSize)(ctx, c); err != nil {
				return exit, err
			}
			<-ctx.Done()
			return Exit{Cause: "was lost: killed"}, nil
		})
		if f := fault.From(err); f.Code != fault.ProvisionFailed || !strings.Contains(f.Message, "twice its size") || time.Since(began) > 2*watchEvery {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestOneAttemptFillsACacheAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelved(t, nil)
		first, second := s.caches.Use("api"), s.caches.Use("api")
		goOn, ended := make(chan struct{}), make(chan error, 2)
		s.host.do = func(context.Context, Command) (Exit, error) { <-goOn; return Exit{}, nil }
		fill := func(ctx context.Context, l *Lease) { _, _, err := Prepare(ctx, s.request(l)); ended <- err }
		go fill(t.Context(), first)
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		go fill(ctx, second)
		synctest.Wait()
		if len(s.host.ran) != 1 {
			t.Fatalf("%d commands fill the cache at once", len(s.host.ran))
		}
		cause := errors.New("the operator changed their mind")
		cancel(cause)
		if err := <-ended; !errors.Is(err, cause) {
			t.Errorf("who waits and is cancelled: %v", err)
		}
		go fill(t.Context(), second)
		close(goOn)
		if err := errors.Join(<-ended, <-ended); err != nil || len(s.host.ran) != 2 {
			t.Errorf("%v after %d commands", err, len(s.host.ran))
		}
	})
}

func TestWhoFollowsLearnsWhichCommandRunsAndThatAnotherAttemptIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelved(t, nil)
		goOn, ended := make(chan struct{}), make(chan error, 2)
		s.host.do = func(context.Context, Command) (Exit, error) { <-goOn; return Exit{}, nil }
		var told [2][]Stage
		for i := range told {
			r := s.request(s.caches.Use("api"))
			r.At = func(stage Stage) { told[i] = append(told[i], stage) }
			go func() { _, _, err := Prepare(t.Context(), r); ended <- err }()
			synctest.Wait()
		}
		if !slices.Equal(told[0], []Stage{{Run: "one"}}) || !slices.Equal(told[1], []Stage{{Waits: true}}) {
			t.Errorf("meanwhile told %+v", told)
		}
		close(goOn)
		if err := errors.Join(<-ended, <-ended); err != nil || !slices.Equal(told[1], []Stage{{Waits: true}, {Run: "one"}}) {
			t.Errorf("%v, told %+v", err, told)
		}
	})
}

func TestACacheIsTakenAwayOnlyWhileNoAttemptOfItsWorkspaceIsLive(t *testing.T) {
	var caches Caches
	takes := func() bool {
		t.Helper()
		called := false
		took, err := caches.Unused("api", func() error { called = true; return nil })
		if err != nil || took != called {
			t.Errorf("reported %v, called %v: %v", took, called, err)
		}
		return took
	}
	other := caches.Use("another workspace")
	defer other.Release()
	if !takes() {
		t.Error("nobody uses it, and it stays")
	}
	first, second := caches.Use("api"), caches.Use("api") // which have not looked yet
	first.Release()
	first.Release()
	if takes() {
		t.Error("it is taken from an attempt that lives")
	}
	second.look()
	second.Release()
	if !takes() {
		t.Error("nobody uses it any more, and it stays")
	}
}

func TestACacheThatCannotBeEmptiedEndsTheAttemptAndSaysWhichDirectory(t *testing.T) {
	s := newShelved(t, nil)
	if _, err := s.attempt(s.writes("a", 3*cacheSize/2)); err != nil {
		t.Fatal(err)
	}
	s.host.stuck = unix.EXDEV
	mode, err := s.attempt(nothing)
	if f := fault.From(err); f.Code != fault.ProvisionFailed || f.Where != s.dir() || f.Hint == "" || mode != "" || s.names() != "a" {
		t.Errorf("%v, a command ran: %q, holds %q", err, mode, s.names())
	}
	s.host.stuck = nil
	if _, err := s.attempt(nothing); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// F21: what a command left in a cache is counted, and neither followed nor opened nor waited for.
func TestF21_WhatACommandLeavesInACacheIsMeasuredAndNotFollowed(t *testing.T) {
	write := func(name string, n int) error { return os.WriteFile(name, make([]byte, n), 0o600) }
	closedDir, closedCache := int64(-1), int64(-1)
	if os.Getuid() == 0 { // to whom nothing is closed
		closedDir, closedCache = leastFile, 0
	}
	for name, c := range map[string]struct {
		make func(dir string) error
		held int64 // -1: too much
	}{
		"nothing": {func(string) error { return nil }, 0},
		"a link to something large": {func(dir string) error {
			return errors.Join(write(dir+"-outside", 8*cacheSize), os.Symlink(dir+"-outside", filepath.Join(dir, "l")))
		}, leastFile},
		"a link to a directory, and to itself": {func(dir string) error {
			return errors.Join(os.Symlink("/usr", filepath.Join(dir, "usr")), os.Symlink(".", filepath.Join(dir, "self")))
		}, 2 * leastFile},
		"a fifo that nobody writes to": {func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "f"), 0o600) }, leastFile},
		"one file with many names": {func(dir string) error {
			err := write(filepath.Join(dir, "0"), 4*leastFile)
			for _, n := range []string{"1", "2", "3"} {
				err = errors.Join(err, os.Link(filepath.Join(dir, "0"), filepath.Join(dir, n)))
			}
			return err
		}, 4 * leastFile},
		"a hole": {func(dir string) error {
			return errors.Join(write(filepath.Join(dir, "h"), 0), os.Truncate(filepath.Join(dir, "h"), 1<<40))
		}, leastFile},
		"a name of control characters": {func(dir string) error { return write(filepath.Join(dir, "\x1b[2J\n\xff"), 1) }, leastFile},
		"many empty files": {func(dir string) (err error) {
			for i := range cacheSize/leastFile + 1 {
				err = errors.Join(err, write(filepath.Join(dir, strings.Repeat("x", i+1)), 0))
			}
			return err
		}, -1},
		"a directory that is closed": {func(dir string) error { return os.Mkdir(filepath.Join(dir, "d"), 0) }, closedDir},
		"a cache that is closed":     {func(dir string) error { return os.Chmod(dir, 0) }, closedCache},
		"more levels than anybody has": {func(dir string) error {
			return os.MkdirAll(dir+strings.Repeat("/d", maxLevels+1), 0o700)
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			if err := errors.Join(os.Mkdir(dir, 0o700), c.make(dir)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = errors.Join(os.Chmod(dir, 0o700), os.Chmod(filepath.Join(dir, "d"), 0o700)) }) // where they were closed
			most := int64(cacheSize)
			if strings.HasPrefix(name, "more levels") {
				most = 1 << 30
			}
			held, err := measure(t.Context(), dir, most)
			if err != nil || c.held >= 0 && held != c.held || c.held < 0 && held <= most {
				t.Errorf("measured %d, want %d: %v", held, c.held, err)
			}
		})
	}
}
