package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
)

func (s *shell) stepCommand() *cobra.Command {
	return s.group("step", "Dispatch, follow and use single steps",
		"A step is one dispatched unit of work. Steps of a run are executed in their order.",
		s.stepDispatch(), s.stepLs(), s.stepShow(), s.stepWait(), s.stepCancel(), s.stepRetry(), s.stepFollowup(),
		s.stepApply(), s.stepDiff(), s.stepLogs())
}

func (s *shell) stepDispatch() *cobra.Command {
	var req api.StepDispatchRequest
	var rules api.PathRules
	cmd := s.leaf(leaf{
		use: "dispatch", args: []string{"RUN", "TEXT"}, short: "Dispatch a step to an open run",
		long: `Dispatches a step and answers at once with its id. It can narrow paths and time and add gates,
never widen or drop any. TEXT may be "-" (standard input) or @FILE. With --key, sending the same
again answers with the first step.`,
		example: `drawspan step dispatch run_01JD0Q8Z3V "tidy the imports" --with gofmt --forbid 'vendor/**'`,
		run: func(ctx context.Context, args []string) error {
			text, err := s.text(args[1])
			if err != nil {
				return err
			}
			return s.withID(ctx, runIDs, args[0], func(c *client.Client, id string) error {
				req.RunID, req.Text, req.Paths = id, text, given(rules)
				step, err := client.Call[api.Step](ctx, c, api.OpStepDispatch, req)
				if err != nil {
					return err
				}
				return s.dispatched(step)
			})
		},
	})
	f := cmd.Flags()
	f.StringVar(&req.Executor, "with", "", "the `EXECUTOR` that does it")
	f.StringArrayVar(&req.Gates, "gate", nil, "add this optional `GATE`; repeatable")
	f.StringVar(&req.Key, "key", "", "idempotency `KEY`")
	narrowing(cmd, &req, &rules)
	must(cmd, "with")
	return cmd
}

// must marks a flag that has to be given.
func must(cmd *cobra.Command, flag string) {
	if err := cmd.MarkFlagRequired(flag); err != nil {
		panic(err) // the flag is declared one line above
	}
}

// withID opens the client and completes the id that an argument names.
func (s *shell) withID(ctx context.Context, kind idKind, arg string, run func(c *client.Client, id string) error) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	id, err := resolve(ctx, c, kind, arg)
	if err != nil {
		return err
	}
	return run(c, id)
}

func (s *shell) stepLs() *cobra.Command {
	var req api.StepListRequest
	var part paging
	cmd := s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, args: []string{"[RUN]"}, short: "List the steps of a run, or the newest of all",
		long:    "Lists the steps of a run in their order, or without RUN the newest steps of all runs.",
		example: "drawspan step ls --state held",
		run: func(ctx context.Context, args []string) error {
			req.Page = api.Page{Limit: part.limit, Cursor: part.cursor}
			list := func(c *client.Client, id string) error {
				req.RunID = id
				l, err := client.Call[api.List[api.Step]](ctx, c, api.OpStepList, req)
				if err != nil {
					return err
				}
				defer s.more(l.Next)
				ids := idsOf(l.Items, func(x api.Step) string { return x.ID })
				return s.show(l, ids, func(p *page) { p.stepTable(l.Items, s.now) })
			}
			if len(args) == 1 {
				return s.withID(ctx, runIDs, args[0], list)
			}
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			return list(c, "")
		},
	})
	cmd.Flags().StringVar(&req.State, "state", "", "only those in this `STATE`")
	part.flags(cmd)
	return cmd
}

func (s *shell) stepShow() *cobra.Command {
	var byState bool
	cmd := s.leaf(leaf{
		use: "show", args: []string{"STEP"}, short: "Show one step with its newest attempt, gates and open approvals",
		long: `Shows a step whole. With --exit-code the exit code says how it stands: 0 passed, 8 still pending,
10 rejected and so on (drawspan help exit-codes).`,
		example: "drawspan step show step_01JD0Q8Z3V --exit-code",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, stepIDs, args[0], func(c *client.Client, id string) error {
				step, err := client.Call[api.Step](ctx, c, api.OpStepGet, api.StepRef{StepID: id})
				if err != nil {
					return err
				}
				if err := s.show(step, []string{step.ID}, func(p *page) { p.stepDetail(step, s.now) }); err != nil || !byState {
					return err
				}
				return standing{step, stepExit(step, false)}.exit()
			})
		},
	})
	cmd.Flags().BoolVar(&byState, "exit-code", false, "exit by the step's state")
	return cmd
}

func (s *shell) stepWait() *cobra.Command {
	var timeout time.Duration
	var stay bool
	cmd := s.leaf(leaf{
		use: "wait", aliases: []string{"attach"}, args: []string{"STEP"}, short: "Follow a step until it has settled",
		long: `Follows a step: a live tree on a terminal, one line per change elsewhere, and ends when it has
settled or, without a terminal, when a person has to answer (exit 13). Ctrl-C detaches (exit 130).`,
		example: "drawspan step wait step_01JD0Q8Z3V --timeout 10m --json",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, stepIDs, args[0], func(c *client.Client, id string) error {
				st, err := s.attend(ctx, c, s.jsonl(followed{stepID: id, timeout: timeout, over: stepOver(id, s.stays(stay))}))
				if err != nil {
					return err
				}
				if s.g.jsonl {
					return st.exit()
				}
				if err := s.showEnd(st, nil, ""); err != nil {
					return err
				}
				return st.exit()
			})
		},
	})
	following(cmd, &timeout, &stay)
	return cmd
}

// jsonl makes a followed print its events as JSON lines where that was asked for.
func (s *shell) jsonl(f followed) followed {
	if s.g.jsonl {
		f.row = func(e api.Event) error { return s.row(e) }
	}
	return f
}

func (s *shell) stepCancel() *cobra.Command {
	var reason string
	var wait time.Duration
	cmd := s.leaf(leaf{
		use: "cancel", args: []string{"STEP"}, short: "Cancel a step and wait for the proof that nothing of it runs",
		long: `Asks to cancel a step and waits for the proof that no process of it is left. Exit 12: cancelled and
proved. Exit 16: asked for, not proved so far; the daemon goes on trying. A step that had ended already
answers with how it ended. What the attempt changed so far is kept: drawspan attempt restore.`,
		example: `drawspan step cancel step_01JD0Q8Z3V --reason "wrong branch"`,
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, stepIDs, args[0], func(c *client.Client, id string) error {
				st, err := s.cancelStep(ctx, c, api.StepCancelRequest{StepID: id, Reason: reason}, wait)
				if err != nil {
					return err
				}
				if err := s.showEnd(st, nil, ""); err != nil {
					return err
				}
				return st.exit()
			})
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().DurationVar(&wait, "wait", confirmWait, "how long to wait for the proof; 0 only asks")
	return cmd
}

func (s *shell) stepRetry() *cobra.Command {
	var key string
	cmd := s.leaf(leaf{
		use: "retry", args: []string{"STEP"}, short: "Queue a new attempt of an ended step, from its base",
		long: `Queues a new attempt of a step that has ended, from the same base and with the same text. Its run
must be open.`,
		example: "drawspan step retry step_01JD0Q8Z3V && drawspan step wait step_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, stepIDs, args[0], func(c *client.Client, id string) error {
				step, err := client.Call[api.Step](ctx, c, api.OpStepRetry, api.StepRetryRequest{StepID: id, Key: key})
				if err != nil {
					return err
				}
				return s.dispatched(step)
			})
		},
	})
	cmd.Flags().StringVar(&key, "key", "", "idempotency `KEY`")
	return cmd
}

func (s *shell) stepFollowup() *cobra.Command {
	var key string
	cmd := s.leaf(leaf{
		use: "followup", args: []string{"STEP", "TEXT"}, short: "Queue a new attempt that goes on from the newest one's result",
		long: `Queues a new attempt of a step that starts from the kept tree of the newest attempt, with a new
text: a remark from a review, a failing test. TEXT may be "-" or @FILE. Its run must be open.`,
		example: `drawspan step followup step_01JD0Q8Z3V "the error case has no test"`,
		run: func(ctx context.Context, args []string) error {
			text, err := s.text(args[1])
			if err != nil {
				return err
			}
			return s.withID(ctx, stepIDs, args[0], func(c *client.Client, id string) error {
				step, err := client.Call[api.Step](ctx, c, api.OpStepFollowup, api.StepFollowupRequest{StepID: id, Text: text, Key: key})
				if err != nil {
					return err
				}
				return s.dispatched(step)
			})
		},
	})
	cmd.Flags().StringVar(&key, "key", "", "idempotency `KEY`")
	return cmd
}

func (s *shell) stepApply() *cobra.Command {
	var branch string
	cmd := s.leaf(leaf{
		use: "apply", args: []string{"STEP"}, short: "Bring a passed step's commit to a branch of your repository",
		long: `Makes a new branch at the step's commit, or fast-forwards one that is checked out nowhere. Nothing
else of your repository is touched.`,
		example: "drawspan step apply step_01JD0Q8Z3V --branch fix-flaky-test",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, stepIDs, args[0], func(c *client.Client, id string) error {
				a, err := client.Call[api.StepApplied](ctx, c, api.OpStepApply, api.StepApplyRequest{StepID: id, Branch: branch})
				if err != nil {
					return err
				}
				return s.show(a, []string{a.After}, func(p *page) { p.applied(a) })
			})
		},
	})
	cmd.Flags().StringVar(&branch, "branch", "", "the `BRANCH` to make or fast-forward")
	must(cmd, "branch")
	return cmd
}
