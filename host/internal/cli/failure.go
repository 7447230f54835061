package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/drawspan/drawspan/config"
	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/report"
	"github.com/drawspan/drawspan/host/internal/term"
)

// diagnosed is a configuration that has errors.
type diagnosed struct{ diags config.Diagnostics }

// Error is the first problem and how many more there are.
func (d diagnosed) Error() string { return d.diags.Err().Error() }

// Unwrap is the fault that stands for all of them.
func (d diagnosed) Unwrap() error { return d.diags.Err() }

// fail tells an error and answers with the exit code.
func (s *shell) fail(ctx context.Context, err error, args []string) int {
	var e ended
	if errors.As(err, &e) {
		return e.code
	}
	if interrupted(ctx, err) {
		return fault.ExitInterrupted
	}
	f := spoken(s.faultOf(err))
	code := f.Code.ExitCode()
	if s.wantsJSON(args) {
		if !s.told {
			s.tellJSON(f)
		}
		return code
	}
	var d diagnosed
	if errors.As(err, &d) {
		// The problems themselves are the message.
		_ = d.diags.Text(s.io.Err, s.talk.profile.Width, s.talk.profile.Color) // stderr is gone: nobody to tell
		return code
	}
	s.scream(f)
	return code
}

// spoken is a failure for a log that a CI system reads along: git's words and names of files are in some, which
// the change chose.
func spoken(f *fault.Fault) *fault.Fault {
	said := *f
	said.Message, said.Where, said.Hint = report.Spoken(f.Message), report.Spoken(f.Where), report.Spoken(f.Hint)
	return &said
}

// interrupted reports whether the command ended because it was asked to, not because it failed.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, context.Cause(ctx))
}

// faultOf is the fault of an error. One without is wrong usage when no command's code began, which is
// how cobra reports flags, arguments and unknown commands; else it is internal, with its text: the one
// who reads it is the one who ran it.
func (s *shell) faultOf(err error) *fault.Fault {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f
	}
	if !s.ran {
		return fault.New(fault.InvalidRequest, "%s", firstSentence(err.Error()))
	}
	return fault.New(fault.Internal, "%s", err.Error())
}

// firstSentence drops the usage text that cobra appends to some messages.
func firstSentence(msg string) string {
	line, rest, _ := strings.Cut(msg, "\n")
	if _, guess, ok := strings.Cut(rest, "Did you mean this?"); ok {
		if words := strings.Fields(guess); len(words) > 0 {
			return line + "; did you mean " + strings.Join(words, " or ") + "?"
		}
	}
	return line
}

func (s *shell) wantsJSON(args []string) bool {
	if s.g.json || s.g.jsonl {
		return true
	}
	// The flags may not have been parsed to their end.
	return !s.ran && (slices.Contains(args, "--json") || slices.Contains(args, "--jsonl"))
}

// tellJSON prints the failure as the document.
func (s *shell) tellJSON(f *fault.Fault) {
	body := api.ErrorBody{Error: api.Error{Code: string(f.Code), Message: f.Message, Where: f.Where, Hint: s.fix(f)}}
	if s.g.jsonl {
		_ = s.row(body) // stdout is gone: nobody to tell
		return
	}
	_ = s.document(body) // stdout is gone: nobody to tell
}

// scream prints the failure for people: code and message, where, and the next command.
func (s *shell) scream(f *fault.Fault) {
	l := s.talk
	lines := []string{l.Paint(term.Bad, "error["+term.Line(string(f.Code))+"]") + ": " + term.Line(f.Message)}
	if f.Where != "" {
		lines = append(lines, "  --> "+term.Line(f.Where))
	}
	if fix := strings.TrimPrefix(s.fix(f), "run: "); fix != "" {
		lines = append(lines, l.Paint(term.Good, "fix")+": "+term.Line(fix))
	}
	quiet := s.g.quiet
	s.g.quiet = false
	s.say(lines...)
	s.g.quiet = quiet
}

// fix is the next command: the fault's own hint, else the one that its code has.
func (s *shell) fix(f *fault.Fault) string {
	hint := f.Hint
	switch e := explanations[f.Code]; {
	case hint != "":
	case f.Code == fault.InvalidRequest && s.path != "":
		hint = s.path + " --help"
	case e.next != "":
		hint = e.next
	default:
		hint = "drawspan explain " + string(f.Code)
	}
	switch strings.TrimPrefix(hint, "run: ") {
	case "drawspan validate", "drawspan serve": // of the files that this command was given
		for _, file := range s.g.config {
			if strings.ContainsFunc(file, func(r rune) bool {
				return !strings.ContainsRune("/._-~", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
			}) {
				file = "'" + strings.ReplaceAll(file, "'", `'\''`) + "'"
			}
			hint += " --config " + file
		}
	}
	return hint
}
