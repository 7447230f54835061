package pluginlock

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
)

// Prefix is what the name of a plugin program begins with.
const Prefix = "drawspan-"

// Program is one plugin program that was found.
type Program struct {
	Name string // "executor-command"
	Path string
}

// Kind is "executor" or "validator".
func (p Program) Kind() string { kind, _, _ := strings.Cut(p.Name, "-"); return kind }

// Plugin is the name that the configuration uses: "command".
func (p Program) Plugin() string { _, name, _ := strings.Cut(p.Name, "-"); return name }

// Installed lists the plugin programs of the directories, sorted by name. Of two with the same name the
// one in the earlier directory counts; a directory that does not exist holds none.
func Installed(dirs []string) ([]Program, error) {
	var all []Program
	seen := map[string]bool{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list plugin directory: %w", err)
		}
		for _, e := range entries {
			name, ok := strings.CutPrefix(e.Name(), Prefix)
			if !ok || !namePattern.MatchString(name) || seen[name] {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
				continue
			}
			seen[name] = true
			all = append(all, Program{Name: name, Path: path})
		}
	}
	slices.SortFunc(all, func(a, b Program) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Facts are what a program said of itself, and the digest of the bytes that said it.
type Facts struct {
	Digest     string
	Version    string
	Protocol   []string
	Simulated  bool
	Attributes []Attribute
	Drives     []Driven
	Nature     Nature
}

// Lock makes entries of all the installed programs. describe asks one what it is; it may be nil.
func Lock(dirs []string, describe func(Program) (Facts, error)) ([]Entry, error) {
	programs, err := Installed(dirs)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, p := range programs {
		digest, err := DigestFile(p.Path)
		if err != nil {
			return nil, err
		}
		e := Entry{Name: p.Name, Hashes: map[string]string{Platform(): digest}}
		if describe != nil {
			facts, err := describe(p)
			if err != nil {
				return nil, fmt.Errorf("describe plugin %s: %w", p.Name, err)
			}
			if facts.Digest != digest {
				return nil, fault.New(fault.PluginMismatch, "the program of plugin %s changed while it was being locked", p.Name).
					At(p.Path).Fix("run: drawspan plugin lock")
			}
			e.Version, e.Protocol, e.Simulated = facts.Version, facts.Protocol, facts.Simulated
			e.Attributes, e.Drives, e.Nature = facts.Attributes, facts.Drives, facts.Nature
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// DigestFile is the digest of a file's bytes, "sha256:<hex>".
func DigestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash plugin program: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash plugin program: %w", err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// States of a plugin that Verify knows.
const (
	StateOK        = "ok"
	StateNotLocked = "not_locked" // installed, but there is no digest for this platform
	StateMismatch  = "mismatch"
	StateMissing   = "missing" // locked for this platform, but not installed
)

// Verification is how one plugin stands.
type Verification struct {
	Name     string
	Path     string // "" when it is missing
	State    string
	Expected string // digest in the lock file
	Actual   string // digest of the installed program
}

// Verify compares what is installed with what is locked, sorted by name.
func Verify(f *File, dirs []string) ([]Verification, error) {
	programs, err := Installed(dirs)
	if err != nil {
		return nil, err
	}
	var all []Verification
	seen := map[string]bool{}
	for _, p := range programs {
		seen[p.Name] = true
		v := Verification{Name: p.Name, Path: p.Path, State: StateOK}
		if v.Actual, err = DigestFile(p.Path); err != nil {
			return nil, err
		}
		e, _ := f.Find(p.Kind(), p.Plugin())
		v.Expected = e.Digest()
		switch v.Expected {
		case "":
			v.State = StateNotLocked
		case v.Actual:
		default:
			v.State = StateMismatch
		}
		all = append(all, v)
	}
	for _, e := range f.Entries {
		if !seen[e.Name] && e.Digest() != "" {
			all = append(all, Verification{Name: e.Name, State: StateMissing, Expected: e.Digest()})
		}
	}
	slices.SortFunc(all, func(a, b Verification) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
