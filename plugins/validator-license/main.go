// Command drawspan-validator-license judges what a change does to licences.
//
//	gate "license" {
//		validator = "license"
//		config {
//			allow = ["Apache-2.0", "MIT", "BSD-*"]
//		}
//	}
//
// Three things say a licence: the licence files of a directory (LICENSE, COPYING and the like), the head of a source
// file, and the license field of package.json, Cargo.toml and pyproject.toml. Each is read as it is in the base and as
// it is now. A licence that changed, was widened by another or is gone is a finding that names both, and so is one that
// is new and not allowed, and a licence file whose words changed though it still reads as the same licence.
// Where an expression names several licences, each counts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

// What config.refuse can name.
const (
	refuseChanged = "changed" // another licence, one more, or one less
	refuseAltered = "altered" // other words of the same licence
	refuseUnknown = "unknown" // a licence file that reads as no licence that is known
	refuseHeaders = "headers" // as changed, of the heads of files
)

func refusals() []string {
	return []string{refuseChanged, refuseAltered, refuseUnknown, refuseHeaders}
}

var manifest = sdk.Manifest{
	Name:    "license",
	Version: "0.1.0",
	Summary: "judges what a change does to licences",
	Config: []sdk.Attribute{
		{Name: "allow", Type: sdk.TypeListString, Doc: "SPDX ids, or globs of them, that may come (none = every licence may)"},
		{Name: "refuse", Type: sdk.TypeListString, Doc: "what else is refused: " + strings.Join(refusals(), ", ") + " (default all)"},
		{Name: "ignore", Type: sdk.TypeListString, Doc: "globs of paths that are not judged"},
	},
	Feeds: []string{sdk.FeedBase},
	Pure:  true,
}

func main() { plugin.Serve(manifest, license{}) }

// settings are the config block.
type settings struct {
	Allow  []string  `json:"allow"`
	Refuse *[]string `json:"refuse"`
	Ignore []string  `json:"ignore"`
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Message: err.Error()}
		}
	}
	if s.Refuse == nil {
		all := refusals()
		s.Refuse = &all
	}
	for _, kind := range *s.Refuse {
		if !slices.Contains(refusals(), kind) {
			return settings{}, &sdk.ConfigError{Attribute: "refuse", Message: fmt.Sprintf("%q is nothing that can be refused: %s", kind, strings.Join(refusals(), ", "))}
		}
	}
	return s, errors.Join(s.identifiers(), globs(s.Ignore))
}

// identifiers refuses what could match no SPDX id, such as an expression.
func (s settings) identifiers() error {
	for _, id := range s.Allow {
		if id == "" || strings.ContainsAny(id, " \t()/") || !doublestar.ValidatePattern(id) {
			return &sdk.ConfigError{Attribute: "allow", Message: fmt.Sprintf("%q is not an SPDX id, like Apache-2.0 or BSD-*", id)}
		}
	}
	return nil
}

func globs(globs []string) error {
	for _, glob := range globs {
		if glob == "" || !doublestar.ValidatePattern(glob) {
			return &sdk.ConfigError{Attribute: "ignore", Message: fmt.Sprintf("%q is not a glob that could match", glob)}
		}
	}
	return nil
}

func (s settings) refuses(kind string) bool { return slices.Contains(*s.Refuse, kind) }

func (s settings) ignored(name string) bool {
	return slices.ContainsFunc(s.Ignore, func(glob string) bool { return doublestar.MatchUnvalidated(glob, name) })
}

// allows tells whether a licence may come. A text cannot tell GPL-2.0-only from GPL-2.0-or-later, so that its name
// without either matches both.
func (s settings) allows(id string) bool {
	return len(s.Allow) == 0 || slices.ContainsFunc(s.Allow, func(glob string) bool {
		glob = strings.ToLower(glob)
		folded := strings.ToLower(id)
		return doublestar.MatchUnvalidated(glob, folded) || folded == plain(folded) && plain(glob) == folded
	})
}

func plain(id string) string {
	return strings.TrimSuffix(strings.TrimSuffix(id, "-only"), "-or-later")
}

type license struct{}

// Configure refuses rules that could not match.
func (license) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check compares what the changed files say of licences with what they said in the base.
func (license) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	if c.BaseTree == "" {
		return sdk.Verdict{}, fmt.Errorf("the base's tree was not fed: what has changed cannot be told")
	}
	head, err := os.OpenRoot(c.Tree)
	if err != nil {
		return sdk.Verdict{}, fmt.Errorf("open the tree: %w", err)
	}
	defer head.Close() //nolint:errcheck // it was only read
	base, err := os.OpenRoot(c.BaseTree)
	if err != nil {
		return sdk.Verdict{}, fmt.Errorf("open the base's tree: %w", err)
	}
	defer base.Close() //nolint:errcheck // it was only read
	j := newJudge(s, head, base)
	for _, change := range c.Changes {
		if err := ctx.Err(); err != nil {
			return sdk.Verdict{}, err
		}
		if err := j.change(change); err != nil {
			return sdk.Verdict{}, err
		}
	}
	return j.verdict(), nil
}
