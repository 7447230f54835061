package main

import (
	"slices"
	"strings"
)

var cargoSections = []string{"dependencies", "dev-dependencies", "build-dependencies", "dev_dependencies", "build_dependencies"}

func readCargo(_ string, data []byte) (reading, error) {
	leaves, err := tomlLeaves(data)
	if err != nil {
		return reading{}, err
	}
	var r reading
	for _, e := range grouped(leaves, cargoEntry) {
		d := dependency{world: worldCargo, name: e.name, line: e.line}
		if l, ok := e.fields[""]; ok { // name = "1.0"
			d.require = l.value
		}
		r.cargoFields(&d, e.fields)
		d.version = cargoExact(d.require)
		r.add(d)
	}
	return r, nil
}

func (r *reading) cargoFields(d *dependency, fields map[string]leaf) {
	if l, ok := fields["version"]; ok {
		d.require = l.value
	}
	if l, ok := fields["package"]; ok && l.value != d.name {
		d.origin, d.from = fork, l.value
	}
	for _, key := range []string{"registry", "registry-index"} {
		if l, ok := fields[key]; ok {
			d.origin, d.from = address, l.value
		}
	}
	if l, ok := fields["git"]; ok {
		d.origin, d.from = address, l.value
	}
	if l, ok := fields["path"]; ok {
		d.origin, d.from = local, l.value
	}
}

// cargoEntry finds the crate that a value belongs to: [dependencies], [target.X.dependencies],
// [workspace.dependencies], [patch.REGISTRY] and [replace].
func cargoEntry(path []string) (parts int, name string) {
	switch {
	case len(path) > 2 && path[0] == "patch":
		return 3, path[2]
	case len(path) > 1 && path[0] == "replace":
		name, _, _ := strings.Cut(path[1], ":")
		return 2, name
	}
	at := map[string]int{"workspace": 1, "target": 2}[path[0]]
	if len(path) < at+2 || !slices.Contains(cargoSections, path[at]) {
		return 0, ""
	}
	return at + 2, path[at+1]
}

// cargoExact is the version where one alone is asked for: a bare one means any that is compatible.
func cargoExact(require string) string {
	if rest, ok := strings.CutPrefix(strings.TrimSpace(require), "="); ok {
		return strings.TrimSpace(rest)
	}
	return ""
}

func readCargoLock(_ string, data []byte) (reading, error) {
	leaves, err := tomlLeaves(data)
	if err != nil {
		return reading{}, err
	}
	var r reading
	for _, e := range grouped(leaves, lockEntry) {
		d := dependency{world: worldCargo, name: e.fields["name"].value, version: e.fields["version"].value, transitive: true, line: e.line}
		d.require = d.version
		source, ok := e.fields["source"]
		if !ok {
			continue // a member of the workspace
		}
		if strings.HasPrefix(source.value, "git+") {
			d.origin, d.from = address, source.value
		} else {
			r.from(strings.TrimPrefix(source.value, "sparse+"), source.line)
		}
		sum := pin{d.name + " " + d.version, e.fields["checksum"].value, e.line}
		if l, ok := e.fields["checksum"]; ok {
			sum.line = l.line
		}
		if d.origin == registry {
			r.pins = append(r.pins, sum)
		}
		r.add(d)
	}
	return r, nil
}

// lockEntry finds the package that a value of Cargo.lock, poetry.lock or uv.lock belongs to.
func lockEntry(path []string) (parts int, name string) {
	if len(path) < 3 || path[0] != "package" {
		return 0, ""
	}
	return 2, ""
}
