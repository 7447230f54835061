package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// requirement is the beginning of a requirement as PEP 508 writes it: a name, and what it brings along.
var requirement = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)$`)

// pythonRequired reads one requirement.
func pythonRequired(text string, line int) (dependency, error) {
	text = strings.TrimSpace(text)
	text, _, _ = strings.Cut(text, ";") // the conditions under which it is installed
	d := dependency{world: worldPyPI, line: line}
	if hasPrefix(text, ".", "/", "~/", "file:") {
		d.name, d.origin, d.from = text, local, text
		return d, nil
	}
	m := requirement.FindStringSubmatch(strings.TrimSpace(text))
	if m != nil && strings.HasPrefix(m[2], "@") {
		d.name, d.origin, d.from = m[1], address, strings.TrimSpace(m[2][1:])
		if strings.HasPrefix(d.from, "file:") {
			d.origin = local
		}
		return d, nil
	}
	if strings.Contains(text, "://") {
		d.name, d.origin, d.from = text, address, text
		if _, egg, ok := strings.Cut(text, "#egg="); ok {
			d.name = egg
		}
		return d, nil
	}
	if m == nil || m[2] != "" && !strings.ContainsRune("<>=!~(", rune(m[2][0])) {
		return d, fmt.Errorf("line %d: %q is not a requirement", line, clip(text))
	}
	d.name, d.require = m[1], strings.Trim(m[2], "()")
	d.version = pythonExact(d.require)
	return d, nil
}

// pythonExact is the version where one alone is asked for.
func pythonExact(require string) string {
	rest, ok := strings.CutPrefix(strings.TrimSpace(require), "==")
	rest = strings.TrimSpace(strings.TrimPrefix(rest, "="))
	if !ok || strings.ContainsAny(rest, ",*") {
		return ""
	}
	return rest
}

// pipIndex are the options of a requirements file that name a place to take packages from.
var pipIndex = []string{"--index-url", "-i", "--extra-index-url", "--find-links", "-f"}

func readRequirements(_ string, data []byte) (reading, error) {
	var r reading
	whole := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	for i := 0; i < len(whole); i++ {
		line := i + 1
		var b strings.Builder
		for ; i < len(whole); i++ {
			part, more := strings.CutSuffix(whole[i], `\`)
			b.WriteString(part)
			if !more {
				break
			}
		}
		if err := r.requirementLine(b.String(), line); err != nil {
			return reading{}, err
		}
	}
	return r, nil
}

func (r *reading) requirementLine(text string, line int) error {
	text = uncommented(text)
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil
	}
	option, value, _ := strings.Cut(fields[0], "=")
	if value == "" && len(fields) > 1 {
		value = fields[1]
	}
	switch {
	case slices.Contains(pipIndex, option):
		r.from(value, line)
	case hasPrefix(option, "-i", "-f"):
		r.from(fields[0][len("-i"):], line)
	case option == "-e" || option == "--editable":
		return r.required(value, line)
	case slices.Contains([]string{"-r", "--requirement", "-c", "--constraint"}, option):
		r.include(value, line)
	case hasPrefix(option, "-r", "-c"):
		r.include(fields[0][len("-r"):], line)
	case strings.HasPrefix(option, "-"):
	default:
		return r.required(text, line)
	}
	return nil
}

// include notes a file that requirements are taken from as well: it is judged for itself when it changes.
func (r *reading) include(name string, line int) {
	if strings.Contains(name, "://") {
		r.from(name, line)
		return
	}
	r.includes = append(r.includes, include{name, line})
}

func uncommented(text string) string {
	if strings.HasPrefix(strings.TrimSpace(text), "#") {
		return ""
	}
	text, _, _ = strings.Cut(text, " #")
	return text
}

func (r *reading) required(text string, line int) error {
	text, _, _ = strings.Cut(text, " --") // --hash and the like
	d, err := pythonRequired(text, line)
	if err == nil {
		r.add(d)
	}
	return err
}

func readPyproject(_ string, data []byte) (reading, error) {
	leaves, err := tomlLeaves(data)
	if err != nil {
		return reading{}, err
	}
	var r reading
	for _, l := range leaves {
		if isIndex(l.path) {
			r.from(l.value, l.line)
		}
		if isElsewhere(l.path) {
			r.include(l.value, l.line)
		}
		if !isRequirement(l.path) {
			continue
		}
		if err := r.required(l.value, l.line); err != nil {
			return reading{}, err
		}
	}
	for _, e := range grouped(leaves, poetryEntry) {
		if e.name != "python" {
			r.add(poetryRequired(e))
		}
	}
	return r, nil
}

// isIndex tells the places of pyproject.toml that hold the address of an index.
func isIndex(path []string) bool {
	return len(path) == 5 && path[4] == "url" && (under(path, "tool", "uv", "index") || under(path, "tool", "poetry", "source"))
}

// isElsewhere tells the places of pyproject.toml that name a file with requirements, for setuptools and for hatch.
func isElsewhere(path []string) bool {
	return under(path, "tool", "setuptools", "dynamic") && slices.Contains(path, "file") && (path[3] == "dependencies" || path[3] == "optional-dependencies") ||
		under(path, "tool", "hatch", "metadata", "hooks", "requirements_txt") && len(path) > 5
}

// isRequirement tells the places of pyproject.toml that hold requirements as PEP 508 writes them.
func isRequirement(path []string) bool {
	switch len(path) {
	case 3:
		return under(path, "project", "dependencies") || under(path, "build-system", "requires") || under(path, "dependency-groups")
	case 4:
		return under(path, "project", "optional-dependencies") || under(path, "tool", "uv", "dev-dependencies") ||
			under(path, "tool", "uv", "override-dependencies") || under(path, "tool", "uv", "constraint-dependencies")
	}
	return false
}

func under(path []string, keys ...string) bool {
	for i, key := range keys {
		if i >= len(path) || path[i] != key {
			return false
		}
	}
	return true
}

// poetryEntry finds the package that a value belongs to where poetry writes dependencies as tables, and where uv
// says what a package is taken from.
func poetryEntry(path []string) (parts int, name string) {
	switch {
	case len(path) >= 4 && (under(path, "tool", "poetry", "dependencies") || under(path, "tool", "poetry", "dev-dependencies") ||
		under(path, "tool", "uv", "sources")):
		return 4, path[3]
	case len(path) >= 6 && under(path, "tool", "poetry", "group") && path[4] == "dependencies":
		return 6, path[5]
	}
	return 0, ""
}

func poetryRequired(e *entry) dependency {
	d := dependency{world: worldPyPI, name: e.name, line: e.line, require: e.fields[""].value}
	for _, key := range slices.Sorted(maps.Keys(e.fields)) {
		l, field := e.fields[key], key
		if at := strings.IndexByte(key, '.'); at >= 0 && strings.Trim(key[:at], "0123456789") == "" {
			field = key[at+1:] // one of several
		}
		switch field {
		case "version":
			d.require = l.value
		case "path":
			d.origin, d.from = local, l.value
		case "git", "url":
			if d.origin != local {
				d.origin, d.from = address, l.value
			}
		}
	}
	d.version = pythonExact(d.require)
	return d
}

func readPythonLock(_ string, data []byte) (reading, error) {
	leaves, err := tomlLeaves(data)
	if err != nil {
		return reading{}, err
	}
	var r reading
	for _, e := range grouped(leaves, lockEntry) {
		d := dependency{world: worldPyPI, name: e.fields["name"].value, version: e.fields["version"].value, transitive: true, line: e.line}
		d.require = d.version
		if !r.pythonSource(&d, e) {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(e.fields)) {
			if l := e.fields[key]; strings.HasSuffix(key, ".url") && hasPrefix(key, "sdist", "wheels") {
				r.from(l.value, l.line)
			}
		}
		r.add(d)
	}
	return r, nil
}

// pythonSource reads where a package of a lock file is taken from. It is false for
// the project itself.
func (r *reading) pythonSource(d *dependency, e *entry) bool {
	if kind, ok := e.fields["source.type"]; ok { // poetry
		from := e.fields["source.url"]
		switch kind.value {
		case "legacy":
			r.from(from.value, from.line)
		case "directory", "file":
			d.origin, d.from = local, from.value
		default:
			d.origin, d.from = address, from.value
		}
		return true
	}
	for _, key := range slices.Sorted(maps.Keys(e.fields)) { // uv
		l := e.fields[key]
		switch key {
		case "source.registry":
			r.from(l.value, l.line)
		case "source.git", "source.url":
			d.origin, d.from = address, l.value
		case "source.path", "source.directory":
			d.origin, d.from = local, l.value
		case "source.editable", "source.virtual":
			if l.value == "." {
				return false
			}
			d.origin, d.from = local, l.value
		}
	}
	return true
}
