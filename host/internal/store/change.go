package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/audit"
	"github.com/drawspan/drawspan/host/internal/work"
)

// maxKey bounds an idempotency key.
const maxKey = 128

// change is one request being applied.
type change struct {
	w      *writer
	now    time.Time
	events []work.Event
	runs   []string // whose chains it moved
	sign   bool     // a checkpoint belongs behind it
}

func (c *change) applyAll(ctx context.Context, r *request) error {
	for _, m := range r.mutations {
		if err := c.apply(ctx, m); err != nil {
			return err
		}
	}
	for _, f := range r.facts {
		if err := c.note(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) apply(ctx context.Context, m work.Mutation) error {
	switch m := m.(type) {
	case work.OpenRun:
		return c.openRun(ctx, m)
	case work.MoveRun:
		return c.moveRun(ctx, m)
	case work.DispatchStep:
		return c.dispatchStep(ctx, m)
	case work.MoveStep:
		return c.moveStep(ctx, m)
	case work.CreateAttempt:
		return c.createAttempt(ctx, m)
	case work.MoveAttempt:
		return c.moveAttempt(ctx, m)
	case work.KeepArtifact:
		return c.keepArtifact(ctx, m)
	case work.RecordValidation:
		return c.recordValidation(ctx, m)
	case work.OpenGate:
		return c.openGate(ctx, m)
	case work.DecideGate:
		return c.decideGate(ctx, m)
	case work.OpenApproval:
		return c.openApproval(ctx, m)
	case work.DecideApproval:
		return c.decideApproval(ctx, m)
	case work.Fact:
		return c.fact(ctx, m)
	}
	return fmt.Errorf("mutation %T is not known", m)
}

// entry is an event before it has its place in the log.
type entry struct {
	kind      string
	actor     work.Actor
	at        time.Time
	workspace string
	runID     string
	stepID    string
	attemptID string
	body      []byte // canonical
}

// log appends an event: its row, its body, its tree nodes.
func (c *change) log(ctx context.Context, e entry) error {
	seq := c.w.tree.Size()
	salt := audit.NewSalt()
	env := audit.Envelope{
		Schema: audit.Schema, Epoch: c.w.epoch, Seq: seq, At: e.at.UnixNano(), Boot: c.w.boot, Kind: e.kind, Actor: c.actor(e.actor),
		Workspace: e.workspace, RunID: e.runID, StepID: e.stepID, AttemptID: e.attemptID, BodyDigest: audit.BodyDigest(salt, e.body),
	}
	var ix, prev any
	if e.runID != "" {
		end, err := c.chain(ctx, e.runID)
		if err != nil {
			return err
		}
		env.RunIx, env.RunPrev = end.next, end.prev
		ix, prev = end.next, end.prev[:]
	}
	leaf := audit.LeafHash(env.Leaf())
	err := c.w.exec(ctx, insertEvent, seq, env.Schema, env.Epoch, env.At, env.Boot, env.Kind, env.Actor.Kind, env.Actor.ID, null(e.workspace),
		null(e.runID), null(e.stepID), null(e.attemptID), ix, prev, env.BodyDigest[:], leaf[:])
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if err := c.w.exec(ctx, insertBody, seq, salt, string(e.body)); err != nil {
		return fmt.Errorf("write body: %w", err)
	}
	if err := c.grow(ctx, leaf); err != nil {
		return err
	}
	if e.runID != "" {
		c.w.chains[e.runID] = link{next: env.RunIx + 1, prev: leaf}
		c.runs = append(c.runs, e.runID)
	}
	c.events = append(c.events, work.Event{
		Epoch: env.Epoch, Seq: seq, At: time.Unix(0, env.At).UTC(), Kind: e.kind, Actor: env.Actor, Workspace: e.workspace,
		RunID: e.runID, StepID: e.stepID, AttemptID: e.attemptID, Body: e.body,
	})
	return nil
}

const (
	insertEvent = `INSERT INTO event (seq, schema, epoch, at, boot_id, kind, actor_kind, actor_id, workspace, run_id, step_id, attempt_id,
		run_ix, run_prev, body_digest, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertBody = `INSERT INTO event_body (seq, salt, json) VALUES (?, ?, ?)`
	insertNode = `INSERT INTO node (ix, hash) VALUES (?, ?)`
)

// grow adds a leaf to the tree and stores the hashes that it makes, row by row: for several rows at once
// SQLite would build a temporary table, because of the trigger.
func (c *change) grow(ctx context.Context, leaf audit.Hash) error {
	ix := c.w.tree.NextNode()
	for i, h := range c.w.tree.Append(leaf) {
		if err := c.w.exec(ctx, insertNode, ix+int64(i), h[:]); err != nil {
			return fmt.Errorf("write tree node: %w", err)
		}
	}
	return nil
}

// chain is where the run's next event goes.
func (c *change) chain(ctx context.Context, runID string) (link, error) {
	if end, ok := c.w.chains[runID]; ok {
		return end, nil
	}
	var ix int64
	var leaf []byte
	err := c.w.row(ctx, "SELECT run_ix, leaf FROM event WHERE run_id = ? ORDER BY run_ix DESC LIMIT 1", []any{runID}, &ix, &leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return link{}, nil
	} else if err != nil {
		return link{}, fmt.Errorf("read end of run's chain: %w", err)
	}
	return link{next: ix + 1, prev: audit.Hash(leaf)}, nil
}

// sign writes a checkpoint of the log as it is now.
func (w *writer) sign(ctx context.Context) error {
	if w.signed == w.tree.Size() {
		return nil
	}
	note, err := w.key.Sign(w.tree)
	if err != nil {
		return err
	}
	root := w.tree.Root()
	err = w.exec(ctx, "INSERT INTO checkpoint (size, at, root, note) VALUES (?, ?, ?, ?)", w.tree.Size(), w.now().UnixNano(), root[:], note)
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	w.signed, w.note = w.tree.Size(), note
	return nil
}

// actor is who did it; what nobody claims, the daemon did.
func (c *change) actor(a work.Actor) work.Actor {
	if a.Kind == "" {
		return work.Actor{Kind: "daemon", ID: c.w.instance}
	}
	return a
}

// The times that fit into nanoseconds and into RFC 3339.
const minYear, maxYear = 1678, 2261

// stamp is the time of an event: the caller's or now.
func (c *change) stamp(at time.Time) (time.Time, error) {
	if at.IsZero() {
		at = c.now
	}
	at = at.UTC().Round(0)
	if at.Year() < minYear || at.Year() > maxYear {
		return at, fault.New(fault.InvalidRequest, "the year %d cannot be recorded", at.Year())
	}
	return at, nil
}

// known answers with *work.Replayed when the key was used with the same request, and with a fault when it
// was used with another.
func known(key work.Key, request, objectID string) error {
	if request != key.Request {
		return fault.New(fault.IdempotencyConflict, "this key was used before with another request").At(objectID).
			Fix("send a new key with a new request")
	}
	return &work.Replayed{ID: objectID}
}

const selectKey = "SELECT request, object_id FROM idempotency WHERE actor = ? AND workspace = ? AND key = ?"

// claim takes the key for an object, unless it was used before. A nil key claims nothing.
func (c *change) claim(ctx context.Context, key *work.Key, objectID string) error {
	if key == nil {
		return nil
	}
	if key.Value == "" || len(key.Value) > maxKey || key.Actor == "" || key.Request == "" {
		return fault.New(fault.InvalidRequest, "an idempotency key has 1 to %d bytes, an actor and a request digest", maxKey)
	}
	var request, first string
	err := c.w.row(ctx, selectKey, []any{key.Actor, key.Workspace, key.Value}, &request, &first)
	if err == nil {
		return known(*key, request, first)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read idempotency key: %w", err)
	}
	err = c.w.exec(ctx, "INSERT INTO idempotency (actor, workspace, key, request, object_id, seq) VALUES (?, ?, ?, ?, ?, ?)",
		key.Actor, key.Workspace, key.Value, key.Request, objectID, c.w.tree.Size())
	if err != nil {
		return fmt.Errorf("write idempotency key: %w", err)
	}
	return nil
}

// encode makes the canonical body of v. What JSON cannot say is replaced in v too (bytes that are not
// UTF-8 become U+FFFD), so that the state is what the log says. A number that canonical form writes as a
// string is refused: it could not be read back.
func encode[T any](v *T) ([]byte, error) {
	body, err := audit.Canonical(v)
	if err != nil {
		return nil, fault.Wrap(err, fault.InvalidRequest, "the change cannot be written as JSON")
	}
	if bytes.Contains(body, []byte("\ufffd")) || quotedNumber.Match(body) {
		var clean T
		if err := json.Unmarshal(body, &clean); err != nil {
			return nil, fault.Wrap(err, fault.InvalidRequest, "the change holds a number that is too large to record")
		}
		*v = clean
	}
	return body, nil
}

// quotedNumber is what a number beyond 2^53 looks like in a body.
var quotedNumber = regexp.MustCompile(`"-?[0-9]{16,}"`)

// transition is a move that somebody asks for.
type transition struct {
	what          string
	seen, version int64 // the caller's and the stored one
	from, to      string
	allowed       bool // by the table of states
}

// fault says why a move is refused, nil when it is not.
func (t transition) fault() error {
	if t.seen != t.version {
		return fault.New(fault.Stale, "%s has moved on: version %d was seen, it is at %d", t.what, t.seen, t.version).At(t.what).
			Fix("read it again and decide anew")
	}
	if !t.allowed {
		return fault.New(fault.Conflict, "%s is %s and cannot become %s", t.what, t.from, t.to).At(t.what)
	}
	return nil
}

// foreign refuses an object that names another parent than its own.
func foreign(what, given, own string) error {
	if given != "" && given != own {
		return fault.New(fault.InvalidRequest, "the %s %s does not belong to it", what, given)
	}
	return nil
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// ns keeps a time as nanoseconds, the zero time as 0.
func ns(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// from reads what ns kept.
func from(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
