package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	lib "modernc.org/sqlite/lib"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

const (
	signEach      = 256              // events between checkpoints at most
	signAfter     = 60 * time.Second // how long events stay unsigned at most
	walPages      = 1000             // pages that are written before they are moved into the database
	pagesPerEvent = 6                // what one event dirties, roughly
	pageSize      = 4096
	maxChains     = 4096 // runs whose chain end is kept in memory
)

// link is the end of a run's chain.
type link struct {
	next int64
	prev audit.Hash
}

// writer owns the one connection that writes. Its fields belong to whoever holds mu, but for the channels
// and the atomic ones.
type writer struct {
	identity
	mu       sync.Mutex
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	dir      string
	durable  bool // commits wait for the disk
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
	armed  bool  // the timer runs
	beside int64 // size of the checkpoint beside the database
	closed bool

	size   atomic.Int64 // committed events
	queue  chan *request
	poke   chan struct{} // something is left to do
	quit   chan struct{}
	done   chan struct{}
	broken chan struct{}
	cause  atomic.Pointer[error]
}

// serve commits a batch in one transaction and answers everybody in it.
func (w *writer) serve(ctx context.Context, batch []*request) {
	if len(batch) == 0 {
		return
	}
	err := w.failed()
	if err == nil && w.closed {
		err = errClosed()
	}
	if err != nil {
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
	w.watch()
	w.publish(batch, answers)
	for i, r := range batch {
		r.note = w.note
		r.answer <- answers[i]
	}
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

// untidy reports work that nobody who waits for an answer should do.
func (w *writer) untidy() bool {
	return w.failed() == nil && (w.beside != w.signed || w.wal >= walPages)
}

// tidy does that work.
func (w *writer) tidy(ctx context.Context) {
	if w.failed() != nil {
		return
	}
	if w.beside != w.signed {
		w.beside = w.signed
		if err := writeFile(notePath(w.dir), w.note, w.durable); err != nil {
			w.log.Warn("the newest checkpoint is in the record but not beside it", "error", err)
		}
	}
	if w.wal >= walPages {
		w.moveLog(ctx)
	}
	if len(w.chains) > maxChains {
		clear(w.chains)
	}
}

// watch starts the clock of the first event that no checkpoint covers, and stops it behind one.
func (w *writer) watch() {
	unsigned := w.tree.Size() > w.signed
	switch {
	case unsigned && !w.armed:
		w.timer.Reset(w.every)
	case !unsigned && w.armed:
		w.timer.Stop()
	}
	w.armed = unsigned
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
	case frames > moved:
		w.wal = walPages / 2 // a reader is in the way; try again after as much again
		w.log.Debug("a reader keeps the write-ahead log", "frames", frames, "moved", moved)
	default:
		w.wal = 0
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

// update changes the named columns of one row. What does not change is not written: a column that is
// set is a column whose indexes are written.
type update struct {
	columns []string
	values  []any
}

func (u *update) set(column string, value any) {
	u.columns = append(u.columns, column+" = ?")
	u.values = append(u.values, value)
}

func (u *update) run(ctx context.Context, w *writer, table, id string) error {
	return w.exec(ctx, "UPDATE "+table+" SET "+strings.Join(u.columns, ", ")+" WHERE id = ?", append(u.values, id)...)
}
