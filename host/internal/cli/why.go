package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) whyCommand() *cobra.Command {
	return s.leaf(leaf{
		use: "why", args: []string{"ID"}, short: "Say why something is as it is, and what to do next",
		long: `Explains a run, step, attempt or approval from the record: which gate or failure decided, what was
run, what was found, and the commands that make sense now.`,
		example: "drawspan why step_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			switch prefix, _, _ := strings.Cut(args[0], "_"); prefix + "_" {
			case runIDs.prefix:
				return s.withID(ctx, runIDs, args[0], func(c *client.Client, id string) error { return s.whyRun(ctx, c, id) })
			case approvalIDs.prefix:
				return s.withID(ctx, approvalIDs, args[0], func(c *client.Client, id string) error {
					a, err := findApproval(ctx, c, id)
					if err != nil {
						return err
					}
					return s.show(a, []string{a.ID}, func(p *page) { p.approvalDetail(a, s.now) })
				})
			case attemptIDs.prefix:
				return s.withID(ctx, attemptIDs, args[0], func(c *client.Client, id string) error {
					a, err := client.Call[api.Attempt](ctx, c, api.OpAttemptGet, api.AttemptRef{AttemptID: id})
					if err != nil {
						return err
					}
					return s.whyStep(ctx, c, a.StepID, &a)
				})
			case stepIDs.prefix:
				return s.withID(ctx, stepIDs, args[0], func(c *client.Client, id string) error { return s.whyStep(ctx, c, id, nil) })
			}
			return usage("%q is no id; ids begin with run_, step_, att_ or apr_", args[0]).
				Fix("for an error code: drawspan explain %s", args[0])
		},
	})
}

// reasons is what is known of a step's standing.
type reasons struct {
	Step    api.Step     `json:"step"`
	Attempt *api.Attempt `json:"attempt,omitempty"`
	Gates   []gateStory  `json:"gates"`
}

func (s *shell) whyStep(ctx context.Context, c *client.Client, id string, a *api.Attempt) error {
	step, err := client.Call[api.Step](ctx, c, api.OpStepGet, api.StepRef{StepID: id})
	if err != nil {
		return err
	}
	r := reasons{Step: step, Attempt: step.Attempt, Gates: []gateStory{}}
	states := step.GateStates
	if a != nil && a.ID != step.AttemptID {
		r.Attempt = a
		l, err := client.Call[api.List[api.GateState]](ctx, c, api.OpGateList, api.GateListRequest{AttemptID: a.ID})
		if err != nil {
			return err
		}
		states = l.Items
	}
	for _, g := range states {
		if g.Verdict == verdictPass {
			continue
		}
		story, err := storyOf(ctx, c, g)
		if err != nil {
			return err
		}
		r.Gates = append(r.Gates, story)
	}
	return s.show(r, []string{step.ID}, func(p *page) { p.why(r, s.now) })
}

// why tells the reasons in the order in which they decided.
func (p *page) why(r reasons, now time.Time) {
	st := r.Step
	p.line(p.state(st.State), p.strong(fmtStep(st)), term.Line(st.ID), p.simulated(simulated(st)))
	p.line("because: " + p.because(r))
	if a := r.Attempt; a != nil {
		p.line("  " + attemptNode(p.look, *a, now).Text)
		if a.Message != "" {
			p.line("    " + firstLine(a.Message))
		}
		if a.Outcome == "failed" && a.Reason != "" {
			p.line("    reason: " + term.Line(a.Reason))
		}
		if d, ok := deathOf(a); ok {
			p.line("    " + p.proof(d))
		}
		if e, ok := explanations[fault.Code(a.Reason)]; ok && a.Outcome != "" {
			p.line("    remedy: "+e.remedy, p.command(e.next))
		}
	}
	for _, g := range r.Gates {
		p.gap()
		p.line(gateNode(p.look, g.Gate).Text)
		if g.Validation != nil {
			p.validation(*g.Validation)
		}
	}
	p.gap()
	p.listed(slices.DeleteFunc(nextOf(st, ""), func(c string) bool { return strings.HasPrefix(c, "drawspan why ") })) // this is it
}

// because is the one reason that decided.
func (p *page) because(r reasons) string {
	for _, g := range r.Gates {
		if g.Gate.Verdict == verdictFail && g.Gate.Required {
			return "the required gate " + term.Line(g.Gate.Name) + " failed: " + strings.TrimPrefix(firstLine(g.Gate.Reason), "fail: ")
		}
	}
	for _, g := range r.Gates {
		if g.Gate.Verdict == verdictHold {
			return "the gate " + term.Line(g.Gate.Name) + " waits for a person: " + firstLine(g.Gate.Reason)
		}
	}
	if r.Step.Reason == outcomeNoChange {
		return reasonOf(r.Step)
	}
	if r.Step.Reason != "" {
		return firstLine(r.Step.Reason)
	}
	if a := r.Attempt; a != nil && a.Outcome != "" && r.Step.State != statePassed {
		return fmt.Sprintf("attempt %d ended as %s: %s", a.N, term.Line(a.Outcome), firstLine(firstOf(a.Message, a.Reason, "no message")))
	}
	switch r.Step.State {
	case statePassed:
		return "every required gate passed"
	case stateQueued:
		return "an earlier step of the run, or the limit of parallel attempts, comes first"
	}
	if len(r.Step.Approvals) > 0 {
		return "the executor waits for an answer"
	}
	return "the attempt is on its way"
}

func (s *shell) whyRun(ctx context.Context, c *client.Client, id string) error {
	b, err := runBoard(ctx, c, id)
	if err != nil {
		return err
	}
	return s.show(map[string]any{"run": b.run, "steps": b.steps}, []string{id}, func(p *page) {
		p.tree(b.tree(p.look, s.now))
		for _, step := range b.steps {
			if step.State != statePassed {
				p.line("next: " + p.command("drawspan why "+step.ID))
				return
			}
		}
	})
}
