package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tree"
)

// judge collects what a change does to licences.
type judge struct {
	settings
	head, base *os.Root
	dirs       map[string]bool // whose licence files were judged
	seen       map[string]bool // fingerprints
	findings   []sdk.Finding
	files      int
}

func newJudge(s settings, head, base *os.Root) *judge {
	return &judge{settings: s, head: head, base: base, dirs: map[string]bool{}, seen: map[string]bool{}}
}

// spot is a place that a finding can point to.
type spot struct {
	path string
	line int
}

// add adds a finding. What is the same of it wherever the line has moved identifies it.
func (j *judge) add(rule string, at spot, same, message string) {
	f := sdk.Finding{Rule: "license/" + rule, Severity: "error", Path: at.path, Line: at.line, Message: message}
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + at.path + "\x00" + same))
	f.Fingerprint = hex.EncodeToString(sum[:16])
	if !j.seen[f.Fingerprint] && len(j.findings) < sdk.MaxFindings {
		j.findings = append(j.findings, f)
	}
	j.seen[f.Fingerprint] = true
}

// change judges one changed path. The error is of the classifier.
func (j *judge) change(c sdk.Change) error {
	was := c.Path
	if c.OldPath != "" {
		was = c.OldPath
	}
	for _, name := range slices.Compact([]string{was, c.Path}) {
		if isLicenceFile(name) && !j.ignored(name) {
			if err := j.directory(path.Dir(name)); err != nil {
				return err
			}
		}
	}
	if j.ignored(c.Path) || c.Op == "delete" {
		return nil
	}
	return j.content(was, c)
}

// content judges what a path holds now beside what it held under its name in the base.
func (j *judge) content(was string, c sdk.Change) error {
	switch {
	case isLicenceFile(c.Path):
		j.files++
		j.altered(was, c.Path)
		return nil
	case isManifest(c.Path):
		return j.text(was, c.Path, maxFile, func(text []byte) ([]said, error) { return tagged(text, field), nil })
	case c.NewMode == "120000" || c.NewMode == "160000":
		return nil
	default:
		return j.text(was, c.Path, maxHead, headOf)
	}
}

// maxLicences is how many licence files of one directory are read.
const maxLicences = 100

// directory judges all licence files of one directory together, since a second one may say another licence.
func (j *judge) directory(dir string) error {
	if j.dirs[dir] {
		return nil
	}
	j.dirs[dir] = true
	was, err := j.licences(j.base, dir)
	if err != nil {
		return err
	}
	now, err := j.licences(j.head, dir)
	if err != nil {
		return err
	}
	if len(now) == 0 {
		now = []placed{{spot: spot{path: dir}}}
		if len(was) > 0 {
			now[0].path = was[0].path
		}
	}
	j.compare(was, now, refuseChanged)
	return nil
}

// placed is a licence with the file that says it.
type placed struct {
	id string
	spot
}

// licences are what the licence files of a directory say.
func (j *judge) licences(root *os.Root, dir string) ([]placed, error) {
	names, err := within(root, dir)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !isLicenceFile(name) || j.ignored(name) })
	if len(names) > maxLicences {
		return nil, fmt.Errorf("%q has more than %d licence files", dir, maxLicences)
	}
	var all []placed
	for _, name := range names {
		text, err := whole(root, name)
		if err != nil {
			all = append(all, placed{unknown, spot{path: name}})
			continue
		}
		found, err := fileOf(text)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			all = append(all, placed{s.id, spot{name, s.line}})
		}
	}
	return all, nil
}

// text judges what the beginning of one file says, by a reader of its own.
func (j *judge) text(was, now string, most int64, read func([]byte) ([]said, error)) error {
	j.files++
	newText, err := tree.Head(j.head, now, most)
	if err != nil {
		j.add("unreadable", spot{path: now}, "", "cannot be judged: "+clip(reason(err).Error()))
		return nil
	}
	oldText, err := tree.Head(j.base, was, most)
	if err != nil {
		oldText = nil // what was no file before said nothing
	}
	if bytes.Equal(oldText, newText) {
		return nil
	}
	saidNow, err := read(newText)
	if err != nil {
		return err
	}
	saidBefore, err := read(oldText)
	if err != nil {
		return err
	}
	after := at(now, saidNow)
	if len(after) == 0 {
		after = []placed{{spot: spot{path: now}}}
	}
	j.compare(at(was, saidBefore), after, refuseHeaders)
	return nil
}

func at(name string, all []said) []placed {
	var there []placed
	for _, s := range all {
		there = append(there, placed{s.id, spot{name, s.line}})
	}
	return there
}

// compare judges what is said now beside what was said. Now has at least one place; an empty id says nothing.
func (j *judge) compare(was, now []placed, refusal string) {
	before, after := names(was), names(now)
	come := slices.DeleteFunc(slices.Clone(now), func(p placed) bool { return p.id == "" || slices.Contains(before, p.id) })
	gone := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return slices.Contains(after, id) })
	for _, p := range come {
		j.arrived(p)
	}
	if len(before) == 0 || len(come)+len(gone) == 0 || !j.refuses(refusal) {
		return
	}
	where, rule := now[0].spot, "changed"
	if len(come) > 0 {
		where = come[0].spot
	}
	switch {
	case len(after) == 0:
		rule = "removed"
	case len(gone) == 0:
		rule = "widened"
	}
	j.add(rule, where, list(before)+"\x00"+list(after), fmt.Sprintf("was under %s and is now under %s", list(before), list(after)))
}

// arrived judges a licence that was not there before.
func (j *judge) arrived(p placed) {
	switch {
	case p.id == unknown:
		if j.refuses(refuseUnknown) || len(j.Allow) > 0 {
			j.add("unknown", p.spot, "", "is no licence that is known")
		}
	case !j.allows(p.id):
		j.add("not-allowed", p.spot, p.id, fmt.Sprintf("is under %s, which is not among what is allowed: %s", clip(p.id), strings.Join(j.Allow, ", ")))
	}
}

// names are the licences in order, each once.
func names(all []placed) []string {
	var ids []string
	for _, p := range all {
		if p.id != "" {
			ids = append(ids, p.id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// list says licences to people.
func list(ids []string) string {
	if len(ids) == 0 {
		return "no licence"
	}
	return clip(strings.ReplaceAll(strings.Join(ids, " and "), unknown, "no known licence"))
}

// altered judges the words of a licence file that is the same licence as before.
func (j *judge) altered(was, now string) {
	newText, err := whole(j.head, now)
	if err != nil {
		j.add("unreadable", spot{path: now}, "", "cannot be judged: "+clip(err.Error()))
		return
	}
	oldText, err := whole(j.base, was)
	if errors.Is(err, fs.ErrNotExist) || !j.refuses(refuseAltered) {
		return
	}
	before, _ := words(oldText)
	after, lines := words(newText)
	for i, w := range after {
		if i >= len(before) || before[i] != w {
			j.add("altered", spot{now, lines[i]}, "", fmt.Sprintf("has other words than before, from %q on", clip(w)))
			return
		}
	}
	if len(after) < len(before) {
		j.add("altered", spot{now, 1 + bytes.Count(bytes.TrimRight(newText, "\n"), []byte("\n"))}, "", fmt.Sprintf("ends before its words %q", clip(before[len(after)])))
	}
}

// verdict is what all of it comes to. What names licences comes before what names words.
func (j *judge) verdict() sdk.Verdict {
	slices.SortStableFunc(j.findings, func(a, b sdk.Finding) int { return rank(a) - rank(b) })
	v := sdk.Verdict{Outcome: sdk.Pass, Findings: j.findings, Metrics: map[string]float64{"files": float64(j.files), "findings": float64(len(j.seen))}}
	if len(j.findings) == 0 {
		return v
	}
	v.Outcome = sdk.Fail
	v.Message = fmt.Sprintf("%q %s", j.findings[0].Path, j.findings[0].Message)
	if more := len(j.seen) - 1; more > 0 {
		v.Message += fmt.Sprintf(", and %d more", more)
	}
	return v
}

func rank(f sdk.Finding) int {
	return slices.Index([]string{"license/changed", "license/widened", "license/removed", "license/not-allowed", "license/unknown", "license/unreadable", "license/altered"}, f.Rule)
}

// clip bounds words of the repository in a message.
func clip(text string) string {
	const most = 200
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
