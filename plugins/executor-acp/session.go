package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/acp-go-sdk"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
)

const (
	// maxLine is below what the connection's own scanner takes.
	maxLine = 8 << 20
	// startTime is how long an agent may take for one answer before it works.
	startTime = 90 * time.Second
)

// session is one conversation with an agent. Its lines take one way: they are told as they came, the reader
// makes events of them, and only requests and answers, bounded in size and number, go on to the connection,
// whose queue of notifications would end it, and which would log what it cannot read.
type session struct {
	attempt *sdk.Attempt
	profile profile
	start   start

	emit  func(events []sdk.Event) error       // also after a cancellation: what is told then is told all the same
	until func(then func()) (stop func() bool) // calls then when the attempt is cancelled

	process *agent.Process
	conn    *acp.Connection
	lines   *io.PipeWriter // to the connection
	asking  atomic.Int32

	mu   sync.Mutex // the reader's
	read reader
}

// open starts the agent and its connection.
func open(ctx context.Context, a *sdk.Attempt, p profile, st start) *session {
	tell := context.WithoutCancel(ctx)
	s := &session{attempt: a, profile: p, start: st, read: reader{profile: p}}
	s.until = func(then func()) func() bool { return context.AfterFunc(ctx, then) }
	s.emit = func(events []sdk.Event) error { return agent.Emit(a.Host.Emit).All(ctx, events) }
	from, to := io.Pipe()
	s.lines = to
	ready := make(chan struct{}) // the process is set
	s.process = agent.Start(tell, agent.Command{Argv: st.argv, Dir: a.Tree, Env: st.env, MaxLine: maxLine}, agent.Handler{
		Emit: a.Host.Emit, Line: func(line []byte) error { <-ready; return s.line(line) }, Long: s.long,
	})
	close(ready)
	s.conn = acp.NewConnection(s.handle, sender{s}, from)
	s.conn.SetLogger(slog.New(slog.DiscardHandler)) // it would print what the agent sent
	go func() {
		<-s.process.Done()
		to.Close() //nolint:errcheck // a pipe's end has no error
	}()
	go func() {
		<-s.conn.Done()
		from.Close() //nolint:errcheck // as above: nobody reads any more
	}()
	return s
}

// line takes one line of the agent.
func (s *session) line(line []byte) error {
	s.mu.Lock()
	events, is := s.read.Line(line)
	s.mu.Unlock()
	if err := s.emit(events); err != nil {
		return err
	}
	if is == other {
		return nil
	}
	if _, err := s.lines.Write(append(line, '\n')); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return nil
}

// long takes the beginning of a line that nobody reads whole. A notification that is lost is told as not
// understood; a request or an answer that is lost would leave both sides waiting.
func (s *session) long(beginning []byte, n int) error {
	s.mu.Lock()
	s.read.Unparsed(beginning, n)
	events := s.read.Take()
	s.mu.Unlock()
	if err := s.emit(events); err != nil {
		return err
	}
	if method, id := head(beginning); method != "" && !id || !bytes.HasPrefix(bytes.TrimSpace(beginning), []byte("{")) {
		return nil
	}
	return &sdk.Failure{Class: "protocol", Message: fmt.Sprintf("the agent sent a message of %d bytes, and at most %d are read", n, maxLine)}
}

// head is what the beginning of a message says of its method, and whether it has an id.
func head(beginning []byte) (method string, id bool) {
	d := json.NewDecoder(bytes.NewReader(beginning))
	if _, err := d.Token(); err != nil {
		return "", false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return method, id
		}
		id = id || key == "id"
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return method, id
		}
		if key == "method" {
			method = agent.Text(value)
		}
	}
	return method, id
}

// sender gives the agent what the connection writes.
type sender struct{ s *session }

// Write takes one message.
func (w sender) Write(p []byte) (int, error) {
	line := bytes.TrimRight(p, "\n")
	w.s.mu.Lock()
	events := w.s.read.Sent(line)
	w.s.mu.Unlock()
	if err := w.s.emit(events); err != nil {
		return 0, err
	}
	return len(p), w.s.process.Send(json.RawMessage(line))
}

// handle answers the agent's requests. Its own tools work in the sandbox: it is offered no files and no
// terminal of ours.
func (s *session) handle(ctx context.Context, method string, params json.RawMessage) (any, *acp.RequestError) {
	if method == acp.ClientMethodSessionRequestPermission {
		return s.permit(ctx, params)
	}
	return nil, acp.NewMethodNotFound(method)
}

func (s *session) request(params json.RawMessage) (sdk.Permission, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read.requested(params)
}

func (s *session) decided(tool string, allowed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read.decided(tool, allowed)
}

// note tells an error that ends nothing.
func (s *session) note(class, message string) {
	s.mu.Lock()
	s.read.Trouble("tool", class, false, message)
	events := s.read.Take()
	s.mu.Unlock()
	s.emit(events) //nolint:errcheck // the host that refuses it ends the attempt
}

// converse holds the conversation, up to the answer to the prompt.
func (s *session) converse(ctx context.Context) error {
	if err := s.greet(ctx); err != nil {
		return err
	}
	resumed, err := s.begin(ctx)
	if err != nil {
		return err
	}
	if err := s.selectMode(ctx); err != nil {
		return err
	}
	// The prompt is cancelled by a notification, and answered then.
	_, err = s.ask(context.WithoutCancel(ctx), acp.AgentMethodSessionPrompt, acp.PromptRequest{
		SessionId: acp.SessionId(s.view().opened.ID), Prompt: []acp.ContentBlock{acp.TextBlock(prompt(s.attempt, resumed))},
	})
	return err
}

// greet agrees on the protocol and authenticates.
func (s *session) greet(ctx context.Context) error {
	_, err := s.askSoon(ctx, acp.AgentMethodInitialize, acp.InitializeRequest{
		ProtocolVersion: acp.ProtocolVersionNumber, ClientInfo: &acp.Implementation{Name: "drawspan", Version: version},
		ClientCapabilities: acp.ClientCapabilities{},
	})
	if err != nil {
		return err
	}
	hello := s.view().hello
	if hello.Protocol != acp.ProtocolVersionNumber {
		return &sdk.Failure{Class: "protocol", Message: fmt.Sprintf(
			"the agent speaks version %d of the protocol, and this plugin speaks version %d only; use a version of %s that it was tested with",
			hello.Protocol, acp.ProtocolVersionNumber, s.profile.Name)}
	}
	if s.start.auth == "" {
		return nil
	}
	if len(hello.Auth) > 0 && !slices.Contains(hello.Auth, s.start.auth) {
		return &sdk.Failure{Class: "auth", Message: fmt.Sprintf("the agent does not authenticate by %q; it offers %s",
			s.start.auth, strings.Join(hello.Auth, ", "))}
	}
	_, err = s.askSoon(ctx, acp.AgentMethodAuthenticate, acp.AuthenticateRequest{MethodId: s.start.auth})
	return err
}

// begin continues the session of the attempt before, where that can be, or begins one.
func (s *session) begin(ctx context.Context) (resumed bool, err error) {
	r := s.attempt.Resume
	if s.start.restored && s.view().hello.Load {
		s.mu.Lock()
		s.read.opened.ID = r.Session
		s.mu.Unlock()
		_, err := s.askSoon(ctx, acp.AgentMethodSessionLoad, acp.LoadSessionRequest{
			SessionId: acp.SessionId(r.Session), Cwd: s.attempt.Tree, McpServers: []acp.McpServer{}, Meta: s.profile.Guard.Meta,
		})
		if err == nil {
			return true, nil
		}
	}
	_, err = s.askSoon(ctx, acp.AgentMethodSessionNew, acp.NewSessionRequest{
		Cwd: s.attempt.Tree, McpServers: []acp.McpServer{}, Meta: s.profile.Guard.Meta,
	})
	if err == nil && s.view().opened.ID == "" {
		err = &sdk.Failure{Class: "protocol", Message: "the agent began a session without an id"}
	}
	return false, err
}

// selectMode selects the profile's mode.
func (s *session) selectMode(ctx context.Context) error {
	o, want := s.view().opened, s.profile.Mode
	if want == "" || o.Mode == want {
		return nil
	}
	if !slices.Contains(o.Modes, want) {
		return &sdk.Failure{Class: "policy", Message: agent.Clip(fmt.Sprintf("the agent has no mode %q; it offers %s", want, strings.Join(o.Modes, ", ")), sdk.MaxText)}
	}
	id := acp.SessionId(o.ID)
	var err error
	if o.Option != "" {
		_, err = s.askSoon(ctx, acp.AgentMethodSessionSetConfigOption, acp.SetSessionConfigOptionValueId{
			SessionId: id, ConfigId: acp.SessionConfigId(o.Option), Value: acp.SessionConfigValueId(want),
		})
	} else {
		_, err = s.askSoon(ctx, acp.AgentMethodSessionSetMode, acp.SetSessionModeRequest{SessionId: id, ModeId: acp.SessionModeId(want)})
	}
	return err
}

// seen is what the reader knows.
type seen struct {
	hello  hello
	opened opened
	end    *ending
	denied bool
	final  string
	used   *sdk.Usage
}

func (s *session) view() seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return seen{s.read.hello, s.read.opened, s.read.end, s.read.denied, s.read.final, s.read.turn}
}

// askSoon sends a request that must be answered soon.
func (s *session) askSoon(ctx context.Context, method string, params any) (json.RawMessage, error) {
	soon, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	result, err := s.ask(soon, method, params)
	if err != nil && soon.Err() != nil && ctx.Err() == nil {
		return nil, &sdk.Failure{Class: "protocol", Message: fmt.Sprintf("the agent did not answer %s within %s", method, startTime)}
	}
	return result, err
}

func (s *session) ask(ctx context.Context, method string, params any) (json.RawMessage, error) {
	return acp.SendRequest[json.RawMessage](s.conn, ctx, method, params)
}

// cancel asks the agent to end the turn.
func (s *session) cancel(ctx context.Context) {
	id := s.view().opened.ID
	if id == "" {
		s.process.CloseInput()
		return
	}
	//nolint:errcheck // an agent that does not listen is ended by signals
	s.conn.SendNotification(context.WithoutCancel(ctx), acp.AgentMethodSessionCancel, acp.CancelNotification{SessionId: acp.SessionId(id)})
}

// prompt is the step's text; a session that could not be continued is told what was said last.
func prompt(a *sdk.Attempt, resumed bool) string {
	text := a.Instruction
	if !resumed {
		text = agent.Preamble(a.Resume) + text
	}
	if strings.HasPrefix(strings.TrimSpace(text), "/") {
		return "What is to be done:\n\n" + text // at the very beginning it would be a command to the agent itself
	}
	return text
}
