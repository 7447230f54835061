// Command drawspan-validator-paths judges which paths a change touches.
//
//	gate "paths" {
//		validator = "paths"
//		config {
//			forbid = ["**/*.pem"]
//		}
//	}
//
// It judges the diff that the host took, never what the executor said, and looks at no tree. A changed path must satisfy the
// rules of the workspace, those of the dispatch and those of its own config block, all of them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

// What config.refuse can name.
const (
	refuseSymlinks = "symlinks_out" // symbolic links that lead out of the tree
	refuseGitlinks = "gitlinks"     // submodule entries
	refuseExec     = "exec"         // files that become executable
)

var manifest = sdk.Manifest{
	Name:     "paths",
	Version:  "0.1.0",
	Summary:  "holds a change to the paths that it may touch",
	Pure:     true,
	Resident: true,
	Config: []sdk.Attribute{
		{Name: "write", Type: sdk.TypeListString, Doc: "globs; a changed path must match one (none = every path may change)"},
		{Name: "forbid", Type: sdk.TypeListString, Doc: "globs; a changed path must match none, whatever its case"},
		{Name: "refuse", Type: sdk.TypeListString, Doc: "kinds of change that are refused: " + refuseSymlinks + ", " +
			refuseGitlinks + ", " + refuseExec + " (default the first two)"},
	},
}

func main() { plugin.Serve(manifest, paths{}) }

// settings are the config block.
type settings struct {
	Write  []string  `json:"write"`
	Forbid []string  `json:"forbid"`
	Refuse *[]string `json:"refuse"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Message: err.Error()}
		}
	}
	for attribute, globs := range map[string][]string{"write": s.Write, "forbid": s.Forbid} {
		for _, glob := range globs {
			if wrong := checkGlob(glob); wrong != "" {
				return settings{}, &sdk.ConfigError{Attribute: attribute, Message: fmt.Sprintf("%q %s", glob, wrong)}
			}
		}
	}
	if s.Refuse == nil {
		s.Refuse = &[]string{refuseSymlinks, refuseGitlinks}
	}
	for _, kind := range *s.Refuse {
		if !slices.Contains([]string{refuseSymlinks, refuseGitlinks, refuseExec}, kind) {
			return settings{}, &sdk.ConfigError{Attribute: "refuse", Message: fmt.Sprintf("%q is no kind of change that can be refused", kind)}
		}
	}
	return s, nil
}

// checkGlob refuses what could never match, which somebody would take for a rule.
func checkGlob(glob string) string {
	switch {
	case !doublestar.ValidatePattern(glob):
		return "is not a glob"
	case glob == "" || path.Clean(glob) != glob || path.IsAbs(glob) || glob == ".." || strings.HasPrefix(glob, "../"):
		return "matches nothing: globs are for clean paths inside the repository, like docs/** or **/*.pem"
	default:
		return ""
	}
}

type paths struct{}

// Configure refuses globs that could not match.
func (paths) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check judges every changed path; all offences are told, one finding each.
func (paths) Check(_ context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	rules := append(slices.Clone(c.Paths), sdk.Paths{Write: s.Write, Forbid: s.Forbid})
	for _, r := range rules {
		for _, glob := range append(slices.Clone(r.Write), r.Forbid...) {
			if !doublestar.ValidatePattern(glob) {
				return sdk.Verdict{}, fmt.Errorf("%q is not a glob: the change cannot be judged", glob)
			}
		}
	}
	judge := newJudge(rules, *s.Refuse, c.Changes)
	for _, change := range c.Changes {
		judge.change(change)
	}
	if len(judge.findings) == 0 {
		return sdk.Verdict{Outcome: sdk.Pass}, nil
	}
	return sdk.Verdict{Outcome: sdk.Fail, Message: summary(judge.findings), Findings: judge.findings}, nil
}

func summary(findings []sdk.Finding) string {
	first := fmt.Sprintf("%q: %s", findings[0].Path, findings[0].Message)
	if more := len(findings) - 1; more > 0 {
		return fmt.Sprintf("%s, and %d more", first, more)
	}
	return first
}
