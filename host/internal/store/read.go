package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/ident"
	"github.com/drawspan/drawspan/host/internal/work"
)

// query is a statement with how its rows are read. scan also says how large a row is.
type query[T any] struct {
	what string // for errors
	scan func(scanner) (T, int, error)
	text string
	args []any
}

// one reads the only row.
func (q query[T]) one(ctx context.Context, db queryer) (T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	item, _, err := q.scan(db.QueryRowContext(ctx, q.text, q.args...))
	if err != nil {
		return item, readFault(q.what, err)
	}
	return item, nil
}

// all reads every row of a query that is bounded by its subject.
func (q query[T]) all(ctx context.Context, db queryer) ([]T, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	rows, err := db.QueryContext(ctx, q.text, q.args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", q.what, err)
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	var items []T
	for rows.Next() {
		item, _, err := q.scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", q.what, err)
		}
		items = append(items, item)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", q.what, err)
	}
	return items, nil
}

// list is a query for a page.
type list[T any] struct {
	what   string // plural, for errors
	query  string // without conditions
	where  where
	order  string
	limit  int
	scan   func(scanner) (T, int, error)
	cursor func(T) string
}

func (l list[T]) read(ctx context.Context, db queryer) (Page[T], error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	limit := limitOf(l.limit)
	rows, err := db.QueryContext(ctx, l.query+l.where.String()+" ORDER BY "+l.order+" LIMIT ?", append(l.where.args, limit+1)...)
	items, more, err := collect(rows, err, limit, l.scan)
	if err != nil {
		return Page[T]{}, fmt.Errorf("read %s: %w", l.what, err)
	}
	page := Page[T]{Items: items}
	if more {
		page.Next = l.cursor(items[len(items)-1])
	}
	return page, nil
}

// byID orders by id, that is by age, and answers with the condition of the cursor.
func (l *list[T]) byID(newest bool) string {
	if newest {
		l.order = "id DESC"
		return "id < ?"
	}
	l.order = "id"
	return "id > ?"
}

// after adds the condition of a cursor: the id of the last row of the page before.
func (w *where) after(cursor string, prefix ident.Prefix, term string) error {
	if cursor == "" {
		return nil
	}
	if err := ident.Check(prefix, cursor); err != nil {
		return fault.Wrap(err, fault.InvalidRequest, "the cursor is not one of this list").At("cursor")
	}
	w.add(term, cursor)
	return nil
}

func scanRun(row scanner) (work.Run, int, error) {
	var r work.Run
	dest, done := runDest(&r)
	err := row.Scan(dest...)
	done()
	return r, len(r.Title), err
}

const selectRun = "SELECT " + runColumns + " FROM run"

// Run reads a run.
func (s *Store) Run(ctx context.Context, id string) (work.Run, error) {
	return query[work.Run]{"run " + id, scanRun, selectRun + " WHERE id = ?", []any{id}}.one(ctx, s.reads)
}

// Runs lists runs, newest first.
func (s *Store) Runs(ctx context.Context, f RunFilter) (Page[work.Run], error) {
	l := list[work.Run]{
		what: "runs", query: selectRun, order: "id DESC", limit: f.Limit, scan: scanRun, cursor: func(r work.Run) string { return r.ID },
	}
	l.where.equal("workspace", f.Workspace)
	l.where.equal("state", string(f.State))
	if err := l.where.after(f.Cursor, ident.Run, "id < ?"); err != nil {
		return Page[work.Run]{}, err
	}
	return l.read(ctx, s.reads)
}

func scanStep(row scanner) (work.Step, int, error) {
	var s work.Step
	var text, spec sql.NullString
	dest, done := stepDest(&s)
	if err := row.Scan(append(dest, &text, &spec)...); err != nil {
		return s, 0, err
	}
	done()
	err := optional(spec, &s.Spec)
	s.Spec.Text = text.String
	return s, len(text.String) + len(spec.String) + len(s.Reason), err
}

const selectStep = "SELECT " + stepColumns + ", " + specColumns + " FROM step"

// Step reads a step.
func (s *Store) Step(ctx context.Context, id string) (work.Step, error) {
	return query[work.Step]{"step " + id, scanStep, selectStep + " WHERE id = ?", []any{id}}.one(ctx, s.reads)
}

// Steps lists steps: those of a run in order of dispatch, those of all runs by age.
func (s *Store) Steps(ctx context.Context, f StepFilter) (Page[work.Step], error) {
	l := list[work.Step]{
		what: "steps", query: selectStep, limit: f.Limit, scan: scanStep, cursor: func(s work.Step) string { return s.ID },
	}
	after := l.byID(f.Newest)
	if f.RunID != "" {
		l.order, after = "ix", "ix > (SELECT ix FROM step WHERE id = ?)"
	}
	l.where.equal("run_id", f.RunID)
	l.where.equal("workspace", f.Workspace)
	l.where.equal("state", string(f.State))
	if err := l.where.after(f.Cursor, ident.Step, after); err != nil {
		return Page[work.Step]{}, err
	}
	return l.read(ctx, s.reads)
}

// UnsettledSteps reads all steps that are queued, active or held, by run and in order of dispatch.
func (s *Store) UnsettledSteps(ctx context.Context) ([]work.Step, error) {
	return query[work.Step]{"unsettled steps", scanStep, selectStep + " WHERE unsettled = 1 ORDER BY run_id, ix", nil}.all(ctx, s.reads)
}

// partColumns are the parts of an attempt in the order of partNames.
const partColumns = `coalesce((SELECT body FROM attempt_part WHERE attempt_id = id AND part = 'text'),
		(SELECT text FROM step_spec s WHERE s.step_id = attempt.step_id)),
	(SELECT body FROM attempt_part WHERE attempt_id = id AND part = 'plugin'),
	(SELECT body FROM attempt_part WHERE attempt_id = id AND part = 'enforced'),
	(SELECT body FROM attempt_part WHERE attempt_id = id AND part = 'claim'),
	(SELECT body FROM attempt_part WHERE attempt_id = id AND part = 'evidence'),
	(SELECT body FROM attempt_part WHERE attempt_id = id AND part = 'death')`

var partNames = [...]string{"text", "plugin", "enforced", "claim", "evidence", "death"}

func scanAttempt(row scanner) (work.Attempt, int, error) {
	var a work.Attempt
	var parts [len(partNames)]sql.NullString
	dest, done := attemptDest(&a)
	for i := range parts {
		dest = append(dest, &parts[i])
	}
	if err := row.Scan(dest...); err != nil {
		return a, 0, err
	}
	done()
	size := len(a.Message)
	var errs []error
	for i, p := range parts {
		if p.Valid {
			errs = append(errs, setPart(&a, partNames[i], []byte(p.String)))
			size += len(p.String)
		}
	}
	return a, size, errors.Join(errs...)
}

const selectAttempt = "SELECT " + attemptColumns + ", " + partColumns + " FROM attempt"

// Attempt reads an attempt.
func (s *Store) Attempt(ctx context.Context, id string) (work.Attempt, error) {
	return query[work.Attempt]{"attempt " + id, scanAttempt, selectAttempt + " WHERE id = ?", []any{id}}.one(ctx, s.reads)
}

// Attempts lists attempts by age.
func (s *Store) Attempts(ctx context.Context, f AttemptFilter) (Page[work.Attempt], error) {
	l := list[work.Attempt]{
		what: "attempts", query: selectAttempt, limit: f.Limit, scan: scanAttempt, cursor: func(a work.Attempt) string { return a.ID },
	}
	l.where.equal("run_id", f.RunID)
	l.where.equal("step_id", f.StepID)
	l.where.equal("workspace", f.Workspace)
	l.where.equal("state", string(f.State))
	l.where.equal("outcome", string(f.Outcome))
	if err := l.where.after(f.Cursor, ident.Attempt, l.byID(f.Newest)); err != nil {
		return Page[work.Attempt]{}, err
	}
	return l.read(ctx, s.reads)
}

// LiveAttempts reads all attempts that have not ended.
func (s *Store) LiveAttempts(ctx context.Context) ([]work.Attempt, error) {
	return query[work.Attempt]{"live attempts", scanAttempt, selectAttempt + " WHERE live = 1 ORDER BY id", nil}.all(ctx, s.reads)
}
