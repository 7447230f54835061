package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/term"
)

// explained is one code with its cause and remedy.
type explained struct {
	Code   string `json:"code"`
	Kind   string `json:"kind"` // error or configuration
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
	Next   string `json:"next,omitempty"`
	Exit   int    `json:"exit_code"`
}

func (s *shell) explainCommand() *cobra.Command {
	return s.leaf(leaf{
		use: "explain", args: []string{"[CODE]"}, short: "Say what an error code means and what to do",
		long: `Explains a code as it stands in error[CODE], of commands and of configuration problems. Without CODE
it lists them all.`,
		example: "drawspan explain sandbox_unavailable",
		run: func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return s.explainAll()
			}
			found := explainCode(args[0])
			if len(found) == 0 {
				return fault.New(fault.NotFound, "there is no code %q", args[0]).At(args[0]).Fix("drawspan explain")
			}
			return s.show(found, []string{args[0]}, func(p *page) {
				for i, e := range found {
					if i > 0 {
						p.gap()
					}
					p.explained(e)
				}
			})
		},
	})
}

func (p *page) explained(e explained) {
	kind := "error"
	if e.Kind != kind {
		kind = "configuration problem"
	}
	p.line(p.strong(e.Code), p.faint(kind))
	next := ""
	if e.Next != "" {
		next = p.command(e.Next)
	}
	p.facts(facts{{"cause", e.Cause}, {"remedy", e.Remedy}, {"next", next}, {"exit code", fmt.Sprintf("%d, %s", e.Exit, exitMeaning(e.Exit))}})
}

// explainCode finds a code among the errors and the configuration's; a few are in both.
func explainCode(code string) []explained {
	var found []explained
	if e, ok := explanations[fault.Code(code)]; ok {
		found = append(found, explained{Code: code, Kind: "error", Cause: e.cause, Remedy: e.remedy, Next: e.next,
			Exit: fault.Code(code).ExitCode()})
	}
	if text := config.Explain(code); text != "" {
		found = append(found, explained{Code: code, Kind: "configuration", Cause: text,
			Remedy: "Correct the place that the message names; its hint says how.", Next: "drawspan validate", Exit: fault.ExitConfig})
	}
	return found
}

func (s *shell) explainAll() error {
	all := []explained{}
	for _, c := range fault.Codes() {
		e := explanations[c]
		all = append(all, explained{Code: string(c), Kind: "error", Cause: e.cause, Remedy: e.remedy, Next: e.next, Exit: c.ExitCode()})
	}
	for _, c := range config.Codes() {
		found := explainCode(c)
		all = append(all, found[len(found)-1])
	}
	return s.show(all, idsOf(all, func(e explained) string { return e.Code }), func(p *page) {
		kind := ""
		for _, e := range all {
			if e.Kind != kind {
				if kind != "" {
					p.gap()
				}
				kind = e.Kind
				p.line(p.strong(kind))
			}
			p.line("  "+term.Pad(e.Code, 24), e.Cause)
		}
	})
}
