package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/drawspan/drawspan/host/fault"
	"github.com/drawspan/drawspan/host/internal/work"
)

// diff compares the base commit with the private index. The index is what the kept tree is written from.
func (c *capture) diff(ctx context.Context, facts *diffReader) error {
	args := append([]string{"diff-index", "--cached", "-z", "--raw", "--numstat"}, diffFlags...)
	if c.req.Patch != nil && c.req.MaxPatch > 0 {
		args = append(args, "--patch", "--unified=3")
		if facts.truncated = c.bigChange(); !facts.truncated {
			args = append(args, "--binary")
		}
	}
	run := c.call(append(args, c.req.Base)...)
	run.stdout = facts
	_, err := c.git.run(ctx, run)
	switch {
	case facts.err != nil && !errors.Is(facts.err, errPatchFull):
		return facts.err
	case err != nil && facts.err == nil:
		return fmt.Errorf("compare with %s: %w", c.req.Base, err)
	}
	if err := facts.finish(); err != nil {
		return err
	}
	return facts.lookUp(ctx, c.git, c.call(), false)
}

// bigFile is core.bigFileThreshold: git shows no text of a larger file and does not read it for that.
const bigFile = 32 << 20

// bigChange reports whether a large file was added, changed or removed. Git would hold all of it in memory
// to write it into a patch, which would be cut off anyway.
func (c *capture) bigChange() bool {
	for _, n := range c.walk.sizes {
		if n > bigFile {
			return true
		}
	}
	for _, e := range c.index {
		if !e.seen && e.size > bigFile {
			return true
		}
	}
	return false
}

// maxFacts bounds the list of changed paths.
const maxFacts = 64 << 20

// errPatchFull ends a diff whose patch is longer than is wanted; the facts came before it.
var errPatchFull = errors.New("the patch is cut off")

// diffReader takes the output of a diff apart while git writes it: raw records, then numbers, each field
// ended by NUL, then one more NUL and the patch.
type diffReader struct {
	max   int64
	patch io.Writer
	size  func(path string) int64 // of a file in the tree

	facts     work.DiffFacts
	truncated bool
	err       error

	at      map[string]int // path to position in facts.Files
	ids     []string       // of the objects after the change, in the order of facts.Files
	dirs    []string       // ids of the changed directories, of both sides, where the diff shows them
	pending []byte         // a field that is not yet complete
	raw     string         // the first field of a raw record, while its path is awaited
	taken   int
	inPatch bool
}

// Write takes the next part of the output.
func (d *diffReader) Write(p []byte) (int, error) {
	whole := len(p)
	for len(p) > 0 && d.err == nil {
		if d.inPatch {
			d.err = d.copyPatch(p)
			break
		}
		end := bytes.IndexByte(p, 0)
		if d.taken += max(end, 0) + 1; d.taken > maxFacts || len(d.pending) > maxFacts {
			d.err = fault.New(fault.TooLarge, "the attempt changed more files than are compared")
			break
		}
		if end < 0 {
			d.pending = append(d.pending, p...)
			break
		}
		field := string(append(d.pending, p[:end]...))
		d.pending, p = d.pending[:0], p[end+1:]
		d.err = d.field(field)
	}
	if d.err != nil {
		return 0, d.err
	}
	return whole, nil
}

func (d *diffReader) copyPatch(p []byte) error {
	if d.patch == nil {
		return fmt.Errorf("read diff: a patch that nobody asked for")
	}
	room := d.max - d.facts.PatchBytes
	cut := int64(len(p)) > room
	if cut {
		p = p[:room]
	}
	n, err := d.patch.Write(p)
	d.facts.PatchBytes += int64(n)
	if err != nil {
		return fmt.Errorf("write patch: %w", err)
	}
	if cut {
		d.truncated = true
		return errPatchFull
	}
	return nil
}

func (d *diffReader) field(f string) error {
	switch {
	case d.raw != "":
		raw := d.raw
		d.raw = ""
		return d.change(raw, f)
	case f == "":
		d.inPatch = true
		return nil
	case f[0] == ':':
		d.raw = f
		return nil
	}
	return d.numbers(f)
}

// ops are the names of git's letters.
var ops = map[string]string{"A": "add", "M": "modify", "D": "delete", "T": "type"}

// change takes a raw record: ":oldmode newmode oldid newid letter".
func (d *diffReader) change(raw, path string) error {
	parts := strings.Fields(raw[1:])
	if len(parts) != 5 {
		return fmt.Errorf("read diff: a record has %d fields", len(parts))
	}
	if parts[0] == dirMode || parts[1] == dirMode {
		d.directory(parts)
		return nil
	}
	op, ok := ops[parts[4]]
	if !ok {
		return fmt.Errorf("read diff: unknown change %q", parts[4])
	}
	if op == "modify" && parts[2] == parts[3] {
		op = "mode"
	}
	if d.at == nil {
		d.at = make(map[string]int)
	}
	d.at[path] = len(d.facts.Files)
	d.ids = append(d.ids, parts[3])
	d.facts.Files = append(d.facts.Files, work.Change{
		Path: path, Op: op, OldMode: parts[0], NewMode: parts[1], Size: d.size(path),
	})
	return nil
}

// directory takes a raw record of a directory.
func (d *diffReader) directory(parts []string) {
	for i := range 2 {
		if parts[i] == dirMode {
			d.dirs = append(d.dirs, parts[i+2])
		}
	}
}

// numbers takes a numstat record: "added TAB deleted TAB path"; dashes stand for a binary file.
func (d *diffReader) numbers(f string) error {
	parts := strings.SplitN(f, "\t", 3)
	if len(parts) != 3 {
		return fmt.Errorf("read diff: a count has %d fields", len(parts))
	}
	i, ok := d.at[parts[2]]
	if !ok {
		return fmt.Errorf("read diff: a count of a path that did not change")
	}
	c := &d.facts.Files[i]
	if parts[0] == "-" {
		c.Binary = true
		d.facts.Binary++
		return nil
	}
	added, errAdded := strconv.Atoi(parts[0])
	deleted, errDeleted := strconv.Atoi(parts[1])
	if errAdded != nil || errDeleted != nil {
		return fmt.Errorf("read diff: a count is no number")
	}
	c.Added += added
	c.Deleted += deleted
	d.facts.Insertions += added
	d.facts.Deletions += deleted
	return nil
}

// finish reports output that ended in the middle.
func (d *diffReader) finish() error {
	if d.raw != "" || len(d.pending) > 0 {
		return fmt.Errorf("read diff: it ended in the middle of a record")
	}
	return nil
}
