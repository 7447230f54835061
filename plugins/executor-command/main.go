// Command drawspan-executor-command performs a step by running one program that the operator declared.
//
//	executor "gofmt" {
//		plugin = "command"
//		config {
//			program = ["gofmt", "-w", "."]
//		}
//	}
//
// Where the executor names a gateway, the program finds it in DRAWSPAN_GATEWAY_URL, _KEY and _WIRE.
//
// The step's text is the program's standard input. Nothing of it ever becomes an argument, and there is
// no shell.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
	"github.com/drawspan/drawspan/sdk/tool"
)

// StepFileKey is the variable that names the file with the step's text, where config.file asks for one.
const StepFileKey = "DRAWSPAN_STEP_FILE"

// GatewayPrefix begins the names of the variables that say where the executor's gateway is, where it has one.
const GatewayPrefix = "DRAWSPAN_GATEWAY"

const summaryLines = 20

var manifest = sdk.Manifest{
	Name:    "command",
	Version: "0.1.0",
	Summary: "runs one declared program in the attempt's tree, with the step's text on its standard input",
	Config: []sdk.Attribute{
		{Name: "program", Type: sdk.TypeListString, Required: true, Doc: "the program and its arguments; no shell"},
		{Name: "stdin", Type: sdk.TypeBool, Doc: "the step's text is the program's standard input (default true)"},
		{Name: "file", Type: sdk.TypeBool, Doc: "the step's text is also in a private file, named by " + StepFileKey},
		{Name: "env", Type: sdk.TypeMapString, Doc: "variables for the program"},
		{Name: "ok_codes", Type: sdk.TypeListNumber, Doc: "exit codes that mean success (default [0])"},
	},
}

func main() { plugin.Serve(manifest, command{}) }

// settings are the config block.
type settings struct {
	Program []string          `json:"program"`
	Stdin   *bool             `json:"stdin"`
	File    bool              `json:"file"`
	Env     map[string]string `json:"env"`
	OKCodes []int             `json:"ok_codes"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return settings{}, &sdk.ConfigError{Attribute: "ok_codes", Message: "must be whole numbers"}
	}
	if len(s.OKCodes) == 0 {
		s.OKCodes = []int{0}
	}
	return s, errors.Join(tool.CheckArgv("program", s.Program), tool.CheckEnv("env", s.Env))
}

type command struct{}

// Configure refuses what could not run.
func (command) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Run runs the program once.
func (command) Run(ctx context.Context, a *sdk.Attempt) (sdk.Result, error) {
	s, err := parse(a.Config)
	if err != nil {
		return sdk.Result{}, err
	}
	set := variables(a, s)
	if s.File {
		path, err := stepFile(a.Instruction)
		if err != nil {
			return sdk.Result{}, err
		}
		defer os.Remove(path) //nolint:errcheck // the private directory goes with the sandbox
		set[StepFileKey] = path
	}
	// What is told after a cancellation is told all the same.
	tell := context.WithoutCancel(ctx)
	if err := emit(tell, a, sdk.EventToolStarted, map[string]any{"kind": "execute", "title": s.Program[0], "input": s.Program}); err != nil {
		return sdk.Result{}, err
	}
	c := tool.Command{Argv: s.Program, Dir: a.Tree, Env: tool.Environ(os.Environ(), set), Output: func(stream string, p []byte) error {
		return a.Host.Emit(tell, sdk.Log(stream, p))
	}}
	if s.Stdin == nil || *s.Stdin {
		c.Stdin = strings.NewReader(a.Instruction)
	}
	r, err := tool.Run(ctx, c)
	if errors.Is(err, tool.ErrNoProgram) {
		return sdk.Result{}, &sdk.Failure{Class: "policy", Message: "the declared program cannot be started", Err: err}
	}
	if err != nil {
		return sdk.Result{}, err
	}
	ended := map[string]any{"status": status(s, r), "exit_code": r.ExitCode, "signal": r.Signal, "duration_ms": r.Duration.Milliseconds()}
	if err := emit(tell, a, sdk.EventToolEnded, ended); err != nil {
		return sdk.Result{}, err
	}
	return result(s, r), nil
}

// variables are the declared ones, and where the attempt's gateway is.
func variables(a *sdk.Attempt, s settings) map[string]string {
	set := map[string]string{}
	maps.Copy(set, s.Env)
	if g := a.Gateway; g != nil {
		maps.Copy(set, map[string]string{GatewayPrefix + "_URL": g.URL, GatewayPrefix + "_KEY": g.Key, GatewayPrefix + "_WIRE": g.Wire})
	}
	return set
}

func emit(ctx context.Context, a *sdk.Attempt, kind sdk.EventType, data map[string]any) error {
	e, err := sdk.NewEvent(kind, data)
	if err != nil {
		return err
	}
	e.ItemID = "program"
	return a.Host.Emit(ctx, e)
}

func status(s settings, r tool.Result) string {
	switch {
	case r.Stopped:
		return "cancelled"
	case r.Signal == "" && slices.Contains(s.OKCodes, r.ExitCode):
		return "ok"
	default:
		return "failed"
	}
}

// result is the claim: how the program ended, and its last words.
func result(s settings, r tool.Result) sdk.Result {
	out := sdk.Result{Signal: r.Signal, Summary: tool.LastLines(r.Tail, summaryLines)}
	if r.Signal == "" {
		out.ExitCode = &r.ExitCode
	}
	switch status(s, r) {
	case "cancelled":
		out.StopReason = "cancelled"
	case "failed":
		out.StopReason, out.Failed, out.Class = "error", true, "unknown"
		out.Message = fmt.Sprintf("%s exited with code %d", s.Program[0], r.ExitCode)
		if r.Signal != "" {
			out.Message = fmt.Sprintf("%s was ended by %s", s.Program[0], r.Signal)
		}
	}
	return out
}

// stepFile writes the step's text where only this attempt can read it.
func stepFile(text string) (string, error) {
	f, err := os.CreateTemp("", "step-*.txt")
	if err != nil {
		return "", fmt.Errorf("write the step's text: %w", err)
	}
	_, err = f.WriteString(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return "", fmt.Errorf("write the step's text: %w", err)
	}
	return f.Name(), nil
}
