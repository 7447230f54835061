package cli

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

// doOptions are the flags of do.
type doOptions struct {
	run      api.RunOpenRequest
	step     api.StepDispatchRequest
	rules    api.PathRules
	branch   string
	apply    bool
	detach   bool
	timeout  time.Duration
	stay     bool
	workName string
}

const doLong = `Opens a run, dispatches one step and follows it to its verdict: a live tree on a terminal, one line
per change elsewhere. Ctrl-C detaches and the work goes on.

TEXT is what the executor is to do; "-" reads it from standard input, @FILE from a file. Without
--workspace, the workspace is taken whose root contains the working directory; without --with, the
workspace's only executor. The run stays open for step retry and step followup.

The exit code is how the step stands: 0 passed, 10 a gate said fail, 11 the executor failed,
13 a person has to answer (drawspan help exit-codes).`

func (s *shell) doCommand() *cobra.Command {
	var o doOptions
	cmd := s.leaf(leaf{
		use: "do", args: []string{"TEXT"}, short: "Have one piece of work done and judged", long: doLong,
		example: `drawspan do "fix the flaky test" --with claude --workspace api --gate tests
drawspan do @task.md --with gofmt --branch tidy --apply`,
		run: func(ctx context.Context, args []string) error { return s.doWork(ctx, args[0], o) },
	})
	f := cmd.Flags()
	f.StringVar(&o.step.Executor, "with", "", "the `EXECUTOR` that does it")
	f.StringVarP(&o.workName, "workspace", "w", "", "the `WORKSPACE` to work on")
	f.StringVar(&o.run.Base, "base", "", "start from this `REF`, one that the workspace allows")
	f.StringArrayVar(&o.step.Gates, "gate", nil, "add this optional `GATE`; repeatable")
	f.StringVar(&o.branch, "branch", "", "the `BRANCH` that takes the result with --apply")
	f.BoolVar(&o.apply, "apply", false, "when it passed, bring the result to --branch")
	f.BoolVar(&o.detach, "detach", false, "dispatch only; print the step")
	narrowing(cmd, &o.step, &o.rules)
	following(cmd, &o.timeout, &o.stay)
	return cmd
}

// narrowing are the flags by which a dispatch may narrow what the configuration allows.
func narrowing(cmd *cobra.Command, req *api.StepDispatchRequest, rules *api.PathRules) {
	f := cmd.Flags()
	f.StringArrayVar(&rules.Write, "write", nil, "only paths that match this `GLOB` may change; repeatable")
	f.StringArrayVar(&rules.Forbid, "forbid", nil, "no path that matches this `GLOB` may change; repeatable")
	f.StringVar(&req.Wall, "wall", "", "at most this `DURATION` of work, such as 10m")
	f.StringVar(&req.Expect, "expect", "", "`none` if no change is what is wanted")
}

// following are the flags of everything that follows a step.
func following(cmd *cobra.Command, timeout *time.Duration, stay *bool) {
	cmd.Flags().DurationVar(timeout, "timeout", 0, "follow at most this `DURATION`; the work goes on (exit 15)")
	cmd.Flags().BoolVar(stay, "stay", false, "go on following while a person has to answer; on a terminal that is the default")
}

func (s *shell) doWork(ctx context.Context, arg string, o doOptions) error {
	if o.apply && o.branch == "" {
		return usage("--apply needs --branch").Fix("add --branch NAME")
	}
	text, err := s.text(arg)
	if err != nil {
		return err
	}
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := s.choose(ctx, c, &o); err != nil {
		return err
	}
	in, err := client.Call[api.Instance](ctx, c, api.OpInstanceDescribe, api.Empty{})
	if err != nil {
		return err
	}
	o.run.Title = term.Cut(firstLine(text), 80)
	run, err := client.Call[api.Run](ctx, c, api.OpRunOpen, o.run)
	if err != nil {
		return err
	}
	o.step.RunID, o.step.Text = run.ID, text
	o.step.Paths = given(o.rules)
	step, err := client.Call[api.Step](ctx, c, api.OpStepDispatch, o.step)
	if err != nil {
		return err
	}
	if o.detach {
		return s.dispatched(step)
	}
	st, err := s.attend(ctx, c, followed{runID: run.ID, stepID: step.ID, after: in.Head, timeout: o.timeout,
		over: stepOver(step.ID, s.stays(o.stay))})
	if err != nil {
		return err
	}
	return s.conclude(ctx, c, st, o)
}

// given is nil for rules that say nothing.
func given(r api.PathRules) *api.PathRules {
	if len(r.Write)+len(r.Forbid) == 0 {
		return nil
	}
	return &r
}

// stays reports whether following goes on while a person has to answer.
func (s *shell) stays(flag bool) bool { return flag || s.mayAsk() }

// choose fills in the workspace and the executor where there is only one choice.
func (s *shell) choose(ctx context.Context, c *client.Client, o *doOptions) error {
	all, err := client.Call[api.List[api.Workspace]](ctx, c, api.OpWorkspaceList, api.Empty{})
	if err != nil {
		return err
	}
	ws, err := pickWorkspace(all.Items, o.workName, s.io.Dir)
	if err != nil {
		return err
	}
	o.run.Workspace = ws.Name
	if o.step.Executor != "" {
		return nil
	}
	if len(ws.Executors) == 0 {
		return usage("workspace %q has no executors: its gates judge commits, and nothing runs there", ws.Name).
			Fix("judge commits: drawspan gate run --workspace %s", ws.Name)
	}
	if len(ws.Executors) != 1 {
		return usage("workspace %q has %s: %s", ws.Name, counted(len(ws.Executors), "executor"), strings.Join(ws.Executors, ", ")).
			Fix("add --with EXECUTOR")
	}
	o.step.Executor = ws.Executors[0]
	return nil
}

// pickWorkspace is the named workspace, else the one whose root is nearest around dir, else the only one.
func pickWorkspace(all []api.Workspace, name, dir string) (api.Workspace, error) {
	var best api.Workspace
	names := make([]string, len(all))
	for i, w := range all {
		names[i] = w.Name
		if name != "" {
			if w.Name == name {
				return w, nil
			}
			continue
		}
		rel, err := filepath.Rel(w.Root, dir)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") && len(w.Root) > len(best.Root) {
			best = w
		}
	}
	switch {
	case name != "":
		return best, fault.New(fault.NotFound, "there is no workspace %q; declared: %s", name, strings.Join(names, ", ")).
			At(name).Fix("drawspan workspace ls")
	case best.Name != "":
		return best, nil
	case len(all) == 1:
		return all[0], nil
	}
	return best, usage("which workspace? declared: %s", strings.Join(names, ", ")).Fix("add --workspace NAME")
}

// dispatched answers for a step that was only dispatched.
func (s *shell) dispatched(step api.Step) error {
	return s.show(step, []string{step.ID}, func(p *page) {
		p.line(p.state(step.State), p.strong(fmtStep(step)), p.faint(step.ID), p.simulated(step.Simulated))
		p.line("follow it:", p.command("drawspan step wait "+step.ID))
	})
}

// conclude applies where asked, prints what came of it and answers with the exit code.
func (s *shell) conclude(ctx context.Context, c *client.Client, st standing, o doOptions) error {
	var applied *api.StepApplied
	if o.apply && st.step.State == statePassed {
		a, err := client.Call[api.StepApplied](ctx, c, api.OpStepApply, api.StepApplyRequest{StepID: st.step.ID, Branch: o.branch})
		if err != nil {
			return err
		}
		applied = &a
	}
	if err := s.showEnd(st, applied, o.branch); err != nil {
		return err
	}
	return st.exit()
}
