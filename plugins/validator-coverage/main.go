// Command drawspan-validator-coverage runs tests that the operator declared and judges how much of the code
// they ran.
//
//	gate "coverage" {
//		validator = "coverage"
//		sandbox   = "go"
//		config {
//			run           = ["go", "test", "-coverpkg=./...", "-coverprofile=cover.out", "./..."]
//			profile       = ["cover.out"]
//			format        = "go"
//			floor         = 70
//			changed_floor = 90
//			no_drop       = true
//		}
//	}
//
// It reads cover profiles of Go, Cobertura XML and LCOV. Files that stand where profiles will be are taken
// away before the run, so that a change cannot bring its figures along. floor is for the whole,
// changed_floor for the lines that the change added, and no_drop compares every changed file with a run over
// the base. A program that fails fails the gate; one that was stopped or ended by a signal, a profile that is
// missing, broken or about nothing in the tree, and a base that cannot be measured are the outcome "error",
// which is never a pass. The tests are part of what is judged: who can change them can make them run anything, so that this
// gate says what was run, and never that it was looked at.
//
// Metrics: total, changed (percent), changed_lines, uncovered_lines, files, dropped.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
	"github.com/drawspan/drawspan/sdk/tool"
)

// The formats.
const (
	formatGo        = "go"
	formatCobertura = "cobertura"
	formatLCOV      = "lcov"
)

var manifest = sdk.Manifest{
	Name:    "coverage",
	Version: "0.1.0",
	Summary: "runs tests and judges how much of the code, and of the change, they ran",
	Config: []sdk.Attribute{
		{Name: "run", Type: sdk.TypeListString, Required: true, Doc: "the program that tests and measures, and its arguments; no shell"},
		{Name: "profile", Type: sdk.TypeListString, Required: true, Doc: "globs of the profiles that it writes, relative to dir"},
		{Name: "format", Type: sdk.TypeString, Required: true, Doc: "of the profiles: go, cobertura or lcov"},
		{Name: "dir", Type: sdk.TypeString, Doc: "where it runs, relative to the tree (default its top)"},
		{Name: "env", Type: sdk.TypeMapString, Doc: "variables for it"},
		{Name: "ok_codes", Type: sdk.TypeListNumber, Doc: "exit codes of a run that counts (default [0])"},
		{Name: "floor", Type: sdk.TypeNumber, Doc: "the least percent of the whole that must be run"},
		{Name: "changed_floor", Type: sdk.TypeNumber, Doc: "the least percent of the changed lines that must be run"},
		{Name: "no_drop", Type: sdk.TypeBool, Doc: "no changed file may be covered less than in the base"},
		{Name: "exclude", Type: sdk.TypeListString, Doc: "globs of files that do not count, such as generated ones"},
		{Name: "sources", Type: sdk.TypeListString, Doc: "globs of files that, when they change, must be in a profile"},
	},
	Feeds: []string{sdk.FeedBase, sdk.FeedPatch},
}

func main() { plugin.Serve(manifest, coverage{}) }

// settings are the config block.
type settings struct {
	Run          []string          `json:"run"`
	Profile      []string          `json:"profile"`
	Format       string            `json:"format"`
	Dir          string            `json:"dir"`
	Env          map[string]string `json:"env"`
	OKCodes      []int             `json:"ok_codes"`
	Floor        *float64          `json:"floor"`
	ChangedFloor *float64          `json:"changed_floor"`
	NoDrop       bool              `json:"no_drop"`
	Exclude      []string          `json:"exclude"`
	Sources      []string          `json:"sources"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		return settings{}, &sdk.ConfigError{Attribute: "ok_codes", Message: "must be whole numbers"}
	}
	if err := errors.Join(tool.CheckArgv("run", s.Run), tool.CheckDir("dir", s.Dir), tool.CheckEnv("env", s.Env)); err != nil {
		return settings{}, err
	}
	for _, wrong := range []func() (attribute, why string){s.wrongProfiles, s.wrongBounds} {
		if attribute, why := wrong(); why != "" {
			return settings{}, &sdk.ConfigError{Attribute: attribute, Message: why}
		}
	}
	if len(s.OKCodes) == 0 {
		s.OKCodes = []int{0}
	}
	return s, nil
}

func (s settings) wrongProfiles() (attribute, why string) {
	if !slices.Contains([]string{formatGo, formatCobertura, formatLCOV}, s.Format) {
		return "format", "must be go, cobertura or lcov"
	}
	if len(s.Profile) == 0 {
		return "profile", "must name the profiles that the program writes"
	}
	for attribute, globs := range map[string][]string{"profile": s.Profile, "exclude": s.Exclude, "sources": s.Sources} {
		for _, glob := range globs {
			if !doublestar.ValidatePattern(glob) || path.Clean(glob) != glob || !filepath.IsLocal(glob) || glob == "." {
				return attribute, fmt.Sprintf("%q is no glob for clean paths inside the tree, like out/*.xml or **/*.pb.go", glob)
			}
		}
	}
	return "", ""
}

func (s settings) wrongBounds() (attribute, why string) {
	for attribute, percent := range map[string]*float64{"floor": s.Floor, "changed_floor": s.ChangedFloor} {
		if percent != nil && (*percent < 0 || *percent > 100) {
			return attribute, "must be a percentage, from 0 to 100"
		}
	}
	if len(s.Sources) > 0 && s.ChangedFloor == nil {
		return "sources", "says what counts for changed_floor, which is not set"
	}
	return "", ""
}

type coverage struct{}

// Configure refuses what could not run or judge.
func (coverage) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check measures the tree and, for no_drop, the base's.
func (coverage) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	added, err := addedLines(c, s.ChangedFloor != nil)
	if err != nil {
		return sdk.Verdict{}, err
	}
	m := measurement{settings: s, output: c.Output}
	head, err := m.run(ctx, c.Tree)
	if err != nil {
		return m.notMeasured(head.ran, err), nil
	}
	j := judgement{settings: s, head: head.figures, text: map[string][][]byte{}}
	if err := errors.Join(j.shown(c.Changes, added), j.change(c.Tree, added)); err != nil {
		return m.notMeasured(head.ran, err), nil
	}
	if s.NoDrop {
		base, err := m.base(ctx, c)
		if err != nil {
			return sdk.Verdict{Outcome: sdk.Error, Message: "over the base: " + err.Error(), Ran: head.ran}, nil
		}
		j.drops(c.Changes, base.figures)
	}
	v := j.verdict()
	v.Ran = head.ran
	return v, nil
}
