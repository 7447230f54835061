// Command drawspan-validator-sarif runs an analyser that the operator declared and judges what it reports in
// SARIF 2.1.0, over the tree and over the base's, so that a change answers for what it added.
//
//	gate "lint" {
//		validator = "sarif"
//		sandbox   = "offline"
//		config {
//			run   = ["staticcheck", "-f", "sarif", "./..."]
//			level = "warning"
//		}
//	}
//
// The analyser reports on its standard output, or in config.file, which is taken away before it starts: a
// report that the change brought along is never read. Results that the base has too are not the change's,
// unless new_only is false. A result is the same in both by its rule, path and the text of its line, or by
// the fingerprints that the analyser gives to both. A new result at or above level fails the gate; below it
// is shown only. An analyser that crashed, ran out of time, reported nothing or something else than SARIF
// has not judged: that is the outcome "error", which is never a pass.
//
// Metrics: results, new, judged, errors, warnings, notes, suppressed, all of the tree under judgement.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
	"github.com/drawspan/drawspan/sdk/tool"
)

var manifest = sdk.Manifest{
	Name:    "sarif",
	Version: "0.1.0",
	Summary: "runs an analyser that writes SARIF and judges the results that a change adds",
	Config: []sdk.Attribute{
		{Name: "run", Type: sdk.TypeListString, Required: true, Doc: "the analyser and its arguments; no shell"},
		{Name: "dir", Type: sdk.TypeString, Doc: "where it runs, relative to the tree (default its top)"},
		{Name: "env", Type: sdk.TypeMapString, Doc: "variables for it"},
		{Name: "ok_codes", Type: sdk.TypeListNumber, Doc: "exit codes of a run that is worth reading (default [0, 1])"},
		{Name: "file", Type: sdk.TypeString, Doc: "where it writes its report, relative to dir (default its standard output)"},
		{Name: "writes", Type: sdk.TypeBool, Doc: "it writes beside the sources: give it a copy of the base's tree (always so with file)"},
		{Name: "level", Type: sdk.TypeString, Doc: "the least level that fails: error, warning or note (default warning)"},
		{Name: "new_only", Type: sdk.TypeBool, Doc: "only results that the base does not have count (default true)"},
		{Name: "only_changed", Type: sdk.TypeBool, Doc: "only results on lines that the change added count"},
		{Name: "suppressions", Type: sdk.TypeListString, Doc: "kinds of suppression that are believed: external, inSource (default external alone)"},
	},
	Feeds: []string{sdk.FeedBase, sdk.FeedPatch},
}

func main() { plugin.Serve(manifest, sarif{}) }

// settings are the config block.
type settings struct {
	Run          []string          `json:"run"`
	Dir          string            `json:"dir"`
	Env          map[string]string `json:"env"`
	OKCodes      []int             `json:"ok_codes"`
	File         string            `json:"file"`
	Writes       bool              `json:"writes"`
	Level        string            `json:"level"`
	NewOnly      *bool             `json:"new_only"`
	OnlyChanged  bool              `json:"only_changed"`
	Suppressions *[]string         `json:"suppressions"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return settings{}, &sdk.ConfigError{Attribute: "ok_codes", Message: "must be whole numbers"}
	}
	if err := errors.Join(tool.CheckArgv("run", s.Run), tool.CheckDir("dir", s.Dir), tool.CheckEnv("env", s.Env)); err != nil {
		return settings{}, err
	}
	if attribute, wrong := s.wrong(); wrong != "" {
		return settings{}, &sdk.ConfigError{Attribute: attribute, Message: wrong}
	}
	if len(s.OKCodes) == 0 {
		s.OKCodes = []int{0, 1}
	}
	if s.Level == "" {
		s.Level = levelWarning
	}
	if s.NewOnly == nil {
		yes := true
		s.NewOnly = &yes
	}
	if s.Suppressions == nil {
		s.Suppressions = &[]string{"external"}
	}
	return s, nil
}

// wrong is the first attribute about the report that makes no sense, and why.
func (s settings) wrong() (attribute, why string) {
	switch {
	case s.File != "" && (tool.CheckDir("file", s.File) != nil || filepath.Clean(s.File) == "."):
		return "file", "must be the path of a file inside the tree"
	case s.Level != "" && rank(s.Level) < 1:
		return "level", "must be error, warning or note"
	case s.Suppressions != nil && slices.ContainsFunc(*s.Suppressions, func(kind string) bool { return kind != "external" && kind != "inSource" }):
		return "suppressions", "the kinds of suppression are external and inSource"
	}
	return "", ""
}

type sarif struct{}

// Configure refuses what could not run or judge.
func (sarif) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check runs the analyser over the tree and, where there is something to compare, over the base's.
func (sarif) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	changed, err := changedOf(c, s.OnlyChanged)
	if err != nil {
		return sdk.Verdict{}, err
	}
	a := analysis{settings: s, output: c.Output}
	head, ran, err := a.run(ctx, c.Tree)
	if err != nil {
		return notJudged(ran, err), nil
	}
	j := judgement{settings: s, changed: changed}
	j.take(head)
	if *s.NewOnly && j.worth() {
		base, err := a.base(ctx, c)
		if err != nil {
			return notJudged(ran, fmt.Errorf("over the base: %w", err)), nil
		}
		j.known(base.items, changed.renamed)
	}
	v := j.verdict()
	v.Ran = ran
	return v, nil
}

func notJudged(ran *sdk.Ran, err error) sdk.Verdict {
	return sdk.Verdict{Outcome: sdk.Error, Message: err.Error(), Ran: ran}
}
