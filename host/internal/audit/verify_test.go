package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/drawspan/drawspan/host/fault"
)

// book is a log held in memory.
type book struct {
	key    Key
	tree   Tree
	rows   []Row
	nodes  []Node
	notes  []Stored
	chains map[string]link
}

func newBook(t testing.TB) *book { return &book{key: newKey(t), chains: map[string]link{}} }

func (b *book) add(runID, kind string) {
	seq := int64(len(b.rows))
	body, salt := fmt.Appendf(nil, `{"n":%d}`, seq), NewSalt()
	at := b.chains[runID]
	e := Envelope{Schema: Schema, Epoch: 1, Seq: seq, At: 1e18 + seq, Boot: "b", Kind: kind, RunID: runID, BodyDigest: BodyDigest(salt, body)}
	if runID != "" {
		e.RunIx, e.RunPrev = at.next, at.prev
	}
	leaf := LeafHash(e.Leaf())
	b.chains[runID] = link{at.next + 1, leaf}
	b.rows = append(b.rows, Row{Envelope: e, Leaf: leaf, Salt: salt, Body: body})
	ix := b.tree.NextNode()
	for i, h := range b.tree.Append(leaf) {
		b.nodes = append(b.nodes, Node{ix + int64(i), h})
	}
}

func (b *book) sign(t testing.TB) {
	msg, err := b.key.Sign(b.tree)
	if err != nil {
		t.Fatal(err)
	}
	root := b.tree.Root()
	b.notes = append(b.notes, Stored{Size: b.tree.Size(), Root: &root, Note: msg})
}

func each[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (b *book) verify(t testing.TB) Verification {
	t.Helper()
	v, err := Verify(context.Background(), Log{Key: b.key.Verifier(), Rows: each(b.rows), Nodes: each(b.nodes), Checkpoints: b.notes}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// filled has 40 events of three runs and of none, and checkpoints of 10, 25 and 40 events.
func filled(t testing.TB) *book {
	b := newBook(t)
	for i := range 40 {
		b.add([]string{"", "run_a", "run_b", "run_c"}[i%4], "x.y")
		if i == 9 || i == 24 || i == 39 {
			b.sign(t)
		}
	}
	return b
}

func TestAnUntouchedLogVerifies(t *testing.T) {
	b := filled(t)
	v := b.verify(t)
	if !v.OK() || v.Err() != nil || v.Events != 40 || v.Runs != 3 || v.Bodies != 40 || v.Checkpoints != 3 || v.Signed != 40 {
		t.Fatalf("got %+v", v)
	}
	if v.Root != b.tree.Root().String() || v.Origin != b.key.Name() {
		t.Errorf("root %s, origin %s", v.Root, v.Origin)
	}
}

// forge changes an event and recomputes everything that can be recomputed without the key.
func (b *book) forge(seq int, change func(*Row)) {
	rows := b.rows
	change(&rows[seq])
	b.rows, b.nodes, b.tree, b.chains = nil, nil, Tree{}, map[string]link{}
	for _, r := range rows {
		at := b.chains[r.RunID]
		if r.RunID != "" {
			r.RunIx, r.RunPrev = at.next, at.prev
		}
		r.BodyDigest = BodyDigest(r.Salt, r.Body)
		r.Leaf = LeafHash(r.Envelope.Leaf())
		b.chains[r.RunID] = link{at.next + 1, r.Leaf}
		b.rows = append(b.rows, r)
		ix := b.tree.NextNode()
		for i, h := range b.tree.Append(r.Leaf) {
			b.nodes = append(b.nodes, Node{ix + int64(i), h})
		}
	}
}

func TestS41_EveryKindOfTamperingIsNamed(t *testing.T) {
	for name, row := range map[string]struct {
		tamper func(t *testing.T, b *book)
		seq    int64
		what   string
	}{
		"body edited":          {func(_ *testing.T, b *book) { b.rows[7].Body = []byte(`{"n":70}`) }, 7, "body does not match"},
		"salt edited":          {func(_ *testing.T, b *book) { b.rows[7].Salt = NewSalt() }, 7, "body does not match"},
		"envelope edited":      {func(_ *testing.T, b *book) { b.rows[7].Kind = "x.z" }, 7, "does not match its leaf"},
		"leaf edited":          {func(_ *testing.T, b *book) { b.rows[7].Leaf[0] ^= 1 }, 7, "does not match its leaf"},
		"node edited":          {func(_ *testing.T, b *book) { b.nodes[14].Hash[0] ^= 1 }, 7, "tree node is wrong"},
		"node missing":         {func(_ *testing.T, b *book) { b.nodes = slices.Delete(b.nodes, 14, 15) }, 7, "tree node is wrong"},
		"last node missing":    {func(_ *testing.T, b *book) { b.nodes = b.nodes[:len(b.nodes)-1] }, 39, "tree node is missing"},
		"node too many":        {func(_ *testing.T, b *book) { b.nodes = append(b.nodes, Node{Ix: 99}) }, 40, "nodes without events"},
		"event deleted":        {func(_ *testing.T, b *book) { b.rows = slices.Delete(b.rows, 7, 8) }, 7, "missing or out of place"},
		"first deleted":        {func(_ *testing.T, b *book) { b.rows = b.rows[1:] }, 0, "missing or out of place"},
		"events swapped":       {func(_ *testing.T, b *book) { b.rows[7], b.rows[8] = b.rows[8], b.rows[7] }, 7, "missing or out of place"},
		"event doubled":        {func(_ *testing.T, b *book) { b.rows = slices.Insert(b.rows, 8, b.rows[7]) }, 8, "missing or out of place"},
		"contents swapped":     {swapContents, 7, "does not match its leaf"},
		"tail cut":             {func(_ *testing.T, b *book) { b.rows = b.rows[:30] }, 30, "shorter than a signed checkpoint"},
		"tail and nodes cut":   {func(_ *testing.T, b *book) { b.nodes, b.rows = b.nodes[:tlogNodes(30)], b.rows[:30] }, 30, "shorter than a signed checkpoint"},
		"all recomputed":       {func(_ *testing.T, b *book) { b.forge(7, func(r *Row) { r.Kind = "x.z" }) }, 9, "differ from what was signed"},
		"late one recomputed":  {func(_ *testing.T, b *book) { b.forge(30, func(r *Row) { r.Body = []byte("{}") }) }, 39, "differ from what was signed"},
		"run link edited":      {func(_ *testing.T, b *book) { b.forgeLink(7) }, 7, "chain is broken"},
		"note edited":          {func(_ *testing.T, b *book) { b.notes[1].Note[20] ^= 1 }, 25, "signature does not verify"},
		"note of another key":  {func(t *testing.T, b *book) { b.key = newKey(t) }, 0, "no signed checkpoint"},
		"note's row edited":    {func(_ *testing.T, b *book) { b.notes[1].Size = 24 }, 24, "differs from its signed note"},
		"note's root edited":   {func(_ *testing.T, b *book) { b.notes[1].Root = new(Hash) }, 25, "differs from its signed note"},
		"notes removed":        {func(_ *testing.T, b *book) { b.notes = nil }, 0, "no signed checkpoint"},
		"body removed":         {func(_ *testing.T, b *book) { b.rows[7].Salt, b.rows[7].Body = nil, nil }, 7, "no purge is recorded"},
		"epoch goes back":      {func(_ *testing.T, b *book) { b.forge(20, func(r *Row) { r.Epoch = 2 }) }, 21, "epoch goes back"},
		"schema from tomorrow": {func(_ *testing.T, b *book) { b.forge(39, func(r *Row) { r.Schema = 2 }) }, 39, "schema is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			b := filled(t)
			row.tamper(t, b)
			v := b.verify(t)
			hit := slices.ContainsFunc(v.Problems, func(p Problem) bool {
				return p.Seq == row.seq && strings.Contains(p.What, row.what)
			})
			if !hit {
				t.Errorf("want event %d %q, got %+v", row.seq, row.what, v.Problems)
			}
			if !fault.Is(v.Err(), fault.AuditFailed) {
				t.Errorf("error %v", v.Err())
			}
		})
	}
}

func swapContents(_ *testing.T, b *book) {
	b.rows[7], b.rows[11] = b.rows[11], b.rows[7]
	b.rows[7].Seq, b.rows[11].Seq = 7, 11
}

func tlogNodes(events int64) int64 {
	var t Tree
	for range events {
		t.Append(Hash{})
	}
	return t.NextNode()
}

// forgeLink gives an event another place in its run, with a leaf that agrees.
func (b *book) forgeLink(seq int) {
	r := &b.rows[seq]
	r.RunIx++
	r.Leaf = LeafHash(r.Envelope.Leaf())
}

func TestPurgedBodiesVerifyOnceAPurgeIsOnRecord(t *testing.T) {
	b := filled(t)
	b.rows[7].Salt, b.rows[7].Body = nil, nil
	b.rows[9].Salt, b.rows[9].Body = nil, nil
	b.add("", purgeKind)
	if v := b.verify(t); !v.OK() || v.Purged != 2 || v.Bodies != 39 {
		t.Fatalf("got %+v", v)
	}
	b.rows[40].Salt, b.rows[40].Body = nil, nil // the purge's own body has no purge after it
	if v := b.verify(t); v.OK() || v.Problems[0].Seq != 40 {
		t.Fatalf("got %+v", v.Problems)
	}
}

func TestAReadErrorIsNotAContradiction(t *testing.T) {
	boom := errors.New("boom")
	broken := func(yield func(Row, error) bool) { yield(Row{}, boom) }
	b := filled(t)
	if _, err := Verify(context.Background(), Log{Key: b.key.Verifier(), Rows: broken, Nodes: each(b.nodes)}, nil); !errors.Is(err, boom) {
		t.Errorf("rows: %v", err)
	}
	brokenNodes := func(yield func(Node, error) bool) { yield(Node{}, boom) }
	if _, err := Verify(context.Background(), Log{Key: b.key.Verifier(), Rows: each(b.rows), Nodes: brokenNodes}, nil); !errors.Is(err, boom) {
		t.Errorf("nodes: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Verify(ctx, Log{Key: b.key.Verifier(), Rows: each(b.rows), Nodes: each(b.nodes)}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestProblemsAreBoundedAndProgressIsTold(t *testing.T) {
	b := newBook(t)
	for range 5000 {
		b.add("", "x.y")
	}
	b.sign(t)
	for i := range b.rows {
		b.rows[i].Body = []byte("{}")
	}
	var told []int64
	v, err := Verify(context.Background(), Log{Key: b.key.Verifier(), Rows: each(b.rows), Nodes: each(b.nodes), Checkpoints: b.notes},
		func(done int64) { told = append(told, done) })
	if err != nil || len(v.Problems) != maxProblems || !slices.Equal(told, []int64{1024, 2048, 3072, 4096}) {
		t.Errorf("%d problems, progress %v, %v", len(v.Problems), told, err)
	}
}
