// Package reuse keeps results of validators that depend on nothing but what they were shown, as files
// named by the digest of that.
//
// It guarantees that what is found is what was kept, byte for byte: an entry that was cut, altered or put
// in another's place is not found. It must not know what a result means; whoever finds one judges whether
// it may stand. It does not guard against who may write to its directory and forges an entry with its
// digests: the directory is to be as trusted as what reads from it.
package reuse

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/drawspan/drawspan/host/internal/work"
)

// Bounds of a Dir.
const (
	maxEntry   = 2 << 20
	maxEntries = 10_000
)

var inputsPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Dir is a directory of results. It may be used by several goroutines, and by several processes.
type Dir struct {
	path string
	most int // entries; a tenth of that is how many are made before they are counted
	mu   sync.Mutex
	new  int // entries made since
}

// Open makes the directory where there is none.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of results: %w", err)
	}
	return &Dir{path: path, most: maxEntries, new: maxEntries}, nil
}

func (d *Dir) file(inputs string) string {
	return filepath.Join(d.path, inputs[len("sha256:"):]+".json")
}

// Find is the result that was kept under a digest of inputs.
func (d *Dir) Find(inputs string) (work.Validation, bool) {
	if !inputsPattern.MatchString(inputs) {
		return work.Validation{}, false
	}
	body, err := read(d.file(inputs))
	if err != nil {
		return work.Validation{}, false
	}
	v, err := parse(body)
	return v, err == nil && v.Inputs == inputs
}

// read reads a plain file within bounds.
func read(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxEntry {
		return nil, fmt.Errorf("no entry: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxEntry+1))
}

// parse takes an entry apart: the digest of what follows, a newline, and the result.
func parse(body []byte) (work.Validation, error) {
	var v work.Validation
	sum, rest, ok := bytes.Cut(body, []byte{'\n'})
	if !ok || string(sum) != digest(rest) || len(body) > maxEntry {
		return v, fmt.Errorf("the entry is damaged")
	}
	dec := json.NewDecoder(bytes.NewReader(rest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return v, fmt.Errorf("decode entry: %w", err)
	}
	return v, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Keep keeps a result under its digest of inputs. Readers see it whole or not at all.
func (d *Dir) Keep(v work.Validation) error {
	if !inputsPattern.MatchString(v.Inputs) {
		return fmt.Errorf("keep result: %q is no digest of inputs", v.Inputs)
	}
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep result: %w", err)
	}
	body = append([]byte(digest(body)+"\n"), body...)
	if len(body) > maxEntry {
		return nil // it is cheaper to judge again
	}
	tmp, err := os.CreateTemp(d.path, ".new-*")
	if err != nil {
		return fmt.Errorf("keep result: %w", err)
	}
	_, err = tmp.Write(body)
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp.Name(), d.file(v.Inputs))
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("keep result: %w", err)
	}
	return d.bound()
}

// bound removes the oldest entries where there are too many. They are counted now and then.
func (d *Dir) bound() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.new++; d.new < d.most/10 {
		return nil
	}
	d.new = 0
	entries, err := os.ReadDir(d.path)
	if err != nil || len(entries) <= d.most-d.most/10 {
		return err
	}
	type aged struct {
		name string
		at   time.Time
	}
	var all []aged
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			all = append(all, aged{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b aged) int { return a.at.Compare(b.at) })
	for _, e := range all[:max(len(all)-(d.most-d.most/5), 0)] {
		os.Remove(filepath.Join(d.path, e.name))
	}
	return nil
}
