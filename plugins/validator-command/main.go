// Command drawspan-validator-command judges a tree by running one program that the operator declared.
//
//	gate "tests" {
//		validator = "command"
//		config {
//			run = ["go", "test", "./..."]
//		}
//	}
//
// The gate passes when the program exits with an expected code. A program that did not come to an end of its own,
// because it could not be started, was stopped or was ended by a signal, has not judged: that is the outcome
// "error", which is never a pass.
//
// With report it also reads what the tests said, as JUnit XML in files or as go test -json on standard output:
//
//	config {
//		run          = ["npm", "test"]
//		report       = "junit"
//		report_files = ["reports/**/*.xml"]
//		min_tests    = 40
//	}
//
// Then the gate passes when both the exit code and the report do: a failed test fails it whatever the exit code,
// and a report that is missing, broken or older than the run is an error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
	"github.com/drawspan/drawspan/sdk/tool"
)

const messageLines = 20

// The reports that are read.
const (
	reportJUnit = "junit"
	reportGo    = "go-test-json"
)

var manifest = sdk.Manifest{
	Name:    "command",
	Version: "0.2.0",
	Summary: "runs one declared program over the tree and judges by its exit code and its test report",
	Config: []sdk.Attribute{
		{Name: "run", Type: sdk.TypeListString, Required: true, Doc: "the program and its arguments; no shell"},
		{Name: "dir", Type: sdk.TypeString, Doc: "where it runs, relative to the tree (default its top)"},
		{Name: "env", Type: sdk.TypeMapString, Doc: "variables for the program"},
		{Name: "ok_codes", Type: sdk.TypeListNumber, Doc: "exit codes that pass (default [0])"},
		{Name: "report", Type: sdk.TypeString, Doc: "what the tests tell, beside the exit code: " + reportJUnit + " (files) or " + reportGo + " (standard output)"},
		{Name: "report_files", Type: sdk.TypeListString, Doc: "globs of the report files, relative to dir; required for " + reportJUnit},
		{Name: "min_tests", Type: sdk.TypeNumber, Doc: "how many tests must have run, skipped ones not counted (default 1)"},
		{Name: "allow_skipped", Type: sdk.TypeNumber, Doc: "how many tests may be skipped (default any number)"},
	},
}

func main() { plugin.Serve(manifest, command{}) }

// settings are the config block.
type settings struct {
	Run     []string          `json:"run"`
	Dir     string            `json:"dir"`
	Env     map[string]string `json:"env"`
	OKCodes []int             `json:"ok_codes"`

	Report       string   `json:"report"`
	ReportFiles  []string `json:"report_files"`
	MinTests     *int     `json:"min_tests"`
	AllowSkipped *int     `json:"allow_skipped"`
}

func (s settings) minTests() int {
	if s.MinTests == nil {
		return 1
	}
	return *s.MinTests
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return settings{}, notWhole(err)
	}
	if len(s.OKCodes) == 0 {
		s.OKCodes = []int{0}
	}
	return s, errors.Join(tool.CheckArgv("run", s.Run), tool.CheckDir("dir", s.Dir), tool.CheckEnv("env", s.Env), s.reporting())
}

// notWhole names the attribute that encoding/json stumbled on: names and kinds were checked before, so that it is a
// number.
func notWhole(err error) *sdk.ConfigError {
	var typed *json.UnmarshalTypeError
	if !errors.As(err, &typed) {
		return &sdk.ConfigError{Message: err.Error()}
	}
	attribute, _, _ := strings.Cut(typed.Field, ".")
	return &sdk.ConfigError{Attribute: attribute, Message: "must be whole numbers"}
}

// reporting refuses what says nothing about a report, or could match none.
func (s settings) reporting() error {
	wrong := func(attribute, format string, args ...any) error {
		return &sdk.ConfigError{Attribute: attribute, Message: fmt.Sprintf(format, args...)}
	}
	for name, n := range map[string]*int{"min_tests": s.MinTests, "allow_skipped": s.AllowSkipped} {
		if n != nil && (s.Report == "" || *n < 0) {
			return wrong(name, "needs a report, and must not be below 0")
		}
	}
	switch {
	case !slices.Contains([]string{"", reportJUnit, reportGo}, s.Report):
		return wrong("report", "%q is neither %s nor %s", s.Report, reportJUnit, reportGo)
	case s.Report == reportJUnit && len(s.ReportFiles) == 0:
		return wrong("report_files", "must say where the reports are")
	case s.Report != reportJUnit && len(s.ReportFiles) > 0:
		return wrong("report_files", "is for report = %q", reportJUnit)
	}
	if i := slices.IndexFunc(s.ReportFiles, unclean); i >= 0 {
		return wrong("report_files", "%q is not a glob of clean paths inside of the tree, like reports/**/*.xml", s.ReportFiles[i])
	}
	return nil
}

// unclean tells of a glob that could match nothing in the tree.
func unclean(glob string) bool {
	return !doublestar.ValidatePattern(glob) || !filepath.IsLocal(glob) || filepath.Clean(glob) != glob
}

type command struct{}

// Configure refuses what could not run.
func (command) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check runs the program once, and reads its report where one is declared.
func (command) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	switch s.Report {
	case reportJUnit:
		files, err := openReports(c.Tree, s)
		if err != nil {
			return sdk.Verdict{}, err
		}
		defer files.close()
		v, err := run(ctx, c, s, heard{output: c.Output})
		if err != nil || v.Outcome == sdk.Error {
			return v, err
		}
		found, err := files.read(c.Tree, s.Dir)
		return judgeReport(v, s, found, err), nil
	case reportGo:
		tests := newGoTest(locator(c.Tree, s.Dir))
		v, err := run(ctx, c, s, tests.hear(c.Output))
		if err != nil || v.Outcome == sdk.Error {
			return v, err
		}
		found, err := tests.finish()
		return judgeReport(v, s, found, err), nil
	}
	return run(ctx, c, s, heard{output: c.Output})
}

// heard is where a program's output goes, and what of it a message quotes.
type heard struct {
	output func(stream string, p []byte) error
	quote  func(tail string) string // the end of the output as people read it; nil: as it is
}

// run runs the program and judges by its exit code.
func run(ctx context.Context, c *sdk.Check, s settings, out heard) (sdk.Verdict, error) {
	r, err := tool.Run(ctx, tool.Command{Argv: s.Run, Dir: filepath.Join(c.Tree, s.Dir), Env: tool.Environ(os.Environ(), s.Env), Output: out.output})
	if err != nil {
		return sdk.Verdict{}, err
	}
	if out.quote != nil {
		r.Tail = out.quote(r.Tail)
	}
	verdict := sdk.Verdict{
		Outcome: sdk.Fail,
		Message: tool.LastLines(r.Tail, messageLines),
		Ran:     r.Ran(s.Run),
	}
	switch {
	case r.Stopped:
		verdict.Outcome, verdict.Message = sdk.Error, s.Run[0]+" was stopped before it was done"
	case r.Signal != "":
		verdict.Outcome = sdk.Error
		verdict.Message = strings.TrimSpace(fmt.Sprintf("%s was ended by %s\n%s", s.Run[0], r.Signal, verdict.Message))
	case slices.Contains(s.OKCodes, r.ExitCode):
		verdict.Outcome, verdict.Message = sdk.Pass, ""
	case verdict.Message == "":
		verdict.Message = fmt.Sprintf("%s exited with code %d", s.Run[0], r.ExitCode)
	}
	return verdict, nil
}
