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
	Path    string  // where it was read from
	Entries []Entry // sorted by name
}

// Entry is one locked plugin.
type Entry struct {
	Name       string // "executor-command": the program without the prefix "drawspan-"
	Version    string
	Protocol   []string
	Simulated  bool
	Attributes []Attribute       // of its config block
	Hashes     map[string]string // platform to "sha256:<hex>"
	Declared   string            // file:line, where it was read from a file
}

// Attribute is one key of a plugin's config block, as its manifest declared it when it was locked.
type Attribute struct {
	Name     string
	Type     string
	Required bool
}

// Platform is the key of this machine in an entry's hashes.
func Platform() string { return runtime.GOOS + "_" + runtime.GOARCH }

// Digest is the entry's digest for this machine, "" where there is none.
func (e Entry) Digest() string { return e.Hashes[Platform()] }

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
