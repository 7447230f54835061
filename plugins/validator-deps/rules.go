package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aquasecurity/go-pep440-version"
	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/mod/semver"

	"github.com/drawspan/drawspan/sdk"
)

// The worlds that dependencies come from.
const (
	worldGo    = "go"
	worldNPM   = "npm"
	worldPyPI  = "pypi"
	worldCargo = "cargo"
)

// rule is one entry of allow or deny.
type rule struct {
	text  string
	world string // "" for any
	glob  string
	bound []bound // all hold
}

// bound is one comparison with a version.
type bound struct{ op, version string }

func parseRules(attribute string, texts []string) ([]rule, error) {
	var rules []rule
	for _, text := range texts {
		r, err := parseRule(text)
		if err != nil {
			return nil, &sdk.ConfigError{Attribute: attribute, Message: fmt.Sprintf("%q: %v", text, err)}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(text string) (rule, error) {
	r := rule{text: text, glob: text}
	if world, rest, ok := strings.Cut(text, ":"); ok {
		if !slices.Contains([]string{worldGo, worldNPM, worldPyPI, worldCargo}, world) {
			return rule{}, fmt.Errorf("%q is not one of go, npm, pypi, cargo", world)
		}
		r.world, r.glob = world, rest
	}
	if at := strings.LastIndex(r.glob, "@"); at > 0 { // at 0 it begins the name of an npm scope
		var err error
		if r.bound, err = parseBounds(r.world, r.glob[at+1:]); err != nil {
			return rule{}, err
		}
		r.glob = r.glob[:at]
	}
	if r.glob == "" || strings.ContainsAny(r.glob, " \t") || !doublestar.ValidatePattern(r.glob) {
		return rule{}, fmt.Errorf("%q is not a glob that could match a name", r.glob)
	}
	r.glob = canonical(r.world, r.glob)
	return r, nil
}

func parseBounds(world, text string) ([]bound, error) {
	var bounds []bound
	for _, part := range strings.Fields(strings.ReplaceAll(text, ",", " ")) {
		b := bound{"=", part}
		for _, op := range []string{">=", "<=", "!=", "==", ">", "<", "="} {
			if rest, ok := strings.CutPrefix(part, op); ok {
				b = bound{strings.Replace(op, "==", "=", 1), rest}
				break
			}
		}
		_, isVersion := compare(world, b.version, b.version)
		if _, isPython := compare(worldPyPI, b.version, b.version); !isVersion && (world != "" || !isPython) {
			return nil, fmt.Errorf("%q is not a comparison like >=1.2.0", part)
		}
		bounds = append(bounds, b)
	}
	if len(bounds) == 0 {
		return nil, fmt.Errorf("no version stands after @")
	}
	return bounds, nil
}

// certainty says how a rule's versions stand to a dependency.
type certainty int

const (
	no certainty = iota
	unknown
	yes
)

// names tells whether the rule is about a package of that name.
func (r rule) names(world, name string) bool {
	return (r.world == "" || r.world == world) && doublestar.MatchUnvalidated(r.glob, canonical(world, name))
}

// holds tells whether all comparisons hold for a version; "" is a version that is not known.
func (r rule) holds(world, version string) certainty {
	for _, b := range r.bound {
		order, ok := compare(world, version, b.version)
		if !ok {
			return unknown
		}
		if !map[string]bool{"=": order == 0, "!=": order != 0, ">": order > 0, ">=": order >= 0, "<": order < 0, "<=": order <= 0}[b.op] {
			return no
		}
	}
	return yes
}

// canonical is the one spelling of names that a world takes for the same.
func canonical(world, name string) string {
	switch world {
	case worldPyPI:
		name = strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
		for strings.Contains(name, "--") {
			name = strings.ReplaceAll(name, "--", "-")
		}
	case worldCargo:
		name = strings.ReplaceAll(name, "_", "-")
	}
	return name
}

// compare orders two versions of a world. It is not ok where one of them is none.
func compare(world, a, b string) (order int, ok bool) {
	if world == worldPyPI {
		va, errA := version.Parse(a)
		vb, errB := version.Parse(b)
		if errA != nil || errB != nil {
			return 0, false
		}
		return va.Compare(vb), true
	}
	a, b = "v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")
	if !semver.IsValid(a) || !semver.IsValid(b) {
		return 0, false
	}
	return semver.Compare(a, b), true
}
