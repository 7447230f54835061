// Command drawspan-validator-exec lets a program of the operator judge a change, in any language.
//
//	gate "house-rules" {
//		validator = "exec"
//		config {
//			run      = ["python3", "/opt/gates/rules.py"]
//			settings = { max_depth = "4" }
//		}
//	}
//
// The program reads one JSON document, the check, from its standard input and prints one JSON document, the
// verdict, on its standard output; what it prints on standard error is kept as output. Both documents are described
// in host/docs/validators.md. Whatever is not exactly one verdict, and every exit code but 0, is the outcome
// "error", which is never a pass. The program stands where the operator put it: one inside of the tree that is
// judged would judge itself, and is refused where its path shows that.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
	"github.com/drawspan/drawspan/sdk/tool"
)

const messageLines = 20

var manifest = sdk.Manifest{
	Name:    "exec",
	Version: "0.1.0",
	Summary: "lets a declared program judge: the check as JSON in, one verdict as JSON out",
	Feeds:   []string{sdk.FeedPatch, sdk.FeedBase, sdk.FeedFacts},
	Config: []sdk.Attribute{
		{Name: "run", Type: sdk.TypeListString, Required: true, Doc: "the program and its arguments; no shell"},
		{Name: "env", Type: sdk.TypeMapString, Doc: "variables for the program"},
		{Name: "settings", Type: sdk.TypeMapString, Doc: "handed to the program in the check"},
	},
}

func main() { plugin.Serve(manifest, program{}) }

// settings are the config block.
type settings struct {
	Run      []string          `json:"run"`
	Env      map[string]string `json:"env"`
	Settings map[string]string `json:"settings"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return settings{}, &sdk.ConfigError{Message: err.Error()}
	}
	if err := errors.Join(tool.CheckArgv("run", s.Run), tool.CheckEnv("env", s.Env)); err != nil {
		return settings{}, err
	}
	if strings.Contains(s.Run[0], "/") && !filepath.IsAbs(s.Run[0]) {
		return settings{}, &sdk.ConfigError{Attribute: "run", Message: fmt.Sprintf(
			"%q lies in the tree that is judged: name a program by its absolute path, or one of PATH by its name", s.Run[0])}
	}
	return s, nil
}

type program struct{}

// Configure refuses what could not run.
func (program) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check runs the program once and takes its word for a verdict, when it is one.
func (program) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	question, err := ask(c, s.Settings)
	if err != nil {
		return sdk.Verdict{}, err
	}
	answer := &answer{errors: c.Output}
	r, err := tool.Run(ctx, tool.Command{
		Argv: s.Run, Dir: c.Tree, Env: tool.Environ(os.Environ(), s.Env), Stdin: bytes.NewReader(question), Output: answer.take,
	})
	ran := r.Ran(s.Run)
	failed := func(format string, args ...any) (sdk.Verdict, error) {
		return sdk.Verdict{Outcome: sdk.Error, Message: s.Run[0] + " " + fmt.Sprintf(format, args...), Ran: ran}, nil
	}
	switch {
	case errors.Is(err, errTooLong):
		return failed("printed more than %d bytes, which no verdict has", maxVerdict)
	case err != nil:
		return sdk.Verdict{}, err
	case r.Stopped:
		return failed("was stopped before it was done")
	case r.Signal != "":
		return failed("was ended by %s\n%s", r.Signal, answer.told())
	case r.ExitCode != 0:
		return failed("exited with code %d: only 0 goes with a verdict\n%s", r.ExitCode, answer.told())
	}
	v, err := read(answer.stdout)
	if err != nil {
		return failed("gave no verdict: %v\n%s", err, answer.told())
	}
	v.Ran = ran
	return v, nil
}

// errTooLong ends a program that prints more than a verdict.
var errTooLong = errors.New("too much output")

// answer collects what the program prints.
type answer struct {
	stdout []byte
	stderr string // its end
	errors func(stream string, p []byte) error
}

func (a *answer) take(stream string, p []byte) error {
	if stream == "stdout" {
		if len(a.stdout)+len(p) > maxVerdict {
			return errTooLong
		}
		a.stdout = append(a.stdout, p...)
		return nil
	}
	const most = 8 << 10
	a.stderr += string(p)
	a.stderr = a.stderr[max(0, len(a.stderr)-most):]
	if a.errors == nil {
		return nil
	}
	return a.errors(stream, p)
}

// told is the end of what the program said on standard error.
func (a *answer) told() string {
	return tool.LastLines(strings.ToValidUTF8(a.stderr, "\uFFFD"), messageLines)
}
