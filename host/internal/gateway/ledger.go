package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"time"
)

// Bounds of what is told and counted for one gateway.
const (
	maxTold     = 2000 // calls told one by one
	maxRefusals = 100  // of them refused ones
	maxRows     = 32   // models and reasons in the totals
	maxLookUps  = 5000 // calls that no budget counts
)

// Budget bounds what the calls of a gateway take together; 0 is no bound.
type Budget struct {
	Calls, InputTokens, OutputTokens int64
}

// Excess is a bound of the budget that is used up.
type Excess struct {
	Limit     string // "calls", "input_tokens" or "output_tokens"
	Used, Cap int64
}

// Call is one call and what became of it.
type Call struct {
	Model    string // as the answer names it, else as the caller did
	LookUp   bool   // no model answered: tokens were counted, models listed
	Refused  string // why it was not forwarded; "" where it was
	Failed   string // what became of it instead of an answer; "" where there was one
	Status   int    // of the answer to the caller; 0 where there was none
	Digest   string // "sha256:..." of the body
	Usage    Usage
	Up, Down int64         // bytes of the bodies
	First    time.Duration // until the answer's head
	Duration time.Duration
}

// Totals is what a gateway did until now.
type Totals struct {
	Calls, LookUps, Refused int64
	Usage                   Usage
	Up, Down                int64
	Models                  []Row  // most called first
	Refusals                []Row  // by reason
	Others                  int64  // calls and refusals beyond the bound of rows
	Untold                  int64  // never told to OnCall
	Digest                  string // over the digests of all forwarded bodies, each added to the one before
}

// Row counts what has the same name.
type Row struct {
	Name  string `json:"name"`
	Calls int64  `json:"calls"`
	Usage Usage  `json:"-"`
}

// ledger tells calls, counts them and knows what is left of the budget.
type ledger struct {
	budget   Budget
	tell     func(Call)
	onExcess func(Excess)
	exceeded sync.Once

	mu       sync.Mutex
	begun    int64 // calls that were let through
	totals   Totals
	models   map[string]*Row
	refusals map[string]*Row
	told     int64
	chain    [sha256.Size]byte
}

func newLedger(b Budget, tell func(Call), onExcess func(Excess)) *ledger {
	return &ledger{budget: b, tell: tell, onExcess: onExcess, models: map[string]*Row{}, refusals: map[string]*Row{}}
}

// excess is the bound that leaves no room for another call, nil while there is room.
func (l *ledger) excess() *Excess {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range []Excess{
		{"calls", l.begun, l.budget.Calls},
		{"input_tokens", l.totals.Usage.Input, l.budget.InputTokens},
		{"output_tokens", l.totals.Usage.Output, l.budget.OutputTokens},
	} {
		if x.Cap > 0 && x.Used >= x.Cap {
			return &x
		}
	}
	return nil
}

// near reports whether tokens of the size that are under way could use up the budget.
func (l *ledger) near(underWay int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.budget
	return b.InputTokens > 0 && l.totals.Usage.Input+underWay >= b.InputTokens
}

// begin counts a call that is let through.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun++
}

// exceed tells, once, that a call was refused for the budget.
func (l *ledger) exceed(x Excess) {
	l.exceeded.Do(func() {
		if l.onExcess != nil {
			l.onExcess(x)
		}
	})
}

// add counts a call that ended and tells it while the bound allows; one call of tell at a time.
func (l *ledger) add(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &l.totals
	t.Up, t.Down = t.Up+c.Up, t.Down+c.Down
	switch {
	case c.Refused != "":
		t.Refused++
		l.row(l.refusals, c.Refused, Usage{})
	case c.LookUp:
		t.LookUps++
		l.link(c.Digest)
	default:
		t.Calls++
		t.Usage.add(c.Usage)
		l.row(l.models, c.Model, c.Usage)
		l.link(c.Digest)
	}
	if l.told++; l.told > maxTold || c.Refused != "" && t.Refused > maxRefusals {
		t.Untold++
		return
	}
	if l.tell != nil {
		l.tell(c)
	}
}

// link adds a digest to the chain, so that the last one stands for all and their order.
func (l *ledger) link(digest string) {
	if digest != "" {
		l.chain = sha256.Sum256(append(l.chain[:], digest...))
	}
}

func (l *ledger) row(rows map[string]*Row, name string, u Usage) {
	r := rows[name]
	if r == nil {
		if len(rows) >= maxRows {
			l.totals.Others++
			return
		}
		r = &Row{Name: name}
		rows[name] = r
	}
	r.Calls++
	r.Usage.add(u)
}

func (u *Usage) add(v Usage) {
	u.Input += v.Input
	u.CachedRead += v.CachedRead
	u.CachedWrite += v.CachedWrite
	u.Output += v.Output
	u.Reasoning += v.Reasoning
	u.Estimated = u.Estimated || v.Estimated
}

func (l *ledger) sum() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals
	t.Models, t.Refusals = sorted(l.models), sorted(l.refusals)
	if t.Calls+t.LookUps > 0 {
		t.Digest = "sha256:" + hex.EncodeToString(l.chain[:])
	}
	return t
}

func sorted(rows map[string]*Row) []Row {
	out := []Row{}
	for _, r := range rows {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Row) int { return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name)) })
	return out
}
