package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	exported "github.com/drawspan/drawspan/host/internal/evidence"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) auditCommand() *cobra.Command {
	return s.group("audit", "Verify, ask and export the record",
		"The record is an append-only log with a Merkle tree, a chain per run and signed checkpoints.",
		s.auditVerify(), s.auditQuery(), s.auditExport())
}

func (s *shell) auditVerify() *cobra.Command {
	var req api.AuditVerifyRequest
	cmd := s.leaf(leaf{
		use: "verify", args: []string{"[FILE]"}, short: "Verify the whole log: tree, chains, checkpoints, bodies",
		long: `Recomputes the log from its leaves and compares: the tree, the chain of every run, every checkpoint's
signature, every body against its digest, with --artifacts every stored byte. Exit 21 when anything
does not agree. With a FILE it verifies that export, or the record of a gate run, and asks no daemon; the
key that signed it is shown, for you to compare.`,
		example: "drawspan audit verify --artifacts",
		run: func(ctx context.Context, args []string) error {
			v, err := s.verified(ctx, req, args)
			if err != nil {
				return err
			}
			if err := s.show(v, nil, func(p *page) { p.auditVerdict(v, req.Artifacts) }); err != nil {
				return err
			}
			if !v.OK {
				return ended{fault.ExitAuditFailed}
			}
			return nil
		},
	})
	cmd.Flags().BoolVar(&req.Artifacts, "artifacts", false, "read and hash every stored artifact too")
	return cmd
}

// verified is the verdict on the daemon's log, or on a file.
func (s *shell) verified(ctx context.Context, req api.AuditVerifyRequest, files []string) (api.AuditVerdict, error) {
	if len(files) == 0 {
		return ask[api.AuditVerdict](ctx, s, api.OpAuditVerify, req)
	}
	if req.Artifacts {
		return api.AuditVerdict{}, usage("--artifacts: an export holds no artifacts, only their digests")
	}
	f, err := os.Open(s.absolute(files[0]))
	if err != nil {
		return api.AuditVerdict{}, unreadable(files[0], err)
	}
	defer f.Close()
	began := time.Now()
	v, err := exported.Verify(ctx, f)
	if err != nil {
		return api.AuditVerdict{}, err
	}
	out := api.AuditVerdict{
		OK: v.OK(), Events: v.Events, Runs: v.Runs, Checkpoints: v.Checkpoints, Bodies: v.Bodies, Purged: v.Purged, Root: v.Root, Key: v.Key,
		Problems: []string{}, TookMS: float64(time.Since(began)) / float64(time.Millisecond),
	}
	for _, p := range v.Problems {
		out.Problems = append(out.Problems, fmt.Sprintf("event %d: %s: %s", p.Seq, p.What, p.Detail))
	}
	return out, nil
}

func (p *page) auditVerdict(v api.AuditVerdict, read bool) {
	head := p.Mark(term.Good) + " " + p.Paint(term.Good, "verified")
	if !v.OK {
		head = p.Mark(term.Bad) + " " + p.Paint(term.Bad, "NOT verified: "+counted(len(v.Problems), "problem"))
	}
	p.line(head, fmt.Sprintf("%s of %s in %s", counted(int(v.Events), "event"), counted(int(v.Runs), "run"), span(time.Duration(v.TookMS*float64(time.Millisecond)))))
	bodies := fmt.Sprint(v.Bodies)
	if v.Purged > 0 {
		bodies += fmt.Sprintf(" (%d removed by retention; their digests still verify)", v.Purged)
	}
	files := "not read; add --artifacts"
	if read {
		files = fmt.Sprint(v.Artifacts)
	}
	p.facts(facts{
		{"checkpoints", fmt.Sprint(v.Checkpoints)}, {"bodies", bodies}, {"artifacts", files},
		{"root", term.Line(v.Root)}, {"key", term.Line(v.Key)},
	})
	for _, problem := range v.Problems {
		p.line("  " + p.Mark(term.Bad) + " " + term.Line(problem))
	}
}

func (s *shell) auditQuery() *cobra.Command {
	var req api.AuditQueryRequest
	var part paging
	var since, until string
	cmd := s.leaf(leaf{
		use: "query", aliases: []string{"ls"}, short: "Ask the record: events by filter, newest first",
		long: `Lists events of the log. --since and --until take RFC 3339 or a duration back from now, such as 2h.
With --jsonl it prints one event per line.`,
		example: "drawspan audit query --run run_01JD0Q8Z3V --kind 'approval.*' --since 24h",
		run: func(ctx context.Context, _ []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			req.Page = api.Page{Limit: part.limit, Cursor: part.cursor}
			if err := s.auditFilter(ctx, c, &req, since, until); err != nil {
				return err
			}
			l, err := client.Call[api.List[api.Event]](ctx, c, api.OpAuditQuery, req)
			if err != nil {
				return err
			}
			defer s.more(l.Next)
			if s.g.jsonl {
				return s.rows(l.Items)
			}
			return s.show(l, idsOf(l.Items, func(e api.Event) string { return e.Pos }), func(p *page) { p.eventTable(l.Items, s.now) })
		},
	})
	f := cmd.Flags()
	f.StringVar(&req.RunID, "run", "", "only of this `RUN`")
	f.StringVar(&req.StepID, "step", "", "only of this `STEP`")
	f.StringVar(&req.Kind, "kind", "", "only this `KIND`, or a prefix that ends in .*")
	f.StringVar(&req.Actor, "actor", "", "only by this `ACTOR`, such as uid:1000")
	f.StringVar(&since, "since", "", "only after this `TIME`")
	f.StringVar(&until, "until", "", "only before this `TIME`")
	part.flags(cmd)
	return cmd
}

func (s *shell) auditFilter(ctx context.Context, c *client.Client, req *api.AuditQueryRequest, since, until string) error {
	var err error
	if req.RunID != "" {
		if req.RunID, err = resolve(ctx, c, runIDs, req.RunID); err != nil {
			return err
		}
	}
	if req.StepID != "" {
		if req.StepID, err = resolve(ctx, c, stepIDs, req.StepID); err != nil {
			return err
		}
	}
	if req.Since, err = moment(since, s.now); err != nil {
		return err
	}
	req.Until, err = moment(until, s.now)
	return err
}

// moment is a time as RFC 3339, or so long before now.
func moment(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC().Format(time.RFC3339Nano), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "", usage("%q is neither a time such as 2026-01-02T15:04:05Z nor a duration such as 2h", text)
	}
	return at.UTC().Format(time.RFC3339Nano), nil
}

func (s *shell) rows(events []api.Event) error {
	for _, e := range events {
		if err := s.row(e); err != nil {
			return err
		}
	}
	return nil
}

func (p *page) eventTable(events []api.Event, now time.Time) {
	t := term.Table{Head: []string{"POS", "TIME", "KIND", "ACTOR", "OBJECT", "BODY"}, Flex: 5}
	for _, e := range events {
		body := term.Line(string(e.Body))
		if e.Purged {
			body = p.faint("(removed by retention)")
		}
		if p.profile.TTY {
			body = term.Cut(body, 200)
		}
		object := firstOf(e.AttemptID, e.StepID, e.RunID)
		t.Rows = append(t.Rows, []string{term.Line(e.Pos), p.when(e.At, now), p.event(e.Kind), actorOf(e.Actor), p.shortID(object), body})
	}
	p.table(t)
}

// event is an event's kind, toned by what happened.
func (l look) event(kind string) string {
	_, what, _ := strings.Cut(kind, ".")
	t := tones[what]
	if t == term.Faint {
		t = term.Plain
	}
	return l.Paint(t, term.Line(kind))
}

func (s *shell) auditExport() *cobra.Command {
	var out, run string
	cmd := s.leaf(leaf{
		use: "export", short: "Write the log, or one run of it, to a file",
		long:    "Writes the log with what is needed to verify it elsewhere, without this daemon.",
		example: "drawspan audit export --run run_01JD0Q8Z3V -o run.tar",
		run: func(ctx context.Context, _ []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			req := api.AuditExportRequest{}
			if run != "" {
				if req.RunID, err = resolve(ctx, c, runIDs, run); err != nil {
					return err
				}
			}
			return s.save(ctx, c, download{op: api.OpAuditExport, req: req, to: out, id: firstOf(req.RunID, out)})
		},
	})
	cmd.Flags().StringVarP(&out, "output", "o", "", "the new `FILE`; \"-\" is standard output")
	cmd.Flags().StringVar(&run, "run", "", "only this `RUN`")
	must(cmd, "output")
	return cmd
}
