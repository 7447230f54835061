package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	lib "modernc.org/sqlite/lib"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

const (
	maxBatch      = 256              // requests of one transaction
	signEach      = 256              // events between checkpoints at most
	signAfter     = 60 * time.Second // how long events stay unsigned at most
	walPages      = 1000             // pages that are written before they are moved into the database
	pagesPerEvent = 6                // what one event dirties, roughly
	pageSize      = 4096
	maxChains     = 4096             // runs whose chain end is kept in memory
	patience      = 10 * time.Second // how long a caller that gave up waits for a write under way
)

// The states of a request.
const (
	waiting int32 = iota
	taken         // the writer has it: it will be answered
	left          // its caller went away before that
)

// request is one call of Apply, or of Checkpoint when it has no mutations.
type request struct {
	mutations []work.Mutation
	facts     []work.Fact // of the store's own kinds
	state     atomic.Int32
	events    []work.Event
	note      []byte
	answer    chan error
}

// link is the end of a run's chain.
type link struct {
	next int64
	prev audit.Hash
}

// writer owns the one connection that writes. All its fields belong to its goroutine, but for the
// channels and broken.
type writer struct {
	identity
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	dir      string
	boot     string
	log      hclog.Logger
	now      func() time.Time
	onCommit func([]work.Event)
	every    time.Duration // between a write and its checkpoint

	tree   audit.Tree
	chains map[string]link
	signed int64  // size of the newest checkpoint
	note   []byte // and the checkpoint itself
	wal    int64  // pages written since the last move
	timer  *time.Timer
	armed  bool // the timer runs

	size     atomic.Int64 // committed events
	requests chan *request
	quit     chan struct{}
	done     chan struct{}
	broken   chan struct{}
	cause    atomic.Pointer[error]
}

// run serves requests until quit is closed, then what is queued, and signs.
func (w *writer) run(ctx context.Context) {
	defer close(w.done)
	for {
		select {
		case r := <-w.requests:
			w.serve(ctx, w.gather(r))
		case <-w.timer.C:
			w.serve(ctx, []*request{{answer: make(chan error, 1)}})
		case <-w.quit:
			for {
				select {
				case r := <-w.requests:
					w.serve(ctx, w.gather(r))
				default:
					if w.signed < w.tree.Size() {
						w.serve(ctx, []*request{{answer: make(chan error, 1)}})
					}
					return
				}
			}
		}
	}
}

// gather takes what else waits already. Nobody is waited for: a lone request is not delayed.
func (w *writer) gather(first *request) []*request {
	batch := w.take(nil, first)
	for yielded := false; len(batch) < maxBatch; {
		select {
		case r := <-w.requests:
			batch = w.take(batch, r)
			continue
		default:
		}
		if yielded || len(batch) < 2 {
			break
		}
		yielded = true
		runtime.Gosched() // those who were just answered may be on their way
	}
	return batch
}

func (w *writer) take(batch []*request, r *request) []*request {
	if r.state.CompareAndSwap(waiting, taken) {
		return append(batch, r)
	}
	return batch
}

// serve commits a batch in one transaction and answers everybody in it.
func (w *writer) serve(ctx context.Context, batch []*request) {
	if len(batch) == 0 {
		return
	}
	if err := w.failed(); err != nil {
		answerAll(batch, err)
		return
	}
	tree, signed, note := w.tree, w.signed, w.note
	answers := make([]error, len(batch))
	if err := w.transaction(ctx, batch, answers); err != nil {
		w.tree, w.signed, w.note = tree, signed, note
		clear(w.chains)
		if fatal(err) {
			w.stop(err)
			err = w.failed()
		}
		answerAll(batch, writeFault(err))
		return
	}
	w.size.Store(w.tree.Size())
	w.publish(batch, answers)
	for i, r := range batch {
		r.note = w.note
		r.answer <- answers[i]
	}
	w.tidy(ctx, w.signed > signed)
}

func answerAll(batch []*request, err error) {
	for _, r := range batch {
		r.answer <- err
	}
}

// transaction applies each request, so that one that fails takes only itself back, and commits. Its
// error is everybody's.
func (w *writer) transaction(ctx context.Context, batch []*request, answers []error) error {
	if err := w.exec(ctx, "BEGIN IMMEDIATE"); sqlCode(err) == lib.SQLITE_ERROR {
		return fmt.Errorf("%w: %w", errTorn, err)
	} else if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	sign := false
	for i, r := range batch {
		c := &change{w: w, now: w.now(), sign: len(r.mutations) == 0}
		err := w.apply(ctx, c, r, len(batch) > 1)
		if err != nil && (spent(err) || len(batch) == 1) {
			return w.rollback(ctx, err)
		}
		if answers[i] = writeFault(err); err == nil {
			r.events = c.events
			sign = sign || c.sign
		}
	}
	if sign || w.tree.Size()-w.signed >= signEach {
		if err := w.sign(ctx); err != nil {
			return w.rollback(ctx, err)
		}
	}
	if err := w.exec(ctx, "COMMIT"); err != nil {
		return w.rollback(ctx, fmt.Errorf("commit: %w", err))
	}
	return nil
}

// apply makes the mutations of one request, all or none. In company a savepoint keeps the others.
func (w *writer) apply(ctx context.Context, c *change, r *request, company bool) error {
	if !company {
		return c.applyAll(ctx, r)
	}
	if err := w.exec(ctx, "SAVEPOINT request"); err != nil {
		return err
	}
	tree := w.tree
	err := c.applyAll(ctx, r)
	if err == nil {
		return w.exec(ctx, "RELEASE request")
	}
	w.tree = tree
	for _, run := range c.runs {
		delete(w.chains, run)
	}
	if spent(err) {
		return err
	}
	for _, q := range []string{"ROLLBACK TO request", "RELEASE request"} {
		if back := w.exec(ctx, q); back != nil {
			return fmt.Errorf("%w: %w", errTorn, back)
		}
	}
	return err
}

// errTorn reports a connection whose transaction can neither be ended nor gone on with.
var errTorn = errors.New("the transaction is in an unknown state")

// rollback ends a transaction that failed as a whole. SQLite may have ended it already.
func (w *writer) rollback(ctx context.Context, cause error) error {
	_ = w.exec(ctx, "ROLLBACK") // where it fails the transaction is gone, or the next BEGIN tells
	return cause
}

// publish tells who listens, in the order of the log, before the callers know.
func (w *writer) publish(batch []*request, answers []error) {
	var events []work.Event
	for i, r := range batch {
		if answers[i] == nil {
			events = append(events, r.events...)
		}
	}
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		w.wal += pagesPerEvent + int64(len(e.Body))/pageSize
	}
	if w.onCommit != nil {
		w.onCommit(events)
	}
}

// tidy is what is done after everybody has been answered.
func (w *writer) tidy(ctx context.Context, signed bool) {
	switch {
	case signed:
		w.timer.Stop()
		w.armed = false
		if err := writeFile(notePath(w.dir), w.note); err != nil {
			w.log.Warn("the newest checkpoint is in the record but not beside it", "error", err)
		}
	case !w.armed && w.tree.Size() > w.signed: // the first event that nothing signs yet
		w.armed = true
		w.timer.Reset(w.every)
	}
	if w.wal >= walPages {
		w.moveLog(ctx)
	}
	if len(w.chains) > maxChains {
		clear(w.chains)
	}
}

// moveLog moves the write-ahead log into the database as far as readers allow.
func (w *writer) moveLog(ctx context.Context) {
	var busy, frames, moved int64
	err := w.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &moved)
	switch {
	case err != nil && fatal(err):
		w.stop(err)
	case err != nil:
		w.log.Warn("the write-ahead log could not be moved", "error", err)
	default:
		w.wal = frames - moved
	}
}

// stop ends all writing: after a failed write nobody knows what the disk holds, and trying again may
// report a success that is none.
func (w *writer) stop(cause error) {
	err := error(fault.Wrap(cause, fault.Unavailable, "the record takes no more writes since an I/O error").
		Fix("check the disk and its logs, then restart the daemon"))
	if w.cause.CompareAndSwap(nil, &err) {
		w.log.Error("the record stops", "error", cause)
		close(w.broken)
	}
}

// failed is the reason why nothing is written any more, or nil.
func (w *writer) failed() error {
	if p := w.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// statement prepares a statement once.
func (w *writer) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := w.prepared[query]; ok {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.prepared[query] = s
	return s, nil
}

func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	s, err := w.statement(ctx, query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, args...)
	return err
}

// row reads one row into dest.
func (w *writer) row(ctx context.Context, query string, args []any, dest ...any) error {
	s, err := w.statement(ctx, query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(dest...)
}
