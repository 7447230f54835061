// Command drawspan-validator-command judges a tree by running one program that the operator declared.
//
//	gate "tests" {
//		validator = "command"
//		config {
//			run = ["go", "test", "./..."]
//		}
//	}
//
// The gate passes when the program exits with an expected code. A program that could not be run to its
// end is the outcome "error", which is never a pass.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
	"github.com/drawspan/drawspan/sdk/tool"
)

const messageLines = 20

var manifest = sdk.Manifest{
	Name:    "command",
	Version: "0.1.0",
	Summary: "runs one declared program over the tree and judges by its exit code",
	Config: []sdk.Attribute{
		{Name: "run", Type: sdk.TypeListString, Required: true, Doc: "the program and its arguments; no shell"},
		{Name: "dir", Type: sdk.TypeString, Doc: "where it runs, relative to the tree (default its top)"},
		{Name: "env", Type: sdk.TypeMapString, Doc: "variables for the program"},
		{Name: "ok_codes", Type: sdk.TypeListNumber, Doc: "exit codes that pass (default [0])"},
	},
}

func main() { plugin.Serve(manifest, command{}) }

// settings are the config block.
type settings struct {
	Run     []string          `json:"run"`
	Dir     string            `json:"dir"`
	Env     map[string]string `json:"env"`
	OKCodes []int             `json:"ok_codes"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return settings{}, &sdk.ConfigError{Attribute: "ok_codes", Message: "must be whole numbers"}
	}
	if len(s.Run) == 0 || s.Run[0] == "" {
		return settings{}, &sdk.ConfigError{Attribute: "run", Message: "must name a program"}
	}
	for _, arg := range s.Run {
		if strings.ContainsRune(arg, 0) {
			return settings{}, &sdk.ConfigError{Attribute: "run", Message: "must not hold zero bytes"}
		}
	}
	if s.Dir != "" && !filepath.IsLocal(s.Dir) {
		return settings{}, &sdk.ConfigError{Attribute: "dir", Message: "must be a path inside the tree"}
	}
	for key, value := range s.Env {
		if key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(value, 0) {
			return settings{}, &sdk.ConfigError{Attribute: "env", Message: fmt.Sprintf("%q cannot be set", key)}
		}
	}
	if len(s.OKCodes) == 0 {
		s.OKCodes = []int{0}
	}
	return s, nil
}

type command struct{}

// Configure refuses what could not run.
func (command) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check runs the program once.
func (command) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	r, err := tool.Run(ctx, tool.Command{Argv: s.Run, Dir: filepath.Join(c.Tree, s.Dir), Env: tool.Environ(os.Environ(), s.Env), Output: c.Output})
	if err != nil {
		return sdk.Verdict{}, err
	}
	verdict := sdk.Verdict{
		Outcome: sdk.Fail,
		Message: tool.LastLines(r.Tail, messageLines),
		Ran:     &sdk.Ran{Argv: s.Run, ExitCode: r.ExitCode, Signal: r.Signal, Duration: r.Duration},
	}
	switch {
	case r.Stopped:
		verdict.Outcome, verdict.Message = sdk.Error, s.Run[0]+" was stopped before it was done"
	case r.Signal != "":
		verdict.Message = strings.TrimSpace(fmt.Sprintf("%s was ended by %s\n%s", s.Run[0], r.Signal, verdict.Message))
	case slices.Contains(s.OKCodes, r.ExitCode):
		verdict.Outcome, verdict.Message = sdk.Pass, ""
	case verdict.Message == "":
		verdict.Message = fmt.Sprintf("%s exited with code %d", s.Run[0], r.ExitCode)
	}
	return verdict, nil
}
