package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// Options say where the record is and who hears of its changes.
type Options struct {
	Dir string       // the state directory; made with mode 0700 where it is missing
	Log hclog.Logger // nil for none
	Now func() time.Time
	// OnCommit gets the events of each committed transaction in log order, before the callers of
	// Apply get their answer. It must not block.
	OnCommit func([]work.Event)
	// Inspect opens for reading only, and also a record whose log does not verify.
	Inspect bool
	// Passing is for a record that is read by this process and goes with it: nothing waits until it is on
	// the disk, and a crash of the machine leaves nothing of use.
	Passing bool

	signAfter time.Duration // how long events stay unsigned; 0 = a minute
}

// Store is an open record.
type Store struct {
	identity
	dir     string
	passing bool
	lock    *os.File
	reads   *sql.DB
	writes  *sql.DB // nil when open for reading only
	w       *writer // likewise
	closed  sync.Once
	err     error
}

// Open opens the record of a state directory, or makes it, and checks the tail of its log. The caller
// closes it. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.signAfter == 0 {
		o.signAfter = signAfter
	}
	dir, err := prepareDir(o.Dir, !o.Inspect)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, passing: o.Passing}
	if s.lock, err = lockDir(ctx, dir); err != nil {
		return nil, err
	}
	if err := s.open(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, o Options) error {
	unclean, err := leftover(s.dir)
	if err != nil {
		return err
	}
	if o.Inspect {
		return s.openReads(ctx)
	}
	from, to, err := s.build(ctx)
	if err != nil {
		return err
	}
	if err := s.openReads(ctx); err != nil {
		return err
	}
	if s.writes, err = s.pool(mayWrite); err != nil {
		return err
	}
	conn, err := s.writes.Conn(ctx)
	if err != nil {
		return fmt.Errorf("open record: %w", err)
	}
	w := newWriter(s, conn, o)
	if err := s.checkTail(ctx, w, unclean); err != nil {
		return errors.Join(err, conn.Close())
	}
	w.size.Store(w.tree.Size())
	s.w = w
	go w.attend(context.WithoutCancel(ctx)) // ends with Close
	return s.genesis(ctx, from, to)
}

// leftover reports that the last process did not close the record: its write-ahead log is still there.
func leftover(dir string) (bool, error) {
	info, err := os.Stat(filepath.Join(dir, databaseName+"-wal"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look for write-ahead log: %w", err)
	}
	return info.Size() > 0, nil
}

// build migrates the schema and establishes the identity.
func (s *Store) build(ctx context.Context) (from, to int, err error) {
	list, err := steps()
	if err != nil {
		return 0, 0, err
	}
	if err := shutDatabase(s.dir); err != nil {
		return 0, 0, err
	}
	db, err := s.pool(mayBuild)
	if err != nil {
		return 0, 0, err
	}
	from, to, err = migrate(ctx, db, s.dir, list)
	if err == nil {
		s.identity, err = establish(ctx, db, s.dir, !s.passing)
	}
	return from, to, errors.Join(err, db.Close())
}

// openReads opens the readers and reads who this is, where that is not known yet.
func (s *Store) openReads(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.dir, databaseName)); errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "there is no record here").At(s.dir).Fix("run: drawspan serve")
	}
	var err error
	if s.reads, err = s.pool(mayRead); err != nil {
		return err
	}
	if s.instance != "" {
		return nil
	}
	version, err := schemaVersion(ctx, s.reads)
	if err != nil {
		return err
	}
	if list, err := steps(); err != nil {
		return err
	} else if version != len(list) {
		return fault.New(fault.NotSupported, "the record has schema version %d, this program reads %d", version, len(list)).At(s.dir)
	}
	s.identity, err = readIdentity(ctx, s.reads, s.dir)
	return err
}

func newWriter(s *Store, conn *sql.Conn, o Options) *writer {
	w := &writer{
		identity: s.identity, conn: conn, prepared: map[string]*sql.Stmt{}, dir: s.dir, durable: !s.passing, boot: bootID(), log: o.Log, now: o.Now,
		onCommit: o.OnCommit, every: o.signAfter, beside: -1, chains: map[string]link{}, timer: time.NewTimer(o.signAfter),
		queue: make(chan *request, maxBatch), poke: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), broken: make(chan struct{}),
	}
	w.timer.Stop()
	return w
}

// genesis records what opening did to the record, and signs what the last process left unsigned.
func (s *Store) genesis(ctx context.Context, from, to int) error {
	r := &request{answer: make(chan error, 1)}
	switch {
	case s.w.size.Load() == 0:
		r.facts = []work.Fact{{Kind: "log.created", Body: map[string]any{"instance": s.instance, "key": s.key.Verifier(), "schema": to}}}
	case from != to:
		r.facts = []work.Fact{{Kind: "schema.migrated", Body: map[string]any{"from": from, "to": to}}}
	}
	return s.submit(ctx, r)
}

// Close stops taking writes, finishes those under way, signs a last checkpoint and gives the directory
// free. Reads end too. It may be called again.
func (s *Store) Close(ctx context.Context) error {
	s.closed.Do(func() {
		if s.w != nil {
			close(s.w.quit)
			select {
			case <-s.w.done:
			case <-ctx.Done():
				s.err = fmt.Errorf("close record: %w", context.Cause(ctx))
				return // the lock stays with the process: a write may still be under way
			}
		}
		s.err = s.release()
	})
	return s.err
}

// release closes all that is open. The last connection moves the write-ahead log into the database.
func (s *Store) release() error {
	var errs []error
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	if s.w != nil {
		errs = append(errs, s.w.close())
	}
	if s.writes != nil {
		errs = append(errs, s.writes.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// InstanceID is the id of this record.
func (s *Store) InstanceID() string { return s.instance }

// Key is the verifier key of the log's checkpoints.
func (s *Store) Key() string { return s.key.Verifier() }

// Epoch counts the lives of the log.
func (s *Store) Epoch() int64 { return s.epoch }

// Broken is closed when an I/O error has ended all writing. The daemon stops then: nobody knows what the
// disk holds. It is nil when the record is open for reading only.
func (s *Store) Broken() <-chan struct{} {
	if s.w == nil {
		return nil
	}
	return s.w.broken
}

// Apply makes all mutations in one transaction, or none. It returns when they are durable, with the
// events that record them.
//
// A move whose version has passed is fault.Stale, one that the tables forbid fault.Conflict, an unknown
// object fault.NotFound, a key that was used before *work.Replayed or fault.IdempotencyConflict. When ctx
// ends before the write begins nothing is written; afterwards Apply still answers what became of it.
func (s *Store) Apply(ctx context.Context, m ...work.Mutation) ([]work.Event, error) {
	if len(m) == 0 {
		return nil, nil
	}
	r := &request{mutations: m, answer: make(chan error, 1)}
	if err := s.submit(ctx, r); err != nil {
		return nil, err
	}
	return r.events, nil
}

// Checkpoint signs the log as it is and returns the note. Where nothing is new it is the last one.
func (s *Store) Checkpoint(ctx context.Context) ([]byte, error) {
	r := &request{answer: make(chan error, 1)}
	if err := s.submit(ctx, r); err != nil {
		return nil, err
	}
	return r.note, nil
}

// close gives the writer's statements and connection back.
func (w *writer) close() error {
	var errs []error
	for _, s := range w.prepared {
		errs = append(errs, s.Close())
	}
	w.timer.Stop()
	err := w.conn.Close()
	if errors.Is(err, sql.ErrConnDone) {
		err = nil
	}
	return errors.Join(append(errs, err)...)
}
