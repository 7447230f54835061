// Command drawspan-validator-diff judges what a change does to the files of a tree: how much it changes,
// what kind of files it makes, and what a reader of the diff would not see.
//
//	gate "diff" {
//		validator = "diff"
//		config {
//			max_files    = 40
//			max_lines    = 1500
//			binary       = "fail"
//			deleted_test = "fail"
//			except       = { binary = "docs/**/*.png" }
//		}
//	}
//
// It judges the diff that the host took, and nothing else: it sees no tree and starts no program. Each rule
// has a level of its own, fail, warn or ignore. A rule that needs the patch does not pass where the patch is
// cut off. Tests are known by the markers that their languages use: a test whose body is emptied is not found.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

// The rules, as config and except name them.
const (
	ruleFiles     = "max_files"
	ruleLines     = "max_lines"
	ruleFileBytes = "max_file_bytes"
	ruleBinary    = "binary"
	ruleMode      = "mode"
	ruleExec      = "executable"
	ruleSymlink   = "symlink"
	ruleGitlink   = "gitlink"
	ruleHidden    = "hidden_character"
	ruleLock      = "lock_file"
	ruleCI        = "ci_file"
	ruleTest      = "deleted_test"
)

// The levels of a rule.
const (
	levelFail   = "fail"
	levelWarn   = "warn"
	levelIgnore = "ignore"
)

// usual are the levels that hold where config says nothing.
func usual() map[string]string {
	return map[string]string{
		ruleFiles: levelFail, ruleLines: levelFail, ruleFileBytes: levelFail,
		ruleBinary: levelWarn, ruleMode: levelWarn, ruleExec: levelWarn, ruleSymlink: levelWarn, ruleCI: levelWarn,
		ruleGitlink: levelFail, ruleHidden: levelFail, ruleLock: levelFail, ruleTest: levelFail,
	}
}

var manifest = sdk.Manifest{
	Name:     "diff",
	Version:  "0.1.0",
	Summary:  "judges the size and the kind of a change, and what its reader would not see",
	Feeds:    []string{sdk.FeedPatch},
	Pure:     true,
	Resident: true,
	Config: []sdk.Attribute{
		{Name: ruleFiles, Type: sdk.TypeNumber, Doc: "most files that may change"},
		{Name: ruleLines, Type: sdk.TypeNumber, Doc: "most lines, inserted and deleted"},
		{Name: ruleFileBytes, Type: sdk.TypeNumber, Doc: "largest size of a changed file, after the change"},
		{Name: ruleBinary, Type: sdk.TypeString, Doc: "binary files that are added or changed: fail, warn (default) or ignore"},
		{Name: ruleMode, Type: sdk.TypeString, Doc: "other changes of a file's mode or type (default warn)"},
		{Name: ruleExec, Type: sdk.TypeString, Doc: "files that become executable (default warn)"},
		{Name: ruleSymlink, Type: sdk.TypeString, Doc: "symbolic links that are added or changed (default warn)"},
		{Name: ruleGitlink, Type: sdk.TypeString, Doc: "submodule entries (default fail)"},
		{Name: ruleHidden, Type: sdk.TypeString, Doc: "characters in added lines and in file names that reorder or hide text (default fail)"},
		{Name: ruleLock, Type: sdk.TypeString, Doc: "lock files that change without the file that they lock (default fail)"},
		{Name: ruleCI, Type: sdk.TypeString, Doc: "files that CI systems obey (default warn)"},
		{Name: ruleTest, Type: sdk.TypeString, Doc: "tests that are deleted or skipped (default fail)"},
		{Name: "except", Type: sdk.TypeMapString, Doc: "by rule, a glob of paths that it does not look at"},
	},
}

func main() { plugin.Serve(manifest, diff{}) }

// settings are the config block.
type settings struct {
	MaxFiles     *int64            `json:"max_files"`
	MaxLines     *int64            `json:"max_lines"`
	MaxFileBytes *int64            `json:"max_file_bytes"`
	Binary       string            `json:"binary"`
	Mode         string            `json:"mode"`
	Executable   string            `json:"executable"`
	Symlink      string            `json:"symlink"`
	Gitlink      string            `json:"gitlink"`
	Hidden       string            `json:"hidden_character"`
	Lock         string            `json:"lock_file"`
	CI           string            `json:"ci_file"`
	Test         string            `json:"deleted_test"`
	Except       map[string]string `json:"except"`

	levels map[string]string
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, notWhole(err)
		}
	}
	for name, most := range map[string]*int64{ruleFiles: s.MaxFiles, ruleLines: s.MaxLines, ruleFileBytes: s.MaxFileBytes} {
		if most != nil && *most < 1 {
			return settings{}, &sdk.ConfigError{Attribute: name, Message: "must be 1 or more"}
		}
	}
	if err := s.setLevels(); err != nil {
		return settings{}, err
	}
	for name, glob := range s.Except {
		switch {
		case s.levels[name] == "":
			return settings{}, &sdk.ConfigError{Attribute: "except", Message: fmt.Sprintf("%q is not a rule", name)}
		case glob == "" || !doublestar.ValidatePattern(glob):
			return settings{}, &sdk.ConfigError{Attribute: "except", Message: fmt.Sprintf("%q of %s is not a glob", glob, name)}
		}
	}
	return s, nil
}

// notWhole names the attribute that encoding/json stumbled on: names and kinds were checked before, so that it is a
// number.
func notWhole(err error) *sdk.ConfigError {
	var typed *json.UnmarshalTypeError
	if !errors.As(err, &typed) {
		return &sdk.ConfigError{Message: err.Error()}
	}
	return &sdk.ConfigError{Attribute: typed.Field, Message: "must be a whole number"}
}

// setLevels takes the levels that config declares over the usual ones.
func (s *settings) setLevels() error {
	s.levels = usual()
	for name, level := range map[string]string{
		ruleBinary: s.Binary, ruleMode: s.Mode, ruleExec: s.Executable, ruleSymlink: s.Symlink, ruleGitlink: s.Gitlink,
		ruleHidden: s.Hidden, ruleLock: s.Lock, ruleCI: s.CI, ruleTest: s.Test,
	} {
		switch level {
		case "":
		case levelFail, levelWarn, levelIgnore:
			s.levels[name] = level
		default:
			return &sdk.ConfigError{Attribute: name, Message: fmt.Sprintf("%q is neither fail nor warn nor ignore", level)}
		}
	}
	return nil
}

// needsPatch tells whether a rule is on that cannot judge by the list of changes.
func (s settings) needsPatch() bool {
	return s.levels[ruleHidden] != levelIgnore || s.levels[ruleTest] != levelIgnore
}

type diff struct{}

// Configure refuses levels and globs that there are not.
func (diff) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check judges one diff; what is found in the list of changes counts even where the patch cannot be judged.
func (diff) Check(_ context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	j := newJudge(s, c.Changes)
	for i := range c.Changes {
		j.change(&c.Changes[i])
	}
	j.sizes()
	j.locks()
	var unread error
	if s.needsPatch() {
		unread = j.patch(c.Patch, c.PatchCut)
	}
	v := j.verdict()
	if unread != nil && v.Outcome != sdk.Fail {
		v.Outcome, v.Message = sdk.Error, unread.Error()
	}
	return v, nil
}

// verdict is what the findings amount to, those that fail before those that warn.
func (j *judge) verdict() sdk.Verdict {
	v := sdk.Verdict{Outcome: sdk.Pass, Metrics: j.metrics}
	all := append(slices.Clone(j.failing), j.warning...)
	if len(all) == 0 {
		return v
	}
	v.Outcome = sdk.Warn
	if len(j.failing) > 0 {
		v.Outcome = sdk.Fail
	}
	v.Findings = all[:min(len(all), sdk.MaxFindings)]
	v.Message = all[0].Message
	if all[0].Path != "" {
		v.Message = fmt.Sprintf("%q: %s", all[0].Path, all[0].Message)
	}
	if more := j.count - 1; more > 0 {
		v.Message += fmt.Sprintf(", and %d more", more)
	}
	return v
}
