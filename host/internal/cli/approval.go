package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) approvalCommand() *cobra.Command {
	return s.group("approval", "See and answer what waits for a person",
		`A hold is a gate that waits, a permission is an executor that asks leave, a question asks for
information. Each has a deadline and a default for when nobody answers.`,
		s.approvalLs(), s.approvalShow(),
		s.approvalDecide(decision{verb: "allow", args: []string{"APPROVAL"}, short: "Allow a hold or a permission",
			example: `drawspan approval allow apr_01JD0Q8Z3V --note "looked at the diff"`}),
		s.approvalDecide(decision{verb: "deny", args: []string{"APPROVAL"}, short: "Deny a hold or a permission, or refuse to answer a question",
			example: `drawspan approval deny apr_01JD0Q8Z3V --note "touches the licence"`}),
		s.approvalDecide(decision{verb: "answer", args: []string{"APPROVAL", "TEXT"}, short: "Answer a question",
			example: `drawspan approval answer apr_01JD0Q8Z3V "use the second layout"`}))
}

func (s *shell) approvalLs() *cobra.Command {
	var req api.ApprovalListRequest
	var part paging
	var all bool
	cmd := s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, short: "List what waits for an answer",
		long: "Lists open approvals, or with --all decided ones too.", example: "drawspan approval ls",
		run: func(ctx context.Context, _ []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			req.Page = api.Page{Limit: part.limit, Cursor: part.cursor}
			if all {
				req.State = "all"
			}
			if req.RunID != "" {
				if req.RunID, err = resolve(ctx, c, runIDs, req.RunID); err != nil {
					return err
				}
			}
			l, err := client.Call[api.List[api.Approval]](ctx, c, api.OpApprovalList, req)
			if err != nil {
				return err
			}
			defer s.more(l.Next)
			return s.show(l, idsOf(l.Items, func(a api.Approval) string { return a.ID }), func(p *page) {
				if len(l.Items) == 0 {
					p.line("nothing waits for an answer")
					return
				}
				p.approvalTable(l.Items, s.now)
			})
		},
	})
	cmd.Flags().BoolVar(&all, "all", false, "decided ones too")
	cmd.Flags().StringVar(&req.RunID, "run", "", "only of this `RUN`")
	part.flags(cmd)
	return cmd
}

func (p *page) approvalTable(items []api.Approval, now time.Time) {
	t := term.Table{Head: []string{"ID", "STATE", "KIND", "WORKSPACE", "PROMPT", "DUE", "ELSE"}, Flex: 4}
	for _, a := range items {
		state, due := p.state(a.State), p.when(a.Deadline, now)
		if a.State == stateOpen {
			state = p.Mark(term.Ask) + " " + p.Paint(term.Ask, "open")
		} else {
			due = ""
		}
		id := term.Line(a.ID) // whole: it is what the answer needs
		t.Rows = append(t.Rows, []string{id, state, join(term.Line(a.Kind), p.simulated(a.Simulated)), term.Line(a.Workspace), firstLine(a.Prompt), due, fallback(a)})
	}
	p.table(t)
}

func (s *shell) approvalShow() *cobra.Command {
	return s.leaf(leaf{
		use: "show", args: []string{"APPROVAL"}, short: "Show one approval, whole",
		long: "Shows who asks what, until when, what happens otherwise, and the commands that answer it.", example: "drawspan approval show apr_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			return s.withID(ctx, approvalIDs, args[0], func(c *client.Client, id string) error {
				a, err := findApproval(ctx, c, id)
				if err != nil {
					return err
				}
				return s.show(a, []string{a.ID}, func(p *page) { p.approvalDetail(a, s.now) })
			})
		},
	})
}

// findApproval looks an approval up among the newest; there is no operation for a single one.
func findApproval(ctx context.Context, c *client.Client, id string) (api.Approval, error) {
	req := api.ApprovalListRequest{State: "all", Page: api.Page{Limit: resolvePage}}
	for range resolvePages {
		l, err := client.Call[api.List[api.Approval]](ctx, c, api.OpApprovalList, req)
		if err != nil {
			return api.Approval{}, err
		}
		for _, a := range l.Items {
			if a.ID == id {
				return a, nil
			}
		}
		if l.Next == "" {
			break
		}
		req.Cursor = l.Next
	}
	return api.Approval{}, fault.New(fault.NotFound, "there is no such approval").At(id).Fix("drawspan approval ls --all")
}

func (p *page) approvalDetail(a api.Approval, now time.Time) {
	p.line(p.state(a.State), p.strong(a.Kind), term.Line(a.ID), p.simulated(a.Simulated))
	decided := ""
	if a.DecidedAt != nil {
		decided = p.when(*a.DecidedAt, now) + " by " + term.Line(a.DecidedBy)
		if a.Actor != nil {
			decided += " (" + actorOf(*a.Actor) + ")"
		}
	}
	p.facts(facts{
		{"run", term.Line(a.RunID)}, {"step", term.Line(a.StepID)}, {"attempt", term.Line(a.AttemptID)}, {"workspace", term.Line(a.Workspace)},
		{"gate", term.Line(a.Gate)}, {"opened", p.when(a.OpenedAt, now)}, {"due", p.when(a.Deadline, now) + ", then " + fallback(a)},
		{"answer", firstLine(a.Answer)}, {"note", firstLine(a.Note)}, {"decided", decided},
	})
	p.gap()
	for line := range strings.SplitSeq(strings.TrimRight(term.Text(a.Prompt), "\n"), "\n") {
		p.line("  " + line)
	}
	if a.State == stateOpen {
		p.gap()
		for _, line := range answerCommands(p.look, a) {
			p.line(line)
		}
	}
}

// decision is allow, deny or answer.
type decision struct {
	verb, short, example string
	args                 []string
}

func (s *shell) approvalDecide(d decision) *cobra.Command {
	var note string
	cmd := s.leaf(leaf{
		use: d.verb, args: d.args, short: d.short, example: d.example,
		long: `Records a decision with who made it. What was decided already, by a person or by its deadline, stays
as it is (exit 6).`,
		run: func(ctx context.Context, args []string) error {
			req := api.ApprovalDecideRequest{Decision: d.verb, Note: note}
			if len(args) == 2 {
				text, err := s.text(args[1])
				if err != nil {
					return err
				}
				req.Answer = strings.TrimRight(text, "\n")
			}
			return s.withID(ctx, approvalIDs, args[0], func(c *client.Client, id string) error {
				req.ApprovalID = id
				a, err := client.Call[api.Approval](ctx, c, api.OpApprovalDecide, req)
				if err != nil {
					return err
				}
				return s.show(a, []string{a.ID}, func(p *page) {
					p.line(p.state(a.State), p.strong(a.Kind), term.Line(a.ID), p.simulated(a.Simulated))
					p.line("follow it:", p.command("drawspan step wait "+a.StepID))
				})
			})
		},
	})
	cmd.Flags().StringVar(&note, "note", "", "the `REASON`, for the record")
	return cmd
}
