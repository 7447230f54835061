package egress

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Bounds of what is told and counted for one proxy.
const (
	maxTold     = 1000 // requests told one by one
	maxDistinct = 100  // rows of the totals
	// Refusals have at most half of each, so that they crowd out nothing that left the sandbox.
	maxToldRefusals     = maxTold / 2
	maxDistinctRefusals = maxDistinct / 2
)

// Request is one request of the sandbox and what became of it.
type Request struct {
	At       time.Time
	Method   string // printable and bounded, as Host
	Host     string // canonical where it could be read, else what was written
	Port     uint16 // 0 where none could be read
	Address  string // the vetted address that was dialled; "" where none was
	Allowed  bool   // the policy let it through; it may still have failed, then Reason says how
	Reason   string // why it was refused or failed; "" for a request that was served
	Up, Down int64  // bytes sent to and received from Address
	Duration time.Duration
}

// Totals is what a proxy did until now.
type Totals struct {
	Requests, Refused int64
	Up, Down          int64
	Untold            int64 // requests beyond the bound: in Rows, never told to OnRequest
	Rows              []Row // allowed ones first, then most requested first
	Others            int64 // requests beyond the bound of rows
}

// Row counts the requests that had the same target and end.
type Row struct {
	Host     string
	Port     uint16
	Allowed  bool
	Reason   string
	Requests int64
	Up, Down int64
}

// ledger tells requests and counts them.
type ledger struct {
	tell func(Request)

	mu      sync.Mutex
	totals  Totals
	told    int64
	rows    map[Row]*Row // by Row without its counts
	refused int          // of the rows
}

func newLedger(tell func(Request)) *ledger { return &ledger{tell: tell, rows: map[Row]*Row{}} }

// add counts r and tells it while the bound allows; one call of tell at a time.
func (l *ledger) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &l.totals
	t.Requests++
	t.Up += r.Up
	t.Down += r.Down
	if !r.Allowed {
		t.Refused++
	}
	key := Row{Host: r.Host, Port: r.Port, Allowed: r.Allowed, Reason: r.Reason}
	row := l.rows[key]
	switch {
	case row == nil && (len(l.rows) >= maxDistinct || !r.Allowed && l.refused >= maxDistinctRefusals):
		t.Others++
	case row == nil:
		row = &key
		l.rows[key] = row
		if !r.Allowed {
			l.refused++
		}
		fallthrough
	default:
		row.Requests++
		row.Up += r.Up
		row.Down += r.Down
	}
	if l.told == maxTold || !r.Allowed && t.Refused > maxToldRefusals {
		t.Untold++
		return
	}
	l.told++
	if l.tell != nil {
		l.tell(r)
	}
}

func (l *ledger) sum() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals
	for _, row := range l.rows {
		t.Rows = append(t.Rows, *row)
	}
	slices.SortFunc(t.Rows, func(a, b Row) int {
		return cmp.Or(allowedFirst(a, b), cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Reason, b.Reason))
	})
	return t
}

func allowedFirst(a, b Row) int {
	switch {
	case a.Allowed == b.Allowed:
		return 0
	case a.Allowed:
		return -1
	}
	return 1
}
