package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/tool"
)

// errNoServer says that the program has no app-server.
var errNoServer = errors.New("codex offers no app-server")

// The ids of our requests.
const (
	idHello = iota + 1
	idResume
	idThread
	idTurn
	idInterrupt
)

// request is a request or, without an id, a notification of ours.
type request struct {
	ID     int    `json:"id,omitempty"`
	Method string `json:"method"`
	Params any    `json:"params,omitempty"`
}

type object map[string]any

// talk is the conversation with one app-server. Its fields are the handler's, which is called by one
// goroutine at a time, and Run's once the program has ended; what others touch has its own lock.
type talk struct {
	job
	reader
	process *agent.Process
	ready   chan struct{} // closed when process is set
	told    chan struct{} // closed when there is nothing to wait for any more
	over    bool

	version  string
	resumed  bool
	failure  *sdk.Failure
	files    map[string]pending // file changes that have started and not ended
	asked    map[string]int     // how often leave was asked for an item
	requests requests

	mu      sync.Mutex // guards what cancel reads
	running struct{ thread, turn string }
}

// serve performs the attempt by the app-server.
func (j job) serve(ctx context.Context) (sdk.Result, error) {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	t := &talk{job: j, ready: make(chan struct{}), told: make(chan struct{}), resumed: j.home.restore(j.attempt.Resume),
		files: map[string]pending{}, asked: map[string]int{}}
	t.requests.host = j.attempt.Host
	t.process = agent.Start(context.WithoutCancel(ctx), agent.Command{
		Argv: agent.Argv(j.program, modeServer), Dir: j.attempt.Tree, Env: j.home.env,
	}, agent.Handler{
		Emit: j.attempt.Host.Emit,
		Line: func(line []byte) error { return t.line(asking, line) },
		Long: func(beginning []byte, n int) error { t.Unparsed(beginning, n); return j.tell(ctx, t.Take()) },
	})
	close(t.ready)
	err := t.process.Send(request{idHello, "initialize", object{
		"clientInfo": object{"name": "drawspan", "version": manifest.Version}, "capabilities": object{"experimentalApi": false},
	}})
	ran, ended := t.process.Await(ctx, t.told, t.cancel)
	stop()
	t.requests.wait()
	if err = cmp.Or(ended, err); err != nil && ctx.Err() == nil && !t.over {
		return sdk.Result{}, err
	}
	if t.version == "" && ctx.Err() == nil && !offersServer(ctx, j.program, j.home.env) {
		return sdk.Result{}, fmt.Errorf("%w: %s", errNoServer, tool.LastLines(t.process.Stderr(), 3))
	}
	status := "unknown"
	if ctx.Err() != nil || t.done != nil && t.done.status == "interrupted" {
		status = "cancelled"
	}
	t.EndTools(status)
	if err := j.tell(ctx, t.Take()); err != nil {
		return sdk.Result{}, err
	}
	r, err := t.result(ctx, ran)
	t.SessionEnded(sdk.ResultOf(r, err))
	return r, errors.Join(err, j.tell(ctx, t.Take()))
}

// line takes one line of the server.
func (t *talk) line(ctx context.Context, line []byte) error {
	<-t.ready
	if err := t.tell(ctx, t.Line(line)); err != nil {
		return err
	}
	m, ok := parts(line)
	switch {
	case !ok || t.over:
		return nil
	case m.method == "":
		return t.reply(ctx, m)
	case len(m.id) > 0:
		return t.ask(ctx, m)
	}
	t.note(m)
	if t.done != nil {
		t.end(nil)
	}
	return nil
}

// end ends the conversation; the first reason counts.
func (t *talk) end(f *sdk.Failure) {
	if !t.over {
		t.over, t.failure = true, f
		close(t.told)
	}
}

// reply takes the answer to one of our requests, and goes on.
func (t *talk) reply(ctx context.Context, m message) error {
	switch id := agent.Int(m.id); {
	case id == idHello && t.version == "" && m.result != nil:
		return t.hello(ctx, m.result)
	case id == idResume && m.er != nil && t.resumed:
		return t.anew(ctx, refusal(m.er))
	case (id == idResume || id == idThread) && m.result != nil:
		return t.opened(m.result)
	case id == idTurn && m.result != nil:
		t.begun(m.result)
	case id < idInterrupt && m.er != nil:
		t.refused(said(refusal(m.er)))
	}
	return nil
}

// anew starts a new thread in place of the one that cannot be resumed.
func (t *talk) anew(ctx context.Context, why string) error {
	t.resumed = false
	t.Trouble("session", "unknown", false, "the session cannot be resumed, a new one is started: "+why)
	if err := t.tell(ctx, t.Take()); err != nil {
		return err
	}
	return t.process.Send(request{idThread, "thread/start", t.threadParams()})
}

// refused ends the conversation because the server does not do what has to be done.
func (t *talk) refused(fault trouble) {
	if fault.class == "unknown" {
		fault.class = "protocol"
	}
	t.end(&sdk.Failure{Class: fault.class, Retryable: fault.retryable, Message: "codex refused the work: " + fault.message})
}

// refusal is the message of an error of the protocol.
func refusal(raw []byte) string {
	var m [1][]byte
	if agent.Pick(raw, []string{"message"}, m[:]) {
		return agent.Clip(agent.Text(m[0]), 4<<10)
	}
	return "no reason given"
}

// hello opens the thread once the server has said who it is.
func (t *talk) hello(ctx context.Context, result []byte) error {
	var m [1][]byte
	agent.Pick(result, []string{"userAgent"}, m[:])
	t.version = agent.Version(agent.Text(m[0]))
	if t.version == "" {
		t.version = "unknown"
	}
	if tested := manifest.Programs[0].Tested; !agent.InRange(t.version, tested) {
		t.Trouble("session", "unknown", false, fmt.Sprintf("codex %s is not in the tested range %s", t.version, tested))
		if err := t.tell(ctx, t.Take()); err != nil {
			return err
		}
	}
	if err := t.process.Send(request{Method: "initialized"}); err != nil {
		return err
	}
	if !t.resumed {
		return t.process.Send(request{idThread, "thread/start", t.threadParams()})
	}
	params := t.threadParams()
	params["threadId"], params["excludeTurns"] = t.attempt.Resume.Session, true
	return t.process.Send(request{idResume, "thread/resume", params})
}

func (t *talk) threadParams() object {
	return object{"cwd": t.attempt.Tree, "approvalPolicy": t.settings.Approval, "approvalsReviewer": "user", "sandbox": t.settings.policy()}
}

// opened gives the thread its work, if it will ask as it was told to.
func (t *talk) opened(result []byte) error {
	var m [2][]byte
	agent.Pick(result, []string{"approvalPolicy", "approvalsReviewer"}, m[:])
	policy, reviewer := agent.Text(m[0]), agent.Text(m[1])
	if policy != t.settings.Approval || reviewer != "" && reviewer != "user" {
		t.end(&sdk.Failure{Class: "policy", Message: fmt.Sprintf("codex would not ask as configured: its approval policy is %.80q, asked of %.80q, instead of %q, asked of the user",
			policy, reviewer, t.settings.Approval)})
		return nil
	}
	if t.thread == "" {
		t.end(&sdk.Failure{Class: "protocol", Message: "codex opened a thread without an id"})
		return nil
	}
	t.mu.Lock()
	t.running.thread = t.thread
	t.mu.Unlock()
	text := t.attempt.Instruction
	if !t.resumed {
		text = agent.Preamble(t.attempt.Resume) + text
	}
	return t.process.Send(request{idTurn, "turn/start", object{"threadId": t.thread, "input": []object{{"type": "text", "text": text}}}})
}

func (t *talk) begun(result []byte) {
	var m, id [1][]byte
	if agent.Pick(result, []string{"turn"}, m[:]) && agent.Pick(m[0], []string{"id"}, id[:]) {
		t.mu.Lock()
		t.running.turn = agent.Text(id[0])
		t.mu.Unlock()
	}
}

// cancel asks for the end of the turn; where none runs yet, the end of the input is the end of the server.
func (t *talk) cancel() {
	t.mu.Lock()
	thread, turn := t.running.thread, t.running.turn
	t.mu.Unlock()
	if turn == "" || t.process.Send(request{idInterrupt, "turn/interrupt", object{"threadId": thread, "turnId": turn}}) != nil {
		t.process.CloseInput()
	}
}

// result is the claim.
func (t *talk) result(ctx context.Context, ran tool.Result) (sdk.Result, error) {
	r := sdk.Result{StopReason: "end_turn", Version: t.version, Session: t.thread, Usage: t.Usage(), Denied: t.requests.wasDenied(),
		Summary: agent.Clip(t.last, sdk.MaxSummary)}
	if t.thread != "" {
		state, err := t.home.session(t.thread)
		if err != nil {
			t.Trouble("session", "unknown", false, "the session is not kept: "+err.Error())
			if err := t.tell(ctx, t.Take()); err != nil {
				return sdk.Result{}, err
			}
		}
		r.State = state
	}
	if t.failure != nil {
		return r, t.failure
	}
	switch {
	case t.done == nil && ctx.Err() != nil:
		r.StopReason = "cancelled"
	case t.done == nil:
		if t.fault.class != "" {
			t.fault.claim(&r)
		}
	case t.done.status == "interrupted" && ctx.Err() != nil:
		r.StopReason = "cancelled"
	case t.done.status == "interrupted":
		r.Failed, r.StopReason, r.Class, r.Message = true, "error", "unknown", "codex interrupted the turn by itself"
	case t.done.status == "failed":
		t.done.fault.claim(&r)
	case t.done.status != "completed":
		r.Failed, r.StopReason, r.Class = true, "error", "protocol"
		r.Message = fmt.Sprintf("codex ended the turn with the unknown status %.80q", t.done.status)
	}
	return agent.Judge(r, t.done != nil, ran, t.process.Stderr()), nil
}

// encoded is a raw value for a reply: the server's own, if it is one.
func encoded(raw []byte) json.RawMessage {
	if !json.Valid(raw) {
		return json.RawMessage("null")
	}
	return append(json.RawMessage(nil), raw...)
}
