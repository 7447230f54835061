package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/agent"
	"github.com/drawspan/drawspan/sdk/tool"
)

// maxAsked is how many requests may wait for an answer at once; one more is refused.
const maxAsked = 64

// Run performs the step in one session: a continued one, or a new one.
func (claude) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	s, err := parse(a.Config)
	if err == nil {
		err = possible(a, s)
	}
	if err != nil {
		return sdk.Result{}, err
	}
	config, err := configDir()
	if err != nil {
		return sdk.Result{}, err
	}
	defer os.RemoveAll(config) //nolint:errcheck // the private directory goes with the sandbox
	result, err := perform(ctx, a, s, config)
	if err != nil {
		return sdk.Result{}, err
	}
	result.State, err = keep(config, a.Tree, result.Session)
	if err != nil {
		// A follow-up then begins with the summary.
		words := fmt.Sprintf("the session is not kept: %v\n", err)
		err = a.Host.Emit(context.WithoutCancel(ctx), sdk.Log("stderr", []byte(words)))
	}
	return result, err
}

// perform continues the session of the attempt before, or begins one where there is none to continue.
func perform(ctx context.Context, a *sdk.Attempt, s settings, config string) (sdk.Result, error) {
	resume := restore(config, a.Tree, a.Resume)
	c := conversation{a: a, s: s, config: config, resume: resume}
	result, err := c.hold(ctx)
	unknown := resume != "" && result.Failed && c.read.Turn == 0 // Claude Code does not know the session
	if err != nil || !unknown || ctx.Err() != nil {
		return result, err
	}
	c = conversation{a: a, s: s, config: config}
	return c.hold(ctx)
}

// possible says what is missing before anything is started.
func possible(a *sdk.Attempt, s settings) error {
	if a.Program == nil {
		return agent.ErrNoProgram(manifest.Programs[0])
	}
	if a.Gateway != nil && a.Gateway.Wire != sdk.WireMessages {
		return &sdk.Failure{Class: "policy", Message: fmt.Sprintf(
			"the gateway speaks %s, and Claude Code needs one of wire %s", a.Gateway.Wire, sdk.WireMessages)}
	}
	// The repository's settings can name a program that has a key. Claude Code itself would ask for "/login".
	if !s.Repository && login(a.Gateway) == "missing" {
		return &sdk.Failure{Class: "auth", Message: noCredential}
	}
	return nil
}

// conversation is one run of Claude Code.
type conversation struct {
	a      *sdk.Attempt
	s      settings
	config string
	resume string // the session that is continued; "" for a new one

	read    reader
	process *agent.Process
	told    chan struct{}

	waiting sync.WaitGroup // for answers
	mu      sync.Mutex
	open    map[string]context.CancelFunc // requests that are not answered
}

// hold runs the program until it has told its terminal record and has ended.
func (c *conversation) hold(ctx context.Context) (sdk.Result, error) {
	c.told, c.open = make(chan struct{}), map[string]context.CancelFunc{}
	asking, quiet := context.WithCancel(ctx)
	defer quiet()
	ready := make(chan struct{}) // c.process is set
	c.process = agent.Start(context.WithoutCancel(ctx), agent.Command{
		Argv: agent.Argv(native(*c.a.Program), arguments(c.s, c.resume)...), Dir: c.a.Tree,
		Env: environment(c.s, c.config, c.a.Gateway),
	}, agent.Handler{
		Emit: c.a.Host.Emit,
		Line: func(line []byte) error {
			<-ready
			return c.line(asking, line)
		},
		Long: func(beginning []byte, n int) error { return c.emit(ctx, c.read.Long(beginning, n)) },
	})
	close(ready)
	c.send(userMessage(c.prompt()))
	ran, err := c.process.Await(ctx, c.told, func() {
		quiet() // nobody has to answer any more
		c.send(controlRequest("cancel", "interrupt"))
	})
	quiet()
	c.waiting.Wait()
	if err != nil {
		return sdk.Result{}, err
	}
	return c.end(ctx, ran)
}

// end is what the conversation comes to.
func (c *conversation) end(ctx context.Context, ran tool.Result) (sdk.Result, error) {
	claim := &c.read.claim
	if ctx.Err() != nil && !c.read.told {
		claim.StopReason = "cancelled"
	}
	if wait := time.Until(c.read.resetsAt); claim.Failed && wait > 0 {
		claim.RetryAfter = wait
	}
	result := agent.Judge(*claim, c.read.told, ran, c.process.Stderr())
	if err := c.emit(ctx, c.read.End()); err != nil {
		return sdk.Result{}, err
	}
	c.read.SessionEnded(result)
	return result, c.emit(ctx, c.read.Take())
}

// prompt is the step's text. A session that cannot be continued is told what was said last.
func (c *conversation) prompt() string {
	text := c.a.Instruction
	if c.resume == "" {
		text = agent.Preamble(c.a.Resume) + text
	}
	if strings.HasPrefix(text, "/") {
		return " " + text // at the very beginning it would be a command to Claude Code itself
	}
	return text
}

// line takes one line of Claude Code.
func (c *conversation) line(asking context.Context, line []byte) error {
	if err := c.emit(asking, c.read.Line(line)); err != nil {
		return err
	}
	if c.read.asked != nil {
		c.ask(asking, *c.read.asked)
	}
	if c.read.revoked != "" {
		c.revoke(c.read.revoked)
	}
	if c.read.told {
		select {
		case <-c.told:
		default:
			close(c.told)
		}
	}
	return nil
}

func (c *conversation) emit(ctx context.Context, events []sdk.Event) error {
	return agent.Emit(c.a.Host.Emit).All(ctx, events)
}

// ask has a request answered while lines go on being read.
func (c *conversation) ask(ctx context.Context, q request) {
	if q.subtype != "can_use_tool" {
		c.send(controlError(q.id, "not supported: "+agent.Clip(q.subtype, sdk.MaxName)))
		return
	}
	asking, ok := c.opened(ctx, q.id)
	if !ok {
		c.send(controlSuccess(q.id, deny("too many requests at once")))
		return
	}
	c.waiting.Go(func() {
		defer c.revoke(q.id)
		answer := c.decide(asking, q)
		if asking.Err() == nil {
			c.send(controlSuccess(q.id, answer))
		}
	})
}

// opened is the context of one more request; it ends with revoke.
func (c *conversation) opened(ctx context.Context, id string) (context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.open[id]; again || len(c.open) == maxAsked {
		return nil, false
	}
	asking, done := context.WithCancel(ctx)
	c.open[id] = done
	return asking, true
}

// revoke ends the wait for an answer.
func (c *conversation) revoke(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if done, open := c.open[id]; open {
		done()
		delete(c.open, id)
	}
}

// send tells Claude Code something that it may not want to hear any more.
func (c *conversation) send(v any) {
	c.process.Send(v) //nolint:errcheck // a program that does not listen is judged by how it ends
}

func (c *conversation) decide(ctx context.Context, q request) any {
	if q.tool.name == "AskUserQuestion" {
		return c.question(ctx, q)
	}
	input, err := json.Marshal(agent.Input(q.tool.input))
	if err != nil {
		input = nil
	}
	d, err := c.a.Host.Permit(ctx, sdk.Permission{
		ID: agent.ID(q.toolID), Tool: toolKind(q.tool.name), Title: agent.Clip(q.tool.title(), sdk.MaxName), Input: input,
		Paths: q.tool.paths(), Command: q.tool.command, // whole, or rules would judge what is not run
	})
	switch {
	case err != nil:
		return deny("the request could not be decided")
	case !d.Allowed:
		return deny(agent.Clip(d.Rule, sdk.MaxName))
	}
	return allow(q.tool.input)
}

// question asks people one question after the other; what nobody answers stays open.
func (c *conversation) question(ctx context.Context, q request) any {
	var input struct {
		Questions []struct {
			Question string `json:"question"`
			Options  []struct {
				Label string `json:"label"`
			} `json:"options"`
		} `json:"questions"`
	}
	if json.Unmarshal(q.tool.input, &input) != nil || len(input.Questions) > maxAsked {
		return deny("the questions cannot be read")
	}
	answers := map[string]string{}
	for i, one := range input.Questions {
		asked := sdk.Question{ID: fmt.Sprintf("%s-%d", agent.ID(q.toolID), i+1), Text: agent.Clip(one.Question, sdk.MaxText)}
		for _, o := range one.Options[:min(len(one.Options), maxAsked)] {
			asked.Options = append(asked.Options, agent.Clip(o.Label, sdk.MaxName))
		}
		answer, err := c.a.Host.Ask(ctx, asked)
		if err != nil {
			return deny("the question could not be asked")
		}
		if answer.Answered {
			answers[one.Question] = answer.Text
		}
	}
	var whole map[string]any
	if json.Unmarshal(q.tool.input, &whole) != nil {
		return deny("the questions cannot be read")
	}
	whole["answers"] = answers
	return map[string]any{"behavior": "allow", "updatedInput": whole}
}
