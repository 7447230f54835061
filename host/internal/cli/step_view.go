package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func fmtStep(s api.Step) string { return fmt.Sprintf("step %d", s.Ix) }

// showEnd prints how a followed step stands: verdict, changes, what to type next. After a detach that
// was said already, to people.
func (s *shell) showEnd(st standing, applied *api.StepApplied, branch string) error {
	step := st.step
	if st.code == fault.ExitInterrupted && !s.g.json {
		return nil
	}
	return s.show(step, []string{step.ID}, func(p *page) {
		p.verdict(step)
		if ev, ok := attemptDiff(step.Attempt); ok && settled(step.State) {
			p.lines = append(p.lines, p.diffSummary(ev.Diff)...)
		}
		if applied != nil {
			p.applied(*applied)
			return
		}
		p.next(step, branch)
	})
}

// verdict is the headline of a step.
func (p *page) verdict(step api.Step) {
	took := ""
	if step.EndedAt != nil {
		took = span(step.EndedAt.Sub(step.Dispatched))
	}
	p.line(p.state(step.State), p.strong(step.ID), term.Line(step.Executor)+" in "+term.Line(step.Workspace),
		p.simulated(simulated(step)), took)
	if why := reasonOf(step); why != "" {
		p.line("  " + why)
	}
	for _, g := range step.GateStates {
		if g.Verdict != verdictPass {
			p.line("  " + gateNode(p.look, g).Text)
		}
	}
	for _, a := range step.Approvals {
		if !settled(step.State) {
			p.line("  " + approvalNode(p.look, a, time.Now()).Text)
		}
	}
	if a := step.Attempt; a != nil && a.Outcome != "" && a.Outcome != "succeeded" {
		p.ending(step, a)
	}
}

// ending is how a step's attempt came out, where its reason has not said it, and what is known of its death.
func (p *page) ending(step api.Step, a *api.Attempt) {
	said := a.Outcome == step.Reason && a.Message == "" || a.Message != "" && strings.Contains(step.Reason, a.Message)
	if !said {
		p.line("  " + join(fmt.Sprintf("attempt %d:", a.N), p.word(a.Outcome), firstLine(a.Message)))
	}
	if d, ok := deathOf(a); ok && (a.Outcome == outcomeStopped || !d.Proved) {
		p.line("  " + p.proof(d))
	}
}

// reasonOf is why a step stands as it does, unless one of its gates, which are told with it, says the same.
func reasonOf(step api.Step) string {
	told := func(g api.GateState) bool { return step.Reason == fmt.Sprintf("gate %q: %s", g.Name, g.Reason) }
	switch {
	case step.State == statePassed || slices.ContainsFunc(step.GateStates, told):
		return ""
	case step.Reason == outcomeNoChange:
		return "the executor ended and changed nothing; where that is right, dispatch with --expect none"
	}
	return firstLine(step.Reason)
}

// next names the commands that make sense now.
func (p *page) next(step api.Step, branch string) { p.listed(nextOf(step, branch)) }

func nextOf(step api.Step, branch string) (cmds []string) {
	if branch == "" {
		branch = "BRANCH"
	}
	switch {
	case step.State == statePassed:
		cmds = []string{"drawspan step apply " + step.ID + " --branch " + branch, "drawspan step diff " + step.ID}
	case len(step.Approvals) > 0 && !settled(step.State): // else an answer changes nothing
		for _, a := range step.Approvals {
			for _, line := range answerCommands(look{profile: term.Profile{}}, a) {
				if strings.HasPrefix(line, "drawspan") {
					cmds = append(cmds, line)
				}
			}
		}
	case settled(step.State):
		cmds = []string{"drawspan why " + step.ID, "drawspan step logs " + step.ID, "drawspan step followup " + step.ID + " TEXT"}
		if step.Attempt != nil && step.Attempt.Retryable {
			cmds[2] = "drawspan step retry " + step.ID
		}
	default:
		cmds = []string{"drawspan step wait " + step.ID}
	}
	return cmds
}

// listed are commands that can be next.
func (p *page) listed(cmds []string) {
	for i, c := range cmds {
		lead := "      "
		if i == 0 {
			lead = "next: "
		}
		p.lines = append(p.lines, lead+p.command(c))
	}
}

func (p *page) applied(a api.StepApplied) {
	what := "moved"
	if a.Made {
		what = "made"
	}
	from := ""
	if a.Before != "" {
		from = commit(a.Before) + " -> "
	}
	p.line(p.Mark(term.Good)+" branch "+p.strong(a.Branch)+" "+what, from+commit(a.After), p.simulated(a.Simulated))
}

// stepTable lists steps.
func (p *page) stepTable(steps []api.Step, now time.Time) {
	t := term.Table{Head: []string{"ID", "STATE", "STEP", "EXECUTOR", "ATTEMPTS", "TEXT", "DISPATCHED"}, Flex: 5}
	for _, s := range steps {
		t.Rows = append(t.Rows, []string{
			p.shortID(s.ID), p.state(s.State), fmt.Sprint(s.Ix), join(term.Line(s.Executor), p.simulated(simulated(s))),
			fmt.Sprint(s.Attempts), firstLine(s.Text), p.when(s.Dispatched, now),
		})
	}
	p.table(t)
}

// stepDetail shows one step whole.
func (p *page) stepDetail(s api.Step, now time.Time) {
	p.line(p.state(s.State), p.strong(fmtStep(s)), p.simulated(simulated(s)))
	ended := ""
	if s.EndedAt != nil {
		ended = p.when(*s.EndedAt, now) + ", after " + span(s.EndedAt.Sub(s.Dispatched))
	}
	paths := ""
	if s.Paths != nil {
		paths = term.Line(join("write "+strings.Join(s.Paths.Write, " "), "forbid "+strings.Join(s.Paths.Forbid, " ")))
	}
	p.facts(facts{
		{"id", term.Line(s.ID)}, {"run", term.Line(s.RunID)}, {"workspace", term.Line(s.Workspace)},
		{"executor", join(term.Line(s.Executor), p.simulated(simulated(s)))}, {"reason", firstLine(s.Reason)},
		{"dispatched", p.when(s.Dispatched, now) + " by " + actorOf(s.Actor)}, {"ended", ended},
		{"expect", term.Line(s.Expect)}, {"wall", term.Line(s.Wall)}, {"paths", paths},
		{"gates added", term.Line(strings.Join(s.Gates, ", "))},
	})
	p.gap()
	for line := range strings.SplitSeq(strings.TrimRight(term.Text(s.Text), "\n"), "\n") {
		p.line("  " + line)
	}
	if s.Attempt == nil {
		return
	}
	p.gap()
	b := newBoard(nil)
	b.put(s)
	p.tree(b.stepNode(p.look, s, now))
	if ev, ok := attemptDiff(s.Attempt); ok {
		p.gap()
		p.lines = append(p.lines, p.diffSummary(ev.Diff)...)
	}
	p.gap()
	p.next(s, "")
}

// actorOf is who did something.
func actorOf(a api.Actor) string { return term.Line(strings.TrimSpace(a.Kind + " " + a.ID)) }
