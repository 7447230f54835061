package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) attemptCommand() *cobra.Command {
	return s.group("attempt", "Look at single attempts and restore what they left",
		"An attempt is one execution of a step in its own worktree and sandbox. What it left is always kept.",
		s.attemptLs(), s.attemptShow(),
		s.logsCommand("ATTEMPT", "Print what an attempt wrote and did", "drawspan attempt logs att_01JD0Q8Z3V --stream stderr"),
		s.attemptRestore())
}

func (s *shell) attemptLs() *cobra.Command {
	var req api.AttemptListRequest
	var part paging
	var paths bool
	cmd := s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, args: []string{"[STEP|RUN]"}, short: "List attempts of a step or run, or the newest of all",
		long: `Lists attempts. With --path it shows where their trees are, while they exist; -q --path prints the
paths alone.`,
		example: "drawspan attempt ls run_01JD0Q8Z3V --path",
		run: func(ctx context.Context, args []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			req.Page = api.Page{Limit: part.limit, Cursor: part.cursor}
			if err := attemptsOf(ctx, c, args, &req); err != nil {
				return err
			}
			l, err := client.Call[api.List[api.Attempt]](ctx, c, api.OpAttemptList, req)
			if err != nil {
				return err
			}
			defer s.more(l.Next)
			ids := idsOf(l.Items, func(a api.Attempt) string { return a.ID })
			if paths {
				ids = idsOf(l.Items, func(a api.Attempt) string { return term.Line(a.TreePath) })
				ids = slices.DeleteFunc(ids, func(p string) bool { return p == "" })
			}
			return s.show(l, ids, func(p *page) { p.attemptTable(l.Items, paths, s.now) })
		},
	})
	cmd.Flags().BoolVar(&paths, "path", false, "show where the trees are")
	part.flags(cmd)
	return cmd
}

// attemptsOf narrows a list to the step or run that an argument names.
func attemptsOf(ctx context.Context, c *client.Client, args []string, req *api.AttemptListRequest) error {
	var err error
	switch {
	case len(args) == 0:
	case strings.HasPrefix(args[0], runIDs.prefix):
		req.RunID, err = resolve(ctx, c, runIDs, args[0])
	default:
		req.StepID, err = resolve(ctx, c, stepIDs, args[0])
	}
	return err
}

func (p *page) attemptTable(items []api.Attempt, paths bool, now time.Time) {
	t := term.Table{Head: []string{"ID", "STATE", "N", "EXECUTOR", "LEVEL", "STEP", "CREATED"}, Flex: -1}
	if paths {
		t.Head, t.Flex = []string{"ID", "STATE", "N", "EXECUTOR", "TREE"}, -1
	}
	for _, a := range items {
		row := []string{p.shortID(a.ID), p.state(firstOf(a.Outcome, a.State)), fmt.Sprint(a.N),
			join(term.Line(a.Executor), p.simulated(a.Simulated))}
		if paths {
			row = append(row, firstOf(term.Line(a.TreePath), "-"))
		} else {
			row = append(row, term.Line(a.Level), p.shortID(a.StepID), p.when(a.CreatedAt, now))
		}
		t.Rows = append(t.Rows, row)
	}
	p.table(t)
}

func (s *shell) attemptShow() *cobra.Command {
	return s.leaf(leaf{
		use: "show", args: []string{"ATTEMPT"}, short: "Show one attempt: claim, evidence, what the sandbox enforced",
		long: `Shows an attempt whole. What the executor said of itself stands apart, as claim; everything else is
what the host saw. A step's id stands for its newest attempt.`,
		example: "drawspan attempt show att_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			id, err := newestAttempt(ctx, c, args[0])
			if err != nil {
				return err
			}
			a, err := client.Call[api.Attempt](ctx, c, api.OpAttemptGet, api.AttemptRef{AttemptID: id})
			if err != nil {
				return err
			}
			return s.show(a, []string{a.ID}, func(p *page) { p.attemptDetail(a, s.now) })
		},
	})
}

func (p *page) attemptDetail(a api.Attempt, now time.Time) {
	p.line(p.state(firstOf(a.Outcome, a.State)), p.strong(fmt.Sprintf("attempt %d", a.N)), p.simulated(a.Simulated))
	took := ""
	if a.StartedAt != nil && a.EndedAt != nil {
		took = span(a.EndedAt.Sub(*a.StartedAt))
	}
	proof := ""
	if d, ok := deathOf(&a); ok {
		proof = p.proof(d)
	}
	retry := ""
	if a.Retryable {
		retry = "yes"
	}
	p.facts(facts{
		{"id", term.Line(a.ID)}, {"step", term.Line(a.StepID)}, {"run", term.Line(a.RunID)},
		{"executor", join(term.Line(a.Executor), p.simulated(a.Simulated))}, {"plugin", p.plugin(a.Plugin)},
		{"state", p.state(a.State)}, {"reason", term.Line(a.Reason)}, {"message", firstLine(a.Message)},
		{"cause", term.Line(a.Cause)}, {"worth a retry", retry}, {"created", p.when(a.CreatedAt, now)}, {"took", took},
		{"base", commit(a.Base)}, {"start", commit(a.Start)}, {"level", term.Line(a.Level)}, {"end", proof},
		{"tree", term.Line(a.TreePath)},
	})
	if c, ok := opened[claim](a.Claim); ok {
		p.gap()
		p.line(p.strong("claim"), p.faint("(the executor's own words)"))
		p.facts(facts{{"  says", firstLine(c.Summary)}, {"  stopped", term.Line(c.StopReason)},
			{"  exit", exitOf(c.ExitCode, c.Signal)}, {"  error", firstLine(join(c.ErrorClass, c.Error))},
			{"  program version", term.Line(c.Version)}, {"  session", term.Line(c.Session)}, {"  usage", c.Usage.words()},
			{"  retry after", waitOf(c.RetryAfter)}})
	}
	if ev, ok := attemptDiff(&a); ok {
		p.gap()
		p.line(p.strong("evidence"), p.faint("(what the host saw)"))
		p.evidence(ev)
	}
	if len(a.Enforced) > 0 {
		p.gap()
		p.line(p.strong("enforced"), p.faint("(by the sandbox)"))
		p.lines = append(p.lines, jsonLines(a.Enforced, "  ")...)
	}
}

func (p *page) evidence(ev evidence) {
	cut := ""
	if ev.Truncated {
		cut = " (cut at the cap)"
	}
	p.facts(facts{
		{"  commit", commit(ev.Commit)}, {"  kept as", term.Line(ev.Ref)}, {"  output", bytesOf(ev.Output) + cut},
		{"  asked leave", ev.Permissions.words()}, {"  models, by the gateway", ev.Usage.words()}, {"  session", sessionOf(ev)},
		{"  refused by the sandbox", some(ev.Violations)}, {"  left-over processes", some(int64(ev.Leftovers))},
	})
	if ev.Unpublished != "" {
		p.line("  not in your repository, only in the daemon's mirror of it: " + firstLine(ev.Unpublished))
	}
	if c := ev.Commits; c != nil && c.Refused != "" {
		p.line("  its own commits were not taken over: " + firstLine(c.Refused))
	} else if c != nil {
		p.line("  its own commits: " + counted(c.Count, "commit") + ", kept as " + term.Line(c.Ref))
	}
	for _, r := range ev.Refused {
		p.line("  not taken over: " + term.Line(r.Path) + " (" + term.Line(r.Why) + ")")
	}
	p.lines = append(p.lines, p.diffSummary(ev.Diff)...)
}

// words are the counts in a line; "" where nothing was asked.
func (c permissions) words() string {
	if c.Requested == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d allowed, %d denied, %d expired; %d by rule", counted(int(c.Requested), "request"), c.Allowed, c.Denied, c.Expired, c.ByRule)
}

// words are the tokens in a line; "" where nobody counted.
func (u *tokens) words() string {
	if u == nil {
		return ""
	}
	text := fmt.Sprintf("%d tokens in (%d cached), %d out", u.Input, u.CachedRead, u.Output)
	if u.Calls > 0 {
		text += ", " + counted(int(u.Calls), "call")
	}
	if u.CostMicros > 0 {
		text += fmt.Sprintf(", %.4f %s", float64(u.CostMicros)/1e6, term.Line(u.Currency))
	}
	return text
}

// sessionOf is what became of the executor's own session.
func sessionOf(ev evidence) string {
	kept := ""
	if ev.Session {
		kept = "kept for a follow-up"
	}
	if r := ev.Resumed; r != nil {
		how := "began with the last words of "
		if r.Mode == "native" {
			how = "went on with that of "
		}
		kept = strings.TrimPrefix(kept+"; "+how+term.Line(r.From)+" ("+firstLine(r.Why)+")", "; ")
	}
	return kept
}

func waitOf(ms int64) string {
	if ms <= 0 {
		return ""
	}
	return span(time.Duration(ms) * time.Millisecond)
}

func some(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func exitOf(code *int, signal string) string {
	switch {
	case signal != "":
		return "signal " + term.Line(signal)
	case code != nil:
		return fmt.Sprint(*code)
	}
	return ""
}

// plugin is which program really ran.
func (p *page) plugin(raw json.RawMessage) string {
	id, ok := opened[identity](raw)
	if !ok {
		return ""
	}
	return join(term.Line(id.Name+" "+id.Version), p.simulated(id.Simulated), p.faint(id.Digest))
}

// jsonLines shows recorded JSON as indented text.
func jsonLines(raw json.RawMessage, lead string) []string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if enc.Encode(v) != nil {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(escaped(b.Bytes())), "\n"), "\n")
	for i := range lines {
		lines[i] = lead + lines[i]
	}
	return lines
}

func (s *shell) attemptRestore() *cobra.Command {
	var dir string
	cmd := s.leaf(leaf{
		use: "restore", args: []string{"ATTEMPT"}, short: "Write the kept state of an attempt to a new directory",
		long: `Writes the files of an attempt's kept commit to a directory that must not exist. Your repository is
not touched. A step's id stands for its newest attempt.`,
		example: "drawspan attempt restore att_01JD0Q8Z3V --to /tmp/look",
		run: func(ctx context.Context, args []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			id, err := newestAttempt(ctx, c, args[0])
			if err != nil {
				return err
			}
			r, err := client.Call[api.AttemptRestored](ctx, c, api.OpAttemptRestore,
				api.AttemptRestoreRequest{AttemptID: id, Dir: s.absolute(dir)})
			if err != nil {
				return err
			}
			return s.show(r, []string{term.Line(r.Dir)}, func(p *page) {
				p.line(p.Mark(term.Good)+" restored", p.strong(r.Dir), counted(r.Files, "file"), "at "+commit(r.Commit), p.simulated(r.Simulated))
			})
		},
	})
	cmd.Flags().StringVar(&dir, "to", "", "the new `DIRECTORY`")
	must(cmd, "to")
	return cmd
}
