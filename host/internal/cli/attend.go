package cli

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

// standing is how a step stands when following it ended.
type standing struct {
	step api.Step
	code int
}

// exit is the error that carries the exit code of a step's standing.
func (st standing) exit() error {
	if st.code == fault.ExitOK {
		return nil
	}
	return ended{st.code}
}

// stepOver ends following when a step has settled, or when its end cannot be proved, or, unless stay,
// when a person has to answer: without a terminal nobody would see the question.
func stepOver(id string, stay bool) func(*board) bool {
	return func(b *board) bool {
		s, ok := b.step(id)
		if !ok {
			return false
		}
		return settled(s.State) || b.stuckAt(s) || unproved(s.Attempt) || (!stay && waitsForPerson(s))
	}
}

// attend follows one step to its end. Ctrl-C detaches.
func (s *shell) attend(ctx context.Context, c *client.Client, f followed) (standing, error) {
	b, err := s.follow(ctx, c, f)
	if b == nil {
		return standing{}, err
	}
	step, _ := b.step(f.stepID)
	if errors.Is(err, errDetached) {
		return s.detached(ctx, c, step)
	}
	if err != nil {
		return standing{}, err
	}
	return standing{step, stepExit(step, b.stuckAt(step))}, nil
}

// detached tells how to come back and how to cancel. On a terminal a second Ctrl-C offers to cancel.
func (s *shell) detached(ctx context.Context, c *client.Client, step api.Step) (standing, error) {
	left := standing{step, fault.ExitInterrupted}
	s.farewell("drawspan step wait "+step.ID, "drawspan step cancel "+step.ID)
	if !s.mayAsk() || ctx.Err() != nil {
		return left, nil
	}
	s.say(s.talk.faint("press Ctrl-C again to cancel the step"))
	select {
	case <-s.io.Interrupts:
	case <-ctx.Done():
		return left, nil
	case <-time.After(cancelPrompt):
		return left, nil
	}
	if !s.confirm(ctx, "cancel "+step.ID+"?") {
		return left, nil
	}
	return s.cancelStep(ctx, c, api.StepCancelRequest{StepID: step.ID, Reason: "interrupted at the terminal"}, confirmWait)
}

func (s *shell) farewell(again, cancel string) {
	s.say("",
		s.talk.strong("detached")+": the work goes on",
		"  attach again: "+s.talk.command(again),
		"  cancel it:    "+s.talk.command(cancel))
}

// mayAsk reports whether a person can answer a prompt.
func (s *shell) mayAsk() bool {
	return s.talk.profile.TTY && !s.g.quiet && !s.g.json && !s.g.jsonl && s.io.Env("DRAWSPAN_PROMPT_DISABLED") == ""
}

// confirm asks for yes or no; anything but yes is no.
func (s *shell) confirm(ctx context.Context, question string) bool {
	s.say(s.talk.Paint(term.Ask, term.Line(question)) + " [y/N]")
	answer := make(chan string, 1)
	// The read cannot be interrupted; it ends with the process.
	go func() {
		line, _ := bufio.NewReader(s.io.In).ReadString('\n') // no answer is no
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		return a == "y" || a == "yes"
	case <-s.io.Interrupts:
	case <-ctx.Done():
	}
	return false
}

// sure is for commands that remove something: on a terminal it asks, elsewhere --yes is needed. kept
// says what stays.
func (s *shell) sure(ctx context.Context, yes bool, question, kept string) error {
	if yes {
		return nil
	}
	if !s.mayAsk() {
		return usage("%s Without a terminal this needs --yes; %s", question, kept).Fix("add --yes")
	}
	s.say(term.Line(kept))
	if s.confirm(ctx, question) {
		return nil
	}
	s.say("nothing was done")
	return ended{fault.ExitInterrupted}
}

// confirmWait is how long a cancel waits for its proof by default.
const confirmWait = 30 * time.Second

// cancelStep asks to cancel and waits for the proof of death.
func (s *shell) cancelStep(ctx context.Context, c *client.Client, req api.StepCancelRequest, wait time.Duration) (standing, error) {
	in, err := client.Call[api.Instance](ctx, c, api.OpInstanceDescribe, api.Empty{})
	if err != nil {
		return standing{}, err
	}
	step, err := client.Call[api.Step](ctx, c, api.OpStepCancel, req)
	if err != nil {
		return standing{}, err
	}
	if settled(step.State) || wait <= 0 {
		return cancelStanding(step), nil
	}
	f := followed{stepID: step.ID, after: in.Head, timeout: wait, over: stepOver(step.ID, true)}
	st, err := s.attend(ctx, c, f)
	if fault.Is(err, fault.WaitExpired) {
		step, err = client.Call[api.Step](ctx, c, api.OpStepGet, api.StepRef{StepID: step.ID})
		return cancelStanding(step), err
	}
	return st, err
}

// cancelStanding is the standing after a cancel: what has not settled is not confirmed.
func cancelStanding(step api.Step) standing {
	if settled(step.State) {
		return standing{step, stepExit(step, false)}
	}
	return standing{step, fault.ExitUnconfirmed}
}
