package main

import (
	"net/url"
	"path"
	"strings"
)

// dependency is one package that a file asks for.
type dependency struct {
	world, name string
	version     string // the one that is used; "" where the file leaves it open
	require     string // what is asked for, as it is written
	origin      origin
	from        string // of an origin that is no registry: the directory, the name or the address
	transitive  bool   // nobody asked for it by name
	line        int
}

// origin says where a dependency is taken from.
type origin int

const (
	registry origin = iota
	local           // a directory
	fork            // under another name
	address         // a repository or an archive of its own
)

// pin is a version whose content is fixed by a sum.
type pin struct {
	key  string // the package with its version
	sum  string
	line int
}

// host is a place that packages are taken from.
type host struct {
	name string
	line int
}

// include is another file that a file takes requirements from.
type include struct {
	name string
	line int
}

// script is a program that runs when a package is installed.
type script struct {
	name string // what it belongs to
	text string
	line int
}

// reading is what one file says.
type reading struct {
	deps    []dependency
	pins    []pin
	hosts   []host
	scripts []script

	includes []include
}

func (r *reading) add(d dependency) { r.deps = append(r.deps, d) }

// from notes the host of an address.
func (r *reading) from(address string, line int) {
	if u, err := url.Parse(strings.TrimPrefix(address, "registry+")); err == nil && u.Host != "" {
		r.hosts = append(r.hosts, host{strings.ToLower(u.Host), line})
	}
}

// format reads one kind of file.
type format struct {
	world string
	read  func(name string, data []byte) (reading, error)
	// lock is the name of a file beside it that says which versions are used.
	lock []string
}

// unread are files that name dependencies, or lead elsewhere for them, and that nothing here reads.
var unread = []string{
	"yarn.lock", "pnpm-lock.yaml", "pnpm-workspace.yaml", "bun.lock", "bun.lockb", "deno.lock", ".npmrc", ".yarnrc", ".yarnrc.yml",
	"Pipfile", "Pipfile.lock", "pdm.lock", "pip.conf", "setup.py", "setup.cfg", "Gemfile", "Gemfile.lock", "composer.json",
	"composer.lock", "pom.xml", "build.gradle", "build.gradle.kts", "gradle.lockfile", "Package.swift", "Package.resolved",
}

// formats are the kinds of files that are read, by their name.
var formats = map[string]format{
	"go.mod":              {worldGo, readGoMod, nil},
	"go.work":             {worldGo, readGoWork, nil},
	"go.sum":              {worldGo, readGoSum, nil},
	"go.work.sum":         {worldGo, readGoSum, nil},
	"package.json":        {worldNPM, readPackage, []string{"package-lock.json", "npm-shrinkwrap.json"}},
	"package-lock.json":   {worldNPM, readPackageLock, nil},
	"npm-shrinkwrap.json": {worldNPM, readPackageLock, nil},
	"pyproject.toml":      {worldPyPI, readPyproject, []string{"uv.lock", "poetry.lock"}},
	"uv.lock":             {worldPyPI, readPythonLock, nil},
	"poetry.lock":         {worldPyPI, readPythonLock, nil},
	"Cargo.toml":          {worldCargo, readCargo, []string{"Cargo.lock"}},
	"Cargo.lock":          {worldCargo, readCargoLock, nil},
}

// formatOf is how a file is read; nil where it is not.
func formatOf(name string) *format {
	base := path.Base(name)
	if f, ok := formats[base]; ok {
		return &f
	}
	named := strings.Contains(base, "requirements") || strings.Contains(base, "constraints")
	kind := path.Ext(base) // .in is what pip-tools makes .txt of
	if (kind == ".txt" || kind == ".in") && (named || path.Base(path.Dir(name)) == "requirements") {
		return &format{worldPyPI, readRequirements, nil}
	}
	return nil
}

func isUnread(name string) bool {
	base := path.Base(name)
	for _, u := range unread {
		if base == u {
			return true
		}
	}
	return (base == "config.toml" || base == "config") && path.Base(path.Dir(name)) == ".cargo"
}

// isGyp tells files whose presence makes npm compile when it installs.
func isGyp(name string) bool { return path.Base(name) == "binding.gyp" }

func known(name string) bool { return formatOf(name) != nil || isUnread(name) || isGyp(name) }
