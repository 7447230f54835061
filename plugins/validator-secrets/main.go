// Command drawspan-validator-secrets looks for credentials in what a change adds, with the rules of gitleaks.
//
//	gate "secrets" {
//		validator = "secrets"
//		config {
//			allow       = ["v1:3f0c9b0e6f3d4a5b8c7d6e5f4a3b2c1d"] # as a finding names it
//			allow_paths = ["**/testdata/**"]
//		}
//	}
//
// It judges the added lines of the patch, and whole files where the patch does not show them: a binary file, or
// a patch that was cut. A secret is never told: not in a message, a finding, a log or a number. What a finding
// says instead is the rule, the place, and a fingerprint that stays when lines move and does not reveal it.
//
// What the repository says about itself is not obeyed: neither a .gitleaks.toml or .gitleaksignore of its tree
// nor a gitleaks:allow beside a secret, because who leaks a key could write those too.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"regexp"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/plugin"
)

const (
	defaultFileBytes = 8 << 20
	mostFileBytes    = 256 << 20
	maxRules         = 1 << 20 // bytes of config.rules
	maxKey           = 1 << 10
)

var manifest = sdk.Manifest{
	Name:    "secrets",
	Version: "0.1.0",
	Summary: "finds credentials in what a change adds, with the rules of gitleaks",
	Feeds:   []string{sdk.FeedPatch},
	Pure:    true,
	Config: []sdk.Attribute{
		{Name: "allow", Type: sdk.TypeListString, Doc: "fingerprints of findings that are known and accepted"},
		{Name: "allow_paths", Type: sdk.TypeListString, Doc: "globs; what is added there is not looked at"},
		{Name: "disable", Type: sdk.TypeListString, Doc: "rules of gitleaks that are not applied, by id"},
		{Name: "rules", Type: sdk.TypeString, Doc: "more rules: the text of a gitleaks configuration, beside gitleaks' own where it says extend.useDefault"},
		{Name: "inline_allow", Type: sdk.TypeBool, Doc: "obey gitleaks:allow in the line of a secret (default false: the change could allow itself)"},
		{Name: "key", Type: sdk.TypeString, Doc: "enters the fingerprints: without it nobody can try guesses against them; another key makes other fingerprints"},
		{Name: "max_file_bytes", Type: sdk.TypeNumber, Doc: "largest file that is read where the patch does not show it (default 8 MiB); a larger one is an error"},
	},
}

func main() { plugin.Serve(manifest, &secrets{}) }

// settings are the config block.
type settings struct {
	Allow        []string `json:"allow"`
	AllowPaths   []string `json:"allow_paths"`
	Disable      []string `json:"disable"`
	Rules        string   `json:"rules"`
	InlineAllow  bool     `json:"inline_allow"`
	Key          string   `json:"key"`
	MaxFileBytes *float64 `json:"max_file_bytes"`
}

var fingerprintForm = regexp.MustCompile(`^v1:[0-9a-f]{32}$`)

func parse(config json.RawMessage) (settings, error) {
	var s settings
	if len(config) > 0 {
		if err := json.Unmarshal(config, &s); err != nil {
			return settings{}, &sdk.ConfigError{Message: err.Error()}
		}
	}
	for _, print := range s.Allow {
		if !fingerprintForm.MatchString(print) {
			return settings{}, wrong("allow", "%q is no fingerprint; a finding names its own, like v1: and 32 hexadecimal digits", print)
		}
	}
	for _, glob := range s.AllowPaths {
		if why := checkGlob(glob); why != "" {
			return settings{}, wrong("allow_paths", "%q %s", glob, why)
		}
	}
	switch {
	case len(s.Rules) > maxRules:
		return settings{}, wrong("rules", "are %d bytes, more than %d", len(s.Rules), maxRules)
	case len(s.Key) > maxKey:
		return settings{}, wrong("key", "is longer than %d bytes", maxKey)
	}
	if most := s.MaxFileBytes; most == nil {
		s.MaxFileBytes = new(float64)
		*s.MaxFileBytes = defaultFileBytes
	} else if *most < 1 || *most > mostFileBytes || *most != math.Trunc(*most) {
		return settings{}, wrong("max_file_bytes", "must be a whole number from 1 to %d", mostFileBytes)
	}
	return s, nil
}

func wrong(attribute, format string, args ...any) error {
	return &sdk.ConfigError{Attribute: attribute, Message: fmt.Sprintf(format, args...)}
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

// secrets keeps nothing between two checks.
type secrets struct{}

// Configure refuses fingerprints, globs and rules that could have no effect.
func (*secrets) Configure(_ context.Context, config json.RawMessage) error {
	s, err := parse(config)
	if err != nil || s.Rules == "" && len(s.Disable) == 0 {
		return err // gitleaks' own rules are loaded when there is something to look at
	}
	_, err = newDetectors(s)
	return err
}

// Check looks at everything that the change adds.
func (*secrets) Check(ctx context.Context, c *sdk.Check) (sdk.Verdict, error) {
	s, err := parse(c.Config)
	if err != nil {
		return sdk.Verdict{}, err
	}
	texts, err := gather(c, s)
	if err != nil {
		return sdk.Verdict{}, err
	}
	if len(texts) == 0 {
		return sdk.Verdict{Outcome: sdk.Pass, Metrics: metrics(texts, nil, 0)}, nil
	}
	d, err := newDetectors(s)
	if err != nil {
		return sdk.Verdict{}, err
	}
	found := finder{settings: s, prints: map[leak]string{}}
	if err := d.all(ctx, texts, found.take); err != nil {
		return sdk.Verdict{}, err
	}
	v := sdk.Verdict{Outcome: sdk.Pass, Findings: found.findings, Metrics: metrics(texts, found.findings, found.allowed)}
	if len(found.findings) > 0 {
		v.Outcome = sdk.Fail
	}
	v.Message = summary(found.findings, found.allowed)
	return v, nil
}

func metrics(texts []text, findings []sdk.Finding, allowed int) map[string]float64 {
	files, lines, size := 0, 0, 0
	for _, t := range texts {
		if !t.name {
			files, lines, size = files+1, lines+len(t.starts), size+len(t.raw)
		}
	}
	return map[string]float64{
		"files": float64(files), "lines": float64(lines), "bytes": float64(size),
		"findings": float64(len(findings)), "allowed": float64(allowed),
	}
}

func summary(findings []sdk.Finding, allowed int) string {
	var parts []string
	if len(findings) > 0 {
		f := findings[0]
		where := fmt.Sprintf("%q", f.Path)
		if f.Line > 0 {
			where = fmt.Sprintf("%s line %d", where, f.Line)
		}
		parts = append(parts, fmt.Sprintf("%s: %s (%s)", where, f.Message, f.Rule))
	}
	if more := len(findings) - 1; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	if allowed > 0 {
		parts = append(parts, fmt.Sprintf("%d known and allowed", allowed))
	}
	return strings.Join(parts, ", ")
}
