package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/go-viper/mapstructure/v2"
	"github.com/pelletier/go-toml/v2"
	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/logging"
)

const decodeDepth = 5 // as gitleaks' own command: base64 in base64 and so on

// detectors look at texts. Gitleaks passes over paths where a word beside a long number means nothing, such as
// lock files and images; the tokens that have a form of their own are looked for there too.
type detectors struct {
	full     *detect.Detector
	specific *detect.Detector
	passed   []*regexp.Regexp // the paths for specific
}

// quiet silences gitleaks: its debugging lines show secrets.
var quiet = sync.OnceFunc(func() { logging.Logger = zerolog.Nop() })

// builtin are the detectors for gitleaks' own rules alone.
var builtin = sync.OnceValues(func() (*detectors, error) { return load(settings{}) })

func newDetectors(s settings) (*detectors, error) {
	if s.Rules == "" && len(s.Disable) == 0 && !s.InlineAllow {
		return builtin()
	}
	return load(s)
}

func load(s settings) (d *detectors, err error) {
	quiet()
	defer func() {
		if p := recover(); p != nil { // gitleaks panics on a regular expression that is none
			d, err = nil, wrong("rules", "cannot be used: %v", p)
		}
	}()
	rules, passed, err := merged(s)
	if err != nil {
		return nil, err
	}
	if err := disable(&rules, s.Disable); err != nil {
		return nil, err
	}
	cfg, err := rules.Translate()
	if err != nil {
		return nil, wrong("rules", "cannot be used: %v", err)
	}
	d = &detectors{full: detector(cfg, s), specific: detector(specific(cfg), s)}
	for _, p := range passed {
		d.passed = append(d.passed, regexp.MustCompile(p))
	}
	return d, nil
}

func detector(cfg config.Config, s settings) *detect.Detector {
	d := detect.NewDetector(cfg)
	d.MaxDecodeDepth = decodeDepth
	d.IgnoreGitleaksAllow = !s.InlineAllow
	return d
}

// wordy is how the rules begin that look for a number beside a word.
var wordy = regexp.MustCompile(`^(?:\(\?i\))?\[\\w\.-\]\{0,50\}\?`)

// specific are the rules for tokens that have a form of their own.
func specific(cfg config.Config) config.Config {
	rules, keywords := map[string]config.Rule{}, map[string]struct{}{}
	for id, r := range cfg.Rules {
		if r.Regex != nil && wordy.MatchString(r.Regex.String()) {
			continue
		}
		rules[id] = r
		for _, k := range r.Keywords {
			keywords[k] = struct{}{}
		}
	}
	cfg.Rules, cfg.Keywords = rules, keywords
	return cfg
}

// read takes the text of a gitleaks configuration. A key that gitleaks does not know is refused: gitleaks would
// pass over it, and somebody would take it for a rule.
func read(text string) (config.ViperConfig, error) {
	var vc config.ViperConfig
	var keys map[string]any
	if err := toml.Unmarshal([]byte(text), &keys); err != nil {
		return vc, fmt.Errorf("are no gitleaks configuration: %w", err)
	}
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: &vc, ErrorUnused: true})
	if err != nil {
		return vc, fmt.Errorf("prepare to read a gitleaks configuration: %w", err)
	}
	if err := d.Decode(keys); err != nil {
		return vc, fmt.Errorf("are no gitleaks configuration: %w", err)
	}
	if vc.AllowList != nil {
		vc.Allowlists, vc.AllowList = append(vc.Allowlists, vc.AllowList), nil
	}
	for i := range vc.Rules {
		if r := &vc.Rules[i]; r.AllowList != nil {
			r.Allowlists, r.AllowList = append(r.Allowlists, r.AllowList), nil
		}
	}
	return vc, nil
}

// merged are the rules that apply, and the paths that gitleaks passes over. The merging is gitleaks' own for
// extend.useDefault; gitleaks itself can do it once in a process only.
func merged(s settings) (config.ViperConfig, []string, error) {
	ours, err := read(config.DefaultConfig)
	if err != nil {
		return ours, nil, fmt.Errorf("gitleaks' own rules %w", err)
	}
	var passed []string
	for _, a := range ours.Allowlists {
		passed = append(passed, a.Paths...)
		a.Paths = nil
	}
	if s.Rules == "" {
		return ours, passed, nil
	}
	theirs, err := read(s.Rules)
	extend := theirs.Extend
	theirs.Extend = config.Extend{}
	switch {
	case err != nil:
		return ours, nil, wrong("rules", "%v", err)
	case extend.Path != "" || extend.URL != "":
		return ours, nil, wrong("rules", "extend a file, which is not read: say what it says here, or extend.useDefault = true")
	case !extend.UseDefault && len(extend.DisabledRules) > 0:
		return ours, nil, wrong("rules", "have extend.disabledRules without extend.useDefault")
	case !extend.UseDefault && len(theirs.Rules) == 0:
		return ours, nil, wrong("rules", "have no rule, and do not say extend.useDefault = true: nothing would ever be found")
	case !extend.UseDefault:
		return theirs, nil, nil
	}
	if err := disable(&ours, extend.DisabledRules); err != nil {
		return ours, nil, err
	}
	overlay(&theirs, ours)
	return theirs, passed, nil
}

// overlay adds the rules of below to over. A rule of both has what over says, and the rest from below.
func overlay(over *config.ViperConfig, below config.ViperConfig) {
	at := map[string]int{}
	for i, r := range over.Rules {
		at[r.ID] = i
	}
	for _, b := range below.Rules {
		i, both := at[b.ID]
		if !both {
			over.Rules = append(over.Rules, b)
			continue
		}
		o := &over.Rules[i]
		o.Description = cmp.Or(o.Description, b.Description)
		o.Regex, o.Path = cmp.Or(o.Regex, b.Regex), cmp.Or(o.Path, b.Path)
		o.Entropy, o.SecretGroup = cmp.Or(o.Entropy, b.Entropy), cmp.Or(o.SecretGroup, b.SecretGroup)
		o.Keywords, o.Tags = append(o.Keywords, b.Keywords...), append(o.Tags, b.Tags...)
		o.Allowlists = append(o.Allowlists, b.Allowlists...)
	}
	over.Allowlists = append(over.Allowlists, below.Allowlists...)
}

func disable(vc *config.ViperConfig, ids []string) error {
	known := map[string]bool{}
	for _, r := range vc.Rules {
		known[r.ID] = true
	}
	for _, id := range ids {
		if !known[id] {
			return wrong("disable", "%q is no rule of gitleaks' or of config.rules; a finding names its own, like github-pat", id)
		}
	}
	kept := vc.Rules[:0:0]
	for _, r := range vc.Rules {
		if !slices.Contains(ids, r.ID) {
			kept = append(kept, r)
		}
	}
	vc.Rules = kept
	return nil
}
