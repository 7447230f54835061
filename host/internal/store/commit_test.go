package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

func TestSixtyFourWritersShareTransactionsAndNobodysFailureIsAnothers(t *testing.T) {
	var commits, published atomic.Int64
	last := int64(0) // OnCommit is called by one goroutine at a time
	s := reopen(t, Options{Dir: stateDir(t), OnCommit: func(events []work.Event) {
		commits.Add(1)
		for _, e := range events {
			if e.Seq != last {
				t.Errorf("event %d was published after %d", e.Seq, last-1)
			}
			last = e.Seq + 1
			published.Add(1)
		}
	}})
	const each = 15
	var wg sync.WaitGroup
	var refused atomic.Int64
	ctx := context.Background()
	runs := []work.Run{openRun(t, s), openRun(t, s)}
	before := commits.Load()
	for w := range 64 {
		wg.Go(func() {
			for i := range each {
				run := runs[w%2]
				good := []work.Mutation{work.Fact{Kind: "w.ok", RunID: run.ID, Body: []int{w, i}}, work.Fact{Kind: "w.too"}}
				events, err := s.Apply(ctx, good...)
				if err != nil || len(events) != 2 || events[1].Seq != events[0].Seq+1 || string(events[0].Body) != fmt.Sprintf("[%d,%d]", w, i) {
					t.Errorf("writer %d: %v, %v", w, events, err)
				}
				if _, err := s.Apply(ctx, work.Fact{Kind: "w.bad", RunID: run.ID}, work.MoveRun{ID: run.ID, Version: 99, To: work.RunClosed}); fault.Is(err, fault.Stale) {
					refused.Add(1)
				}
			}
		})
	}
	wg.Wait()
	h := head(t, s)
	if want := int64(1 + 2 + 64*each*2); h.Size != want || published.Load() != want || refused.Load() != 64*each {
		t.Errorf("%d events, %d published, want %d; %d refused", h.Size, published.Load(), want, refused.Load())
	}
	if n := commits.Load() - before; n > 64*each/2 {
		t.Errorf("%d transactions for %d calls: nothing was shared", n, 64*each)
	}
	sound(t, s)
}

func TestOfTwoMovesFromOneVersionOneWins(t *testing.T) {
	s := newStore(t)
	for range 20 {
		a := started(t, s)
		var won, stale atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				_, err := s.Apply(context.Background(), work.MoveAttempt{ID: a.ID, Version: 1, To: work.AttemptPreparing})
				switch {
				case err == nil:
					won.Add(1)
				case fault.Is(err, fault.Stale):
					stale.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || stale.Load() != 7 {
			t.Fatalf("%d won, %d were stale", won.Load(), stale.Load())
		}
	}
}

func TestFiftyClientsWithOneKeyMakeOneStep(t *testing.T) {
	s := newStore(t)
	run := openRun(t, s)
	var wg sync.WaitGroup
	var made, replayed atomic.Int64
	for range 50 {
		wg.Go(func() {
			key := &work.Key{Actor: "uid:1", Workspace: "ws", Value: "k", Request: "d"}
			_, err := s.Apply(context.Background(), work.DispatchStep{Step: work.Step{ID: newID("step"), RunID: run.ID, Spec: work.StepSpec{Text: "x"}}, Key: key})
			var again *work.Replayed
			switch {
			case err == nil:
				made.Add(1)
			case errors.As(err, &again):
				replayed.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || replayed.Load() != 49 || runOf(t, s, run.ID).Steps != 1 {
		t.Errorf("%d made, %d replayed, the run counts %d", made.Load(), replayed.Load(), runOf(t, s, run.ID).Steps)
	}
}

func TestACallerThatGivesUpBeforeItsTurnWritesNothing(t *testing.T) {
	s := newStore(t)
	s.w.mu.Lock() // somebody writes
	ctx, cancel := context.WithCancelCause(context.Background())
	boom := errors.New("boom")
	errs := make(chan error, 1)
	go func() { // ends when Apply returns
		_, err := s.Apply(ctx, work.Fact{Kind: "given.up"})
		errs <- err
	}()
	for deadline := time.After(10 * time.Second); len(s.w.queue) == 0; {
		select {
		case <-deadline:
			t.Fatal("the request is not queued")
		case <-time.After(time.Millisecond):
		}
	}
	cancel(boom)
	if err := <-errs; !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	s.w.handOver()
	must(t, s, work.Fact{Kind: "given.on"})
	if events, err := s.Events(context.Background(), EventFilter{Kind: "given.*"}); err != nil || len(events) != 1 {
		t.Errorf("events %s, %v", asText(events), err)
	}
	if _, err := s.Apply(ctx, work.Fact{Kind: "given.up"}); err != nil && !errors.Is(err, boom) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestAClosedRecordTakesNothing(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				_, err := s.Apply(ctx, work.Fact{Kind: "a.b"})
				if fault.Is(err, fault.Unavailable) {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	must(t, s, work.Fact{Kind: "a.b"})
	if err := errors.Join(s.Close(ctx), s.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := s.Checkpoint(ctx); !fault.Is(err, fault.Unavailable) {
		t.Errorf("checkpoint: %v", err)
	}
	again := reopen(t, Options{Dir: s.dir})
	if v, err := again.Verify(ctx, nil); err != nil || !v.OK() || v.Signed != v.Events {
		t.Errorf("%d events, %d signed, %v %+v", v.Events, v.Signed, err, v.Problems)
	}
	if _, err := os.Stat(filepath.Join(s.dir, databaseName+"-wal")); err != nil {
		t.Log("no write-ahead log while open:", err)
	}
}

func TestCheckpointsComeByCountByTimeAndOnDemand(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	signed := func(s *Store) (n int64) {
		t.Helper()
		if err := s.reads.QueryRowContext(ctx, "SELECT max(size) FROM checkpoint").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := signed(s); got != 1 {
		t.Errorf("a new log is signed up to %d", got)
	}
	for range signEach - 1 {
		must(t, s, work.Fact{Kind: "a.b"})
	}
	if got := signed(s); got != 1 {
		t.Errorf("after %d events signed up to %d", signEach-1, got)
	}
	must(t, s, work.Fact{Kind: "a.b"})
	if got := signed(s); got != 1+signEach {
		t.Errorf("after %d events signed up to %d", signEach, got)
	}
	must(t, s, work.Fact{Kind: "a.b"})
	note, err := s.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := audit.OpenCheckpoint(note, s.Key())
	if err != nil || cp.Size != 2+signEach || cp.Root.String() != head(t, s).Root || cp.Origin != "drawspan/host/"+s.InstanceID() {
		t.Errorf("checkpoint %+v, %v", cp, err)
	}
	if again, err := s.Checkpoint(ctx); err != nil || string(again) != string(note) {
		t.Errorf("nothing is new, but the checkpoint is %q, %v", again, err)
	}

	quick := reopen(t, Options{Dir: stateDir(t), signAfter: 10 * time.Millisecond})
	must(t, quick, work.Fact{Kind: "a.b"})
	for deadline := time.After(20 * time.Second); signed(quick) != 2; {
		select {
		case <-deadline:
			t.Fatal("no checkpoint came by time")
		case <-time.After(5 * time.Millisecond):
		}
	}
	sound(t, s)
	sound(t, quick)
}

// raw changes a setting of the writer's own connection, past its authorizer.
func raw(t *testing.T, s *Store, query string) {
	t.Helper()
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	ctx := context.Background()
	err := s.w.conn.Raw(func(c any) error { return c.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(nil) })
	if err == nil {
		_, err = s.w.conn.ExecContext(ctx, query)
	}
	if err == nil {
		err = s.w.conn.Raw(func(c any) error { return c.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(policy(mayWrite)) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskIsRefusedAndTheRecordGoesOnWhenThereIsSpace(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	a := started(t, s)
	raw(t, s, "PRAGMA max_page_count = 1") // becomes the present size
	before := head(t, s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := s.Apply(ctx, work.Fact{Kind: "large.fact", AttemptID: a.ID, Body: strings.Repeat("x", 20_000)}); !fault.Is(err, fault.NoSpace) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	wg.Wait()
	if after := head(t, s); after.Size != before.Size {
		t.Errorf("%d events were written", after.Size-before.Size)
	}
	if v, err := s.Verify(ctx, nil); err != nil || !v.OK() {
		t.Errorf("reading stopped: %+v, %v", v.Problems, err)
	}
	select {
	case <-s.Broken():
		t.Error("a full disk stopped the record")
	default:
	}
	raw(t, s, "PRAGMA max_page_count = 1000000")
	must(t, s, work.Fact{Kind: "large.fact", AttemptID: a.ID, Body: strings.Repeat("x", 20_000)})
	sound(t, s)
}

func TestTheWriteAheadLogIsMovedAndStaysSmall(t *testing.T) {
	s := newStore(t)
	for range 60 {
		must(t, s, work.Fact{Kind: "large.fact", Body: strings.Repeat("x", 200_000)})
	}
	if _, err := s.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(20 * time.Second); ; {
		s.w.mu.Lock()
		done := !s.w.untidy()
		s.w.mu.Unlock()
		if done {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the write-ahead log is not moved")
		case <-time.After(5 * time.Millisecond):
		}
	}
	main, err := os.Stat(filepath.Join(s.dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.Stat(filepath.Join(s.dir, databaseName+"-wal"))
	if err != nil || main.Size() < 8<<20 || wal.Size() > 10<<20 {
		t.Errorf("database %d bytes, write-ahead log %d bytes, %v", main.Size(), wal.Size(), err)
	}
}

func TestConnectionsHaveTheSettingsTheyNeed(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	want := map[string]string{
		"foreign_keys": "1", "recursive_triggers": "1", "trusted_schema": "0", "cell_size_check": "1", "secure_delete": "1", "wal_autocheckpoint": "0",
		"busy_timeout": "5000", "journal_mode": "wal", "mmap_size": "0",
	}
	more := map[access]map[string]string{mayRead: {"query_only": "1"}, mayWrite: {"synchronous": "2", "query_only": "0"}}
	for a, extra := range more {
		conn, err := rawPool(t, s.dir, a).Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Raw(func(c any) error { return c.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(nil) }); err != nil {
			t.Fatal(err)
		}
		for _, table := range []map[string]string{want, extra} {
			for name, value := range table {
				var got sql.NullString
				err := conn.QueryRowContext(ctx, "PRAGMA "+name).Scan(&got)
				if name == "mmap_size" && errors.Is(err, sql.ErrNoRows) {
					continue // this build has none at all
				}
				if err != nil || got.String != value {
					t.Errorf("access %d: %s is %q, %v", a, name, got.String, err)
				}
			}
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !sqlite.OFDLockingEnabled() || !sqlite.StrictPragmasEnabled() {
		t.Error("the process-wide settings are off")
	}
	var version string
	if err := s.reads.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil || major*1_000_000+minor*1_000+patch < 3_051_003 {
		t.Errorf("SQLite %s loses commits when a log reset races a writer", version)
	}
}
