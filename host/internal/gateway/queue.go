package gateway

import (
	"context"
	"net/http"
	"sync"
)

// queue lets calls through: so many at once, with so many bytes of bodies, and near the end of the budget
// one after the other, so that each is judged by what the ones before it took.
type queue struct {
	ledger *ledger

	mu      sync.Mutex
	changed chan struct{} // closed and made anew whenever a call leaves
	calls   int
	held    int64 // bytes of bodies
	ahead   int64 // estimated tokens of the calls under way
	lookUps int64
}

func newQueue(l *ledger) *queue { return &queue{ledger: l, changed: make(chan struct{})} }

// enter waits for room for a body of that size. The one that it lets in must leave.
func (q *queue) enter(ctx context.Context, size int64) *refusal {
	return q.wait(ctx, func() bool {
		if q.calls >= maxInFlight || q.held+size > maxHeld {
			return false
		}
		q.calls++
		q.held += size
		return true
	})
}

func (q *queue) leave(size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls--
	q.held -= size
	q.wake()
}

func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// begin lets a call to a model through, or refuses it for the budget. The one that it lets through must end.
func (q *queue) begin(ctx context.Context, tokens int64) *refusal {
	var over *Excess
	no := q.wait(ctx, func() bool {
		if over = q.ledger.excess(); over != nil {
			return true
		}
		if q.ahead > 0 && q.ledger.near(q.ahead+tokens) {
			return false
		}
		q.ahead += tokens
		q.ledger.begin()
		return true
	})
	if over == nil {
		return no
	}
	q.ledger.exceed(*over)
	return refuse(http.StatusBadRequest, "budget", "this attempt's budget of %d %s is used up; no further call is forwarded, and repeating it is of no use", over.Cap, over.Limit)
}

func (q *queue) end(tokens int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ahead -= tokens
	q.wake()
}

// look counts a call that no budget counts.
func (q *queue) look() *refusal {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lookUps >= maxLookUps {
		return refuse(http.StatusBadRequest, "look_ups", "this attempt has made %d calls for counts and lists, which is all that there are", q.lookUps)
	}
	q.lookUps++
	return nil
}

// wait tries until it succeeds.
func (q *queue) wait(ctx context.Context, try func() bool) *refusal {
	ctx, done := context.WithTimeout(ctx, turnTime)
	defer done()
	for {
		q.mu.Lock()
		ok, changed := try(), q.changed
		q.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return refuse(http.StatusTooManyRequests, "busy", "there are too many calls at once")
		}
	}
}
