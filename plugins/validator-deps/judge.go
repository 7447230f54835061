package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/drawspan/drawspan/sdk"
	"github.com/drawspan/drawspan/sdk/tree"
)

// judge collects what is wrong with the dependencies of one change.
type judge struct {
	settings
	head, base *os.Root
	findings   map[string][]sdk.Finding // by severity
	seen       map[string]bool          // fingerprints
	files      int
	added      int
	changed    int
}

func newJudge(s settings, head, base *os.Root) *judge {
	return &judge{settings: s, head: head, base: base, findings: map[string][]sdk.Finding{}, seen: map[string]bool{}}
}

// spot is a place that a finding can point to.
type spot struct {
	path string
	line int
}

// add adds a finding. What is the same of it wherever the line has moved identifies it.
func (j *judge) add(rule, severity string, at spot, same, message string) {
	f := sdk.Finding{Rule: "deps/" + rule, Severity: severity, Path: at.path, Line: at.line, Message: message}
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + at.path + "\x00" + same))
	f.Fingerprint = hex.EncodeToString(sum[:16])
	if !j.seen[f.Fingerprint] && len(j.findings[severity]) < sdk.MaxFindings {
		j.findings[severity] = append(j.findings[severity], f)
	}
	j.seen[f.Fingerprint] = true
}

const (
	severe = "error"
	mild   = "warning"
)

// file judges one changed file against what it was.
func (j *judge) file(c sdk.Change) {
	at := spot{path: c.Path}
	f := formatOf(c.Path)
	switch {
	case f != nil:
	case isGyp(c.Path):
		if j.refuses(refuseScripts) && c.Op != "modify" && c.Op != "mode" {
			j.add("install-script", severe, at, "", "makes npm compile when it installs the package")
		}
		return
	default:
		j.add("unread", mild, at, "", "has changed and can bring in dependencies, but is of a kind that is not read here: look at it")
		return
	}
	j.files++
	now, err := readAs(f, j.head, c.Path)
	if err != nil {
		j.add("unreadable", severe, lineOf(at, err), "", "cannot be judged: "+clip(err.Error()))
		return
	}
	was := j.before(f, c)
	j.dependencies(f, at, was.deps, now.deps)
	j.pins(at, was.pins, now.pins)
	j.hosts(at, was.hosts, now.hosts)
	j.scripts(at, was.scripts, now.scripts)
	j.includes(at, was.includes, now.includes)
}

// maxFile is the largest file that is read: several times that of the largest lock files in use.
const maxFile = 16 << 20

// readAs reads a file of a tree.
func readAs(f *format, root *os.Root, name string) (reading, error) {
	data, err := tree.Read(root, name, maxFile)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			err = at.Err // the path is said by the finding
		}
		return reading{}, err
	}
	return f.read(name, data)
}

// before is what the file said in the base. Of one that could not be read all counts as new.
func (j *judge) before(f *format, c sdk.Change) reading {
	name := c.Path
	if c.OldPath != "" {
		name = c.OldPath
	}
	was, err := readAs(f, j.base, name)
	if err != nil {
		return reading{}
	}
	return was
}

// lineOf finds the line in the error of a parser that says one.
func lineOf(at spot, err error) spot {
	if _, scanErr := fmt.Sscanf(err.Error(), "line %d:", &at.line); scanErr != nil || at.line < 0 {
		at.line = 0
	}
	return at
}

// identity is what makes a dependency the one that it was.
func (d dependency) identity() string {
	return strings.Join([]string{canonical(d.world, d.name), d.version, d.require, fmt.Sprint(d.origin), d.from}, "\x00")
}

// says is how a dependency is told to people.
func (d dependency) says() string {
	text := d.world + ":" + clip(d.name)
	if d.require != "" {
		text += " " + clip(d.require)
	}
	return text
}

func (j *judge) dependencies(f *format, at spot, was, now []dependency) {
	seen := map[string]bool{}
	before := map[string][]dependency{}
	for _, d := range was {
		seen[d.identity()] = true
		before[canonical(d.world, d.name)] = append(before[canonical(d.world, d.name)], d)
	}
	locked := slices.ContainsFunc(f.lock, func(name string) bool { return has(j.head, path.Join(path.Dir(at.path), name)) })
	for _, d := range now {
		if seen[d.identity()] {
			continue
		}
		seen[d.identity()] = true
		at.line = d.line
		old := before[canonical(d.world, d.name)]
		if len(old) == 0 {
			j.added++
		} else {
			j.changed++
		}
		j.listed(at, d, locked)
		j.origin(at, d)
		j.movement(at, d, old)
	}
}

func has(root *os.Root, name string) bool {
	_, err := root.Lstat(filepath.FromSlash(name))
	return !errors.Is(err, fs.ErrNotExist)
}

// listed holds a dependency to allow and deny. Where its version is open, a lock file beside it says which is used
// and is judged for itself; without one, a version that may be denied is, and one that may not be allowed is not.
func (j *judge) listed(at spot, d dependency, locked bool) {
	if r := firstOf(j.deny, d, d.names(), !locked); r != nil {
		j.add("denied", severe, at, d.identity(), fmt.Sprintf("%s is denied by %q", d.says(), r.text))
		return
	}
	if len(j.allow) == 0 || j.DirectOnly && d.transitive || d.origin == local {
		return
	}
	names := d.names()
	if firstOf(j.allow, d, names[len(names)-1:], locked) == nil {
		j.add("not-allowed", severe, at, d.identity(), d.says()+" is not among what is allowed")
	}
}

// names are what a dependency is called, the name of what is really used last.
func (d dependency) names() []string {
	if d.origin == fork {
		return []string{d.name, d.from}
	}
	return []string{d.name}
}

// firstOf is the first rule that one of the names and the version meet. Doubt says whether a version that is not
// known meets what a rule says of versions.
func firstOf(rules []rule, d dependency, names []string, doubt bool) *rule {
	for i, r := range rules {
		holds := r.holds(d.world, d.version)
		if holds == no || holds == unknown && !doubt {
			continue
		}
		if slices.ContainsFunc(names, func(name string) bool { return r.names(d.world, name) }) {
			return &rules[i]
		}
	}
	return nil
}

// origin judges where a dependency is taken from.
func (j *judge) origin(at spot, d dependency) {
	from := clip(d.from)
	switch {
	case d.origin == local && j.refuses(refuseLocal):
		j.add("local", severe, at, d.identity(), fmt.Sprintf("%s is taken from the directory %q", d.says(), from))
	case d.origin == fork && j.refuses(refuseForks):
		j.add("fork", severe, at, d.identity(), fmt.Sprintf("%s is replaced by %q", d.says(), from))
	case d.origin == address && j.refuses(refuseSources):
		j.add("source", severe, at, d.identity(), fmt.Sprintf("%s is taken from %q instead of a registry", d.says(), from))
	}
}

// movement judges a dependency beside what it was.
func (j *judge) movement(at spot, d dependency, old []dependency) {
	if len(old) == 0 && j.refuses(refuseNew) {
		j.add("new", severe, at, d.identity(), d.says()+" is new")
	}
	if j.refuses(refuseFloating) && d.floats() {
		j.add("floating", severe, at, d.identity(), d.says()+" is met by any version")
	}
	if !j.refuses(refuseDowngrades) || len(old) == 0 {
		return
	}
	lower := func(o dependency) bool {
		order, ok := compare(d.world, d.version, o.version)
		return ok && order < 0
	}
	if !slices.ContainsFunc(old, func(o dependency) bool { return !lower(o) }) {
		j.add("downgrade", severe, at, d.identity(), fmt.Sprintf("%s was %s before", d.says(), clip(old[0].version)))
	}
}

// floats tells requirements that every version meets, or that a word decides.
func (d dependency) floats() bool {
	if d.origin != registry || d.version != "" || d.transitive {
		return false
	}
	require := strings.TrimSpace(d.require)
	return require == "" || !strings.ContainsAny(require, "0123456789") || hasPrefix(require, ">") && !strings.Contains(require, "<")
}

// pins judges sums: a version that was pinned stays what it was.
func (j *judge) pins(at spot, was, now []pin) {
	if !j.refuses(refuseRewritten) {
		return
	}
	before := map[string][]string{}
	for _, p := range was {
		before[p.key] = append(before[p.key], p.sum)
	}
	for _, p := range now {
		old, ok := before[p.key]
		if !ok || slices.Contains(old, p.sum) || !slices.ContainsFunc(old, func(sum string) bool { return contradicts(sum, p.sum) }) {
			continue
		}
		at.line = p.line
		message := fmt.Sprintf("%s has the version that it had, but another sum: its content was replaced", clip(p.key))
		if p.sum == "" {
			message = clip(p.key) + " has the version that it had, and has lost its sum"
		}
		j.add("rewritten", severe, at, p.key, message)
	}
}

// contradicts tells whether two sums cannot be of the same content. One by another method says nothing.
func contradicts(was, now string) bool {
	if was == "" {
		return false
	}
	methodWas, _, _ := strings.Cut(was, "-")
	methodNow, _, ok := strings.Cut(now, "-")
	return now == "" || !ok || methodWas == methodNow
}

// public are the hosts of the public registries.
var public = []string{"registry.npmjs.org", "registry.yarnpkg.com", "pypi.org", "files.pythonhosted.org", "index.crates.io", "github.com"}

// hosts judges places that packages are taken from, once each.
func (j *judge) hosts(at spot, was, now []host) {
	if !j.refuses(refuseSources) {
		return
	}
	known := map[string]bool{}
	for _, h := range was {
		known[h.name] = true
	}
	slices.SortStableFunc(now, func(a, b host) int { return a.line - b.line })
	for _, h := range now {
		if known[h.name] || slices.Contains(public, h.name) || slices.ContainsFunc(j.Registries, func(glob string) bool { return doublestar.MatchUnvalidated(glob, h.name) }) {
			continue
		}
		known[h.name] = true
		at.line = h.line
		j.add("source", severe, at, h.name, fmt.Sprintf("packages are taken from %q, from where none came before", clip(h.name)))
	}
}

func (j *judge) scripts(at spot, was, now []script) {
	if !j.refuses(refuseScripts) {
		return
	}
	for _, s := range now {
		if slices.ContainsFunc(was, func(o script) bool { return o.name == s.name && o.text == s.text }) {
			continue
		}
		at.line = s.line
		j.add("install-script", severe, at, s.name+"\x00"+s.text, fmt.Sprintf("%q runs a program when it is installed: %s", clip(s.name), clip(s.text)))
	}
}

// includes judges files that requirements are taken from: one whose name does not show that it holds any would not be
// judged when it changes.
func (j *judge) includes(at spot, was, now []include) {
	for _, i := range now {
		known := slices.ContainsFunc(was, func(o include) bool { return o.name == i.name })
		if f := formatOf(path.Join(path.Dir(at.path), i.name)); known || f != nil && f.world == worldPyPI {
			continue
		}
		at.line = i.line
		j.add("unreadable", severe, at, i.name, fmt.Sprintf("requirements are taken from %q, which nobody reads by that name: call it like requirements.txt", clip(i.name)))
	}
}

// verdict is what all of it comes to: the worst first, and no more than fit.
func (j *judge) verdict() sdk.Verdict {
	all := append(j.findings[severe], j.findings[mild]...)
	v := sdk.Verdict{Outcome: sdk.Pass, Findings: all[:min(len(all), sdk.MaxFindings)], Metrics: map[string]float64{
		"files": float64(j.files), "added": float64(j.added), "changed": float64(j.changed), "findings": float64(len(j.seen)),
	}}
	if len(all) == 0 {
		return v
	}
	v.Outcome = sdk.Warn
	if len(j.findings[severe]) > 0 {
		v.Outcome = sdk.Fail
	}
	v.Message = fmt.Sprintf("%q: %s", all[0].Path, all[0].Message)
	if more := len(j.seen) - 1; more > 0 {
		v.Message += fmt.Sprintf(", and %d more", more)
	}
	return v
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
