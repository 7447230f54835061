package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) runCommand() *cobra.Command {
	return s.group("run", "Open, watch and close runs",
		"A run is a session against one workspace, from one base commit. Its steps build on each other.",
		s.runOpen(), s.runLs(), s.runShow(), s.runTree(), s.runWatch(), s.runClose(), s.runCancel(), s.runExport())
}

func (s *shell) runOpen() *cobra.Command {
	var req api.RunOpenRequest
	cmd := s.leaf(leaf{
		use: "open", args: []string{"WORKSPACE"}, short: "Open a run on a workspace",
		long: `Opens a run. Its base is the workspace's, or one of the refs that the workspace allows. With --key,
sending the same again answers with the first run.`,
		example: `drawspan run open api --base main --title "dependency update"`,
		run: func(ctx context.Context, args []string) error {
			req.Workspace = args[0]
			run, err := ask[api.Run](ctx, s, api.OpRunOpen, req)
			if err != nil {
				return err
			}
			return s.show(run, []string{run.ID}, func(p *page) {
				p.runDetail(run, s.now)
				p.gap()
				p.line("next: " + p.command("drawspan step dispatch "+run.ID+" TEXT --with EXECUTOR"))
			})
		},
	})
	cmd.Flags().StringVar(&req.Base, "base", "", "the `REF` to start from")
	cmd.Flags().StringVar(&req.Title, "title", "", "a title for people")
	cmd.Flags().StringVar(&req.Key, "key", "", "idempotency `KEY`")
	return cmd
}

func (p *page) runDetail(r api.Run, now time.Time) {
	p.line(p.state(r.State), p.strong("run"), term.Line(r.Title))
	ended := ""
	if r.EndedAt != nil {
		ended = p.when(*r.EndedAt, now)
	}
	p.facts(facts{
		{"id", term.Line(r.ID)}, {"workspace", term.Line(r.Workspace)}, {"base", term.Line(r.Base) + " " + commit(r.BaseCommit)},
		{"steps", fmt.Sprint(r.Steps)}, {"opened", p.when(r.OpenedAt, now) + " by " + actorOf(r.Actor)}, {"ended", ended},
		{"policy", term.Line(r.PolicySum)},
	})
}

func (s *shell) runLs() *cobra.Command {
	var req api.RunListRequest
	var part paging
	cmd := s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, short: "List runs, newest first",
		long: "Lists runs, newest first.", example: "drawspan run ls --workspace api --state open",
		run: func(ctx context.Context, _ []string) error {
			req.Page = api.Page{Limit: part.limit, Cursor: part.cursor}
			l, err := ask[api.List[api.Run]](ctx, s, api.OpRunList, req)
			if err != nil {
				return err
			}
			defer s.more(l.Next)
			return s.show(l, idsOf(l.Items, func(r api.Run) string { return r.ID }), func(p *page) {
				t := term.Table{Head: []string{"ID", "STATE", "WORKSPACE", "BASE", "STEPS", "TITLE", "OPENED"}, Flex: 5}
				for _, r := range l.Items {
					t.Rows = append(t.Rows, []string{p.shortID(r.ID), p.state(r.State), term.Line(r.Workspace),
						term.Line(r.Base), fmt.Sprint(r.Steps), firstLine(r.Title), p.when(r.OpenedAt, s.now)})
				}
				p.table(t)
			})
		},
	})
	cmd.Flags().StringVarP(&req.Workspace, "workspace", "w", "", "only of this `WORKSPACE`")
	cmd.Flags().StringVar(&req.State, "state", "", "only in this `STATE`: open, closed, cancelled")
	part.flags(cmd)
	return cmd
}

func (s *shell) runShow() *cobra.Command {
	return s.leaf(leaf{
		use: "show", args: []string{"RUN"}, short: "Show one run with its steps",
		long: "Shows a run and lists its steps in their order.", example: "drawspan run show run_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, runIDs, args[0], func(c *client.Client, id string) error {
				run, err := client.Call[api.Run](ctx, c, api.OpRunGet, api.RunRef{RunID: id})
				if err != nil {
					return err
				}
				if s.g.json || s.g.quiet {
					return s.show(run, []string{run.ID}, nil)
				}
				req := api.StepListRequest{RunID: id, Page: api.Page{Limit: maxFollowed}}
				steps, err := client.Call[api.List[api.Step]](ctx, c, api.OpStepList, req)
				if err != nil {
					return err
				}
				return s.show(run, nil, func(p *page) {
					p.runDetail(run, s.now)
					if len(steps.Items) > 0 {
						p.gap()
						p.stepTable(steps.Items, s.now)
					}
				})
			})
		},
	})
}

func (s *shell) runTree() *cobra.Command {
	return s.leaf(leaf{
		use: "tree", args: []string{"RUN"}, short: "Show a run as a tree: steps, attempts, gates, approvals",
		long:    "Shows everything of a run as it is now. Earlier attempts of a step are shown above its newest.",
		example: "drawspan run tree run_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, runIDs, args[0], func(c *client.Client, id string) error {
				b, err := runBoard(ctx, c, id)
				if err != nil {
					return err
				}
				doc := map[string]any{"run": b.run, "steps": b.steps, "earlier_attempts": b.earlier}
				ids := idsOf(b.steps, func(x api.Step) string { return x.ID })
				return s.show(doc, ids, func(p *page) { p.tree(b.tree(p.look, s.now)) })
			})
		},
	})
}

// runBoard asks for everything of a run, as far as one screen makes sense of it.
func runBoard(ctx context.Context, c *client.Client, id string) (*board, error) {
	run, err := client.Call[api.Run](ctx, c, api.OpRunGet, api.RunRef{RunID: id})
	if err != nil {
		return nil, err
	}
	b := newBoard(&run)
	req := api.StepListRequest{RunID: id, Page: api.Page{Limit: maxFollowed}}
	steps, err := client.Call[api.List[api.Step]](ctx, c, api.OpStepList, req)
	if err != nil {
		return nil, err
	}
	for _, s := range steps.Items {
		step, err := client.Call[api.Step](ctx, c, api.OpStepGet, api.StepRef{StepID: s.ID})
		if err != nil {
			return nil, err
		}
		b.put(step)
		if step.Attempts < 2 {
			continue
		}
		all, err := client.Call[api.List[api.Attempt]](ctx, c, api.OpAttemptList, api.AttemptListRequest{StepID: s.ID})
		if err != nil {
			return nil, err
		}
		for _, a := range all.Items {
			if a.ID != step.AttemptID {
				b.earlier[s.ID] = append(b.earlier[s.ID], a)
			}
		}
	}
	return b, nil
}

func (s *shell) runWatch() *cobra.Command {
	var timeout time.Duration
	var untilSettled bool
	cmd := s.leaf(leaf{
		use: "watch", args: []string{"RUN"}, short: "Follow a run until it is closed or cancelled",
		long: `Follows all steps of a run, those that are dispatched later too. With --jsonl it prints the events
of the log as they are recorded. Ctrl-C detaches.`,
		example: "drawspan run watch run_01JD0Q8Z3V --until-settled",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, runIDs, args[0], func(c *client.Client, id string) error {
				over := func(b *board) bool {
					return (b.run.State != stateOpen || untilSettled) && allSettled(b)
				}
				b, err := s.follow(ctx, c, s.jsonl(followed{runID: id, timeout: timeout, over: over}))
				if errors.Is(err, errDetached) {
					s.farewell("drawspan run watch "+id, "drawspan run cancel "+id)
					return ended{fault.ExitInterrupted}
				}
				if err != nil || s.g.jsonl {
					return err
				}
				return s.show(b.run, []string{id}, func(p *page) {
					p.line(p.state(b.run.State), p.strong("run"), term.Line(b.run.ID), counted(len(b.steps), "step"))
				})
			})
		},
	})
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "follow at most this `DURATION` (exit 15)")
	cmd.Flags().BoolVar(&untilSettled, "until-settled", false, "end when every step has settled, though the run is open")
	return cmd
}

func allSettled(b *board) bool {
	for _, s := range b.steps {
		if !settled(s.State) {
			return false
		}
	}
	return true
}

func (s *shell) runClose() *cobra.Command {
	return s.leaf(leaf{
		use: "close", args: []string{"RUN"}, short: "Close a run: it takes no further steps",
		long: `Closes a run and seals its chain in the log. Steps that are on their way go on; closing waits for
none. A closed run takes no retry and no follow-up either.`,
		example: "drawspan run close run_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, runIDs, args[0], func(c *client.Client, id string) error {
				run, err := client.Call[api.Run](ctx, c, api.OpRunClose, api.RunRef{RunID: id})
				return s.showRun(run, err)
			})
		},
	})
}

func (s *shell) showRun(run api.Run, err error) error {
	if err != nil {
		return err
	}
	return s.show(run, []string{run.ID}, func(p *page) { p.line(p.state(run.State), p.strong("run"), term.Line(run.ID)) })
}

func (s *shell) runCancel() *cobra.Command {
	req := api.RunCancelRequest{}
	cmd := s.leaf(leaf{
		use: "cancel", args: []string{"RUN"}, short: "Cancel a run with all its steps",
		long: `Cancels a run. The answer comes at once; each step is cancelled only when the death of its processes
is proved. Results so far are kept.`,
		example: "drawspan run cancel run_01JD0Q8Z3V && drawspan run watch run_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, runIDs, args[0], func(c *client.Client, id string) error {
				req.RunID = id
				run, err := client.Call[api.Run](ctx, c, api.OpRunCancel, req)
				return s.showRun(run, err)
			})
		},
	})
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	return cmd
}

func (s *shell) runExport() *cobra.Command {
	var out string
	cmd := s.leaf(leaf{
		use: "export", args: []string{"RUN"}, short: "Write the evidence of a run to a file",
		long:    "Writes the evidence of one run: its part of the log with what is needed to verify it elsewhere.",
		example: "drawspan run export run_01JD0Q8Z3V -o evidence.tar",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, runIDs, args[0], func(c *client.Client, id string) error {
				return s.save(ctx, c, download{op: api.OpRunExport, req: api.RunRef{RunID: id}, to: out, id: id})
			})
		},
	})
	cmd.Flags().StringVarP(&out, "output", "o", "", "the `FILE` to write; \"-\" is standard output")
	must(cmd, "output")
	return cmd
}
