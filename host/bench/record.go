package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/store"
	"github.com/drawspan/drawspan/host/internal/work"
)

// record is an open store with attempts that can be moved for ever: running to waiting and back.
type record struct {
	store    *store.Store
	attempts []*moving
}

// moving is one attempt and where it stands.
type moving struct {
	id      string
	version int64
	to      work.AttemptState
}

// openRecord makes a record with the given number of running attempts.
func (s *site) openRecord(ctx context.Context, attempts int) (*record, error) {
	dir, err := s.dir("record")
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, store.Options{Dir: dir, Log: hclog.NewNullLogger(), Now: time.Now})
	if err != nil {
		return nil, err
	}
	r := &record{store: st}
	for range attempts {
		m, err := r.running(ctx)
		if err != nil {
			return nil, errors.Join(err, st.Close(context.WithoutCancel(ctx)))
		}
		r.attempts = append(r.attempts, m)
	}
	return r, nil
}

func (r *record) close(ctx context.Context) error { return r.store.Close(context.WithoutCancel(ctx)) }

// running makes an attempt of its own run and brings it to running.
func (r *record) running(ctx context.Context) (*moving, error) {
	actor := work.Actor{Kind: "operator", ID: "uid:1000"}
	run := work.Run{ID: ident.New(ident.Run), Workspace: "bench", Base: "main", BaseCommit: commitShape, State: work.RunOpen, Actor: actor}
	step := work.Step{
		ID: ident.New(ident.Step), RunID: run.ID, Workspace: "bench", State: work.StepQueued, Actor: actor,
		Spec: work.StepSpec{Text: "move", Executor: "none"},
	}
	attempt := work.Attempt{
		ID: ident.New(ident.Attempt), StepID: step.ID, RunID: run.ID, Workspace: "bench", Executor: "none", State: work.AttemptQueued,
	}
	_, err := r.store.Apply(ctx, work.OpenRun{Run: run}, work.DispatchStep{Step: step}, work.CreateAttempt{Attempt: attempt})
	if err != nil {
		return nil, fmt.Errorf("make an attempt: %w", err)
	}
	made, err := r.store.Attempt(ctx, attempt.ID)
	if err != nil {
		return nil, fmt.Errorf("read the attempt: %w", err)
	}
	m := &moving{id: made.ID, version: made.Version}
	for _, m.to = range []work.AttemptState{work.AttemptPreparing, work.AttemptRunning} {
		if _, err := r.move(ctx, m); err != nil {
			return nil, err
		}
	}
	m.to = work.AttemptWaiting
	return m, nil
}

// commitShape stands where a commit is named.
const commitShape = "0123456789abcdef0123456789abcdef01234567"

// move writes one event: the attempt's next state, compare-and-set.
func (r *record) move(ctx context.Context, m *moving) (work.Event, error) {
	events, err := r.store.Apply(ctx, work.MoveAttempt{ID: m.id, Version: m.version, To: m.to})
	if err != nil {
		return work.Event{}, fmt.Errorf("move an attempt to %s: %w", m.to, err)
	}
	m.version++
	return events[0], nil
}

// turn moves an attempt from running to waiting, or back.
func (r *record) turn(ctx context.Context, m *moving) (work.Event, error) {
	e, err := r.move(ctx, m)
	if err != nil {
		return e, err
	}
	if m.to == work.AttemptWaiting {
		m.to = work.AttemptRunning
	} else {
		m.to = work.AttemptWaiting
	}
	return e, nil
}

// bytesOf is how many bytes an event is: envelope, salt, body and the two tree nodes that one event
// makes on average.
func bytesOf(e work.Event) int {
	env := audit.Envelope{
		Schema: audit.Schema, Epoch: e.Epoch, Seq: e.Seq, At: e.At.UnixNano(), Boot: commitShape[:32], Kind: e.Kind, Actor: e.Actor,
		Workspace: e.Workspace, RunID: e.RunID, StepID: e.StepID, AttemptID: e.AttemptID, RunIx: e.Seq,
	}
	return len(env.Leaf()) + audit.SaltSize + len(e.Body) + 2*len(audit.Hash{})
}

// appender is the barest durable write: an append and fdatasync.
type appender struct {
	file *os.File
	data []byte
}

func (s *site) newAppender(size int) (*appender, error) {
	dir, err := s.dir("append")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the file to append to: %w", err)
	}
	data := make([]byte, size)
	for i := range data {
		data[i] = 'a' + byte(i%26)
	}
	return &appender{f, data}, nil
}

func (a *appender) append() error {
	if _, err := a.file.Write(a.data); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if err := unix.Fdatasync(int(a.file.Fd())); err != nil {
		return fmt.Errorf("fdatasync: %w", err)
	}
	return nil
}

func (a *appender) close() error { return a.file.Close() }

// measureEvent times a durable event.
func measureEvent(ctx context.Context, s *site) (figures []figure, err error) {
	if err := s.durable(); err != nil {
		return nil, err
	}
	r, err := s.openRecord(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	e, err := r.turn(ctx, r.attempts[0])
	if err != nil {
		return nil, err
	}
	a, err := s.newAppender(bytesOf(e))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	got, err := race(ctx, rounds{warm: 50, kept: 2000},
		entrant{"event", func(ctx context.Context, _ int) (float64, error) {
			return timed(func() error { _, err := r.turn(ctx, r.attempts[0]); return err })
		}},
		entrant{"append", func(context.Context, int) (float64, error) { return timed(a.append) }},
	)
	if err != nil {
		return nil, err
	}
	return []figure{compared("event", "ms", got[0], got[1], bar{ratioAtMost, 1.8}).
		also("an attempt's move: event, body, tree nodes and state in one transaction; %d bytes appended", len(a.data))}, nil
}

const (
	writers   = 64
	writeTime = 400 * time.Millisecond // of one block
)

// measureWriters compares what 64 writers get done together with what one gets done alone.
func measureWriters(ctx context.Context, s *site) (figures []figure, err error) {
	if err := s.durable(); err != nil {
		return nil, err
	}
	r, err := s.openRecord(ctx, writers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	got, err := race(ctx, rounds{warm: 1, kept: 7},
		entrant{"64 writers", func(ctx context.Context, _ int) (float64, error) { return r.throughput(ctx, writers) }},
		entrant{"one writer", func(ctx context.Context, _ int) (float64, error) { return r.throughput(ctx, 1) }},
	)
	if err != nil {
		return nil, err
	}
	return []figure{compared("store-writers", "events/s", got[0], got[1], bar{ratioAtLeast, 8}).
		also("floor: one writer on the same record; blocks of %v", writeTime)}, nil
}

// throughput is how many events a second the given number of writers get written.
func (r *record) throughput(ctx context.Context, writers int) (float64, error) {
	counts, errs := make([]int, writers), make([]error, writers)
	began := time.Now()
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			for time.Since(began) < writeTime && errs[n] == nil {
				_, errs[n] = r.turn(ctx, r.attempts[n])
				counts[n]++
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / took.Seconds(), errors.Join(errs...)
}
