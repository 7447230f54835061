package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

// The bounds of what the server may ask for.
const (
	maxOpen      = 64   // at a time; what is more is declined
	maxAsked     = 4096 // items
	maxPending   = 256  // file changes that are known by their item
	maxQuestions = 8    // of one request
)

// response is an answer of ours.
type response struct {
	ID     json.RawMessage `json:"id"`
	Result any             `json:"result,omitempty"`
	Error  any             `json:"error,omitempty"`
}

// pending is a file change that Codex told of and may ask leave for by its item's id alone.
type pending struct {
	changes []change
	raw     json.RawMessage
}

// requests puts what the server asks to the host, each in a goroutine of its own, since Codex goes on
// meanwhile.
type requests struct {
	host sdk.Host

	mu     sync.Mutex
	open   int
	denied bool
	all    sync.WaitGroup
}

// start runs one; false where too many are open.
func (r *requests) start(ctx context.Context, f func(context.Context)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == maxOpen {
		return false
	}
	r.open++
	r.all.Go(func() {
		f(ctx)
		r.mu.Lock()
		r.open--
		r.mu.Unlock()
	})
	return true
}

func (r *requests) wait() { r.all.Wait() }

func (r *requests) refuse() {
	r.mu.Lock()
	r.denied = true
	r.mu.Unlock()
}

func (r *requests) wasDenied() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.denied
}

// permit is the host's decision. Known is false where there is none, because the attempt ends.
func (r *requests) permit(ctx context.Context, p sdk.Permission) (allowed, known bool) {
	d, err := r.host.Permit(ctx, p)
	if err != nil {
		return false, false
	}
	if !d.Allowed {
		r.refuse()
	}
	return d.Allowed, true
}

// note remembers the files of a change, and forgets them when it is over.
func (t *talk) note(m message) {
	if m.method != "item/started" && m.method != "item/completed" && m.method != "item/fileChange/patchUpdated" {
		return
	}
	var p [3][]byte
	if !agent.Pick(m.params, []string{"item", "itemId", "changes"}, p[:]) {
		return
	}
	id, changes := agent.Text(p[1]), p[2]
	if i, ok := itemOf(p[0]); ok && i.kind() == "fileChange" {
		id, changes = i.id(), i.raw[10]
	}
	_, known := t.files[id]
	switch {
	case m.method == "item/completed":
		delete(t.files, id)
	case id != "" && len(changes) > 0 && (known || len(t.files) < maxPending):
		t.files[id] = pending{changesOf(changes), compact(changes)}
	}
}

// ask answers a request of the server's, at once or when the host has. What is open when ctx ends is
// answered by that end.
func (t *talk) ask(ctx context.Context, m message) error {
	id := encoded(m.id)
	var answer func(context.Context) any
	declined := any(object{"decision": "decline"})
	switch m.method {
	case "item/commandExecution/requestApproval":
		answer = t.decide(t.command(m.params))
	case "item/fileChange/requestApproval":
		answer = t.decide(t.fileChange(m.params))
	case "item/permissions/requestApproval":
		answer, declined = t.widen(m.params)
	case "item/tool/requestUserInput":
		answer, declined = t.input(m.params), object{"answers": object{}}
	case "mcpServer/elicitation/request":
		t.requests.refuse() // no such server is configured, so nothing of it is wanted
		return t.process.Send(response{ID: id, Result: object{"action": "decline"}})
	default:
		t.Unparsed([]byte(m.method), len(m.method))
		if err := t.tell(ctx, t.Take()); err != nil {
			return err
		}
		return t.process.Send(response{ID: id, Error: object{"code": -32601, "message": "not offered"}})
	}
	started := t.requests.start(ctx, func(ctx context.Context) {
		t.process.Send(response{ID: id, Result: answer(ctx)}) //nolint:errcheck // it has ended, or does not read, which Await sees
	})
	if started {
		return nil
	}
	t.requests.refuse()
	return t.process.Send(response{ID: id, Result: declined})
}

// decide answers by the host's decision.
func (t *talk) decide(p sdk.Permission) func(context.Context) any {
	return func(ctx context.Context) any {
		allowed, known := t.requests.permit(ctx, p)
		switch {
		case allowed:
			return object{"decision": "accept"}
		case known:
			return object{"decision": "decline"}
		default:
			return object{"decision": "cancel"}
		}
	}
}

// unique is an id for the host: the item's, which joins the request to its tool, and another one where
// leave is asked for the same item again.
func (t *talk) unique(item string) string {
	if len(t.asked) >= maxAsked {
		t.asked = map[string]int{} // ids of the host's own must differ only while they are open
	}
	t.asked[item]++
	if n := t.asked[item]; n > 1 || item == "" {
		return agent.ID(fmt.Sprintf("%s#%d", item, n))
	}
	return agent.ID(item)
}

// command is the request to run something.
func (t *talk) command(params []byte) sdk.Permission {
	var m [5][]byte
	agent.Pick(params, []string{"itemId", "command", "kind", "reason", "networkApprovalContext"}, m[:])
	line, kind := agent.Text(m[1]), agent.Text(m[2])
	p := sdk.Permission{ID: t.unique(agent.Text(m[0])), Tool: "execute", Input: asked(params)}
	var network [1][]byte
	switch {
	case len(m[4]) > 0 && agent.Pick(m[4], []string{"host"}, network[:]):
		p.Tool, p.Title = "fetch", "connect to "+agent.Text(network[0])
	case kind != "" && kind != "command":
		// What is typed into a running program is no command line: no rule about commands may allow it.
		p.Title = kind + ": " + script(line)
	default:
		p.Command = script(line)
		p.Title = p.Command
	}
	return titled(p, agent.Text(m[3]))
}

// fileChange is the request to change the files of an item that was told before.
func (t *talk) fileChange(params []byte) sdk.Permission {
	var m [3][]byte
	agent.Pick(params, []string{"itemId", "reason", "grantRoot"}, m[:])
	item := agent.Text(m[0])
	known := t.files[item]
	p := sdk.Permission{ID: t.unique(item), Tool: "edit"}
	p.Tool, p.Paths = touched(known.changes)
	if root := agent.Text(m[2]); root != "" {
		p.Paths = append(p.Paths, root)
	}
	if len(known.changes) == maxChanges {
		p.Paths = nil // there may be more, so that no rule about paths may allow it
	}
	p.Title = "change " + strings.Join(p.Paths[:min(len(p.Paths), 10)], ", ")
	p.Input = asked(params)
	if known.raw != nil {
		p.Input = known.raw
	}
	return titled(p, agent.Text(m[1]))
}

// widen is the request for more than the thread may do; what is granted is what was asked for, for the turn.
func (t *talk) widen(params []byte) (answer func(context.Context) any, declined any) {
	var m [3][]byte
	agent.Pick(params, []string{"itemId", "permissions", "reason"}, m[:])
	granted := encoded(m[1])
	p := titled(sdk.Permission{ID: t.unique(agent.Text(m[0])), Tool: "other", Title: "more permissions", Input: asked(params)}, agent.Text(m[2]))
	declined = object{"permissions": object{}}
	return func(ctx context.Context) any {
		if allowed, _ := t.requests.permit(ctx, p); allowed {
			return object{"permissions": granted, "scope": "turn"}
		}
		return declined
	}, declined
}

// titled bounds a permission's texts.
func titled(p sdk.Permission, reason string) sdk.Permission {
	if reason != "" {
		p.Title += " (" + reason + ")"
	}
	p.Title = agent.Clip(p.Title, 1<<10)
	if len(p.Command) > sdk.MaxText*2 { // a cut command line would be another one
		p.Command = ""
	}
	return p
}

// asked is a request, as data.
func asked(params []byte) json.RawMessage {
	raw, err := json.Marshal(agent.Input(params))
	if err != nil {
		return nil
	}
	return raw
}

// input is the request to answer questions.
func (t *talk) input(params []byte) func(context.Context) any {
	var m [2][]byte
	agent.Pick(params, []string{"itemId", "questions"}, m[:])
	item := agent.Text(m[0])
	type keyed struct {
		key string
		q   sdk.Question
	}
	var all []keyed
	agent.Each(m[1], func(raw []byte) {
		var q [5][]byte
		if len(all) == maxQuestions || !agent.Pick(raw, []string{"id", "header", "question", "options", "isSecret"}, q[:]) || agent.Bool(q[4]) {
			return // what is secret must not stand in a record
		}
		one := keyed{agent.Text(q[0]), questionOf(q[1], q[2], q[3])}
		one.q.ID = t.unique(item + "/" + one.key)
		if one.q.Text != "" {
			all = append(all, one)
		}
	})
	return func(ctx context.Context) any {
		answers := object{}
		for _, one := range all {
			a, err := t.requests.host.Ask(ctx, one.q)
			if err != nil {
				break
			}
			if a.Answered {
				answers[one.key] = object{"answers": []string{a.Text}}
			}
		}
		return object{"answers": answers}
	}
}

// questionOf reads a question with what its options mean.
func questionOf(header, question, options []byte) sdk.Question {
	q := sdk.Question{Text: agent.Text(question)}
	if head := agent.Text(header); head != "" && q.Text != "" {
		q.Text = head + ": " + q.Text
	}
	agent.Each(options, func(raw []byte) {
		var m [2][]byte
		if len(q.Options) == maxQuestions || !agent.Pick(raw, []string{"label", "description"}, m[:]) {
			return
		}
		label := agent.Clip(agent.Text(m[0]), sdk.MaxName)
		q.Options = append(q.Options, label)
		if means := agent.Text(m[1]); means != "" {
			q.Text += "\n- " + label + ": " + means
		}
	})
	q.Text = agent.Clip(q.Text, sdk.MaxText)
	return q
}
