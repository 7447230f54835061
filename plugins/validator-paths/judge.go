package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
)

// judge collects the offences of one change.
type judge struct {
	rules    []sdk.Paths
	refuse   []string
	links    links
	findings []sdk.Finding
	seen     map[string]bool // fingerprints
}

func newJudge(rules []sdk.Paths, refuse []string, changes []sdk.Change) *judge {
	return &judge{rules: rules, refuse: refuse, links: linksOf(changes), seen: map[string]bool{}}
}

// The git modes that matter here.
const (
	modeExec    = "100755"
	modeLink    = "120000"
	modeGitlink = "160000"
)

// change judges one changed path, and both of a rename.
func (j *judge) change(c sdk.Change) {
	touched := []string{c.Path}
	if c.OldPath != "" && c.OldPath != c.Path {
		touched = append(touched, c.OldPath)
	}
	for _, p := range touched {
		for _, r := range j.rules {
			j.scope(p, r)
		}
	}
	if c.Op != "delete" {
		j.mode(c)
	}
}

func (j *judge) add(rule, path, format string, args ...any) {
	f := sdk.Finding{Rule: "paths/" + rule, Severity: "error", Path: path, Message: fmt.Sprintf(format, args...)}
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + path))
	f.Fingerprint = hex.EncodeToString(sum[:16])
	if !j.seen[f.Fingerprint] {
		j.findings = append(j.findings, f)
	}
	j.seen[f.Fingerprint] = true
}

// scope holds a path to one set of rules. Forbidden is forbidden in every case: on some file systems
// .GitHub is .github.
func (j *judge) scope(p string, r sdk.Paths) {
	if len(r.Write) > 0 && !slices.ContainsFunc(r.Write, func(glob string) bool { return doublestar.MatchUnvalidated(glob, p) }) {
		j.add("write", p, "may not be changed: only %s may", strings.Join(r.Write, ", "))
	}
	folded := strings.ToLower(p)
	for _, glob := range r.Forbid {
		if doublestar.MatchUnvalidated(glob, p) || doublestar.MatchUnvalidated(strings.ToLower(glob), folded) {
			j.add("forbid", p, "must not be changed: %s is forbidden", glob)
			return
		}
	}
}

// mode judges what a path has become.
func (j *judge) mode(c sdk.Change) {
	switch {
	case c.NewMode == modeGitlink && slices.Contains(j.refuse, refuseGitlinks):
		j.add("gitlink", c.Path, "is a submodule entry")
	case c.NewMode == modeExec && c.OldMode != modeExec && slices.Contains(j.refuse, refuseExec):
		j.add("exec", c.Path, "has become executable")
	case c.NewMode == modeLink && slices.Contains(j.refuse, refuseSymlinks):
		if j.links.leadsOut(c.Path) {
			j.add("symlink-out", c.Path, "is a symbolic link that does not stay in the tree: %q", c.Link)
		}
	}
}
