package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) gateCommand() *cobra.Command {
	return s.group("gate", "See what gates decided and why, or judge commits",
		"A gate is a rule over recorded validations and the diff. Its verdict is pass, fail or hold.",
		s.gateLs(), s.gateExplain(), s.gateRun())
}

func (s *shell) gateLs() *cobra.Command {
	return s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, args: []string{"STEP|ATTEMPT"}, short: "List the gates of an attempt with their verdicts",
		long: "Lists the gates of an attempt, or of a step's newest attempt.", example: "drawspan gate ls step_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			gates, err := gatesOf(ctx, c, args[0])
			if err != nil {
				return err
			}
			return s.show(gates, idsOf(gates.Items, func(g api.GateState) string { return g.ID }), func(p *page) {
				t := term.Table{Head: []string{"GATE", "VERDICT", "REQUIRED", "BY", "REASON"}, Flex: 4}
				for _, g := range gates.Items {
					t.Rows = append(t.Rows, []string{join(term.Line(g.Name), p.simulated(g.Simulated)), p.state(g.Verdict), yesNo(g.Required),
						firstOf(term.Line(g.DecidedBy), "-"), firstLine(g.Reason)})
				}
				p.table(t)
			})
		},
	})
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func gatesOf(ctx context.Context, c *client.Client, arg string) (api.List[api.GateState], error) {
	id, err := newestAttempt(ctx, c, arg)
	if err != nil {
		return api.List[api.GateState]{}, err
	}
	return client.Call[api.List[api.GateState]](ctx, c, api.OpGateList, api.GateListRequest{AttemptID: id})
}

// gateStory is a gate with the validation it was decided from.
type gateStory struct {
	Gate       api.GateState   `json:"gate"`
	Validation *api.Validation `json:"validation,omitempty"`
	Tries      int             `json:"tries,omitempty"` // evaluations of this gate
}

func (s *shell) gateExplain() *cobra.Command {
	return s.leaf(leaf{
		use: "explain", args: []string{"STEP|ATTEMPT", "GATE"}, short: "Show why a gate decided as it did",
		long: `Shows a gate's rule, the validation it was decided from (command, exit code, findings, which program
really ran) and who or what decided.`,
		example: "drawspan gate explain step_01JD0Q8Z3V tests",
		run: func(ctx context.Context, args []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			gates, err := gatesOf(ctx, c, args[0])
			if err != nil {
				return err
			}
			i := slices.IndexFunc(gates.Items, func(g api.GateState) bool { return g.Name == args[1] })
			if i < 0 {
				names := idsOf(gates.Items, func(g api.GateState) string { return g.Name })
				return fault.New(fault.NotFound, "the attempt has no gate %q; it has: %s", args[1], strings.Join(names, ", ")).
					At(args[0]).Fix("drawspan gate ls %s", args[0])
			}
			story, err := storyOf(ctx, c, gates.Items[i])
			if err != nil {
				return err
			}
			return s.show(story, []string{story.Gate.ID}, func(p *page) { p.gateStory(story, s.now) })
		},
	})
}

// storyOf finds the validation that a gate was decided from.
func storyOf(ctx context.Context, c *client.Client, g api.GateState) (gateStory, error) {
	story := gateStory{Gate: g}
	l, err := client.Call[api.List[api.Validation]](ctx, c, api.OpValidationList, api.ValidationListRequest{AttemptID: g.AttemptID})
	if err != nil {
		return story, err
	}
	for _, v := range l.Items {
		if v.Gate == g.Name {
			story.Tries++
		}
		if v.ID == g.Validation || (g.Validation == "" && v.Gate == g.Name) {
			story.Validation = &v
		}
	}
	return story, nil
}

func (p *page) gateStory(st gateStory, now time.Time) {
	g := st.Gate
	p.line(p.state(g.Verdict), p.strong("gate "+g.Name))
	required := "yes: a fail rejects the step"
	if !g.Required {
		required = "no: advisory"
	}
	p.facts(facts{
		{"attempt", term.Line(g.AttemptID)}, {"reason", firstLine(g.Reason)}, {"required", required}, {"decided by", term.Line(g.DecidedBy)},
		{"decided", p.when(g.At, now)}, {"approval", term.Line(g.ApprovalID)}, {"rule digest", p.faint(g.RuleSum)},
	})
	if len(g.Rule) > 0 {
		p.gap()
		p.line(p.strong("rule"), p.faint("(as declared)"))
		p.lines = append(p.lines, jsonLines(g.Rule, "  ")...)
	}
	if st.Validation != nil {
		p.gap()
		if st.Tries > 1 {
			p.line(fmt.Sprintf("evaluated %d times; this is number %d", st.Tries, st.Validation.N))
		}
		p.validation(*st.Validation)
	}
}

// Bounds of a view.
const (
	maxFindings = 20 // that it names
	maxMessage  = 20 // lines
)

// emptyDigest is that of no bytes.
const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func (p *page) validation(v api.Validation) {
	p.line(p.strong("validation"), p.state(v.Result), span(time.Duration(v.DurationMS*float64(time.Millisecond))))
	p.facts(facts{
		{"  id", term.Line(v.ID)}, {"  plugin", p.plugin(v.Plugin)}, {"  ran", term.Line(strings.Join(v.Command, " "))},
		{"  exit", exitOf(v.ExitCode, v.Signal)}, {"  message", firstLine(v.Message)}, {"  judged tree", commit(v.Tree)},
		{"  stdout", p.written(v, "stdout", v.Stdout)}, {"  stderr", p.written(v, "stderr", v.Stderr)},
		{"  inputs", p.faint(v.Inputs)}, {"  reused from", term.Line(v.Reused)}, {"  metrics", metricsOf(v.Metrics)},
	})
	if lines := strings.Split(strings.TrimSpace(term.Text(v.Message)), "\n"); len(lines) > 1 {
		for _, line := range lines[:min(len(lines), maxMessage)] {
			p.line("  | " + line)
		}
	}
	findings, _ := opened[[]finding](v.Findings)
	for i, f := range findings {
		if i == maxFindings {
			p.line(fmt.Sprintf("  ... and %d more findings", len(findings)-i))
			break
		}
		p.line("  " + p.finding(f))
	}
}

// written is how to read what a validator's program wrote: nothing, where it wrote nothing.
func (p *page) written(v api.Validation, stream, digest string) string {
	switch {
	case digest == "" || digest == emptyDigest:
		return ""
	case v.Reused != "": // kept with the validation that it was
		return p.faint(digest)
	}
	name := "validation/" + v.Gate
	if v.N > 1 {
		name += "/" + strconv.Itoa(v.N)
	}
	return p.command("drawspan artifact get " + v.AttemptID + " " + name + "/" + stream + ".log")
}

// metricsOf are a validator's numbers, by name.
func metricsOf(m map[string]int64) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, term.Line(name)+" "+strconv.FormatFloat(float64(m[name])/1e6, 'f', -1, 64))
	}
	return strings.Join(all, ", ")
}

func (l look) finding(f finding) string {
	where := term.Line(f.Path)
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, f.Line)
	}
	tone := term.Ask
	if f.Severity == "error" {
		tone = term.Bad
	}
	return join(l.Paint(tone, term.Line(f.Severity)), where, firstLine(f.Message), l.faint(f.Rule))
}
