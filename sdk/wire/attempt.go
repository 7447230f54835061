package wire

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/drawspan/drawspan/sdk"
	pb "github.com/drawspan/drawspan/sdk/proto/v1alpha"
)

// attempt is the plugin's side of one attempt; it is the sdk.Host of the author's code.
type attempt struct {
	id     string
	cancel context.CancelCauseFunc
	feed   *feed[*pb.AttachReply]
	gone   chan struct{} // closed when the host has left the stream

	mu       sync.Mutex
	attached bool
	asked    int
	waiting  map[string]chan *pb.InputRequest
}

func newAttempt(id string, cancel context.CancelCauseFunc) *attempt {
	gone := make(chan struct{})
	return &attempt{
		id: id, cancel: cancel, feed: newFeed[*pb.AttachReply](gone), gone: gone,
		waiting: map[string]chan *pb.InputRequest{},
	}
}

// Emit sends one event; log bytes beyond one piece become several events.
func (a *attempt) Emit(ctx context.Context, e sdk.Event) error {
	if len(e.Data) > sdk.MaxData {
		return fmt.Errorf("emit %s event of %d bytes: %w", e.Type, len(e.Data), sdk.ErrTooLarge)
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Data = bytes.Clone(e.Data)
	for {
		piece := e
		piece.Log = bytes.Clone(e.Log[:min(len(e.Log), sdk.MaxLog)])
		e.Log = e.Log[len(piece.Log):]
		reply := &pb.AttachReply{Body: &pb.AttachReply_Event{Event: eventToProto(piece)}}
		if err := a.feed.put(ctx, reply); err != nil {
			return fmt.Errorf("emit %s event: %w", e.Type, err)
		}
		if len(e.Log) == 0 {
			return nil
		}
	}
}

// Ask opens a question and waits for the answer.
func (a *attempt) Ask(ctx context.Context, q sdk.Question) (sdk.Answer, error) {
	id, reply, err := a.expect(q.ID, "question")
	if err != nil {
		return sdk.Answer{}, err
	}
	defer a.forget(id)
	q.ID = id
	event, err := sdk.QuestionEvent(q)
	if err != nil {
		return sdk.Answer{}, err
	}
	in, err := a.await(ctx, event, reply)
	if err != nil {
		return sdk.Answer{}, fmt.Errorf("ask %s: %w", id, err)
	}
	return sdk.Answer{Text: in.GetAnswer().GetText(), Answered: in.GetAnswer().GetAnswered()}, nil
}

// Permit opens a permission request and waits for the decision.
func (a *attempt) Permit(ctx context.Context, p sdk.Permission) (sdk.Decision, error) {
	id, reply, err := a.expect(p.ID, "permission")
	if err != nil {
		return sdk.Decision{}, err
	}
	defer a.forget(id)
	p.ID = id
	event, err := sdk.PermissionEvent(p)
	if err != nil {
		return sdk.Decision{}, err
	}
	in, err := a.await(ctx, event, reply)
	if err != nil {
		return sdk.Decision{}, fmt.Errorf("request permission %s: %w", id, err)
	}
	return sdk.Decision{Allowed: in.GetDecision().GetAllowed(), Rule: in.GetDecision().GetRule()}, nil
}

func (a *attempt) await(ctx context.Context, e sdk.Event, reply <-chan *pb.InputRequest) (*pb.InputRequest, error) {
	if err := a.Emit(ctx, e); err != nil {
		return nil, err
	}
	select {
	case in := <-reply:
		return in, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-a.feed.over:
		return nil, errOver
	}
}

// expect opens an item; an empty id gets one.
func (a *attempt) expect(id, kind string) (string, chan *pb.InputRequest, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id == "" {
		a.asked++
		id = fmt.Sprintf("%s-%d", kind, a.asked)
	}
	id = clip(id, sdk.MaxName)
	if _, open := a.waiting[id]; open {
		return "", nil, fmt.Errorf("%s %q is open already", kind, id)
	}
	reply := make(chan *pb.InputRequest, 1)
	a.waiting[id] = reply
	return id, reply, nil
}

func (a *attempt) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

// deliver hands an input to who waits for it; the first one counts.
func (a *attempt) deliver(in *pb.InputRequest) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	reply, open := a.waiting[in.GetItemId()]
	if open {
		delete(a.waiting, in.GetItemId())
		reply <- in
	}
	return open
}

// attach claims the attempt's stream; it can be had once.
func (a *attempt) attach() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := !a.attached
	a.attached = true
	return first
}

// leave is called when the stream has ended, for whatever reason.
func (a *attempt) leave() {
	close(a.gone)
	a.cancel(errHostGone)
}

func resultReply(r sdk.Result) *pb.AttachReply {
	return &pb.AttachReply{Body: &pb.AttachReply_Result{Result: resultToProto(r)}}
}
