// Command drawspan-validator-deps judges which dependencies a change brings in.
//
//	gate "deps" {
//		validator = "deps"
//		config {
//			allow = ["go:golang.org/x/**", "npm:@types/*", "pypi:requests@>=2.31", "cargo:serde"]
//			deny  = ["npm:left-pad", "go:github.com/old/**@<1.4.0"]
//		}
//	}
//
// It reads go.mod, go.work, go.sum, package.json, package-lock.json and npm-shrinkwrap.json, requirements files,
// pyproject.toml, poetry.lock and uv.lock, Cargo.toml and Cargo.lock: as they are in the base and as they are now.
// What was there before is not judged again; what is new or has changed is, at the line where it stands. A file that
// cannot be read is a finding, never a pass.
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
	refuseScripts    = "install-scripts" // programs that run when a package is installed
	refuseLocal      = "local"           // a dependency taken from a directory
	refuseForks      = "forks"           // a dependency taken from under another name
	refuseSources    = "sources"         // a dependency or an index from a place that nothing came from before
	refuseRewritten  = "rewritten"       // the same version with another content
	refuseDowngrades = "downgrades"
	refuseFloating   = "floating" // a requirement that any version meets
	refuseNew        = "new"      // every dependency that was not there before
)

func refusals() []string {
	return []string{refuseScripts, refuseLocal, refuseForks, refuseSources, refuseRewritten, refuseDowngrades, refuseFloating, refuseNew}
}

// usual is what is refused where nothing is said.
func usual() []string { return refusals()[:5] }

var manifest = sdk.Manifest{
	Name:    "deps",
	Version: "0.1.0",
	Summary: "judges the dependencies that a change brings in",
	Config: []sdk.Attribute{
		{Name: "allow", Type: sdk.TypeListString, Doc: "[go:|npm:|pypi:|cargo:]GLOB[@VERSIONS]; a changed dependency must match one (none = every one may come)"},
		{Name: "deny", Type: sdk.TypeListString, Doc: "written as in allow; a changed dependency must match none"},
		{Name: "refuse", Type: sdk.TypeListString, Doc: "what else is refused: " + strings.Join(refusals(), ", ") + " (default the first five)"},
		{Name: "registries", Type: sdk.TypeListString, Doc: "hosts that packages may come from, beside the public ones and those of the base"},
		{Name: "direct_only", Type: sdk.TypeBool, Doc: "hold allow against direct dependencies only"},
		{Name: "ignore", Type: sdk.TypeListString, Doc: "globs of paths that are not judged"},
	},
	Feeds: []string{sdk.FeedBase},
	Pure:  true,
}

func main() { plugin.Serve(manifest, deps{}) }

// settings are the config block.
type settings struct {
	Allow      []string  `json:"allow"`
	Deny       []string  `json:"deny"`
	Refuse     *[]string `json:"refuse"`
	Registries []string  `json:"registries"`
	DirectOnly bool      `json:"direct_only"`
	Ignore     []string  `json:"ignore"`

	allow, deny []rule
}

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Message: err.Error()}
		}
	}
	if s.Refuse == nil {
		all := usual()
		s.Refuse = &all
	}
	return s, errors.Join(s.rules(), s.kinds(), globs("ignore", s.Ignore), globs("registries", s.Registries))
}

// rules reads allow and deny.
func (s *settings) rules() (err error) {
	if s.allow, err = parseRules("allow", s.Allow); err != nil {
		return err
	}
	s.deny, err = parseRules("deny", s.Deny)
	return err
}

func (s *settings) kinds() error {
	for _, kind := range *s.Refuse {
		if !slices.Contains(refusals(), kind) {
			return &sdk.ConfigError{Attribute: "refuse", Message: fmt.Sprintf("%q is nothing that can be refused: %s", kind, strings.Join(refusals(), ", "))}
		}
	}
	return nil
}

func globs(attribute string, globs []string) error {
	for _, glob := range globs {
		if glob == "" || strings.Contains(glob, "://") || !doublestar.ValidatePattern(glob) {
			return &sdk.ConfigError{Attribute: attribute, Message: fmt.Sprintf("%q is not a glob that could match", glob)}
		}
	}
	return nil
}

func (s settings) refuses(kind string) bool { return slices.Contains(*s.Refuse, kind) }

type deps struct{}

// Configure refuses rules that could not match.
func (deps) Configure(_ context.Context, config json.RawMessage) error {
	_, err := parse(config)
	return err
}

// Check compares what the changed files require with what they required in the base.
func (deps) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	changed := slices.DeleteFunc(slices.Clone(c.Changes), func(change sdk.Change) bool {
		return change.Op == "delete" || s.ignored(change.Path) || !known(change.Path)
	})
	if len(changed) == 0 {
		return sdk.Verdict{Outcome: sdk.Skip, Message: "no file that names dependencies has changed"}, nil
	}
	if c.BaseTree == "" {
		return sdk.Verdict{}, fmt.Errorf("the base's tree was not fed: what is new cannot be told")
	}
	return s.compare(ctx, c, changed)
}

// compare judges files against what they were.
func (s settings) compare(ctx context.Context, c *sdk.Check, changed []sdk.Change) (sdk.Verdict, error) {
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
	for _, change := range changed {
		if err := ctx.Err(); err != nil {
			return sdk.Verdict{}, err
		}
		j.file(change)
	}
	return j.verdict(), nil
}

func (s settings) ignored(name string) bool {
	return slices.ContainsFunc(s.Ignore, func(glob string) bool { return doublestar.MatchUnvalidated(glob, name) })
}
