package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
)

// The git modes that matter here.
const (
	modeFile    = "100644"
	modeExec    = "100755"
	modeLink    = "120000"
	modeGitlink = "160000"
)

// judge collects what is found of one diff.
type judge struct {
	settings
	changes []sdk.Change
	byPath  map[string]*sdk.Change

	failing, warning []sdk.Finding // each at most as many as a verdict holds
	count            int           // of all, those that were not kept too
	metrics          map[string]float64
}

func newJudge(s settings, changes []sdk.Change) *judge {
	j := &judge{settings: s, changes: changes, byPath: map[string]*sdk.Change{}, metrics: map[string]float64{
		"hidden_characters": 0, "deleted_tests": 0,
	}}
	for i := range changes {
		j.byPath[changes[i].Path] = &changes[i]
	}
	return j
}

// off tells whether a rule does not look at a path.
func (j *judge) off(rule, path string) bool {
	if j.levels[rule] == levelIgnore {
		return true
	}
	glob, ok := j.Except[rule]
	return ok && path != "" && doublestar.MatchUnvalidated(glob, path)
}

// place is where something is found: content is what stays the same when lines move.
type place struct {
	path    string
	line    int
	content string
}

// add keeps a finding, as long as a verdict has room for it; false where the rule does not look at the path.
func (j *judge) add(rule string, at place, format string, args ...any) bool {
	if j.off(rule, at.path) {
		return false
	}
	severity, kept := "error", &j.failing
	if j.levels[rule] == levelWarn {
		severity, kept = "warning", &j.warning
	}
	if j.count++; len(*kept) == sdk.MaxFindings {
		return true
	}
	f := sdk.Finding{
		Rule: "diff/" + strings.ReplaceAll(rule, "_", "-"), Severity: severity, Path: at.path, Line: at.line, EndLine: at.line,
		Message: fmt.Sprintf(format, args...),
	}
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + at.path + "\x00" + strings.Join(strings.Fields(at.content), " ")))
	f.Fingerprint = hex.EncodeToString(sum[:16])
	*kept = append(*kept, f)
	return true
}

// change judges what one path has become.
func (j *judge) change(c *sdk.Change) {
	j.kind(c)
	for _, path := range []string{c.Path, c.OldPath} {
		if name := ciSystem(path); name != "" {
			j.add(ruleCI, place{path: path}, "is obeyed by %s", name)
		}
	}
	if c.Op == "delete" {
		return
	}
	j.name(c.Path)
	if c.Binary {
		j.binary(c.Path)
	}
	if j.MaxFileBytes != nil && c.Size > *j.MaxFileBytes {
		j.add(ruleFileBytes, place{path: c.Path}, "has %d bytes; a changed file may have %d", c.Size, *j.MaxFileBytes)
	}
}

func (j *judge) binary(path string) {
	j.add(ruleBinary, place{path: path}, "is a binary file")
	if source(path) {
		j.add(ruleHidden, place{path: path}, "is called source code but is binary: it holds zero bytes or is too long, and no diff shows it")
	}
}

// kind judges the mode of a path: at most one rule applies.
func (j *judge) kind(c *sdk.Change) {
	at := place{path: c.Path}
	switch {
	case c.NewMode == modeGitlink || c.OldMode == modeGitlink:
		j.add(ruleGitlink, at, "is a submodule entry: what it stands for is not part of the diff")
	case c.Op == "delete":
	case c.NewMode == modeLink:
		j.add(ruleSymlink, at, "is a symbolic link to %q", c.Link)
	case c.NewMode == modeExec && c.OldMode != modeExec:
		j.add(ruleExec, at, "has become executable")
	case c.Op != "add" && c.OldMode != c.NewMode:
		j.add(ruleMode, at, "changes its mode from %s to %s", c.OldMode, c.NewMode)
	}
}

// name judges the characters of a file's name.
func (j *judge) name(path string) {
	for _, r := range path {
		if r < ' ' || r == 0x7f {
			j.hidden(place{path: path, content: "name"}, "has a name with the control character U+%04X", r)
			return
		}
	}
	if found := hiddenIn(path, false); len(found) > 0 {
		j.hidden(place{path: path, content: "name"}, "has a name with %s", listed(found))
	}
}

func (j *judge) hidden(at place, format string, args ...any) {
	if j.add(ruleHidden, at, format, args...) {
		j.metrics["hidden_characters"]++
	}
}

// sizes judges numbers over the whole diff; excepted paths do not count.
func (j *judge) sizes() {
	var files, lines, binary, largest int64
	for _, c := range j.changes {
		if !j.off(ruleFiles, c.Path) {
			files++
		}
		if !j.off(ruleLines, c.Path) {
			lines += int64(max(c.Added, 0)) + int64(max(c.Deleted, 0))
		}
		if c.Binary {
			binary++
		}
		largest = max(largest, c.Size)
	}
	for name, n := range map[string]int64{"files": files, "lines": lines, "binary": binary, "largest": largest} {
		j.metrics[name] = float64(n)
	}
	j.most(ruleFiles, "files", files, j.MaxFiles)
	j.most(ruleLines, "lines", lines, j.MaxLines)
}

func (j *judge) most(rule, what string, n int64, most *int64) {
	if most != nil && n > *most {
		j.add(rule, place{}, "%d %s are changed; %d may be", n, what, *most)
	}
}
