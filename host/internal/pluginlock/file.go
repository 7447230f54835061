package pluginlock

import (
	"maps"
	"runtime"
	"slices"
	"strings"
)

// FileName is the name of the lock file, beside the configuration.
const FileName = "drawspan.lock.hcl"

// File is the content of a lock file.
type File struct {
	Path     string  // where it was read from
	Entries  []Entry // sorted by name
	Programs []Pin   // sorted by executor
}

// Entry is one locked plugin.
type Entry struct {
	Name       string // "executor-command": the program without the prefix "drawspan-"
	Version    string
	Protocol   []string
	Simulated  bool
	Attributes []Attribute       // of its config block
	Drives     []Driven          // programs of the operator's machine that it drives
	Nature     Nature            // of a validator
	Hashes     map[string]string // platform to "sha256:<hex>"
	Declared   string            // file:line, where it was read from a file
}

// Attribute is one key of a plugin's config block, as its manifest declared it when it was locked.
type Attribute struct {
	Name     string
	Type     string
	Required bool
}

// Nature is what a validator's manifest declared of it when it was locked.
type Nature struct {
	Feeds    []string // what its checks are fed
	Pure     bool     // its verdict depends on the check alone
	Resident bool     // one process answers many checks
}

// Same reports whether two are the same; the order of feeds does not matter.
func (n Nature) Same(o Nature) bool {
	return n.Pure == o.Pure && n.Resident == o.Resident && slices.Equal(slices.Sorted(slices.Values(n.Feeds)), slices.Sorted(slices.Values(o.Feeds)))
}

// Driven is a program that a plugin drives, as its manifest declared it when it was locked.
type Driven struct {
	Name    string
	Profile string // it is needed where config.profile is this; "" always
	Tested  string // versions that the plugin was tested with
	Install string // a command line that installs it
}

// Pin is the program that an executor drives: its bytes, and those of what it needs beside it.
type Pin struct {
	Executor string // name of the executor block
	Path     string // where it was found; what counts is the bytes
	Digest   string // "sha256:<hex>" of the file
	Files    string // "sha256:<hex>" of its package and its interpreter; "" where it has neither
	Declared string // file:line, where it was read from a file
}

// Platform is the key of this machine in an entry's hashes.
func Platform() string { return runtime.GOOS + "_" + runtime.GOARCH }

// Digest is the entry's digest for this machine, "" where there is none.
func (e Entry) Digest() string { return e.Hashes[Platform()] }

// Names are the plugins of a kind that the file knows; nil where it knows none of any kind.
func (f *File) Names(kind string) []string {
	if len(f.Entries) == 0 {
		return nil
	}
	out := []string{}
	for _, e := range f.Entries {
		if name, is := strings.CutPrefix(e.Name, kind+"-"); is {
			out = append(out, name)
		}
	}
	return out
}

// Find is the entry of a plugin: kind "executor", name "command".
func (f *File) Find(kind, name string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(f.Entries, kind+"-"+name, func(e Entry, name string) int {
		return strings.Compare(e.Name, name)
	})
	if !ok {
		return Entry{}, false
	}
	return f.Entries[i], true
}

// Drive is the program that a plugin drives under a profile.
func (e Entry) Drive(profile string) (Driven, bool) {
	i := slices.IndexFunc(e.Drives, func(d Driven) bool { return d.Profile == "" || d.Profile == profile })
	if i < 0 {
		return Driven{}, false
	}
	return e.Drives[i], true
}

// Pinned is the program of an executor.
func (f *File) Pinned(executor string) (Pin, bool) {
	i := slices.IndexFunc(f.Programs, func(p Pin) bool { return p.Executor == executor })
	if i < 0 {
		return Pin{}, false
	}
	return f.Programs[i], true
}

// Pin takes over the programs that the declared executors drive now: all of them, and no others.
func (f *File) Pin(found []Pin) (changed []string) {
	before := map[string]Pin{}
	for _, p := range f.Programs {
		p.Declared = ""
		before[p.Executor] = p
	}
	for _, p := range found {
		if old, ok := before[p.Executor]; !ok || old != p {
			changed = append(changed, p.Executor)
		}
		delete(before, p.Executor)
	}
	for name := range before {
		changed = append(changed, name)
	}
	f.Programs = slices.SortedFunc(slices.Values(found), func(a, b Pin) int { return strings.Compare(a.Executor, b.Executor) })
	slices.Sort(changed)
	return changed
}

// Update takes over what was found installed on this machine: new and changed programs are locked as
// they are now, and programs that are gone lose this machine's digest. Digests of other platforms stay
// as long as the version does.
func (f *File) Update(found []Entry) (changed []string) {
	platform := Platform()
	merged := map[string]Entry{}
	for _, e := range f.Entries {
		e.Hashes = maps.Clone(e.Hashes)
		merged[e.Name] = e
	}
	seen := map[string]bool{}
	for _, e := range found {
		seen[e.Name] = true
		old, known := merged[e.Name]
		if known && old.Version == e.Version {
			hashes := maps.Clone(old.Hashes)
			maps.Copy(hashes, e.Hashes)
			e.Hashes = hashes
		}
		if !known || old.Hashes[platform] != e.Hashes[platform] {
			changed = append(changed, e.Name)
		}
		merged[e.Name] = e
	}
	for name, e := range merged {
		if seen[name] || e.Hashes[platform] == "" {
			continue
		}
		changed = append(changed, name)
		delete(e.Hashes, platform)
		if len(e.Hashes) == 0 {
			delete(merged, name)
		}
	}
	f.Entries = slices.SortedFunc(maps.Values(merged), func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(changed)
	return changed
}
