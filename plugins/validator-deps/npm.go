package main

import (
	"slices"
	"strings"
)

var (
	npmSections = []string{"dependencies", "devDependencies", "optionalDependencies", "peerDependencies"}
	// npmInstall are the scripts that npm runs by itself when it installs.
	npmInstall = []string{"preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare", "prepublish"}
)

func readPackage(_ string, data []byte) (reading, error) {
	leaves, err := jsonLeaves(data)
	if err != nil {
		return reading{}, err
	}
	var r reading
	for _, l := range leaves {
		if len(l.path) >= 2 {
			r.packageLeaf(l)
		}
	}
	return r, nil
}

func (r *reading) packageLeaf(l leaf) {
	section, name := l.path[0], l.path[len(l.path)-1]
	switch {
	case isOverride(l.path):
		if name = npmOverridden(l.path); name != "" && !strings.HasPrefix(l.value, "$") {
			r.add(npmRequired(name, l.value, l.line))
		}
	case len(l.path) > 2:
	case slices.Contains(npmSections, section):
		r.add(npmRequired(name, l.value, l.line))
	case section == "scripts" && slices.Contains(npmInstall, name):
		r.scripts = append(r.scripts, script{name, l.value, l.line})
	}
}

func isOverride(path []string) bool {
	return path[0] == "overrides" || path[0] == "resolutions" || path[0] == "pnpm" && path[1] == "overrides"
}

// npmOverridden is the package that an override is about: the last key, which may be a path and name a range.
func npmOverridden(keys []string) string {
	last := keys[len(keys)-1]
	if last == "." && len(keys) > 2 {
		last = keys[len(keys)-2]
	}
	parts := strings.Split(last, "/")
	last = parts[len(parts)-1]
	if n := len(parts); n > 1 && strings.HasPrefix(parts[n-2], "@") {
		last = parts[n-2] + "/" + last
	}
	if at := strings.LastIndex(last, "@"); at > 0 {
		last = last[:at]
	}
	return last
}

// npmRequired reads what follows the name of a package.
func npmRequired(name, require string, line int) dependency {
	d := dependency{world: worldNPM, name: name, require: require, line: line}
	text := strings.TrimSpace(require)
	switch {
	case hasPrefix(text, "file:", "link:", "portal:", "./", "../", "/", "~/"):
		d.origin, d.from = local, text
	case hasPrefix(text, "npm:"):
		d.origin, d.from = fork, strings.TrimPrefix(text, "npm:")
		if at := strings.LastIndex(d.from, "@"); at > 0 {
			d.from, d.version = d.from[:at], npmExact(d.from[at+1:])
		}
	case hasPrefix(text, "workspace:"):
	case strings.Contains(text, ":") || strings.Contains(text, "/"): // git+ssh://, github:, a URL, owner/repository
		d.origin, d.from = address, text
	default:
		d.version = npmExact(text)
	}
	return d
}

// npmExact is the version where one alone is asked for.
func npmExact(text string) string {
	text = strings.TrimPrefix(strings.TrimSpace(text), "=")
	if _, ok := compare(worldNPM, text, text); ok && strings.Count(strings.SplitN(text, "-", 2)[0], ".") == 2 {
		return text
	}
	return ""
}

func hasPrefix(text string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(text, p) })
}

func readPackageLock(_ string, data []byte) (reading, error) {
	leaves, err := jsonLeaves(data)
	if err != nil {
		return reading{}, err
	}
	var r reading
	for _, e := range grouped(leaves, npmEntry) {
		if e.fields["link"].value != "true" { // not a member of the workspace
			r.lockedPackage(e)
		}
	}
	return r, nil
}

func (r *reading) lockedPackage(e *entry) {
	d := dependency{world: worldNPM, name: e.name, transitive: true, line: e.line}
	if l, ok := e.fields["version"]; ok {
		d.version, d.require, d.line = l.value, l.value, l.line
	}
	if l, ok := e.fields["name"]; ok && l.value != e.name {
		d.origin, d.from = fork, l.value
	}
	if l, ok := e.fields["resolved"]; ok {
		r.resolved(&d, l)
	}
	if l := e.fields["hasInstallScript"]; l.value == "true" {
		r.scripts = append(r.scripts, script{e.name, d.version, l.line})
	}
	sum := pin{e.name + " " + d.version, "", d.line}
	if l, ok := e.fields["integrity"]; ok {
		sum.sum, sum.line = l.value, l.line
	}
	r.pins = append(r.pins, sum)
	r.add(d)
}

// resolved reads where a package of the lock file is downloaded from.
func (r *reading) resolved(d *dependency, l leaf) {
	switch {
	case hasPrefix(l.value, "file:"):
		d.origin, d.from = local, l.value
	case hasPrefix(l.value, "https://", "http://"):
		r.from(l.value, l.line)
	case strings.Contains(l.value, ":"):
		d.origin, d.from = address, l.value
	}
}

// npmEntry finds the package that a value of a lock file belongs to: packages.<place>.<field> since version 2,
// dependencies.<name>.[dependencies.<name>.]<field> before.
func npmEntry(path []string) (entry int, name string) {
	if len(path) == 3 && path[0] == "packages" {
		_, name, ok := cutLast(path[1], "node_modules/")
		if !ok {
			return 0, ""
		}
		return 2, name
	}
	at := 0
	for at+2 < len(path) && path[at] == "dependencies" {
		at += 2
	}
	if at == 0 || at+1 != len(path) {
		return 0, ""
	}
	return at, path[at-1]
}

func cutLast(text, sep string) (before, after string, found bool) {
	at := strings.LastIndex(text, sep)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(sep):], true
}

// entry is a group of values that belong to one package of a lock file.
type entry struct {
	name   string
	line   int
	fields map[string]leaf
}

// grouped puts the values of a lock file together by package. The path's first parts, as many as of says, are the
// package's place; what follows is the field. Of keys that stand twice the last counts, as it does for those who install.
func grouped(leaves []leaf, of func(path []string) (parts int, name string)) []*entry {
	var all []*entry
	seen := map[string]*entry{}
	for _, l := range leaves {
		parts, name := of(l.path)
		if parts == 0 {
			continue
		}
		at := strings.Join(l.path[:parts], "\x00")
		e := seen[at]
		if e == nil {
			e = &entry{name: name, line: l.line, fields: map[string]leaf{}}
			seen[at] = e
			all = append(all, e)
		}
		e.fields[strings.Join(l.path[parts:], ".")] = l
	}
	return all
}
