package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/dispatch"
	"github.com/drawspan/drawspan/host/internal/event"
	"github.com/drawspan/drawspan/host/internal/journal"
	"github.com/drawspan/drawspan/sdk"
)

// streamKey is the wake-up key of an attempt's live stream.
func streamKey(attemptID string) string { return "stream:" + attemptID }

// journalsPort keeps the live streams of attempts in files until they are sealed as artifacts.
type journalsPort struct {
	dir  string
	mask journal.Masker
	bus  *event.Bus
}

func (p journalsPort) path(attemptID string) string { return filepath.Join(p.dir, attemptID) }

func (p journalsPort) Create(attemptID string, limit int64) (dispatch.Journal, error) {
	j, err := journal.Create(journal.Options{
		Dir: p.path(attemptID), AttemptID: attemptID, Limit: limit, Mask: p.mask, Now: time.Now,
		Wake: func() { p.bus.Wake(streamKey(attemptID)) },
	})
	if err != nil {
		return nil, err
	}
	return journalPort{j}, nil
}

func (p journalsPort) Remove(attemptID string) error {
	err := os.RemoveAll(p.path(attemptID))
	p.bus.Wake(streamKey(attemptID))
	return err
}

// sweep removes what the last daemon left: its attempts are lost and their streams were never sealed.
func (p journalsPort) sweep() error {
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("remove old live streams: %w", err)
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("make directory of live streams: %w", err)
	}
	return nil
}

type journalPort struct{ *journal.Journal }

func (j journalPort) Append(source string, e sdk.Event) error {
	err := j.Journal.Append(source, e)
	if errors.Is(err, journal.ErrFull) {
		return dispatch.ErrFull
	}
	return err
}

func (j journalPort) Seal() (dispatch.Stream, error) {
	s, err := j.Journal.Seal()
	out := dispatch.Stream{Output: s.Output, Truncated: s.Truncated}
	for _, f := range s.Files {
		out.Files = append(out.Files, dispatch.StreamFile{
			Name: f.Name, Kind: f.Kind, Media: f.Media, Size: f.Size,
			Open: func() (io.ReadCloser, error) { return os.Open(f.Path) },
		})
	}
	return out, err
}

// follower reads a growing file until its journal is gone. Reads wait for the bus, not for a clock.
type follower struct {
	file   *os.File
	dir    string
	follow bool
	wait   func() <-chan struct{}
	done   <-chan struct{}
	stop   context.CancelFunc
	once   sync.Once
}

// follow opens the live stream of an attempt from an offset.
func (p journalsPort) follow(ctx context.Context, attemptID string, offset int64, follow bool) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(p.path(attemptID), journal.EventsName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "attempt %s has no live stream", attemptID)
	}
	if err != nil {
		return nil, fmt.Errorf("open live stream: %w", err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("seek in live stream: %w", err), f.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	return &follower{
		file: f, dir: p.path(attemptID), follow: follow, done: ctx.Done(), stop: stop,
		wait: func() <-chan struct{} { return p.bus.Wait(ctx, streamKey(attemptID)) },
	}, nil
}

func (f *follower) Read(p []byte) (int, error) {
	for {
		woken := f.wait()
		_, statErr := os.Stat(f.dir)
		n, err := f.file.Read(p)
		if n > 0 || (err != nil && !errors.Is(err, io.EOF)) {
			return n, err
		}
		if !f.follow || statErr != nil { // gone before the read: what was read is all there is
			return 0, io.EOF
		}
		select {
		case <-woken:
		case <-f.done:
			return 0, io.EOF
		}
	}
}

func (f *follower) Close() error {
	var err error
	f.once.Do(func() {
		f.stop()
		err = f.file.Close()
	})
	return err
}
