// Command drawspan-executor-manual has a step done by a person: it says where the attempt's tree is, waits
// until the person says that the work is done, and leaves the judgement to the same gates as any other
// executor's.
//
//	executor "person" {
//		plugin  = "manual"
//		sandbox = "box"
//		questions {
//			deadline = "8h"
//		}
//	}
//
// The question is answered with `done` or `give up: why`; README.md says more.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

var manifest = sdk.Manifest{
	Name:    "manual",
	Version: "0.1.0",
	Summary: "asks a person to do the step in the attempt's tree, and waits for done or give up",
	Config: []sdk.Attribute{
		{Name: "note", Type: sdk.TypeString, Doc: "what the person should know beside the step's text: who does it, where the rules are"},
	},
}

func main() { plugin.Serve(manifest, executor{}) }

// The bounds of a question. The host cuts what is longer.
const (
	maxNote  = 2 << 10
	maxAsked = 8 << 10 // bytes of the step's text in it
	maxTries = 5       // answers that are neither done nor give up
)

// settings are the config block.
type settings struct {
	Note string `json:"note"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Message: "not an object"}
		}
	}
	if len(s.Note) > maxNote {
		return settings{}, &sdk.ConfigError{Attribute: "note", Message: fmt.Sprintf("must be at most %d bytes", maxNote)}
	}
	return s, nil
}

type executor struct{}

// Configure refuses a note that does not fit into a question.
func (executor) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Run asks until it knows how the work ended.
func (executor) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	s, err := parse(a.Config)
	if err != nil {
		return sdk.Result{}, err
	}
	wrong := ""
	for n := 1; n <= maxTries; n++ {
		answer, err := a.Host.Ask(ctx, sdk.Question{ID: fmt.Sprintf("work-%d", n), Text: ask(a, s, wrong), Options: []string{done, giveUp}})
		if ctx.Err() != nil {
			return sdk.Result{StopReason: "cancelled"}, nil
		}
		if err != nil {
			return sdk.Result{}, err
		}
		if verb, rest := read(answer.Text); verb != "" || !answer.Answered {
			return ended(verb, rest)
		}
		wrong = answer.Text
	}
	return sdk.Result{StopReason: "refusal"}, &sdk.Failure{
		Class: "policy", Message: fmt.Sprintf("%d answers were neither done nor give up; the last was %q", maxTries, clip(wrong, 200)),
	}
}

// ended is what an answer, or none, makes of the attempt.
func ended(verb, rest string) (sdk.Result, error) {
	switch verb {
	case done:
		return sdk.Result{StopReason: "end_turn", Summary: said(rest, "a person says that it is done")}, nil
	case giveUp:
		return sdk.Result{StopReason: "refusal"}, &sdk.Failure{Class: "policy", Message: "given up by a person: " + said(rest, "no reason was given")}
	}
	return sdk.Result{StopReason: "refusal"}, &sdk.Failure{
		Class: "policy", Denied: true, Retryable: true,
		Message: "nobody answered by the deadline: dispatch the step again, and give questions { deadline } of the executor the time that a person needs",
	}
}

// The answers that end the work.
const (
	done   = "done"
	giveUp = "give up"
)

// read takes an answer apart: the verb, and what stands behind a colon. An answer that is neither verb is "".
func read(answer string) (verb, rest string) {
	verb, rest, _ = strings.Cut(answer, ":")
	verb = strings.ToLower(strings.Join(strings.Fields(verb), " "))
	if verb != done && verb != giveUp {
		return "", ""
	}
	return verb, strings.TrimSpace(rest)
}

func said(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return clip(text, sdk.MaxSummary/2)
}

// ask is the question: where and how before what, so that nothing of it is cut.
func ask(a *sdk.Attempt, s settings, wrong string) string {
	var b strings.Builder
	if wrong != "" {
		fmt.Fprintf(&b, "%q is neither done nor give up.\n\n", clip(wrong, 200))
	}
	fmt.Fprintf(&b, "Work to do by hand, in this tree:\n\n  %s\n\n", a.Tree)
	b.WriteString("Edit there; git works there too. What the tree holds at the end counts, committed or not.\nAnswer \"done\", or \"give up: why\".\n")
	if s.Note != "" {
		fmt.Fprintf(&b, "\n%s\n", s.Note)
	}
	fmt.Fprintf(&b, "\nThe step:\n\n%s\n", clip(a.Instruction, maxAsked))
	return b.String()
}

// clip bounds a text.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " ..."
}
