package audit

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// maxProblems bounds a verification: what is broken more often than this is broken.
const maxProblems = 100

// told is how many events lie between two reports of progress.
const told = 1024

// purgeKind is the event that accounts for deleted bodies.
const purgeKind = "retention.purged"

// Row is one event as it is stored.
type Row struct {
	Envelope
	Leaf Hash   // as stored
	Salt []byte // nil when the body was purged
	Body []byte
}

// Node is one stored hash of the tree.
type Node struct {
	Ix   int64
	Hash Hash
}

// Stored is a checkpoint as it is kept: Size and Root are what its row claims beside the note, Root nil
// where nothing is claimed.
type Stored struct {
	Size int64
	Root *Hash
	Note []byte
}

// Log is a whole log to verify. Rows come by Seq, Nodes by Ix, and each may end with an error.
type Log struct {
	Key         string // verifier key
	Rows        iter.Seq2[Row, error]
	Nodes       iter.Seq2[Node, error] // nil: none are stored, as in an export
	Checkpoints []Stored
}

// Verify recomputes every leaf, body digest, chain and tree hash of a log and holds them against what
// is stored and what was signed. It fails only when it cannot read; contradictions are Problems.
func Verify(ctx context.Context, l Log, progress func(done int64)) (Verification, error) {
	c := &checker{chains: map[string]link{}, missing: -1}
	if l.Nodes != nil {
		next, stop := iter.Pull2(l.Nodes)
		defer stop()
		c.node = next
	}
	c.v.Key = l.Key
	c.checkpoints(l)
	for row, err := range l.Rows {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return c.v, fmt.Errorf("read event %d: %w", c.v.Events, err)
		}
		if err := c.row(row); err != nil {
			return c.v, err
		}
		if progress != nil && c.v.Events%told == 0 {
			progress(c.v.Events)
		}
	}
	return c.finish()
}

// link is the end of a run's chain.
type link struct {
	next int64
	prev Hash
}

// checker is the state of one verification.
type checker struct {
	v       Verification
	tree    Tree
	torn    bool // events are missing: roots cannot be compared any more
	epoch   int64
	node    func() (Node, error, bool)
	chains  map[string]link
	missing int64 // first body that is gone without a purge on record so far
	signed  []Checkpoint
}

// problem notes the first contradiction of each event.
func (c *checker) problem(seq int64, what, format string, args ...any) {
	seen := slices.ContainsFunc(c.v.Problems, func(p Problem) bool { return p.Seq == seq })
	if !seen && len(c.v.Problems) < maxProblems {
		c.v.Problems = append(c.v.Problems, Problem{Seq: seq, What: what, Detail: fmt.Sprintf(format, args...)})
	}
}

// checkpoints opens every note; roots are compared when the tree has grown to their size.
func (c *checker) checkpoints(l Log) {
	for _, s := range l.Checkpoints {
		cp, err := OpenCheckpoint(s.Note, l.Key)
		switch {
		case err != nil:
			c.problem(s.Size, "a checkpoint's signature does not verify", "%v", err)
			continue
		case cp.Size != s.Size, s.Root != nil && cp.Root != *s.Root:
			c.problem(s.Size, "a checkpoint's row differs from its signed note", "signed size %d", cp.Size)
		}
		c.v.Origin = cp.Origin
		c.v.Signed = max(c.v.Signed, cp.Size)
		c.signed = append(c.signed, cp)
	}
	slices.SortStableFunc(c.signed, func(a, b Checkpoint) int { return int(a.Size - b.Size) })
	if len(c.signed) == 0 {
		c.problem(0, "no signed checkpoint", "nothing binds this log to its key")
	}
}

func (c *checker) row(r Row) error {
	c.order(r)
	leaf := LeafHash(r.Envelope.Leaf())
	if leaf != r.Leaf {
		c.problem(r.Seq, "the envelope does not match its leaf", "recomputed %s, stored %s", leaf, r.Leaf)
	}
	c.chain(r, leaf)
	c.body(r)
	c.v.Events++
	if err := c.grow(r.Seq, leaf); err != nil {
		return err
	}
	c.compareRoots()
	return nil
}

// order checks that no event is missing, doubled or out of place.
func (c *checker) order(r Row) {
	if want := c.v.Events; r.Seq != want && !c.torn {
		c.torn = true
		c.problem(want, "an event is missing or out of place", "event %d was expected, event %d was found", want, r.Seq)
	}
	if r.Epoch < c.epoch {
		c.problem(r.Seq, "the epoch goes back", "from %d to %d", c.epoch, r.Epoch)
	}
	c.epoch = r.Epoch
	if r.Schema != Schema {
		c.problem(r.Seq, "the envelope's schema is not known", "schema %d", r.Schema)
	}
}

func (c *checker) chain(r Row, leaf Hash) {
	if r.RunID == "" {
		return
	}
	at := c.chains[r.RunID]
	if r.RunIx != at.next || r.RunPrev != at.prev {
		c.problem(r.Seq, "the run's chain is broken", "run %s: link %d follows %d", r.RunID, r.RunIx, at.next-1)
	}
	c.chains[r.RunID] = link{next: r.RunIx + 1, prev: leaf}
}

func (c *checker) body(r Row) {
	if r.Kind == purgeKind {
		c.missing = -1
	}
	switch {
	case r.Salt == nil:
		c.v.Purged++
		if c.missing < 0 {
			c.missing = r.Seq
		}
	case BodyDigest(r.Salt, r.Body) != r.BodyDigest:
		c.problem(r.Seq, "the body does not match its digest", "event %d", r.Seq)
	default:
		c.v.Bodies++
	}
}

// grow adds the recomputed leaf and compares the hashes it makes with the stored ones.
func (c *checker) grow(seq int64, leaf Hash) error {
	ix := c.tree.NextNode()
	made := c.tree.Append(leaf)
	if c.node == nil {
		return nil
	}
	for i, h := range made {
		n, err, ok := c.node()
		switch {
		case err != nil:
			return fmt.Errorf("read tree node %d: %w", ix, err)
		case !ok:
			c.problem(seq, "a tree node is missing", "node %d", ix+int64(i))
			return nil
		case !c.torn && (n.Ix != ix+int64(i) || n.Hash != h):
			c.problem(seq, "a tree node is wrong", "node %d, stored as %d", ix+int64(i), n.Ix)
		}
	}
	return nil
}

// compareRoots holds the tree against the checkpoints of exactly its size.
func (c *checker) compareRoots() {
	for len(c.signed) > 0 && c.signed[0].Size <= c.tree.Size() {
		cp := c.signed[0]
		c.signed = c.signed[1:]
		if c.torn || cp.Size != c.tree.Size() {
			continue
		}
		if cp.Root != c.tree.Root() {
			c.problem(cp.Size-1, "the events differ from what was signed",
				"the checkpoint of %d events has another root; an event before it was changed", cp.Size)
			continue
		}
		c.v.Checkpoints++
	}
}

func (c *checker) finish() (Verification, error) {
	if len(c.signed) > 0 {
		c.problem(c.v.Events, "the log is shorter than a signed checkpoint",
			"%d events are signed, %d are there", c.signed[len(c.signed)-1].Size, c.v.Events)
	}
	if err := c.noMoreNodes(); err != nil {
		return c.v, err
	}
	if c.missing >= 0 {
		c.problem(c.missing, "a body is missing and no purge is recorded after it", "event %d", c.missing)
	}
	slices.SortStableFunc(c.v.Problems, func(a, b Problem) int { return int(a.Seq - b.Seq) })
	c.v.Runs = int64(len(c.chains))
	c.v.Root = c.tree.Root().String()
	return c.v, nil
}

// noMoreNodes looks for nodes behind the last event.
func (c *checker) noMoreNodes() error {
	if c.node == nil {
		return nil
	}
	_, err, ok := c.node()
	if err != nil {
		return fmt.Errorf("read tree nodes: %w", err)
	}
	if ok {
		c.problem(c.v.Events, "the tree has nodes without events", "after %d events", c.v.Events)
	}
	return nil
}
